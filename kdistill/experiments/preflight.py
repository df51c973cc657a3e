"""What is refused before anything is trained, since it would fail only after the first runs have been."""

from collections.abc import Sequence

from kdistill.recipes import checks
from kdistill.recipes.session import Session
from kdistill.teachers import files as teachers


class Preflight:
    """Checks of one session, or of many that have much in common: nothing is checked, or opened, twice."""

    def __init__(self) -> None:
        self._fitting: set[object] = set()
        self._weights: dict[object, str] = {}

    def fits(self, session: Session, arms: Sequence[str]) -> None:
        """Refuse settings that do not go with the data, which is read for that.

        Raises:
            ConfigError: naming the key.
            ModelError: naming the file of a model whose architecture is taken.
        """
        config = session.config
        for arm in arms:
            role = "teacher" if arm == "teacher" else "student"
            asked = (config.data, getattr(config, role), config.training, config.augmentation)
            if asked not in self._fitting:
                self._fitting.add(asked)
                checks.fits(config, session.experiment.run(arm, config.seed), session.splits)

    def given_teachers(self, session: Session, seeds: Sequence[int]) -> None:
        """Open the teachers that a config names, if it does, and refuse runs that others have taught.

        Raises:
            ModelError: one is not there, does not fit the data, or cannot be compared with.
            OutputError: a run was made from another config, or taught by others, and may not be overwritten.
        """
        given = session.teacher_files
        if not given:
            return
        runs = [session.experiment.run("distilled", seed) for seed in seeds]
        for run in runs:
            teachers.check(given, run)
            # What differs besides the teachers is found without TensorFlow, which knowing them takes.
            session.judge(run, run.taught_by)
        teachers.check_shapes(given, session.splits)
        teachers.check_test_logits(given)
        config = session.config
        asked = (config.data, config.distill.teachers, config.teacher.preprocessing, config.augmentation)
        if asked not in self._weights:
            self._weights[asked] = session.teacher(teachers.find(given)).weights
        for run in runs:
            session.judge(run, self._weights[asked])
