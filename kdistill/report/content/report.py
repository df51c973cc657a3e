"""The content of a report on one experiment: plain numbers, arrays and text, whatever they will look like.

Accuracies, shares and differences of them are fractions (0.0043), also where a page shows points (0.43). Arms are named
`teacher`, `baseline` and `distilled`, in this order, before the controls. Class names, column names, config values and
messages are the user's own: they may hold any characters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.evaluation.causes import Causes
from kdistill.evaluation.leaderboard import Leaderboard
from kdistill.evaluation.measures import ACCURACY, Measure
from kdistill.evaluation.statistics import Summary
from kdistill.evaluation.verdict import Verdict
from kdistill.report.content.predictions import Floats, Predictions
from kdistill.report.content.provenance import Data, Objective, Provenance
from kdistill.runs.benchmark import Benchmark


@dataclass(frozen=True)
class Arm:
    """The test scores of one arm's runs.

    Attributes:
        name: `teacher`, `baseline`, `distilled`, or that of a control.
        title: the name, or the number of teachers where several taught together, such as `3 teachers`.
        accuracy: share of test examples that are classified correctly.
        shown: the measures that the page shows besides NLL, by name, the most important first; None if one is unknown.
        nll: mean negative log-likelihood in nats.
        ece: expected calibration error, 0 to 1.
        agreement: share of test examples on which an arm agrees with its teacher; None for the teacher, or if unknown.
        parameters: number of parameters of one model, or of all teachers together; None for a teacher of logits.
        file_bytes: size of the model file or files; None if unknown.
        expected: published accuracy; None where the config has none.
    """

    name: str
    title: str
    accuracy: Summary
    shown: Mapping[str, Summary | None]
    nll: Summary
    ece: Summary
    agreement: Summary | None
    parameters: int | None
    file_bytes: int | None
    expected: float | None


@dataclass(frozen=True)
class Curve:
    """The history of one run, finished or not.

    Attributes:
        epochs: (e,) 1, 2, ...; at least one.
        loss: (e,) the training objective with penalties, averaged over each epoch while the weights change.
        soft: (e,) the soft term on train, T^2 included, unweighted; zero in arms without a teacher.
        hard: (e,) cross-entropy of the labels on train, in nats.
        val_nll: (e,) negative log-likelihood on validation, in nats.
        val_accuracy: (e,) accuracy on validation.
        best: the epoch whose weights were kept, so far.
        monitored: (e,) the measure on validation that selects the epoch, if it is another one; else empty.
        hints: (e,) the weighted sum of the hints on train; empty without hints.
    """

    epochs: NDArray[np.int64]
    loss: Floats
    soft: Floats
    hard: Floats
    val_nll: Floats
    val_accuracy: Floats
    best: int
    monitored: Floats = field(default_factory=lambda: np.empty(0))
    hints: Floats = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class Curves:
    """The learning curves of one arm.

    Attributes:
        arm: name of the arm.
        monitor: the measure that selects the epoch, as in the config: such as `val_nll`.
        patience: epochs without improvement after which a run ends; None for never.
        runs: one curve for each run that has recorded an epoch, by seed; at least one.
    """

    arm: str
    monitor: str
    patience: int | None
    runs: Sequence[Curve]

    def has(self, measure: str) -> bool:
        """Whether all runs have a field of `Curve`."""
        return all(len(getattr(run, measure)) for run in self.runs)


@dataclass(frozen=True)
class Cell:
    """One cell of a sweep.

    Attributes:
        settings: the value of each key that the sweep varies.
        score: of the distilled runs on validation, by the measure of the sweep; None where none has finished.
        nll: validation negative log-likelihood of the distilled runs, in nats; None where none has finished.
        done: number of finished distilled runs.
        failed: an error message for each failed run.
        is_winner: whether this cell was selected.
    """

    settings: Mapping[str, Any]
    score: Summary | None
    nll: Summary | None
    done: int
    failed: Sequence[str]
    is_winner: bool = False


@dataclass(frozen=True)
class Sweep:
    """A hyperparameter sweep.

    Attributes:
        axes: the keys that the sweep varies, and the values of each, in order.
        cells: in the order of the axes, the last one fastest; an unfinished sweep has only the cells that were started.
        seeds: planned number of runs of each cell.
        chosen_by: the criterion that selects the winner.
        baseline: mean score of the student trained alone; None if unknown.
        test: the verdict on the winner on the test split, over the seeds that selected it; None where there is none.
        command: the command that evaluates the winner on fresh seeds; None while the sweep is unfinished.
        measure: by which cells are compared on validation.
        leaderboard: which cells differ on validation; None where that is not known, or too few seeds can show it.
    """

    axes: Mapping[str, Sequence[Any]]
    cells: Sequence[Cell]
    seeds: int
    chosen_by: str
    baseline: float | None
    test: Verdict | None = None
    command: str | None = None
    measure: Measure = ACCURACY
    leaderboard: Leaderboard | None = None


@dataclass(frozen=True)
class Report:
    """The content of a report on one experiment, in the order of its sections.

    A part without content is None or empty, and `missing` has the reason under the name of the part.

    Attributes:
        name: name of the experiment.
        about: what the experiment is, in a sentence or two.
        state: a sentence for each run that is unfinished, failed or left out; empty for a complete experiment.
        class_names: the index is the label; empty if unknown.
        data: the data that the models were trained and scored on.
        verdict: over all seeds with both students.
        arms: the arms that have test scores.
        curves: the arms that have recorded an epoch.
        predictions: what the models predict on the test split.
        sweep: the cells; None, without a reason in `missing`, for an experiment that is no sweep.
        benchmark: size and latency of models.
        objective: what the distilled student minimises.
        warnings: caveats: epochs chosen on test, few seeds, a teacher no better than the baseline.
        provenance: how to reproduce the runs.
        missing: the reason, in a sentence, for each part or part of `predictions` that is not there.
        causes: what the control arms tell; None without any.
        controls: the control arms that have test scores.
        members: the test scores of each member of a teacher of several, with its `seed` and its name as `member`.
        headline: the student's size and score beside the teacher's, in a sentence; empty without a scored student.
    """

    name: str
    about: str
    state: Sequence[str]
    class_names: Sequence[str]
    data: Data
    verdict: Verdict | None
    arms: Sequence[Arm]
    curves: Sequence[Curves]
    predictions: Predictions
    sweep: Sweep | None
    benchmark: Benchmark | None
    objective: Objective
    warnings: Sequence[str]
    provenance: Provenance
    missing: Mapping[str, str]
    headline: str = ""
    causes: Causes | None = None
    controls: Sequence[Arm] = ()
    members: Sequence[Mapping[str, Any]] = ()
