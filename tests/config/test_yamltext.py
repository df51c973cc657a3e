"""YAML text: what each word means, where it stands, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdistill.config import yamltext
from kdistill.core.errors import ConfigError


def value(text):
    return yamltext.read_value(text, "x.yaml")[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-2.5e+1", -25.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("42", 42),
        ("-7", -7),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("012", "012"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        (".inf", ".inf"),
        ("'1e-3'", "1e-3"),
    ],
)
def test_words_mean_what_they_look_like(text, expected):
    read = value(text)
    assert read == expected
    assert type(read) is type(expected)


def test_every_key_and_value_has_a_place():
    _, marks = yamltext.read("a: 1\nb:\n  c: [x, y]\n", "f.yaml")
    assert marks[("a",)] == "f.yaml:1:1"
    assert marks[("b", "c")] == "f.yaml:2:3".replace("2:3", "3:3")
    assert marks[("b", "c", 1)] == "f.yaml:3:10"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("[1, 2]", "expected `key: value` lines"),
        ("word", "expected `key: value` lines; received 'word'"),
        ("a: 1\nb: 2\na: 3\n", r"f\.yaml:3:1: duplicate key 'a' \(first on line 1\)"),
        ("a: {b: 1, b: 2}", "duplicate key 'b'"),
        ("a: [1,\n", r"f\.yaml:2:1: "),
        ("a:\n\tb: 1\n", r"f\.yaml:2:1: .*cannot start any token"),
        ("a: 1\n---\nb: 2\n", "another document"),
        ("base: &b {a: 1}\nc: {<<: *b}", "merge keys"),
        ("{[1]: 2}", "expected a word as a key"),
        ("a: !!set {x}", "expected a plain value"),
        ("a: !!python/object/apply:os.system ['touch canary']", "expected a plain value"),
        ("a: !!int x", "cannot read 'x'"),
        ("a: *missing", "undefined alias"),
        ("a: \x00", "not YAML text"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: &a [*a]", "nested too deeply|unconstructable|recursive"),
        ("a: " + "x" * 2_000_000, "at most 200,000 bytes"),
        ("a: [" + "1," * 30_000 + "]", "at most 20,000 values"),
    ],
)
def test_what_cannot_be_a_config_is_refused_with_its_place(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        yamltext.read(text, "f.yaml")
    assert not (tmp_path / "canary").exists()


def test_an_alias_bomb_is_refused_quickly():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="at most 20,000 values"):
        yamltext.read("\n".join(lines), "bomb.yaml")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    problem = None
    try:
        read = yamltext.read(text, "f.yaml")
    except ConfigError as error:
        problem = error.message
    assert problem.startswith("f.yaml") if problem else isinstance(read[0], dict)


@pytest.mark.parametrize(
    ("received", "text"), [(None, "nothing"), (True, "true"), ({}, "a section"), ("x", "'x'"), (2.5, "2.5")]
)
def test_values_are_shown_in_yamls_words(received, text):
    assert yamltext.shown(received) == text


def test_a_long_value_is_shown_short():
    assert len(yamltext.shown("x" * 500)) == 60
