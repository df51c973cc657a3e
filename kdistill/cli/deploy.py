"""The commands that use a trained model: export, benchmark, predict."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kdistill.cli import values
from kdistill.cli.lazy import Lazy
from kdistill.cli.options import Common, Debug, Json, open_session, with_some_options
from kdistill.cli.output import emit, write_out
from kdistill.core.errors import OutputError

if TYPE_CHECKING:
    from kdistill.cli.rendering import exports as tables
    from kdistill.cli.rendering.screen import Screen
    from kdistill.deploy.formats import Form
    from kdistill.deploy.predict import Row
    from kdistill.deploy.read_inputs import Reader
    from kdistill.deploy.targets import Target
    from kdistill.recipes.session import Session
else:  # it loads NumPy
    tables = Lazy("kdistill.cli.rendering.exports")

MOST_CLASSES = 1_000_000

Model = Annotated[
    Path | None,
    values.path_argument(
        "RUN|FILE", "Folder of a run, or a `.keras` file (default: the distilled run of the config's experiment)"
    ),
]
Models = Annotated[
    list[Path] | None,
    values.path_argument(
        "RUN|FILE",
        "Folders of runs, each with its teacher and its exports; `.keras` files; exports (default: the runs of the "
        "config's experiment)",
    ),
]
Format = Annotated[
    Literal["litert", "onnx", "saved-model"], typer.Option(help="LiteRT (.tflite), ONNX, or a TensorFlow SavedModel.")
]
Quantize = Annotated[
    Literal["none", "dynamic", "int8", "float16"],
    typer.Option(help="dynamic: 8-bit weights; int8: 8-bit weights and activations; float16: 16-bit weights."),
]
WithSoftmax = Annotated[bool, typer.Option("--with-softmax", help="Output probabilities rather than logits.")]
Output = Annotated[Path | None, values.path_option("Path of the export (default: beside the model)")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another export at this path.")]
AcceptedDifference = Annotated[
    values.AcceptedDifference | None,
    typer.Option(
        "--tolerance",
        parser=values.accepted_difference,
        metavar="DIFFERENCE[,AGREEMENT]",
        help="Accepted difference of an output from the model's, as a share of the outputs' size, and the least share "
        "of equal labels (default: by --quantize)",
    ),
]
Threads = Annotated[int, values.number_option(1, values.MOST_THREADS, "Threads of a call.")]
Device = Annotated[Literal["auto", "cpu", "gpu"], typer.Option(help="Device of Keras models.")]


@with_some_options("config", "set", "seed", "output_dir", "threads", "device", "json", "quiet", "debug")
def export(
    common: Common,
    format: Format,
    model: Model = None,
    quantize: Quantize = "none",
    with_softmax: WithSoftmax = False,
    output: Output = None,
    overwrite: Overwrite = False,
    tolerance: AcceptedDifference = None,
) -> None:
    """Convert a model for another runtime; an export is kept if it agrees with the model on the test split."""
    from kdistill.deploy import exports, targets

    request = exports.ExportRequest(_form(format, quantize, with_softmax), output, overwrite)
    if tolerance:
        request = request.with_tolerance(tolerance.difference, tolerance.agreement)
    named = [targets.find(model)] if model else []
    with _session(common, named) as session:
        target = named[0] if named else targets.of_experiment(session, ["distilled"])[0]
        document = exports.export(session, target, request)
    emit(document, tables.export, common.json)


def _form(format: str, quantize: str, with_softmax: bool) -> "Form":
    from kdistill.deploy import formats

    possible = formats.FORMATS[format].quantizations
    if quantize not in possible:
        raise typer.BadParameter(f"a {format} takes {', '.join(possible)}", param_hint="--quantize")
    return formats.Form(format, quantize, with_softmax)


@with_some_options("config", "set", "seed", "output_dir", "json", "quiet", "debug")
def benchmark(common: Common, models: Models = None, threads: Threads = 1) -> None:
    """Compare models and exports: size, test accuracy in their own runtime, latency, memory."""
    from kdistill.deploy import benchmark as benchmarks
    from kdistill.deploy import targets
    from kdistill.runs.benchmark import keep

    named = [targets.find(path) for path in models or ()]
    with _session(common, named) as session:
        document = benchmarks.benchmark(session, named, threads)
        try:
            keep(session.experiment, document)
        except OutputError as error:  # as in an experiment that may only be read
            session.listener.note(f"The benchmark is not kept: {error.message}")
    emit(document, tables.benchmark, common.json)


@contextmanager
def _session(common: Common, named: "list[Target]") -> "Iterator[Session]":
    """Open the session of the config, or without one of the experiment that the first model belongs to."""
    own = next((target.config_file for target in named if target.config_file), None)
    if common.config is None and own:
        common = dataclasses.replace(common, config=str(own), output_dir=own.parent.parent)
    with open_session(common) as session:
        yield session


AnyModel = Annotated[Path, values.path_argument("MODEL", "Folder of a run, a `.keras` file, or an export.")]
Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE|FOLDER|-",
        help="Images (PNG, JPEG), folders of images, `.npy`, `.npz` with `x` or the names of training data, `.csv` of "
        "features with a header, or - for such rows on stdin.",
    ),
]
Printed = Annotated[Literal["csv", "jsonl"], typer.Option(help="Output format.")]
Top = Annotated[int, values.number_option(1, MOST_CLASSES, "Number of classes to print, the most probable first.", "K")]
Drop = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Column that is no feature, for a model without column names; repeatable."),
]
MultiLabel = Annotated[
    bool,
    typer.Option(
        "--multi-label",
        help="An example may have several classes: for a model from elsewhere that neither ends in a sigmoid for each "
        "class nor has a classes.json that says it.",
    ),
]
OnError = Annotated[Literal["fail", "skip"], typer.Option(help="Stop at a damaged image, or leave it out.")]


def predict(
    model: AnyModel,
    sources: Sources,
    format: Printed = "csv",
    top: Top = 1,
    drop: Drop = None,
    on_error: OnError = "fail",
    multi_label: MultiLabel = False,
    threads: Threads = 1,
    device: Device = "auto",
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Print the predicted class of each image or row, with its probability."""
    from kdistill.cli.rendering.screen import Screen
    from kdistill.deploy.predict import Predictor
    from kdistill.deploy.read_inputs import check

    for source in sources:
        check(source)
    with closing(Screen()) as screen:
        predictor = Predictor(model, threads, device, screen, multi_label)
        reader, shown = predictor.reader(drop or (), skip=on_error == "skip"), min(top, len(predictor.classes))
        batches = predictor.rows(reader, sources, shown)
        if json_:
            emit(_document(batches, predictor.classes, shown), lambda document: "", as_json=True)
        else:
            _print(batches, format, shown)
        _tell(reader, screen)


def _print(batches: "Iterable[list[Row]]", format: str, top: int) -> None:
    """Print predictions as they come, until stdout is closed."""
    for number, rows in enumerate(batches):
        text = _json_lines(rows, top) if format == "jsonl" else _csv_lines(rows, top, heads=not number)
        if not write_out(text):
            break


def _tell(reader: "Reader", screen: "Screen") -> None:
    """Print what has to be known of the examples that were read."""
    for message in reader.warnings:
        screen.warning(message)
    for message in reader.skipped:
        screen.warning(f"Skipped: {message}")
    if reader.skipped:
        screen.warning(f"Skipped {len(reader.skipped)} in all.")


LABELS_BETWEEN = ";"  # between the classes of a multi-label example


def _csv_lines(rows: "list[Row]", top: int, heads: bool) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    if heads:
        columns = ["name", *(["labels"] if "labels" in rows[0] else [])]
        suffixes = ["", *(f"_{place}" for place in range(2, top + 1))]
        lines.writerow([*columns, *(f"{column}{suffix}" for suffix in suffixes for column in ("class", "probability"))])
    for row in rows:
        best = ((choice["class"], f"{choice['probability']:.6f}") for choice in row["top"])
        labels = [LABELS_BETWEEN.join(row["labels"])] if "labels" in row else []
        lines.writerow([row["name"], *labels, *(cell for pair in best for cell in pair)])
    return text.getvalue().rstrip("\n")


def _json_lines(rows: "list[Row]", top: int) -> str:
    lines = (_json_line(row, top) for row in rows)
    return "\n".join(map(json.dumps, lines))


def _document(batches: "Iterable[list[Row]]", classes: list[str], top: int) -> dict[str, Any]:
    return {"classes": classes, "predictions": [_json_line(row, top) for rows in batches for row in rows]}


def _json_line(row: "Row", top: int) -> dict[str, Any]:
    labels = {"labels": row["labels"]} if "labels" in row else {}
    return {"name": row["name"], **labels, **row["top"][0], **({"top": row["top"]} if top > 1 else {})}
