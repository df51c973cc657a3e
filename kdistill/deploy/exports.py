"""An export, from a Keras model to a file that is kept only if it makes of the test split what the model does."""

import dataclasses
import os
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kdistill.core import extras, files
from kdistill.core.errors import ModelError, OutputError
from kdistill.datasets import preprocessing
from kdistill.deploy import export_records, targets
from kdistill.deploy.export_records import Form, Identity, Record
from kdistill.deploy.targets import Target
from kdistill.recipes import checks, evaluate
from kdistill.recipes.session import Session

if TYPE_CHECKING:
    import keras

PACKAGES = {
    "litert": ("tensorflow", "ai-edge-litert"),
    "onnx": ("tensorflow", "tf2onnx", "onnxruntime"),
    "saved-model": ("tensorflow",),
}


@dataclass(frozen=True)
class Order:
    """What is to be exported.

    Attributes:
        form: the format, and how it is quantized.
        output: where to; a folder that is there gets a file of the usual name. None is beside the model.
        overwrite: replace what is there.
    """

    form: Form
    output: Path | None = None
    overwrite: bool = False


class Exported(Record):
    """An export that was made, or was there already."""

    path: str
    run_info: dict[str, Any]  # `reused`, `seconds`


def export(session: Session, target: Target, order: Order) -> Exported:
    """Export a model, unless that very export is there already.

    Raises:
        ModelError: the model is missing or damaged, does not fit the data, or the form has no operation for it.
        ConfigError: an extra is missing.
        OutputError: something else is in the place of the export, or nothing can be written there.
        ParityError: the export does not do what the model does; nothing is left of it.
    """
    started = time.perf_counter()
    form, source = order.form, target.path
    if export_records.kind_of(source) != "keras":
        raise ModelError(f"{source}: expected a `.keras` file or the folder of a run to export; received an export")
    if form.format in extras.MODULES:
        extras.check_installed(form.format, f"--format {form.format}")
    place = _place(source, order)
    target = targets.with_preprocessing(target, session)
    targets.check_data(target, session)
    identity = _identity(session, target, form)
    reused = _is_there(place, identity, order.overwrite)
    if not reused:
        export_records.check_names(place, session.splits.classes, session.splits.features)
        checks.writable(place.parent)
        _make(session, target, place, identity, form)
    else:
        session.listener.note(f"{place}: complete, reused")
    run_info = {"reused": reused, "seconds": round(time.perf_counter() - started, 2)}
    made: Any = {"path": str(place), **(export_records.read(place) or {}), "run_info": run_info}
    return made


def _place(source: Path, order: Order) -> Path:
    """Return where an export goes.

    Raises:
        OutputError: the path cannot be that of an export of this format.
    """
    name = order.form.default_name(source)
    if order.output is None:
        return source.parent / name
    place, ending = targets.named(order.output), export_records.ENDINGS[order.form.format]
    if place.is_dir() and not export_records.record_file(place).exists():
        place = place / name
    if ending and place.suffix != ending:
        raise OutputError(
            f"--output {place}: expected a name that ends in {ending}; received {place.name}",
            hint=f"Try {place.with_suffix(ending)}, or the path of a folder.",
        )
    if not place.parent.is_dir():
        raise OutputError(f"--output {place}: there is no folder {place.parent}", hint="Make the folder first.")
    return place


def _identity(session: Session, target: Target, form: Form) -> Identity:
    identity: Identity = {
        "format": form.format,
        "quantize": form.quantize,
        "outputs": form.outputs,
        "model_sha256": files.sha256(target.path),
        "data": {"fingerprint": session.splits.fingerprint, "split_fingerprint": session.splits.split_fingerprint},
    }
    if target.preprocessing != preprocessing.NONE:
        identity["preprocessing"] = target.preprocessing
    return identity


def _is_there(place: Path, identity: Identity, overwrite: bool) -> bool:
    """Whether this very export is there, whole.

    Raises:
        OutputError: something else is, and may not be replaced.
    """
    record = export_records.read(place)
    if not os.path.lexists(place):
        _check_record_file(place, record)
        return False
    if record and not export_records.damage(place, record):
        keys = dict.fromkeys([*identity, "preprocessing"])
        differs = ", ".join(key for key in keys if record.get(key) != identity.get(key))
        if not differs:  # one with the record of an earlier version is made again
            return "largest_share" in record["parity"] and "largest_input" in record
        problem = f"this is another export: its {differs.replace('_sha256', '')} differs"
    else:
        problem = "this exists, and is not what `kdistill export` wrote there"
    if not overwrite:
        raise OutputError(f"{place}: {problem}", hint="Use --overwrite to replace it, or another --output.")
    if not record and place.is_dir() and not (place / export_records.SAVED_MODEL).is_file():
        raise OutputError(f"{place}: a folder that is not a SavedModel is not replaced", hint="Give another --output.")
    return False


def _check_record_file(place: Path, record: Record | None) -> None:
    """Refuse a name of which the record would take the place of another file, such as the result of a run."""
    file = export_records.record_file(place)
    if os.path.lexists(file) and "sha256_of_export" not in (record or {}):
        raise OutputError(
            f"{file}: this exists, and would be the record of {place.name}", hint="Give --output another name."
        )


def _make(session: Session, target: Target, place: Path, identity: Identity, form: Form) -> None:
    """Convert a model, hold the result against it, and put it in its place with its record."""
    session.start()
    from kdistill import models
    from kdistill.deploy import convert, parity

    try:
        model, notes = models.load_classifier(target.path, session.splits.shape, len(session.splits.classes))
    except ModelError as error:
        raise ModelError(error.message, error.hint or evaluate.held_against(session.config)) from error
    _tell(session, target, form, notes)
    model = _with_raw_values(session, target, model)
    test, train = session.splits.test, session.splits.train
    served, reference = _served(model, target.path, form, test)
    with export_records.making(place) as temporary, files.writing(place):
        try:
            convert.convert(served, form, temporary, convert.calibration(train))
            found = parity.outputs_of(temporary, form, test, session.threads)
        except ModelError as error:
            raise ModelError(error.message.replace(str(temporary), str(target.path)), error.hint) from error
        agreement = parity.compare(reference, found, test.all_labels)
        parity.check(agreement, form, str(target.path))
        about = {
            "model": os.path.relpath(target.path.absolute(), place.parent.absolute()),
            "parameters": model.count_params(),
            "shape": list(session.splits.shape),
            "largest_input": models.largest_input(model),
            "classes": list(session.splits.classes),
            "parity": {**agreement, "tolerance": dataclasses.asdict(parity.TOLERANCES[form.quantize])},
            "calibration_rows": min(convert.CALIBRATION_ROWS, len(train)) if form.quantize == "int8" else None,
            "versions": {package: version(package) for package in PACKAGES[form.format]},
        }
        export_records.put(temporary, place)
        export_records.write(place, {**identity, **about})
        export_records.write_names(place, session.splits.classes, session.splits.features)


def _tell(session: Session, target: Target, form: Form, notes: list[str]) -> None:
    """Say what is done to a model from elsewhere."""
    from kdistill import models

    note = session.listener.note
    for text in notes:
        if not text.endswith(models.SOFTMAX_TAKEN_OFF):
            note(text)
        elif not form.with_softmax:
            note(f"{target.path} ends in a softmax: logits are exported, unless --with-softmax.")
    if target.preprocessing != preprocessing.NONE:
        note(f"{target.path}: the export scales raw values itself (teacher.preprocessing: {target.preprocessing}).")


def _with_raw_values(session: Session, target: Target, model: "keras.Model") -> "keras.Model":
    """Return a model that takes raw values, of the shape of the data where it would take any."""
    from kdistill.models import adapt_inputs

    shape, scaled = session.splits.shape, []
    if target.preprocessing != preprocessing.NONE:
        scaled = [adapt_inputs.rescaling(*preprocessing.scaling(session.splits, target.preprocessing))]
    return adapt_inputs.in_front(model, shape, scaled) if scaled or None in model.inputs[0].shape[1:] else model


def _served(model: "keras.Model", path: Path, form: Form, test: Any) -> tuple["keras.Model", np.ndarray]:
    """Return the model that is exported, and what it makes of the test split in Keras.

    Raises:
        ModelError: it computes in another precision, or its outputs are no logits.
    """
    import keras

    from kdistill.evaluation import metrics, predict

    _check_precision(model, path)
    logits = predict.logits(predict.predictor(model), test)
    metrics.check_logits(logits, str(path))
    if not form.with_softmax:
        return model, logits
    softmax = keras.layers.Softmax(name="probabilities")
    served = keras.Model(model.inputs[0], softmax(model.outputs[0]), name=model.name)
    return served, predict.logits(predict.predictor(served), test)


def _check_precision(model: "keras.Model", path: Path) -> None:
    """Refuse a model that computes in 16 or 64 bits, which not every runtime does.

    Raises:
        ModelError: naming the precision.
    """
    import keras

    types = {layer.compute_dtype for layer in model._flatten_layers()}
    others = sorted(name for name in types if keras.backend.is_float_dtype(name) and name != "float32")
    if others:
        raise ModelError(
            f"{path}: expected a model that computes in float32; received one in {', '.join(others)}",
            hint="Build the same model under the policy float32, and copy the weights: `set_weights(get_weights())`.",
        )
