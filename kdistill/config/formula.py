"""The loss that a config describes, as one line of text."""

from kdistill.config import hints
from kdistill.config.data_schema import ClassWeights
from kdistill.config.distill_schema import Distill
from kdistill.core.formatting import first_few
from kdistill.core.soft_losses import formula_of
from kdistill.core.task import SINGLE, Task


def of_distillation(
    keys: Distill,
    teachers: int = 1,
    weights: ClassWeights = None,
    task: Task = SINGLE,
    some_unlabelled: bool = False,
) -> str:
    """Return the loss of the distilled student with its numbers.

    Args:
        keys: the section `distill`.
        teachers: how many there are.
        weights: `data.class_weights`.
        task: of the labels.
        some_unlabelled: whether some training examples have no label.
    """
    soft, where = _term_and_letters(keys, teachers, task)
    hinted, letters = hints.formula_of(keys.hints)
    loss = with_hard_term(soft, keys, weights, task, some_unlabelled, hinted, where, letters)
    has_hard = not (some_unlabelled and keys.examples == "unlabelled")
    return loss + _more(keys.authors() if has_hard else "")


def with_hard_term(
    soft: str, keys: Distill, weights: ClassWeights, task: Task, some_unlabelled: bool, hinted: str = "", *letters: str
) -> str:
    """Return the loss of a student that a model teaches: the soft term as text, and the hard term if there is one.

    `hinted` are the terms of hints, `letters` what the letters of soft term and hints stand for.
    """
    which = keys.examples if some_unlabelled else "labelled"
    if which == "unlabelled":
        no_hard = "no example has a label, so there is no hard term"
        return f"loss = {keys.alpha:g} * {soft}{hinted}{task.summed}{_more(*letters, no_hard)}"
    mean = f"{task.cross_entropy} of the labels is a mean over the labelled examples alone"
    end = f"{hinted}{words_of_weights(weights)}{task.summed}{_more(*letters, mean if which == 'all' else '')}"
    return f"loss = {keys.alpha:g} * {soft} + {1 - keys.alpha:g} * {hard_term(weights, task)}{end}"


def soft_term(keys: Distill, teachers: int = 1, task: Task = SINGLE) -> str:
    """Return the soft term with its numbers, and what its letters stand for."""
    return "; ".join(filter(None, _term_and_letters(keys, teachers, task)))


def _term_and_letters(keys: Distill, teachers: int, task: Task) -> tuple[str, str]:
    numbers = {
        **keys.own_numbers(),
        "temperature": keys.temperature,
        "teacher_temperature": keys.teacher_temperature or keys.temperature,
        "t_squared": keys.scale_by_t_squared and keys.loss.divides,
    }
    return formula_of(keys.loss, numbers, task, teachers, keys.standardize, keys.shares)


def _more(*texts: str) -> str:
    return "".join(f"; {text}" for text in texts if text)


def hard_formula(weights: ClassWeights) -> str:
    """Return the loss of an arm without a teacher as one line of text, with `data.class_weights`."""
    return (
        "loss = hard"
        if weights is None
        else f"loss = mean(w[label] * CE(label, softmax(model))){words_of_weights(weights)}"
    )


def hard_term(weights: ClassWeights, task: Task) -> str:
    """Return the hard term of a student as text, with `data.class_weights`; `words_of_weights` says what w is."""
    if weights is None:
        return f"{task.cross_entropy}(labels, {task.activation}(student))"
    return "mean(w[label] * CE(label, softmax(student)))"


def words_of_weights(weights: ClassWeights) -> str:
    """Return how class weights are computed, as the end of a formula: n examples of k classes, n[c] of class c."""
    if weights is None:
        return ""
    if weights == "balanced":
        return ", w[c] = n / (k * n[c])"
    listed = first_few([f"v[{name}] = {weight:g}" for name, weight in dict(weights).items()])
    return f", w[c] = v[c] / mean(v[label]), {listed}, else 1"
