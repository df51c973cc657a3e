"""What `kdistill benchmark` has measured and kept."""

from kdistill.deploy import keeping
from kdistill.pages.material import Benchmark, Measured
from kdistill.pages.origins import options_of
from kdistill.pages.subject import Document, Subject


def benchmark(subject: Subject) -> tuple[Benchmark | None, str]:
    """Return the last benchmark of an experiment, or None and why there is none to tell of."""
    kept = keeping.kept(subject.home.experiment)
    again = f"`kdistill benchmark {options_of(subject.home)}`"
    if kept is None:
        return None, f"Size and latency were not measured: run {again}."
    if names := keeping.changed(kept):
        return None, f"{', '.join(names)}: no longer the model that was measured. Run {again} to measure it again."
    info = kept["run_info"]
    threads, cores = info["threads"], info["cores"]
    machine = f"{info['machine']}, {cores} core{'s' if cores > 1 else ''}, {threads} thread{'s' if threads > 1 else ''}"
    return Benchmark([_measured(row) for row in kept["rows"]], machine, info["how"], kept["when"]), ""


def _measured(row: Document) -> Measured:
    return Measured(
        name=row["name"],
        format=row["format"],
        parameters=row["parameters"],
        file_bytes=row["file_bytes"],
        accuracy=row["accuracy"],
        milliseconds={int(batch): timed["p50_ms"] for batch, timed in row["latency"].items()},
        per_second={int(batch): timed["per_second"] for batch, timed in row["latency"].items()},
        peak_memory_bytes=row["peak_memory_bytes"],
    )
