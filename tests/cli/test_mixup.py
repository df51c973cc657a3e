"""Mixup through the real CLI: what is said and recorded, and what is refused before anything is trained."""

import numpy as np
import pytest
from command_line import document, run
from own_data import arrays, write_npz
from small_experiment import SET

from kdistill.runs import Experiment

MIXED = ["--set", "augmentation={mixup: 0.2, shift: 1}", "--set", "training.epochs=2"]
ALONE = ["--set", "augmentation={mixup: 0.2}"]
WORDS = "mixup: l * one example and label + (1 - l) * another, l from Beta(0.2, 0.2)"


def test_every_arm_mixes_and_says_so(tmp_path):
    place = ["--output-dir", tmp_path, *SET, *MIXED]
    said = run("reproduce", "--seeds", "1", *place)
    assert "the teacher's logits are computed for every image as the student sees it" in said.stderr
    for arm in ("teacher", "baseline", "distilled"):
        result = Experiment(tmp_path / "quickstart").run(arm, 0).result
        assert result["augmentation"] == {"shift": 1, "flip": False, "crop": 0, "mixup": 0.2}, arm
        assert result["formula"].endswith(f"; {WORDS}"), arm
    assert Experiment(tmp_path / "quickstart").run("distilled", 0).result["soft_targets"] == (
        "computed for every augmented image"
    )
    assert WORDS in run("config", "show", "quickstart", "--set", "augmentation.mixup=0.2").stdout


@pytest.mark.slow
def test_unlabelled_examples_and_controls_go_with_mixup(tmp_path):
    more = ["--set", "data.labelled=60", "--set", "controls=[smoothed, pseudo, self, continued]"]
    document("reproduce", "--seeds", "1", "--output-dir", tmp_path, *SET, *MIXED, *more)
    for arm in ("smoothed", "pseudo", "self", "continued"):
        assert Experiment(tmp_path / "quickstart").run(arm, 0).result["augmentation"]["mixup"] == 0.2, arm


def of_data(folder, keys, *more):
    """Return the arguments of a short run on data of a user."""
    small = ["--set", "teacher.hidden=[4]", "--set", "training={epochs: 1, batch_size: 8}"]
    return ["--set", f"data={{{keys}, validation: 0.2}}", "--output-dir", folder, *small, *more]


def test_categories_and_tokens_are_refused_before_anything_is_trained(tmp_path):
    rows = [f"{number % 7},{'ab'[number % 2]},{'xy'[number % 2]}" for number in range(60)]
    for part in ("train", "test"):
        (tmp_path / f"{part}.csv").write_text("\n".join(["age,city,label", *rows]) + "\n")
    table = of_data(tmp_path / "o", f"dataset: csv, path: {tmp_path / 'train.csv'}, label: label", *ALONE)
    for command in (["baseline"], ["reproduce"], ["baseline", "--dry-run"]):
        said = run(*command, *table, code=3).stderr
        assert "augmentation.mixup: expected examples of numbers that can be mixed" in said
        assert "a table with columns of categories: city" in said
        assert "data.drop" in said
    found = arrays(shape=(9,)) | {f"x_{part}": arrays(shape=(9,))[f"x_{part}"] // 8 for part in ("train", "test")}
    tokens = write_npz(tmp_path / "tokens.npz", **found)
    embedded = ["--set", "student={embedding: 4}", "--set", "teacher={embedding: 8}"]
    keys = f"dataset: npz, path: {tokens}, kind: tokens"
    assert "received tokens" in run("baseline", *of_data(tmp_path / "o", keys, *embedded, *ALONE), code=3).stderr
    assert not (tmp_path / "o/quickstart/seed-0").exists()


def test_numbers_of_a_table_are_mixed(tmp_path):
    found = arrays(shape=(9,), dtype=np.float32)
    keys = f"dataset: npz, path: {write_npz(tmp_path / 'table.npz', **found)}"
    result = document("baseline", *of_data(tmp_path / "o", keys, *ALONE))
    assert result["augmentation"] == {"shift": 0, "flip": False, "crop": 0, "mixup": 0.2}


def test_a_loss_of_one_label_is_refused(tmp_path):
    said = run("distill", *MIXED, "--set", "distill.soft_loss=dkd", "--output-dir", tmp_path / "o", code=3).stderr
    assert "dkd needs one label for each example, and augmentation.mixup mixes the labels of two" in said
    assert not (tmp_path / "o").exists()
