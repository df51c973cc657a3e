"""The parts of a report about where its results come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kdistill.config import Distill
from kdistill.core.task import SINGLE, Task
from kdistill.runs.survey import FoundRun


@dataclass(frozen=True)
class Objective:
    """What the distilled student minimises.

    Attributes:
        formula: the objective in one line, with its numbers.
        distill: the config's section `distill`.
        class_weights: the weight of each class in the hard term, by name; empty where all are the same.
        l2: the L2 penalty on the student's weights, in both arms; 0 for none.
        task: of the labels.
        examples: a sentence on what each arm was trained on, where some examples have no label; else empty.
        transfer_set: sentences on classes that were left out, and on biases that were moved to the prior.
    """

    formula: str
    distill: Distill
    l2: float = 0.0
    class_weights: Mapping[str, float] = field(default_factory=dict)
    task: Task = SINGLE
    examples: str = ""
    transfer_set: Sequence[str] = ()


@dataclass(frozen=True)
class RunRow:
    """One run of the experiment, in whatever state.

    Attributes:
        found: arm, seed, state, problem and number of epochs.
        best_epoch: the epoch whose weights were kept; None for an unfinished run.
        seconds: duration of training; None if unknown.
        finished: when the run finished, ISO 8601 in UTC; None for an unfinished run.
        model_sha256: SHA-256 of the model file; None for an unfinished run.
    """

    found: FoundRun
    best_epoch: int | None = None
    seconds: float | None = None
    finished: str | None = None
    model_sha256: str | None = None


@dataclass(frozen=True)
class Data:
    """The data that the models were trained and scored on.

    Attributes:
        dataset: `digits`, `fashion_mnist`, `mnist`, `npz`, `image_folder` or `csv`.
        shape: shape of one example; empty if unknown.
        examples: number of examples in `train`, `validation` and `test`; empty before the first run.
        validation: which examples are the validation split, in words.
        fingerprint: SHA-256 of examples, labels and class names; None if unknown.
        split_fingerprint: SHA-256 of the division into splits; None if unknown.
    """

    dataset: str
    shape: Sequence[int]
    examples: Mapping[str, int]
    validation: str
    fingerprint: str | None
    split_fingerprint: str | None


@dataclass(frozen=True)
class Provenance:
    """How to reproduce the runs.

    Attributes:
        commands: shell commands, in order.
        config: the resolved config, YAML, as stored in the experiment's folder.
        versions: for each package the versions that the runs were made with.
        machine: threads and device of the runs, in words; empty if unknown.
        runs: every run, by seed and arm; for a sweep the runs of its winner.
    """

    commands: Sequence[str]
    config: str
    versions: Mapping[str, Sequence[str]]
    machine: str
    runs: Sequence[RunRow]
