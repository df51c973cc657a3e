"""Shared by all packages: errors, atomic files, signals, events, the start of TensorFlow, formatting."""
