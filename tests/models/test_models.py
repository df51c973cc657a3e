"""Models from a config section, and `.keras` files in and out."""

import json
import subprocess
import sys

import keras
import keras_files
import numpy as np
import pytest

from kdistill import config as configs
from kdistill import models
from kdistill.core.errors import ModelError


def arm(**changes):
    overrides = [f"student.{key}={json.dumps(value)}" for key, value in changes.items()]
    return configs.load("quickstart", ["student.hidden=[6, 5]", *overrides]).student


def build(seed=0, role="student", **changes):
    return models.build(arm(**changes), role, (4, 4), 3, 1 / 16, seed)


def weights(model):
    return [weight.numpy() for weight in model.weights]


def test_model_takes_raw_values_and_returns_logits():
    model = build()
    raw = np.random.default_rng(0).integers(0, 17, (5, 4, 4), dtype=np.uint8)
    hidden = raw.reshape(5, 16) / 16
    for kernel, bias in zip(weights(model)[0::2], weights(model)[1::2], strict=True):
        logits = hidden @ kernel + bias
        hidden = np.maximum(logits, 0)
    np.testing.assert_allclose(model(raw).numpy(), logits, rtol=1e-5, atol=1e-6)
    assert model.count_params() == 16 * 6 + 6 + 6 * 5 + 5 + 5 * 3 + 3


def test_initial_weights_depend_on_seed_and_role_alone():
    keras.utils.set_random_seed(1)
    first = weights(build(seed=3))
    keras.utils.set_random_seed(2)
    for again, before in zip(weights(build(seed=3)), first, strict=True):
        np.testing.assert_array_equal(again, before)
    assert not np.array_equal(weights(build(seed=4))[0], first[0])
    assert not np.array_equal(weights(build(seed=3, role="teacher"))[0], first[0])


def test_layers_of_one_model_start_differently():
    kernels = weights(models.build(arm(hidden=[16, 16]), "student", (4, 4), 16, 1.0, 0))[0::2]
    assert not np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[1], kernels[2])


def test_regularisation_reaches_the_layers():
    model = build(dropout=0.4, l2=0.01, max_norm=2.0, activation="tanh")
    hidden = model.get_layer("hidden_1")
    assert float(hidden.kernel_regularizer.l2) == pytest.approx(0.01)
    assert hidden.kernel_constraint.max_value == 2.0
    assert hidden.activation is keras.activations.tanh
    assert [model.get_layer(f"dropout_{n}").rate for n in (1, 2)] == [0.4, 0.4]


def test_every_activation_of_the_schema_builds():
    for name in configs.Config.model_fields["student"].annotation.model_fields["activation"].annotation.__args__:
        assert build(activation=name).count_params() > 0


@pytest.mark.slow
def test_saved_model_loads_with_plain_keras_elsewhere(tmp_path):
    """In a program that has never heard of kdistill."""
    model = build(dropout=0.5, max_norm=3.0, l2=1e-4)
    path = tmp_path / "model.keras"
    models.save(model, path)
    raw = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    program = (
        "import sys, keras, numpy as np\n"
        f"model = keras.saving.load_model({str(path)!r}, compile=False)\n"
        "print(model.predict(np.arange(32, dtype=np.uint8).reshape(2, 4, 4), verbose=0).tolist())\n"
        "assert 'kdistill' not in sys.modules\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    np.testing.assert_allclose(json.loads(printed.splitlines()[-1]), model(raw).numpy(), rtol=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]


def test_loading_gives_back_the_same_weights(tmp_path):
    model = build()
    models.save(model, tmp_path / "m.keras")
    loaded, notes = models.load_classifier(tmp_path / "m.keras", (4, 4), 3)
    assert models.fingerprint(loaded) == models.fingerprint(model)
    assert notes == []
    assert not loaded.trainable_variables


def test_fingerprint_sees_a_single_changed_weight():
    model = build()
    before = models.fingerprint(model)
    bias = model.weights[1]
    bias.assign(bias + np.eye(1, 6)[0] * 1e-6)
    assert models.fingerprint(model) != before


def test_a_failed_save_leaves_the_file_before_it(tmp_path, monkeypatch):
    path = tmp_path / "m.keras"
    models.save(build(), path)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        models.save(build(seed=9), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.keras"]


def plain(*layers):
    return keras.Sequential([keras.Input((4, 4)), keras.layers.Flatten(), *layers])


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.Dense(3, activation="softmax")],
        [keras.layers.Dense(3), keras.layers.Softmax()],
        [keras.layers.Dense(3), keras.layers.Activation("softmax")],
    ],
    ids=["dense", "layer", "activation"],
)
def test_a_final_softmax_is_taken_off_and_told(tmp_path, layers):
    original = plain(*layers)
    original.save(tmp_path / "t.keras")
    model, notes = models.load_classifier(tmp_path / "t.keras", (4, 4), 3)
    raw = np.random.default_rng(0).normal(size=(6, 4, 4)).astype(np.float32)
    logits = model(raw).numpy()
    np.testing.assert_allclose(keras.ops.softmax(logits), original(raw), rtol=1e-5)
    assert not np.allclose(logits.sum(-1), 1.0)
    assert "softmax" in notes[0]


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        ((5, 5), 3, r"expected one input of shape \(5, 5\); received \(4, 4\)"),
        ((4, 4), 7, r"expected one output of shape \(7,\).*received \(3,\)"),
    ],
)
def test_a_model_that_does_not_fit_the_data_is_refused(tmp_path, shape, classes, message):
    models.save(build(), tmp_path / "m.keras")
    with pytest.raises(ModelError, match=message):
        models.load_classifier(tmp_path / "m.keras", shape, classes)


def test_several_outputs_are_refused(tmp_path):
    inputs = keras.Input((4, 4))
    flat = keras.layers.Flatten()(inputs)
    outputs = [keras.layers.Dense(3)(flat), keras.layers.Dense(3)(flat)]
    keras.Model(inputs, outputs).save(tmp_path / "two.keras")
    with pytest.raises(ModelError, match="expected one output"):
        models.load_classifier(tmp_path / "two.keras", (4, 4), 3)


def test_a_layer_that_makes_a_giant_of_an_example_is_refused(tmp_path):
    layers = [keras.layers.Reshape((4, 4, 1)), keras.layers.UpSampling2D(2000), keras.layers.GlobalAveragePooling2D()]
    keras.Sequential([keras.Input((4, 4)), *layers, keras.layers.Dense(3)]).save(tmp_path / "giant.keras")
    with pytest.raises(ModelError, match=r"giant\.keras: the layer up_sampling2d.* at most 33,554,432 values"):
        models.load(tmp_path / "giant.keras")


def dense_ends():
    def logits(inputs):
        return keras.layers.Dense(3)(keras.layers.Flatten()(inputs))

    inputs = keras.Input((4, 4))
    inner = keras.Model(inputs, keras.layers.Softmax()(logits(inputs)))
    activated = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(inputs)))
    return {
        "dense": activated,
        "activation": keras.Model(inputs, keras.layers.Activation("softmax")(logits(inputs))),
        "layer": keras.Model(inputs, keras.layers.Softmax()(logits(inputs))),
        "operation": keras.Model(inputs, keras.ops.softmax(logits(inputs))),
        "a model inside": keras.Sequential([keras.Input((4, 4)), keras.layers.Rescaling(0.5), inner]),
        "an activation inside": keras.Sequential([keras.Input((4, 4)), activated]),
        "after a model": keras.Sequential(
            [keras.Input((4, 4)), keras.Model(inputs, logits(inputs)), keras.layers.Softmax()]
        ),
    }


@pytest.mark.parametrize("end", dense_ends())
def test_a_final_softmax_of_any_kind_is_taken_off(end, tmp_path):
    model = dense_ends()[end]
    model.save(tmp_path / "m.keras")
    images = np.random.default_rng(0).normal(size=(6, 4, 4)).astype(np.float32)
    probabilities = model(images).numpy()
    loaded, notes = models.load_classifier(tmp_path / "m.keras", (4, 4), 3)
    logits = loaded(images).numpy()
    assert not np.allclose(logits.sum(-1), 1.0, atol=1e-2)
    np.testing.assert_allclose(keras.ops.softmax(logits), probabilities, rtol=1e-4, atol=1e-6)
    assert len(notes) == 1
    assert "softmax, which was taken off" in notes[0]
    assert models.fingerprint(loaded) == models.fingerprint(model)


def test_a_residual_network_with_batch_norm_gets_its_channel_axis_and_acts_as_in_inference(tmp_path):
    inputs = keras.Input((8, 8, 1))
    first = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    second = keras.layers.BatchNormalization()(first)
    added = keras.layers.Add()([keras.layers.ReLU()(second), first])
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(added)))
    images = np.random.default_rng(0).integers(0, 17, (40, 8, 8)).astype(np.uint8)
    model(images[..., None], training=True)  # moves the statistics
    model.save(tmp_path / "m.keras")
    loaded, notes = models.load_classifier(tmp_path / "m.keras", (8, 8), 3)
    np.testing.assert_allclose(loaded(images), model(images[..., None], training=False), rtol=1e-4, atol=1e-4)
    assert "the images get a channel axis" in notes[0]
    assert not loaded.trainable_variables


def test_a_model_of_several_outputs_is_refused_with_what_to_do(tmp_path):
    inputs = keras.Input((4,))
    keras.Model(inputs, [keras.layers.Dense(3)(inputs), keras.layers.Dense(1)(inputs)]).save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"one output of shape \(3,\).*received \w+ \(3,\), \w+ \(1,\)") as refused:
        models.load_classifier(tmp_path / "m.keras", (4,), 3)
    assert "model.outputs[0]" in refused.value.hint


def test_a_model_of_two_inputs_within_a_model_may_end_in_a_softmax(tmp_path):
    pair = [keras.Input((6,)), keras.Input((6,))]
    for number, end in enumerate((keras.layers.Dense(3, activation="softmax"), keras.layers.Softmax())):
        inner = keras.Model(pair, end(keras.layers.Dense(3)(keras.layers.Concatenate()(pair))))
        inputs = keras.Input((4, 4))
        flat = keras.layers.Flatten()(inputs)
        original = keras.Model(inputs, inner([keras.layers.Dense(6)(flat), keras.layers.Dense(6)(flat)]))
        original.save(tmp_path / f"{number}.keras")
        model, notes = models.load_classifier(tmp_path / f"{number}.keras", (4, 4), 3)
        raw = np.random.default_rng(0).normal(size=(5, 4, 4))
        np.testing.assert_allclose(keras.ops.softmax(model(raw)), original(raw), rtol=1e-4, atol=1e-6)
        assert "softmax" in notes[0]


@pytest.mark.parametrize(
    "end",
    [
        [keras.layers.Dense(3, activation="sigmoid")],
        [keras.layers.Dense(3), keras.layers.Activation("sigmoid")],
        [keras.Sequential([keras.Input((16,)), keras.layers.Dense(3, activation="sigmoid")])],
    ],
)
def test_a_sigmoid_is_no_logit_and_no_softmax(tmp_path, end):
    """Taken for logits, its values from 0 to 1 would make nearly equal probabilities of every example."""
    keras.Sequential([keras.Input((4, 4)), keras.layers.Flatten(), *end]).save(tmp_path / "s.keras")
    with pytest.raises(ModelError, match="ends in a sigmoid") as refused:
        models.load_classifier(tmp_path / "s.keras", (4, 4), 3)
    assert "without the sigmoid" in refused.value.hint


def _itself(z):
    return z


@pytest.mark.parametrize(
    "end",
    [
        lambda z: keras.layers.Activation("sigmoid")(z),
        keras.ops.sigmoid,
        lambda z: keras.layers.Dense(1, "sigmoid", kernel_initializer="ones")(z),
        lambda z: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "sigmoid")])(z),
        _itself,
    ],
    ids=["layer", "operation", "dense", "inner", "linear"],
)
@pytest.mark.parametrize("classes", [2, None])
def test_a_single_output_z_has_the_logits_0_and_z(tmp_path, end, classes):
    """Then softmax gives 1 - p and p, where p is the sigmoid of z: here of Keras's own model."""
    inputs = keras.Input((4,))
    original = keras.Model(inputs, end(keras.layers.Dense(1)(inputs)))
    original.save(tmp_path / "one.keras")
    model, notes = models.load_classifier(tmp_path / "one.keras", (4,), classes)
    raw = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    expected = np.asarray(original(raw), np.float64)
    logits = np.asarray(model(raw), np.float64)
    assert (logits[:, 0] == 0).all()
    z = logits[:, 1:]
    is_linear = end is _itself
    np.testing.assert_allclose(z if is_linear else 1 / (1 + np.exp(-z)), expected, rtol=1e-5, atol=1e-6)
    assert "the logits (0, z) of two classes" in notes[0]
    with pytest.raises(ModelError, match=r"expected one output of shape \(3,\)"):
        models.load_classifier(tmp_path / "one.keras", (4,), 3)


@pytest.mark.parametrize(
    ("end", "name"),
    [
        (keras.layers.Dense(1, "tanh"), "tanh"),
        (keras.layers.ReLU(), "relu"),
        (keras.layers.LeakyReLU(), "leaky_relu"),
        (keras.layers.Activation("relu"), "relu"),
        (keras.ops.tanh, "tanh"),
    ],
    ids=["dense", "relu", "leaky", "activation", "operation"],
)
def test_a_single_output_of_another_activation_is_no_logit(tmp_path, end, name):
    inputs = keras.Input((4,))
    keras.Model(inputs, end(keras.layers.Dense(1)(inputs))).save(tmp_path / "one.keras")
    with pytest.raises(ModelError, match=f"linear or ends in a sigmoid; received one of {name}"):
        models.load_classifier(tmp_path / "one.keras", (4,), 2)


def test_a_model_that_is_built_and_cannot_be_computed_is_refused(tmp_path):
    """BatchNormalization is built by its shape alone, and not called."""
    inputs = keras.Input((4,))
    first = keras.layers.Dense(3)(inputs)
    second = keras.layers.BatchNormalization()(first)
    keras.Model(inputs, keras.layers.Add()([first, second])).save(tmp_path / "a.keras")

    def masked(config):
        config["config"]["layers"][2]["inbound_nodes"][0]["kwargs"]["mask"] = 0.5

    path = keras_files.with_config(tmp_path / "a.keras", tmp_path / "b.keras", masked)
    models.load_classifier(tmp_path / "a.keras")
    with pytest.raises(ModelError, match=r"b\.keras: Keras cannot compute this model: .* has no attribute 'shape'$"):
        models.load_classifier(path)


@pytest.mark.parametrize(
    ("taken", "layer", "shape"),
    [
        ((None, None, 1), keras.layers.Conv2D(3, 3), (9, 9, 1)),
        ((None, 3), keras.layers.LSTM(3), (7, 3)),
        ((None,), keras.layers.Embedding(5, 3), (6,)),
    ],
)
def test_a_model_of_any_size_is_loaded_for_examples_of_one(tmp_path, taken, layer, shape):
    inputs = keras.Input(taken)
    values = layer(inputs)
    values = keras.ops.mean(values, axis=list(range(1, len(values.shape) - 1))) if len(values.shape) > 2 else values
    model = keras.Model(inputs, keras.layers.Dense(2)(values))
    model.save(tmp_path / "m.keras")
    loaded, notes = models.load_classifier(tmp_path / "m.keras", shape, 2)
    examples = np.random.default_rng(0).integers(0, 5, (4, *shape)).astype(np.float32)
    np.testing.assert_array_equal(loaded(examples), model(examples))
    assert notes == []


@pytest.mark.parametrize("kind", ["layer", "operation"])
def test_attention_over_many_positions_is_refused_before_it_is_computed(tmp_path, kind):
    """Its outputs are small, and its scores are of each position with each."""
    inputs = keras.Input((16384,))
    values = keras.ops.reshape(inputs, (-1, 16384, 1, 1))
    if kind == "layer":
        values = keras.layers.Attention()([values[:, :, 0], values[:, :, 0]])[:, :, None]
    else:
        values = keras.ops.dot_product_attention(values, values, values)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.ops.mean(values, axis=(1, 2))))
    model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"has scores of shape \(1, 16384, 16384\): expected at most 33,554,432"):
        models.load_classifier(tmp_path / "m.keras", (16384,), 2)
