"""Models that take tokens: which embeddings look them up, and how many tokens these know."""

import keras

from kdistill.core.errors import ModelError
from kdistill.models.adapt_inputs import functional


def embeddings(model: keras.Model) -> list[keras.layers.Embedding]:
    """Return the embeddings that look up a model's input as it is, those of inner models included.

    Embeddings of other numbers, such as positions, are not among them.
    """
    raw = {id(tensor) for tensor in model.inputs}
    return _embeddings(model, raw)


def _embeddings(model: keras.Model, raw: set[int]) -> list[keras.layers.Embedding]:
    """Return the embeddings of tensors in `raw`, to which those are added that have the same values."""
    found = []
    for operation, node in _calls(model):
        if not any(id(tensor) in raw for tensor in node.input_tensors):
            continue
        if isinstance(operation, keras.layers.Embedding):
            found.append(operation)
        elif isinstance(operation, keras.Model):
            found += embeddings(operation)
        elif isinstance(operation, keras.layers.Identity) or type(operation).__name__ == "Cast":
            raw |= {id(tensor) for tensor in node.output_tensors}
    return found


def _calls(model: keras.Model) -> list[tuple]:
    """Return the operations of a model in order, each with the node of each of its calls in this model."""
    by_depth = functional(model)._nodes_by_depth
    return [(node.operation, node) for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def vocabulary(model: keras.Model) -> int | None:
    """Return the number of tokens that a model knows; None if its input is not looked up."""
    return min((layer.input_dim for layer in embeddings(model)), default=None)


def check(model: keras.Model, tokens: int) -> None:
    """Check that a model knows all tokens of the data, 0 to `tokens` - 1.

    Otherwise a lookup fails on some devices, and returns the embedding of another token, or zeros, on others.

    Raises:
        ModelError: it has a smaller vocabulary.
    """
    known = vocabulary(model)
    if known is not None and known < tokens:
        raise ModelError(
            f"expected an Embedding of the data's {tokens} tokens, 0 to {tokens - 1}; received one of {known}",
            hint="Number the tokens as for this model, and set data.vocabulary to their number.",
        )
