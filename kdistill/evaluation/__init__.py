"""Logits of a model, their metrics, and the statistics of paired seeds."""
