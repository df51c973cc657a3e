"""Measures one model in its own process, whose peak memory is then the model's:

    python -m kdistill.deploy.measure_process REQUEST

REQUEST is a JSON document; see `main`. Modules that the model's runtime does not need are not imported.
"""

import contextlib
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kdistill.core.errors import KdistillError
from kdistill.core.task import TASKS
from kdistill.deploy import latency, runtimes


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Open a model, time it, and compute its outputs for all images.

    Args:
        request: `model` (a path), `scaling` and `task` (as in `runtimes.Fitting`), `images` (a .npy file of raw
            values), `outputs` (the .npy file to write), `threads`, `batches` (sizes to time), `seconds` (at least, for
            each size) and `rows_at_once` (the batch size for `outputs`).

    Returns:
        `parameters` (None except for Keras), `latency` by batch size (see `latency.measure`) and `peak_memory_bytes`
        after timing (None if unknown); or `error` with `message` and `hint`.
    """
    try:
        images = np.load(request["images"], mmap_mode="r", allow_pickle=False)
        fitting = runtimes.Fitting(images.shape[1:], request["scaling"], TASKS[request["task"]])
        model = runtimes.open_model(Path(request["model"]), request["threads"], fitting=fitting)
        if images.shape[1:] != model.shape:
            raise KdistillError(
                f"{request['model']}: expected a model of inputs {images.shape[1:]}, those of the data; "
                f"received one of inputs {model.shape}"
            )
        timed = {}
        for batch in request["batches"]:
            rows = runtimes.served(np.resize(images[:batch], (batch, *model.shape)))
            timed[str(batch)] = latency.measure(partial(model.outputs, rows), batch, request["seconds"])
        memory = peak_memory()
        size = request["rows_at_once"]
        outputs = [model.outputs(images[start : start + size]) for start in range(0, len(images), size)]
        np.save(request["outputs"], np.concatenate(outputs), allow_pickle=False)
    except KdistillError as error:
        return {"error": {"message": error.message, "hint": error.hint}}
    return {"parameters": getattr(model, "parameters", None), "latency": timed, "peak_memory_bytes": memory}


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes; None if the system does not report it.

    On Linux, getrusage would include the parent's memory at the time of the fork.
    """
    with contextlib.suppress(OSError, ValueError):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    with contextlib.suppress(ImportError):  # on Windows
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return None


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
