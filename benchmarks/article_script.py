"""The article's whole script, as a user runs it: teacher, distilled student and baseline, scored on the test images.

What `python -m benchmarks chain` measures `kdistill reproduce -c article` against. Kept to what a script on Keras 3
has: `fit` three times with `EarlyStopping`, validation on the test set as in the article (patience 10 for the teacher,
20 for the students), the teacher's logits divided by 3, batch 32, Adam. In its favour: no progress bar, no TensorBoard,
nothing saved, images made float32 without a float64 copy, the data read from local files.
"""

import argparse

import keras

from benchmarks import workload
from benchmarks.article_distiller import Distiller


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=500)
    epochs = parser.parse_args().epochs

    train, test = workload.load("train"), workload.load("test", workload.TEST_IMAGES)
    x_train, y_train = train.images.astype("float32") / 255.0, train.labels
    x_test, y_test = test.images.astype("float32") / 255.0, test.labels
    data = {"x": x_train, "y": y_train, "validation_data": (x_test, y_test)}

    teacher = mlp([128, 128, 128])
    compile_classifier(teacher)
    teacher.fit(**data, epochs=epochs, verbose=2, callbacks=[stop_early(10)])

    distiller = Distiller(mlp([128]), teacher, workload.TEMPERATURE, workload.ALPHA, teacher_temperature=3.0)
    distiller.compile(optimizer=keras.optimizers.Adam())
    distiller.fit(**data, epochs=epochs, verbose=2, callbacks=[stop_early(20, "val_hard_loss")])

    baseline = mlp([128])
    compile_classifier(baseline)
    baseline.fit(**data, epochs=epochs, verbose=2, callbacks=[stop_early(20)])

    distilled = distiller.student
    compile_classifier(distilled)
    for name, model in (("teacher", teacher), ("distilled", distilled), ("baseline", baseline)):
        print(f"{name} {model.evaluate(x_test, y_test, verbose=0)[1]:.4f}")


def mlp(hidden: list[int]) -> keras.Model:
    """Return a net from pixels in [0, 1] to logits."""
    dense = [keras.layers.Dense(size, activation="relu") for size in hidden]
    return keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), *dense, keras.layers.Dense(10)])


def compile_classifier(model: keras.Model) -> None:
    """Prepare a net for training on labels alone."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])


def stop_early(patience: int, monitor: str = "val_loss") -> keras.callbacks.Callback:
    """Return the article's early stopping."""
    return keras.callbacks.EarlyStopping(monitor=monitor, mode="min", patience=patience, restore_best_weights=True)


if __name__ == "__main__":
    main()
