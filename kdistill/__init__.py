"""Distil a large classifier into a small one, and test whether that helped."""

__version__ = "0.1.0"
