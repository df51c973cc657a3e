"""The specification of a run: everything that its result depends on, and nothing else. Its hash is the identity."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdistill import modelfiles
from kdistill.core import kinds, members
from kdistill.core.controls import CONTROLS

if TYPE_CHECKING:
    from kdistill.config import Config, Data, Model, Training

ARMS = ("teacher", "baseline", "distilled")
EVERY_ARM = (*ARMS, *CONTROLS)
SEPARATOR = " + "  # between the identities of several teachers
SHARE = " x "  # before the weight of a teacher in the mean, where the weights differ
START = "start_weights"  # of a student that starts from the baseline's weights: their fingerprint
LAYERS = "/"  # before the hash of a teacher's layers


def arm_order(name: str) -> tuple[int, int]:
    """Return a sort key of runs of one seed, by the names of their arms: a teacher's members in their own order."""
    return EVERY_ARM.index(members.arm_of(name)), members.number(name)


def specification(
    config: "Config",
    arm: str,
    seed: int,
    teacher_weights: str | None = None,
    fingerprint: str | None = None,
    unlabelled: str | None = None,
    start_weights: str | None = None,
) -> dict[str, Any]:
    """Return everything a run's result depends on: its seed, the config keys it reads, its teacher's weights.

    Left out on purpose: `name`, `data.dir`, `data.path`, `expected`, threads, `checkpoint_every`, the output folder;
    and keys that the chosen optimizer and schedule do not read. `config` is resolved.

    Args:
        arm: one of `EVERY_ARM`.
        seed: of the run.
        teacher_weights: of a distilled run, the joint identity of its teachers: see `joint_identity`; of a control,
            that of the model that it learns or starts from.
        fingerprint, unlabelled: the hashes of the user's own data, and of the examples of `data.unlabelled`.
        start_weights: those of the baseline that a student starts from.

    Raises:
        ModelError: a file whose architecture is taken is not there, or not accepted.
    """
    role = "teacher" if arm == "teacher" else "student"
    spec: dict[str, Any] = {
        "seed": seed,
        "data": _data(config.data, fingerprint, unlabelled),
        role: _architecture(getattr(config, role)),
        "training": config.training_for(role).model_dump(mode="json", exclude=_unused_keys(config.training_for(role))),
    }
    spec |= _of_arm(config, arm, teacher_weights)
    spec |= {START: start_weights} if config.starts_from_baseline(arm) else {}
    if config.augmentation.changes_images:
        spec["augmentation"] = config.augmentation.specification()
    return spec


def _of_arm(config: "Config", arm: str, weights: str | None) -> dict[str, Any]:
    """Return what an arm depends on besides its model, the data and the training; `weights` are its teacher's."""
    if arm == "distilled":
        return {"distill": config.distill.specification(), "teacher_weights": weights}
    if arm == "teacher":
        return {"examples": "all"} if config.teacher.examples == "all" else {}
    return _control(config, arm, weights) if arm in CONTROLS else {}


def _control(config: "Config", arm: str, weights: str | None) -> dict[str, Any]:
    """Return what a control depends on besides the student, the data and the training."""
    control, option = CONTROLS[arm], config.controls.get(arm)
    distill = config.distill.specification()
    if control.reads != "all":
        which = {"examples", "classes", "adjust_prior"} & set(distill) if control.is_taught else set[str]()
        distill = {key: distill[key] for key in (*control.reads, *which)}
    spec: dict[str, Any] = {"control": {arm: option}} | ({"distill": distill} if distill else {})
    return spec | ({f"{control.needs}_weights": weights} if control.needs else {})


def teacher_identity(weights: str, layers: str | None = None, preprocessing: str = "none") -> str:
    """Return the identity of a teacher: all that a student depends on.

    Args:
        weights: the fingerprint of its weights.
        layers: of a teacher from a file, the hash of its layers; those of a run are in the run's specification.
        preprocessing: how raw values are scaled for it.
    """
    layered = f"{weights}{LAYERS}{layers[:16]}" if layers else weights
    return layered if preprocessing == "none" else f"{layered} {preprocessing}"


def shares_of(identity: str) -> tuple[float, ...]:
    """Return the weight of each teacher of a joint identity in their mean, in its order; empty where all are equal."""
    shares = [teacher.partition(SHARE)[2] for teacher in identity.split(SEPARATOR)]
    return tuple(map(float, shares)) if all(shares) else ()


def without_share(teacher: str) -> str:
    """Return the identity of one teacher without its share."""
    return teacher.partition(SHARE)[0]


def split_identity(identity: str) -> list[tuple[str, str, str]]:
    """Return weights, layers and preprocessing of each teacher in a joint identity; an unknown part is empty."""
    parts = []
    for teacher in identity.split(SEPARATOR):
        known, _, preprocessing = without_share(teacher).partition(" ")
        weights, _, layers = known.partition(LAYERS)
        parts.append((weights, layers, preprocessing))
    return sorted(parts)


def same_teachers(one: str, other: str) -> bool:
    """Whether two joint identities are of the same teachers.

    Layers are compared only if both identities have them: those written by early versions have none.
    """
    if shares_of(one) != shares_of(other):
        return False
    first, second = split_identity(one), split_identity(other)
    if [(weights, scaled) for weights, _, scaled in first] != [(weights, scaled) for weights, _, scaled in second]:
        return False
    layers = [(before, now) for (_, before, _), (_, now, _) in zip(first, second, strict=True)]
    return all(before == now for before, now in layers if before and now)


def joint_identity(identities: Iterable[str], shares: Sequence[float] = ()) -> str:
    """Return the joint identity of teachers, which does not depend on their order.

    `shares` are their weights in the mean, if they differ, in the order of the identities.
    """
    if not shares:
        return SEPARATOR.join(sorted(identities))
    pairs = sorted(zip(identities, shares, strict=True))
    return SEPARATOR.join(f"{identity}{SHARE}{share:.12g}" for identity, share in pairs)


def _architecture(section: "Model") -> dict[str, Any]:
    """Return the keys that describe a model; for a model from a file, the hashes of its content."""
    start = section.model if section.keeps_weights else section.weights_file
    weights = {"initial_weights": modelfiles.hashes(Path(start))[1]} if start else {}
    if section.model:
        return {"model": modelfiles.hashes(Path(section.model))[0], **weights}
    return {key: value for key, value in section.architecture().items() if key != "initial_weights"} | weights


def _data(data: "Data", fingerprint: str | None, unlabelled: str | None) -> dict[str, Any]:
    """Return the keys of the data, and the fingerprint of the user's own data as it was read.

    A named data set is verified by its hashes, so its name is enough.
    """
    spec: dict[str, Any] = {"dataset": data.dataset, "validation": data.validation, "split_seed": data.split_seed}
    if data.is_own:
        spec["fingerprint"] = fingerprint
        if data.test is not None:
            spec["test"] = data.test
    if data.labels != "single":
        spec["labels"] = data.labels
    if data.unlabelled is not None:
        spec["unlabelled"] = unlabelled
    if data.labelled is not None:
        spec |= {"labelled": data.labelled, "label_seed": data.label_seed}
    if data.label_noise is not None:
        spec["label_noise"] = {"share": data.label_noise, "in": data.label_noise_in, "seed": data.label_seed}
    if data.class_weights is not None:
        spec["class_weights"] = data.class_weights
    return spec


def _unused_keys(training: "Training") -> set[str]:
    from kdistill.config.training_schema import EITHER, READERS

    unused = {key for key, (choice, readers) in READERS.items() if getattr(training, choice) not in readers}
    return {"checkpoint_every", EITHER[training.length_key], *unused}


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
        elif key == START:
            lines += [_other_start(key in old, key in new)] if (key in old) != (key in new) or before != now else []
        elif key == "baseline_weights":
            lines += ["baseline: is another one"] if before != now else []
        elif key in ("model", "initial_weights") and before and now and before != now:
            lines.append(f"{prefix}{key}: is another one")
        elif key == "fingerprint" and prefix == "data." and None not in (before, now) and before != now:
            lines.append(_other_data(str(before), str(now)))
        elif key == "unlabelled" and None not in (before, now) and before != now:
            lines.append("data.unlabelled: are other examples")
        elif before != now:
            lines.append(f"{prefix}{key}: was {json.dumps(before)}, is now {json.dumps(now)}")
    return lines


def _other_start(before: bool, now: bool) -> str:
    """Return how starts differ; the flags are whether they are the baseline's weights."""
    if before and now:
        return "student.initial_weights: the baseline is another one"
    was, now_is = ("baseline" if warm else "fresh" for warm in (before, now))
    return f"student.initial_weights: was {was}, is now {now_is}"


def _other_data(before: str, now: str) -> str:
    """Return how data differ, without their fingerprints."""
    (arrays_before, old), (arrays_now, new) = kinds.unmarked(before), kinds.unmarked(now)
    if arrays_before != arrays_now:
        return "data: examples, labels or class names are others"
    return f"data.kind: was {old or 'table or image'}, is now {new or 'table or image'}"


def _other_teacher(before: str, now: str) -> str:
    """Return how teachers differ, without their fingerprints, which say nothing to a reader."""
    old, new = split_identity(before), split_identity(now)
    if [weights for weights, _, _ in old] == [weights for weights, _, _ in new] and shares_of(before) == shares_of(now):
        was, now_is = (", ".join(sorted({name or "none" for _, _, name in teachers})) for teachers in (old, new))
        if was != now_is:
            return f"teacher.preprocessing: was {was}, is now {now_is}"
        return "teacher: its weights are the same, and its layers are others"
    if old == new and shares_of(before) != shares_of(now):
        was, now_is = (str(list(shares_of(of))) if shares_of(of) else "equal" for of in (before, now))
        return f"distill.teacher_weights: were {was}, are now {now_is}, in the order of the teachers' identities"
    if len(old) != len(new):
        return f"teachers: were {len(old)}, are now {len(new)}"
    return "teacher: is another one" if len(new) == 1 else "teachers: are others"
