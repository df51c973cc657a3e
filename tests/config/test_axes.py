"""Axes of a sweep: what is tried of each key, and every mistake told at the place where it was written."""

import pytest
from command_line import run

from kdistill import config as configs
from kdistill.config import axes
from kdistill.core.errors import ConfigError

BASE = configs.builtin_text("quickstart")
LINE = BASE.count("\n") + 1


def written(folder, text):
    path = folder / "mine.yaml"
    path.write_text(f"{BASE}{text}\n")
    return path


def settings(config, grid):
    return [chosen for chosen, _ in configs.cells(config, axes.of_options(grid))]


def test_every_combination_has_its_config_the_last_axis_varying_fastest():
    config = configs.load("quickstart", ["student.learning_rate=0.5"])
    made = configs.cells(config, axes.of_options(["distill.T=1, 4", "student.hidden=[8],[]", "student.conv=[4],[2]"]))
    assert [tuple(chosen.values()) for chosen, _ in made] == [
        (t, hidden, conv) for t in (1, 4) for hidden in ([8], []) for conv in ([4], [2])
    ]
    for chosen, cell in made:
        assert cell.distill.temperature == chosen["distill.temperature"]
        assert (list(cell.student.hidden), list(cell.student.conv)) == (
            chosen["student.hidden"],
            chosen["student.conv"],
        )
        assert cell.student.overrides() == config.student.overrides()
        assert cell.data == config.data


def test_values_may_be_valid_only_together():
    """`momentum` is read by sgd alone, so that each axis by itself would be refused."""
    config = configs.load("quickstart")
    assert len(settings(config, ["training.optimizer=sgd,rmsprop", "training.momentum=0.5,0.9"])) == 4
    with pytest.raises(ConfigError, match=r"^--grid training\.momentum=0\.5: training\.momentum: only optimizer sgd"):
        settings(config, ["training.optimizer=sgd,adam", "training.momentum=0.5"])


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("sweep: {distill.alpha: 0.5}", 9, "sweep.distill.alpha: expected a list of values to try, such as [0.5, 0.9]"),
        ("sweep: {distill.alpha: []}", 9, "sweep.distill.alpha: expected at least one value to try; received []"),
        ("sweep: [0.5]", 1, "sweep: expected a section of `key: value` lines; received [0.5]"),
        ("sweep: {distill.alhpa: [0.5]}", 9, "distill.alhpa: unknown key 'alhpa'; did you mean 'alpha'?"),
        ("sweep: {distil.alpha: [0.5]}", 9, "distil.alpha: unknown key 'distil'; did you mean 'distill'?"),
        ("sweep: {seed.x: [1]}", 9, "seed.x: seed is a single value, and has no keys"),
        ("sweep: {distill.alpha: [0.5, 7]}", 30, "distill.alpha: expected a number of at most 1; received 7"),
        ("sweep: {distill.T: [1, -2]}", 24, "distill.temperature: expected a number above 0; received -2"),
        ("sweep: {distill.alpha: [1, 1.0]}", 9, "distill.alpha: expected different values to try; received 1.0 twice"),
        ("sweep: {distill.T: [1], distill.temperature: [2]}", 9, "distill.T: temperature and T are the same key"),
        (
            "sweep: {seeds: [1, 2]}",
            9,
            "seeds: no run depends on this key; set the number of seeds of every cell with --seeds",
        ),
        ("sweep: {training.checkpoint_every: [1]}", 9, "training.checkpoint_every: no run depends on this key"),
        ("sweep: {expected.teacher: [0.1]}", 9, "expected.teacher: no run depends on this key"),
        (
            "sweep: {data.validation: [0.1, test]}",
            32,
            "data.validation: a sweep selects the winner on the validation split",
        ),
    ],
)
def test_a_bad_axis_in_a_file_is_an_error_of_that_file(tmp_path, text, column, problem):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        configs.load(path)
    assert raised.value.message.startswith(f"{path}:{LINE}:{column}: {problem}")
    assert f"{path}:{LINE}:{column}: {problem}" in run("config", "check", path, code=3).stderr
    assert run("reproduce", "-c", path, "--output-dir", tmp_path / "o", code=3)
    assert not (tmp_path / "o").exists()


def test_all_bad_values_are_told_at_once_each_once(tmp_path):
    bad = "distill.alpha: [0.1, 2]\n  distill.tee: [1]\n  student.hidden: [[4], [0]]\n  seed: [1, 2]"
    path = written(tmp_path, f"sweep:\n  {bad}\n  distill.T: [1, 2]")
    with pytest.raises(ConfigError) as raised:
        configs.load(path)
    places = [line.split(": ")[0].removeprefix(f"{path}:") for line in raised.value.message.splitlines()]
    assert [place.split(":")[0] for place in places] == [str(LINE + number) for number in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("overrides", "key", "why"),
    [
        (["training.epochs=3", "teacher.epochs=2", "student.epochs=2"], "training.epochs", "both override epochs"),
        (["distill.teachers=[/a.keras]"], "teacher.epochs", "distill.teachers names files"),
    ],
)
def test_a_key_that_nothing_reads_here_is_refused(overrides, key, why):
    with pytest.raises(ConfigError, match=f"no run depends on this key.*{why}"):
        settings(configs.load("quickstart", overrides), [f"{key}=4,5"])


def test_a_config_that_selects_on_test_may_have_axes_and_be_reproduced(tmp_path):
    path = written(tmp_path, "sweep: {distill.alpha: [0.5, 0.9]}")
    assert configs.load(path, ["data.validation=test"]).sweep == {"distill.alpha": [0.5, 0.9]}


def test_paths_to_try_are_meant_from_the_file_or_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    tried = "distill.teachers: [[a.keras, /b.keras]], student: [{hidden: [4]}, {model: c.keras}]"
    config = configs.load(written(tmp_path / "elsewhere", f"sweep: {{{tried}}}"))
    assert config.sweep["distill.teachers"] == [[str(tmp_path / "elsewhere/a.keras"), "/b.keras"]]
    assert config.sweep["student"][1] == {"model": str(tmp_path / "elsewhere/c.keras")}
    (_, cell), _ = configs.cells(config, axes.of_options(["student={model: d.keras},{hidden: [4]}"]))
    assert cell.student.model == str(tmp_path / "d.keras")


def test_a_long_option_is_shown_short():
    with pytest.raises(ConfigError) as raised:
        settings(configs.load("quickstart"), [f"distill.T={','.join(map(str, range(300)))}"])
    assert raised.value.message.startswith("--grid distill.T=0,1,2,3,")
    assert len(raised.value.message) < 150
