"""Configs: one YAML file describes one experiment."""

from kdistill.config.loading import (
    HELP,
    builtin_names,
    builtin_text,
    dump,
    json_schema,
    load,
    resolved,
    summaries,
)
from kdistill.config.schema import Arm, Config, Data, Distill, Expected, Training
from kdistill.config.starter import starter_text
from kdistill.config.yamltext import read_value

__all__ = [
    "HELP",
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
    "read_value",
    "resolved",
    "starter_text",
    "summaries",
]
