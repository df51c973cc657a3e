"""The parts of `material` that tell where results are from. See there for what holds of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kdistill.config import Distill


@dataclass(frozen=True)
class Objective:
    """What the distilled student minimises.

    Attributes:
        formula: in one line, with its numbers.
        distill: the section of the config.
        l2: the penalty on the student's weights, which both arms minimise with the rest; 0 for none.
    """

    formula: str
    distill: Distill
    l2: float = 0.0


@dataclass(frozen=True)
class RunRow:
    """A run of the experiment, in whatever state.

    Attributes:
        arm: its name.
        seed: of the run.
        state: `complete`, `running`, `interrupted`, `failed` or `damaged`.
        problem: what is wrong with it, in a sentence; None where nothing is.
        epochs: how many are done; None where unknown.
        best_epoch: whose weights were kept; None before it is finished.
        seconds: of training; None where unknown.
        finished: when, ISO 8601 in UTC; None before.
        model_sha256: of its model's file; None before it is finished.
    """

    arm: str
    seed: int
    state: str
    problem: str | None
    epochs: int | None
    best_epoch: int | None
    seconds: float | None
    finished: str | None
    model_sha256: str | None


@dataclass(frozen=True)
class Data:
    """What the models were trained and scored on.

    Attributes:
        dataset: `digits`, `fashion_mnist`, `mnist`, `npz`, `image_folder` or `csv`.
        shape: of one example; empty where unknown.
        examples: how many `train`, `validation` and `test` have; empty where no run tells.
        validation: how validation examples came to be, in words.
        fingerprint: SHA-256 of examples, labels and class names; None where unknown.
        split_fingerprint: SHA-256 of which example is used for what; None where unknown.
    """

    dataset: str
    shape: Sequence[int]
    examples: Mapping[str, int]
    validation: str
    fingerprint: str | None
    split_fingerprint: str | None


@dataclass(frozen=True)
class Provenance:
    """How to get the same again.

    Attributes:
        commands: in order, for a shell.
        config: the resolved config, YAML, as it lies in the experiment's folder.
        versions: of each package, all that runs were made with.
        machine: threads and device of the runs, in words; empty where no run tells.
        runs: every run, by seed and arm; those of a sweep's cells are not among them.
    """

    commands: Sequence[str]
    config: str
    versions: Mapping[str, Sequence[str]]
    machine: str
    runs: Sequence[RunRow]
