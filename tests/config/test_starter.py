"""The starter: every key, a comment on each, valid as it is and with what is commented out where it has an effect."""

import re

import pytest
import yaml

from kdistill import config as configs
from kdistill.config.data_schema import DATA_READERS
from kdistill.config.distill_schema import DISTILL_READERS
from kdistill.config.schema import Config, Model
from kdistill.config.section import Section
from kdistill.config.training_schema import READERS, TrainingKeys


def section_keys():
    for name, field in Config.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            own = set(kind.model_fields) - (set(TrainingKeys.model_fields) if issubclass(kind, Model) else set())
            yield from ((name, key) for key in own)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "my-first.yaml"
    path.write_text(configs.starter_text(str(path)))
    return path


def test_it_is_valid_and_named_after_its_file(written):
    assert configs.load(written).name == "my-first"


@pytest.mark.parametrize("file", ["true.yaml", "1.yaml", "a b.yaml", ".yaml", "x" * 200 + ".yaml"])
def test_any_file_name_gives_a_name(file, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(configs.starter_text(file))
    assert configs.load(path).name


def test_every_key_is_there_with_a_comment(written):
    section, found = None, set()
    for line in written.read_text().splitlines():
        if match := re.match(r"(\w+):$", line):
            section = match[1]
        elif match := re.match(r"  (?:# )?(\w+): \S.*  ?# \S", line):
            found.add((section, match[1]))
    assert found - {("teacher", "learning_rate"), ("student", "learning_rate")} == set(section_keys())


def test_what_is_commented_out_would_have_no_effect(written):
    text = written.read_text()
    commented = set(re.findall(r"^  # (\w+):", text, re.MULTILINE)) - {"learning_rate"}
    own = set(DATA_READERS) - {"dir"}
    of_losses = set(DISTILL_READERS) - {"temperature", "teacher_temperature", "scale_by_t_squared"}
    assert commented == {"momentum", "weight_decay", "decay_steps", "decay_to", "decay_rate"} | own | of_losses
    assert commented < set(READERS) | set(DATA_READERS) | set(DISTILL_READERS)
    values = yaml.safe_load(text)
    assert not commented & (set(values["training"]) | set(values["data"]))


def test_lines_are_not_too_long(written):
    assert max(map(len, written.read_text().splitlines())) <= 120


@pytest.mark.parametrize("name", configs.builtin_names())
def test_a_built_in_config_to_start_from_takes_the_new_name(name, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(configs.starter_text(str(path), name))
    assert configs.load(path) == configs.load(name).model_copy(update={"name": "mine"})
