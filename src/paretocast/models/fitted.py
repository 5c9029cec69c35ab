"""The models that are fitted at once: RIDGE, and LIGHTGBM on the errors of the ridge.

They are baselines with a config: fitted on the train split, their spread and their number of rounds
judged on the stop split. N windows, H steps, Q levels, F columns.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.data.scaling import Transform
from paretocast.data.series import STEPS_PER_DAY, Role
from paretocast.data.task import STEPS_PER_WEEK, daily_positions
from paretocast.models.anchor import (
    Anchor,
    LinearOptions,
    fit_anchor,
    months_of,
    refit_anchor,
)
from paretocast.models.baselines.base import (
    Baseline,
    check_history,
    same_hour_before,
    train_scaling,
)
from paretocast.models.baselines.lightgbm import DAYS_BACK, LATEST_STEPS, boost_levels
from paretocast.models.linear import windows_to_learn
from paretocast.models.linear_table import LinearTable
from paretocast.search.recipe import NONE, ON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from paretocast.data.scaling import TargetScaling
    from paretocast.data.task import Task
    from paretocast.search.space import Value

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]

MOST_ROUNDS = 400
HISTORY_STEPS = 4 * STEPS_PER_WEEK  # that LIGHTGBM reads
BOOSTING = {
    "objective": "quantile",
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbosity": -1,
}
SEARCHED = ("learning_rate", "num_leaves", "min_data_in_leaf", "feature_fraction")


@dataclass(frozen=True)
class LinearForecaster(Baseline):
    """The ridge in a form that suits the series, with the spread of its errors by season."""

    anchor: Anchor
    scaling: TargetScaling

    def forecast(self, task: Task, positions: Positions) -> Floats:
        """Quantiles at issue positions, (N, H, Q)."""
        model = self.anchor.model
        check_history(positions, needed=model.history_steps, name="RIDGE")
        points = model.points(LinearTable(task, self.scaling, model.lags), positions)
        spread = self.anchor.spread[months_of(task)[positions]]
        quantiles = self.scaling.unscale(points[:, :, None] + spread)
        return np.asarray(np.sort(quantiles, axis=-1))


def fit_linear(
    task: Task, config: Mapping[str, Value], until: int | None = None
) -> LinearForecaster:
    """The ridge of a config, see `search.models.ModelSpec.fit`.

    Raises
    ------
    DataError
        If there are too few windows.
    """
    scaling = train_scaling(task, Transform(str(config["transform"])))
    options = LinearOptions(
        weather=config["weather"] == ON,
        lags=int(config["lags"]),
        share=float(config["history_share"]),
        penalty_factor=float(config["penalty_factor"]),
    )
    anchor = fit_anchor(task, scaling, options)
    if until is not None:
        anchor = refit_anchor(anchor, task, scaling, until=until, share=options.share)
    return LinearForecaster(anchor, scaling)


@dataclass(frozen=True)
class BoostedForecaster(Baseline):
    """Gradient-boosted trees, one booster for each level, on the errors of a first guess.

    Attributes
    ----------
    boosters : tuple of lightgbm.Booster
        In the order of the levels; they forecast distances from the guess, scaled units.
    anchor : Anchor or None
        The guess; the mean of the last week without one.
    """

    boosters: tuple[Any, ...]
    scaling: TargetScaling
    anchor: Anchor | None
    weather: bool

    def forecast(self, task: Task, positions: Positions) -> Floats:
        """Quantiles at issue positions, (N, H, Q)."""
        check_history(positions, needed=HISTORY_STEPS, name="LIGHTGBM")
        table = LinearTable(task, self.scaling)
        points = None if self.anchor is None else self.anchor.model.points(table, positions)
        rows, guess = _rows(table, positions, points, weather=self.weather)
        shape = (len(positions), task.shape.horizon_steps)
        distances = [
            b.predict(rows, num_threads=_n_threads()).reshape(shape) for b in self.boosters
        ]
        quantiles = guess[:, :, None] + np.stack(distances, axis=-1)
        return self.scaling.unscale(np.sort(quantiles, axis=-1))


def fit_boosted(
    task: Task, config: Mapping[str, Value], until: int | None = None
) -> BoostedForecaster:
    """The trees of a config, see `search.models.ModelSpec.fit`.

    They learn from the windows of the daily issue. With `until`, as many rounds as the stop split
    found are boosted again on all windows up to there.

    Raises
    ------
    DataError
        If there are too few windows.
    """
    scaling = train_scaling(task, Transform(str(config["transform"])))
    weather, share = config["weather"] == ON, float(config["history_share"])
    table = LinearTable(task, scaling)
    anchor = None
    if config["anchor"] != NONE:
        anchor = fit_anchor(task, scaling, LinearOptions(weather=weather))
    final = anchor
    if anchor is not None and until is not None:
        final = refit_anchor(anchor, task, scaling, until=until)

    def examples(positions: Positions, anchor: Anchor | None) -> tuple[Floats, Floats]:
        points = None if anchor is None else anchor.points[positions].astype(np.float64)
        rows, guess = _rows(table, positions, points, weather=weather)
        hours = positions[:, None] + np.arange(task.shape.horizon_steps)
        distances = (scaling.scale(task.series.values[hours]) - guess).ravel()
        observed = ~np.isnan(distances)
        return rows[observed], distances[observed]

    def learned(until: int | None, anchor: Anchor | None) -> tuple[Floats, Floats]:
        positions = windows_to_learn(task, HISTORY_STEPS, until=until, share=share)
        daily = daily_positions(task.series.index, task.shape)
        return examples(positions[np.isin(positions, daily)], anchor)

    searched = {name: config[name] for name in SEARCHED}
    boosters = boost_levels(
        task.shape.levels,
        {**BOOSTING, **searched, "num_threads": _n_threads()},
        learned(None, anchor),
        examples(task.issues["stop"], anchor),
        None if until is None else learned(until, final),
        most_rounds=MOST_ROUNDS,
    )
    return BoostedForecaster(boosters, scaling, final, weather)


def _rows(
    table: LinearTable, positions: Positions, points: Floats | None, *, weather: bool
) -> tuple[Floats, Floats]:
    """A row per window and step, (N * H, F), and the guess that trees correct, (N, H).

    Demand is its distance from the mean of the last week, so that trees, which cannot extrapolate,
    meet the same numbers at every level of demand.
    """
    task = table.task
    steps = np.arange(task.shape.horizon_steps)
    hours = positions[:, None] + steps
    level = table.level(positions)
    guess = np.broadcast_to(level, hours.shape) if points is None else points
    week = table.target(positions, positions[:, None] - np.arange(1, STEPS_PER_WEEK + 1)) - level
    day = week[:, :STEPS_PER_DAY]
    of_window = [
        *(week[:, i] for i in range(LATEST_STEPS)),
        *(day.mean(axis=1), day.min(axis=1), day.max(axis=1)),
        *(week.min(axis=1), week.max(axis=1), level[:, 0], (guess - level).mean(axis=1)),
    ]
    known = task.features.known
    used = [weather or role is not Role.FORECAST for role in known.roles]
    blocks = ("weather_day", "weather_week", "past_means", "days_off") if weather else ("days_off",)
    of_window += [column for name in blocks for column in table.block(name, positions).T]
    first_day = same_hour_before(steps)
    back = [first_day + STEPS_PER_DAY * day for day in range(DAYS_BACK)]
    back.append(same_hour_before(steps, STEPS_PER_WEEK) + STEPS_PER_WEEK)
    columns = [
        *(np.broadcast_to(values[:, None], hours.shape) for values in of_window),
        *(table.target(positions, hours - hours_back) - level for hours_back in back),
        table.block("weeks", positions) - level,
        guess - level,
        np.broadcast_to(steps, hours.shape).astype(np.float64),
        *np.moveaxis(known.select(used).horizon(positions, len(steps)), -1, 0),
    ]
    return np.stack(columns, axis=-1).reshape(-1, len(columns)), np.asarray(guess)


def _n_threads() -> int:
    """Threads of this process: as many as networks are trained with, where torch is loaded."""
    torch = sys.modules.get("torch")
    return 1 if torch is None else int(torch.get_num_threads())
