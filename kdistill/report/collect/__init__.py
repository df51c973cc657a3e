"""Reads the run folders of an experiment into the plain data of `report.content`."""
