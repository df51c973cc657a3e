"""Layers and training that fit data and a teacher of which little is known: where a command makes the config itself.

The student has the kind of layers that its teacher has, and as many units as keep it within `SHARE` of the teacher's
weights. Kinds of layers are chosen by the shape of the data alone: no score has a part in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from kdistill.config import architecture
from kdistill.config.schema import Model
from kdistill.core import kinds
from kdistill.core.kinds import Example

SHARE = 0.03  # of the teacher's weights that a student has at most, unless the smallest one has more
LEAST_SIDE = 16  # pixels, steps or voxels from which convolutions are worth it
SMALLEST_MAP = 4  # pixels that pooling leaves
MOST_BLOCKS = 5
FLATTENED_BLOCKS = 2  # up to which a student's blocks are flattened, rather than pooled globally
WIDTHS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
MOST_FILTERS = 32  # of a student's first block
NARROW, WIDE = 64, 256  # units of a teacher's hidden layers, for examples of at most as many values, and of more
FILTERS = (32, 64, 128, 256, 256)  # of a teacher's blocks
LEAST_STEPS = 4  # of an epoch
FEW = 5000  # examples, of which an epoch has few steps

Section = dict[str, Any]


@dataclass(frozen=True)
class Layers:
    """Which kinds of layers a teacher has."""

    convolutions: bool = True
    recurrent: bool = False


@dataclass(frozen=True)
class Sized:
    """A section `teacher` or `student`, and the number of its weights."""

    section: Section
    parameters: int


def teacher(example: Example, vocabulary: int | None = None) -> Sized:
    """Return the section of a teacher of usual size for examples of this kind; `vocabulary` is that of tokens."""
    if example.kind == "tokens":
        conv: Section = {"conv": [64], "global_pool": True} if _suits_convolutions(example) else {}
        return _sized({"embedding": 64, **conv, "hidden": [64], "dropout": 0.3}, example, vocabulary)
    if _suits_convolutions(example):
        filters = list(FILTERS[: _blocks(example)])
        return _sized({"conv": filters, "hidden": [128], "dropout": 0.3}, example)
    width = NARROW if prod(example.shape) <= NARROW else WIDE
    return _sized({"hidden": [width, width], "dropout": 0.3}, example)


def student(example: Example, of_teacher: int, like: Layers, vocabulary: int | None = None) -> Sized:
    """Return the section of the largest student with at most `SHARE` of a teacher's weights, or the smallest one.

    Where dense layers have too many weights for that, as for large images, convolutions are taken.

    Args:
        example: what it is built for.
        of_teacher: the number of the teacher's weights.
        like: the layers of the teacher.
        vocabulary: the number of tokens, if the examples are tokens.
    """
    ways = (like, replace(like, convolutions=True))
    sizes = [[_sized(section, example, vocabulary) for section in _students(example, way)] for way in ways]
    fitting = [[size for size in of_way if size.parameters <= SHARE * of_teacher] for of_way in sizes]
    found = next((of_way[-1] for of_way in fitting if of_way), None)
    return found or min((of_way[0] for of_way in sizes), key=lambda size: size.parameters)


def training(examples: int) -> Section:
    """Return the section `training` for a number of training examples: of few, there are more epochs."""
    if examples < FEW:
        batch = next(size for size in (32, 16, 8, 4, 2, 1) if size <= max(1, examples // LEAST_STEPS))
        return {"batch_size": batch, "epochs": 200, "patience": 20}
    return {"batch_size": 128, "epochs": 60, "patience": 8}


def _students(example: Example, like: Layers) -> Iterator[Section]:
    """Yield the sections of students, from the smallest to the largest."""
    has_blocks = like.convolutions and _suits_convolutions(example)
    for width in WIDTHS:
        if example.kind == "tokens":
            blocks: Section = {"conv": [width], "global_pool": True} if has_blocks else {}
            yield {"embedding": width, **({"recurrent": [width]} if like.recurrent else blocks), "hidden": []}
        elif example.kind == "sequence" and like.recurrent:
            yield {"recurrent": [width], "hidden": []}
        elif not has_blocks:
            yield {"hidden": [width]}
        elif width <= MOST_FILTERS:
            filters = [width * 2**number for number in range(_blocks(example))]
            pooled = {"global_pool": True} if len(filters) > FLATTENED_BLOCKS else {}
            yield {"conv": filters, **pooled, "hidden": []}


def _suits_convolutions(example: Example) -> bool:
    places = example.shape[: kinds.PLACES[example.kind]]
    return bool(places) and min(places) >= LEAST_SIDE


def _blocks(example: Example) -> int:
    """Return how many blocks, each of which halves the examples, leave `SMALLEST_MAP` places on each side."""
    side, count = min(example.shape[: kinds.PLACES[example.kind]]), 0
    while side // 2 >= SMALLEST_MAP and count < MOST_BLOCKS:
        side, count = side // 2, count + 1
    return count


def _sized(section: Section, example: Example, vocabulary: int | None = None) -> Sized:
    model = Model.model_validate(section)
    return Sized(section, architecture.parameters(model, *example, vocabulary))
