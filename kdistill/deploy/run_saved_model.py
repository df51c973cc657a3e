"""A SavedModel in a process that does not know kdistill and loads nothing by Keras. Run as a file, never imported:

    python -P fresh.py SAVED_MODEL IMAGES.npy OUTPUTS.npy ROWS_AT_ONCE

Raw values (n, *shape) are read from IMAGES.npy; what the signature `serving_default` makes of them goes to OUTPUTS.npy.
"""

import sys

import numpy as np
import tensorflow as tf


def main(folder: str, images_file: str, outputs_file: str, size: str) -> None:
    """Ask the model in `folder` about all images, `size` at a time."""
    images = np.load(images_file, mmap_mode="r", allow_pickle=False)
    model = tf.saved_model.load(folder)
    serve = model.signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    outputs = []
    for start in range(0, len(images), int(size)):
        values = tf.constant(images[start : start + int(size)].astype(np.float32))
        (output,) = serve(**{name: values}).values()
        outputs.append(output.numpy())
    np.save(outputs_file, np.concatenate(outputs), allow_pickle=False)
    if "kdistill" in sys.modules:
        raise SystemExit("expected a process that does not know kdistill")


if __name__ == "__main__":
    main(*sys.argv[1:])
