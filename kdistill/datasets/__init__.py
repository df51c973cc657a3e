"""Data sets: found, verified, divided into train, validation and test."""

from kdistill.datasets.catalog import fetch, info, load, names, needs_download, static_shape
from kdistill.datasets.export import export
from kdistill.datasets.search_paths import cache_dir
from kdistill.datasets.splits import Split, Splits
from kdistill.datasets.user.load import describe

__all__ = [
    "Split",
    "Splits",
    "cache_dir",
    "describe",
    "export",
    "fetch",
    "info",
    "load",
    "names",
    "needs_download",
    "static_shape",
]
