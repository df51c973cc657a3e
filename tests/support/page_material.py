"""Material for pages, made by hand: every number in it is known."""

import dataclasses

import numpy as np

from kdistill.config import Distill
from kdistill.evaluation import statistics
from kdistill.evaluation.verdict import Verdict
from kdistill.report.content import report as m

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
    )
    return dataclasses.replace(made, **changed)


def summary(*values):
    return statistics.summarize(values)


def arm(name, accuracy):
    own = None if name == "teacher" else summary(0.9, 0.92)
    scores = summary(accuracy, accuracy + 0.01), summary(0.4, 0.5), summary(0.02, 0.03)
    return m.Arm(name, name, (0, 1), *scores, own, 1210, 27_000, 0.83 if name == "baseline" else None)


def curve(seed=0, epochs=8, best=5, lift=0.0):
    steps = np.arange(1, epochs + 1)
    falling = 2.0 / steps + lift
    accuracy = 1 - 0.5 / steps - lift
    return m.Curve(seed, True, steps, falling, falling, falling, 0 * falling, falling, falling, accuracy, best)


def curves(name, runs=2):
    return m.Curves(name, "val_nll", 3, [curve(seed, 8 + seed % 3, lift=0.01 * seed) for seed in range(runs)])


def reliability(name):
    edges = np.linspace(0, 1, 5)
    count = np.array([0, 4, 20, 76])
    confidence = np.array([np.nan, 0.4, 0.6, 0.9])
    return m.Reliability(name, edges, count, confidence, np.array([np.nan, 0.25, 0.5, 0.85]), 0.0613, 2)


def confusion(classes=NAMES):
    count = len(classes)
    baseline = np.full((count, count), 0.3 / (count - 1))
    np.fill_diagonal(baseline, 0.7)
    distilled = baseline.copy()
    distilled[0, 0], distilled[0, 1] = 0.75, baseline[0, 1] - 0.05
    return m.Confusion(classes, 0, baseline, distilled, 2)


def example(number=7, label=0, row=False):
    if row:
        return m.Example(number, label, None, [("length <i>", 1.25), ("width", -3.0)], 4)
    return m.Example(number, label, np.arange(64, dtype=np.uint8).reshape(8, 8), (), 0)


def change(row=False):
    shares = {
        "teacher": np.array([0.7, 0.1, 0.1, 0.1]),
        "baseline": np.array([0.25, 0.65, 0.05, 0.05]),
        "distilled": np.array([0.5, 0.3, 0.1, 0.1]),
    }
    return m.Change(example(row=row), 3, 1, 5, shares)


def softened(temperature=4.0):
    logits = np.array([6.0, 4.0, 0.0, -2.0])
    plain, soft = (np.exp(logits / t) / np.exp(logits / t).sum() for t in (1.0, temperature))
    return m.Softened(temperature, "the teacher of seed 0", True, [m.SoftExample(example(), plain, soft)])


def sweep(axes=(("distill.temperature", (1, 4)), ("distill.alpha", (0.1, 0.9)))):
    cells = []
    for number, settings in enumerate(np.ndindex(*(len(values) for _, values in axes))):
        values = [values[place] for (_, values), place in zip(axes, settings, strict=True)]
        failed = ("it <diverged>",) if number == 1 else ()
        scores = None if failed else summary(0.9 + 0.01 * number, 0.91 + 0.01 * number)
        cells.append(m.Cell(values, scores, scores, 0 if failed else 2, failed, number == 2))
    return m.Sweep(axes, cells, 2, True, "mean validation accuracy", 0.88, verdict(), "kdistill reproduce -c w.yaml")


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
    return m.Benchmark(rows, "a machine", "by the median", "2026-01-01T00:00:00")


def class_changes():
    return [m.ClassChange(name, 50, 0.95, 0.9, 0.92, -0.01, 0.05, 2.0, 1.0) for name in NAMES]


def provenance():
    run = m.RunRow("baseline", 0, "failed", "it <broke>", 3, None, 1.5, None, None)
    done = m.RunRow("teacher", 0, "complete", None, 8, 5, 2.0, "2026-01-01T10:00:00", "e" * 64)
    config = "name: mine  # ```\nseed: 0\n"
    return m.Provenance(
        ["kdistill reproduce -c 'a b.yaml'"], config, {"numpy": ["2.4", "2.5"]}, "1 thread", [run, done]
    )


def material(**changed):
    """Return whole material of a sweep that was benchmarked too, with hostile names; change what is given."""
    made = m.Material(
        name="mine",
        about="Data and `models`.",
        state=("A run failed: <why>.",),
        seeds=range(5),
        class_names=NAMES,
        data=m.Data("npz", (8, 8), {"train": 1000, "test": 100}, "10 % of train", "f" * 64, "9" * 64),
        verdict=verdict(),
        arms=[arm("teacher", 0.95), arm("baseline", 0.9), arm("distilled", 0.91)],
        curves=[curves("teacher"), curves("baseline"), curves("distilled")],
        reliability=[reliability(name) for name in ("teacher", "baseline", "distilled")],
        confusion=confusion(),
        classes=class_changes(),
        fixed=[change()],
        broken=[change(row=True)],
        softened=softened(),
        sweep=sweep(),
        benchmark=benchmark(),
        objective=m.Objective("loss = 0.9 * 4^2 * KL(...)", Distill(alpha=0.9, temperature=4.0)),
        warnings=("Chosen on `test`: it <flatters>.",),
        provenance=provenance(),
        version="0.1.0",
    )
    return dataclasses.replace(made, **changed)


def nothing():
    """Return material of an experiment of which there is nothing yet."""
    empty = dict.fromkeys(("seeds", "arms", "curves", "reliability", "classes", "fixed", "broken", "warnings"), ())
    empty |= dict.fromkeys(("verdict", "confusion", "softened", "sweep", "benchmark"))
    missing = {part: f"No {part} <yet>." for part in m.PARTS if part != "sweep"}
    return material(**empty, state=(), class_names=(), missing=missing)
