"""The formats of model files, and what a model can be exported as."""

import os
from dataclasses import dataclass
from pathlib import Path

from kdistill.core.errors import ModelError

SAVED_MODEL = "saved_model.pb"  # a file in every folder of a SavedModel
RUN_HINT = "The folder of a run is such as runs/quickstart/seed-0/distilled."


@dataclass(frozen=True)
class Format:
    """A format of model files."""

    title: str  # in messages
    suffix: str  # of the file; empty for a folder
    quantizations: tuple[str, ...] = ()  # values of `--quantize`; empty if models are not exported to this format
    packages: tuple[str, ...] = ()  # whose versions are recorded with an export


_ALL = ("none", "dynamic", "int8", "float16")
FORMATS = {
    "keras": Format("Keras", ".keras"),
    "litert": Format("LiteRT", ".tflite", _ALL, ("tensorflow", "ai-edge-litert")),
    "onnx": Format("ONNX", ".onnx", _ALL, ("tensorflow", "tf2onnx", "onnxruntime")),
    "saved-model": Format("SavedModel", "", ("none",), ("tensorflow",)),
}


@dataclass(frozen=True)
class Form:
    """What a model is exported as."""

    format: str  # a key of `FORMATS`
    quantize: str = "none"  # one of the format's `quantizations`
    with_softmax: bool = False  # the export returns probabilities instead of logits

    @property
    def outputs(self) -> str:
        """What the export returns: `logits` or `probabilities`."""
        return "probabilities" if self.with_softmax else "logits"

    @property
    def title(self) -> str:
        """The name in messages, such as `LiteRT int8`."""
        parts = [FORMATS[self.format].title, self.quantize, "with softmax" if self.with_softmax else "none"]
        return " ".join(part for part in parts if part != "none")

    def default_name(self, model_file: Path) -> str:
        """Return the default name of an export of `model_file`, such as `model-int8.tflite` or `saved-model`."""
        stem = [] if self.format == "saved-model" and model_file.stem == "model" else [model_file.stem]
        options = [self.quantize, "softmax" if self.with_softmax else "none"]
        folder = ["saved-model"] if self.format == "saved-model" else []
        return "-".join([*stem, *(part for part in options if part != "none"), *folder]) + FORMATS[self.format].suffix


def format_of(path: Path) -> str:
    """Return the format of a model file or folder: a key of `FORMATS`.

    Raises:
        ModelError: it is missing, or has none of these formats.
    """
    if not os.path.exists(path):
        raise ModelError(f"{path}: no such model", hint="Give the folder of a run, or the path of a model file.")
    if os.path.isdir(path):
        if (path / SAVED_MODEL).is_file():
            return "saved-model"
        raise ModelError(
            f"{path}: expected the folder of a run or of a SavedModel; received another folder",
            hint=RUN_HINT,
        )
    by_suffix = {known.suffix: name for name, known in FORMATS.items() if known.suffix}
    if path.suffix not in by_suffix:
        known = ", ".join(by_suffix)
        raise ModelError(f"{path}: expected a model file that ends in one of {known}; received {path.name!r}")
    return by_suffix[path.suffix]
