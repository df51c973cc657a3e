"""Export of a Keras model, which is kept only if its outputs on the test split agree with the model's."""

import dataclasses
import os
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kdistill.core import extras, files
from kdistill.core.errors import ConfigError, ModelError, OutputError
from kdistill.core.scaling import NONE
from kdistill.core.task import MULTI, Task
from kdistill.deploy import export_records, formats, targets
from kdistill.deploy.export_records import Identity, Record
from kdistill.deploy.formats import Form
from kdistill.deploy.targets import Target
from kdistill.deploy.tolerance import TOLERANCES, Tolerance, accepts, check_parity
from kdistill.recipes import checks, evaluate
from kdistill.recipes.session import Session

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ExportRequest:
    """The options of an export."""

    form: Form
    output: Path | None = None  # the export, or a folder for one of the default name; by default the model's folder
    overwrite: bool = False  # replace another export
    tolerance: Tolerance | None = None  # accepted differences from the model; None for those of the quantization

    @property
    def accepted(self) -> Tolerance:
        """The differences from the model that are accepted."""
        return self.tolerance or TOLERANCES[self.form.quantize]

    def with_tolerance(self, difference: float, agreement: float | None = None) -> "ExportRequest":
        """Return the request with other accepted differences; without `agreement` that of the quantization stays."""
        agreement = self.accepted.agreement if agreement is None else agreement
        return dataclasses.replace(self, tolerance=Tolerance(difference, agreement))


class Exported(Record):
    """The document of `kdistill export`."""

    path: str
    run_info: dict[str, Any]  # `reused`, `seconds`


def export(session: Session, target: Target, request: ExportRequest) -> Exported:
    """Export a model, or reuse an export of the same identity.

    Raises:
        ModelError: the model is missing or damaged, does not fit the data, or cannot be converted.
        ConfigError: an extra is not installed, or probabilities of a multi-label model are asked for.
        OutputError: the output path has another file, or cannot be written.
        ParityError: the outputs of the export differ from the model's; the export is removed.
    """
    started = time.perf_counter()
    form, source = request.form, target.path
    if formats.format_of(source) != "keras":
        raise ModelError(f"{source}: expected a `.keras` file or the folder of a run to export; received an export")
    if form.format in extras.MODULES:
        extras.check_installed(form.format, f"--format {form.format}")
    place = _place(source, request)
    if form.with_softmax and session.config.data.task is MULTI:
        raise ConfigError(
            "--with-softmax: the data are multi-label (data.labels: multi), and a class's probability is the sigmoid "
            "of its logit: expected an export of logits",
            hint="Leave --with-softmax out: `kdistill predict` computes probabilities of logits; other programs may "
            "by 1 / (1 + exp(-logit)).",
        )
    target = targets.with_preprocessing(target, session)
    targets.check_data(target, session)
    if told := targets.about_members(target):
        session.listener.note(told)
    identity = _identity(session, target, form)
    reused = _is_exported(place, identity, request)
    if reused:
        session.listener.note(f"{place}: complete, reused")
    else:
        splits = session.splits
        export_records.check_names(place, splits.classes, splits.features, splits.inputs, splits.task)
        checks.writable(place.parent)
        _make(session, target, place, identity, request)
    run_info = {"reused": reused, "seconds": round(time.perf_counter() - started, 2)}
    made: Any = {"path": str(place), **(export_records.read(place) or {}), "run_info": run_info}
    return made


def _place(source: Path, request: ExportRequest) -> Path:
    """Return the path of the export; raise OutputError if it does not suit the format."""
    name = request.form.default_name(source)
    if request.output is None:
        return source.parent / name
    place, ending = targets.resolve_dots(request.output), formats.FORMATS[request.form.format].suffix
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
    if target.preprocessing != NONE:
        identity["preprocessing"] = target.preprocessing
    return identity


def _is_exported(place: Path, identity: Identity, request: ExportRequest) -> bool:
    """Whether an undamaged export of this identity exists, within the tolerance of the request.

    Raises OutputError if another file must not be replaced.
    """
    record = export_records.read(place)
    if not os.path.lexists(place):
        _check_record_file(place, record)
        return False
    if record and not export_records.damage(place, record):
        keys = dict.fromkeys([*identity, "preprocessing"])
        differs = ", ".join(key for key in keys if record.get(key) != identity.get(key))
        if not differs:  # exports with the record of an earlier version are made again
            parity = record["parity"]
            return "largest_share" in parity and "largest_input" in record and accepts(request.accepted, parity)
        problem = f"this is another export: its {differs.replace('_sha256', '')} differs"
    else:
        problem = "this file exists and was not written by `kdistill export`, or was changed"
    if not request.overwrite:
        raise OutputError(f"{place}: {problem}", hint="Use --overwrite to replace it, or another --output.")
    if not record and place.is_dir() and not (place / formats.SAVED_MODEL).is_file():
        raise OutputError(f"{place}: a folder that is not a SavedModel is not replaced", hint="Give another --output.")
    return False


def _check_record_file(place: Path, record: Record | None) -> None:
    """Raise if the record would replace another file, such as the result of a run."""
    file = export_records.record_file(place)
    if os.path.lexists(file) and "sha256_of_export" not in (record or {}):
        raise OutputError(
            f"{file}: this file exists, and the record of {place.name} would replace it",
            hint="Give --output another name.",
        )


def _make(session: Session, target: Target, place: Path, identity: Identity, request: ExportRequest) -> None:
    """Convert a model, check the parity of the export, and write it with its record."""
    session.start()
    from kdistill import models
    from kdistill.deploy import convert, parity

    form, tolerance, splits = request.form, request.accepted, session.splits
    try:
        model, notes = models.load_classifier(target.path, *splits.fitting)
    except ModelError as error:
        raise ModelError(error.message, error.hint or evaluate.data_hint(session.config)) from error
    _note_changes(session, target, form, notes)
    model = _with_raw_values(session, target, model)
    test, train = splits.test, splits.train
    served, reference = _with_outputs(model, target.path, form, test, splits.task)
    with export_records.making(place) as temporary, files.writing(place):
        try:
            convert.convert(served, form, temporary, convert.calibration(train))
            found = parity.outputs_of(temporary, form, test, session.threads)
        except ModelError as error:
            raise ModelError(error.message.replace(str(temporary), str(target.path)), error.hint) from error
        agreement = parity.compare(reference, found, test.all_labels, tolerance)
        check_parity(agreement, tolerance, form, str(target.path))
        about = {
            "model": os.path.relpath(target.path.absolute(), place.parent.absolute()),
            "parameters": model.count_params(),
            "shape": list(session.splits.shape),
            "largest_input": models.largest_input(model),
            **({"vocabulary": vocabulary} if (vocabulary := models.vocabulary(model)) else {}),
            "classes": list(session.splits.classes),
            "parity": {**agreement, "tolerance": dataclasses.asdict(tolerance)},
            "calibration_rows": min(convert.CALIBRATION_ROWS, len(train)) if form.quantize == "int8" else None,
            "versions": {package: version(package) for package in formats.FORMATS[form.format].packages},
        }
        export_records.put(temporary, place)
        export_records.write(place, {**identity, **about})
        export_records.write_names(place, splits.classes, splits.features, splits.inputs, splits.task)


def _note_changes(session: Session, target: Target, form: Form, notes: list[str]) -> None:
    """Note how the export differs from a model that no run has made."""
    from kdistill import models

    note = session.listener.note
    for text in notes:
        if not text.endswith((models.SOFTMAX_TAKEN_OFF, models.SIGMOIDS_TAKEN_OFF)):
            note(text)
        elif session.splits.task is MULTI:
            note(f"{target.path} ends in sigmoids: logits are exported.")
        elif not form.with_softmax:
            note(f"{target.path} ends in a softmax: logits are exported, unless --with-softmax.")
    if target.preprocessing != NONE:
        note(f"{target.path}: the export scales raw values itself (teacher.preprocessing: {target.preprocessing}).")


def _with_raw_values(session: Session, target: Target, model: "keras.Model") -> "keras.Model":
    """Return a model that takes raw values in the shape of the data."""
    from kdistill.models import adapt_inputs, with_scaling

    splits = session.splits
    model = with_scaling(model, splits.shape, splits.preprocessing(target.preprocessing))
    taken, dtype = model.inputs[0], "int32" if splits.vocabulary else None
    is_fitting = None not in taken.shape[1:] and dtype in (None, taken.dtype)
    return model if is_fitting else adapt_inputs.in_front(model, splits.shape, [], dtype)


def _with_outputs(
    model: "keras.Model", path: Path, form: Form, test: Any, task: Task
) -> tuple["keras.Model", np.ndarray]:
    """Return the model to export, with a softmax if the form has one, and its outputs on the test split in Keras.

    Raises ModelError if it computes in another precision, or its outputs are not logits.
    """
    import keras

    from kdistill.evaluation import metrics, predict

    _check_precision(model, path)
    logits = predict.logits(predict.predictor(model), test)
    metrics.check_logits(logits, str(path), task=task)
    if not form.with_softmax:
        return model, logits
    softmax = keras.layers.Softmax(name="probabilities")
    served = keras.Model(model.inputs[0], softmax(model.outputs[0]), name=model.name)
    return served, predict.logits(predict.predictor(served), test)


def _check_precision(model: "keras.Model", path: Path) -> None:
    """Raise if a model does not compute in float32, the only precision that all runtimes support."""
    import keras

    types = {layer.compute_dtype for layer in model._flatten_layers()}
    others = sorted(name for name in types if keras.backend.is_float_dtype(name) and name != "float32")
    if others:
        raise ModelError(
            f"{path}: expected a model that computes in float32; received one in {', '.join(others)}",
            hint="Build the same model under the policy float32, and copy the weights: `set_weights(get_weights())`.",
        )
