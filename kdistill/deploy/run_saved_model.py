"""Runs a SavedModel with TensorFlow alone, without kdistill and Keras. A script, never imported:

    python -P run_saved_model.py SAVED_MODEL IMAGES.npy OUTPUTS.npy ROWS_AT_ONCE

IMAGES.npy has raw values (n, *shape); the outputs of the signature `serving_default` are written to OUTPUTS.npy.
"""

import sys

import numpy as np
import tensorflow as tf


def main(folder: str, images_file: str, outputs_file: str, size: str) -> None:
    """Compute the outputs for all images, `size` at a time."""
    images = np.load(images_file, mmap_mode="r", allow_pickle=False)
    model = tf.saved_model.load(folder)
    serve = model.signatures["serving_default"]
    ((name, spec),) = serve.structured_input_signature[1].items()
    outputs = []
    for start in range(0, len(images), int(size)):
        values = tf.constant(images[start : start + int(size)].astype(spec.dtype.as_numpy_dtype))
        (output,) = serve(**{name: values}).values()
        outputs.append(output.numpy())
    np.save(outputs_file, np.concatenate(outputs), allow_pickle=False)
    if "kdistill" in sys.modules:
        raise SystemExit("expected a process that has not imported kdistill")


if __name__ == "__main__":
    main(*sys.argv[1:])
