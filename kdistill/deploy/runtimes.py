"""Model files opened in their runtimes: raw values in, logits or probabilities out.

Each class imports its runtime when it opens a file, so that a process loads no other runtime.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kdistill.core import extras
from kdistill.core.errors import ModelError
from kdistill.core.task import MULTI, SINGLE, Task
from kdistill.deploy.formats import FORMATS, format_of

Floats = NDArray[np.floating]

_NUMPY_TYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(int64)": "int64"}
DAMAGED_HINT = "If kdistill made it, make it again with `kdistill export ... --overwrite`."


class Runtime(Protocol):
    """An opened model."""

    shape: tuple[int, ...]  # of one example
    classes: int  # the number of outputs for one example
    takes_tokens: bool  # whether its input are whole numbers

    def outputs(self, images: NDArray) -> Floats:
        """Return the model's outputs, float32 (n, classes), for raw values (n, *shape)."""


def served(values: NDArray) -> NDArray:
    """Return raw values in the type that models are given: tokens as int32, all others as float32."""
    return values.astype(np.int32 if values.dtype == np.int32 else np.float32, copy=False)


@dataclass(frozen=True)
class Fitting:
    """How a `.keras` model is adapted to the raw examples of a data set."""

    shape: tuple[int, ...] | None = None  # of one example; None for that of the model
    scaling: Sequence[Any] | None = None  # the arrays of `scaling.affine`, possibly as lists
    task: Task | None = SINGLE  # None: single-label, unless the model ends in a sigmoid for each of several classes


def open_model(path: Path, threads: int, device: str = "cpu", fitting: Fitting | None = None) -> Runtime:
    """Open a model file in its runtime.

    Args:
        path: a `.keras`, `.tflite` or `.onnx` file, or the folder of a SavedModel.
        threads: for one operation.
        device: of Keras and SavedModel: `auto`, `cpu` or `gpu`.
        fitting: of Keras: adapts the model to the data, if it is given.

    Raises:
        ModelError: the file is missing, damaged, or not a classifier with one input and one output.
        ConfigError: the extra of the runtime is not installed.
    """
    kind = format_of(path)
    if kind in extras.MODULES:
        extras.check_installed(kind, str(path))
    return RUNTIMES[kind](path, threads, device, fitting)


class Keras:
    """A `.keras` file as a compiled `tf.function`; a final softmax, or sigmoids, are removed."""

    def __init__(self, path: Path, threads: int, device: str, fitting: Fitting | None) -> None:
        from kdistill.core import backend

        backend.start(threads, device)
        from kdistill import models
        from kdistill.evaluation import predict
        from kdistill.models import adapt_inputs

        fitting = fitting or Fitting()
        self.task = fitting.task or SINGLE
        try:
            model, self.notes = models.load_classifier(path, fitting.shape, task=self.task)
        except models.SigmoidsError:
            if fitting.task:
                raise
            self.task = MULTI
            model, self.notes = models.load_classifier(path, fitting.shape, task=MULTI)
        self.vocabulary = models.vocabulary(model)
        self.takes_tokens = self.vocabulary is not None
        self.scales_inputs = self.takes_tokens or models.scales_inputs(model)
        self.largest_input = models.largest_input(model)
        if fitting.shape and fitting.scaling:
            model = models.with_scaling(model, fitting.shape, tuple(map(np.asarray, fitting.scaling)))
        elif fitting.shape and None in model.inputs[0].shape[1:]:
            model = adapt_inputs.in_front(model, fitting.shape, [])
        self.shape = tuple(model.inputs[0].shape[1:])
        self.classes = int(model.outputs[0].shape[-1])
        self.parameters = model.count_params()
        self._predict = predict.predictor(model)

    def outputs(self, images: NDArray) -> Floats:
        """Return the logits (n, classes) for raw values (n, *shape)."""
        return self._predict(images).numpy().astype(np.float32, copy=False)


class _Export:
    """A model whose file declares its inputs and outputs; subclasses implement `_run`."""

    def _declare(self, path: Path, shapes: list[list[tuple]], types: list[str]) -> None:
        """Set what `Runtime` has; raise ModelError unless there are one input of numbers and one float32 output.

        The first of `types` is that of the input.
        """
        inputs, outputs = shapes
        sizes = [*inputs[0][1:], outputs[0][1]] if len(inputs) == len(outputs) == 1 and len(outputs[0]) == 2 else [None]
        if not all(isinstance(size, int | np.integer) and size > 0 for size in sizes):
            raise ModelError(
                f"{path}: expected one input of a fixed shape and one output, a value for each class; "
                f"received {inputs} and {outputs}"
            )
        found = [_NUMPY_TYPES.get(name, name) for name in types]
        if found[0] not in ("float32", "int32", "int64") or found[1] != "float32":
            raise ModelError(f"{path}: expected float32 in and out; received {', '.join(sorted(set(types)))}")
        self._type, self.takes_tokens = np.dtype(found[0]), found[0] != "float32"
        *shape, self.classes = (int(size) for size in sizes if size)
        self.shape, self._path = tuple(shape), path
        self._one_at_a_time = inputs[0][:1] == (1,)

    def outputs(self, images: NDArray) -> Floats:
        """Return the outputs (n, classes) for raw values (n, *shape). Raises ModelError if the runtime fails."""
        values = images.astype(self._type, copy=False)
        try:
            if self._one_at_a_time:  # an export of another program with a fixed batch size
                return np.concatenate([self._run(value[None]) for value in values])
            return self._run(values)
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise _unusable(self._path, error) from error

    def _run(self, values: NDArray) -> Floats:
        raise NotImplementedError


class LiteRT(_Export):
    """A `.tflite` file in the interpreter of ai-edge-litert, with its built-in operations alone."""

    def __init__(self, path: Path, threads: int, device: str, fitting: Fitting | None) -> None:
        from kdistill.core import backend

        with backend.quiet_stderr(shown_on_failure=False):
            from ai_edge_litert.interpreter import Interpreter

            try:
                self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise _unusable(path, error) from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        types = [str(np.dtype(tensor["dtype"])) for tensor in (*inputs, *outputs)]
        self._declare(path, [[tuple(t["shape_signature"]) for t in tensors] for tensors in (inputs, outputs)], types)
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self._batch = int(inputs[0]["shape"][0])

    def _run(self, values: NDArray) -> Floats:
        if len(values) != self._batch:
            self._interpreter.resize_tensor_input(self._input, values.shape)
            self._interpreter.allocate_tensors()
            self._batch = len(values)
        self._interpreter.set_tensor(self._input, values)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)


class Onnx(_Export):
    """An `.onnx` file in a session of ONNX Runtime, on the CPU."""

    def __init__(self, path: Path, threads: int, device: str, fitting: Fitting | None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # the exceptions have the same text
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise _unusable(path, error) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        types = [tensor.type for tensor in (*inputs, *outputs)]
        self._declare(path, [[tuple(tensor.shape) for tensor in tensors] for tensors in (inputs, outputs)], types)
        self._input = inputs[0].name

    def _run(self, values: NDArray) -> Floats:
        return self._session.run(None, {self._input: values})[0]


class SavedModel(_Export):
    """The folder of a SavedModel, through its signature `serving_default`, as TensorFlow Serving uses it."""

    def __init__(self, path: Path, threads: int, device: str, fitting: Fitting | None) -> None:
        from kdistill.core import backend

        backend.start(threads, device)
        import tensorflow as tf

        try:
            self._loaded = tf.saved_model.load(str(path))  # the signature does not keep its variables alive
            self._serve = self._loaded.signatures["serving_default"]
        except Exception as error:  # TensorFlow raises many kinds for damaged folders
            raise _unusable(path, error) from error
        inputs = list(self._serve.structured_input_signature[1].items())
        outputs = list(self._serve.structured_outputs.items())
        types = [spec.dtype.name for _, spec in (*inputs, *outputs)]
        self._declare(path, [[tuple(spec.shape) for _, spec in specs] for specs in (inputs, outputs)], types)
        self._input, self._output, self._constant = inputs[0][0], outputs[0][0], tf.constant

    def _run(self, values: NDArray) -> Floats:
        return self._serve(**{self._input: self._constant(values)})[self._output].numpy()


RUNTIMES: dict[str, Callable[[Path, int, str, Fitting | None], Runtime]] = {
    "keras": Keras,
    "litert": LiteRT,
    "onnx": Onnx,
    "saved-model": SavedModel,
}


def _unusable(path: Path, error: Exception) -> ModelError:
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ModelError(f"{path}: {FORMATS[format_of(path)].title} cannot use this model: {reason[:300]}", DAMAGED_HINT)


def quiet_environment() -> dict[str, str]:
    """Return the environment of a child process that opens a model on the CPU, without TensorFlow's log lines."""
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
