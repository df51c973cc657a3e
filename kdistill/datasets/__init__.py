"""Data sets: found, verified, divided into train, validation and test."""

from kdistill.datasets.catalog import fetch, info, load, names, needs_download, static_shape
from kdistill.datasets.export import export
from kdistill.datasets.labelling import counts_of_labels
from kdistill.datasets.search_paths import cache_dir
from kdistill.datasets.split import Split
from kdistill.datasets.splits import Splits
from kdistill.datasets.user.load import describe

__all__ = [
    "Split",
    "Splits",
    "cache_dir",
    "counts_of_labels",
    "describe",
    "export",
    "fetch",
    "info",
    "load",
    "names",
    "needs_download",
    "static_shape",
]
