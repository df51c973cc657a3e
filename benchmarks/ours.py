"""kdistill's engine, as the program runs it: `kdistill.training.Fit` on the nets of the `article` config.

It trains what the others train: the same nets, batches of 32 in a fresh random order in each epoch, Adam from Keras.
Gathering the batches and scaling the pixels are in the epoch's time; computing the teacher's logits is not (it is
reported as `once`).
"""

import itertools
import time

from benchmarks import protocol


def main() -> None:
    """Run the worker."""
    options = protocol.parser(__doc__).parse_args()
    session = protocol.Session()
    from kdistill import backend

    backend.start(threads=1, device="cpu")
    import numpy as np

    from benchmarks import keras_nets, workload
    from kdistill import config, evaluation, losses, models, training
    from kdistill.datasets import Split

    data = workload.load(images=options.images)
    split = Split(data.images, data.labels, np.arange(len(data.images)))
    article = config.load("article")
    teacher = models.build(article.teacher, "teacher", (28, 28), 10, 1 / 255, seed=0)
    student = models.build(article.student, "student", (28, 28), 10, 1 / 255, seed=0)
    started = time.perf_counter()
    logits = evaluation.logits(evaluation.predictor(teacher), split)
    once = time.perf_counter() - started
    fit = training.Fit(
        student,
        keras_nets.adam(),
        losses.distillation_objective(workload.ALPHA, workload.TEMPERATURE),
        training.Data(split, split, logits, logits),
        batch_size=workload.BATCH,
        epochs=1,
        patience=None,
        monitor="val_nll",
        seed=0,
    )
    epochs = itertools.count(1)
    protocol.serve(session, lambda: fit.train_epoch(next(epochs)), data=data.source, once=once)


if __name__ == "__main__":
    main()
