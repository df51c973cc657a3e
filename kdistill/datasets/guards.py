"""Guards: what looks like a mistake in the data or its splits, told before it costs training time."""

SMALL_VALIDATION = 50  # examples; of so few, one is two points of accuracy


def small_validation(examples: int) -> list[str]:
    """Return a warning if a validation split has too few examples to choose an epoch or a setting with."""
    if examples >= SMALL_VALIDATION:
        return []
    return [
        f"The validation split has {examples} examples, and each is {100 / examples:.2g} points of accuracy: what is "
        "chosen on it (the epoch, the settings of a sweep) is chosen by chance to a good part. A larger "
        "data.validation, or more data, helps."
    ]
