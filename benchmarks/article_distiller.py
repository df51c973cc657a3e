"""The class at the heart of the well-known article, for Keras 3: a model that overrides `train_step`.

Written anew after the pattern that the article, its repository and the Keras example share: the teacher runs in every
step, both outputs are softened and compared by `keras.losses.KLDivergence`, and four running means are kept.
"""

import keras
import tensorflow as tf


class Distiller(keras.Model):
    """Trains `student` on the labels and on what `teacher` says; both return logits.

    Args:
        student: the only one of the two that is trained.
        teacher: run with `training=False` in every step.
        temperature: softens the student's logits.
        alpha: the weight of the soft term; the hard one has the rest.
        teacher_temperature: softens the teacher's logits; the article's code divides by 3 where it says 2.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        temperature: float,
        alpha: float,
        teacher_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher
        self.temperature = temperature
        self.teacher_temperature = teacher_temperature or temperature
        self.alpha = alpha
        self.hard_loss = keras.losses.SparseCategoricalCrossentropy()
        self.soft_loss = keras.losses.KLDivergence()
        self.loss_mean = keras.metrics.Mean(name="loss")
        self.hard_mean = keras.metrics.Mean(name="hard_loss")
        self.soft_mean = keras.metrics.Mean(name="soft_loss")
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What `fit` resets before each epoch."""
        return [self.loss_mean, self.hard_mean, self.soft_mean, self.accuracy]

    def train_step(self, data: tuple) -> dict:
        """Do one step of gradient descent on one batch."""
        images, labels = data
        with tf.GradientTape() as tape:
            teacher_logits = self.teacher(images, training=False)
            student_logits = self.student(images, training=True)
            losses = self._terms(labels, teacher_logits, student_logits)
        gradients = tape.gradient(losses[0], self.student.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.student.trainable_variables, strict=True))
        return self._update_means(labels, student_logits, losses)

    def test_step(self, data: tuple) -> dict:
        """Score one batch."""
        images, labels = data
        teacher_logits = self.teacher(images, training=False)
        student_logits = self.student(images, training=False)
        losses = self._terms(labels, teacher_logits, student_logits)
        return self._update_means(labels, student_logits, losses)

    def _terms(self, labels, teacher_logits, student_logits) -> tuple:  # type: ignore[no-untyped-def]
        hard = self.hard_loss(labels, tf.nn.softmax(student_logits))
        soft = self.soft_loss(
            tf.nn.softmax(teacher_logits / self.teacher_temperature),
            tf.nn.softmax(student_logits / self.temperature),
        )
        return self.alpha * soft + (1 - self.alpha) * hard, hard, soft

    def _update_means(self, labels, student_logits, losses: tuple) -> dict:  # type: ignore[no-untyped-def]
        for mean, value in zip((self.loss_mean, self.hard_mean, self.soft_mean), losses, strict=True):
            mean.update_state(value)
        self.accuracy.update_state(labels, student_logits)
        return {metric.name: metric.result() for metric in self.metrics}
