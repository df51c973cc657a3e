"""Classes and probabilities of examples that nobody has labelled, a batch at a time."""

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from kdistill.core.errors import ModelError
from kdistill.core.listener import Listener
from kdistill.deploy import export_records, runtimes, targets
from kdistill.deploy.read_inputs import Reader
from kdistill.modelfiles.names import CLASSES, class_names, feature_names

Floats = NDArray[np.floating]

Choice = TypedDict("Choice", {"class": str, "probability": float})


class Row(TypedDict):
    """What a model says of an example."""

    name: str
    top: list[Choice]  # best first


class Predictor:
    """A model with the names of its classes.

    Args:
        path: the folder of a run, a `.keras` file, or an export.
        threads: within one call.
        device: `auto`, `cpu` or `gpu`.
        listener: told where the classes have no names.

    Raises:
        ModelError: the model is missing or damaged, or has not as many outputs as there are names.
        ConfigError: the extra that it needs is not installed.
    """

    def __init__(self, path: Path, threads: int, device: str, listener: Listener) -> None:
        self._listener = listener
        target = targets.find(path)
        kind = export_records.kind_of(target.path)
        record = None if kind == "keras" else export_records.checked(target.path)
        self._outputs = "logits" if kind == "keras" else record["outputs"] if record else None
        names = class_names(target.path)
        self.features = feature_names(target.path)
        self._model = runtimes.open_model(target.path, threads, device)
        self._largest = getattr(self._model, "largest_input", record.get("largest_input") if record else None)
        if target.run is None and not getattr(self._model, "scales_inputs", True):
            listener.warning(
                f"{target.path} does not scale its inputs, and is given raw values. If it was trained on scaled ones, "
                "`kdistill export` makes a file of it that scales them, with the -c of a config that names it in "
                "distill.teachers and has teacher.preprocessing."
            )
        if names is None:
            listener.warning(f"{target.path}: there is no {CLASSES} beside it: classes are numbers.")
            names = [str(number) for number in range(self._model.classes)]
        if len(names) != self._model.classes:
            raise ModelError(
                f"{target.path}: expected as many outputs as {CLASSES} beside it names classes, {len(names)}; "
                f"received {self._model.classes}",
                hint="Put the names of this model's classes beside it, in the order of its outputs.",
            )
        self.classes = names

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self._model.shape

    def reader(self, drop: Sequence[str], skip: bool) -> Reader:
        """Return a reader of examples of this model; see `Reader` for `drop` and `skip`."""
        features = self.features or ()
        if len(features) != prod(self.shape):  # those of another model, or there are none
            features = ()
        return Reader(self.shape, drop, skip, features, self._listener.note)

    def rows(self, reader: Reader, source: str, top: int) -> Iterator[list[Row]]:
        """Yield the rows of a batch after another.

        Args:
            reader: of examples of this model's shape.
            source: see `Reader.read`.
            top: how many classes, of which there may be fewer.
        """
        for names, examples in reader.read(source):
            self._warn_of_another_scale(examples)
            chances = self._probabilities(examples)
            # Stable, so that of equal ones the first is chosen, as by argmax.
            best = np.argsort(-chances, axis=-1, kind="stable")[:, :top]
            yield [
                {
                    "name": name,
                    "top": [
                        {"class": self.classes[choice], "probability": float(chances[row, choice])}
                        for choice in best[row]
                    ],
                }
                for row, name in enumerate(names)
            ]

    def _warn_of_another_scale(self, examples: NDArray) -> None:
        """Say once that values are scaled otherwise than those that the model is made for: it would not notice."""
        if self._largest is None or not examples.size:
            return
        least, most = float(examples.min()), float(examples.max())
        scaled_before = self._largest > 2 and most <= 1 and bool((examples % 1).any())
        if scaled_before or least < 0 or most > 2 * self._largest:
            self._listener.warning(
                f"The values lie from {least:g} to {most:g}, and the model is made for values from 0 to "
                f"{self._largest:g}: give it values on the scale of those that it was trained on."
            )
            self._largest = None

    def _probabilities(self, examples: NDArray) -> Floats:
        """Return probabilities (n, classes) in float64.

        Raises:
            ModelError: what comes out is not finite.
        """
        outputs = self._model.outputs(examples).astype(np.float64)
        if not np.isfinite(outputs).all():
            raise ModelError("the model's outputs are NaN or infinite: expected values of the kind it was trained on")
        if self._outputs is None:  # an export from elsewhere does not say what it puts out
            sums = bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1.0, atol=1e-3))
            self._outputs = "probabilities" if sums else "logits"
        return outputs if self._outputs == "probabilities" else softmax(outputs, axis=-1)
