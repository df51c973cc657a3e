"""Competitor: the article's way on Keras 3, `fit` with a `train_step` that runs the teacher in every step.

What most people who distil on Keras run. Everything is left at its default: no XLA (Keras turns it off on CPUs), one
step an execution, the images as float32 in memory.
"""

from benchmarks import protocol


def main() -> None:
    """Run the worker."""
    options = protocol.parser(__doc__).parse_args()
    session = protocol.Session()
    from benchmarks import keras_nets, workload
    from benchmarks.article_distiller import Distiller

    data = workload.load(images=options.images)
    distiller = Distiller(keras_nets.student(), keras_nets.teacher(), workload.TEMPERATURE, workload.ALPHA)
    distiller.compile(optimizer=keras_nets.adam())
    on_command = keras_nets.OnCommand(session, data=data.source)
    keras_nets.fit(distiller, keras_nets.scaled(data), data.labels, on_command)


if __name__ == "__main__":
    main()
