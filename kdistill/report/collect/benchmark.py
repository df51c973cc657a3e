"""What `kdistill benchmark` has measured and kept."""

import shlex

from kdistill.core.formatting import counted
from kdistill.report.collect.provenance import options_of
from kdistill.report.collect.subject import Subject
from kdistill.report.content.report import Benchmark
from kdistill.runs import benchmark as keeping


def benchmark(subject: Subject) -> tuple[Benchmark | None, str]:
    """Return the last benchmark of an experiment, or None and why there is none to tell of."""
    experiment = subject.session.experiment
    kept = keeping.kept(experiment)
    again = f"`kdistill benchmark {_named(subject)}`"
    if kept is None:
        is_there = any(subject.runs.values())
        return None, f"Size and latency were not measured{f': run {again}' if is_there else ''}."
    if names := keeping.changed(experiment, kept):
        return None, f"{', '.join(names)}: no longer the model that was measured. Run {again} to measure it again."
    info = kept["run_info"]
    machine = f"{info['machine']}, {counted(info['cores'], 'core')}, {counted(info['threads'], 'thread')}"
    return Benchmark(kept["rows"], machine, info["how"], kept["when"]), ""


def _named(subject: Subject) -> str:
    """Return the arguments that name the models: the student's own folder, in a sweep, whose config is another."""
    distilled = list(subject.runs["distilled"].values())
    return shlex.quote(str(distilled[0].folder)) if subject.is_winner and distilled else options_of(subject.home)
