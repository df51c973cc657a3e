"""Lays out a report: one HTML file, and Markdown with its pictures."""
