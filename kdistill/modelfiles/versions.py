"""Which version of Keras wrote a model file, for messages: what Keras 2 and later ones write may not be taken."""

import json
import re
from importlib.metadata import version
from pathlib import Path

from kdistill.core.errors import ModelError
from kdistill.modelfiles import weights

VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})(\.\w{1,12}){0,3}", re.ASCII)
HDF5_LIMIT = 1 << 28  # bytes of a file that is read only for the version in it

KERAS_2_HINT = (
    "Convert it: `pip install tf_keras`, then `import tf_keras, keras`, "
    "`tf_keras.models.load_model('old.keras', compile=False).save('old.h5')`, "
    "`keras.saving.load_model('old.h5', compile=False).save('new.keras')`. If that fails, build the model anew "
    "in Keras 3 and give it the weights: `new.set_weights(old.get_weights())`."
)
HDF5_HINT = (
    "Convert it: `import keras`, `keras.saving.load_model('{name}', compile=False).save('{stem}.keras')`. "
    "If Keras cannot load it, build the model anew in code, `model.load_weights('{name}')`, and save that."
)
SAVED_MODEL_HINT = (
    "Convert it, if Keras 2 has made it: `pip install tf_keras`, then `import tf_keras, keras`, "
    "`tf_keras.models.load_model('{name}', compile=False).save('{name}.h5')`, "
    "`keras.saving.load_model('{name}.h5', compile=False).save('{name}.keras')`."
)


def explained(error: ModelError, metadata: bytes) -> ModelError:
    """Return an error of a `.keras` file with the version of Keras that wrote it, if that is why it was refused."""
    found = _of_metadata(metadata)
    if found is None:
        return error
    if found.startswith("2."):
        said = f"it was saved by Keras {found}, and Keras 3 cannot take it over as it is ({error.message})"
        return ModelError(said, KERAS_2_HINT)
    here = version("keras")
    if _parts(found) > _parts(here):
        said = f"it was saved by Keras {found}, which is newer than the installed {here}: {error.message}"
        return ModelError(said, f"Save it with Keras {here}. {error.hint or ''}".strip())
    return error


def check_format(path: Path) -> None:
    """Raise ModelError with how to convert it if a path is a SavedModel folder or an HDF5 file of Keras."""
    if path.is_dir() and any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        by = " of Keras 2" if (path / "keras_metadata.pb").is_file() else ""
        said = f"expected a `.keras` file; received a folder in TensorFlow's SavedModel format{by}"
        raise ModelError(said, SAVED_MODEL_HINT.format(name=path.name))
    if path.suffix.lower() in (".h5", ".hdf5") and path.is_file():
        found = _of_hdf5(path)
        by = f", saved by Keras {found}" if found else ""
        if found is not None or not path.name.endswith(".weights.h5"):
            hint = HDF5_HINT.format(name=path.name, stem=path.stem)
            raise ModelError(f"expected a `.keras` file; received one in the older format HDF5{by}", hint)
        raise ModelError(
            "expected a `.keras` file; received the weights of a model without its layers",
            "Build the model, load them, and save the whole: `model.load_weights('x.weights.h5')`, "
            "`model.save('x.keras')`.",
        )


def _parts(text: str) -> tuple[int, int]:
    found = VERSION.match(text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _of_metadata(metadata: bytes) -> str | None:
    try:
        found = json.loads(metadata)["keras_version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return found if isinstance(found, str) and VERSION.fullmatch(found) else None


def _of_hdf5(path: Path) -> str | None:
    try:
        if path.stat().st_size > HDF5_LIMIT:
            return None
        found = weights.attribute(path.read_bytes(), "keras_version")
    except (OSError, ModelError):
        return None
    return found if isinstance(found, str) and VERSION.fullmatch(found) else None
