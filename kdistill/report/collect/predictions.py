"""The parts of a report about predictions, from the models' logits on the test split and the data."""

from dataclasses import fields

from kdistill.core.errors import KdistillError
from kdistill.core.task import MULTI
from kdistill.datasets import Splits
from kdistill.evaluation import metrics
from kdistill.recipes import predictions
from kdistill.report.collect import examples
from kdistill.report.collect.confusion import Pairs, Tally
from kdistill.report.collect.scores import Scores
from kdistill.report.collect.subject import Subject, TeacherSource
from kdistill.report.content.predictions import Floats, Predictions, Softened
from kdistill.runs import ARMS, shares_of

NOT_OF_MULTI = (
    "This part is for examples of one class each; the data are multi-label (data.labels: multi), where an example may "
    "have several classes or none."
)
PARTS = tuple(field.name for field in fields(Predictions))


def collect_predictions(subject: Subject, scores: Scores, most: int) -> tuple[Predictions, dict[str, str]]:
    """Return what the models predict, and the reason for each part that is missing.

    Args:
        subject: the runs.
        scores: their test scores.
        most: the most examples to show of those that distillation fixed, and of those that it broke.
    """
    splits, why = None, scores.missing().get("verdict", "No run was scored on the test split.")
    if any(scores.by_arm.values()):
        splits, why = subject.data
    if splits is not None and splits.task is MULTI:
        splits, why = None, NOT_OF_MULTI
    if splits is None:
        return Predictions(), dict.fromkeys(PARTS, why)
    return _Gathered(subject, scores, splits).predictions(most)


class _Gathered:
    """The logits of all models, added up one model after the other."""

    def __init__(self, subject: Subject, scores: Scores, splits: Splits) -> None:
        self.subject, self.scores, self.splits = subject, scores, splits
        labels, classes = splits.test.all_labels, len(splits.classes)
        self.tallies = {arm: Tally(arm, labels, classes) for arm in ARMS}
        self.pairs = Pairs(self.tallies["baseline"], self.tallies["distilled"])
        self.problems: list[str] = []
        # Of the first teacher: title, logits and shares.
        self.teacher: tuple[str, Floats, tuple[float, ...]] | None = None
        self._add_teachers()
        self._add_students()

    def predictions(self, most: int) -> tuple[Predictions, dict[str, str]]:
        """Return the parts, and the reason for each that is missing; see `collect_predictions`."""
        names, is_paired = self.splits.classes, bool(self.pairs.seeds and self.scores.seeds)
        fixed, broken = examples.changes(self.splits, self.pairs, self.tallies, most) if is_paired else ([], [])
        found = Predictions(
            reliability=[tally.reliability() for tally in self.tallies.values() if tally.models],
            confusion=self.pairs.confusion(names) if is_paired else None,
            classes=self.pairs.class_changes(names, self.tallies["teacher"]) if is_paired else (),
            fixed=fixed,
            broken=broken,
            softened=self._softened(),
        )
        why = " ".join(dict.fromkeys(self.problems)) or self.scores.missing().get("verdict", "")
        reasons = dict.fromkeys(PARTS, why or "The teacher's logits are not known.")
        if is_paired:
            none = "In the mean over the seeds, distillation {} no test example."
            none = none if most else "The report has --images 0."
            reasons |= {"fixed": none.format("fixed"), "broken": none.format("broke")}
        return found, {part: reason for part, reason in reasons.items() if not getattr(found, part)}

    def _add_teachers(self) -> None:
        """Add each teacher of the seeds in the comparison once; without such seeds, the teachers that are scored."""
        seeds = self.scores.seeds or self.subject.teachers
        teachers = {of.identity: of for seed, of in self.subject.teachers.items() if seed in seeds}
        if not teachers and self.subject.teachers_together == 1:
            runs = [self.subject.runs["teacher"][seed] for seed in self.scores.by_arm["teacher"]]
            teachers = {str(run.model_sha256): TeacherSource("", run) for run in runs}
        for teacher in teachers.values():
            try:
                logits = self._logits_of(teacher)
            except KdistillError as error:
                self.problems.append(f"The teacher's logits are not known: {error.message}.")
                continue
            self.tallies["teacher"].add(metrics.ensemble_logits(logits, shares=shares_of(teacher.identity)))
            self.teacher = self.teacher or (_title_of(teacher), logits, shares_of(teacher.identity))

    def _logits_of(self, teacher: TeacherSource) -> Floats:
        session = self.subject.session
        if teacher.run:
            return predictions.of_run(session, teacher.run)
        logits = predictions.of_teachers(session, teacher.paths, teacher.identity)
        if logits is None:
            raise KdistillError("there are none for the test split")
        return logits

    def _add_students(self) -> None:
        """Add both students of each seed in the comparison; without such seeds, the students that are scored."""
        session, runs = self.subject.session, self.subject.runs
        try:
            for seed in self.scores.seeds:
                self.pairs.add(*(predictions.of_run(session, runs[arm][seed]) for arm in ("baseline", "distilled")))
            for arm in ("baseline", "distilled"):
                for seed in self.scores.by_arm[arm] if not self.scores.seeds else ():
                    self.tallies[arm].add(predictions.of_run(session, runs[arm][seed]))
        except KdistillError as error:
            self.problems.append(f"The students' logits are not known: {error.message}.")

    def _softened(self) -> Softened | None:
        if self.teacher is None:
            return None
        title, logits, shares = self.teacher
        keys = self.subject.config.distill
        temperature, compared = keys.target_temperature, keys.compares_probabilities
        return Softened(temperature, title, compared, examples.softened(self.splits, logits, temperature, shares))


def _title_of(teacher: TeacherSource) -> str:
    if teacher.run:
        return f"the teacher of seed {teacher.run.seed}"
    return "the teacher" if len(teacher.paths) == 1 else f"the mean of {len(teacher.paths)} teachers"
