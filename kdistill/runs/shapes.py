"""The shapes of the documents in experiment and run folders: the keys that are read, with their types.

A document with a seal is what was written, so that its shape has to tell it from another that was put into its place;
keys that early versions did not write have a default.
"""

import itertools
import json
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from kdistill.core.documents import Shape
from kdistill.evaluation.measures import ACCURACY, MEASURES, NLL
from kdistill.runs.specification import EVERY_ARM


def _known(name: str) -> str:
    if name not in MEASURES:
        raise ValueError(f"expected one of {', '.join(MEASURES)}; received {name}")
    return name


_MeasureName = Annotated[str, AfterValidator(_known)]


class _Training(Shape):
    epochs: int | None = None


class _Spec(Shape):
    data: dict[str, Any] = Field({})
    training: _Training = _Training()
    teacher_weights: str | None = None
    baseline_weights: str | None = None
    start_weights: str | None = None


class _Data(Shape):
    fingerprint: str | None = None
    split_fingerprint: str | None = None
    examples: dict[str, int] = Field({})
    classes: list[str] = Field([])


class _Attempt(Shape):
    started: str


class Manifest(Shape):
    """`manifest.json` of a run."""

    arm: str
    seed: int
    identity: str
    spec: _Spec
    data: _Data | None = None
    epochs: int | None = None
    teacher_file: str | None = None
    teacher_files: list[str] = Field([])
    threads: int | None = None
    device: str | None = None
    versions: dict[str, str] = Field({})
    attempts: list[_Attempt] = Field([])
    files: dict[str, str] = Field({})
    finished: str | None = None


class _Scores(Shape):
    accuracy: float
    nll: float | None = None
    ece: float | None = None
    class_accuracy: list[float | None] = Field([])
    class_examples: list[int] = Field([])


class Result(Shape):
    """`result.json` of a run; early versions wrote no identity."""

    arm: str | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    validation: _Scores | None = None
    moved_biases: dict[str, float] | None = None
    before_adjustment: _Scores | None = None
    parameters: int | None = None
    file_bytes: int | None = None
    weights_sha256: str | None = None
    teacher_validation: _Scores | None = None
    teacher_parameters: int | None = None
    warnings: list[str] = Field([])
    run_info: dict[str, Any] = Field({})
    identity: str | None = None

    @model_validator(mode="after")
    def _of_a_run(self) -> Self:
        if self.arm is None and self.identity is None:
            raise ValueError("expected the result of a run; received another document")
        return self


class Failure(Shape):
    """`failure.json` of a run."""

    message: str
    epoch: int


class _OnTest(_Scores):
    before_adjustment: _Scores | None = None
    parameters: int | None = None
    file_bytes: int | None = None
    agreement: float | None = None
    kl_to_teacher: float | None = None


class Scores(Shape):
    """`test.json` of a run."""

    model_sha256: str | None
    teacher_weights: str | None
    scores: _OnTest
    correct: str
    without: dict[str, list[float]] = Field({})


class Checkpoint(Shape):
    """`checkpoint.json` of a checkpoint."""

    format: int
    belongs_to: str
    epochs: int
    batches: int
    files: dict[str, str]


class Epoch(Shape):
    """A line of `history.jsonl`."""

    epoch: int
    loss: float = 0
    soft: float | None = None
    hard: float = 0
    val_nll: float = 0
    val_accuracy: float = 0
    best: bool = False


class _Verdict(Shape):
    verdict: str
    measure: _MeasureName = ACCURACY.name


class _ArmsCompared(Shape):
    first: str
    second: str
    verdict: str


class _Size(Shape):
    parameters: int | None = None


class _Failed(Shape):
    run: str
    message: str


class _Causes(Shape):
    comparisons: list[_ArmsCompared]
    sentences: dict[str, str]
    about: str


class _Member(_OnTest):
    member: str
    seed: int
    nll: float
    ece: float
    parameters: int
    file_bytes: int


class _Mean(Shape):
    mean: float


class _TransferRow(Shape):
    arm: str
    biases: str
    accuracy: _Mean
    nll: _Mean
    left_out: _Mean | None = None
    kept: _Mean | None = None


class _TransferSet(Shape):
    left_out: list[str]
    rows: list[_TransferRow]


class Summary(Shape):
    """`summary.json`, the result of `reproduce`."""

    seeds: list[int] = Field([])
    arms: dict[str, _Size] = Field({})
    comparison: _Verdict
    failed: list[_Failed] = Field([])
    causes: _Causes | None = None
    members: list[_Member] = Field([])
    transfer_set: _TransferSet | None = None

    @model_validator(mode="after")
    def _known_arms(self) -> Self:
        if unknown := set(self.arms) - set(EVERY_ARM):
            raise ValueError(f"arms: expected {', '.join(EVERY_ARM)}; received {', '.join(sorted(unknown))}")
        return self


class _Numbers(Shape):
    values: list[float]
    mean: float
    sd: float | None


class _Cell(Shape):
    set: dict[str, Any]
    validation: dict[str, _Numbers] | None  # by the name of a measure
    failed: list[str]


class _Baseline(Shape):
    validation: dict[str, _Numbers]


class _Winner(Shape):
    set: dict[str, Any]


class _Against(Shape):
    difference: dict[str, Any]
    p_holm: float | None
    verdict: str


class _Ranked(Shape):
    name: str
    set: dict[str, Any] | None
    validation: _Numbers
    against_winner: _Against | None
    against_baseline: _Against | None


class _Leaderboard(Shape):
    rows: list[_Ranked]
    sentences: list[str]
    about: str


class _Test(Shape):
    comparison: dict[str, Any]


class Sweep(Shape):
    """`sweep.json`, the result of `sweep`."""

    seeds: list[int]
    axes: dict[str, list[Any]]
    chosen_by: str
    measure: _MeasureName = ACCURACY.name
    baseline: _Baseline | None
    cells: list[_Cell]
    leaderboard: _Leaderboard | None = None
    winner: _Winner
    test: _Test | None
    run_info: dict[str, Any]

    @model_validator(mode="after")
    def _a_cell_for_each_combination(self) -> Self:
        expected = {json.dumps(values) for values in itertools.product(*self.axes.values())}
        found = [json.dumps([cell.set.get(key) for key in self.axes]) for cell in self.cells]
        if sorted(found) != sorted(expected):
            raise ValueError(f"cells: expected one for each of the {len(expected)} combinations of the axes' values")
        if self.winner.set not in [cell.set for cell in self.cells]:
            raise ValueError("winner: expected the settings of a cell")
        return self

    @model_validator(mode="after")
    def _scores_by_which_cells_are_chosen(self) -> Self:
        scored = [("cells", cell.validation, {self.measure, NLL.name}) for cell in self.cells if cell.validation]
        if self.baseline:
            scored.append(("baseline", self.baseline.validation, {self.measure}))
        for place, found, needed in scored:
            if missing := needed - set(found):
                raise ValueError(f"{place}: expected the validation score {', '.join(sorted(missing))}")
        return self


class _Timed(Shape):
    calls: int = 0
    p50_ms: float
    per_second: float


class _Measured(Shape):
    name: str
    path: str
    format: str = ""
    quantize: str | None = None
    parameters: int | None = None
    file_bytes: int = 0
    accuracy: float = 0
    largest_difference: float | None = None
    latency: dict[str, _Timed] = Field({})
    peak_memory_bytes: int | None = None
    ratios: dict[str, Any] = Field({})
    place: str
    sha256: str | None


class Benchmark(Shape):
    """`benchmark.json`, the result of `benchmark`."""

    split: str = ""
    examples: int = 0
    reference: str = ""
    rows: list[_Measured]
    run_info: dict[str, Any]
    when: str
