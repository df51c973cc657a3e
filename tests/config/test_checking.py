"""`config check` tells every problem at once, and only what is one."""

import pytest
from command_line import document, run

from kdistill.config import checking

BAD = """\
name: x y
data: {dataset: npz, path: gone.npz, label: z, vocabulary: 3, lr: 3}
teacher: {hidden: [4], kernel: 5, model: big.keras}
student: {hiden: [3]}
distill: {alpha: 2, teachers: [nothere.keras, here.keras]}
training: {momentum: 0.9, epochs: 0}
sweep: {distill.alpha: [], distill.x: [1]}
"""


def keys(lines):
    """Return the key of each line `place: key: problem`."""
    return [line.split(": ")[1] for line in lines]


@pytest.fixture
def config(tmp_path):
    def write(text):
        (tmp_path / "mine.yaml").write_text(text)
        return str(tmp_path / "mine.yaml")

    return write


def test_problems_of_all_sections_are_told_and_files_that_are_missing(config, tmp_path):
    (tmp_path / "here.keras").touch()
    made, lines = checking.check(config(BAD))
    assert made is None
    assert keys(lines) == [
        "name",
        "data.path",
        "data.label",
        "data.vocabulary",
        "data.lr",
        "teacher.hidden",
        "teacher.kernel",
        "teacher.model",
        "student.hiden",
        "distill.alpha",
        "distill.teachers",
        "training.epochs",
        "sweep.distill.alpha",
        "distill.x",
    ]
    assert str(tmp_path / "nothere.keras") in lines[10]
    assert "mine.yaml:2:" in lines[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("student: {hidden: [3]}\ndata: {datset: npz, path: gone}", ["data.datset", "data.path"]),
        ("student: {hidden: [3]}\ndata: {dataset: npzz, path: /, label: x}", ["data.dataset"]),
        ("student: {hiden: [3]}", ["student.hiden"]),
        ("student: {}", ["student.hidden"]),
        ("student: 3\ntraining: {optimizer: sgd, amsgrad: true}", ["student", "training.amsgrad"]),
        ("student: {hidden: [a]}\ndata: {dataset: csv, path: /}", ["student.hidden.0", "data.label"]),
        ("data: {dataset: csv}\nstudent: {hidden: [3]}", ["data.path", "data.label"]),
    ],
)
def test_what_only_follows_from_a_problem_is_not_told(config, text, expected):
    assert sorted(keys(checking.check(config(text))[1])) == sorted(expected)


def test_overrides_are_checked_one_by_one(config):
    path = config("student: {hidden: [3]}")
    _, lines = checking.check(path, ["nonsense", "traning.x=1", "distill.alpha=3", "seed=5"])
    assert len(lines) == 3
    assert all(line.startswith("--set ") for line in lines)
    made, lines = checking.check(path, ["seed=5"])
    assert made is not None
    assert (made.seed, lines) == (5, [])


def test_a_config_that_cannot_be_read_has_one_problem(config, tmp_path):
    assert len(checking.check(config("a: [1"))[1]) == 1
    assert len(checking.check(str(tmp_path / "none.yaml"))[1]) == 1


def test_the_command_lists_them_and_fails(config):
    path = config("data: {dataset: npz, path: gone.npz}\nstudent: {hidden: [0]}")
    result = run("config", "check", path, "quickstart", code=3)
    assert "gone.npz" in result.stderr
    assert "student.hidden" in result.stderr
    first, second = document("config", "check", path, "quickstart", code=3)["configs"]
    assert (first["valid"], len(first["problems"]), second["valid"]) == (False, 2, True)
