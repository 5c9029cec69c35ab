"""Health of a deployed forecaster: coverage, skill, and what it is fed with.

Every check gives a level and one sentence that says why. Forecasts are judged against what was
promised and against the ridge that was issued at the same time, never against the loss of another
season. Coverage is in percent. Nothing here reads a file or a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from paretocast.deployment.evidence import excess_evidence, learned_persistence
from paretocast.errors import DataError
from paretocast.formatting import count, significant
from paretocast.metrics.uncertainty import (
    BLOCK_DAYS,
    N_RESAMPLES,
    block_bootstrap,
    block_length,
    paired_difference,
    standard_error,
)
from paretocast.workspace.files import without_nan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HOURS_A_DAY = 24
RECENT_DAYS = 28
FEWEST_DAYS = 14
"""Days below which a mean over recent days is not judged."""

WATCH_EVIDENCE, ALARM_EVIDENCE = 10.0, 20.0
"""Reached by chance in at most 10 and 5 % of years; see `evidence`."""

BAND = 0.05  # share of stretches of validation below the usual skill
BEYOND_CHANCE = 0.01  # one-sided
WATCH_OUTSIDE, ALARM_OUTSIDE = 0.02, 0.25  # shares of values outside the range seen in training
WATCH_MISSING = 0.02  # share of the hours of an input window
ALARM_OVERDUE_HOURS = 24.0  # beyond the age that is allowed


class Level(IntEnum):
    """State of a check; its value is the exit code of a program that found nothing worse."""

    FINE = 0
    WATCH = 3
    ALARM = 4


@dataclass(frozen=True)
class IssueScores:
    """Scores of issued forecasts whose hours were observed, one row per issue.

    Of those whose horizon has ended: a day counts as one bet, so half a day is none.

    Attributes
    ----------
    issues : ndarray of int of shape (N,)
        First target hour in hours since 1970 UTC, ascending. Horizons must not overlap: of several
        issues a day, give those of one hour of the day.
    n_observed, n_inside : ndarray of shape (N,)
        Observed steps of the horizon, and those of them inside the issued interval.
    loss, reference_loss : ndarray of shape (N,)
        Mean pinball loss in target units, of the forecast and of the ridge issued at the same
        time. NaN where nothing was observed or no ridge was issued.
    step_inside, step_observed : ndarray of shape (N, H)
        1 where a step was inside its interval, or observed, else 0.
    """

    issues: NDArray[np.integer]
    n_observed: Floats
    n_inside: Floats
    loss: Floats
    reference_loss: Floats
    step_inside: Floats
    step_observed: Floats

    def __post_init__(self) -> None:
        n = self.issues.shape
        for name in ("n_observed", "n_inside", "loss", "reference_loss"):
            if (shape := getattr(self, name).shape) != n:
                raise DataError(f"{name} has shape {shape}, expected {n}, one for each issue")
        for name in ("step_inside", "step_observed"):
            if (shape := getattr(self, name).shape)[:1] != n or len(shape) != 2:
                raise DataError(f"{name} has shape {shape}, expected (N, H) with N = {n[0]}")
        if (np.diff(self.issues) <= 0).any():
            raise DataError("issues are not in ascending order, each one once")
        if (self.n_inside > self.n_observed).any():
            raise DataError("an issue has more steps inside its interval than were observed")

    @property
    def shares(self) -> Floats:
        """Share of the observed steps inside the interval, (N,); NaN where none was observed."""
        return _ratio(self.n_inside, self.n_observed)

    def since(self, hour: int) -> IssueScores:
        """The issues from one hour on."""
        return self._rows(self.issues >= hour)

    def until(self, hour: int) -> IssueScores:
        """The issues before one hour."""
        return self._rows(self.issues < hour)

    def recent(self) -> IssueScores:
        """The issues of the last `RECENT_DAYS`, counted from the last one."""
        if not self.issues.size:
            return self
        return self.since(int(self.issues[-1]) - (RECENT_DAYS - 1) * HOURS_A_DAY)

    def _rows(self, rows: NDArray[np.bool_]) -> IssueScores:
        return IssueScores(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Check:
    """One question about a deployment, and its answer.

    Attributes
    ----------
    reason : str
        One sentence for people.
    figures : mapping of str to float
        What the level was read from; the unit ends the name where it is not the target's. NaN
        where there is nothing to measure.
    """

    name: str
    level: Level
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For `health.json`; NaN is null."""
        return {
            "name": self.name,
            "level": self.level.name.lower(),
            "reason": self.reason,
            "figures": without_nan(dict(self.figures)),
        }


@dataclass(frozen=True)
class CoverageEvidence:
    """Evidence after each issue that intervals are too narrow, or too wide.

    Attributes
    ----------
    issues : ndarray of int of shape (N,)
        As of `IssueScores`.
    narrow, wide : ndarray of shape (N,)
        Unitless; see `evidence.excess_evidence`.
    target : float
        Promised coverage, percent.
    """

    issues: NDArray[np.integer]
    narrow: Floats
    wide: Floats
    target: float


@dataclass(frozen=True)
class CoverageCount:
    """Coverage of one step ahead or one local hour.

    Attributes
    ----------
    group : int
        Step ahead from 1, or local hour from 0.
    n_observed : int
        Observed steps.
    coverage : float
        Percent of them inside the interval; NaN where none was observed.
    """

    group: int
    n_observed: int
    coverage: float


@dataclass(frozen=True)
class InputRange:
    """Lowest and highest value of a column in training, in the column's unit."""

    column: str
    low: float
    high: float


@dataclass(frozen=True)
class HealthReport:
    """All checks of a deployment.

    Attributes
    ----------
    evidence : CoverageEvidence
        Path behind the check of the coverage.
    by_step, by_local_hour : tuple of CoverageCount
        Not judged: among so many groups some are always far from the target.
    """

    checks: tuple[Check, ...]
    evidence: CoverageEvidence
    by_step: tuple[CoverageCount, ...]
    by_local_hour: tuple[CoverageCount, ...]

    @property
    def level(self) -> Level:
        """The worst level; its value is the exit code."""
        return max((check.level for check in self.checks), default=Level.FINE)

    def as_json(self) -> dict[str, Any]:
        """For `health.json`; NaN is null."""
        content = {
            "level": self.level.name.lower(),
            "exit_code": int(self.level),
            "checks": [check.as_json() for check in self.checks],
            "target_percent": self.evidence.target,
            "evidence": [
                {"issue": _utc(issue), "too_narrow": float(narrow), "too_wide": float(wide)}
                for issue, narrow, wide in zip(
                    self.evidence.issues, self.evidence.narrow, self.evidence.wide, strict=True
                )
            ],
            "coverage_by_step": [vars(row) for row in self.by_step],
            "coverage_by_local_hour": [vars(row) for row in self.by_local_hour],
        }
        return without_nan(content)  # type: ignore[return-value]


def coverage_evidence(
    scores: IssueScores,
    validation: IssueScores,
    *,
    target: float,
    since: int | None = None,
    tolerance: float = 0.0,
) -> CoverageEvidence:
    """Evidence that the coverage of issued intervals is not `target`.

    Parameters
    ----------
    validation : IssueScores
        Of the windows that the calibrator was fitted on, all before `scores`. How much a day
        resembles the day before is learned from them and from the issues before each bet.
    target : float
        Promised coverage, percent.
    since : int, optional
        First issue, in hours since 1970, that counts as evidence: the one after an alarm that was
        dealt with. All count without it.
    tolerance : float
        Percentage points by which coverage may be off without evidence growing. Each costs days
        until a loss is seen.
    """
    _check_target(target, tolerance)
    issues = np.concatenate((validation.issues, scores.issues))
    if validation.issues.size and scores.issues.size and (np.diff(issues) <= 0).any():
        raise DataError("an issue of validation is not before the first deployed one")
    shares = np.concatenate((validation.shares, scores.shares))
    follows = np.concatenate(([False], np.diff(issues) == HOURS_A_DAY))[: issues.size]
    persistence = learned_persistence(shares, follows)
    first = int(np.searchsorted(issues, since)) if since is not None else 0
    rows = slice(max(first, validation.issues.size), None)
    too_few, too_many = (
        excess_evidence(
            counted[rows], follows[rows], most=most / 100.0, persistence=persistence[rows]
        )
        for counted, most in (
            (1.0 - shares, 100.0 - target + tolerance),
            (shares, target + tolerance),
        )
    )
    return CoverageEvidence(issues[rows], too_few, too_many, target)


def check_coverage(scores: IssueScores, evidence: CoverageEvidence) -> Check:
    """The check of the promised coverage.

    Alarm once the evidence of narrow intervals has reached `ALARM_EVIDENCE`, until it is counted
    anew; watch while it is above `WATCH_EVIDENCE`. Wide intervals are never more than a watch,
    from `ALARM_EVIDENCE` on: they are dull, not dangerous.
    """
    recent = scores.recent()
    n = float(recent.n_observed.sum())
    coverage = 100.0 * float(recent.n_inside.sum()) / n if n else float("nan")
    narrow, wide = (
        float(path[-1]) if path.size else 0.0 for path in (evidence.narrow, evidence.wide)
    )
    figures = {
        "target_percent": evidence.target,
        "recent_coverage_percent": coverage,
        "recent_steps": n,
        "evidence_too_narrow": narrow,
        "evidence_too_wide": wide,
    }
    share = f"{coverage:.0f} %" if n else "none"
    seen = (
        f"{share} of the {n:.0f} steps observed in the last {RECENT_DAYS} days were inside, "
        f"{evidence.target:g} % is the target"
    )
    alarms = np.flatnonzero(evidence.narrow >= ALARM_EVIDENCE)
    if alarms.size:
        day = _utc(evidence.issues[alarms[0]])
        level, reason = Level.ALARM, f"Intervals are too narrow, clearly so since {day}: {seen}."
    elif narrow >= WATCH_EVIDENCE:
        level, reason = Level.WATCH, f"Intervals may be too narrow: {seen}."
    elif wide >= ALARM_EVIDENCE:
        level, reason = Level.WATCH, f"Intervals are wider than they need be: {seen}."
    elif n:
        level, reason = Level.FINE, f"Intervals hold: {seen}."
    else:
        level, reason = Level.FINE, "No hour of a recent forecast has been observed yet."
    return Check("coverage", level, reason, figures)


def usual_skill(validation: IssueScores, *, rng: np.random.Generator) -> float:
    """The skill over `RECENT_DAYS` that 95 % of stretches of validation exceed.

    Parameters
    ----------
    validation : IssueScores
        Of windows that the forecaster was not trained on. Stretches are drawn from them in blocks
        of days.

    Returns
    -------
    float
        1 minus the ratio of the losses of forecast and ridge, unitless. NaN where fewer than
        `FEWEST_DAYS` windows can be compared.
    """
    above, below = _paired_sums(validation)
    n = int(np.count_nonzero(below))
    if n < FEWEST_DAYS:
        return float("nan")
    ratios = block_bootstrap(
        above,
        below,
        block=block_length(BLOCK_DAYS, n),
        n_resamples=N_RESAMPLES,
        n_drawn=RECENT_DAYS,
        rng=rng,
    )
    return float(np.quantile(1.0 - ratios, BAND))


def check_skill(scores: IssueScores, *, usual: float, rng: np.random.Generator) -> Check:
    """The check of the skill against the ridge issued at the same time.

    Skill is 1 minus the ratio of the losses over the last `RECENT_DAYS`. Alarm where the ridge is
    better beyond chance: above the 99 % bound of the paired difference.

    Parameters
    ----------
    usual : float
        As `usual_skill` returns it; watch below. NaN where there is none.
    """
    recent = scores.recent()
    above, below = _paired_sums(recent)
    n_days = int(np.count_nonzero(below))
    skill = 1.0 - float(above.sum() / below.sum()) if n_days else float("nan")
    figures = {"skill": skill, "days": float(n_days), "usual_from": usual}
    if n_days < FEWEST_DAYS:
        reason = f"{count(n_days, 'recent day')} can be compared with the ridge, too few to judge."
        return Check("skill", Level.FINE, reason, figures)
    side = "below" if skill >= 0.0 else "above"
    percent = f"{100.0 * abs(skill):.0f} %"
    loss = f"over {n_days} recent days its loss was {percent} {side} that of the ridge"
    if skill < 0.0 and _is_worse(recent, rng=rng):
        level, reason = Level.ALARM, f"The forecast is worse than the ridge beyond chance: {loss}."
    elif skill < usual:
        level, reason = Level.WATCH, f"The forecast is less good than on validation: {loss}."
    else:
        level, reason = Level.FINE, f"The forecast is as good as before: {loss}."
    return Check("skill", level, reason, figures)


def count_by_step(scores: IssueScores) -> tuple[CoverageCount, ...]:
    """Coverage of each step ahead."""
    steps = np.arange(1, scores.step_observed.shape[1] + 1)
    return _counts(scores, np.broadcast_to(steps, scores.step_observed.shape), groups=steps)


def count_by_local_hour(
    scores: IssueScores, local_hours: NDArray[np.integer]
) -> tuple[CoverageCount, ...]:
    """Coverage of each hour of the local day.

    Parameters
    ----------
    local_hours : ndarray of int of shape (N, H)
        Of each target time, 0 to 23.
    """
    if local_hours.shape != scores.step_observed.shape:
        raise DataError(
            f"local_hours has shape {local_hours.shape}, expected {scores.step_observed.shape}"
        )
    return _counts(scores, local_hours, groups=np.arange(24))


def check_range(seen: InputRange, values: Floats) -> Check:
    """The check of a column against the range seen in training; NaN is left out."""
    present = values[~np.isnan(values)]
    outside = int(((present < seen.low) | (present > seen.high)).sum())
    share = outside / present.size if present.size else float("nan")
    figures = {"outside": float(outside), "values": float(present.size), "share_outside": share}
    reason = (
        f"{outside} of {present.size} values of {seen.column} lie outside "
        f"{significant(seen.low)} to {significant(seen.high)}, the range seen in training."
    )
    level = _level(share, watch=WATCH_OUTSIDE, alarm=ALARM_OUTSIDE)
    return Check(f"range of {seen.column}", level, reason, figures)


def check_age(
    column: str, *, last_observed_hour: float | None, now_hour: float, allowed_hours: float
) -> Check:
    """The check of the age of the last observation against the input contract.

    Alarm from `ALARM_OVERDUE_HOURS` beyond what is allowed, and where there is none at all.
    Hours are counted since 1970 UTC.
    """
    name = f"age of {column}"
    if last_observed_hour is None:
        return Check(name, Level.ALARM, f"{column} has no observation at all.")
    age = float(now_hour - last_observed_hour)
    reason = (
        f"The last value of {column} is {age:g} h old, at most {allowed_hours:g} h are allowed."
    )
    level = _level(age - allowed_hours, watch=0.0, alarm=ALARM_OVERDUE_HOURS)
    return Check(name, level, reason, {"age_hours": age, "allowed_hours": allowed_hours})


def check_missing(column: str, values: Floats, *, allowed: float) -> Check:
    """The check of the missing values (NaN) of an input window.

    Parameters
    ----------
    allowed : float
        Largest share that the input contract accepts, within 0 to 1; alarm beyond it.
    """
    missing = int(np.isnan(values).sum())
    share = missing / values.size if values.size else 1.0
    reason = (
        f"{missing} of {values.size} values of {column} are missing, at most "
        f"{100.0 * allowed:g} % may be missing."
    )
    level = _level(share, watch=min(WATCH_MISSING, allowed), alarm=allowed)
    return Check(f"missing {column}", level, reason, {"share_missing": share, "allowed": allowed})


def check_weather_bias(column: str, errors: Floats, *, rng: np.random.Generator) -> Check:
    """The check of the mean error of a weather forecast for a drift.

    Watch where the mean of the last `RECENT_DAYS` rows differs beyond chance (99 %, both sides)
    from that of the rows before. Never an alarm: what a bias does to the forecast shows in its own
    scores.

    Parameters
    ----------
    errors : ndarray of shape (N, H)
        Forecast minus measured of each issue, one a day in time order, in the column's unit. NaN
        where either is missing.
    """
    sums, counts = np.nansum(errors, axis=1), (~np.isnan(errors)).sum(axis=1).astype(np.float64)
    halves = [
        (sums[rows], counts[rows]) for rows in (slice(-RECENT_DAYS, None), slice(-RECENT_DAYS))
    ]
    (recent, recent_error), (before, before_error) = (_mean(*half, rng=rng) for half in halves)
    drift = recent - before
    fewest = min(int(np.count_nonzero(half)) for _, half in halves)
    figures = {"recent_bias": recent, "bias_before": before, "drift": drift}
    name = f"weather bias of {column}"
    if fewest < FEWEST_DAYS:
        reason = f"Too few days of forecast and measured {column} to tell a drift."
        return Check(name, Level.FINE, reason, figures)
    blocks = round(fewest / block_length(BLOCK_DAYS, fewest))
    most = float(stdtrit(max(1, blocks - 1), 0.995)) * float(np.hypot(recent_error, before_error))
    seen = (
        f"forecast minus measured {column} was {recent:+.2g} on average in the last "
        f"{RECENT_DAYS} days and {before:+.2g} before"
    )
    if abs(drift) > most:
        return Check(name, Level.WATCH, f"The weather forecast has changed: {seen}.", figures)
    return Check(name, Level.FINE, f"The weather forecast is as before: {seen}.", figures)


def _ratio(above: Floats, below: Floats) -> Floats:
    """Quotients; NaN where the denominator is 0."""
    ratios: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0.0)
    return ratios


def _level(value: float, *, watch: float, alarm: float) -> Level:
    """Level of a value that is bad when high; NaN is fine."""
    if value > alarm:
        return Level.ALARM
    return Level.WATCH if value > watch else Level.FINE


def _counts(
    scores: IssueScores, members: NDArray[np.integer], *, groups: NDArray[np.integer]
) -> tuple[CoverageCount, ...]:
    rows = []
    for group in groups:
        of_group = members == group
        n = int(scores.step_observed[of_group].sum())
        inside = float(scores.step_inside[of_group].sum())
        rows.append(CoverageCount(int(group), n, 100.0 * inside / n if n else float("nan")))
    return tuple(rows)


def _paired_sums(scores: IssueScores) -> tuple[Floats, Floats]:
    """Losses of forecast and ridge summed over the observed steps; 0 where one is not known."""
    known = ~np.isnan(scores.loss) & ~np.isnan(scores.reference_loss)
    loss, reference = (
        np.where(known, losses, 0.0) * scores.n_observed
        for losses in (scores.loss, scores.reference_loss)
    )
    return loss, reference


def _is_worse(scores: IssueScores, *, rng: np.random.Generator) -> bool:
    """True if the ridge is better than chance explains."""
    gap = paired_difference(
        scores.loss, scores.reference_loss, level=1.0 - 2.0 * BEYOND_CHANCE, rng=rng
    )
    return gap.low > 0.0


def _mean(sums: Floats, counts: Floats, *, rng: np.random.Generator) -> tuple[float, float]:
    """Mean and its standard error; NaN where nothing, or one row, was observed."""
    n_rows = np.count_nonzero(counts)
    mean = float(sums.sum() / counts.sum()) if n_rows else float("nan")
    return mean, standard_error(sums, counts, rng=rng) if n_rows > 1 else float("nan")


def _check_target(target: float, tolerance: float) -> None:
    if not 0.0 < target - tolerance <= target + tolerance < 100.0:
        raise DataError(
            f"target {target} and tolerance {tolerance} are no percentages, expected "
            "0 < target - tolerance and target + tolerance < 100, such as 80 and 0"
        )


def _utc(hour: int) -> str:
    """An hour since 1970 as people write it."""
    return datetime.fromtimestamp(int(hour) * 3600, tz=UTC).strftime("%Y-%m-%dT%H:%MZ")
