"""What is known of the data sets that are published as four IDX files: hashes, classes and addresses."""

from dataclasses import dataclass

from kdistill.datasets.named import idx

TRAIN_EXAMPLES = 60_000
TEST_EXAMPLES = 10_000
SHAPE = (28, 28)
# Where Keras's own `fashion_mnist` module and TensorFlow Datasets' `mnist` get theirs.
FASHION_MNIST_URLS = ("https://storage.googleapis.com/tensorflow/tf-keras-datasets/",)
MNIST_URLS = ("https://storage.googleapis.com/cvdf-datasets/mnist/",)


@dataclass(frozen=True)
class File:
    """One of the four files.

    Attributes:
        name: without `.gz`.
        shape: of the array in it.
        algorithm: of the hash, as hashlib calls it.
        digest: hexadecimal hash of the uncompressed file.
        member: what the array is called in Keras's archive.
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


@dataclass(frozen=True)
class Published:
    """A data set in the MNIST format.

    Attributes:
        name: in configs.
        title: in messages.
        folder: the subfolder it has where several data sets are together.
        classes: names, the index being the label.
        urls: base addresses of the compressed files, tried in this order. What they serve is verified, so that a
            mirror need not be trusted.
        files: train images, train labels, test images, test labels.
        archive: Keras's file with all four arrays, if there is one.
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
        """Of one example."""
        return self.files[0].shape[1:]

    @property
    def examples(self) -> dict[str, int]:
        """Examples of the two parts."""
        return {"train": self.files[1].shape[0], "test": self.files[3].shape[0]}


def _files(algorithm: str, digests: tuple[str, str, str, str]) -> tuple[File, File, File, File]:
    train_images, train_labels, test_images, test_labels = digests
    train, test = TRAIN_EXAMPLES, TEST_EXAMPLES
    return (
        File("train-images-idx3-ubyte", (train, *SHAPE), algorithm, train_images, "x_train"),
        File("train-labels-idx1-ubyte", (train,), algorithm, train_labels, "y_train"),
        File("t10k-images-idx3-ubyte", (test, *SHAPE), algorithm, test_images, "x_test"),
        File("t10k-labels-idx1-ubyte", (test,), algorithm, test_labels, "y_test"),
    )


FASHION_MNIST = Published(
    name="fashion_mnist",
    title="Fashion-MNIST",
    folder="fashion-mnist",
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    urls=FASHION_MNIST_URLS,
    files=_files(
        "sha256",
        (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
)

MNIST = Published(
    name="mnist",
    title="MNIST",
    folder="mnist",
    classes=tuple("0123456789"),
    urls=MNIST_URLS,
    # These are the hashes that its publishers give. To make another file with a given MD5 is beyond anyone still.
    files=_files(
        "md5",
        (
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
    ),
    archive="mnist.npz",
)

ALL = (FASHION_MNIST, MNIST)
