"""Health of a deployment, read from its journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.deployment.bundle import RIDGE, VALIDATION
from paretocast.deployment.bundle_files import DEPLOY_AGAIN
from paretocast.deployment.health import (
    Check,
    HealthReport,
    InputRange,
    IssueScores,
    Level,
    check_age,
    check_coverage,
    check_missing,
    check_range,
    check_skill,
    count_by_local_hour,
    count_by_step,
    coverage_evidence,
    usual_skill,
)
from paretocast.deployment.issue_scores import score_issues
from paretocast.deployment.issued import OFF_SCHEDULE, hour_of, second_of
from paretocast.deployment.journal import latest_values
from paretocast.errors import DataError, StoreError
from paretocast.steps import steps_of
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from paretocast.deployment.issued import LiveForecast
    from paretocast.deployment.journal import Deployment

RECENT_ISSUES = 28
RECENT_HOURS = 168
MOST_MISSING = 0.1
ALLOWED_AGE_HOURS = 36.0  # of an observation, at a daily issue
SECONDS_AN_HOUR = 3600
ALARM_DEGRADED = 3  # issues in a row


def health_of(deployment: Deployment, *, now: pd.Timestamp, tolerance: float = 0.0) -> HealthReport:
    """All checks of a deployment, of what the bundle in use has issued.

    Parameters
    ----------
    now : Timestamp
        Age of the data is counted up to here.
    tolerance : float
        Percentage points by which coverage may be off without evidence growing.
    """
    bundle = deployment.bundle
    observed = latest_values(deployment.observations())
    forecasts = [f for f in deployment.counted() if f.bundle == bundle.name]
    ended = [f for f in forecasts if _is_scored(f, observed)]
    scores = scores_of(ended, observed, bundle.levels, bundle.contract.shape.horizon_steps)
    validation = validation_scores(deployment)
    before = int(scores.issues[0]) if scores.issues.size else hour_of(now)
    evidence = coverage_evidence(
        scores, validation.until(before), target=bundle.coverage, tolerance=tolerance
    )
    rng = np.random.default_rng(0)
    target = bundle.contract.spec.target
    last = max(observed, default=None)
    newest = second_of(now) if last is None else last
    shape = bundle.contract.shape
    step, n_recent = int(shape.step.total_seconds()), steps_of(RECENT_HOURS, shape.steps_per_day)
    recent = np.array([observed.get(newest - i * step, np.nan) for i in range(n_recent)])
    allowed = ALLOWED_AGE_HOURS + bundle.contract.delay_hours
    skill = check_skill(scores, usual=usual_skill(validation, rng=rng), rng=rng)
    checks = (
        check_coverage(scores, evidence),
        *((skill,) if bundle.manifest["method"] != RIDGE else ()),  # it is its own reference
        check_degraded(forecasts),
        check_age(
            target,
            last_observed_hour=None if last is None else last / SECONDS_AN_HOUR,
            now_hour=hour_of(now),
            allowed_hours=allowed,
        ),
        check_missing(target, recent, allowed=MOST_MISSING),
        check_range(InputRange(target, bundle.contract.low, bundle.contract.high), recent),
    )
    local = _local_hours(ended, bundle.contract.shape.horizon_steps)
    return HealthReport(checks, evidence, count_by_step(scores), count_by_local_hour(scores, local))


def check_degraded(forecasts: Sequence[LiveForecast]) -> Check:
    """The check of the rungs that forecasts were issued by."""
    recent = forecasts[-RECENT_ISSUES:]
    degraded = [forecast.degraded for forecast in recent]
    n_last = next((i for i, bad in enumerate(reversed(degraded)) if not bad), len(degraded))
    level = Level.FINE
    if any(degraded):
        level = Level.ALARM if n_last >= ALARM_DEGRADED else Level.WATCH
    match degraded:
        case []:
            reason = "No forecast has been issued yet."
        case [only]:
            reason = f"The only forecast was {'' if only else 'not '}degraded."
        case _:
            reason = f"{sum(degraded)} of the last {len(recent)} forecasts were degraded."
    figures = {"degraded": float(sum(degraded)), "issues": float(len(recent))}
    return Check("inputs", level, reason, figures)


def scores_of(
    forecasts: Sequence[LiveForecast],
    observed: Mapping[int, float],
    levels: Sequence[float],
    horizon_steps: int,
) -> IssueScores:
    """Scores of issued forecasts, in their order."""
    shape = (len(forecasts), horizon_steps)
    quantiles = np.array([f.quantiles for f in forecasts]).reshape(*shape, len(levels))
    reference = np.array([f.reference for f in forecasts]).reshape(quantiles.shape)
    return score_issues(
        np.array([hour_of(f.issue_time) for f in forecasts], dtype=np.int64),
        np.array([_values(f, observed) for f in forecasts]).reshape(shape),
        quantiles,
        reference=reference,
        interval=(
            np.array([f.lower for f in forecasts]).reshape(shape),
            np.array([f.upper for f in forecasts]).reshape(shape),
        ),
        levels=levels,
    )


def validation_scores(deployment: Deployment) -> IssueScores:
    """Scores of the calibrate split that the bundle in use brings.

    Raises
    ------
    StoreError
        If the file is damaged.
    """
    path = deployment.bundle.folder / VALIDATION
    arrays = files.load_arrays(path)
    try:
        if not all(array.dtype.kind in "fi" for array in arrays.values()):
            raise DataError("an array holds no numbers")
        return IssueScores(**arrays)
    except (DataError, TypeError) as error:
        raise StoreError(f"{path} is damaged: {error}; {DEPLOY_AGAIN}") from error


def _is_scored(forecast: LiveForecast, observed: Mapping[int, float]) -> bool:
    """True once the last hour of the horizon lies in the past of an observation."""
    return OFF_SCHEDULE not in forecast.flags and max(observed, default=0) >= forecast.seconds[-1]


def _values(forecast: LiveForecast, observed: Mapping[int, float]) -> list[float]:
    return [observed.get(second, float("nan")) for second in forecast.seconds]


def _local_hours(forecasts: Sequence[LiveForecast], horizon_steps: int) -> NDArray[np.integer]:
    hours = [f.target_times.tz_convert(f.zone).hour.to_numpy() for f in forecasts]
    return np.array(hours, dtype=np.int64).reshape(len(forecasts), horizon_steps)
