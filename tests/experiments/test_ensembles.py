"""A teacher of several members, through the command line, against float64 NumPy and other commands."""

import json

import numpy as np
import pytest
from command_line import document, run
from heard import Heard
from scipy.special import softmax
from small_experiment import SET, session

from kdistill import config as configs
from kdistill.evaluation import predict
from kdistill.experiments.reproduce import reproduce
from kdistill.experiments.workers import Scale
from kdistill.recipes import make
from kdistill.runs import Experiment, differences, joint_identity, judge, run_at, specification

MEMBERS = ["--set", "teacher.members=2"]
SIZES = ("parameters", "file_bytes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An experiment of two seeds that share one teacher of two members."""
    place = tmp_path_factory.mktemp("ensemble")
    run("reproduce", *SET, *MEMBERS, "--seeds", 2, "--teacher-seeds", 1, "--workers", 1, "--output-dir", place)
    return place


@pytest.fixture(scope="module")
def experiment(folder):
    return Experiment(folder / "quickstart")


@pytest.fixture(scope="module")
def summary(experiment):
    return json.loads((experiment.folder / "summary.json").read_text())


def kept(of):
    return np.load(of.folder / "outputs.npz")["logits"].astype(np.float64)


def test_the_teacher_is_the_mean_probability_of_its_members(experiment, summary, folder):
    own = session(folder)
    each = [experiment.run(name, 0) for name in ("teacher", "teacher-2")]
    labels = own.splits.test.all_labels
    mean = np.mean([softmax(kept(member), axis=-1) for member in each], axis=0)
    teacher = summary["arms"]["teacher"]
    assert teacher["accuracy"]["values"] == [pytest.approx((mean.argmax(-1) == labels).mean())]
    nll = -np.log(mean[np.arange(len(labels)), labels]).mean()
    assert teacher["nll"]["values"] == [pytest.approx(nll)]
    for size in SIZES:
        assert teacher[size] == sum(member.result[size] for member in each)
    student = softmax(kept(experiment.run("distilled", 1)), axis=-1)
    agreement = (student.argmax(-1) == mean.argmax(-1)).mean()
    assert summary["arms"]["distilled"]["agreement"]["values"][1] == pytest.approx(agreement)


def test_each_member_is_shown_by_itself(experiment, summary):
    assert [(row["seed"], row["member"]) for row in summary["members"]] == [(0, "teacher"), (0, "teacher-2")]
    for row in summary["members"]:
        scored = json.loads((experiment.run(row["member"], 0).folder / "test.json").read_text())["scores"]
        assert {key: row[key] for key in scored} == scored
    assert len({row["nll"] for row in summary["members"]}) == 2


def test_a_member_is_the_teacher_of_its_seed(experiment, tmp_path):
    made = document("train-teacher", *SET, "--seed", 1_000_000, "--output-dir", tmp_path)
    member = experiment.run("teacher-2", 0)
    assert member.manifest["seed"] == 1_000_000
    assert made["weights_sha256"] == member.weights != experiment.run("teacher", 0).weights
    alone = Experiment(tmp_path / "quickstart").run("teacher", 1_000_000)
    assert member.manifest["spec"] == alone.manifest["spec"]


def test_the_student_is_that_of_its_members_as_files(experiment, tmp_path):
    files = [experiment.run(name, 0).model_file for name in ("teacher-2", "teacher")]
    own = session(tmp_path, listener=Heard(), teacher_files=files)
    result = make.make(own, "distilled", 1)
    taught = experiment.run("distilled", 1)
    assert result["weights_sha256"] == taught.weights
    assert result["teacher_validation"] == taught.result["teacher_validation"]
    assert result["formula"] == taught.result["formula"]
    assert "mean of 2 softmax(teacher/4)" in result["formula"]
    assert taught.taught_by == joint_identity(experiment.run(name, 0).weights for name in ("teacher", "teacher-2"))


def test_all_seeds_share_a_teacher_of_one_seed(experiment):
    assert {path.name for path in experiment.folder.glob("seed-*/teacher*")} == {"teacher", "teacher-2"}
    assert experiment.run("distilled", 0).taught_by == experiment.run("distilled", 1).taught_by


def test_the_same_command_again_does_nothing_and_says_the_same(folder, experiment, summary, monkeypatch):
    monkeypatch.setattr(predict, "logits", None)  # nothing is computed either
    again = document(
        "reproduce", *SET, *MEMBERS, "--seeds", 2, "--teacher-seeds", 1, "--workers", 1, "--output-dir", folder
    )
    assert {key: again[key] for key in again if key != "run_info"} == {
        key: summary[key] for key in summary if key not in ("run_info", "sha256", "seal") and key in again
    }


def test_runs_ls_shows_every_member(folder):
    (found,) = document("runs", "ls", "--output-dir", folder)["experiments"]
    rows = [(row["arm"], row["seed"], row["state"]) for row in found["runs"]]
    assert rows[:3] == [("teacher", 0, "complete"), ("teacher-2", 0, "complete"), ("baseline", 0, "complete")]
    assert "teacher-2 seed 0" in run("runs", "ls", "quickstart", "--output-dir", folder).stdout
    assert "2 complete (seed 0)" in run("runs", "ls", "--output-dir", folder).stdout


def test_evaluate_scores_the_ensemble_and_its_members(folder, summary):
    found = document("evaluate", *SET, *MEMBERS, "--output-dir", folder)
    assert list(found["arms"]) == ["teacher", "baseline", "distilled"]
    assert [found["arms"]["teacher"]["accuracy"]] == summary["arms"]["teacher"]["accuracy"]["values"]
    assert [row["nll"] for row in found["arms"]["teacher"]["members"]] == [row["nll"] for row in summary["members"]]
    assert "of the 2 teachers' parameters" in found["headline"]


def test_the_page_and_v_have_a_table_of_members(folder, experiment, summary, few_pictures):
    verbose = run(
        "reproduce", *SET, *MEMBERS, "--seeds", 2, "--teacher-seeds", 1, "--workers", 1, "--output-dir", folder, "-v"
    ).stdout
    assert "The members of the teacher, each by itself" in verbose
    run("report", experiment.folder)
    page, text = ((experiment.folder / name).read_text() for name in ("report.html", "report.md"))
    for row in summary["members"]:
        assert f"| {row['member']} | 0 | {row['accuracy']:.4f} | {row['nll']:.4f} |" in text
        assert f'<th scope="row">{row["member"]}</th><td>0</td><td class="score">{row["accuracy"]:.4f}</td>' in page
    assert "--seeds 0,1 --teacher-seeds 0," in text
    assert "--teacher " not in text


def test_growing_an_ensemble_keeps_the_first_teacher(tmp_path):
    one = session(tmp_path, listener=Heard())
    first = make.make(one, "teacher", 0)
    heard = Heard()
    many = session(tmp_path, "teacher.members=2", listener=heard)
    assert make.make(many, "teacher", 0)["weights_sha256"] == first["weights_sha256"]
    assert any("complete, reused" in note for note in heard.notes)


def test_an_ensemble_that_is_not_whole_teaches_and_scores_nothing(tmp_path):
    place = [*SET, *MEMBERS, "--output-dir", tmp_path]
    run("train-teacher", *SET, "--output-dir", tmp_path)
    assert "teacher-2: distill needs a finished teacher" in run("distill", *place, code=4).stderr
    found = run("evaluate", *place)
    assert "1 of 2 members are finished" in found.stderr


def test_train_teacher_trains_all_members_and_scores_them_together(tmp_path):
    found = document("train-teacher", *SET, *MEMBERS, "--output-dir", tmp_path)
    assert [row["member"] for row in found["members"]] == ["teacher", "teacher-2"]
    assert found["parameters"] == sum(row["parameters"] for row in found["members"])
    accuracies = [row["validation"]["accuracy"] for row in found["members"]]
    assert found["validation"]["accuracy"] not in accuracies
    shown = run("train-teacher", *SET, *MEMBERS, "--output-dir", tmp_path).stdout
    assert "teacher, together" in shown


def test_each_split_is_computed_once_for_each_member(tmp_path, monkeypatch):
    passes, compute = [], predict.logits

    def counted(predictor, split):
        passes.append((id(predictor), len(split)))
        return compute(predictor, split)

    monkeypatch.setattr(predict, "logits", counted)
    own = session(tmp_path, "teacher.members=3", listener=Heard())
    reproduce(own, [0, 1], [0], Scale(workers=1))
    parts = {len(getattr(own.splits, part)): part for part in ("train", "validation", "test")}
    counts = {part: sum(parts[size] == part for _, size in passes) for part in parts.values()}
    models = 3 + 2 * 2
    # Besides, each run scores itself on validation, after its epoch and at its end, and on test.
    assert counts == {"train": 3, "validation": 3 + 2 * models, "test": models}


def test_members_are_no_part_of_an_identity_and_left_out_of_a_config_by_default():
    plain, many = configs.load("quickstart"), configs.load("quickstart", ["teacher.members=3"])
    for arm in ("teacher", "baseline"):
        assert specification(plain, arm, 0) == specification(many, arm, 0)
    assert "members" not in configs.resolved(plain)["teacher"]
    assert configs.resolved(many)["teacher"]["members"] == 3
    before, now = (specification(plain, "distilled", 0, of) for of in ("a" * 64, f"{'a' * 64} + {'b' * 64}"))
    assert differences(before, now) == ["teachers: were 1, are now 2"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["teacher.members=0"], "teacher.members: expected a number of at least 1; received 0"),
        (["teacher.members=101"], "teacher.members: expected a number of at most 100; received 101"),
        (["teacher.members=true"], "teacher.members: expected a whole number; received true"),
        (["teacher.members=2.5"], "teacher.members: expected a whole number; received 2.5"),
        (["teacher.members=2", "distill.teachers=[a.keras]"], "teacher.members: members are trained here"),
        (["teacher.members=2", "teacher.hidden=[]"], "teacher"),
    ],
)
def test_members_that_cannot_be_are_refused_in_one_message(tmp_path, overrides, message):
    given = [part for override in overrides for part in ("--set", override)]
    found = run("reproduce", *given, "--output-dir", tmp_path / "runs", code=3)
    assert message in found.stderr
    assert not (tmp_path / "runs").exists()


def test_members_of_a_teacher_file_are_refused(folder, experiment, tmp_path):
    file = experiment.run("teacher", 0).model_file
    for command in ("distill", "reproduce", "sweep"):
        found = run(command, *SET, *MEMBERS, "--teacher", file, "--output-dir", tmp_path / "runs", code=3)
        assert "teacher.members: members are trained here" in found.stderr
    assert not (tmp_path / "runs").exists()


def test_a_sweep_over_the_number_of_members_shares_the_first(tmp_path):
    grid = ["--grid", "teacher.members=1,2", "--seeds", 1, "--workers", 1]
    found = document("sweep", *SET, *grid, "--output-dir", tmp_path)
    assert [cell["set"] for cell in found["cells"]] == [{"teacher.members": 1}, {"teacher.members": 2}]
    scores = [cell["validation"]["nll"]["mean"] for cell in found["cells"]]
    assert scores[0] != scores[1]
    own = tmp_path / "quickstart" / "seed-0"
    assert {path.name for path in own.iterdir() if path.is_dir()} == {"teacher", "teacher-2", "baseline"}
    planned = document("sweep", *SET, *grid, "--output-dir", tmp_path, "--dry-run")
    assert planned["teachers"] == 2
    assert {row["state"] for row in planned["runs"]} == {"complete"}


def test_a_plan_has_every_member(tmp_path):
    found = document("reproduce", *SET, *MEMBERS, "--seeds", 1, "--output-dir", tmp_path, "--dry-run")
    assert [row["arm"] for row in found["runs"]] == ["teacher", "teacher-2", "baseline", "distilled"]
    assert "mean of 2" in found["formula"]


def test_what_can_be_done_with_a_member_is_said(experiment, folder, tmp_path):
    member = experiment.run("teacher-2", 0).folder
    np.save(tmp_path / "x.npy", np.zeros((1, 8, 8), np.float32))
    found = run("predict", member, tmp_path / "x.npy")
    assert "one member of a teacher of several" in " ".join(found.stderr.split())
    assert "one member" not in run("predict", experiment.run("distilled", 0).folder, tmp_path / "x.npy").stderr
    assert judge(run_at(member.parent, "teacher-2", 0)).counts


@pytest.mark.slow
def test_members_are_the_same_whoever_trains_them(experiment, summary, tmp_path):
    """On a pool of processes, as in one."""
    run("reproduce", *SET, *MEMBERS, "--seeds", 2, "--teacher-seeds", 1, "--workers", 2, "--output-dir", tmp_path)
    other = json.loads((tmp_path / "quickstart" / "summary.json").read_text())
    assert other["members"] == summary["members"]
    assert other["arms"] == summary["arms"]
