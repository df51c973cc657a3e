"""Turns the documents of exports and benchmarks into what a person reads, as `report` does for the others."""

from rich.console import Group, RenderableType
from rich.padding import Padding

from kdistill.cli.rendering.results import facts
from kdistill.cli.rendering.tables import FittingTable
from kdistill.deploy.exports import Exported
from kdistill.runs.benchmark import Benchmark, Measured


def export(document: Exported) -> RenderableType:
    """Show what was exported, and how well it agrees with its model."""
    parity = document["parity"]
    points = 100 * (parity["accuracy"] - parity["model_accuracy"])
    share, allowed = 100 * (parity["largest_share"] or 0.0), 100 * parity["tolerance"]["difference"]
    rows = {
        "export": f"{document['path']} ({_size(document['file_bytes'])})",
        "from": f"{document['model']}, seen from there; {document['parameters']:,} parameters",
        "in, out": f"raw values, float32 (n, {', '.join(map(str, document['shape']))}); {document['outputs']}",
        "classes": f"{len(document['classes'])}, with their names in classes.json beside it",
        "agreement": f"{100 * parity['agreement']:.2f} % equal labels on {parity['examples']:,} test examples; outputs "
        f"at most {parity['largest_difference']:.3g} apart, {share:.2g} % of their size (accepted: {allowed:g} %)",
        "accuracy": f"{parity['accuracy']:.4f} in its own runtime ({points:+.2f} points against the model)",
    }
    return facts({f"{document['format']}, quantization: {document['quantize']}": rows})


def benchmark(document: Benchmark) -> RenderableType:
    """Show what each model costs and knows, the ratios to the first, and how it was measured."""
    info = document["run_info"]
    title = f"{document['experiment']}: {document['split']} split, {document['examples']:,} examples"
    versions = ", ".join(f"{name} {number}" for name, number in info["versions"].items() if number)
    about = {
        "machine": f"{info['machine']}, {info['cores']} cores; {info['platform']}",
        "threads": info["threads"],
        "measured": info["how"],
        "versions": versions,
    }
    against = f"against {document['reference']}: how many times smaller, faster, leaner; points of accuracy"
    return Group(
        FittingTable(title, _HEADINGS, [_figures(row) for row in document["rows"]]),
        Padding(FittingTable(against, _RATIOS, [_ratios(row) for row in document["rows"]]), (1, 0)),
        facts({"how": about}),
    )


_TIMES = ("ms at 1: p50", "p90", "p99", "ms at 32: p50", "p90", "p99")
_HEADINGS = ("accuracy", "file", *_TIMES, "max diff", "parameters", "memory")
_RATIOS = ("file", "speed at 1", "speed at 32", "accuracy", "parameters", "memory")


def _figures(row: Measured) -> tuple[str, ...]:
    difference, memory = row["largest_difference"], row["peak_memory_bytes"]
    timed = [_milliseconds(at[key]) for at in row["latency"].values() for key in ("p50_ms", "p90_ms", "p99_ms")]
    return (
        row["name"],
        f"{row['accuracy']:.4f}",
        _size(row["file_bytes"]),
        *timed,
        "-" if difference is None else f"{difference:.2g}",
        "-" if row["parameters"] is None else f"{row['parameters']:,}",
        "-" if memory is None else f"{memory / 1e6:.0f} MB",
    )


def _ratios(row: Measured) -> tuple[str, ...]:
    ratios = row["ratios"]
    return (
        row["name"],
        _times(ratios["file_bytes"]),
        *map(_times, ratios["throughput"].values()),
        f"{ratios['accuracy_points']:+.2f}",
        _times(ratios["parameters"]),
        _times(ratios["peak_memory_bytes"]),
    )


def _size(count: int) -> str:
    return f"{count / 1e3:,.{1 if count < 1e5 else 0}f} kB"


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.{1 if ratio >= 10 else 2}f}x"


def _milliseconds(value: float) -> str:
    return f"{value:.4f}" if value < 0.1 else f"{value:.{3 if value < 10 else 1}f}"
