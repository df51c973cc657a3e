"""Checks before TensorFlow is started: the output folder, and whether batch, augmentation and models fit the data."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kdistill import modelfiles
from kdistill.config import Config
from kdistill.config.architecture import check_layers
from kdistill.core import files
from kdistill.core.errors import ConfigError, ModelError, OutputError
from kdistill.core.formatting import first_few
from kdistill.core.kinds import Example, Kind
from kdistill.datasets import Splits
from kdistill.datasets.class_weights import class_weights
from kdistill.evaluation.measures import Measure, monitored
from kdistill.recipes import soft_loss, transfer_set
from kdistill.runs import Run


def writable(folder: Path) -> None:
    """Refuse a folder that cannot be written to. Writing is tried: permissions do not say it on every file system.

    Raises:
        OutputError: with the reason.
    """
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    try:
        os.rmdir(tempfile.mkdtemp(prefix=files.TEMPORARY, dir=existing))
    except OSError as error:
        raise OutputError(
            f"{folder}: nothing can be written to {existing}: {error.strerror or error}",
            hint="Choose another --output-dir.",
        ) from error


def fits(config: Config, run: Run, splits: Splits) -> None:
    """Refuse a batch size, classes, weights, a measure, an augmentation, a loss or models that do not fit the data.

    Raises:
        ConfigError: naming the key.
        ModelError: naming the file of a model whose architecture is taken.
    """
    batch_fits(config, run.arm, splits)
    weights_fit(config, splits)
    transfer_set.fits(config, splits)
    monitor_fits(config, run.arm, splits)
    augmentation_fits(config, splits.shape, splits.kind)
    mixup_fits(config, splits)
    batch_is_mixed(config, run.arm)
    if run.arm == "distilled":
        soft_loss.fits(config, splits)
    models_fit(config, run, splits.example)


def batch_fits(config: Config, arm: str, splits: Splits) -> None:
    """Raise ConfigError, naming the key that was set, where a batch is larger than the training split."""
    role = "teacher" if arm == "teacher" else "student"
    batch_size = config.training_for(role).batch_size
    if batch_size > splits.per_epoch:
        section = section_of("batch_size", config, role)
        raise ConfigError(
            f"{section}.batch_size: expected at most the {splits.per_epoch} examples of the training split; "
            f"received {batch_size}"
        )


def section_of(key: str, config: Config, role: str) -> str:
    """Return the section in which a training key of the teacher or the student was set."""
    return role if key in getattr(config, role).overrides() else "training"


def weights_fit(config: Config, splits: Splits) -> None:
    """Raise ConfigError where `data.class_weights` names a class that the data do not have."""
    if config.data.class_weights is not None:
        class_weights(config.data.class_weights, splits.labelled, splits.classes)


def monitor_fits(config: Config, arm: str, splits: Splits) -> None:
    """Raise ConfigError, naming the key that was set, where early stopping cannot watch its measure on validation."""
    role = "teacher" if arm == "teacher" else "student"
    measure = monitored(config.training_for(role).monitor)
    problem = measure and measure.problem(splits.validation.all_labels, splits.classes, "validation")
    if problem:
        raise ConfigError(f"{section_of('monitor', config, role)}.monitor: {problem}")


def verdict_fits(measure: Measure, splits: Splits, parts: Sequence[str]) -> None:
    """Raise ConfigError where runs cannot be compared by this measure on some `parts` of the data."""
    for part in parts:
        if problem := measure.problem(getattr(splits, part).all_labels, splits.classes, part):
            raise ConfigError(f"verdict.measure: {problem}")


def teacher_has_layers(config: Config) -> None:
    """Raise ConfigError if the config has no layers of a teacher that would be trained."""
    if config.teacher.has_layers:
        return
    if config.distill.teachers:
        why, hint = "distill.teachers names files, and no teacher is trained here", "To train one, give"
    else:
        why, hint = "there is no teacher to train", "Name a teacher's file with `kdistill distill --teacher`, or give"
    raise ConfigError(f"teacher.hidden: this key is missing: {why}", hint=f"{hint} its layers under `teacher`.")


def models_fit(config: Config, run: Run, example: Example) -> None:
    """Refuse models that cannot be built for an example: the student, and for a teacher's run the teacher.

    A file whose architecture is taken must exist, be accepted, and not be part of the run; whether its layers fit is
    checked by `models`, once TensorFlow is started.

    Raises:
        ConfigError: naming the key.
        ModelError: naming the file.
    """
    for role in ("teacher", "student") if run.arm == "teacher" else ("student",):
        section = getattr(config, role)
        if role == "teacher":
            teacher_has_layers(config)
        check_layers(section, role, example.shape, example.kind)
        for key, file in (("model", section.model), ("initial_weights", section.weights_file)):
            if not file:
                continue
            path = Path(file)
            modelfiles.check_exists(path)
            modelfiles.check(path)
            if path.resolve().is_relative_to(run.folder.resolve()):
                raise ModelError(
                    f"{path}: {role}.{key} is a file of the run that would be made",
                    hint="Copy the file elsewhere first, or choose another --output-dir.",
                )


def augmentation_fits(config: Config, shape: Sequence[int], kind: Kind = "image") -> None:
    """Raise ConfigError where examples of `shape` are not images, or too small for the augmentation."""
    keys = config.augmentation
    if not keys.moves_images:
        return
    if kind != "image" or len(shape) not in (2, 3):
        raise ConfigError(
            f"augmentation: expected images, height x width or height x width x channels; "
            f"received examples of shape {tuple(shape)}" + (f", kind {kind}" if kind != "image" else ""),
            hint="Remove shift, flip and crop, which are for images, from the section `augmentation`.",
        )
    for key, pixels in (("shift", keys.shift), ("crop", keys.crop or 0)):
        if pixels >= min(shape[:2]):
            raise ConfigError(
                f"augmentation.{key}: expected fewer pixels than the images have, which are {shape[0]} x {shape[1]}; "
                f"received {pixels}"
            )


def batch_is_mixed(config: Config, arm: str) -> None:
    """Raise ConfigError, naming the key that was set, where examples are mixed in batches of one: with themselves."""
    role = "teacher" if arm == "teacher" else "student"
    if config.augmentation.mixup and config.training_for(role).batch_size == 1:
        raise ConfigError(
            f"{section_of('batch_size', config, role)}.batch_size: expected at least 2, since augmentation.mixup mixes "
            "each example with another of its batch; received 1",
            hint="Set a larger batch, or augmentation.mixup: 0.",
        )


def mixup_fits(config: Config, splits: Splits) -> None:
    """Raise ConfigError where examples are mixed whose values cannot be: tokens, or columns of categories."""
    if not config.augmentation.mixup:
        return
    columns = (splits.inputs or {}).get("columns", ())
    categories = [column["name"] for column in columns if column.get("categories") is not None]
    if splits.kind == "tokens":
        received = "tokens, which are numbers of words"
    elif categories:
        received = f"a table with columns of categories: {first_few(categories)}"
    else:
        return
    raise ConfigError(
        f"augmentation.mixup: expected examples of numbers that can be mixed, such as images; received {received}",
        hint="Remove this key" + (", or leave these columns out with data.drop." if categories else "."),
    )
