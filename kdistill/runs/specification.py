"""What a run is: everything that its result depends on, and nothing else."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdistill import modelfiles

if TYPE_CHECKING:
    from kdistill.config import Config, Data, Model, Training

ARMS = ("teacher", "baseline", "distilled")
BETWEEN = " + "  # the fingerprints of several teachers
BEFORE_LAYERS = "/"


def specification(
    config: "Config", arm: str, seed: int, teacher_weights: str | None = None, fingerprint: str | None = None
) -> dict[str, Any]:
    """Return everything a run's result depends on: its seed, the config keys it reads, its teacher's weights.

    Left out on purpose: `name`, `data.dir`, `data.path`, `expected`, threads, checkpoint cadence and the output place;
    and what the chosen optimizer and schedule do not read.

    Args:
        config: a resolved config.
        arm: `teacher`, `baseline` or `distilled`.
        seed: of the run.
        teacher_weights: for a distilled run, the identity of its teacher, or of several: see `teacher_identity` and
            `joint_weights`.
        fingerprint: of the data, where it is the user's own.

    Raises:
        ModelError: a file whose architecture is taken is not there, or not accepted.
    """
    role = "teacher" if arm == "teacher" else "student"
    spec: dict[str, Any] = {
        "seed": seed,
        "data": _data(config.data, fingerprint),
        role: _architecture(getattr(config, role)),
        "training": config.training_for(role).model_dump(mode="json", exclude=_unread(config.training_for(role))),
    }
    if arm == "distilled":
        spec["distill"] = config.distill.specification()
        spec["teacher_weights"] = teacher_weights
    if config.augmentation.changes_images:
        spec["augmentation"] = config.augmentation.model_dump(mode="json")
    return spec


def teacher_identity(weights: str, layers: str | None = None, preprocessing: str = "none") -> str:
    """Return what a student depends on of its teacher.

    Args:
        weights: the fingerprint of its weights.
        layers: of a file from elsewhere, the hash of its layers. Those of a teacher that was trained here are in its
            own run's specification.
        preprocessing: what is done to raw values for it.
    """
    layered = f"{weights}{BEFORE_LAYERS}{layers[:16]}" if layers else weights
    return layered if preprocessing == "none" else f"{layered} {preprocessing}"


def taken_apart(identity: str) -> list[tuple[str, str, str]]:
    """Return weights, layers and preprocessing of each teacher in a joint identity; what is not known is empty."""
    apart = []
    for teacher in identity.split(BETWEEN):
        known, _, preprocessing = teacher.partition(" ")
        weights, _, layers = known.partition(BEFORE_LAYERS)
        apart.append((weights, layers, preprocessing))
    return sorted(apart)


def same_teachers(one: str, other: str) -> bool:
    """Whether two identities are of the same teachers. Layers count where both know them: at first none did."""
    first, second = taken_apart(one), taken_apart(other)
    if [(weights, scaled) for weights, _, scaled in first] != [(weights, scaled) for weights, _, scaled in second]:
        return False
    layers = [(before, now) for (_, before, _), (_, now, _) in zip(first, second, strict=True)]
    return all(before == now for before, now in layers if before and now)


def joint_weights(weights: Iterable[str]) -> str:
    """Return the fingerprint of several teachers, in whatever order they are given."""
    return BETWEEN.join(sorted(weights))


def _architecture(section: "Model") -> dict[str, Any]:
    """Return the keys that describe a model: of one from a file what is in the file, wherever that is."""
    if not section.model:
        return section.architecture()
    layers, weights = modelfiles.hashes(Path(section.model))
    return {"model": layers} | ({"initial_weights": weights} if section.initial_weights == "file" else {})


def _data(data: "Data", fingerprint: str | None) -> dict[str, Any]:
    """Return what a run depends on of its data.

    A named data set is verified by its hashes, so its name says what it is. The user's own data is what its
    fingerprint says, which takes in what became of it by the label column, the image size and so on.
    """
    spec: dict[str, Any] = {"dataset": data.dataset, "validation": data.validation, "split_seed": data.split_seed}
    if data.is_own:
        spec["fingerprint"] = fingerprint
        if data.test is not None:
            spec["test"] = data.test
    return spec


def _unread(training: "Training") -> set[str]:
    from kdistill.config.schema import READERS

    unread = {key for key, (choice, readers) in READERS.items() if getattr(training, choice) not in readers}
    return {"checkpoint_every", *unread}


def identity(spec: dict[str, Any]) -> str:
    """Return the SHA-256 of a specification."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Return a line `section.key: was x, is now y` for each leaf in which two specifications differ."""
    lines = []
    for key in dict.fromkeys([*old, *new]):
        before, now = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            lines += differences(before, now, f"{prefix}{key}.")
        elif key == "teacher_weights":
            if before != now and not same_teachers(str(before), str(now)):
                lines.append(_other_teacher(str(before), str(now)))
        elif key in ("model", "initial_weights") and before and now and before != now:
            lines.append(f"{prefix}{key}: is another one")
        elif key == "fingerprint" and prefix == "data." and None not in (before, now) and before != now:
            lines.append("data: examples, labels or class names are others")
        elif before != now:
            lines.append(f"{prefix}{key}: was {json.dumps(before)}, is now {json.dumps(now)}")
    return lines


def _other_teacher(before: str, now: str) -> str:
    """Return in what teachers differ. Their fingerprints would tell nobody anything."""
    old, new = taken_apart(before), taken_apart(now)
    if [weights for weights, _, _ in old] == [weights for weights, _, _ in new]:
        was, then = (", ".join(sorted({name or "none" for _, _, name in teachers})) for teachers in (old, new))
        if was != then:
            return f"teacher.preprocessing: was {was}, is now {then}"
        return "teacher: its weights are the same, and its layers are others"
    if len(old) != len(new):
        return f"teachers: were {len(old)}, are now {len(new)}"
    return "teacher: is another one" if len(new) == 1 else "teachers: are others"
