"""The content of reports, made by hand: every number in it is known."""

import dataclasses
import itertools

import numpy as np

from kdistill.config import Distill
from kdistill.evaluation import statistics
from kdistill.evaluation.verdict import Verdict
from kdistill.report.content import predictions as p
from kdistill.report.content import report as m
from kdistill.report.content.provenance import Data, Objective, Provenance, RunRow

NAMES = ("<b>bold</b> & 'x'", "$\\frac{1}{0}$ | pipe", "שלום \u202eturned", "long " * 40)


def verdict(seeds=5, values=None, low=-0.001, high=0.0042, **changed):
    values = values or [0.004 if number % 3 else -0.002 for number in range(seeds)]
    made = Verdict(
        seeds=range(seeds),
        difference={**statistics.summarize(values), "ci_low": low, "ci_high": high, "confidence": 0.95},
        p_value=0.2,
        bootstrap=None,
        probability_of_improvement=0.6,
        smallest_detectable=0.005,
        mcnemar=[{"p_value": value} for value in (0.01, 0.5, 0.6, 0.7, 0.8)],
        decision="inconclusive",
        sentence="Inconclusive: +0.16 points.",
        about="About training seeds.",
        short="In <short>: 0.16 points.",
    )
    return dataclasses.replace(made, **changed)


def summary(*values):
    return statistics.summarize(values)


def arm(name, accuracy):
    own = None if name == "teacher" else summary(0.9, 0.92)
    scores = summary(accuracy, accuracy + 0.01), summary(0.4, 0.5), summary(0.02, 0.03)
    return m.Arm(
        name,
        name,
        scores[0],
        {"accuracy": scores[0]},
        *scores[1:],
        own,
        1210,
        27_000,
        0.83 if name == "baseline" else None,
    )


def curve(epochs=8, best=5, lift=0.0):
    steps = np.arange(1, epochs + 1)
    falling = 2.0 / steps + lift
    accuracy = 1 - 0.5 / steps - lift
    return m.Curve(steps, falling, falling, falling, falling, accuracy, best)


def curves(name, runs=2):
    return m.Curves(name, "val_nll", 3, [curve(8 + seed % 3, lift=0.01 * seed) for seed in range(runs)])


def reliability(name):
    edges = np.linspace(0, 1, 5)
    count = np.array([0, 4, 20, 76])
    confidence = np.array([np.nan, 0.4, 0.6, 0.9])
    return p.Reliability(name, edges, count, confidence, np.array([np.nan, 0.25, 0.5, 0.85]), 0.0613, 2)


def confusion(classes=NAMES):
    count = len(classes)
    baseline = np.full((count, count), 0.3 / (count - 1))
    np.fill_diagonal(baseline, 0.7)
    distilled = baseline.copy()
    distilled[0, 0], distilled[0, 1] = 0.75, baseline[0, 1] - 0.05
    return p.Confusion(classes, 0, baseline, distilled, 2)


def example(number=7, label=0, row=False):
    if row:
        return p.Example(number, label, None, [("length <i>", 1.25), ("width", -3.0)], 4)
    return p.Example(number, label, np.arange(64, dtype=np.uint8).reshape(8, 8))


def change(row=False):
    shares = {
        "teacher": np.array([0.7, 0.1, 0.1, 0.1]),
        "baseline": np.array([0.25, 0.65, 0.05, 0.05]),
        "distilled": np.array([0.5, 0.3, 0.1, 0.1]),
    }
    return p.Change(example(row=row), 3, 1, 5, shares)


def softened(temperature=4.0):
    logits = np.array([6.0, 4.0, 0.0, -2.0])
    plain, soft = (np.exp(logits / t) / np.exp(logits / t).sum() for t in (1.0, temperature))
    return p.Softened(temperature, "the teacher of seed 0", True, [p.SoftExample(example(), plain, soft)])


def sweep(axes=(("distill.temperature", (1, 4)), ("distill.alpha", (0.1, 0.9)))):
    axes, cells = dict(axes), []
    for number, settings in enumerate(itertools.product(*axes.values())):
        failed = ("it <diverged>",) if number == 1 else ()
        scores = None if failed else summary(0.9 + 0.01 * number, 0.91 + 0.01 * number)
        cells.append(
            m.Cell(dict(zip(axes, settings, strict=True)), scores, scores, 0 if failed else 2, failed, number == 2)
        )
    return m.Sweep(axes, cells, 2, "mean validation accuracy", 0.88, verdict(), "kdistill reproduce -c w.yaml")


def benchmark():
    rows = [
        {
            "name": name,
            "parameters": 1210,
            "file_bytes": size,
            "accuracy": 0.9,
            "latency": {"1": {"p50_ms": time}, "32": {"p50_ms": 2 * time}},
            "peak_memory_bytes": 10**8,
        }
        for name, size, time in (("teacher", 370_000, 0.5), ("distilled", 27_000, 0.1), ("x<y.onnx", 9000, 0.05))
    ]
    info = {"machine": "a machine", "cores": 2, "threads": 1, "how": "by the median"}
    return {"rows": rows, "run_info": info, "when": "2026-01-01T00:00:00"}


def class_changes():
    return [p.ClassChange(name, 50, 0.95, 0.9, 0.92, -0.01, 0.05, 2.0, 1.0) for name in NAMES]


def provenance():
    failed = {"arm": "baseline", "seed": 0, "state": "failed", "problem": "it <broke>", "epoch": 3}
    run = RunRow(failed, None, 1.5)
    complete = {"arm": "teacher", "seed": 0, "state": "complete", "problem": None, "epoch": 8}
    done = RunRow(complete, 5, 2.0, "2026-01-01T10:00:00", "e" * 64)
    config = "name: mine  # ```\nseed: 0\n"
    return Provenance(["kdistill reproduce -c 'a b.yaml'"], config, {"numpy": ["2.4", "2.5"]}, "1 thread", [run, done])


PREDICTIONS = tuple(field.name for field in dataclasses.fields(p.Predictions))
PARTS = ("verdict", "arms", "curves", *PREDICTIONS, "sweep", "benchmark")
"""The parts that may be missing: the keys of `Report.missing`."""


def parts(report):
    """Return each part of a report by its name."""
    return {part: getattr(report.predictions if part in PREDICTIONS else report, part) for part in PARTS}


def report(**changed):
    """Return the whole report of a sweep with a benchmark, with hostile names; change what is given."""
    predictions = p.Predictions(
        reliability=[reliability(name) for name in ("teacher", "baseline", "distilled")],
        confusion=confusion(),
        classes=class_changes(),
        fixed=[change()],
        broken=[change(row=True)],
        softened=softened(),
    )
    changed_predictions = {part: changed.pop(part) for part in PREDICTIONS if part in changed}
    made = m.Report(
        name="mine",
        about="Data and `models`.",
        state=("A run failed: <why>.",),
        class_names=NAMES,
        data=Data("npz", (8, 8), {"train": 1000, "test": 100}, "10 % of train", "f" * 64, "9" * 64),
        verdict=verdict(),
        arms=[arm("teacher", 0.95), arm("baseline", 0.9), arm("distilled", 0.91)],
        curves=[curves("teacher"), curves("baseline"), curves("distilled")],
        predictions=dataclasses.replace(predictions, **changed_predictions),
        sweep=sweep(),
        benchmark=benchmark(),
        objective=Objective("loss = 0.9 * 4^2 * KL(...)", Distill(alpha=0.9, temperature=4.0)),
        warnings=("Selected on `test`: <biased>.",),
        provenance=provenance(),
        missing={},
        headline="Student: 1.4 % of the <teacher>'s parameters.",
    )
    return dataclasses.replace(made, **changed)


def nothing():
    """Return the report of an experiment without any results."""
    empty = dict.fromkeys(("arms", "curves", "reliability", "classes", "fixed", "broken", "warnings"), ())
    empty |= dict.fromkeys(("verdict", "confusion", "softened", "sweep", "benchmark"))
    missing = {part: f"No {part} <yet>." for part in PARTS if part != "sweep"}
    return report(**empty, state=(), class_names=(), missing=missing, headline="")
