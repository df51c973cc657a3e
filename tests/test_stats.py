"""Summaries against the standard library."""

import statistics

import pytest

from kdistill import stats


def test_summary_is_mean_and_sample_standard_deviation():
    values = [0.81, 0.84, 0.80, 0.90]
    summary = stats.summarize(values)
    assert summary["values"] == values
    assert summary["mean"] == pytest.approx(statistics.mean(values))
    assert summary["sd"] == pytest.approx(statistics.stdev(values))


def test_one_value_has_no_spread():
    assert stats.summarize([0.5])["sd"] is None


def test_differences_are_taken_pair_by_pair():
    difference = stats.paired_differences([0.9, 0.8, 0.7], [0.8, 0.9, 0.6])
    assert difference["values"] == pytest.approx([0.1, -0.1, 0.1])
    assert difference["mean"] == pytest.approx(0.1 / 3)
    assert difference["ci_low"] is None
    assert difference["ci_high"] is None


def test_unequal_numbers_of_seeds_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        stats.paired_differences([0.1, 0.2], [0.1])
