"""The record of an epoch, as a run that is trained sends it."""


def record(epoch, **changes):
    """Return the record of an epoch of a distilled run, with some values changed."""
    values = {
        "epoch": epoch,
        "loss": 0.5,
        "soft": 0.25,
        "hard": 0.75,
        "val_accuracy": 0.9,
        "val_nll": 0.3,
        "best": True,
    }
    return {**values, "patience_left": 4, "seconds": 2.0, **changes}
