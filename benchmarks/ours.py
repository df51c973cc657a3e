"""kdistill's engine, `kdistill.training.fit`, as the recipes run it, on teacher logits computed once.

In an epoch it does what the others do: batches in a fresh random order, the loss in full, Adam from Keras.
Gathering the batches and scaling the pixels are in the time. Computing the teacher's logits is not: it happens once and
is reported as `once`. What a real run adds after an epoch is in the time too, remembering the best weights and
validation; the latter on one batch only, since the others validate on nothing.
"""

import argparse
import time

from benchmarks import protocol, workload

FOR_EVER = 1_000_000


def main() -> None:
    """Run the worker."""
    parser = protocol.parser(__doc__)
    parser.add_argument("--threads", type=int, default=1)  # what `backend.threads_for` gives for steps of these sizes
    parser.add_argument("--loss", default="kl", help="the soft loss, standardize, or hint- and its kind, with kl")
    options = parser.parse_args()
    session = protocol.Session()
    from kdistill.core import backend

    backend.start(options.threads, device="cpu")
    source = workload.load(images=options.images, batch=options.batch)
    kind = options.loss.removeprefix("hint-") if options.loss.startswith("hint-") else None
    started = time.perf_counter()
    data = with_teacher(source, kind is not None)
    once = time.perf_counter() - started
    epochs = fit(options, data, options.loss, kind).epochs()
    protocol.serve(session, lambda: next(epochs), data=source.source, once=once)


def fit(options: argparse.Namespace, data, loss: str = "kl", hint_kind: str | None = None):  # type: ignore[no-untyped-def]
    """Return a fit without an end of the student of `options.net`, on data from `with_teacher`."""
    import keras

    from kdistill.training import losses
    from kdistill.training.fit import Fit

    return Fit(
        mlp(workload.STUDENT, seed=1) if options.net == "mlp" else cnn(options.net),
        keras.optimizers.Adam(workload.LEARNING_RATE),
        losses.distillation_objective(
            workload.ALPHA,
            workload.TEMPERATURE,
            soft_loss="kl" if loss == "standardize" or hint_kind else loss,
            standardize=loss == "standardize",
            hints={hint(hint_kind): 0.1} if hint_kind else None,
        ),
        data,
        batch_size=options.batch,
        epochs=FOR_EVER,
        patience=None,
        monitor="val_nll",
        seed=0,
    )


def hint(kind: str = "mse"):  # type: ignore[no-untyped-def]
    """Return a hint between the last hidden layers of teacher and student, by a projection if it may have one."""
    from kdistill.core.hints import HINT_LOSSES
    from kdistill.training.hints import Hint

    widths, names = (
        [of(each) for each in (workload.TEACHER, workload.STUDENT)]
        for of in (lambda sizes: (sizes[-2],), lambda sizes: f"hidden_{len(sizes) - 2}")
    )
    return Hint(*names, *widths, kind, projected=HINT_LOSSES[kind].projects)


def with_teacher(source: workload.Data, hinted: bool = False):  # type: ignore[no-untyped-def]
    """Return the training data with the teacher's logits and features for a hint, and one batch to validate on."""
    import numpy as np

    from kdistill.datasets import Split
    from kdistill.evaluation import predict

    train, few = (Split(source.images, source.labels, np.arange(rows)) for rows in (len(source.labels), workload.BATCH))
    teacher = mlp(workload.TEACHER, seed=2)
    logits, features = predict.logits(predict.predictor(teacher), train), []
    from kdistill.models.features import WithFeatures
    from kdistill.training.segments import Data

    if hinted:
        model = WithFeatures(teacher, [hint().target])
        features = [predict.logits(lambda images: model(images, training=False)[1], train)]
    return Data(train, few, logits, logits[: workload.BATCH], features_train=features)


def cnn(net: str):  # type: ignore[no-untyped-def]
    """Return a student of `workload.NETS` as `kdistill.models` builds it."""
    from kdistill import models
    from kdistill.config import Model

    return models.build(Model(**workload.NETS[net]), "student", (28, 28), 10, 1 / 255, seed=1)


def mlp(sizes: tuple[int, ...], seed: int):  # type: ignore[no-untyped-def]
    """Return a net as `kdistill.models` builds it, raw pixels in, with the weights that all competitors start from."""
    import keras

    inputs = keras.Input((28, 28))
    hidden = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    for number, size in enumerate(sizes[1:-1], start=1):
        hidden = keras.layers.Dense(size, activation="relu", name=f"hidden_{number}")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(sizes[-1])(hidden))
    model.set_weights(workload.weights(sizes, seed))
    return model


if __name__ == "__main__":
    main()
