"""The schema: what an arm inherits, what is refused, and the formula it states."""

import pytest

from kdistill import config as configs
from kdistill.config.data_schema import Data
from kdistill.config.formula import of_distillation
from kdistill.config.schema import Config, Distill, Model
from kdistill.config.training_schema import READERS, Training, TrainingKeys
from kdistill.core.errors import ConfigError

MINIMAL = ["teacher.hidden=[8]", "student.hidden=[4]"]


def load(*overrides):
    return configs.load("quickstart", [*MINIMAL, *overrides])


def test_arms_inherit_training_and_may_override_it():
    config = load("training.epochs=7", "student.patience=3", "teacher.learning_rate=0.5")
    assert config.training_for("student").epochs == 7
    assert config.training_for("student").patience == 3
    assert config.training_for("teacher").learning_rate == 0.5
    assert config.training_for("student").learning_rate == config.training.learning_rate


def test_an_override_with_null_is_not_the_same_as_none():
    config = load("training.patience=5", "student.patience=null")
    assert config.training_for("student").patience is None
    assert config.training_for("teacher").patience == 5


def test_architecture_and_training_divide_an_arm_between_them():
    arm = load("student.epochs=3").student
    assert set(arm.architecture()) == {"hidden", "activation", "dropout", "l2", "max_norm"}
    assert arm.overrides() == {"epochs": 3}


def arm(text):
    return configs.load("quickstart", [f"student={text}"]).student


def test_keys_of_later_versions_are_part_of_an_architecture_where_they_have_an_effect():
    """So that runs made before keep their identity."""
    blocks = arm("{conv: [4, 5], pool: null, kernel: 3, batch_norm: true}").architecture()
    first = {"hidden": [], "activation": "relu", "dropout": 0.0, "l2": 0.0, "max_norm": None}
    assert blocks == {"conv": [4, 5], "pool": 1, "batch_norm": True, **first}
    assert arm("{hidden: [4], conv: [], pool: 2, model: null}").architecture() == {**first, "hidden": [4]}
    assert arm("{model: /a.keras}").architecture() == {"model": "/a.keras"}
    assert arm("{model: /a.keras, hidden: [], initial_weights: file}").architecture() == {
        "model": "/a.keras",
        "initial_weights": "file",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "student.hidden: this key is missing, and there is neither conv nor model"),
        ("{conv: [], hidden: []}", "student.hidden: expected at least one layer; received []"),
        ("{hidden: null}", "student.hidden: expected a list, such as [128, 64]; received nothing"),
        ("{conv: [0]}", "student.conv.0: expected a number of at least 1; received 0"),
        ("{conv: 16}", "student.conv: expected a list, such as [128, 64]; received 16"),
        ("{conv: [4], pool: 0}", "student.pool: expected a number of at least 1; received 0"),
        ("{conv: [4], kernel: 2.5}", "student.kernel: expected a whole number; received 2.5"),
        ("{conv: [4], separable: 1}", "student.separable: expected true or false; received 1"),
        ("{hidden: [4], kernel: 5}", "student.kernel: only conv reads it, and none is given"),
        ("{hidden: [4], pool: 1}", "student.pool: only conv reads it, and none is given"),
        ("{hidden: [4], global_pool: true}", "student.global_pool: only conv reads it, and none is given"),
        (
            "{conv: [4], separable: true}",
            "student.separable: the first block is never separable, and conv has no other",
        ),
        (
            "{hidden: [4], initial_weights: file}",
            "student.initial_weights: only a model from a file has any, and none is given",
        ),
        (
            "{model: a.keras, initial_weights: old}",
            "student.initial_weights: expected fresh, file, baseline or a `.keras` file; received old",
        ),
        (
            "{model: a.keras, hidden: [4]}",
            "student.hidden: model is given, and its file defines the layers; remove this key, or undo it with "
            "--set student.hidden=[]",
        ),
        (
            "{model: a.keras, dropout: 0.1}",
            "student.dropout: model is given, and its file defines the layers; remove this key, or undo it with "
            "--set student.dropout=0.0",
        ),
        ("{model: ''}", "student.model: expected text of at least one character; received ''"),
        ("{model: 3}", "student.model: expected text; received 3"),
    ],
)
def test_keys_of_a_model_that_do_not_go_together_are_refused(text, problem):
    with pytest.raises(ConfigError) as raised:
        arm(text)
    assert raised.value.message == f"--set student={text}: {problem}"


def test_the_layers_of_a_file_take_the_place_of_a_configs_own_by_set():
    """As the message says that it is done."""
    with pytest.raises(ConfigError, match=r"undo it with --set student\.hidden=\[\]"):
        configs.load("quickstart", ["student.model=/a.keras"])
    assert configs.load("quickstart", ["student.model=/a.keras", "student.hidden=[]"]).student.model == "/a.keras"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "student: {hidden: [4]}\nteacher: {dropout: 0.1}",
            ["teacher.dropout: only layers read it, and there are none: no teacher is trained here"],
        ),
        ("student: {hidden: [4]}\nteachr: {hidden: [4]}", ["teachr: unknown key 'teachr'; did you mean 'teacher'?"]),
        ("student: {hidden: [4]}\nteacher: {hidden: []}", ["teacher.hidden: expected at least one layer; received []"]),
    ],
)
def test_what_is_said_of_a_teacher_has_layers(tmp_path, text, problems):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        configs.load(tmp_path / "mine.yaml")
    assert len(raised.value.message.splitlines()) == len(problems)
    assert all(problem in raised.value.message for problem in problems)


def test_a_config_without_a_teacher_is_for_one_on_the_command_line(tmp_path):
    (tmp_path / "mine.yaml").write_text("student: {hidden: [4]}\n")
    assert not configs.load(tmp_path / "mine.yaml").teacher.has_layers


@pytest.mark.parametrize("teacher", ["", "teacher: {preprocessing: unit}\n"])
def test_a_teacher_from_elsewhere_needs_no_layers_here(tmp_path, teacher):
    (tmp_path / "mine.yaml").write_text(f"{teacher}student: {{hidden: [4]}}\ndistill: {{teachers: [big.keras]}}\n")
    config = configs.load(tmp_path / "mine.yaml")
    assert not config.teacher.has_layers
    (tmp_path / "again.yaml").write_text(configs.dump(config))
    assert configs.load(tmp_path / "again.yaml") == config
    assert set(configs.resolved(config)["teacher"]) <= {"preprocessing"}


def test_configs_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load().student.dropout = 0.5


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("seed=true", "seed: expected a whole number; received true"),
        ("seed=1.0", "seed: expected a whole number; received 1.0"),
        ("seed=-1", "seed: expected a number of at least 0; received -1"),
        ("seeds=0", "seeds: expected a number of at least 1; received 0"),
        ("name=a/b", "name: expected a name for a folder"),
        ("name=.hidden", "name: expected a name for a folder"),
        ("name=..", "name: expected a name for a folder"),
        ("teacher.hidden=[]", "teacher.hidden: expected at least one layer; received []"),
        ("teacher.hidden=[0]", "teacher.hidden.0: expected a number of at least 1; received 0"),
        ("teacher.hidden=64", "teacher.hidden: expected a list, such as [128, 64]; received 64"),
        ("teacher=5", "teacher: expected a section of `key: value` lines; received 5"),
        ("student.dropout=1", "student.dropout: expected a number below 1; received 1"),
        ("student.l2=-1", "student.l2: expected a number of at least 0; received -1"),
        ("student.max_norm=0", "student.max_norm: expected a number above 0; received 0"),
        ("student.activation=rleu", "received 'rleu'; did you mean 'relu'?"),
        ("student.checkpoint_every=3", "student.checkpoint_every: unknown key 'checkpoint_every' here"),
        (
            "student.training.learning_rate=1",
            "unknown key 'training' here: a model takes the keys of `training` themselves, such as "
            "student.learning_rate",
        ),
        ("distill.temperature=0", "distill.temperature: expected a number above 0; received 0"),
        ("distill.T=-2", "distill.temperature: expected a number above 0; received -2"),
        ("distill.alpha=1.5", "distill.alpha: expected a number of at most 1; received 1.5"),
        ("distill.alpha='0.5'", "distill.alpha: expected a number; received '0.5'"),
        ("distill.scale_by_t_squared=1", "expected true or false; received 1"),
        ("teacher.preprocessing=unti", "received 'unti'; did you mean 'unit'?"),
        ("student.preprocessing=unit", "unknown key 'preprocessing' here; did you mean teacher.preprocessing?"),
        ("augmentation.shift=-1", "augmentation.shift: expected a number of at least 0; received -1"),
        ("augmentation.crop=0", "augmentation.crop: expected a number of at least 1; received 0"),
        ("augmentation.flip=1", "augmentation.flip: expected true or false; received 1"),
        ("training.patience=0", "training.patience: expected a number of at least 1; received 0"),
        ("training.learning_rate=nan", "training.learning_rate: expected a number; received 'nan'"),
        ("training.learning_rate=1e999", "training.learning_rate: expected a finite number; received inf"),
        ("training.monitor=val_acc", "did you mean 'val_accuracy'?"),
        ("training.monitor=val_balanced", "did you mean 'val_balanced_accuracy'?"),
        ("verdict.measure=balanced", "did you mean 'balanced_accuracy'?"),
        (
            "verdict.measure=val_nll",
            "verdict.measure: expected one of accuracy, nll, balanced_accuracy, macro_f1",
        ),
        ("training.checkpoint_every=soon", "expected auto, or a whole number of at least 1; received 'soon'"),
        ("data.validation=1.0", "data.validation: expected a share between 0 and 1, test or given; received 1.0"),
        ("data.validation=train", "data.validation: expected a share between 0 and 1, test or given; received 'train'"),
        ("data.dataset=minst", "did you mean 'mnist'?"),
        ("expected.teacher=86", "expected.teacher: expected a number of at most 1; received 86"),
    ],
)
def test_bad_values_are_named_with_what_was_expected(override, problem):
    with pytest.raises(ConfigError) as raised:
        load(override)
    assert problem in raised.value.message
    assert "Input should" not in raised.value.message


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["training.momentum=0.9"], "training.momentum: only optimizer sgd or rmsprop reads it; optimizer is adam"),
        (["student.weight_decay=0.1"], "student.weight_decay: only optimizer adamw reads it"),
        (["training.optimizer=sgd", "training.amsgrad=true"], "only optimizer adam or adamw reads it"),
        (["training.decay_steps=5"], "only schedule cosine or exponential reads it; schedule is constant"),
        (["training.schedule=cosine", "training.decay_rate=0.5"], "only schedule exponential reads it"),
    ],
)
def test_a_key_that_nothing_reads_is_refused(overrides, problem):
    with pytest.raises(ConfigError) as raised:
        load(*overrides)
    assert problem in raised.value.message


def test_a_key_that_one_arm_reads_is_accepted():
    config = load("training.momentum=0.9", "student.optimizer=sgd")
    assert config.training_for("student").momentum == 0.9


def test_every_reader_is_a_choice_of_the_schema():
    for key, (choice, readers) in READERS.items():
        assert key in TrainingKeys.model_fields
        assert set(readers) <= set(TrainingKeys.model_fields[choice].annotation.__args__)


def test_every_key_is_described():
    for section in (Config, Data, Model, Training, Distill):
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"


def test_the_formula_has_the_numbers():
    distill = load("distill.T=2", "distill.alpha=0.9").distill
    assert of_distillation(distill) == (
        "loss = 0.9 * 2^2 * KL(softmax(teacher/2) || softmax(student/2)) + 0.1 * CE(labels, softmax(student))"
    )
    article = configs.load("article").distill
    assert of_distillation(article) == (
        "loss = 0.9 * KL(softmax(teacher/3) || softmax(student/2)) + 0.1 * CE(labels, softmax(student))"
    )
    matched = load("distill.soft_loss=mse", "distill.T=2", "distill.alpha=0.9").distill
    assert (
        of_distillation(matched) == "loss = 0.9 * 2^2 * MSE(teacher/2, student/2) + 0.1 * CE(labels, softmax(student))"
    )
    assert "MSE(mean of 2 teacher/2, student/2)" in of_distillation(matched, teachers=2)
