"""An objective as a training step computes it: compiled with XLA, with the gradient of its loss."""

import tensorflow as tf


def terms_and_gradient(objective, labels, teacher, student):
    """Return the terms of an objective, and the gradient of its loss with respect to the student's logits."""

    @tf.function(jit_compile=True)
    def compute(outputs):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            terms = objective(labels, teacher, outputs)
        return terms, tape.gradient(terms["loss"], outputs)

    return compute(tf.constant(student))
