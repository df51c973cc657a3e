"""Draws a report's plots."""
