"""Competitor: Keras's own `keras.distillation.Distiller` and `fit`, with everything else at its default.

`LogitsDistillation` gets an instance of `KLDivergence`: its default, the string, does not compute a divergence of
softened outputs (../shared/reference has the numbers), and someone who checked would write this.
"""

from benchmarks import protocol


def main() -> None:
    """Run the worker."""
    options = protocol.parser(__doc__).parse_args()
    session = protocol.Session()
    import keras

    from benchmarks import keras_nets, workload

    data = workload.load(images=options.images)
    distiller = keras.distillation.Distiller(
        teacher=keras_nets.teacher(),
        student=keras_nets.student(),
        distillation_losses=keras.distillation.LogitsDistillation(
            temperature=workload.TEMPERATURE, loss=keras.losses.KLDivergence()
        ),
        student_loss_weight=1 - workload.ALPHA,
    )
    distiller.compile(
        optimizer=keras_nets.adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    on_command = keras_nets.OnCommand(session, data=data.source)
    keras_nets.fit(distiller, keras_nets.scaled(data), data.labels, on_command)


if __name__ == "__main__":
    main()
