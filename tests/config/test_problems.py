"""Messages on configs: whatever the value or the key, the problem is told with the key as it was written."""

import command_line
import pytest

from kdistill import config as configs
from kdistill.config import problems
from kdistill.core.errors import ConfigError

SECTIONS = problems.keys_of(())
KEYS = [*SECTIONS, *(f"{section}.{key}" for section in SECTIONS for key in problems.keys_of((section,)))]
ITEMS = [f"distill.hints.{key}" for key in problems.keys_of(("distill", "hints", "0"))]
ITEMS += [f"distill.classes.{key}" for key in (*problems.keys_of(("distill", "classes")), "a", "null")]
VALUES = ["null", "true", "-1", "1000000", "0.5", "text", "''", ".nan", "2020-01-01"]
NESTED = ["[]", "{}", "[1]", "[[1]]", "[{}]", "[null]", "[1, 2, 3]", "[a, b]", "{a: 1}", "{1: 2}", "{null: 1}"]


def written(value):
    """Return a config in which every key has the same value."""
    sections = [
        f"{section}: {{{', '.join(f'{key}: {value}' for key in problems.keys_of((section,)))}}}\n"
        for section in SECTIONS
        if problems.keys_of((section,))
    ]
    others = [f"{key}: {value}\n" for key in SECTIONS if not problems.keys_of((key,))]
    return "".join([*others, *sections])


def key_of(line, value):
    """Return the key that a line `place: key: problem` is about, without the numbers of items."""
    _, rest = line.split(f"={value}: ", 1) if f"={value}: " in line else line.split(": ", 1)
    key = rest.split(": ")[0]
    return ".".join(part for part in key.split(".") if not part.isdigit())


def test_a_config_of_odd_values_is_refused_key_by_key(tmp_path, monkeypatch):
    """Of each value for all keys at once. A list for `checkpoint_every` was `AttributeError: model_fields` once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for number, value in enumerate([*VALUES, *NESTED]):
        (tmp_path / f"{number}.yaml").write_text(written(value))
        entry, *_ = command_line.document("config", "check", f"{number}.yaml", code=3)["configs"]
        named = {key_of(line, value) for line in entry["problems"]}
        assert {key for key in named if not key.startswith("sweep.")} <= {*KEYS, *ITEMS}, (value, named)
        assert len(named) > 5, value


@pytest.mark.parametrize(
    "value", [*NESTED[:2], *(pytest.param(each, marks=pytest.mark.campaign) for each in NESTED[2:])]
)
def test_a_list_or_section_in_place_of_any_value_is_told_with_its_key(value):
    """Each key by itself: with other problems in a config, keys that do not go together are not looked for."""
    for key in KEYS:
        problem = ""
        try:
            configs.load("quickstart", [f"{key}={value}"])
        except ConfigError as error:
            problem = error.message
        named = {key_of(line, value) for line in problem.splitlines()}
        assert named <= {key, *KEYS, *ITEMS, f"{key}.a", f"{key}.b", f"{key}.null"}, problem


@pytest.mark.parametrize("value", ["[]", "{}", "{a: 1}", "[1]"])
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("training.checkpoint_every", "auto, or a whole number of at least 1"),
        ("data.validation", "a share between 0 and 1, test or given"),
    ],
)
def test_a_key_of_several_kinds_of_values_has_one_problem(key, expected, value):
    received = value if value.startswith("[") else "a section"
    result = command_line.run(
        "config", "check", "quickstart", "--set", f"{key}={value}", code=3, env={"COLUMNS": "200"}
    )
    assert result.stderr.splitlines()[0] == (
        f"Error: --set {key}={value}: {key}: expected {expected}; received {received}"
    )


SINGLE = "is a single value, and has no keys"
TOGETHER = "are set together, such as"
OPTIONS = [
    ("data.dataset.x", f"data.dataset {SINGLE}"),
    ("teacher.0", "unknown key '0'; expected one of optimizer"),
    ("teacher.hidden.0", f"teacher.hidden {SINGLE}"),
    ("distill.temperature.T", f"distill.temperature {SINGLE}"),
    ("distill.T.x", "unknown key 'T'; did you mean 'temperature'?"),
    ("training.checkpoint_every.x", f"training.checkpoint_every {SINGLE}"),
    ("name.x", f"name {SINGLE}"),
    ("seed.0", f"seed {SINGLE}"),
    ("..", "unknown key ''; expected one of name"),
    ("data..x", "unknown key ''; expected one of dataset"),
    ("data.", "unknown key ''; expected one of dataset"),
    (".data", "unknown key ''; expected one of name"),
    ("", "expected section.key=value"),
    ("é.ü", "unknown key 'é'; expected one of name"),
    ("data.é", "unknown key 'é'; expected one of dataset"),
    ("x" * 10_000, "unknown key 'xxxx"),
    (".".join("a" * 2000), "unknown key 'a'; expected one of name"),
    ("sweep.distill.temperature", f"the keys of sweep {TOGETHER} sweep={{distill.temperature: [2, 4]}}"),
    ("data.class_weights.a.b", f"the keys of data.class_weights {TOGETHER} data.class_weights={{cat: 5}}"),
]


@pytest.mark.parametrize("option", ["--set", "--grid"])
@pytest.mark.parametrize(("key", "problem"), OPTIONS, ids=range(len(OPTIONS)))
def test_an_option_with_an_odd_key_is_refused_by_its_name(option, key, problem, tmp_path):
    command = ["config", "check", "quickstart"] if option == "--set" else ["sweep", "--output-dir", tmp_path]
    result = command_line.run(*command, option, f"{key}=1", code=3, env={"COLUMNS": "400"})
    told = " ".join(result.stderr.split())
    assert told.startswith(f"Error: {option} {key[:60]}")
    assert problem in told
    assert len(told.split(": ")[1]) < 120  # the option is named in short, whatever was typed


def test_class_weights_by_options():
    weights = configs.load("quickstart", ["data.class_weights.3=5", "data.class_weights.4=2"]).data.class_weights
    assert weights == {"3": 5, "4": 2}
