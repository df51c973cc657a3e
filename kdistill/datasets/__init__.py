"""Data sets: found, verified, divided into train, validation and test."""

from kdistill.datasets.catalog import fetch, info, load, names, needs_download, static_shape
from kdistill.datasets.own import describe
from kdistill.datasets.places import cache_dir
from kdistill.datasets.splits import Split, Splits

__all__ = [
    "Split",
    "Splits",
    "cache_dir",
    "describe",
    "fetch",
    "info",
    "load",
    "names",
    "needs_download",
    "static_shape",
]
