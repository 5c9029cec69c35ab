"""Stored forecasts of a study as tables with a row for each step of each forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.errors import StoreError
from paretocast.results.forecasts import open_trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paretocast.data.task import Task
    from paretocast.metrics.forecast import Forecast
    from paretocast.results.stored_study import StoredStudy

SPLITS = ("tune", "calibrate")


def forecast_frame(forecast: Forecast, task: Task, split: str) -> pd.DataFrame:
    """A forecast of a split as a tidy frame.

    Returns
    -------
    DataFrame
        A row for each forecast step: `issue_time` and `target_time` in UTC, `step` from 1 on,
        `q0.05` and so on, a column a quantile level, and `observed`, NaN where missing; in target
        units.
    """
    n_windows, n_steps, _ = forecast.quantiles.shape
    frame = pd.DataFrame(
        {
            "issue_time": np.repeat(task.issue_times(split), n_steps),
            "target_time": task.series.index[task.horizon_positions(split).ravel()],
            "step": np.tile(np.arange(1, n_steps + 1), n_windows),
        }
    )
    for i, level in enumerate(forecast.levels):
        frame[f"q{level:g}"] = forecast.quantiles[..., i].ravel()
    frame["observed"] = forecast.observed.ravel()
    return frame


def study_frames(study: StoredStudy, task: Task) -> Iterator[pd.DataFrame]:
    """Tidy frames of all trials with stored forecasts, one a trial, with `trial` and `split`.

    Raises
    ------
    StoreError
        If no trial has any.
    """
    numbers = [r.number for r in study.outcome.records if study.run.forecasts(r.number).exists()]
    if not numbers:
        raise StoreError(f"no trial of {study.run.study_name} has stored forecasts")
    opened = open_trial(study, numbers[0])
    for number in numbers:
        trial = opened.trial(number)
        frames = {split: forecast_frame(trial.forecast(split), task, split) for split in SPLITS}
        table = pd.concat(frames, names=["split", None]).reset_index(level="split")
        table.insert(0, "trial", number)
        yield table.reset_index(drop=True)
