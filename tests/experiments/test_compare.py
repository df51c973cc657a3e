"""Two experiments side by side: what differs, what is paired, what is refused. Runs of numbers alone, on disk."""

import json

import numpy as np
import pytest
from printed import text
from scipy import stats as reference

from kdistill import config as configs
from kdistill import runs
from kdistill.cli.rendering import runs as ledger
from kdistill.core.controls import needed_by
from kdistill.core.errors import ModelError
from kdistill.experiments import compare
from kdistill.runs import Experiment, RunWriter, record_scores, survey

SHORT = ["training.epochs=3", "teacher.hidden=[16]"]
CLASSES = list("0123456789")


class Mine:
    """An experiment whose runs are made of given test accuracies."""

    def __init__(self, folder, *overrides, data=None, versions=None):
        self.config = configs.load("quickstart", [*SHORT, f"name={folder.name}", *overrides])
        self.experiment = Experiment(folder)
        self.experiment.create(configs.dump(self.config))
        self.data = {"fingerprint": "f", "split_fingerprint": "s", "classes": CLASSES, **(data or {})}
        self.data.setdefault("examples", {"train": 10, "validation": 2, "test": 100})
        self.versions = versions or {"keras": "3"}

    def add(self, arm, seed, right, weights=None, taught_by=None, score=True, config=None):
        """Finish a run that has the first `right` of 100 test examples right."""
        source = needed_by(arm)
        taught = (taught_by or f"{source} {seed}") if source else None
        spec = runs.specification(config or self.config, arm, seed, taught, self.data["fingerprint"])
        writer = RunWriter(self.experiment.run(arm, seed), spec, {"data": self.data, "versions": self.versions}, print)
        writer.run.model_file.write_bytes(b"weights")
        writer.finish({"arm": arm, "weights_sha256": weights or f"{self.experiment.name}{arm}{seed}", "epochs": 3})
        run = self.experiment.run(arm, seed)
        if score:
            agreement = None if arm == "teacher" else 0.9
            scores = {"accuracy": right / 100, "nll": 0.5, "ece": 0.1, "agreement": agreement}
            correct = [place < right for place in range(100)]
            record_scores(run, {**scores, "parameters": 610, "file_bytes": 7}, None, correct, run.model_sha256)
        return run


@pytest.fixture
def pair(tmp_path):
    def make(*overrides, data=None, versions=None):
        return Mine(tmp_path / "a"), Mine(tmp_path / "b", *overrides, data=data, versions=versions)

    return make


def fill(mine, rights, arm="distilled", first=0, **more):
    for seed, right in enumerate(rights, start=first):
        mine.add(arm, seed, right, **more)


def compared(a, b, *arms):
    document = compare.compare(a.experiment.folder, b.experiment.folder, arms or ("distilled",))
    json.dumps(document, allow_nan=False)
    return document


def test_paired_statistics_are_those_of_a_paired_t_test(pair):
    a, b = pair("distill.T=2")
    before, after = [80, 82, 81, 79], [83, 84, 85, 80]
    fill(a, before)
    fill(b, after)
    row = compared(a, b)["arms"]["distilled"]
    paired, test = row["paired"], reference.ttest_rel(after, before)
    interval = test.confidence_interval(0.95)
    assert paired["seeds"] == [0, 1, 2, 3]
    assert paired["difference"]["values"] == pytest.approx([0.03, 0.02, 0.04, 0.01])
    assert (paired["difference"]["ci_low"], paired["difference"]["ci_high"]) == pytest.approx(
        (interval.low / 100, interval.high / 100)
    )
    assert paired["p_value"] == pytest.approx(test.pvalue)
    wins = np.greater.outer(after, before).mean() + np.equal.outer(after, before).mean() / 2
    assert paired["probability_of_improvement"] == pytest.approx(wins)
    assert paired["mcnemar"][0] == {
        "seed": 0,
        "only_b": 3,
        "only_a": 0,
        "p_value": pytest.approx(reference.binomtest(3, 3).pvalue),
    }
    assert paired["verdict"] == "better"
    assert paired["verdict_text"].startswith("B is better: +2.50 points of test accuracy (95 % interval +0.2")
    assert row["a"]["accuracy"]["mean"] == pytest.approx(0.805)
    assert row["b"]["seeds"] == [0, 1, 2, 3]
    swapped = compared(b, a)["arms"]["distilled"]["paired"]
    assert swapped["verdict"] == "worse"
    assert swapped["difference"]["mean"] == pytest.approx(-0.025)


def test_only_keys_that_differ_are_listed_and_the_name_is_no_difference(pair):
    a, b = pair("distill.T=2", "student.learning_rate=0.01", "student.hidden=[5]")
    base = configs.resolved(a.config)
    assert compared(a, b)["config"] == [
        {"key": "student.hidden", "a": list(a.config.student.hidden), "b": [5]},
        {"key": "distill.temperature", "a": base["distill"]["temperature"], "b": 2.0},
        {"key": "student.learning_rate", "a": None, "b": 0.01},
    ]


def test_seeds_without_a_partner_are_named_once_and_left_out(pair):
    a, b = pair()
    for arm in ("baseline", "distilled"):
        fill(a, [80, 80, 81], arm)
        fill(b, [81, 82, 83, 84], arm, first=2)
    document = compared(a, b, "baseline", "distilled")
    row = document["arms"]["baseline"]
    assert (row["paired"]["seeds"], row["only_a"], row["only_b"]) == ([2], [0, 1], [3, 4, 5])
    assert row["a"]["accuracy"]["values"] == [0.8, 0.8, 0.81]
    assert document["warnings"] == [
        "baseline, distilled: without a partner in the other, and not compared: seeds 0, 1 of A; seeds 3, 4, 5 of B."
    ]
    assert "(1 seed); a 95 % interval requires at least 3 seeds" in row["paired"]["verdict_text"]
    assert row["paired"]["p_value"] is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"fingerprint": "g"}, "examples, labels or class names of the data differ"),
        (
            {"fingerprint": "g", "examples": {"test": 1200}, "classes": ["x", "y"]},
            "examples is 100 in A, 1,200 in B; classes is 10 in A, 2 in B",
        ),
    ],
)
def test_other_test_examples_are_not_compared(pair, data, reason):
    a, b = pair(data=data)
    fill(a, [80, 81, 82])
    fill(b, [90, 91, 93])
    row = compared(a, b)["arms"]["distilled"]
    assert row["paired"] is None
    assert row["why_not"] == f"they were not scored on the same examples: {reason}"
    assert row["b"]["accuracy"]["mean"] == pytest.approx(0.9133, abs=1e-4)


def test_a_test_share_that_was_drawn_otherwise_is_another_test_split(tmp_path):
    def own(name, share, seed):
        data = f"data={{dataset: npz, path: {tmp_path / 'x.npz'}, test: {share}, split_seed: {seed}}}"
        mine = Mine(tmp_path / name, data, data={"split_fingerprint": f"{share}{seed}"})
        fill(mine, [80, 81, 82])
        return mine

    a, same = own("a", 0.2, 0), own("same", 0.2, 0)
    assert compared(a, same)["arms"]["distilled"]["paired"]["seeds"] == [0, 1, 2]
    drawn = compared(a, own("b", 0.2, 1))["arms"]["distilled"]["why_not"]
    assert drawn.endswith("data.split_seed is 0 in A, 1 in B")
    assert compared(a, own("c", 0.3, 0))["arms"]["distilled"]["why_not"].endswith("data.test is 0.2 in A, 0.3 in B")


def test_the_same_examples_divided_otherwise_are_compared_with_a_warning(pair):
    a, b = pair("data.validation=0.2", data={"split_fingerprint": "other"})
    fill(a, [80, 81, 82])
    fill(b, [80, 82, 84])
    document = compared(a, b)
    assert document["arms"]["distilled"]["paired"]["about"].endswith("but other batches.")
    assert "The data are split differently" in document["warnings"][0]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], "began with the same weights and saw the same batches"),
        (["distill.T=2"], "began with the same weights and saw the same batches"),
        (["student.hidden=[5]"], "but other initial weights."),
        (["student.hidden=[5]", "student.batch_size=8"], "but other initial weights and other batches."),
    ],
)
def test_what_a_seed_has_in_common_is_said(pair, overrides, words):
    a, b = pair(*overrides)
    fill(a, [80, 81, 82])
    fill(b, [80, 82, 84])
    assert words in compared(a, b)["arms"]["distilled"]["paired"]["about"]


@pytest.mark.parametrize(
    ("arm", "overrides", "words"),
    [
        ("distilled", ["student.initial_weights=baseline"], "but other initial weights."),
        ("baseline", ["student.initial_weights=baseline"], "and saw the same batches"),
        ("continued", [], "but other initial weights."),
        ("baseline", ["data.labelled=100"], "but other batches."),
        ("distilled", ["data.labelled=100"], "and saw the same batches"),
        ("distilled", ["data.labelled=100", "distill.examples=labelled"], "but other batches."),
        ("pseudo", ["data.labelled=100", "distill.examples=unlabelled"], "but other batches."),
        ("teacher", ["data.labelled=100"], "but other batches."),
        ("teacher", ["data.labelled=100", "teacher.examples=all"], "and saw the same batches"),
    ],
)
def test_a_warm_start_and_examples_without_labels_are_not_said_to_be_in_common(pair, arm, overrides, words):
    a, b = pair(*overrides)
    fill(a, [80, 81, 82], arm, taught_by="one" if arm == "continued" else None)
    fill(b, [80, 82, 84], arm)
    assert words in compared(a, b, arm)["arms"][arm]["paired"]["about"]


def test_teachers_that_taught_several_seeds_are_part_of_what_the_interval_is_about(pair):
    a, b = pair()
    fill(a, [80, 81, 82])
    fill(b, [80, 82, 84])
    assert "other teachers" not in compared(a, b)["arms"]["distilled"]["paired"]["about"]
    shared = Mine(b.experiment.folder.with_name("shared"))
    for seed, right in enumerate([80, 82, 84]):
        shared.add("distilled", seed, right, taught_by="one")
    assert "and these teachers" in compared(a, shared)["arms"]["distilled"]["paired"]["about"]


def test_the_same_models_are_said_to_be_the_same(pair):
    a, b = pair("distill.T=2")
    for mine in (a, b):
        for seed in range(3):
            mine.add("baseline", seed, 80 + seed, weights=f"w{seed}")
    paired = compared(a, b, "baseline")["arms"]["baseline"]["paired"]
    assert (paired["same_models"], paired["verdict"]) == (True, "inconclusive")
    assert paired["verdict_text"] == "The same models: both have the same weights in all 3 seeds."


def test_runs_that_do_not_count_are_named_with_the_reason(pair):
    a, b = pair()
    fill(a, [80, 81, 82, 83, 84])
    fill(b, [80])
    other = configs.load("quickstart", [*SHORT, "distill.T=9"])
    b.add("distilled", 1, 90, config=other)
    b.add("distilled", 2, 90, score=False)
    b.add("distilled", 3, 90).model_file.write_bytes(b"WEIGHTS")
    begun = b.experiment.run("distilled", 4)
    RunWriter(begun, {"seed": 4}, {"data": b.data}, print)
    document = compared(a, b)
    assert document["arms"]["distilled"]["b"]["seeds"] == [0]
    told = {
        seed: next(text for text in document["warnings"] if f"B: distilled seed {seed} " in text)
        for seed in range(1, 5)
    }
    assert "another config than config.yaml has (distill.temperature: was 9.0, is now 4.0)" in told[1]
    assert f"kdistill evaluate -c {b.experiment.folder}/config.yaml --output-dir" in told[2]
    assert "--seed 2`" in told[2]
    assert "is damaged: model.keras is not the file" in told[3]
    assert "is not finished" in told[4]


def test_where_there_is_nothing_to_pair_it_is_said(pair):
    a, b = pair()
    assert compared(a, b)["arms"]["distilled"]["why_not"] == "neither has a run that was scored"
    fill(a, [80])
    assert compared(a, b)["arms"]["distilled"]["why_not"] == "only A has scored runs"
    fill(b, [80], first=7)
    assert compared(a, b)["arms"]["distilled"]["why_not"] == "they have no seed in common"


def test_selection_on_test_is_warned_of(tmp_path):
    honest = Mine(tmp_path / "honest")
    one, two = (Mine(tmp_path / name, "data.validation=test") for name in ("one", "two"))
    assert "In both early stopping chose" in compared(one, two)["warnings"][0]
    assert "In B alone early stopping chose" in compared(honest, two)["warnings"][0]
    assert compared(honest, Mine(tmp_path / "other"))["warnings"] == []


def test_other_versions_are_warned_of(pair):
    a, b = pair(versions={"keras": "4"})
    fill(a, [80])
    fill(b, [80])
    assert compared(a, b)["warnings"] == ["Made with other versions: keras 3 (A), 4 (B)."]


def test_a_model_file_that_has_gone_speaks_against_no_run(pair, monkeypatch):
    a, b = pair()
    fill(a, [80])
    fill(b, [80])

    def gone(*arguments):
        raise ModelError("student.keras: no such model file")

    monkeypatch.setattr(survey, "specification", gone)
    assert compared(a, b)["arms"]["distilled"]["paired"]["seeds"] == [0]


@pytest.mark.parametrize("width", [40, 60, 80, 140])
def test_a_person_reads_the_same(pair, width):
    a, b = pair("distill.T=2")
    for arm in ("teacher", "distilled"):
        fill(a, [80, 82, 81, 79], arm)
    fill(b, [83, 84, 85, 80])
    lines = text(ledger.comparison(compared(a, b, "teacher", "distilled")), width).splitlines()
    assert max(map(len, lines)) <= max(width, len(f"A  {a.experiment.folder}"))
    shown = " ".join(" ".join(lines).split())
    assert "distill.temperature 4.0 2.0" in shown
    assert "no verdict only A has scored runs." in shown
    assert "B is better: +2.50 points" in shown
    assert "+3.00 +2.00 +4.00 +1.00 (points; seeds 0-3)" in shown
    assert "distilled A 0.8050" in shown
    assert "distilled B 0.8300" in shown


def test_equal_configs_are_said_to_be_equal(pair):
    assert "The configs are the same, except for the name." in text(ledger.comparison(compared(*pair())))


def test_teachers_from_files_are_no_runs_and_that_is_said(pair):
    a, b = pair("distill.teachers=[big.keras]")
    fill(a, [80, 81], "teacher")
    fill(b, [80, 81])
    why = compared(a, b, "teacher")["arms"]["teacher"]["why_not"]
    assert why == "B has teachers from files, which are no runs that could be paired"


def test_an_ensemble_is_not_compared_by_its_first_member(pair):
    a, b = pair("teacher.members=2")
    for side in (a, b):
        fill(side, [80, 81], "teacher")
    row = compared(a, b, "teacher")["arms"]["teacher"]
    assert row["why_not"] == "B has teachers of several members, which are no single runs that could be paired"
    assert row["a"]
    assert not row["b"]


def test_without_an_interval_none_is_spoken_of(pair):
    a, b = pair("distill.T=2")
    fill(a, [80])
    fill(b, [81])
    about = compared(a, b)["arms"]["distilled"]["paired"]["about"]
    assert about.startswith("Without an interval nothing can be inferred about other seeds")


def told_of(mine, measure):
    """Write the summary of a verdict by this measure."""
    verdict = {"verdict": "inconclusive", "measure": measure}
    (mine.experiment.folder / "summary.json").write_text(json.dumps({"comparison": verdict}))


def measured(pair, of_a, of_b):
    """Return two experiments of the same scores, each with a verdict by its measure, if any."""
    both = pair("distill.T=2")
    for mine, measure in zip(both, (of_a, of_b), strict=True):
        fill(mine, [80, 82, 81])
        if measure:
            told_of(mine, measure)
    return both


def test_experiments_are_compared_by_the_measure_of_their_verdicts(pair):
    a, b = measured(pair, "nll", "nll")
    document = compared(a, b)
    assert document["measure"] == document["arms"]["distilled"]["paired"]["measure"] == "nll"
    assert document["warnings"] == compared(a, b)["warnings"]
    told_of(b, "accuracy")
    document = compared(a, b)
    assert document["measure"] == "accuracy"
    assert "The verdict of A is about NLL, that of B about accuracy: here they are compared by accuracy." in str(
        document["warnings"]
    )


def test_runs_that_an_early_version_scored_without_the_measure_are_left_out_by_name(pair):
    document = compared(*measured(pair, "macro_f1", "macro_f1"))
    assert document["arms"]["distilled"]["paired"] is None
    assert "was scored by an early version, without macro F1, and is left out: run `kdistill evaluate" in str(
        document["warnings"]
    )


def test_a_damaged_summary_is_told_and_the_config_says_the_measure(pair):
    document = compared(*measured(pair, "f2", None))
    assert document["measure"] == "accuracy"
    (warning,) = [each for each in document["warnings"] if "summary.json is damaged" in each]
    assert "comparison.measure: expected one of accuracy, nll, " in warning


def test_controls_that_one_of_the_two_has_are_compared_like_other_arms(tmp_path):
    a = Mine(tmp_path / "a", "controls=[pseudo, self, smoothed]")
    b = Mine(tmp_path / "b", "controls=[pseudo, self]", "distill.alpha=0.5")
    for arm in ("distilled", "pseudo", "self"):
        fill(a, [80, 82, 81], arm)
        fill(b, [83, 84, 86], arm)
    fill(a, [70, 71, 72], "smoothed")
    document = compare.compare(a.experiment.folder, b.experiment.folder)
    assert list(document["arms"]) == ["teacher", "baseline", "distilled", "smoothed", "pseudo", "self"]
    for arm in ("distilled", "pseudo", "self"):
        assert document["arms"][arm]["paired"]["difference"]["values"] == pytest.approx([0.03, 0.02, 0.05])
    assert document["arms"]["smoothed"]["why_not"] == "only A has scored runs"
    assert not [warning for warning in document["warnings"] if "left out" in warning]
    assert list(compare.compare(a.experiment.folder, b.experiment.folder, ["pseudo"])["arms"]) == ["pseudo"]
    assert "pseudo, B against A" in text(ledger.comparison(document), 80)
