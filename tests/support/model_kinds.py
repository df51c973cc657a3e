"""Classifiers of three classes as people make them with plain Keras, by name: one function for each kind."""

import keras
import numpy as np

layers, ops = keras.layers, keras.ops
IMAGE, ROW, STEPS, TOKENS, VOLUME, FILM = (8, 8, 3), (6,), (5, 4), (5,), (6, 6, 6, 1), (3, 6, 6, 1)
HEAD = (layers.Flatten, lambda: layers.Dense(3))


def sequential(shape, *inner, dtype=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *inner, *(make() for make in HEAD)])


def functional(shape, compute, dtype=None):
    inputs = keras.Input(shape, dtype=dtype)
    outputs = compute(inputs)
    for make in HEAD:
        outputs = make()(outputs)
    return keras.Model(inputs, outputs)


def residual(x):
    first = layers.Conv2D(4, 3, padding="same")(x)
    second = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(ops.relu(first)))
    return layers.Activation("relu")(first + second)


def squeeze_and_excite(x):
    x = layers.Conv2D(4, 3)(x)
    weights = layers.Dense(4, "sigmoid")(layers.Dense(2, "relu")(layers.GlobalAveragePooling2D(keepdims=True)(x)))
    return x * weights


def inverted_residual(x):
    wide = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(9, 1)(x)))
    wide = layers.DepthwiseConv2D(3, padding="same", activation="hard_swish")(wide)
    return layers.Add()([x, layers.Conv2D(3, 1)(wide)])


def inception(x):
    branches = [layers.Conv2D(2, size, padding="same", activation="relu")(x) for size in (1, 3, 5)]
    return layers.Concatenate()([*branches, layers.MaxPooling2D(3, 1, "same")(x)])


def u_net(x):
    down = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    below = layers.Conv2D(6, 3, padding="same")(layers.MaxPooling2D()(down))
    return layers.Concatenate()([down, layers.Conv2DTranspose(4, 2, strides=2)(below)])


def encoder_block(x):
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 3)(x, x))
    return layers.LayerNormalization()(x + layers.Dense(4)(layers.Dense(8, "gelu")(x)))


def vision_transformer(x):
    patches = layers.Reshape((16, 4))(layers.Conv2D(4, 2, strides=2)(x))
    positions = layers.Embedding(16, 4)(ops.zeros_like(patches[..., 0], dtype="int32") + ops.arange(16))
    return layers.GlobalAveragePooling1D()(encoder_block(patches + positions))


def text_transformer(x):
    positions = ops.cumsum(ops.ones_like(x), axis=1) - 1
    return encoder_block(layers.Embedding(10, 4)(x) + layers.Embedding(5, 4)(positions))


def siamese(x):
    shared = keras.Sequential([layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D()])
    left, right = shared(x), shared(x[:, :, ::-1])
    return layers.Concatenate()([left, right, ops.absolute(left - right), layers.Dot(1, normalize=True)([left, right])])


def statistics(x):
    axes = (1, 2)
    parts = [ops.mean(x, axes), ops.std(x, axes), ops.max(x, axes), ops.min(x, axes), ops.logsumexp(x, axes)]
    return ops.concatenate([*parts, ops.reshape(ops.median(x, axes), (-1, 3))], axis=-1)


def spectrum(x):
    real, imaginary = ops.fft((x, ops.zeros_like(x)))
    return ops.log1p(ops.sqrt(real**2 + imaginary**2))


def arithmetic(x):
    x = ops.where(x > 0, ops.sin(x), ops.exp(ops.minimum(x, 1.0)))
    return ops.sum(ops.stack([ops.tanh(x), ops.erf(x), x // 2, x % 3.0, -x, 1 / (1 + x * x)], axis=-1), axis=-1)


def shapes(x):
    parts = ops.split(ops.transpose(x, (0, 3, 1, 2)), 3, axis=1)
    moved = ops.moveaxis(ops.concatenate([ops.flip(parts[0], -1), ops.roll(parts[1], 1, -1), parts[2]], 1), 1, -1)
    return ops.pad(ops.repeat(ops.tile(moved, (1, 2, 1, 1)), 2, axis=2), ((0, 0), (1, 1), (0, 0), (0, 0)))


def image_operations(x):
    small = ops.image.resize(x, (6, 6), interpolation="bicubic")
    grey = ops.image.rgb_to_grayscale(small)
    patches = ops.image.extract_patches(x, (2, 2), strides=(2, 2))
    return ops.concatenate([ops.reshape(value, (-1, size)) for value, size in ((grey, 36), (patches, 192))], axis=-1)


def products(x):
    gram = ops.matmul(ops.transpose(x, (0, 2, 1)), x)
    return ops.concatenate([ops.einsum("bij,bjk->bik", gram, gram), ops.norm(x, axis=1, keepdims=True)], axis=1)


def top(x):
    return ops.concatenate([ops.top_k(x, 2)[0], ops.sort(x)[:, -3:], ops.one_hot(ops.argmax(x, -1), 6)], axis=-1)


def caffe(x):
    return layers.Conv2D(4, 3)(keras.applications.vgg16.preprocess_input(x))


def torch_scaling(x):
    return layers.Conv2D(4, 3)(keras.applications.densenet.preprocess_input(x))


def convnext_block(x):
    convnext = importlib_convnext()
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    y = layers.Dense(3)(layers.Dense(6, "gelu")(layers.LayerNormalization()(y)))
    return x + convnext.LayerScale(0.1, 3)(y)


def importlib_convnext():
    from keras.src.applications import convnext  # Keras does not export its layers

    return convnext


def adapted():
    normalised = layers.Normalization()
    normalised.adapt(np.random.default_rng(0).normal(3, 2, (20, 6)))
    return sequential(ROW, normalised, layers.Dense(8, "relu"))


def compiled_inside():
    inner = keras.Sequential([keras.Input(IMAGE), layers.Conv2D(4, 3)])
    inner.compile("adam", "mse")
    return sequential(IMAGE, layers.Resizing(8, 8), inner)


def transfer():
    inputs = keras.Input(IMAGE)
    base = keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs)), name="base")
    base.trainable = False
    return sequential(
        IMAGE, layers.RandomFlip("horizontal"), layers.Rescaling(1 / 127.5, -1), base, layers.Dropout(0.2)
    )


def lora():
    model = sequential(ROW, layers.Dense(8, "relu"))
    model.layers[0].enable_lora(2)
    model.layers[0].lora_kernel_b.assign(np.random.default_rng(0).normal(size=(2, 8)))
    return model


def quantized(mode, *inner, shape=ROW):
    model = sequential(shape, *inner)
    for layer in model.layers:
        if hasattr(layer, "quantize") and layer.weights:
            layer.quantize(mode)
    return model


def tensors_in_a_dict():
    inputs = keras.Input(ROW, name="x")
    return keras.Model({"x": inputs}, {"scores": layers.Dense(3)(inputs)})


def with_functions():
    return sequential(
        ROW, layers.Dense(4, keras.activations.swish), layers.Activation(keras.ops.silu), layers.Dense(4, layers.ELU())
    )


def _one(name, shape, *inner, dtype=None):
    return name, lambda: sequential(shape, *(make() for make in inner), dtype=dtype)


def _layer(shape, name, *arguments, dtype=None, **named):
    return name, lambda: sequential(shape, getattr(layers, name)(*arguments, **named), dtype=dtype)


def _many(function, shape, dtype=None):
    return function.__name__, lambda: functional(shape, function, dtype)


RANDOM = {
    "AugMix": (),
    "AutoContrast": (),
    "ContrastLimitedAdaptiveHistogramEqualization": (),
    "RandAugment": (),
    "RandomBrightness": (0.1,),
    "RandomColorDegeneration": (0.1,),
    "RandomColorJitter": (),
    "RandomContrast": (0.1,),
    "RandomElasticTransform": (),
    "RandomErasing": (),
    "RandomFlip": (),
    "RandomGaussianBlur": (),
    "RandomGrayscale": (),
    "RandomHue": (0.1,),
    "RandomInvert": (),
    "RandomPerspective": (),
    "RandomPosterization": (4,),
    "RandomRotation": (0.1,),
    "RandomSaturation": (0.1,),
    "RandomSharpness": (0.1,),
    "RandomShear": (),
    "RandomTranslation": (0.1, 0.1),
    "RandomZoom": (0.1,),
    "Solarization": (),
}
INTEGERS = "int32"
KINDS = dict(
    [
        _one("multilayer perceptron", ROW, lambda: layers.Dense(8, "relu"), lambda: layers.BatchNormalization()),
        _one("regularized", ROW, lambda: layers.Dense(4, kernel_regularizer="l2", kernel_constraint="max_norm")),
        _one("mixed precision", ROW, lambda: layers.Dense(4, dtype="mixed_bfloat16")),
        _one("self-normalizing", ROW, lambda: layers.Dense(4, "selu"), lambda: layers.AlphaDropout(0.1)),
        _one("conv net", IMAGE, lambda: layers.Conv2D(4, 3, activation="relu"), lambda: layers.MaxPooling2D()),
        _one("separable", IMAGE, lambda: layers.SeparableConv2D(4, 3), lambda: layers.SpatialDropout2D(0.1)),
        _one("sequence conv net", STEPS, lambda: layers.Conv1D(4, 3, padding="causal"), lambda: layers.MaxPooling1D()),
        _one("volume conv net", VOLUME, lambda: layers.Conv3D(2, 3), lambda: layers.MaxPooling3D()),
        _one("stacked LSTM", STEPS, lambda: layers.LSTM(4, return_sequences=True), lambda: layers.LSTM(3)),
        _one("masked GRU", STEPS, lambda: layers.Masking(), lambda: layers.GRU(3)),
        _one(
            "tokens LSTM",
            TOKENS,
            lambda: layers.Embedding(10, 4, mask_zero=True),
            lambda: layers.LSTM(3),
            dtype=INTEGERS,
        ),
        _one("bag of tokens", TOKENS, lambda: layers.Embedding(10, 4), layers.GlobalAveragePooling1D, dtype=INTEGERS),
        _one("cells", STEPS, lambda: layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)])),
        _one("bidirectional", STEPS, lambda: layers.Bidirectional(layers.LSTM(3), merge_mode="sum")),
        _one(
            "two directions",
            STEPS,
            lambda: layers.Bidirectional(layers.GRU(2), backward_layer=layers.GRU(2, go_backwards=True)),
        ),
        _one("frames", FILM, lambda: layers.TimeDistributed(layers.Conv2D(2, 3)), lambda: layers.ConvLSTM2D(2, 2)),
        _one("spectral norm", IMAGE, lambda: layers.SpectralNormalization(layers.Conv2D(2, 3))),
        _one("pipeline", IMAGE, lambda: layers.Pipeline([layers.RandomFlip(), layers.Rescaling(1 / 255)])),
        *(_many(f, IMAGE) for f in (residual, squeeze_and_excite, inverted_residual, inception, u_net, siamese)),
        *(_many(f, IMAGE) for f in (vision_transformer, statistics, shapes, image_operations, caffe, torch_scaling)),
        *(_many(f, IMAGE) for f in (convnext_block, arithmetic)),
        *(_many(f, STEPS) for f in (encoder_block, products, spectrum)),
        _many(top, ROW),
        _many(text_transformer, TOKENS, INTEGERS),
        ("attention", lambda: functional(STEPS, lambda x: layers.Attention(use_scale=True)([x, x]))),
        ("additive attention", lambda: functional(STEPS, lambda x: layers.AdditiveAttention()([x, x]))),
        ("grouped attention", lambda: functional(STEPS, lambda x: layers.GroupQueryAttention(3, 4, 2)(x, x))),
        (
            "causal attention",
            lambda: functional(STEPS, lambda x: layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)),
        ),
        ("adapted normalization", adapted),
        ("compiled model inside", compiled_inside),
        ("transfer learning", transfer),
        ("LoRA", lora),
        ("int8", lambda: quantized("int8", layers.Dense(8, "relu"))),
        ("int8 tokens", lambda: quantized("int8", layers.Embedding(10, 4), shape=TOKENS)),
        ("int4", lambda: quantized("int4", layers.Dense(8, "relu"))),
        ("float8", lambda: quantized("float8", layers.Dense(8, "relu"))),
        ("tensors in a dict", tensors_in_a_dict),
        ("activations as functions", with_functions),
        *(_layer(IMAGE, name, *arguments) for name, arguments in RANDOM.items()),
        *(_layer(STEPS, f"{kind}1D", 2) for kind in ("AveragePooling", "AdaptiveMaxPooling", "UpSampling", "Cropping")),
        *(_layer(STEPS, f"{kind}1D", 2, 2) for kind in ("Conv", "SeparableConv")),
        *(
            _layer(VOLUME, f"{kind}3D", 2)
            for kind in ("AveragePooling", "AdaptiveAveragePooling", "UpSampling", "Cropping")
        ),
        *(_layer(VOLUME, f"{kind}3D") for kind in ("GlobalMaxPooling", "GlobalAveragePooling", "ZeroPadding")),
        _layer(VOLUME, "SpatialDropout3D", 0.1),
        _layer(VOLUME, "Conv3DTranspose", 2, 2),
        _layer(STEPS, "Conv1DTranspose", 2, 2),
        _layer(STEPS, "DepthwiseConv1D", 2),
        _layer(STEPS, "SimpleRNN", 3),
        _layer((3, 6, 1), "ConvLSTM1D", 2, 2),
        _layer((2, 5, 5, 5, 1), "ConvLSTM3D", 2, 2),
        _layer(STEPS, "EinsumDense", "abc,cd->abd", (5, 3), bias_axes="d"),
        _layer(ROW, "ActivityRegularization", 0.1),
        _layer(ROW, "RepeatVector", 2),
        _layer(ROW, "Discretization", [1.0, 5.0]),
        _layer(ROW, "UnitNormalization"),
        _layer(ROW, "RMSNormalization"),
        _layer(IMAGE, "GroupNormalization", 1),
        _layer(IMAGE, "CenterCrop", 4, 4),
        _layer(IMAGE, "PReLU"),
        _layer(TOKENS, "CategoryEncoding", 10, "multi_hot", dtype=INTEGERS),
        _layer(TOKENS, "Hashing", 10, dtype=INTEGERS),
        _layer((64, 1), "STFTSpectrogram", frame_length=16, frame_step=8, fft_length=16),
        _layer((64,), "MelSpectrogram", fft_length=16, sequence_stride=8, num_mel_bins=5),
    ]
)
