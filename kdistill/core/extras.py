"""The optional extras: which there are, whether they are installed, and what is said where one is missing."""

import importlib.util
from importlib.metadata import PackageNotFoundError, version

from kdistill.core.errors import ConfigError

# Extra -> the modules that are there when it is installed.
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
    """Return the version of a package, by the name that pip knows it by; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_installed(extra: str, what: str) -> None:
    """Refuse `what` (as the user wrote it) where the extra that it needs is not installed.

    Raises:
        ConfigError: with the command that installs it.
    """
    if not installed(extra):
        raise ConfigError(
            f"{what}: needs the extra `{extra}`, which is not installed",
            hint=f"Run `pip install 'kdistill[{extra}]'`, with the Python that runs kdistill.",
        )
