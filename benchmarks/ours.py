"""kdistill's engine: teacher logits computed once, a segment of batches as one call into an XLA-compiled loop.

A PROTOTYPE of the engine for now, to be replaced by `kdistill.training`. It trains what the others train: the same
nets, batches of 32 in a fresh random order in each epoch, Adam from Keras, the loss in full. Gathering the batches and
scaling the pixels are in the epoch's time; computing the teacher's logits is not (it is reported as `once`).
"""

import os
import time

from benchmarks import protocol

SEGMENT = 100


def main() -> None:
    """Run the worker."""
    options = protocol.parser(__doc__).parse_args()
    session = protocol.Session()
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    import numpy as np
    import tensorflow as tf

    from benchmarks import keras_nets, workload

    data = workload.load(images=options.images)
    started = time.perf_counter()
    teacher = keras_nets.teacher()
    logits = np.concatenate([teacher(tf.cast(part, tf.float32) / 255) for part in np.array_split(data.images, 60)])
    once = time.perf_counter() - started
    segment = compiled_segment(keras_nets.student(), keras_nets.adam())
    rng = np.random.default_rng(0)

    def run_epoch() -> None:
        order = rng.permutation(len(data.images)).reshape(-1, workload.BATCH)
        for first in range(0, len(order), SEGMENT):
            batches = order[first : first + SEGMENT]
            loss = segment(data.images[batches], data.labels[batches], logits[batches])
        float(loss)

    protocol.serve(session, run_epoch, data=data.source, once=once)


def compiled_segment(model, optimizer):  # type: ignore[no-untyped-def]
    """Return a function that trains on a block of batches and returns the sum of their losses."""
    import tensorflow as tf

    from benchmarks.workload import ALPHA, TEMPERATURE
    from kdistill.losses import distillation_loss

    weights = model.trainable_variables
    optimizer.build(weights)

    @tf.function(jit_compile=True)
    def segment(images, labels, teacher_logits):  # type: ignore[no-untyped-def]
        total = 0.0
        for batch in tf.range(tf.shape(images)[0]):
            with tf.GradientTape() as tape:
                student_logits = model(tf.cast(images[batch], tf.float32) / 255, training=True)
                loss = distillation_loss(labels[batch], teacher_logits[batch], student_logits, ALPHA, TEMPERATURE)
            optimizer.apply(tape.gradient(loss, weights), weights)
            total += loss
        return total

    return segment


if __name__ == "__main__":
    main()
