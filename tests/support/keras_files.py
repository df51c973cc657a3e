"""`.keras` files for tests: taken apart, put together again with their checksums right, and damaged at random."""

import io
import json
import struct
import zipfile

import h5py
import keras

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
# What a damaged or hostile config has where something else should be.
ODD = [
    None,
    True,
    -1,
    0,
    1,
    3,
    10**6,
    10**12,
    2**70,
    1e300,
    float("nan"),
    "",
    "softmax",
    "../x",
    [],
    {},
    [None],
    [[[3]]],
]


def mlp():
    layers = [keras.layers.Flatten(), keras.layers.Dense(5, activation="relu"), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((4, 4)), *layers])


def residual():
    inputs = keras.Input((8, 8, 1))
    first = keras.layers.Conv2D(4, 3, padding="same")(keras.layers.Rescaling(1 / 255)(inputs))
    second = keras.layers.BatchNormalization()(first)
    outputs = keras.ops.relu(second + first)
    outputs = keras.layers.Add()([outputs, first])
    return keras.Model(inputs, keras.layers.Dense(3)(keras.ops.mean(outputs, axis=(1, 2))))


def save(model, path):
    model.save(path)
    return path


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, content, method=zipfile.ZIP_STORED):
    """Write members, a dict or pairs of names and bytes, as an archive that is whole."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items() if isinstance(content, dict) else content:
            archive.writestr(name, data)
    return path


def with_config(source, path, change):
    """Write `source` to `path` with a config that `change(config)` has changed in place, or returned anew."""
    content = members(source)
    config = json.loads(content[CONFIG])
    config = change(config) or config
    content[CONFIG] = json.dumps(config).encode()
    return write(path, content)


def with_weights(source, path, change):
    """Write `source` to `path` with weights that `change(file)` has changed through h5py."""
    content = members(source)
    stream = io.BytesIO(content[WEIGHTS])
    with h5py.File(stream, "r+") as file:
        change(file)
    content[WEIGHTS] = stream.getvalue()
    return write(path, content)


def mutate_config(random, config):
    """Change one to three places of a config: a value, a key, or a subtree that belongs elsewhere."""
    for _ in range(random.choice([1, 1, 2, 3])):
        places = list(_places(config))
        container, key = random.choice(places)
        choice = random.random()
        if choice < 0.6:
            container[key] = random.choice(ODD)
        elif choice < 0.8:
            other, other_key = random.choice(places)
            container[key] = json.loads(json.dumps(other[other_key]))
        elif isinstance(container, dict) and choice < 0.9:
            container[random.choice(["class_name", "module", "units", "config", "x"])] = container.pop(key)
        else:
            del container[key]
    return config


def _places(value):
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def mutate_bytes(random, content):
    """Change a few bytes: a bit, a byte, a 64-bit number, a piece from elsewhere, or the end."""
    changed = bytearray(content)
    used = [place for place, byte in enumerate(content) if byte]
    for _ in range(random.choice([1, 1, 1, 2, 4, 16])):
        place = random.choice(used) if random.random() < 0.7 else random.randrange(len(content) - 8)
        choice = random.random()
        if choice < 0.4:
            changed[place] ^= 1 << random.randrange(8)
        elif choice < 0.7:
            changed[place] = random.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif choice < 0.85:
            number = random.choice([0, 1, 2**63, 2**64 - 1, len(content), random.choice(used)])
            changed[place : place + 8] = struct.pack("<Q", number)
        else:
            start, length = random.randrange(len(content)), random.randrange(1, 64)
            changed[place : place + length] = content[start : start + length]
    return bytes(changed[: random.randrange(len(changed))] if random.random() < 0.03 else changed)


def outside(path):
    """Write a classifier of the digits that no run has made; return its path."""
    keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)]).save(path)
    return path
