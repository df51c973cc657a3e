"""Data sets, and one teacher with its logits, that the sessions of one process share."""

from pathlib import Path
from typing import TYPE_CHECKING

from kdistill import datasets
from kdistill.config import Config, Data
from kdistill.core.listener import Listener
from kdistill.datasets import Splits
from kdistill.teachers.files import TeacherFiles

if TYPE_CHECKING:
    from kdistill.teachers.teacher import AnyTeacher


class SharedData:
    """Keeps the data sets that were read, and the teacher that was opened last: its logits take much memory."""

    def __init__(self) -> None:
        self._splits: dict[str, Splits] = {}
        self._teacher: tuple[object, AnyTeacher] | None = None

    def splits(self, data: Data, listener: Listener) -> Splits:
        """Return the splits of a data set; the first use finds and verifies it, and downloads it if need be."""
        key = data.unweighted.model_dump_json()
        if key not in self._splits:
            self._splits[key] = datasets.load(data, listener)
        return self._splits[key]

    def teacher(
        self, config: Config, splits: Splits, cache: Path, found: TeacherFiles, listener: Listener
    ) -> "AnyTeacher":
        """Return an opened and checked teacher: see `load.load_teacher`. The listener receives its notes."""
        from kdistill.teachers.load import load_teacher

        found.check_exist()
        asked = (config.teacher.preprocessing, config.augmentation.changes_images)
        files = [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in found.paths]
        key = (files, found.shares, splits, asked)
        if self._teacher is None or self._teacher[0] != key:
            self._teacher = None  # frees its memory before another one is opened
            self._teacher = (key, load_teacher(config, splits, cache, found))
            for note in self._teacher[1].notes:
                listener.note(note)
        return self._teacher[1]
