"""The facts that `kdistill doctor` prints for a bug report."""

import os
import platform
from typing import Any

import kdistill
from kdistill import datasets
from kdistill.core import backend, extras

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "pillow", "pydantic", "typer", "rich")
ENVIRONMENT = (
    "KDISTILL_DATA_DIR",
    "KDISTILL_OUTPUT_DIR",
    "KDISTILL_CACHE_DIR",
    "KDISTILL_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "TF_ENABLE_ONEDNN_OPTS",
)


def collect() -> dict[str, Any]:
    """Return versions, devices, folders, data sets and extras. Starts TensorFlow."""
    backend.start(threads=1)
    return {
        "kdistill": kdistill.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": backend.cores(),
        "gpus": backend.gpus(),
        "cache_folder": str(datasets.cache_dir()),
        "versions": {package: extras.version_of(package) for package in PACKAGES},
        "extras": {extra: extras.installed(extra) for extra in extras.MODULES},
        "data": {name: _state(datasets.info(name)) for name in datasets.names()},
        "environment": {name: os.environ.get(name) or None for name in ENVIRONMENT},
    }


def _state(info: dict[str, Any]) -> str:
    if not info["found"]:
        return "not here"
    return "intact" if info["intact"] else "damaged"
