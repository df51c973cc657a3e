"""Shows exports and benchmarks."""

from typing import TYPE_CHECKING

from rich.console import RenderableType

from kdistill.cli.rendering.results import facts
from kdistill.cli.rendering.tables import FittingTable, sections

if TYPE_CHECKING:
    from kdistill.deploy.exports import Exported
    from kdistill.runs.benchmark import Benchmark, Measured


def export(document: "Exported") -> RenderableType:
    """Show an export, and how well it agrees with its model."""
    parity = document["parity"]
    points = 100 * (parity["accuracy"] - parity["model_accuracy"])
    share, allowed = 100 * (parity["largest_share"] or 0.0), 100 * parity["tolerance"]["difference"]
    rows = {
        "export": f"{document['path']} ({_size(document['file_bytes'])})",
        "from": f"{document['model']} (relative to the export), {document['parameters']:,} parameters",
        "in, out": f"raw values, float32 (n, {', '.join(map(str, document['shape']))}); {document['outputs']}",
        "classes": f"{len(document['classes'])}, with their names in classes.json beside it",
        "agreement": f"{100 * parity['agreement']:.2f} % equal labels on {parity['examples']:,} test examples; outputs "
        f"differ by at most {parity['largest_difference']:.3g}, {share:.2g} % of their size (accepted: {allowed:g} %)",
        "accuracy": f"{parity['accuracy']:.4f} in its own runtime ({points:+.2f} points relative to the model)",
    }
    return facts({f"{document['format']}, quantization: {document['quantize']}": rows})


def benchmark(document: "Benchmark") -> RenderableType:
    """Show what each model was measured to take and to score, its ratios to the first, and how it was measured."""
    info = document["run_info"]
    data = f"{document['split']} split, {document['examples']:,} examples"
    title = f"{document['experiment']}: {data}; latency (p50, p90, p99) in ms per call with 1 and with 32 examples"
    ratios = f"relative to {document['reference']}: size, speed and memory (above 1x is better), accuracy in points"
    about = {
        "machine": f"{info['machine']}, {info['cores']} cores; {info['platform']}",
        "threads": info["threads"],
        "measured": info["how"],
        "versions": ", ".join(f"{name} {number}" for name, number in info["versions"].items() if number),
    }
    return sections(
        FittingTable(title, [(row["name"], _figures(row)) for row in document["rows"]]),
        FittingTable(ratios, [(row["name"], _ratios(row)) for row in document["rows"]]),
        facts({"how": about}),
    )


def _figures(row: "Measured") -> dict[str, str]:
    difference, memory = row["largest_difference"], row["peak_memory_bytes"]
    latency: dict[str, str] = {}
    for size, at in row["latency"].items():
        latency |= {f"p50 at {size}": _milliseconds(at["p50_ms"]), f"p90 at {size}": _milliseconds(at["p90_ms"])}
        latency[f"p99 at {size}"] = _milliseconds(at["p99_ms"])
    return {
        "accuracy": f"{row['accuracy']:.4f}",
        "file": _size(row["file_bytes"]),
        **latency,
        "max diff": "-" if difference is None else f"{difference:.2g}",
        "parameters": "-" if row["parameters"] is None else f"{row['parameters']:,}",
        "memory": "-" if memory is None else f"{memory / 1e6:.0f} MB",
    }


def _ratios(row: "Measured") -> dict[str, str]:
    ratios = row["ratios"]
    return {
        "file": _times(ratios["file_bytes"]),
        **{f"speed at {size}": _times(ratio) for size, ratio in ratios["throughput"].items()},
        "accuracy": f"{ratios['accuracy_points']:+.2f}",
        "parameters": _times(ratios["parameters"]),
        "memory": _times(ratios["peak_memory_bytes"]),
    }


def _size(count: int) -> str:
    return f"{count / 1e3:,.{1 if count < 1e5 else 0}f} kB"


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.{1 if ratio >= 10 else 2}f}x"


def _milliseconds(value: float) -> str:
    return f"{value:.4f}" if value < 0.1 else f"{value:.{3 if value < 10 else 1}f}"
