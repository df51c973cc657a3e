"""Conversion of a Keras model: `model.export`, tf2onnx, and the quantizers of LiteRT and ONNX Runtime.

An export takes raw values as float32, and tokens as int32, in batches of any size, and returns what the model returns.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kdistill.core import backend
from kdistill.core.errors import ModelError
from kdistill.datasets import Split
from kdistill.deploy.formats import Form
from kdistill.deploy.runtimes import served

# "A few hundred" in TensorFlow's guide to post-training quantization.
CALIBRATION_ROWS = 500
RECURRENT = (keras.layers.LSTM, keras.layers.GRU)

Rows = Callable[[], Iterator[NDArray]]


def convert(model: keras.Model, form: Form, path: Path, rows: Rows) -> None:
    """Write a model to `path`.

    Args:
        model: raw values in, as int32 if it takes tokens; logits or probabilities out; the batch size is open.
        form: the format and quantization to write.
        path: the file or folder to write, with the suffix of the format.
        rows: yields raw examples (1, *shape) of the training split, to calibrate the ranges of int8.

    Raises:
        ModelError: the format has no counterpart of an operation; names the operation.
    """
    dtype = "int32" if model.inputs[0].dtype == "int32" else "float32"
    signature = [keras.InputSpec(shape=model.inputs[0].shape, dtype=dtype, name="input")]
    model = _for_export(model, form)
    try:
        with backend.quiet_stderr(shown_on_failure=False), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            WRITERS[form.format](model, form, path, rows, signature)
    except (OSError, MemoryError):
        raise  # not caused by the model
    except Exception as error:  # the converters raise many kinds
        raise ModelError(f"{path}: cannot be written as {form.title}: {_reason(error)}", _hint(form)) from error


def _for_export(model: keras.Model, form: Form) -> keras.Model:
    """Return a model of the same weights whose recurrent layers can be converted, wherever this runs.

    Without a copy, they would be traced for cuDNN on a machine with a GPU. LiteRT has no loops over a batch of any
    size: for it the steps are written one after the other.
    """
    if not any(isinstance(layer, RECURRENT) for layer in model._flatten_layers()):
        return model
    changes = {"use_cudnn": False, "unroll": form.format == "litert"}

    def copied(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        return type(layer).from_config({**config, **(changes if isinstance(layer, RECURRENT) else {})})

    copy = keras.models.clone_model(model, clone_function=copied, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def _litert(model: keras.Model, form: Form, path: Path, rows: Rows, signature: list[Any]) -> None:
    built_ins = tf.lite.OpsSet.TFLITE_BUILTINS_INT8 if form.quantize == "int8" else tf.lite.OpsSet.TFLITE_BUILTINS
    # Keras would also allow operations of TensorFlow, which the runtime does not have.
    target: dict[str, Any] = {"supported_ops": [built_ins]}
    options: dict[str, Any] = {}
    if form.quantize != "none":
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if form.quantize == "float16":
        target["supported_types"] = [tf.float16]
    if form.quantize == "int8":
        options["representative_dataset"] = lambda: ([row] for row in rows())
    model.export(str(path), format="litert", verbose=False, input_signature=signature, target_spec=target, **options)


def _saved_model(model: keras.Model, form: Form, path: Path, rows: Rows, signature: list[Any]) -> None:
    archive = keras.export.ExportArchive()
    archive.track(model)
    # `model.export` does not pass training=False, without which layers such as RandomFlip are active.
    archive.add_endpoint("serve", partial(model, training=False), input_signature=signature)
    archive.write_out(str(path), verbose=False)


def _onnx(model: keras.Model, form: Form, path: Path, rows: Rows, signature: list[Any]) -> None:
    if form.quantize == "none":
        _plain_onnx(model, form, path, signature)
        return
    plain = path.with_name(f"{path.stem}-plain.onnx")
    try:
        _plain_onnx(model, form, plain, signature)
        _QUANTIZERS[form.quantize](plain, path, rows)
    finally:
        plain.unlink(missing_ok=True)


def _plain_onnx(model: keras.Model, form: Form, path: Path, signature: list[Any]) -> None:
    """Write a float32 model with tf2onnx.

    `model.export` would turn constants, such as the mean of a Normalization, into inputs; and tf2onnx does not know the
    operation `Erfc`, which GELU uses.
    """
    import tf2onnx

    function = tf.function(lambda images: model(images, training=False), autograph=False)
    (given_input,) = signature
    concrete = function.get_concrete_function(tf.TensorSpec(given_input.shape, given_input.dtype, name="input"))
    names = {concrete.inputs[0].name: "input", concrete.outputs[0].name: form.outputs}
    taken, given = list(names)
    graph = tf2onnx.tf_loader.from_function(concrete, [taken], [given])
    written, _ = tf2onnx.convert.from_graph_def(
        graph,
        name=form.title,
        input_names=[taken],
        output_names=[given],
        tensors_to_rename=names,
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    _check_onnx(written)
    path.write_bytes(written.SerializeToString())


def _erfc(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Replace TensorFlow's Erfc(x) by 1 - Erf(x)."""
    import tf2onnx

    shapes, types = [context.get_shape(node.output[0])], [context.get_dtype(node.output[0])]
    context.remove_node(node.name)
    erf = context.make_node("Erf", [node.input[0]])
    one = context.make_const(tf2onnx.utils.make_name("one"), np.array(1, np.float32))
    context.make_node(
        "Sub", [one.output[0], erf.output[0]], outputs=node.output, name=node.name, shapes=shapes, dtypes=types
    )


def _check_onnx(written: Any) -> None:
    """Raise if an operation is not in ONNX: tf2onnx silently keeps those of TensorFlow."""
    import onnx

    versions = {entry.domain: entry.version for entry in written.opset_import}
    unknown = {
        f"tf.{node.op_type}"
        for node in written.graph.node
        if not onnx.defs.has(node.op_type, versions.get(node.domain, 1), node.domain)
    }
    if unknown:
        raise ValueError("".join(f"'{name}' op is neither in ONNX nor known to tf2onnx\n" for name in sorted(unknown)))


def _onnx_dynamic(plain: Path, path: Path, rows: Rows) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Unsigned, since ONNX Runtime has no convolution with signed weights on the CPU.
    quantize_dynamic(plain, path, weight_type=QuantType.QUInt8)


def _onnx_int8(plain: Path, path: Path, rows: Rows) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    name = onnx.load(plain).graph.input[0].name

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._rows = rows()

        def get_next(self) -> dict[str, NDArray] | None:
            row = next(self._rows, None)
            return None if row is None else {name: row}

    types = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
    # `reduce_range`, weights of 7 bits: sums of 8-bit products overflow 16 bits on processors without VNNI.
    quantize_static(plain, path, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True, **types)


def _onnx_float16(plain: Path, path: Path, rows: Rows) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(plain), keep_io_types=True), path)


WRITERS = {"litert": _litert, "onnx": _onnx, "saved-model": _saved_model}
_QUANTIZERS = {"dynamic": _onnx_dynamic, "int8": _onnx_int8, "float16": _onnx_float16}


def _reason(error: Exception) -> str:
    """Return the operations without a counterpart, or else the first line of the error."""
    text = str(error)
    missing = sorted(set(re.findall(r"'?(tf\.\w+)'? op is neither", text)))
    if missing:
        return f"it has no counterpart of {', '.join(missing)}"
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    return lines[0][:300]


def _hint(form: Form) -> str:
    if form.quantize != "none":
        return "Try another --quantize: `none` and `float16` take every operation that the format has."
    return "Build the model without that layer, or choose another --format: saved-model takes every layer."


def calibration(train: Split) -> Rows:
    """Return a function that yields at most `CALIBRATION_ROWS` examples (1, *shape), evenly spaced in `train`."""
    places = np.unique(np.linspace(0, len(train) - 1, CALIBRATION_ROWS).astype(np.int64))
    return lambda: (served(train.take(places[[number]])[0]) for number in range(len(places)))
