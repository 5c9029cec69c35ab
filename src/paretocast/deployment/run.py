"""Forecasts into the journal: one, or many in the past by the same path."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from paretocast.data.task import daily_positions, is_daily_issue
from paretocast.deployment.bundle import issue_time
from paretocast.deployment.calibration_state import CalibrationState
from paretocast.deployment.issued import OFF_SCHEDULE
from paretocast.deployment.journal import latest_values
from paretocast.errors import DataError, SettingsError, StoreError
from paretocast.steps import noun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paretocast.calibration import Calibrator
    from paretocast.deployment.inputs import LiveInputs
    from paretocast.deployment.issued import LiveForecast
    from paretocast.deployment.journal import Deployment

OBSERVED_BEFORE = pd.Timedelta(days=28)  # the first issue, for a monitor to look back on


@dataclass(frozen=True)
class Observed:
    """Numbers of steps that `observe` has added and corrected."""

    n_new: int
    n_corrected: int
    step: str = "hour"


def issue_forecast(
    deployment: Deployment,
    inputs: LiveInputs,
    at: pd.Timestamp | str | None = None,
    *,
    dry_run: bool = False,
) -> LiveForecast:
    """Issue one forecast and keep it in the journal.

    The target before the issue is observed on the way. The same inputs give the forecast that is
    there already; others give its next revision.

    Parameters
    ----------
    at : Timestamp or str, optional
        First hour to forecast; see `bundle.issue_time` without it.
    dry_run : bool
        Write nothing, wait for nobody, and learn nothing from the data: see `preview_forecast`.
    """
    stamp = issue_time(at, inputs)
    if dry_run:
        state = CalibrationState.load(deployment)
        return preview_forecast(
            deployment, inputs, stamp, _calibrators_at(deployment, stamp, state)
        )
    with deployment.locked():
        state = CalibrationState.load(deployment)
        forecast = _issue(deployment, inputs, stamp, state)
        state.save()
    return forecast


def preview_forecast(
    deployment: Deployment,
    inputs: LiveInputs,
    at: pd.Timestamp,
    calibrators: Mapping[str, Calibrator],
) -> LiveForecast:
    """The forecast of an issue that is not kept.

    Raises
    ------
    SettingsError
        If the data end more than a month before the issue.
    StoreError
        If another bundle has come into use since the data were read.
    """
    if at > inputs.values.index[-1] + pd.Timedelta(days=31):
        raise SettingsError(
            f"--at is {at.isoformat()}, more than a month after the last row of the data, "
            f"{inputs.values.index[-1].isoformat()}; bring newer data"
        )
    if inputs.contract != deployment.bundle.contract:
        raise StoreError(
            f"{deployment.folder} has come to use bundle {deployment.bundle.name} while the data "
            "were read for another one; try again"
        )
    forecast = deployment.bundle.forecast_from(inputs, at, calibrators=calibrators)
    if is_daily_issue(at, deployment.bundle.contract.shape):
        return forecast
    return replace(forecast, flags=(*forecast.flags, OFF_SCHEDULE))


def issue_forecasts(
    deployment: Deployment,
    inputs: LiveInputs,
    first: pd.Timestamp,
    last: pd.Timestamp,
    *,
    on_progress: Callable[[LiveForecast], None] = lambda _: None,
) -> list[LiveForecast]:
    """Issue the forecast of every day of a period, as if each were made on its day.

    Raises
    ------
    DataError
        If no daily issue lies in the period.
    """
    shape = deployment.bundle.contract.shape
    issues = daily_issues(inputs, first, last)
    if not issues:
        raise DataError(
            f"no issue lies between {first} and {last}; forecasts are issued daily at "
            f"{shape.issue_hour:02d}:00 {shape.issue_zone}"
        )
    forecasts = []
    with deployment.locked():
        state = CalibrationState.load(deployment)
        for time in issues:
            forecast = _issue(deployment, inputs, time, state)
            state.save()
            forecasts.append(forecast)
            on_progress(forecast)
    return forecasts


def observe(deployment: Deployment, inputs: LiveInputs) -> Observed:
    """Add the observations of a table to the journal; the same table twice changes nothing."""
    until = inputs.known_from
    with deployment.locked():
        new, corrected = deployment.observe(_since_first(deployment, inputs, until), known_at=until)
        if new or corrected:
            deployment.note("observe", new=new, corrected=corrected)
    return Observed(new, corrected, noun(inputs.contract.shape.steps_per_day))


def daily_issues(inputs: LiveInputs, first: pd.Timestamp, last: pd.Timestamp) -> list[pd.Timestamp]:
    """Daily issues from one time to another, both included, on the grid of the data."""
    shape, some_step = inputs.contract.shape, inputs.values.index[0]
    from_there = math.ceil((first - some_step) / shape.step)
    # Of an hour that happens twice in autumn the first is the issue: look at the hour before, too.
    start = some_step + (from_there - shape.steps_per_hour) * shape.step
    steps = pd.date_range(start, last, freq=shape.step)
    times = steps[daily_positions(steps, shape)]
    return list(times[times >= first])


def next_daily_issue(inputs: LiveInputs) -> pd.Timestamp:
    """The first daily issue at which the last value of the target is there."""
    known = inputs.known_from
    # Two days hold an issue, whatever the clock does on one of them.
    return daily_issues(inputs, known, known + pd.Timedelta(days=2))[0]


def _issue(
    deployment: Deployment, inputs: LiveInputs, at: pd.Timestamp, state: CalibrationState
) -> LiveForecast:
    deployment.observe(_since_first(deployment, inputs, at), known_at=at)
    forecast = preview_forecast(deployment, inputs, at, _calibrators_at(deployment, at, state))
    return deployment.keep(forecast, observations=len(deployment.observations()))


def _calibrators_at(
    deployment: Deployment, at: pd.Timestamp, state: CalibrationState
) -> dict[str, Calibrator]:
    known = latest_values(deployment.observations())
    return state.at(at, [f for f in deployment.counted() if f.issue_time < at], known)


def _since_first(deployment: Deployment, inputs: LiveInputs, at: pd.Timestamp) -> pd.Series[float]:
    """Observations known at a time, from four weeks before the first issue of the journal on."""
    target = inputs.target_known_at(at)
    first = next((f.issue_time for f in deployment.issued()), at)
    return target[target.index >= first - OBSERVED_BEFORE]
