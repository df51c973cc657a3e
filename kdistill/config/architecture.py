"""Facts about a section's model, without TensorFlow: does the data fit, how many multiplications and weights."""

from collections.abc import Iterator, Sequence
from math import prod
from typing import NamedTuple

from kdistill.config.schema import Model
from kdistill.core import kinds
from kdistill.core.errors import ConfigError
from kdistill.core.formatting import dimensions
from kdistill.core.kinds import Kind

NAMED = {"sequence": "steps", "tokens": "tokens", "image": "pixels", "volume": "voxels"}
GATES = {"lstm": 4, "gru": 3}
BIASES = {"lstm": 4, "gru": 6}  # for each unit: a GRU has those of the inputs and those of the state


def check_layers(section: Model, role: str, shape: Sequence[int], kind: Kind | None = None) -> None:
    """Check that a section's layers take examples of a shape and kind, and that pooling leaves something of them.

    Args:
        section: of the model.
        role: `teacher` or `student`.
        shape: shape of one example.
        kind: kind of the examples; None for that of their shape.

    Raises:
        ConfigError: they do not; names the key.
    """
    if section.model:
        return
    kind = kind or kinds.plain(shape)
    received = f"received examples of shape {tuple(shape)}, kind {kind}"
    if section.embedding and kind != "tokens":
        raise ConfigError(
            f"{role}.embedding: expected tokens; {received}",
            hint=f"If they are tokens, set data.kind: tokens; else leave {role}.embedding out.",
        )
    if kind == "tokens" and not section.embedding:
        raise ConfigError(
            f"{role}.embedding: this key is missing: tokens are no quantities, and have to be embedded first",
            hint=f"Set {role}.embedding: 16, for example; or data.kind: table, if the values are numbers.",
        )
    if section.recurrent and kind not in ("sequence", "tokens"):
        raise ConfigError(
            f"{role}.recurrent: expected sequences or tokens; {received}",
            hint="If they are sequences, (steps, features), set data.kind: sequence.",
        )
    if section.conv:
        _check_blocks(section, role, shape, kind, received)


def _check_blocks(section: Model, role: str, shape: Sequence[int], kind: Kind, received: str) -> None:
    if kind == "table":
        raise ConfigError(
            f"{role}.conv: expected images, sequences, tokens or volumes; {received}",
            hint=f"Leave {role}.conv out: hidden layers take examples of any shape.",
        )
    if kind == "volume" and section.separable:
        raise ConfigError(f"{role}.separable: expected images or sequences; {received}", hint="Leave it out.")
    places = shape[: kinds.PLACES[kind]]
    for number, sizes in enumerate(_sizes(section, places), start=1):
        if min(sizes) < 1:
            raise ConfigError(
                f"{role}.conv: the {kind if kind == 'tokens' else kind + 's'} are too small for {len(section.conv)} "
                f"blocks: of {dimensions(places)} {NAMED[kind]} nothing is left after block {number}, since each block "
                f"pools by {section.pool}",
                hint=f"Take fewer blocks, or a smaller {role}.pool (1: no pooling).",
            )


class Product(NamedTuple):
    """The weights of one layer of a model.

    Attributes:
        weights: of its kernels; each takes part in one multiplication at each place.
        more: of its biases and its normalization.
        places: at how many places of an example, such as pixels or steps, the kernels are used.
    """

    weights: int
    more: int
    places: int


def multiplications(section: Model, shape: Sequence[int], classes: int, kind: Kind | None = None) -> int:
    """Return the multiplications of a section's model for one example; the section names no model file."""
    return sum(layer.weights * layer.places for layer in _layers(section, shape, classes, kind))


def parameters(
    section: Model, shape: Sequence[int], classes: int, kind: Kind | None = None, vocabulary: int | None = None
) -> int:
    """Return the weights of a section's model, without those that scale its inputs; the section names no model file.

    Args:
        section: of the model.
        shape: shape of one example.
        classes: number of classes.
        kind: kind of the examples; None for that of their shape.
        vocabulary: the number of tokens, if the examples are tokens.
    """
    of_tokens = section.embedding * vocabulary if section.embedding and vocabulary else 0
    return of_tokens + sum(layer.weights + layer.more for layer in _layers(section, shape, classes, kind))


def _layers(section: Model, shape: Sequence[int], classes: int, kind: Kind | None) -> Iterator[Product]:
    """Yield the layers of a section's model that have weights, but for an embedding."""
    kind = kind or kinds.plain(shape)
    places = tuple(shape[: kinds.PLACES[kind]])
    channels = section.embedding or (shape[-1] if kinds.has_channels(kind, shape) else 1)
    before = 4 if section.batch_norm else 1  # for each unit: scale, shift, mean, variance; or the bias
    for number, (filters, after) in enumerate(zip(section.conv, _sizes(section, places), strict=True)):
        kernel = channels * section.kernel ** len(places)
        weights = kernel + channels * filters if section.separable and number else kernel * filters
        yield Product(weights, before * filters, prod(places))
        places, channels = after, filters
    for units in section.recurrent:
        yield Product(GATES[section.cell] * units * (channels + units), BIASES[section.cell] * units, prod(places))
        channels = units
    is_pooled = section.recurrent or section.global_pool or (section.embedding and not section.conv)
    features = channels if is_pooled else channels * prod(places)
    for units in section.hidden:
        yield Product(features * units, before * units, 1)
        features = units
    yield Product(features * classes, classes, 1)


def _sizes(section: Model, places: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the sizes of the axes of places after each convolution block."""
    factors = [section.pool**number for number in range(1, len(section.conv) + 1)]
    return [tuple(size // factor for size in places) for factor in factors]
