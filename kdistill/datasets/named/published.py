"""The data sets that are published as four IDX files: hashes, classes and addresses."""

from dataclasses import dataclass

from kdistill.datasets.named import idx

TRAIN_EXAMPLES = 60_000
TEST_EXAMPLES = 10_000
SHAPE = (28, 28)
# The addresses that Keras's `fashion_mnist` module and TensorFlow Datasets' `mnist` download from.
FASHION_MNIST_URLS = ("https://storage.googleapis.com/tensorflow/tf-keras-datasets/",)
MNIST_URLS = ("https://storage.googleapis.com/cvdf-datasets/mnist/",)


@dataclass(frozen=True)
class File:
    """One of the four files of a data set.

    Attributes:
        name: file name without `.gz`.
        shape: shape of the array in the file.
        algorithm: hash algorithm, by its name in hashlib.
        digest: hash of the uncompressed file, hexadecimal.
        member: name of the array in Keras's archive.
    """

    name: str
    shape: tuple[int, ...]
    algorithm: str
    digest: str
    member: str

    @property
    def size(self) -> int:
        """Bytes of the uncompressed file."""
        return idx.size(self.shape)

    @property
    def names(self) -> tuple[str, str]:
        """File names by preference: the compressed file, which `fetch` writes, wins over a damaged plain file."""
        return f"{self.name}.gz", self.name


@dataclass(frozen=True)
class Published:
    """A data set in the format of MNIST.

    Attributes:
        name: name in configs.
        title: name in messages.
        folder: name of the data set's subfolder in a folder of several data sets.
        classes: class names, in the order of the labels.
        urls: base addresses of the compressed files, tried in this order. Downloads are verified, so a mirror need not
            be trusted.
        files: train images, train labels, test images, test labels.
        archive: name of Keras's file with all four arrays, if there is one.
    """

    name: str
    title: str
    folder: str
    classes: tuple[str, ...]
    urls: tuple[str, ...]
    files: tuple[File, File, File, File]
    archive: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.files[0].shape[1:]

    @property
    def examples(self) -> dict[str, int]:
        """Number of examples in train and test."""
        return {"train": self.files[1].shape[0], "test": self.files[3].shape[0]}


def _files(algorithm: str, *digests: str) -> tuple[File, File, File, File]:
    return (
        File("train-images-idx3-ubyte", (TRAIN_EXAMPLES, *SHAPE), algorithm, digests[0], "x_train"),
        File("train-labels-idx1-ubyte", (TRAIN_EXAMPLES,), algorithm, digests[1], "y_train"),
        File("t10k-images-idx3-ubyte", (TEST_EXAMPLES, *SHAPE), algorithm, digests[2], "x_test"),
        File("t10k-labels-idx1-ubyte", (TEST_EXAMPLES,), algorithm, digests[3], "y_test"),
    )


FASHION_MNIST = Published(
    name="fashion_mnist",
    title="Fashion-MNIST",
    folder="fashion-mnist",
    classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    urls=FASHION_MNIST_URLS,
    files=_files(
        "sha256",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)

MNIST = Published(
    name="mnist",
    title="MNIST",
    folder="mnist",
    classes=tuple("0123456789"),
    urls=MNIST_URLS,
    # The hashes that TensorFlow Datasets' sources publish; no way is known to make a file with a given MD5.
    files=_files(
        "md5",
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    archive="mnist.npz",
)

ALL = (FASHION_MNIST, MNIST)
