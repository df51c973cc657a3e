"""The scores on the test split: the arms side by side, and the verdict."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from kdistill.core.errors import KdistillError
from kdistill.evaluation import metrics, statistics
from kdistill.evaluation.causes import Causes, causes
from kdistill.evaluation.measures import Measure, columns, imbalance, lacks
from kdistill.evaluation.verdict import Answers, Pair, Verdict, about_distillation, compare_pairs
from kdistill.recipes import evaluate, predictions
from kdistill.report.collect.subject import Subject, TeacherSource, listed_seeds
from kdistill.report.content.report import Arm
from kdistill.runs import Run, ScoresOnTest, answers_of, own_scores, shares_of
from kdistill.runs.experiment import CHOSEN_HERE
from kdistill.teachers import logits_file


class Scores:
    """The test scores of a subject's runs. Scores that are not stored are computed, with TensorFlow.

    Attributes:
        by_arm: the scores of each arm, by seed.
        seeds: the seeds with scores of both students.
        problems: why scores are missing, a sentence for each.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.problems: list[str] = []
        self.by_arm: dict[str, dict[int, ScoresOnTest]] = {arm: {} for arm in subject.runs}
        for arm, runs in subject.runs.items():
            for seed, run in runs.items() if not subject.is_unfinished_sweep else ():
                try:
                    self.by_arm[arm][seed] = self._score(run)
                except KdistillError as error:
                    self.problems.append(f"{run.title} is not scored: {error.message}.")
        self.seeds = [seed for seed in self.by_arm["distilled"] if seed in self.by_arm["baseline"]]

    def _score(self, run: Run) -> ScoresOnTest:
        known = own_scores(run)
        if known is None or lacks(known, self.subject.measure):
            return evaluate.score(self.subject.session, run, measure=self.subject.measure)
        return known

    def verdict(self) -> Verdict | None:
        """Return the verdict over `seeds`; None without any, or where the measure is undefined for all."""
        pairs = [self._pair(seed) for seed in self.seeds]
        if not any(pair.scores for pair in pairs):
            return None
        teachers = [self.subject.teachers[seed].identity for seed in self.seeds]
        verdict = compare_pairs(
            pairs,
            about_distillation(teachers),
            measure=self.subject.measure,
            scope=self.subject.config.verdict.scope,
        )
        return replace(verdict, about=f"{verdict.about} {CHOSEN_HERE}") if self.subject.is_winner else verdict

    def causes(self) -> Causes | None:
        """Return what the controls tell over `seeds`; None without controls, or without a verdict."""
        if not self.verdict():
            return None
        answers = {
            arm: {seed: self._answers(arm, seed) for seed in self.by_arm[arm] if seed in self.seeds}
            for arm in self.subject.config.students
        }
        known = {arm: of for arm, of in answers.items() if of}
        return causes(known, self.subject.measure, self.subject.config.verdict.scope)

    def _pair(self, seed: int) -> Pair:
        return Pair(seed, self._answers("distilled", seed), self._answers("baseline", seed))

    def _answers(self, arm: str, seed: int) -> Answers:
        return answers_of(self.subject.runs[arm][seed], self.by_arm[arm][seed], self.subject.measure)

    def arms(self) -> list[Arm]:
        """Return the arms over `seeds`; without any, over all scored runs."""
        arms = (self._teacher(), self._arm("baseline"), self._arm("distilled"))
        return [arm for arm in arms if arm is not None]

    def controls(self) -> list[Arm]:
        """Return the control arms with scores, over the same seeds."""
        return [arm for arm in map(self._arm, self.subject.config.controls) if arm is not None]

    def _arm(self, name: str) -> Arm | None:
        scores = [of for seed, of in self.by_arm[name].items() if seed in self.seeds or not self.seeds]
        return self._summary(name, name, scores) if scores else None

    def _teacher(self) -> Arm | None:
        """Return the teachers of the distilled runs, each once; without `seeds`, the scored teachers."""
        if not self.seeds:
            return self._arm("teacher") if self.subject.teachers_together == 1 else None
        teachers = {teacher.identity: teacher for teacher in map(self.subject.teachers.__getitem__, self.seeds)}
        scores = list[ScoresOnTest]()
        for teacher in teachers.values():
            try:
                scores.append(self._score(teacher.run) if teacher.run else self._score_files(teacher))
            except KdistillError as error:
                self.problems.append(f"The teacher is not scored: {error.message}.")
                return None
        count = len(next(iter(teachers.values())).paths)
        return self._summary("teacher", f"{count} teachers" if count > 1 else "teacher", scores)

    def _score_files(self, teacher: TeacherSource) -> ScoresOnTest:
        splits, problem = self.subject.data
        logits = predictions.of_teachers(self.subject.session, teacher.paths, teacher.identity) if splits else None
        if splits is None or logits is None:
            raise KdistillError(problem.removesuffix(".") or "its logits on the test split are not known")
        scores: Any = metrics.score(
            metrics.ensemble_logits(logits, splits.task, shares_of(teacher.identity)), splits.test.all_labels
        ).to_json()
        parameters = self.subject.summary.get("arms", {}).get("teacher", {}).get("parameters")
        size = logits_file.model_bytes(teacher.paths)
        return scores | {"parameters": parameters, "file_bytes": size, "agreement": None, "kl_to_teacher": None}

    def _summary(self, name: str, title: str, scores: Sequence[ScoresOnTest]) -> Arm:
        return Arm(
            name=name,
            title=title,
            **statistics.summaries(scores, "accuracy", "nll", "ece", "agreement"),
            shown=statistics.summaries(scores, *(measure.name for measure in self._shown)),
            parameters=scores[0]["parameters"],
            file_bytes=scores[0]["file_bytes"],
            expected=getattr(self.subject.config.expected, name, None),
        )

    @cached_property
    def _shown(self) -> list[Measure]:
        """The measures that the page shows of every arm: those that all scored runs of the students have."""
        students = [of for arm in ("baseline", "distilled") for of in self.by_arm[arm].values()]
        first: Any = next(iter(students), {})
        common = {name: None for name in first if all(name in of for of in students)}
        examples = first.get("class_examples")
        return columns(common, imbalance(examples) if examples else None, self.subject.measure)

    def missing(self) -> dict[str, str]:
        """Return why there is no verdict, and why there are no arms."""
        if self.seeds and self.verdict() is None:
            return {"verdict": f"{self.subject.measure.words} is not defined on the test split (verdict.measure)."}
        if self.seeds:
            return {}
        why = "; ".join(dict.fromkeys(self.problems)) or _missing_runs(self.subject)
        return {"verdict": why} if any(self.by_arm.values()) else {"verdict": why, "arms": why}


def _missing_runs(subject: Subject) -> str:
    """Return in a sentence why there is nothing to compare."""
    if subject.is_unfinished_sweep:
        return "The sweep has not selected a cell yet, so that nothing was scored on the test split."
    finished = [f"{arm} of seed {listed_seeds(list(runs))}" for arm, runs in subject.runs.items() if runs]
    if not finished:
        return "No run has finished yet."
    return f"No seed has both a finished baseline and a finished distilled run. Finished so far: {'; '.join(finished)}."
