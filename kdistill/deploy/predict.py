"""Predicted classes and probabilities of unlabelled examples."""

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ModelError
from kdistill.core.listener import Listener
from kdistill.core.task import MULTI, SINGLE, THRESHOLD, Task
from kdistill.datasets import npy
from kdistill.deploy import export_records, formats, runtimes, targets
from kdistill.deploy.read_inputs import Inputs, Reader
from kdistill.modelfiles.names import CLASSES, INPUTS, class_names, feature_names, inputs, task_of

Floats = NDArray[np.floating]

Choice = TypedDict("Choice", {"class": str, "probability": float})


class Row(TypedDict):
    """The prediction for one example."""

    name: str  # of the image file, or the number of the row
    labels: NotRequired[list[str]]  # of a multi-label model: the classes with a probability of at least 0.5
    top: list[Choice]  # the most probable classes, in descending order


class Predictor:
    """A model with the names of its classes.

    Args:
        path: the folder of a run, a `.keras` file, or an export.
        threads: within one call.
        device: `auto`, `cpu` or `gpu`.
        listener: receives notes and warnings.
        multi_label: whether a model is multi-label that nothing says it of: no file beside it, and no sigmoids.

    Raises:
        ModelError: the model is missing or damaged, or its outputs do not match the class names; or `multi_label` is
            asked of a run of single-label data.
        ConfigError: the extra of its runtime is not installed.
    """

    def __init__(self, path: Path, threads: int, device: str, listener: Listener, multi_label: bool = False) -> None:
        self._listener = listener
        target = targets.find(path)
        if told := targets.about_members(target):
            listener.note(told)
        kind = formats.format_of(target.path)
        record = None if kind == "keras" else export_records.checked(target.path)
        self._outputs = "logits" if kind == "keras" else record["outputs"] if record else None
        names = class_names(target.path)
        self.features, self._inputs = feature_names(target.path), _inputs_of(target.path)
        task = _task(target, multi_label)
        self._model = runtimes.open_model(target.path, threads, device, runtimes.Fitting(task=task))
        self.task: Task = getattr(self._model, "task", None) or task or SINGLE
        if self.task is not task and self.task is MULTI:
            listener.warning(
                f"{target.path} ends in a sigmoid for each class: taken for multi-label, where an example may have "
                "several classes, or none."
            )
        self._largest = getattr(self._model, "largest_input", record.get("largest_input") if record else None)
        self._vocabulary = getattr(self._model, "vocabulary", record.get("vocabulary") if record else None)
        if target.run is None and not getattr(self._model, "scales_inputs", True):
            listener.warning(
                f"{target.path} does not scale its inputs, and is given raw values. If it was trained on scaled ones, "
                "`kdistill export` makes a file of it that scales them, with the -c of a config that names it in "
                "distill.teachers and has teacher.preprocessing."
            )
        if names is None:
            listener.warning(f"{target.path}: its folder has no {CLASSES} of it: classes are numbers.")
            names = [str(number) for number in range(self._model.classes)]
        if len(names) != self._model.classes:
            raise ModelError(
                f"{target.path}: expected as many outputs as {CLASSES} in its folder names classes, {len(names)}; "
                f"received {self._model.classes}",
                hint=f"Write the names of this model's classes to {CLASSES}, in the order of its outputs.",
            )
        self.classes = names

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self._model.shape

    def reader(self, drop: Sequence[str], skip: bool) -> Reader:
        """Return a reader of examples of this model's shape; `Reader` describes `drop` and `skip`.

        Raises ModelError if what the folder says of its inputs is of another model.
        """
        features = self.features or ()
        if len(features) != prod(self.shape):  # the file has the features of another model
            features = ()
        columns = self._inputs.columns or ()
        if sum(len(column.features) for column in columns) not in (0, prod(self.shape)):
            raise ModelError(
                f"{INPUTS} beside the model has columns of another model: expected {prod(self.shape)} features"
            )
        most = (self._vocabulary or npy.LARGEST_TOKEN + 1) if self._model.takes_tokens else None
        note, largest = self._listener.note, self._largest
        return Reader(self.shape, drop, skip, features, note, vocabulary=most, inputs=self._inputs, largest=largest)

    def rows(self, reader: Reader, sources: Sequence[str], top: int) -> Iterator[list[Row]]:
        """Yield predictions batch by batch: of each example of sources (`Reader.read`) the `top` likeliest classes."""
        for names, examples in reader.read_all(sources):
            self._warn_of_other_scale(examples)
            p = self._probabilities(examples)
            best = np.argsort(-p, axis=-1, kind="stable")[:, :top]  # stable: of equal ones the first, as by argmax
            yield [self._row(name, row, order) for name, row, order in zip(names, p, best, strict=True)]

    def _row(self, name: str, p: Floats, best: NDArray[np.integer]) -> Row:
        top: list[Choice] = [{"class": self.classes[i], "probability": float(p[i])} for i in best]
        if self.task is not MULTI:
            return {"name": name, "top": top}
        return {"name": name, "labels": [self.classes[i] for i in np.flatnonzero(p >= THRESHOLD)], "top": top}

    def _warn_of_other_scale(self, examples: NDArray) -> None:
        """Warn once if the values are not on the scale of the training data."""
        if self._largest is None or not examples.size:
            return
        least, most = float(examples.min()), float(examples.max())
        scaled_before = self._largest > 2 and most <= 1 and bool((examples % 1).any())
        if scaled_before or least < 0 or most > 2 * self._largest:
            self._listener.warning(
                f"The values lie from {least:g} to {most:g}, and the model expects values from 0 to "
                f"{self._largest:g}: give it values on the scale of its training data."
            )
            self._largest = None

    def _probabilities(self, examples: NDArray) -> Floats:
        """Return probabilities (n, classes) in float64. Raises ModelError if an output is not finite."""
        outputs = self._model.outputs(examples).astype(np.float64)
        if not np.isfinite(outputs).all():
            raise ModelError("the model's outputs are NaN or infinite: expected values of the kind it was trained on")
        if self._outputs is None:  # an export of another program has no record of its outputs
            self._outputs = "probabilities" if self.task.are_probabilities(outputs) else "logits"
            if self.task is MULTI:
                self._listener.warning(f"The model has no record of what it returns: taken for {self._outputs}.")
        return outputs if self._outputs == "probabilities" else self.task.probabilities(outputs)


def _task(target: targets.Target, multi_label: bool) -> Task | None:
    """Return the task of a model; None where nothing but its last layer tells it."""
    known = task_of(target.path)
    if multi_label and target.run and known is SINGLE:
        raise ModelError(
            f"{target.path}: expected a multi-label model; received that of a run on data with one class an example",
            hint="Leave out --multi-label.",
        )
    if known is MULTI or multi_label:
        return MULTI
    return SINGLE if target.run else None


def _inputs_of(model: Path) -> Inputs:
    """Return how a model's inputs are made; ModelError if the file that says so has another content."""
    try:
        return Inputs.of(inputs(model) or {})
    except ValueError as error:
        raise ModelError(f"{model.parent / INPUTS}: {error}") from None
