"""Competitor: plain `model.fit` on teacher logits computed once, with a loss that unpacks [label, teacher logits].

What someone who knows Keras writes to be fast without leaving it. `--steps-per-execution` and `--xla` are the two
settings of `compile` that help further. Kept kind: there are no metrics, and computing the teacher's logits is not
in the epoch's time (it is reported as `once`, and our engine has the same cost outside its epochs).
"""

import time

from benchmarks import protocol


def main() -> None:
    """Run the worker."""
    parser = protocol.parser(__doc__)
    parser.add_argument("--steps-per-execution", type=int, default=1)
    parser.add_argument("--xla", action="store_true")
    options = parser.parse_args()
    session = protocol.Session()
    import numpy as np

    from benchmarks import keras_nets, workload

    data = workload.load(images=options.images, batch=options.batch)
    images = keras_nets.scaled(data)
    started = time.perf_counter()
    teacher_logits = keras_nets.teacher().predict(images, batch_size=1024, verbose=0)
    once = time.perf_counter() - started
    targets = np.column_stack([data.labels.astype(np.float32), teacher_logits])

    student = keras_nets.student(options.net)
    student.compile(
        optimizer=keras_nets.adam(),
        loss=distillation_loss,
        steps_per_execution=options.steps_per_execution,
        jit_compile=True if options.xla else "auto",
    )
    on_command = keras_nets.OnCommand(session, data=data.source, once=once)
    keras_nets.fit(student, images, targets, on_command, options.batch)


def distillation_loss(targets, student_logits):  # type: ignore[no-untyped-def]
    """Return the loss of each example; column 0 of `targets` is the label, the rest the teacher's logits."""
    import tensorflow as tf

    from benchmarks.workload import ALPHA, TEMPERATURE

    labels = tf.cast(targets[:, 0], tf.int32)
    teacher = tf.nn.log_softmax(targets[:, 1:] / TEMPERATURE)
    student = tf.nn.log_softmax(student_logits / TEMPERATURE)
    soft = TEMPERATURE**2 * tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1)
    hard = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=student_logits)
    return ALPHA * soft + (1 - ALPHA) * hard


if __name__ == "__main__":
    main()
