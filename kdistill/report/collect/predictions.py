"""All that a page tells of single answers: it takes the models' outputs on the test split, and the data."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import KdistillError
from kdistill.datasets import Splits
from kdistill.evaluation import metrics
from kdistill.recipes import predictions
from kdistill.report.collect import examples
from kdistill.report.collect.confusion import Pairs, Tally
from kdistill.report.collect.scores import Scores
from kdistill.report.collect.subject import Subject, Taught
from kdistill.report.content.report import Change, ClassChange, Confusion, Reliability, Softened
from kdistill.runs import ARMS

Floats = NDArray[np.floating]

PARTS = ("reliability", "confusion", "classes", "fixed", "broken", "softened")


@dataclass
class Answers:
    """The parts of `material.Material` of the same names, and why others are missing."""

    reliability: list[Reliability] = field(default_factory=list)
    confusion: Confusion | None = None
    classes: list[ClassChange] = field(default_factory=list)
    fixed: list[Change] = field(default_factory=list)
    broken: list[Change] = field(default_factory=list)
    softened: Softened | None = None
    missing: dict[str, str] = field(default_factory=dict)


def answers(subject: Subject, scores: Scores, most: int) -> Answers:
    """Return what the models' answers come to.

    Args:
        subject: the runs.
        scores: of those that may be told of.
        most: how many examples to show of each kind.
    """
    if not any(scores.of.values()):
        why = scores.missing().get("verdict", "No run was scored on the test split.")
        return Answers(missing=dict.fromkeys(PARTS, why))
    splits, problem = subject.data
    if splits is None:
        return Answers(missing=dict.fromkeys(PARTS, problem))
    return _Gathered(subject, scores, splits).answers(most)


class _Gathered:
    """The outputs of the models that are told of, taken in one after the other."""

    def __init__(self, subject: Subject, scores: Scores, splits: Splits) -> None:
        self.subject, self.scores, self.splits = subject, scores, splits
        labels, classes = splits.test.all_labels, len(splits.classes)
        self.tallies = {arm: Tally(arm, labels, classes) for arm in ARMS}
        self.pairs = Pairs(self.tallies["baseline"], self.tallies["distilled"])
        self.problems: list[str] = []
        self.teacher: tuple[str, Floats] | None = None  # the first one's name and logits

    def answers(self, most: int) -> Answers:
        """Return what they come to."""
        self._teachers()
        self._students()
        found = Answers(reliability=[tally.reliability() for tally in self.tallies.values() if tally.models])
        why = " ".join(dict.fromkeys(self.problems)) or self.scores.missing().get("verdict", "")
        names = self.splits.classes
        if self.pairs.seeds and self.scores.seeds:
            teacher = self.tallies["teacher"]
            found.confusion = self.pairs.confusion(names)
            found.classes = self.pairs.class_changes(names, teacher if teacher.models else None)
            found.fixed, found.broken = examples.changes(self.splits, self.pairs, self.tallies, most)
            for part, what, other in (("fixed", "fixed", "broke"), ("broken", "broke", "fixed")):
                if not getattr(found, part):
                    found.missing[part] = (
                        f"There is no test example that distillation {what} in more seeds than it {other}."
                        if most
                        else "No examples were asked for (--images 0)."
                    )
        else:
            found.missing |= dict.fromkeys(("confusion", "classes", "fixed", "broken"), why)
        found.softened = self._softened()
        for part in ("reliability", "softened"):
            if not getattr(found, part):
                found.missing[part] = why or "No teacher's outputs are known."
        return found

    def _teachers(self) -> None:
        """Take in every teacher once: those that taught, or of a beginning those that are there."""
        taught = {teacher.identity: teacher for seed, teacher in self.subject.taught.items() if self._counts(seed)}
        if not taught:
            runs = self.subject.runs["teacher"].values()
            taught = {str(run.model_sha256): Taught("", run) for run in runs if run.seed in self.scores.of["teacher"]}
        for teacher in taught.values():
            try:
                logits = self._outputs_of(teacher)
            except KdistillError as error:
                self.problems.append(f"The teacher's outputs are not known: {error.message}.")
                continue
            if logits is None:
                self.problems.append("The teacher's logits on the test split are not known.")
                continue
            self.tallies["teacher"].take(metrics.ensemble_logits(logits))
            self.teacher = self.teacher or (_name_of(teacher), logits)

    def _counts(self, seed: int) -> bool:
        return seed in self.scores.seeds or not self.scores.seeds

    def _outputs_of(self, teacher: Taught) -> Floats | None:
        session = self.subject.session
        if teacher.run:
            return predictions.of_run(session, teacher.run)
        return predictions.of_teachers(session, teacher.paths, teacher.identity)

    def _students(self) -> None:
        """Take in the students of all seeds that are whole; of a beginning, those that are there."""
        session, runs = self.subject.session, self.subject.runs
        try:
            for seed in self.scores.seeds:
                self.pairs.take(*(predictions.of_run(session, runs[arm][seed]) for arm in ("baseline", "distilled")))
            for arm in ("baseline", "distilled"):
                for seed in self.scores.of[arm] if not self.scores.seeds else ():
                    self.tallies[arm].take(predictions.of_run(session, runs[arm][seed]))
        except KdistillError as error:
            self.problems.append(f"The students' outputs are not known: {error.message}.")

    def _softened(self) -> Softened | None:
        if self.teacher is None:
            return None
        name, logits = self.teacher
        keys = self.subject.config.distill
        temperature = keys.teacher_temperature or keys.temperature
        chosen = examples.softened(self.splits, logits, temperature)
        return Softened(temperature, name, keys.soft_loss == "kl", chosen)


def _name_of(teacher: Taught) -> str:
    if teacher.run:
        return f"the teacher of seed {teacher.run.seed}"
    return "the teacher" if len(teacher.paths) == 1 else f"the mean of {len(teacher.paths)} teachers"
