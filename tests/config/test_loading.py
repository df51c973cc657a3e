"""Finding a config, overriding it, and writing it down again."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import ROOT

from kdistill import config as configs
from kdistill.config import loading
from kdistill.core.errors import ConfigError

SHIPPED = sorted((ROOT / "configs").rglob("*.yaml"), key=lambda path: path.stem)


def test_four_configs_are_shipped():
    assert {path.stem for path in SHIPPED} >= {"quickstart", "article", "article-github", "fashion-mnist"}
    assert configs.builtin_names() == [path.stem for path in SHIPPED]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_are_valid_and_have_a_manual(path):
    config = configs.load(path)
    assert config == configs.load(path.stem)
    assert config.name == path.stem
    header = path.read_text().split("\nname:")[0]
    assert f"kdistill reproduce -c {path.stem}" in header or path.stem == "quickstart"
    assert len(configs.summaries()) == len(SHIPPED)


def test_the_article_to_the_letter():
    config = configs.load("article")
    assert (config.distill.temperature, config.distill.teacher_temperature) == (2.0, 3.0)
    assert (config.distill.alpha, config.distill.scale_by_t_squared) == (0.9, False)
    assert (config.teacher.hidden, config.student.hidden) == ((128, 128, 128), (128,))
    assert (config.training_for("teacher").patience, config.training_for("student").patience) == (10, 20)
    assert (config.training.batch_size, config.training.epochs, config.data.validation) == (32, 500, "test")
    assert config.expected.model_dump() == {"teacher": 0.8682, "distilled": 0.8365, "baseline": 0.8302}


def test_the_default_is_quickstart():
    assert configs.load().name == "quickstart"


def test_a_file_without_a_name_is_called_after_itself(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("teacher: {hidden: [8]}\nstudent: {hidden: [4]}\n")
    assert configs.load(path).name == "mine"


def test_a_file_in_the_working_directory_may_lack_a_suffix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text("teacher: {hidden: [8]}\nstudent: {hidden: [4]}\n")
    assert configs.load("mine").name == "mine"


def test_overrides_apply_in_order_and_flags_win():
    config = configs.load("quickstart", ["seed=5", "distill.T=3", "distill.temperature=8", "seed=6"], seed=7)
    assert config.distill.temperature == 8
    assert config.seed == 7


def test_a_section_can_be_set_at_once():
    config = configs.load("quickstart", ["student={hidden: [3, 2], dropout: 0.5}"])
    assert (config.student.hidden, config.student.dropout) == ((3, 2), 0.5)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("distill.temprature=3", r"--set distill\.temprature=3: .*did you mean 'temperature'\?"),
        ("temperature=3", r"unknown key 'temperature' here; did you mean distill\.temperature\?"),
        ("T=3", r"did you mean distill\.temperature\?"),
        ("distil.T=3", r"unknown key 'distil'; did you mean 'distill'\?"),
        ("training.seed=3", "unknown key 'seed' here; did you mean seed"),
        ("teacher.hidden", r"expected section\.key=value"),
        ("=3", r"expected section\.key=value"),
        ("teacher.hidden=[1", "--set teacher"),
        ("distill.alpha=2", r"--set distill\.alpha=2: distill\.alpha: expected a number of at most 1; received 2"),
    ],
)
def test_bad_overrides_are_named_as_they_were_written(override, message):
    with pytest.raises(ConfigError, match=message):
        configs.load("quickstart", [override])


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("seed: true\nstudent: {hidden: [4], dropuot: 0.1}\ntraining: {momentum: 3, epochs: 0}\n")
    with pytest.raises(ConfigError) as raised:
        configs.load(path)
    assert raised.value.message.splitlines() == [
        f"{path}:1:1: seed: expected a whole number; received true",
        f"{path}:2:24: student.dropuot: unknown key 'dropuot'; did you mean 'dropout'?",
        f"{path}:3:12: training.momentum: expected a number below 1; received 3",
        f"{path}:3:25: training.epochs: expected a number of at least 1; received 0",
    ]


def test_t_and_temperature_together_are_refused(tmp_path):
    path = tmp_path / "both.yaml"
    path.write_text("teacher: {hidden: [8]}\nstudent: {hidden: [4]}\ndistill: {T: 2, temperature: 3}\n")
    with pytest.raises(ConfigError, match="the same key"):
        configs.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such config file"), (b"\x80\x81\xff", "UTF-8"), (b"", "empty"), (b"a: \x00", "not YAML text")],
)
def test_files_that_are_no_configs(tmp_path, content, message):
    path = tmp_path / "c.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        configs.load(path)


def test_a_folder_and_an_unreadable_file_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="this is a folder"):
        configs.load(tmp_path)
    path = tmp_path / "c.yaml"
    path.write_text("a: 1")
    denied = PermissionError(13, "Permission denied")
    monkeypatch.setattr(loading, "_read", lambda *arguments: (_ for _ in ()).throw(denied))
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        configs.load(path)


def test_an_unknown_built_in_name_suggests_a_known_one():
    with pytest.raises(ConfigError, match="did you mean 'article-github'") as raised:
        configs.load("article-githup")
    assert "quickstart" in raised.value.hint


def test_installed_configs_come_before_the_checkouts(tmp_path, monkeypatch):
    (tmp_path / "_configs").mkdir()
    (tmp_path / "_configs" / "mine.yaml").write_text("# Mine.\n")
    monkeypatch.setattr(loading.resources, "files", lambda package: tmp_path)
    assert configs.summaries() == [{"name": "mine", "summary": "Mine."}]


arms = st.fixed_dictionaries(
    {"hidden": st.lists(st.integers(1, 9), min_size=1, max_size=3)},
    optional={
        "dropout": st.floats(0, 0.9),
        "patience": st.none() | st.integers(1, 9),
        "optimizer": st.sampled_from(["adam", "sgd"]),
        "activation": st.sampled_from(["relu", "tanh"]),
        "max_norm": st.none() | st.floats(0.1, 9),
    },
)
whole = st.fixed_dictionaries(
    {"teacher": arms, "student": arms, "name": st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}", fullmatch=True)},
    optional={
        "seed": st.integers(0, 2**31 - 1),
        "distill": st.fixed_dictionaries({}, optional={"temperature": st.floats(0.1, 99), "alpha": st.floats(0, 1)}),
        "data": st.fixed_dictionaries({}, optional={"validation": st.just("test") | st.floats(0.01, 0.9)}),
        "training": st.sampled_from(
            [{}, {"schedule": "cosine", "decay_steps": 7}, {"optimizer": "adamw", "patience": None}]
        ),
    },
)


@settings(max_examples=60)
@given(whole)
def test_a_dumped_config_loads_to_an_equal_one(values):
    config = configs.Config.model_validate(values)
    text = configs.dump(config)
    again = loading._check(*loading.yamltext.read(text, "dumped.yaml"))
    assert again == config
    assert configs.dump(again) == text
    for role in ("teacher", "student"):
        assert again.training_for(role) == config.training_for(role)


def test_the_schema_knows_every_section():
    schema = configs.json_schema()
    assert set(schema["required"]) == {"student"}  # a teacher may come from elsewhere
    assert schema["additionalProperties"] is False
    assert schema["properties"]["teacher"]["description"]


def test_a_relative_data_dir_is_meant_from_where_it_is_written(tmp_path, monkeypatch):
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "mine.yaml").write_text("teacher: {hidden: [8]}\nstudent: {hidden: [4]}\ndata: {dir: ../mine}\n")
    monkeypatch.chdir(tmp_path)
    assert Path(configs.load("configs/mine.yaml").data.dir).resolve() == tmp_path / "mine"
    assert configs.load("configs/mine.yaml", ["data.dir=here"]).data.dir == str(tmp_path / "here")
    assert configs.load("configs/mine.yaml", ["data.dir=/there"]).data.dir == "/there"
    assert configs.load("configs/mine.yaml", ["data.dir=null"]).data.dir is None
    assert configs.load("quickstart", ["data.dir=here"]).data.dir == str(tmp_path / "here")


def test_a_model_file_is_meant_from_where_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    text = "teacher: {model: big.keras}\nstudent: {model: /there/small.keras}\n"
    (tmp_path / "configs" / "mine.yaml").write_text(text)
    config = configs.load("configs/mine.yaml")
    assert config.teacher.model == str(tmp_path / "configs" / "big.keras")
    assert config.student.model == "/there/small.keras"
    assert configs.load("configs/mine.yaml", ["student.model=my.keras"]).student.model == str(tmp_path / "my.keras")
    (tmp_path / "again.yaml").write_text(configs.dump(config))
    assert configs.load("again.yaml").teacher == config.teacher


@pytest.mark.parametrize(
    "student",
    [
        "{conv: [4, 5], pool: null, separable: true, dropout: 0.1}",
        "{conv: [4], hidden: [3], batch_norm: true, epochs: 3}",
        "{model: /there/my.keras}",
        "{model: /there/my.keras, initial_weights: file, patience: null}",
    ],
)
def test_every_kind_of_model_resolves_to_a_config_that_loads_to_the_same(tmp_path, student):
    config = configs.load("quickstart", [f"student={student}"])
    (tmp_path / "again.yaml").write_text(configs.dump(config))
    again = configs.load(tmp_path / "again.yaml")
    assert again.student.architecture() == config.student.architecture()
    assert again.training_for("student") == config.training_for("student")
    assert configs.dump(again) == configs.dump(config)


def test_so_is_the_path_of_own_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    text = "data: {dataset: npz, path: ../mine.npz}\nteacher: {hidden: [2]}\nstudent: {hidden: [2]}\n"
    (tmp_path / "configs" / "mine.yaml").write_text(text)
    assert Path(configs.load("configs/mine.yaml").data.path).resolve() == tmp_path / "mine.npz"
    assert configs.load("configs/mine.yaml", ["data.path=a.npz"]).data.path == str(tmp_path / "a.npz")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert configs.load("configs/mine.yaml", ["data.path=~/a.npz"]).data.path == str(tmp_path / "home" / "a.npz")


@pytest.mark.parametrize("source", ["", "  "])
def test_an_empty_name_is_not_the_default(source):
    with pytest.raises(ConfigError, match="expected a config file or the name"):
        configs.load(source)


def test_a_problem_is_not_told_twice(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text('teacher: {hidden: [1.5, "a"]}\nstudent: {hiden: [4]}\n')
    with pytest.raises(ConfigError) as refused:
        configs.load(path)
    assert [line.split(": ", 1)[1] for line in refused.value.message.splitlines()] == [
        "teacher.hidden.0: expected a whole number; received 1.5",
        "teacher.hidden.1: expected a whole number; received 'a'",
        "student.hiden: unknown key 'hiden'; did you mean 'hidden'?",
    ]


def test_a_pipe_or_a_device_is_no_config(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", "/dev/zero", "/dev/null"):
        with pytest.raises(ConfigError, match="this is a pipe or a device"):
            configs.load(path)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing
    with pytest.raises(ConfigError, match="at most 200,000 bytes"):
        configs.load(path)


@pytest.mark.parametrize(
    "piece", ["[", "- ", "a: {b: ", "? ", "&a [*a, ", "- a\n", "'", "x: !!python/object:os.system\n"]
)
def test_the_longest_text_of_anything_is_judged(tmp_path, piece):
    """In a time that grows with its length: with its square, it would come to the limit of a test that hangs."""
    path = tmp_path / "long.yaml"
    path.write_text(piece * (199_000 // len(piece)))
    with pytest.raises(ConfigError):
        configs.load(path)


def test_paths_of_teachers_are_meant_from_the_file_or_from_here(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "c.yaml"
    path.write_text("teacher: {hidden: [4]}\nstudent: {hidden: [2]}\ndistill: {teachers: [a.keras, /b.keras]}\n")
    monkeypatch.chdir(tmp_path)
    assert configs.load(path).distill.teachers == (str(tmp_path / "sub/a.keras"), "/b.keras")
    assert configs.load(path, ["distill.teachers=[a.keras]"]).distill.teachers == (str(tmp_path / "a.keras"),)
    with pytest.raises(ConfigError, match=r"distill.teachers: expected a list of paths.*received 'a.keras'"):
        configs.load(path, ["distill.teachers=a.keras"])


def test_what_is_given_for_teachers_and_images_is_resolved_and_its_absence_too(tmp_path):
    overrides = ["distill.teachers=[/a.keras]", "teacher.preprocessing=signed", "augmentation={shift: 2, crop: 1}"]
    for chosen in ([], overrides):
        config = configs.load("quickstart", chosen)
        path = tmp_path / "quickstart.yaml"
        path.write_text(configs.dump(config))
        assert configs.load(path) == config
        assert bool(chosen) == ("augmentation" in path.read_text()) == ("preprocessing" in path.read_text())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my config (1).yaml", "my-config-1"),
        ("café.yaml", "caf"),
        (".hidden.yaml", "hidden"),
        ("日本.yaml", "experiment"),
        ("v1.2_a-b.yaml", "v1.2_a-b"),
        (f"{'x' * 120}.yaml", "x" * 100),
    ],
)
def test_a_name_is_made_of_the_files(tmp_path, file, name):
    (tmp_path / file).write_text("teacher: {hidden: [8]}\nstudent: {hidden: [4]}\n", encoding="utf-8")
    assert configs.load(str(tmp_path / file)).name == name


def test_a_whole_number_without_quotes_is_text_where_text_is_expected(tmp_path):
    (tmp_path / "a.yaml").write_text("name: 2024\nteacher: {hidden: [8]}\nstudent: {hidden: [4]}\n")
    assert configs.load(str(tmp_path / "a.yaml")).name == "2024"
    for value in ("1.5", "true", "[1]"):
        with pytest.raises(ConfigError, match="name: expected text; received"):
            configs.load(str(tmp_path / "a.yaml"), [f"name={value}"])


OWN = """
teacher: {hidden: [8], epochs: 40, learning_rate: 0.01}
student: {hidden: [4]}
training: {epochs: 60, learning_rate: 0.01}
"""


@pytest.mark.parametrize(
    ("overrides", "unreached"),
    [
        (["training.epochs=5"], ["teacher.epochs to 40"]),
        (["training.epochs=5", "teacher.epochs=5"], []),
        (["training.epochs=40"], []),
        (["training.batch_size=5"], []),
        (["teacher.epochs=5", "student.epochs=3"], []),
        (["training.epochs=5", "teacher={hidden: [2], epochs: 3}"], []),
        (
            ["training.epochs=5", "training.learning_rate=1", "training.epochs=6"],
            ["teacher.epochs", "learning_rate to"],
        ),
    ],
)
def test_an_override_that_does_not_reach_a_model_is_said(tmp_path, overrides, unreached):
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    found = configs.unreached(configs.load(path, overrides), overrides)
    assert len(found) == len(unreached)
    assert all(part in text for part, text in zip(unreached, found, strict=True))


def test_the_value_that_stays_is_named(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    assert configs.unreached(configs.load(path, ["training.epochs=5"]), ["training.epochs=5"]) == [
        "--set training.epochs does not reach the teacher: the config sets teacher.epochs to 40, which stays. Set that "
        "too to change it."
    ]
