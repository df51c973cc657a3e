"""Configs: one YAML file describes one experiment."""

from kdistill.config.axes import Axis
from kdistill.config.data_schema import Data
from kdistill.config.loading import (
    builtin_names,
    builtin_text,
    cells,
    described,
    dump,
    from_values,
    json_schema,
    load,
    merged,
    name_of,
    one_line,
    resolved,
    summaries,
    unreached,
)
from kdistill.config.problems import HELP
from kdistill.config.schema import Config, Distill, Model
from kdistill.config.starter import starter_text
from kdistill.config.training_schema import Training

__all__ = [
    "HELP",
    "Axis",
    "Config",
    "Data",
    "Distill",
    "Model",
    "Training",
    "builtin_names",
    "builtin_text",
    "cells",
    "described",
    "dump",
    "from_values",
    "json_schema",
    "load",
    "merged",
    "name_of",
    "one_line",
    "resolved",
    "starter_text",
    "summaries",
    "unreached",
]
