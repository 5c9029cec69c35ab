"""Champion and challenger: the weeks that are held back, the plan, the comparison.

The bundle in use is the *champion*. The *challenger* has its configs, on periods of the same
lengths that end later. Neither has seen the weeks that are held back; both forecast them as they
would have day by day.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paretocast.benchmarking.configs import TrainedConfig
from paretocast.data.reading import choose_covariates, examine_tables
from paretocast.data.series import SplitDates
from paretocast.data.spec import SplitSpec
from paretocast.data.task import plan_task
from paretocast.deployment.bundle import MANIFEST
from paretocast.deployment.calibration_state import past_windows, replay
from paretocast.deployment.issue_scores import mean_pinball
from paretocast.deployment.issued import second_of
from paretocast.deployment.plan import BundlePlan, Origin
from paretocast.deployment.run import daily_issues
from paretocast.errors import DataError, SettingsError, StoreError
from paretocast.formatting import in_utc
from paretocast.metrics.uncertainty import (
    BLOCK_DAYS,
    N_RESAMPLES,
    block_bootstrap,
    block_length,
    paired_difference,
    picp_interval,
)
from paretocast.settings import stored_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.data.reading import Tables
    from paretocast.data.task import Task
    from paretocast.deployment.bundle import Bundle
    from paretocast.deployment.calibration_state import LearnedWindow
    from paretocast.deployment.inputs import LiveInputs
    from paretocast.deployment.issued import LiveForecast
    from paretocast.deployment.journal import Deployment
    from paretocast.settings import TuneSettings

    Floats = NDArray[np.float64]

HELD_WEEKS, FEWEST_WEEKS, FEWEST_DAYS = 4, 2, 7
# A challenger that is worse by chance only is still the one that knows the newest data.
LEAST_PROBABILITY = 0.3
COVERAGE_TOLERANCE = 5.0  # points around the target


@dataclass(frozen=True)
class HeldBack:
    """The weeks that neither champion nor challenger has learned from.

    Attributes
    ----------
    issues : tuple of Timestamp
        Of a forecast a day, ascending.
    last : Timestamp
        Last observed hour of the data.
    """

    issues: tuple[pd.Timestamp, ...]
    last: pd.Timestamp

    @property
    def first(self) -> pd.Timestamp:
        """First hour."""
        return self.issues[0]

    def observed(self, inputs: LiveInputs) -> Floats:
        """Target of every window, (N, H); NaN where missing."""
        target = inputs.values[inputs.contract.spec.target]
        steps = inputs.contract.shape.horizon_steps
        rows = [
            pd.date_range(issue, periods=steps, freq=inputs.contract.shape.step)
            for issue in self.issues
        ]
        return np.array([target.reindex(hours).to_numpy(np.float64) for hours in rows])


def hold_back(deployment: Deployment, inputs: LiveInputs, *, weeks: int = HELD_WEEKS) -> HeldBack:
    """The last weeks of the data, or as much of them as the champion has not seen.

    Raises
    ------
    SettingsError
        If fewer than two weeks are asked for.
    DataError
        If fewer than seven days are left.
    """
    if weeks < FEWEST_WEEKS:
        raise SettingsError(f"--weeks is {weeks}, expected at least {FEWEST_WEEKS}")
    last = inputs.observed_until
    knows = _knows_until(deployment.bundle)
    shape = inputs.contract.shape
    after = last + shape.step
    start = max(after - pd.Timedelta(weeks=weeks), knows + shape.step)
    issues = tuple(daily_issues(inputs, start, after - shape.horizon_steps * shape.step))
    held = HeldBack(issues, last)
    n_days = int((~np.isnan(held.observed(inputs))).any(axis=1).sum()) if issues else 0
    if n_days < FEWEST_DAYS:
        raise DataError(
            f"{n_days} observed days lie between {in_utc(knows)}, until which the bundle in use "
            f"knows the data, and {in_utc(last)}, the last observed hour; expected at least "
            f"{FEWEST_DAYS} to compare it with a newer one. Retrain again with newer data"
        )
    return held


def _knows_until(bundle: Bundle) -> pd.Timestamp:
    """The last hour that weights, their choice or calibrators depend on."""
    validation = bundle.manifest["task"]["periods"]["validation"]
    return max(pd.Timestamp(bundle.manifest["learned_until"]), pd.Timestamp(validation[1]))


@dataclass(frozen=True)
class Challenge:
    """The plan of a challenger, with the task it is trained on.

    Attributes
    ----------
    plan : BundlePlan
        Its task ends where the weeks that are held back begin.
    whole : Task
        The same splits, with the weeks that are held back behind them.
    """

    plan: BundlePlan
    whole: Task


def recipe_of(champion: Bundle) -> Mapping[str, Any]:
    """The settings by which the models of a bundle are trained again.

    Raises
    ------
    StoreError
        If the bundle does not say, or its network has learned from further series.
    """
    recipe: Mapping[str, Any] | None = champion.manifest.get("recipe")
    if recipe is None:
        raise StoreError(
            f"{champion.folder} does not say how its models were trained; deploy the study again"
        )
    if any(member.get("identity") for member in champion.manifest["members"]):
        raise StoreError(
            f"{champion.folder} holds one network for many series, which is not trained again on "
            "one of them: run paretocast tune --series … --pool with later [splits] and deploy its "
            "study of this series, or deploy a study of this series alone"
        )
    return recipe


def plan_challenger(
    champion: Bundle, tables: Tables, held: HeldBack, *, device: str = "auto"
) -> Challenge:
    """The champion's configs on periods of the same lengths, moved to the newest data.

    Parameters
    ----------
    tables : Tables
        Rows as the data set declares them, those of weather runs included.

    Raises
    ------
    StoreError
        If the bundle does not say how it was trained.
    DataError
        If the data begin too late or cannot be used.
    """
    recipe = recipe_of(champion)
    contract = champion.contract
    settings = _settings_of(champion, recipe["settings"])
    first, dates = _moved(champion, held)
    spec = contract.spec.model_copy(
        update={
            "use_from": first,
            "use_to": held.last,
            "splits": SplitSpec(
                train_to=dates.train_to,
                validation_to=dates.validation_to,
                test_to=dates.test_to,
            ),
        }
    )
    used = choose_covariates(spec, settings.covariates)
    series, findings = examine_tables(tables, spec, used, contract.calendar)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors or series is None:
        listed = "\n".join(f"  {error}" for error in errors)
        raise DataError(f"the data cannot be learned from:\n{listed}")
    if series.index[0] > first:
        raise DataError(
            f"the data begin at {series.index[0].isoformat()}, expected {first.isoformat()} or "
            "earlier: the new train period is as long as that of the bundle in use"
        )
    shape, groups = contract.shape, contract.feature_groups
    task = plan_task(series, dates, shape=shape, feature_groups=groups)
    whole = plan_task(series, dates, shape=shape, feature_groups=groups, with_test=True)
    origin = Origin(settings, spec, champion.manifest["study"], task.manifest(), {})
    configs = tuple(
        (TrainedConfig(c["model"], c["config"], c["study_seed"], c["number"]), c["weight"])
        for c in recipe["configs"]
    )
    method, calibrator = champion.manifest["method"], recipe["calibrator"]
    plan = BundlePlan(origin, method, configs, calibrator, None, task, device)
    return Challenge(plan, whole)


def _settings_of(champion: Bundle, stored: Mapping[str, Any]) -> TuneSettings:
    table = {**stored, "dataset": champion.contract.spec.name}
    return stored_settings(table, origin=str(champion.folder / MANIFEST))


def _moved(champion: Bundle, held: HeldBack) -> tuple[pd.Timestamp, SplitDates]:
    """First hour of the new train period, and the last hours of all periods."""
    spans = [
        [pd.Timestamp(hour) for hour in champion.manifest["task"]["periods"][period]]
        for period in ("train", "validation")
    ]
    step = champion.contract.shape.step
    train, validation = (last + step - first for first, last in spans)
    validation_to = held.first - step
    train_to = validation_to - validation
    return train_to + step - train, SplitDates(train_to, validation_to, held.last)


@dataclass(frozen=True)
class Comparison:
    """Champion, challenger and the ridge on the weeks that were held back.

    Attributes
    ----------
    first, last : str
        First and last issue.
    n_days : int
        With an observation.
    champion, challenger : float
        Mean pinball loss of the calibrated forecasts, target units; lower is better.
    ridge : float or None
        Of the challenger's reference, as the monitor has it; None if it is the challenger itself.
    probability : float
        That the challenger is the better one, unitless.
    coverage, low, high : float
        Of the challenger's interval, percent, with its 95 % confidence interval.
    target : float
        Coverage that is asked for, percent.
    loses_to_ridge : bool
        Its loss is higher than that of the ridge beyond chance.
    """

    first: str
    last: str
    n_days: int
    champion: float
    challenger: float
    ridge: float | None
    probability: float
    coverage: float
    low: float
    high: float
    target: float
    loses_to_ridge: bool

    @property
    def objections(self) -> tuple[str, ...]:
        """Reasons against the challenger; empty if it is to be promoted."""
        said = []
        if self.probability < LEAST_PROBABILITY:
            said.append(
                f"the new one is better with a probability of {self.probability:.2f}, below "
                f"{LEAST_PROBABILITY:g}"
            )
        least, most = self.target - COVERAGE_TOLERANCE, self.target + COVERAGE_TOLERANCE
        if self.high < least or self.low > most:
            said.append(
                f"its interval covers {self.coverage:.1f} % [{self.low:.1f}, {self.high:.1f}], "
                f"which lies outside {least:g} to {most:g} %"
            )
        if self.loses_to_ridge:
            said.append("it loses to the ridge beyond chance")
        return tuple(said)


def issue_in_memory(
    deployment: Deployment, bundle: Bundle, inputs: LiveInputs, issues: Sequence[pd.Timestamp]
) -> list[LiveForecast]:
    """The forecasts that a bundle would have issued; the journal is read and not written.

    Online calibrators begin as the forecasts in the journal have left them, and learn on from the
    new ones. A window whose observations are all there is learned from once and for all.
    """
    # A contract holds what features are standardised with, which differs from bundle to bundle.
    inputs = replace(inputs, contract=bundle.contract)
    to_learn = [
        f for f in deployment.counted() if f.issue_time < issues[0] and f.bundle == bundle.name
    ]
    calibrators = dict(bundle.calibrators)
    forecasts: list[LiveForecast] = []
    for at in issues:
        windows = past_windows(to_learn, _known(inputs, at, to_learn), at, bundle)
        n_whole = next((i for i, w in enumerate(windows) if _is_awaited(inputs, w)), len(windows))
        calibrators = replay(bundle, windows[:n_whole], start=calibrators)
        now = replay(bundle, windows[n_whole:], start=calibrators)
        forecasts.append(bundle.forecast_from(inputs, at, calibrators=now))
        if n_whole:
            learned = windows[n_whole - 1].forecast.issue_time
            to_learn = [f for f in to_learn if f.issue_time > learned]
        to_learn.append(forecasts[-1])
    return forecasts


def _known(
    inputs: LiveInputs, at: pd.Timestamp, forecasts: Sequence[LiveForecast]
) -> dict[int, float]:
    """Observations that were there at a time, from the first hour of some forecasts on."""
    if not forecasts:
        return {}
    target = inputs.target_known_at(at)
    target = target[target.index >= forecasts[0].issue_time].dropna()
    values = target.to_numpy(np.float64).tolist()
    return dict(zip(map(second_of, target.index), values, strict=True))


def _is_awaited(inputs: LiveInputs, window: LearnedWindow) -> bool:
    """True if observations of a window that the data hold were not there yet."""
    target = inputs.values[inputs.contract.spec.target]
    in_data = int(target.reindex(window.forecast.target_times).notna().sum())
    return in_data > int((~np.isnan(window.values)).sum())


def compare(
    inputs: LiveInputs,
    held: HeldBack,
    *,
    champion: Sequence[LiveForecast],
    challenger: Sequence[LiveForecast],
    is_ridge: bool,
) -> Comparison:
    """The forecasts of the same issues, judged by what was observed.

    Parameters
    ----------
    is_ridge : bool
        The challenger is the reference itself.
    """
    observed = held.observed(inputs)
    there = (~np.isnan(observed)).any(axis=1)
    champion_losses, losses = _losses(champion, observed), _losses(challenger, observed)
    ridge_losses = None if is_ridge else _losses(challenger, observed, "reference")
    lower, upper = (np.array([getattr(f, side) for f in challenger]) for side in ("lower", "upper"))
    inside = ((lower <= observed) & (observed <= upper))[~np.isnan(observed)]
    low, high = picp_interval(observed, lower, upper, rng=np.random.default_rng(0))
    worse = False
    if ridge_losses is not None:
        # Of a two-sided interval of 90 %, each bound is one-sided at 95 %.
        gap = paired_difference(losses, ridge_losses, level=0.9, rng=np.random.default_rng(0))
        worse = gap.low > 0.0
    return Comparison(
        first=held.issues[0].isoformat(),
        last=held.issues[-1].isoformat(),
        n_days=int(there.sum()),
        champion=float(np.nanmean(champion_losses)),
        challenger=float(np.nanmean(losses)),
        ridge=None if ridge_losses is None else float(np.nanmean(ridge_losses)),
        probability=_probability_better(losses, champion_losses),
        coverage=100.0 * float(inside.mean()),
        low=low,
        high=high,
        target=challenger[0].coverage,
        loses_to_ridge=worse,
    )


def _losses(forecasts: Sequence[LiveForecast], observed: Floats, of: str = "quantiles") -> Floats:
    """Mean pinball loss of every window, (N,); NaN where nothing was observed."""
    quantiles = np.array([getattr(forecast, of) for forecast in forecasts])
    return mean_pinball(observed, quantiles, forecasts[0].levels)


def _probability_better(losses: Floats, others: Floats) -> float:
    """Share of resamples in which the first losses are lower; equal ones count by half."""
    difference = losses - others
    there = ~np.isnan(difference)
    means = block_bootstrap(
        difference,
        there.astype(np.float64),
        block=block_length(BLOCK_DAYS, int(there.sum())),
        n_resamples=N_RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float((means < 0.0).mean() + 0.5 * (means == 0.0).mean())
