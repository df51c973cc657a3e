"""Checks before anything is trained of what would otherwise fail only after the first runs."""

from collections.abc import Sequence

from kdistill.evaluation.measures import ACCURACY
from kdistill.recipes import checks, hints
from kdistill.recipes.make import check_student
from kdistill.recipes.session import Session
from kdistill.teachers import files as teachers


class Preflight:
    """Checks the sessions of a command; what several of them share is checked, and opened, once."""

    def __init__(self) -> None:
        self._fitting: set[object] = set()
        self._identities: dict[object, str] = {}

    def fits(self, session: Session, arms: Sequence[str]) -> None:
        """Refuse settings, models and hints that do not fit the data, which is read for that: see `checks.fits`.

        Raises:
            ConfigError: naming the key.
            ModelError: naming the file of a model whose architecture is taken, or of a teacher that gives hints.
        """
        config = session.config
        for arm in arms:
            role = "teacher" if arm == "teacher" else "student"
            loss = config.distill if arm == "distilled" else None
            key = (config.data, getattr(config, role), config.training, config.augmentation, loss)
            if key not in self._fitting:
                self._fitting.add(key)
                checks.fits(config, session.experiment.run(arm, config.seed), session.splits)
            hinted = (config.data, config.teacher, config.student, config.distill)
            if arm == "distilled" and hinted not in self._fitting:
                self._fitting.add(hinted)
                hints.check(session)
        self._student(session)

    def _student(self, session: Session) -> None:
        """Refuse files of a student that do not fit the data, or each other: the cells of a sweep have several."""
        student, adjusts = session.config.student, session.config.distill.adjust_prior
        key = ("files", session.config.data, student, adjusts)
        if (student.model or student.weights_file) and key not in self._fitting:
            self._fitting.add(key)
            session.start()
            check_student(session)

    def compares(self, session: Session, *parts: str) -> None:
        """Refuse a measure that is undefined on splits, by name; accuracy never is, and no data is read for it.

        Raises:
            ConfigError: with the reason.
        """
        key = (parts, session.config.data.unweighted)
        if session.measure is not ACCURACY and key not in self._fitting:
            self._fitting.add(key)
            checks.verdict_fits(session.measure, session.splits, parts)

    def given_teachers(self, session: Session, seeds: Sequence[int]) -> None:
        """Open the teachers from files, if the config names any, and refuse runs of other teachers.

        Raises:
            ModelError: a file is missing, does not fit the data, or has no logits on test.
            OutputError: a run was made from another config, or by other teachers, and may not be overwritten.
        """
        given = session.teacher_files
        if not given:
            return
        runs = [session.experiment.run("distilled", seed) for seed in seeds]
        for run in runs:
            teachers.check(given, run)
            # Other differences are found before TensorFlow is started, which the teachers' weights take.
            session.judge(run, run.taught_by)
        teachers.check_shapes(given, session.splits)
        teachers.check_test_logits(given)
        config = session.config
        key = (
            config.data,
            config.distill.teachers,
            config.distill.shares,
            config.teacher.preprocessing,
            config.augmentation,
        )
        if key not in self._identities:
            self._identities[key] = session.teacher(teachers.find(given, config.distill.shares)).identity
        for run in runs:
            session.judge(run, self._identities[key])
