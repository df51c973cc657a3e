"""The scores on the test split: the arms side by side, and the verdict."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from kdistill.core.errors import KdistillError
from kdistill.evaluation import metrics, statistics
from kdistill.evaluation.verdict import Answers, Pair, Verdict, about_distillation, compare_pairs
from kdistill.recipes import evaluate, predictions
from kdistill.report.collect.subject import Subject, Taught, reproduced, seeds_in_words
from kdistill.report.content.report import Arm
from kdistill.runs import Run, ScoresOnTest, correct_answers, own_scores
from kdistill.runs.experiment import CHOSEN_HERE
from kdistill.teachers import logits_file

MEASURES = ("accuracy", "nll", "ece", "agreement")


class Scores:
    """The test scores of a subject's runs. Those that are not known are computed, which takes TensorFlow.

    Attributes:
        of: of each arm, by seed, the scores.
        seeds: those of which baseline and distilled student are scored.
        problems: why some are not, a sentence each.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.problems: list[str] = []
        self.of: dict[str, dict[int, ScoresOnTest]] = {arm: {} for arm in subject.runs}
        if not subject.is_unfinished_sweep:
            for arm, of_arm in subject.runs.items():
                for seed, run in of_arm.items():
                    self._take(arm, seed, run)
        self.seeds = [seed for seed in subject.whole if seed in self.of["baseline"] and seed in self.of["distilled"]]

    def _take(self, arm: str, seed: int, run: Run) -> None:
        try:
            self.of[arm][seed] = own_scores(run) or evaluate.score(self.subject.session, run)
        except KdistillError as error:
            self.problems.append(f"{run.title} is not scored: {error.message}.")

    def verdict(self) -> Verdict | None:
        """Return the verdict over all seeds that are whole; None where there is none."""
        if not self.seeds:
            return None
        taught = [self.subject.taught[seed].identity for seed in self.seeds]
        verdict = compare_pairs([self._pair(seed) for seed in self.seeds], about_distillation(taught))
        if not self.subject.is_winner:
            return verdict
        return replace(verdict, about=f"{verdict.about} {CHOSEN_HERE}")

    def _pair(self, seed: int) -> Pair:
        distilled, baseline = (
            Answers(self.of[arm][seed]["accuracy"], correct_answers(self.subject.runs[arm][seed]))
            for arm in ("distilled", "baseline")
        )
        return Pair(seed, distilled, baseline)

    def arms(self) -> list[Arm]:
        """Return the arms, over the seeds that are whole; over all that are scored where none is."""
        arms = [self._arm(name) for name in ("baseline", "distilled")]
        return [arm for arm in (self._teacher(), *arms) if arm is not None]

    def _arm(self, name: str) -> Arm | None:
        scores = {seed: of for seed, of in self.of[name].items() if seed in self.seeds or not self.seeds}
        return self._summary(name, name, list(scores), list(scores.values())) if scores else None

    def _teacher(self) -> Arm | None:
        """Return the teachers that taught, each once; of a beginning, those that are there."""
        if not self.seeds:
            return self._arm("teacher")
        taught = {self.subject.taught[seed].identity: self.subject.taught[seed] for seed in self.seeds}
        scores, seeds = list[ScoresOnTest](), list[int]()
        for teacher in taught.values():
            found = self._scores_of(teacher)
            if found is None:
                return None
            scores.append(found)
            seeds += [teacher.run.seed] if teacher.run else []
        count = len(next(iter(taught.values())).paths)
        return self._summary("teacher", f"{count} teachers" if count > 1 else "teacher", seeds, scores)

    def _scores_of(self, teacher: Taught) -> ScoresOnTest | None:
        try:
            if teacher.run:
                return own_scores(teacher.run) or evaluate.score(self.subject.session, teacher.run)
            return self._scores_of_files(teacher)
        except KdistillError as error:
            self.problems.append(f"The teacher is not scored: {error.message}.")
            return None

    def _scores_of_files(self, teacher: Taught) -> ScoresOnTest | None:
        splits, problem = self.subject.data
        logits = predictions.of_teachers(self.subject.session, teacher.paths, teacher.identity) if splits else None
        if splits is None or logits is None:
            self.problems.append(
                f"The teacher is not scored: {problem or 'its logits on the test split are not known.'}"
            )
            return None
        scores: Any = asdict(metrics.score(metrics.ensemble_logits(logits), splits.test.all_labels))
        parameters = self._reproduced_parameters()
        size = logits_file.model_bytes(teacher.paths)
        more = {"parameters": parameters, "file_bytes": size, "agreement": None, "kl_to_teacher": None}
        return scores | more

    def _reproduced_parameters(self) -> int | None:
        summary: Any = reproduced(self.subject.session.experiment.folder) or {}
        return summary.get("arms", {}).get("teacher", {}).get("parameters")

    def _summary(self, name: str, title: str, seeds: Sequence[int], scores: Sequence[ScoresOnTest]) -> Arm:
        return Arm(
            name=name,
            title=title,
            seeds=list(seeds),
            **statistics.summaries(scores, *MEASURES),
            parameters=scores[0]["parameters"],
            file_bytes=scores[0]["file_bytes"],
            expected=getattr(self.subject.config.expected, name),
        )

    def missing(self) -> dict[str, str]:
        """Return why there is no verdict, and no arm."""
        if self.seeds:
            return {}
        why = "; ".join(dict.fromkeys(self.problems)) or _what_is_missing(self.subject)
        return {"verdict": why} if any(self.of.values()) else {"verdict": why, "arms": why}


def _what_is_missing(subject: Subject) -> str:
    """Return in a sentence why there is nothing to compare."""
    if subject.is_unfinished_sweep:
        return "The sweep has chosen no cell yet, so that nothing was scored on the test split."
    there = {arm: seeds_in_words(list(runs)) for arm, runs in subject.runs.items() if runs}
    if not there:
        return "No run has finished yet."
    listed = "; ".join(f"{arm} of seed {seeds}" for arm, seeds in there.items())
    return f"Of no seed both students have finished. Finished so far: {listed}."
