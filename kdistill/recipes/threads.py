"""The default number of threads for the models of a config."""

from collections.abc import Sequence
from pathlib import Path

from kdistill import modelfiles
from kdistill.config import Config, architecture
from kdistill.core import backend
from kdistill.core.kinds import Example
from kdistill.modelfiles.flops import of_config


def default_threads(config: Config, example: Example, teacher_files: Sequence[Path] = ()) -> int:
    """Return the intra-op threads that suit the larger of the two models.

    Teachers from files are not trained. Computing their logits counts in every step where images are augmented, and
    else where computing them once may take longer than training the student.

    `example` is what the models are built for.
    """
    flops, multiplications = {}, {}
    for role in ("teacher", "student"):
        section = getattr(config, role)
        of_layers = architecture.multiplications
        multiplications[role] = _of_file(Path(section.model)) if section.model else of_layers(section, *example)
        flops[role] = backend.step_flops(multiplications[role], config.training_for(role).batch_size)
    plan = config.training_for("student")
    epochs = plan.epochs if plan.steps is None else 1  # of updates they are known only once the data is read
    of_files = sum(_of_file(path) for path in teacher_files if path.suffix == ".keras")
    if config.augmentation.changes_images or of_files > 3 * multiplications["student"] * epochs:
        flops["files"] = backend.step_flops(of_files, plan.batch_size) // 3
    return backend.threads_for(max(flops.values()))


def _of_file(path: Path) -> int:
    return of_config(modelfiles.config(path))
