"""The chosen trial of a study seen closely: single days, errors, coverage, and its rivals.

Everything comes from stored forecasts of the tune and calibrate splits, and from references that
are fitted again; no network is trained and the test split is not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import DataError, ParetocastError
from paretocast.metrics.diagnostics import (
    ERROR_LEVELS,
    CoverageGrid,
    coverage_grid,
    error_quantiles,
    windows_by_error,
)
from paretocast.metrics.score_table import per_window
from paretocast.metrics.uncertainty import PairedDifference, paired_difference
from paretocast.models.baselines.catalogue import fit_baseline
from paretocast.results.groups import forecast_of, task_groupings
from paretocast.results.stored_study import StoredStudy
from paretocast.search.selection import TrialState
from paretocast.study.repeats import complete_trainings
from paretocast.training.trial import STORED_SPLITS, load_forecasts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from paretocast.data.task import Task
    from paretocast.metrics.forecast import Forecast
    from paretocast.settings import TuneSettings
    from paretocast.study.outcome import Outcome
    from paretocast.training.trial import TrialRecord
    from paretocast.workspace.runs import RunDirectory

    Floats = NDArray[np.float64]

SHOWN_ON = "calibrate"
KINDS = ("best", "typical", "worst")
DAYS_OF_A_KIND = 5
MOST_PAIRS = 1200  # of forecast and observation, that are drawn
COMPARED_SCORES = ("mae", "pinball", "winkler", "picp")


@dataclass(frozen=True, eq=False)
class ReviewedDay:
    """The forecast of one window with what was observed.

    Attributes
    ----------
    kind : str
        One of `KINDS`: among the lowest errors, around the middle, among the highest.
    times : DatetimeIndex of length H
        Target times in local time.
    quantiles : ndarray of shape (H, Q)
    observed : ndarray of shape (H,)
        Both in target units.
    mae : float
        Of the median, target units.
    picp : float
        Share of the window inside the target interval, percent.
    """

    kind: str
    times: pd.DatetimeIndex
    quantiles: Floats
    observed: Floats
    mae: float
    picp: float


@dataclass(frozen=True)
class Rival:
    """A method beside the chosen trial, on the same windows.

    Attributes
    ----------
    scores : mapping of str to float
        mae, pinball and winkler in target units, picp in percent.
    gaps : mapping of str to PairedDifference
        Of mae, pinball and winkler: the chosen trial minus the rival, target units, by window.
    """

    name: str
    scores: Mapping[str, float]
    gaps: Mapping[str, PairedDifference]


@dataclass(frozen=True)
class Comparison:
    """The chosen trial, as the mean over its seeds, and its rivals on one split."""

    scores: Mapping[str, float]
    rivals: tuple[Rival, ...]

    def rival(self, name: str) -> Rival | None:
        """The rival of a name, if there is one."""
        return next((rival for rival in self.rivals if rival.name == name), None)


@dataclass(frozen=True, eq=False)
class Review:
    """The chosen trial seen closely, on the calibrate split unless said otherwise.

    Attributes
    ----------
    days : tuple of ReviewedDay
        The best first, then typical ones, then the worst from the worst on.
    coverage : CoverageGrid
        By local hour and month; of a daily series by weekday and month.
    errors : ndarray of shape (H, 5)
        Quantiles of the observation minus the median at `ERROR_LEVELS` by step, target units.
    pairs : ndarray of shape (P, 2)
        Median forecast and observation of evenly picked target times, target units.
    comparisons : mapping of split to Comparison
        Of the tune and the calibrate split.
    default_number : int or None
        Trial of the default config of the chosen model, where it is complete.
    """

    unit: str
    steps_per_day: int
    levels: tuple[float, ...]
    target: float
    days: tuple[ReviewedDay, ...]
    coverage: CoverageGrid
    errors: Floats
    pairs: Floats
    comparisons: Mapping[str, Comparison]
    default_number: int | None


def review_study(
    run: RunDirectory, outcome: Outcome, *, settings: TuneSettings, task: Task
) -> Review | str:
    """Review of the chosen trial; a sentence for people where it cannot be made."""
    number = outcome.selection.number
    if not run.forecasts(number).exists():
        return f"The stored forecasts of trial {number} were removed, so none can be shown."
    try:
        return _review(StoredStudy(run), outcome, settings, task)
    except ParetocastError as error:
        return f"The forecasts of trial {number} cannot be shown: {error}."


def review_days(
    forecast: Forecast, times: Sequence[pd.DatetimeIndex], *, target: float
) -> tuple[ReviewedDay, ...]:
    """A few windows of each kind; a window with a missing observation is none of them.

    Parameters
    ----------
    times : sequence of DatetimeIndex
        Target times of every window, in local time.
    target : float
        Coverage of the interval, percent.
    """
    order, errors = windows_by_error(forecast)
    lower, upper = forecast.interval(target)
    days = []
    for kind, ranks in _ranks(order.size).items():
        for rank in ranks:
            window = int(order[rank])
            observed = forecast.observed[window]
            inside = (lower[window] <= observed) & (observed <= upper[window])
            days.append(
                ReviewedDay(
                    kind,
                    times[window],
                    forecast.quantiles[window],
                    observed,
                    mae=float(errors[rank]),
                    picp=float(100.0 * inside.mean()),
                )
            )
    return tuple(days)


def compare(
    chosen: Sequence[Forecast], rivals: Mapping[str, Sequence[Forecast]], *, coverage: float
) -> Comparison:
    """A method and its rivals on the same windows.

    Parameters
    ----------
    chosen : sequence of Forecast
        Of its trainings with different seeds: losses are the mean over them.
    rivals : mapping of name to sequence of Forecast
        Likewise.
    coverage : float
        Of the interval, percent.
    """
    own = _mean_losses(chosen, coverage)
    compared = []
    for name, forecasts in rivals.items():
        losses = _mean_losses(forecasts, coverage)
        gaps = {
            score: paired_difference(own[score], losses[score], rng=np.random.default_rng(0))
            for score in COMPARED_SCORES
            if score != "picp"
        }
        compared.append(Rival(name, _overall(losses), gaps))
    return Comparison(_overall(own), tuple(compared))


def _review(study: StoredStudy, outcome: Outcome, settings: TuneSettings, task: Task) -> Review:
    target = settings.target_coverage
    trainings = complete_trainings([*study.records.values()])
    number = outcome.selection.number
    default = _default_number(outcome.records, settings.default_of(outcome.chosen.config))
    numbers = {number} if default is None else {number, default}
    forecasts = {n: _forecasts(study.run, trainings[n], task) for n in numbers}
    references = _references(task, outcome.baselines)
    comparisons = {}
    for split in STORED_SPLITS:
        rivals = {name: [of_split[split]] for name, of_split in references.items()}
        if default is not None and default != number and forecasts[default]:
            of_default = [by_split[split] for by_split in forecasts[default]]
            rivals = {f"default configuration (trial {default})": of_default, **rivals}
        chosen = [by_split[split] for by_split in forecasts[number]]
        comparisons[split] = compare(chosen, rivals, coverage=target)
    shown = forecasts[number][0][SHOWN_ON]
    groupings = {g.name: g for g in task_groupings(task, SHOWN_ON, shown)}
    hours = groupings.get("local hour", groupings["weekday"])
    steps = task.horizon_positions(SHOWN_ON)
    times = task.series.index[steps.ravel()].tz_convert(task.series.calendar.zone)
    horizon = task.shape.horizon_steps
    return Review(
        unit=task.series.unit,
        steps_per_day=task.shape.steps_per_day,
        levels=shown.levels,
        target=target,
        days=review_days(
            shown,
            [times[i * horizon : (i + 1) * horizon] for i in range(len(steps))],
            target=target,
        ),
        coverage=coverage_grid(shown, hours, groupings["month"], target=target),
        errors=error_quantiles(shown, ERROR_LEVELS),
        pairs=_pairs(shown),
        comparisons=comparisons,
        default_number=default,
    )


def _ranks(n: int) -> dict[str, list[int]]:
    """Ranks of the days of each kind among n that are ordered by their error."""
    k = min(DAYS_OF_A_KIND, n // len(KINDS)) or min(n, 1)
    if n < len(KINDS):
        return {"typical": [*range(n)]}
    first = (n - k) // 2
    return {
        "best": [*range(k)],
        "typical": [*range(first, first + k)],
        "worst": [*range(n - 1, n - 1 - k, -1)],
    }


def _forecasts(
    run: RunDirectory, trainings: Sequence[TrialRecord], task: Task
) -> list[dict[str, Forecast]]:
    """Forecasts of each training of a trial by split; those that were removed are left out."""
    found = []
    for training in trainings:
        path = run.forecasts(training.number, training.seed_index)
        if path.exists():
            arrays = load_forecasts(path)
            found.append(
                {s: forecast_of(task, s, arrays[s].astype(np.float64)) for s in STORED_SPLITS}
            )
    return found


def _references(task: Task, names: Collection[str]) -> dict[str, dict[str, Forecast]]:
    """Forecasts of the references by split; one that cannot be fitted any more is left out."""
    forecasts = {}
    for name in names:
        try:
            baseline = fit_baseline(name, task)
            forecasts[name] = {
                split: forecast_of(task, split, baseline.forecast(task, task.issues[split]))
                for split in STORED_SPLITS
            }
        except DataError:
            continue
    return forecasts


def _default_number(records: Sequence[TrialRecord], default: object) -> int | None:
    found = (r.number for r in records if r.config == default and r.state is TrialState.COMPLETE)
    return next(found, None)


def _mean_losses(forecasts: Sequence[Forecast], coverage: float) -> dict[str, Floats]:
    """Scores by window, (N,) each, the mean over several forecasts; n among them."""
    of_each = [
        per_window(f.observed, f.quantiles, levels=f.levels, coverage=coverage) for f in forecasts
    ]
    return {
        score: np.mean([losses[score] for losses in of_each], axis=0)
        for score in (*COMPARED_SCORES, "n")
    }


def _overall(losses: Mapping[str, Floats]) -> dict[str, float]:
    """Mean scores over all points, from those of windows."""
    n = losses["n"]
    return {
        score: float(np.nansum(losses[score] * n) / n.sum()) if n.any() else float("nan")
        for score in COMPARED_SCORES
    }


def _pairs(forecast: Forecast) -> Floats:
    """Median and observation of evenly picked target times, (P, 2)."""
    observed = forecast.observed.ravel()
    known = np.flatnonzero(~np.isnan(observed))
    picked = known[:: max(1, -(-known.size // MOST_PAIRS))]
    return np.column_stack([forecast.median.ravel()[picked], observed[picked]])
