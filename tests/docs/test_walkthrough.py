"""The walk-through from a big Keras model to a small file, followed to its end with less data and fewer epochs."""

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pages
import pytest
from docs_follower import Follower

pytestmark = pytest.mark.export
PAGE = pages.DOCS / "walk-through.md"
KEPT = {"train": 3000, "test": 600}
STUDENT = Path("runs/best/seed-1/distilled")


class Shortened(Follower):
    """Follows the walk-through with a part of Fashion-MNIST and a big model of two epochs."""

    def __init__(self):
        super().__init__(shorten=True)

    def execute(self, program, name):
        assert ("epochs=5" in program) == ("big.fit" in program)
        super().execute(program.replace("epochs=5", "epochs=2"), name)

    def run(self, line):
        output = super().run(line)
        if " data export " in line:
            with np.load("fashion.npz") as whole:
                kept = {
                    f"{name}_{part}": whole[f"{name}_{part}"][:count] for name in "xy" for part, count in KEPT.items()
                }
            np.savez("fashion.npz", **kept)
        return output


@pytest.fixture(scope="module")
def folder(fashion_mnist_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("walk")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("KDISTILL_DATA_DIR", str(fashion_mnist_dir))
        for _ in Shortened().follow(PAGE):
            pass
        yield folder


def test_the_student_is_a_twentieth_of_the_teacher(folder):
    models = (keras.saving.load_model(folder / path, compile=False) for path in ("big.keras", STUDENT / "model.keras"))
    sizes = [model.count_params() for model in models]
    assert sizes[0] >= 20 * sizes[1]
    exported = (folder / STUDENT / "model-int8.tflite").stat().st_size
    assert (folder / "big.keras").stat().st_size >= 20 * exported


def test_the_export_answers_as_its_model_does(folder):
    record = json.loads((folder / STUDENT / "model-int8.tflite.json").read_text())
    assert record["parity"]["agreement"] >= record["parity"]["tolerance"]["agreement"]


def test_the_answers_name_the_classes_of_the_folders(folder):
    rows = list(csv.DictReader((folder / "answers.csv").open()))
    there = sorted(path.name for path in (folder / "fashion" / "test" / "Sandal").iterdir())
    assert [Path(row["name"]).name for row in rows] == there
    assert {row["class"] for row in rows} <= {path.name for path in (folder / "fashion" / "train").iterdir()}
    assert all(0 < float(row["probability"]) <= 1 for row in rows)
