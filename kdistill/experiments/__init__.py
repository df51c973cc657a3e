"""Experiments of many runs: reproduce, sweep, compare, and the workers that make the runs."""
