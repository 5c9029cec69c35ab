"""Splits without observations, and those with few, are told before anything is trained."""

from __future__ import annotations

import numpy as np
import pandas as pd

from paretocast.data.periods import check_windows

INDEX = pd.date_range("2021-01-01", periods=100 * 24, freq="h", tz="UTC")
ISSUES = {
    "train": np.arange(24, 40 * 24),
    "stop": np.arange(50, 57) * 24,
    "tune": np.arange(60, 67) * 24,
    "calibrate": np.arange(70, 90) * 24,
    "test": np.array([], dtype=np.intp),
}


def test_splits_with_observations_have_no_finding() -> None:
    assert check_windows(INDEX, np.ones(len(INDEX)), ISSUES, horizon_steps=24) == []


def test_a_split_without_one_observation_is_an_error_with_its_dates_and_purpose() -> None:
    values = np.ones(len(INDEX))
    values[50 * 24 : 57 * 24] = np.nan
    (finding,) = check_windows(INDEX, values, ISSUES, horizon_steps=24)
    assert finding.severity == "error"
    assert "no value of the stop split is observed (2021-02-20 00:00Z to" in (finding.message)
    assert "it decides when training ends" in finding.message
    values[50 * 24 + 5] = 1.0
    assert check_windows(INDEX, values, ISSUES, horizon_steps=24) == []


def test_few_calibrate_windows_are_a_warning() -> None:
    values = np.ones(len(INDEX))
    values[77 * 24 :] = np.nan
    (finding,) = check_windows(INDEX, values, ISSUES, horizon_steps=24)
    assert finding.severity == "warning"
    assert "the calibrate split has 7 observed windows; 14 are needed" in finding.message
