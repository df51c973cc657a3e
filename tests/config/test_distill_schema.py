"""The section `distill`: keys and defaults of each soft loss, its formula, what is refused, what a run depends on."""

import json

import numpy as np
import pytest
import yaml
from scipy.special import softmax

from kdistill import config as configs
from kdistill.config import Distill
from kdistill.config.distill_schema import DISTILL_READERS
from kdistill.config.formula import of_distillation
from kdistill.core.errors import ConfigError
from kdistill.core.soft_losses import DECLARED, STANDARDIZED, declared
from kdistill.core.task import MULTI

NEW = [name for name in DECLARED if name not in ("kl", "mse")]
HARD = "CE(labels, softmax(student))"


def load(*overrides):
    return configs.load("quickstart", ["distill={}", *overrides])


FORMULAS = {
    "dkd": (
        f"loss = 0.5 * min(epoch/20, 1) * 4^2 * (1 * KL_label(softmax(teacher/4) || softmax(student/4)) + 8 * "
        f"KL_others(softmax(teacher/4) || softmax(student/4))) + 0.5 * {HARD}; KL_label: the label against all other "
        "classes, KL_others: among these; the authors' loss, 1 * hard + 1 * soft, is 2 times this"
    ),
    "nkd": (
        f"loss = 0.5 * (P[label] * {HARD} + 1.5 * 1^2 * CE_others(softmax(teacher/1), softmax(student/1))) + 0.5 * "
        f"{HARD}; P = softmax(teacher), CE_others: among all classes but the label; the authors' loss, 1 * hard + "
        "1 * soft, is 2 times this"
    ),
    "dist": (
        f"loss = 0.666667 * 4^2 * (1 * (1 - r_rows) + 1 * (1 - r_columns)) + 0.333333 * {HARD}; r: the mean "
        "correlation of softmax(teacher/4) and softmax(student/4), of rows over the classes, of columns over the "
        "batch; the authors' loss, 1 * hard + 2 * soft, is 3 times this"
    ),
    "wttm": (
        f"loss = 0.978261 * u * KL(P^0.1/u || softmax(student)) + 0.0217391 * {HARD}; P = softmax(teacher), u = sum of "
        "P^0.1 over the classes; the authors' loss, 1 * hard + 45 * soft, is 46 times this"
    ),
    "wsld": (
        f"loss = 0.714286 * 2^2 * u * CE(softmax(teacher/2), softmax(student/2)) + 0.285714 * {HARD}; u = 1 - "
        "exp(-CE(label, softmax(student)) / CE(label, softmax(teacher))), a constant for gradients; the authors' loss, "
        "1 * hard + 2.5 * soft, is 3.5 times this"
    ),
}


@pytest.mark.parametrize("name", NEW)
def test_the_formula_has_the_authors_numbers_by_default(name):
    assert of_distillation(load(f"distill.soft_loss={name}").distill) == FORMULAS[name]


def test_the_formula_of_standardised_logits():
    assert of_distillation(load("distill.standardize=true").distill) == (
        f"loss = 0.989011 * 2^2 * KL(softmax(z(teacher)/2) || softmax(z(student)/2)) + 0.010989 * {HARD}; z: logits "
        "less their mean over the classes, divided by their standard deviation; the authors' loss, 0.1 * hard + "
        "9 * soft, is 9.1 times this"
    )


def test_the_formula_has_other_numbers_teachers_and_weights():
    keys = load("distill={soft_loss: dkd, T: 2, alpha: 0.8, dkd_other: 3, dkd_warmup: 0, scale_by_t_squared: false}")
    formula = of_distillation(keys.distill, teachers=3, weights="balanced")
    assert formula.startswith("loss = 0.8 * (1 * KL_label(mean of 3 softmax(teacher/2) || softmax(student/2)) + 3 * ")
    assert "0.2 * mean(w[label] * CE(label, softmax(student))), w[c] = n / (k * n[c]); KL_label" in formula
    assert formula.endswith("; the authors' loss is 1 * hard + 1 * soft: alpha 0.5, times 2")


def test_an_alpha_rounded_to_three_digits_is_the_authors():
    assert Distill(soft_loss="dist", alpha=0.667).authors().endswith("is 3 times this")


def test_kl_and_mse_are_what_they_were():
    for name in ("kl", "mse"):
        keys = load(f"distill.soft_loss={name}").distill
        assert (keys.temperature, keys.alpha, keys.authors()) == (4.0, 0.9, "")
    assert Distill().specification() == {
        "temperature": 4.0, "teacher_temperature": None, "alpha": 0.9, "scale_by_t_squared": True
    }  # fmt: skip


@pytest.mark.parametrize("name", NEW)
def test_the_defaults_are_those_of_the_declaration_and_can_be_set(name):
    loss, keys = declared(name), load(f"distill.soft_loss={name}").distill
    assert keys.alpha == loss.alpha
    assert keys.temperature == (loss.temperature or 4.0)
    assert keys.own_numbers() == {key.name: key.default for key in loss.keys}
    changed = load(f"distill.soft_loss={name}", "distill.alpha=0.25").distill
    assert changed.alpha == 0.25


def test_a_run_depends_on_what_its_loss_reads():
    common = {"temperature", "teacher_temperature", "scale_by_t_squared"}
    for name in NEW:
        loss = DECLARED[name]
        read = {"soft_loss", "alpha", *(loss.key(key.name) for key in loss.keys), *(common if loss.divides else ())}
        assert set(Distill(soft_loss=name).specification()) == read
    assert set(Distill(standardize=True).specification()) == {"standardize", "alpha", *common}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("{dkd_other: 2}", "distill.dkd_other: only soft_loss dkd reads it; soft_loss is kl"),
        ("{soft_loss: nkd, wttm_gamma: 0.2}", "distill.wttm_gamma: only soft_loss wttm reads it; soft_loss is nkd"),
        (
            "{soft_loss: wttm, T: 4}",
            "distill.temperature: only soft_loss kl or mse or dkd or nkd or dist or wsld reads it; soft_loss is wttm",
        ),
        ("{soft_loss: wttm, scale_by_t_squared: true}", "distill.scale_by_t_squared: only soft_loss kl or"),
        (
            "{soft_loss: dkt}",
            "expected one of kl, mse, dkd, nkd, dist, wttm, wsld; received 'dkt'; did you mean 'dkd'?",
        ),
        ("{soft_loss: dkd, dkd_warmup: 2.5}", "distill.dkd_warmup: expected a whole number; received 2.5"),
        ("{soft_loss: dkd, dkd_warmup: -1}", "distill.dkd_warmup: expected a number of at least 0; received -1"),
        ("{soft_loss: wttm, wttm_gamma: 0}", "distill.wttm_gamma: expected a number above 0; received 0"),
        ("{soft_loss: dist, dist_row: 0}", "unknown key 'dist_row'; did you mean 'dist_rows'?"),
        ("{standardize: 1}", "distill.standardize: expected true or false; received 1"),
    ],
)
def test_what_a_loss_does_not_read_or_take_is_refused(keys, message):
    with pytest.raises(ConfigError) as error:
        load(f"distill={keys}")
    assert message in error.value.message
    assert len(error.value.message.splitlines()) == 1


@pytest.mark.parametrize("name", [*NEW, "standardize"])
def test_multi_label_data_have_kl_and_mse_alone(name):
    given = "{standardize: true}" if name == "standardize" else f"{{soft_loss: {name}}}"
    data = "data={dataset: npz, path: a.npz, labels: multi}"
    with pytest.raises(ConfigError, match=r"is for examples of one class each; data\.labels is multi") as error:
        load(data, f"distill={given}")
    assert ("standardize" if name == "standardize" else f"distill.soft_loss: {name}") in error.value.message
    for name in ("kl", "mse"):
        assert "BCE" in of_distillation(load(data, f"distill.soft_loss={name}").distill, task=MULTI)


TWO, THREE = {"classes": 2, "batch_size": 32}, {"classes": 3, "batch_size": 32}


@pytest.mark.parametrize(
    ("keys", "received", "message"),
    [
        ({"soft_loss": "dkd"}, TWO, "at least 3 classes; received 2: with one other class, dkd is dkd_target times kl"),
        ({"soft_loss": "nkd"}, TWO, "a single other class has no distribution"),
        ({"soft_loss": "dist"}, TWO, "the correlation of two numbers is 1 or -1, whatever they are"),
        ({"standardize": True}, TWO, "distill.standardize: expected at least 3 classes; received 2"),
        ({"soft_loss": "dist"}, THREE | {"batch_size": 1}, "at least 3 examples in a batch; received 1"),
        ({"soft_loss": "dist"}, THREE | {"batch_size": 2}, "the correlation over a batch of two is 1 or -1"),
    ],
)
def test_too_few_classes_or_examples_are_refused_with_the_reason(keys, received, message):
    assert message in Distill(**keys).problem(**received)
    assert Distill(**keys).problem(**THREE) is None


@pytest.mark.parametrize(
    ("keys", "received"),
    [
        ({"soft_loss": "dist", "dist_rows": 0.0}, TWO),
        ({"soft_loss": "dist", "dist_columns": 0.0}, THREE | {"batch_size": 1}),
        ({"soft_loss": "nkd", "nkd_gamma": 0.0}, TWO),
        *(({"soft_loss": name}, TWO | {"batch_size": 1}) for name in ("kl", "mse", "wttm", "wsld")),
    ],
)
def test_a_part_that_is_left_out_needs_nothing(keys, received):
    assert Distill(**keys).problem(**received) is None


def test_the_temperature_of_the_target_is_that_of_the_loss():
    assert Distill(soft_loss="wttm").target_temperature == 10
    assert Distill(soft_loss="dkd", teacher_temperature=2.0).target_temperature == 2
    assert [Distill(soft_loss=name).compares_probabilities for name in ("kl", "mse")] == [True, False]
    assert not Distill(standardize=True).compares_probabilities


def test_the_highest_probability_of_standardised_logits():
    assert STANDARDIZED.highest(10, 2.0) == pytest.approx(0.3507, abs=1e-4)
    z = np.array([2.0, -1.0, -1.0])
    assert STANDARDIZED.highest(3, 1.5) == pytest.approx(softmax(z / z.std(ddof=1) / 1.5).max())


@pytest.mark.parametrize("name", DECLARED)
def test_a_resolved_config_loads_again_with_what_its_loss_reads(name):
    config = load(f"distill.soft_loss={name}")
    shown = yaml.safe_load(configs.described(config))
    assert {key for key in shown["distill"] if name not in DISTILL_READERS.get(key, (name,))} == set()
    again = configs.load("quickstart", [f"distill={json.dumps(shown['distill'])}"])
    assert again.distill == config.distill
    text = " ".join(line.lstrip("# ") for line in configs.described(config).splitlines() if line.startswith("# "))
    assert text.replace(" ", "").endswith(of_distillation(config.distill).replace("; ", "").replace(" ", ""))


def test_a_sweep_over_losses_gives_each_its_own_defaults_and_leaves_out_what_it_does_not_read():
    config = load("distill={scale_by_t_squared: true}")
    tried = configs.Axis("distill.soft_loss", list(DECLARED), "--grid", ["--grid"] * len(DECLARED))
    for settings, cell in configs.cells(config, [tried]):
        assert cell.distill == Distill(soft_loss=settings["distill.soft_loss"])


def test_keys_that_are_set_stay_in_the_cells_that_read_them():
    config = load("distill={temperature: 3, alpha: 0.5, soft_loss: dkd, dkd_other: 2}")
    tried = configs.Axis("distill.soft_loss", ["dkd", "kl", "wttm"], "--grid", ["--grid"] * 3)
    dkd, kl, wttm = (cell.distill for _, cell in configs.cells(config, [tried]))
    assert (dkd.temperature, dkd.alpha, dkd.dkd_other) == (3, 0.5, 2)
    assert (kl.temperature, kl.alpha) == (3, 0.5)
    assert wttm.alpha == 0.5


def test_an_axis_that_a_cell_does_not_read_is_refused():
    of_loss = configs.Axis("distill.soft_loss", ["dkd", "kl"], "--grid a", ["--grid a"] * 2)
    other = configs.Axis("distill.dkd_other", [2.0, 8.0], "--grid b", ["--grid b"] * 2)
    with pytest.raises(ConfigError, match=r"distill\.dkd_other: only soft_loss dkd reads it; soft_loss is kl"):
        configs.cells(load(), [of_loss, other])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["distill.examples=unlabelled"], "distill.examples: every example has a label"),
        (["distill.examples=labelled"], "distill.examples: every example has a label"),
        *[
            (["data.labelled=50", f"distill.soft_loss={name}"], f"distill.soft_loss: {name} needs the label of every")
            for name, loss in sorted(DECLARED.items())
            if loss.needs_labels
        ],
        (["data.labelled=50", "distill.examples=unlabelled", "distill.soft_loss=nkd"], "nkd needs the label"),
        (["teacher.examples=all"], "teacher.examples: all has no effect: data.labelled sets no labels aside"),
        (["data.label_seed=1"], "data.label_seed: only data.labelled and data.label_noise read it"),
        (["data.labelled=0"], "data.labelled: expected a whole number of at least 1, a share .*; received 0"),
        (["data.labelled=1.0"], r"received 1.0"),
        (["data.labelled=true"], "received true"),
        (["data.labelled={}"], "received a section"),
        (["data.labelled={'1': 0}"], "received a section"),
        (
            ["data={dataset: npz, path: x.npz, labels: multi, labelled: {a: 1}}"],
            "data.labelled: an example of multi-label data has several classes",
        ),
    ],
)
def test_keys_of_unlabelled_examples_are_refused_where_they_mean_nothing(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load(*overrides)


def test_a_loss_that_needs_labels_is_accepted_on_labelled_examples():
    assert load("data.labelled=50", "distill.examples=labelled", "distill.soft_loss=dkd").distill.soft_loss == "dkd"


def test_keys_of_unlabelled_examples_are_written_only_where_they_are_set():
    plain = configs.resolved(load())
    assert not {"labelled", "label_seed"} & set(plain["data"])
    assert "examples" not in plain["distill"]
    assert "examples" not in plain["teacher"]
    config = load("data.labelled=50", "data.label_seed=2", "distill.examples=unlabelled", "teacher.examples=all")
    assert configs.from_values(configs.resolved(config), "x") == config
