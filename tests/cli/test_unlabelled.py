"""Examples without labels through the command line: what summary, page, screen and `data info` say of them."""

import json

import numpy as np
import pytest
from command_line import document, run
from small_experiment import SET

FEW = [*SET, "--set", "data.labelled=60"]
SENTENCE = (
    "Training examples of teacher, baseline: 60 labelled; distilled: 60 labelled and 945 unlabelled; as many updates "
    "in an epoch for each."
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    run("reproduce", "--seeds", "1", "--output-dir", folder, *FEW)
    return folder


def test_the_summary_and_the_screen_say_what_each_arm_was_trained_on(folder):
    again = run("reproduce", "--seeds", "1", "--output-dir", folder, *FEW)
    assert SENTENCE in " ".join(again.stdout.split())
    summary = json.loads((folder / "quickstart" / "summary.json").read_text())
    assert summary["trained_on"]["distilled"] == {"labelled": 60, "unlabelled": 945}
    assert summary["trained_on"]["baseline"] == {"labelled": 60, "unlabelled": 0}


def test_the_page_says_so_too(folder, few_pictures):
    run("report", folder / "quickstart")
    page = (folder / "quickstart" / "report.md").read_text()
    assert SENTENCE in page
    assert "CE of the labels is a mean over the labelled examples alone" in page


def test_another_choice_of_labels_is_another_experiment(folder):
    result = run("baseline", "--output-dir", folder, *FEW, "--set", "data.label_seed=1", code=7)
    assert "data.label_seed: was 0, is now 1" in result.output


def test_data_info_counts_labels():
    found = document("data", "info", "--set", "data.labelled=60")["digits"]
    assert (found["labelled"], found["unlabelled"]) == (60, 1005 - 60)
    assert "60 training examples have one, 945 have none" in run("data", "info", "--set", "data.labelled=60").stdout


def test_a_mistake_is_one_message_before_anything_is_trained(tmp_path):
    np.savez(tmp_path / "more.npz", x=np.zeros((20, 8, 8), np.uint8), y=np.zeros(20))
    more = ["--set", f"data.unlabelled={tmp_path / 'more.npz'}"]
    for overrides, code, message in [
        (more, 4, "more.npz has labels (y)"),
        (["--set", "data.labelled=9"], 3, "at least one label for each of the 10 classes; received 9"),
        (["--set", "data.labelled=2000"], 3, "fewer labels than the 1,005 examples of train; received 2000"),
        (["--set", "distill.examples=unlabelled"], 3, "every example has a label"),
        (["--set", "data.labelled=60", "--set", "distill.soft_loss=wsld"], 3, "wsld needs the label of every example"),
    ]:
        result = run("reproduce", "--seeds", "1", "--output-dir", tmp_path / "runs", *SET, *overrides, code=code)
        assert message in " ".join(result.output.split())
        assert not (tmp_path / "runs" / "quickstart" / "seed-0").exists()
