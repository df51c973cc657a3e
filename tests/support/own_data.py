"""Small data sets of a user, written in each form that he may bring: two classes that are easy to tell apart."""

import numpy as np
from PIL import Image

from kdistill import config as configs

CLASSES = ("dark", "light")


def arrays(train=40, test=20, validation=0, shape=(6, 5), dtype=np.uint8, seed=0):
    """Return x_train, y_train and so on by name; light images have larger values than dark ones."""
    random = np.random.default_rng(seed)
    found = {}
    for part, count in (("train", train), ("test", test), ("val", validation)):
        if count:
            labels = random.permutation(np.arange(count) % 2)
            values = random.integers(0, 100, (count, *shape)) + 150 * labels.reshape(-1, *[1] * len(shape))
            found |= {f"x_{part}": values.astype(dtype), f"y_{part}": labels}
    return found


def write_npz(path, **changed):
    """Write an archive, some arrays replaced or, where they are None, left out; return its path."""
    found = {name: array for name, array in (arrays() | changed).items() if array is not None}
    np.savez(path, **found)
    return path


def write_images(folder, parts=None):
    """Write the images of `arrays` as PNG files: part/class/number.png; return the folder."""
    found = parts or arrays()
    for part, name in (("train", "train"), ("test", "test"), ("val", "validation")):
        for number, (image, label) in enumerate(
            zip(found.get(f"x_{part}", ()), found.get(f"y_{part}", ()), strict=True)
        ):
            place = folder / name / CLASSES[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number:03}.png")
    return folder


def write_csv(path, x, y, names=CLASSES):
    """Write a table of features a, b, ... with the label in the middle; return its path."""
    columns = [chr(ord("a") + number) for number in range(x.shape[1])]
    lines = [",".join([*columns[:1], "kind", *columns[1:]])]
    for row, label in zip(x.tolist(), y, strict=True):
        lines.append(",".join([str(row[0]), names[label], *map(str, row[1:])]))
    path.write_text("\n".join(lines) + "\n")
    return path


def data(dataset, path, **keys):
    """Return the `data` section of a config."""
    return configs.Data(dataset=dataset, path=str(path), **keys)


TAGS = ("indoor", "night", "people")


def tags(train=120, test=60, validation=0, seed=0):
    """Return multi-label arrays by name: rows of six values, of which the first three say which tags a row has."""
    random = np.random.default_rng(seed)
    found = {"classes": np.array(TAGS)}
    for part, count in (("train", train), ("test", test), ("val", validation)):
        if count:
            values = random.normal(size=(count, 6)).astype(np.float32)
            noise = 0.3 * random.normal(size=(count, 3))
            found |= {f"x_{part}": values, f"y_{part}": (values[:, :3] + noise > 0.4).astype(np.uint8)}
    return found
