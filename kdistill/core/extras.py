"""The optional extras of the installation: names, modules, and the error if one is missing."""

import importlib.util
from importlib.metadata import PackageNotFoundError, version

from kdistill.core.errors import ConfigError

# Extra -> the modules that it installs, separated by spaces.
MODULES = {
    "gpu": "nvidia",
    "litert": "ai_edge_litert",
    "onnx": "onnxruntime tf2onnx",
    "ray": "ray",
    "tensorboard": "tensorboard",
}


def installed(extra: str) -> bool:
    """Whether an extra is installed."""
    return all(importlib.util.find_spec(module) is not None for module in MODULES[extra].split())


def version_of(package: str) -> str | None:
    """Return the version of a package, given its name on PyPI; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_installed(extra: str, what: str) -> None:
    """Raise ConfigError if an extra is not installed that `what`, an option or file of the user, needs."""
    if not installed(extra):
        raise ConfigError(
            f"{what}: needs the extra `{extra}`, which is not installed",
            hint=f"Run `pip install 'kdistill[{extra}]'`, with the Python that runs kdistill.",
        )
