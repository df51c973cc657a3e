"""Configs: one YAML file describes one experiment."""

from kdistill.config.loading import (
    builtin_names,
    builtin_text,
    dump,
    json_schema,
    load,
    summaries,
)
from kdistill.config.schema import READERS, Arm, Config, Data, Distill, Expected, Training

__all__ = [
    "READERS",
    "Arm",
    "Config",
    "Data",
    "Distill",
    "Expected",
    "Training",
    "builtin_names",
    "builtin_text",
    "dump",
    "json_schema",
    "load",
    "summaries",
]
