"""Model files opened in their own runtimes: raw values in, logits or probabilities out.

Each runtime is imported when a file of its kind is opened, and no other with it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kdistill.core import extras
from kdistill.core.errors import ModelError
from kdistill.deploy import export_records

Floats = NDArray[np.floating]

DAMAGED_HINT = "If kdistill made it, make it again with `kdistill export ... --overwrite`."


class Runtime(Protocol):
    """A model, ready to be asked.

    Attributes:
        shape: of one example.
        classes: how many values come out for each.
    """

    shape: tuple[int, ...]
    classes: int

    def outputs(self, images: NDArray) -> Floats:
        """Return what the model makes of raw values (n, *shape): float32 (n, classes)."""


@dataclass(frozen=True)
class Fitting:
    """How a `.keras` file is made to take raw examples of a data set.

    Attributes:
        shape: of one example.
        scaling: factor and offset of raw values, each a number or one for each of the last axis; None where the model
            takes them as they are.
    """

    shape: tuple[int, ...]
    scaling: tuple[Any, Any] | None = None


def open_model(path: Path, threads: int, device: str = "cpu", fitting: Fitting | None = None) -> Runtime:
    """Open a model file in its runtime.

    Args:
        path: a `.keras`, `.tflite` or `.onnx` file, or the folder of a SavedModel.
        threads: for one operation.
        device: of Keras and SavedModel: `auto`, `cpu` or `gpu`.
        fitting: of Keras, where the model is to fit some data.

    Raises:
        ModelError: it is missing, damaged, or not a classifier with one input and one output.
        ConfigError: the extra that it needs is not installed.
    """
    kind = export_records.kind_of(path)
    if kind in extras.MODULES:
        extras.check_installed(kind, str(path))
    if kind == "litert":
        return LiteRT(path, threads)
    if kind == "onnx":
        return Onnx(path, threads)
    return Keras(path, threads, device, fitting) if kind == "keras" else SavedModel(path, threads, device)


class Keras:
    """A `.keras` file as a compiled `tf.function` of the call of the model; a last softmax is taken off."""

    def __init__(self, path: Path, threads: int, device: str, fitting: Fitting | None = None) -> None:
        from kdistill.core import backend

        backend.start(threads, device)
        from kdistill import models
        from kdistill.evaluation import predict
        from kdistill.models import adapt_inputs as inputs

        model, self.notes = models.load_any_classifier(path, fitting.shape if fitting else None)
        self.scales_inputs, self.largest_input = models.scales_inputs(model), models.largest_input(model)
        if fitting and (fitting.scaling or None in model.inputs[0].shape[1:]):
            scaled = [inputs.rescaling(*map(np.asarray, fitting.scaling))] if fitting.scaling else []
            model = inputs.in_front(model, fitting.shape, scaled)
        self.shape = tuple(model.inputs[0].shape[1:])
        self.classes = int(model.outputs[0].shape[-1])
        self.parameters = models.parameters(model)
        self._predict = predict.predictor(model)

    def outputs(self, images: NDArray) -> Floats:
        """Return the logits (n, classes) of raw values (n, *shape)."""
        return self._predict(images).numpy().astype(np.float32, copy=False)


class LiteRT:
    """A `.tflite` file in the interpreter of ai-edge-litert, with its built-in operations alone."""

    def __init__(self, path: Path, threads: int) -> None:
        from kdistill.core import backend

        with backend.quiet_stderr(shown_on_failure=False):
            from ai_edge_litert.interpreter import Interpreter

            try:
                self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise _unusable(path, error) from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        types = {str(np.dtype(tensor["dtype"])) for tensor in (*inputs, *outputs)}
        shapes = [[tuple(tensor["shape_signature"]) for tensor in tensors] for tensors in (inputs, outputs)]
        self.shape, self.classes = _one_in_one_out(path, shapes[0], shapes[1], types)
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self._batch, self._path = int(inputs[0]["shape"][0]), path
        self._single = shapes[0][0][0] == 1

    def outputs(self, images: NDArray) -> Floats:
        """Return what comes out (n, classes) for raw values (n, *shape)."""
        return _in_batches(self._path, self._ask, images, self._single)

    def _ask(self, images: NDArray) -> Floats:
        if len(images) != self._batch:
            self._interpreter.resize_tensor_input(self._input, images.shape)
            self._interpreter.allocate_tensors()
            self._batch = len(images)
        self._interpreter.set_tensor(self._input, images)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)


class Onnx:
    """An `.onnx` file in a session of ONNX Runtime, on the processor."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # what it would log is in the exception, too
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common parent
            raise _unusable(path, error) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        types = {tensor.type for tensor in (*inputs, *outputs)}
        shapes = [[tuple(tensor.shape) for tensor in tensors] for tensors in (inputs, outputs)]
        self.shape, self.classes = _one_in_one_out(path, shapes[0], shapes[1], types)
        self._input, self._path = inputs[0].name, path
        self._single = shapes[0][0][0] == 1

    def outputs(self, images: NDArray) -> Floats:
        """Return what comes out (n, classes) for raw values (n, *shape)."""
        return _in_batches(self._path, self._ask, images, self._single)

    def _ask(self, images: NDArray) -> Floats:
        return self._session.run(None, {self._input: images})[0]


class SavedModel:
    """The folder of a SavedModel, by its signature `serving_default`, as TensorFlow Serving takes it."""

    def __init__(self, path: Path, threads: int, device: str) -> None:
        from kdistill.core import backend

        backend.start(threads, device)
        import tensorflow as tf

        try:
            self._loaded = tf.saved_model.load(str(path))  # kept: the signature does not keep its variables alive
            self._serve = self._loaded.signatures["serving_default"]
        except Exception as error:  # whatever a damaged one makes TensorFlow raise
            raise _unusable(path, error) from error
        inputs = list(self._serve.structured_input_signature[1].items())
        outputs = list(self._serve.structured_outputs.items())
        types = {spec.dtype.name for _, spec in (*inputs, *outputs)}
        shapes = [[tuple(spec.shape) for _, spec in specs] for specs in (inputs, outputs)]
        self.shape, self.classes = _one_in_one_out(path, shapes[0], shapes[1], types)
        self._input, self._output, self._constant = inputs[0][0], outputs[0][0], tf.constant

    def outputs(self, images: NDArray) -> Floats:
        """Return what comes out (n, classes) for raw values (n, *shape)."""
        values = self._constant(images.astype(np.float32, copy=False))
        return self._serve(**{self._input: values})[self._output].numpy()


def _one_in_one_out(path: Path, inputs: list[Any], outputs: list[Any], types: set[str]) -> tuple[tuple[int, ...], int]:
    """Return the shape of one example and the number of outputs of a file that says what goes in and comes out."""
    if len(inputs) != 1 or len(outputs) != 1 or len(outputs[0]) != 2 or not _known([*inputs[0][1:], outputs[0][1]]):
        raise ModelError(
            f"{path}: expected one input of a fixed shape and one output, a value for each class; "
            f"received {inputs} and {outputs}"
        )
    if not types <= {"float32", "tensor(float)"}:
        raise ModelError(f"{path}: expected float32 in and out; received {', '.join(sorted(types))}")
    return tuple(int(size) for size in inputs[0][1:]), int(outputs[0][1])


def _in_batches(path: Path, ask: Callable[[NDArray], Floats], images: NDArray, single: bool) -> Floats:
    """Ask about images (n, *shape) at once, or one by one where a file made elsewhere takes no more.

    Raises:
        ModelError: its runtime fails.
    """
    values = images.astype(np.float32, copy=False)
    try:
        return np.concatenate([ask(value[None]) for value in values]) if single else ask(values)
    except Exception as error:  # those of ONNX Runtime have no common parent
        raise _unusable(path, error) from error


def _known(sizes: list[Any]) -> bool:
    return all(isinstance(size, int | np.integer) and size > 0 for size in sizes)


def _unusable(path: Path, error: Exception) -> ModelError:
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    name = export_records.NAMES[export_records.kind_of(path)]
    return ModelError(f"{path}: {name} cannot use this model: {reason[:300]}", DAMAGED_HINT)


def quiet_environment() -> dict[str, str]:
    """Return the environment of a process of its own that opens a model on the processor and says nothing."""
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
