"""Reads the run folders of an experiment into the content of its report."""
