"""Modules that are loaded when they are first used, so that help and completion do not wait for them."""

import importlib
from typing import Any


class Lazy:
    """Stands for a module, and loads it when one of its attributes is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
