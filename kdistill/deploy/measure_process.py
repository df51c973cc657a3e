"""One model measured in a process of its own, so that its memory is its own:

    python -m kdistill.deploy.measure_process REQUEST

REQUEST is a JSON document; see `main`. Nothing of kdistill is imported that the runtime of the model does not need.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kdistill.core.errors import KdistillError
from kdistill.deploy import latency, runtimes


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Open a model, time it, and ask it about all images.

    Args:
        request: `model` (a path), `scaling` (see `runtimes.Fitting`), `images` (a .npy file of raw values), `outputs`
            (the .npy file to write), `threads`, `batches` (those to time), `seconds` (at least, for each) and
            `rows_at_once`.

    Returns:
        `parameters` (None but for Keras), `latency` by batch size (see `latency.measure`), `peak_memory_bytes` until
        then (None where the system does not tell); or `error`: `message` and `hint`.
    """
    try:
        images = np.load(request["images"], mmap_mode="r", allow_pickle=False)
        fitting = runtimes.Fitting(images.shape[1:], request["scaling"])
        model = runtimes.open_model(Path(request["model"]), request["threads"], fitting=fitting)
        if images.shape[1:] != model.shape:
            raise KdistillError(
                f"{request['model']}: expected a model of inputs {images.shape[1:]}, those of the data; "
                f"received one of inputs {model.shape}"
            )
        timed = {}
        for batch in request["batches"]:
            rows = np.resize(images[:batch], (batch, *model.shape)).astype(np.float32)
            timed[str(batch)] = latency.measure(partial(model.outputs, rows), batch, request["seconds"])
        memory = peak_memory()
        size = request["rows_at_once"]
        outputs = [model.outputs(images[start : start + size]) for start in range(0, len(images), size)]
        np.save(request["outputs"], np.concatenate(outputs), allow_pickle=False)
    except KdistillError as error:
        return {"error": {"message": error.message, "hint": error.hint}}
    return {"parameters": getattr(model, "parameters", None), "latency": timed, "peak_memory_bytes": memory}


def peak_memory() -> int | None:
    """Return the most memory that this process has ever held, in bytes; None where the system does not tell.

    Linux's getrusage would count what the parent held when it started this process.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
