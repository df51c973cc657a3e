"""The commands that take a model away: export, benchmark, predict."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kdistill.cli import values
from kdistill.cli.options import Common, Debug, open_session, with_some_options
from kdistill.cli.output import emit, write_out
from kdistill.core.errors import OutputError

if TYPE_CHECKING:
    from kdistill.cli.rendering.screen import Screen
    from kdistill.deploy.predict import Row
    from kdistill.deploy.targets import Target
    from kdistill.recipes.session import Session

MOST_CLASSES = 1_000_000

Model = Annotated[
    Path | None,
    typer.Argument(
        parser=values.a_path,
        metavar="RUN|FILE",
        help="The folder of a run, or a `.keras` file (default: the distilled run of the config's experiment)",
    ),
]
Models = Annotated[
    list[Path] | None,
    typer.Argument(
        parser=values.a_path,
        metavar="RUN|FILE",
        help="Folders of runs, each with its teacher and its exports; model files; exports (default: the runs of "
        "the config's experiment)",
    ),
]
Format = Annotated[
    Literal["litert", "onnx", "saved-model"],
    typer.Option(help="LiteRT (.tflite), ONNX, or a SavedModel of TensorFlow."),
]
Quantize = Annotated[
    Literal["none", "dynamic", "int8", "float16"],
    typer.Option(help="dynamic: weights of 8 bits; int8: weights and what is computed; float16: weights of 16 bits."),
]
WithSoftmax = Annotated[bool, typer.Option("--with-softmax", help="Put out probabilities rather than logits.")]
Output = Annotated[
    Path | None, typer.Option(parser=values.a_path, metavar="PATH", help="Where to (default: beside the model)")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another export that is there.")]
Threads = Annotated[
    int, typer.Option(parser=values.whole_number(1, values.MOST_THREADS), metavar="N", help="Threads within one call.")
]
Device = Annotated[Literal["auto", "cpu", "gpu"], typer.Option(help="Of Keras models.")]


@with_some_options("config", "set", "seed", "output_dir", "threads", "device", "json", "quiet", "debug")
def export(
    common: Common,
    format: Format,
    model: Model = None,
    quantize: Quantize = "none",
    with_softmax: WithSoftmax = False,
    output: Output = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model for another runtime; it is kept only if it does there, on the test split, what the model does."""
    from kdistill.cli.rendering import exports as tables
    from kdistill.deploy import exports, formats, targets

    if quantize not in formats.FORMATS[format].quantizations:
        raise typer.BadParameter(
            f"a {format} takes {', '.join(formats.FORMATS[format].quantizations)}", param_hint="--quantize"
        )
    request = exports.ExportRequest(formats.Form(format, quantize, with_softmax), output, overwrite)
    named = [targets.find(model)] if model else []
    with _session(common, named) as session:
        target = named[0] if named else targets.of_experiment(session, ["distilled"])[0]
        document = exports.export(session, target, request)
    emit(document, tables.export, common.json)


@with_some_options("config", "set", "seed", "output_dir", "json", "quiet", "debug")
def benchmark(
    common: Common,
    models: Models = None,
    threads: Threads = 1,
) -> None:
    """Measure models and exports side by side: size, accuracy in their own runtime, latency, memory."""
    from kdistill.cli.rendering import exports as tables
    from kdistill.deploy import benchmark as benchmarks
    from kdistill.deploy import targets
    from kdistill.runs.benchmark import keep

    named = [targets.find(path) for path in models or ()]
    with _session(common, named) as session:
        document = benchmarks.benchmark(session, named, threads)
        try:
            keep(session.experiment, document)
        except OutputError as error:  # it may be someone else's experiment, to be looked at only
            session.listener.note(f"The benchmark is not kept: {error.message}")
    emit(document, tables.benchmark, common.json)


@contextmanager
def _session(common: Common, named: "list[Target]") -> "Iterator[Session]":
    """Open the session of the config given, or else of the experiment that the first named model is in."""
    own = next((target.config_file for target in named if target.config_file), None)
    if common.config is None and own:
        common = dataclasses.replace(common, config=str(own), output_dir=own.parent.parent)
    with open_session(common) as session:
        yield session


AnyModel = Annotated[
    Path,
    typer.Argument(parser=values.a_path, metavar="MODEL", help="The folder of a run, a `.keras` file, or an export."),
]
Source = Annotated[
    str,
    typer.Argument(
        metavar="FILE|FOLDER|-",
        help="An image (PNG, JPEG), a folder of them, an .npz with `x` or `x_test`, a .csv of features with a line of "
        "names, or - for such rows on stdin.",
    ),
]
Printed = Annotated[Literal["csv", "jsonl"], typer.Option(help="What is printed.")]
Top = Annotated[
    int,
    typer.Option(parser=values.whole_number(1, MOST_CLASSES), metavar="K", help="How many classes, the best first."),
]
Drop = Annotated[
    list[str] | None,
    typer.Option(
        "--drop",
        metavar="COLUMN",
        help="A column of a table that is no feature, for a model that does not know its columns; repeatable.",
    ),
]
OnError = Annotated[
    Literal["fail", "skip"],
    typer.Option(help="What to do about an image that is damaged."),
]


def predict(
    model: AnyModel,
    source: Source,
    format: Printed = "csv",
    top: Top = 1,
    drop: Drop = None,
    on_error: OnError = "fail",
    threads: Threads = 1,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Print class and probability of each image or row."""
    from kdistill.cli.rendering.screen import Screen, console
    from kdistill.deploy.predict import Predictor
    from kdistill.deploy.read_inputs import check

    check(source)
    with closing(Screen(console(stderr=True))) as screen:
        predictor = Predictor(model, threads, device, screen)
        reader, shown = predictor.reader(drop or (), skip=on_error == "skip"), min(top, len(predictor.classes))
        for number, rows in enumerate(predictor.rows(reader, source, shown)):
            text = _json_lines(rows, shown) if format == "jsonl" else _csv_lines(rows, shown, heads=not number)
            if not write_out(text):  # nobody reads it any more
                break
        _tell_skipped(reader.skipped, screen)


def _tell_skipped(messages: Sequence[str], screen: "Screen") -> None:
    for message in messages:
        screen.warning(f"Skipped: {message}")
    if messages:
        screen.warning(f"Skipped {len(messages)} in all.")


def _csv_lines(rows: "list[Row]", top: int, heads: bool) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    if heads:
        more = [(f"class_{place}", f"probability_{place}") for place in range(2, top + 1)]
        lines.writerow(["name", "class", "probability", *(head for pair in more for head in pair)])
    for row in rows:
        best = [(choice["class"], f"{choice['probability']:.6f}") for choice in row["top"]]
        lines.writerow([row["name"], *(cell for pair in best for cell in pair)])
    return text.getvalue().rstrip("\n")


def _json_lines(rows: "list[Row]", top: int) -> str:
    lines = []
    for row in rows:
        best = row["top"][0]
        line = {"name": row["name"], "class": best["class"], "probability": best["probability"]}
        lines.append(json.dumps({**line, "top": row["top"]} if top > 1 else line))
    return "\n".join(lines)
