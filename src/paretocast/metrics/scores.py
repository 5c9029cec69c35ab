"""Scores of quantile forecasts.

Axes are named once for the whole module: N windows, H steps ahead, Q quantile levels.
Every score is in the units of the target unless it says percent or "unitless"; lower is better
unless it says otherwise.

Conventions that hold for every function:

- `observed` has shape (N, H), in target units; NaN marks a missing value, which is left out.
- `point`, `lower` and `upper` have the shape of `observed`; `forecast` has shape (N, H, Q) and is
  ordered as `levels`. All are in target units and finite, also where nothing was observed.
- `levels` are quantile levels, unitless, strictly inside (0, 1); a coverage is in percent.
- A broken convention, or nothing observed at all, is a `DataError`, never a score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

REPORTED_LEVELS = (0.1, 0.5, 0.9)  # the metric `pinball` is their mean
SAME_LEVEL = 1e-9  # closer levels are one level: (1 - 0.8) / 2 is not 0.1 in binary
MAPE_FLOOR_SHARE = 0.01  # of the mean absolute observation


def mae(observed: Floats, point: Floats) -> float:
    """Mean absolute error.

    Examples
    --------
    >>> mae(np.array([[10.0, np.nan, 4.0]]), np.array([[8.0, 0.0, 5.0]]))
    1.5
    """
    is_observed = _observed_mask(observed, point=point)
    return float(np.abs(observed - point)[is_observed].mean())


def rmse(observed: Floats, point: Floats) -> float:
    """Root of the mean squared error."""
    is_observed = _observed_mask(observed, point=point)
    return float(np.sqrt(np.square(observed - point)[is_observed].mean()))


def mape(observed: Floats, point: Floats, *, floor: float | None = None) -> float:
    """Mean absolute percentage error, in percent, over the observations above a floor.

    Parameters
    ----------
    floor : float, optional
        In target units. An observation with ``|y| <= floor`` is left out: near zero a
        percentage error measures the observation, not the forecast. By default 1 % of the mean
        absolute observation. Zeros are left out whatever the floor.

    Returns
    -------
    float
        Percent; NaN if no observation lies above the floor.

    Examples
    --------
    The zero is left out; 2 of 10 and 1 of 4 are 20 % and 25 %.

    >>> mape(np.array([[10.0, 0.0, 4.0]]), np.array([[8.0, 1.0, 5.0]]))
    22.5
    """
    is_observed = _observed_mask(observed, point=point)
    size = np.abs(observed[is_observed])
    least = MAPE_FLOOR_SHARE * size.mean() if floor is None else floor
    if not 0.0 <= least < np.inf:
        raise DataError(f"floor of the percentage error is {floor}, expected a finite number >= 0")
    large = size > least
    if not large.any():
        return float("nan")
    return float(100.0 * (np.abs(observed - point)[is_observed][large] / size[large]).mean())


def percent_above(value: float, base: float) -> float | None:
    """Distance of a value above a base, in percent of it; None where the base is 0.

    Lower is better where both are errors.

    >>> percent_above(1.5, 2.0), percent_above(1.0, 0.0)
    (-25.0, None)
    """
    return 100.0 * (value / base - 1.0) if base else None


def seasonal_scale(history: Floats, season_steps: int) -> float:
    """Mean absolute difference between a history and itself one season earlier.

    Parameters
    ----------
    history : ndarray of shape (T,)
        Values that the forecaster was trained on, in time order. A pair with a NaN is left out.
        The scale of a history that repeats itself is 0, which `mase` refuses.
    season_steps : int
        24 compares an hour with the same hour of the day before, 168 of the week before.

    Notes
    -----
    The in-sample error of the seasonal naive forecast, denominator of the scaled error in
    Hyndman & Koehler (2006), International Journal of Forecasting 22(4), 679-688.

    Examples
    --------
    >>> seasonal_scale(np.array([1.0, 5.0, 2.0, 8.0]), 2)
    2.0
    """
    if season_steps < 1:
        raise DataError(f"season_steps is {season_steps}, expected at least 1")
    if np.isinf(history).any():
        raise DataError("history holds an infinite value; mark a missing one as NaN")
    jumps = np.abs(history[season_steps:] - history[:-season_steps])
    jumps = jumps[~np.isnan(jumps)]
    if jumps.size == 0:
        raise DataError(
            f"history of {history.size} steps holds no pair of values {season_steps} steps apart"
        )
    return float(jumps.mean())


def mase(observed: Floats, point: Floats, *, scale: float) -> float:
    """Mean absolute error over `scale`, unitless; 1 is as good as the seasonal naive in sample.

    The scale is above 0, in target units: `seasonal_scale` of the training history.
    """
    return mae(observed, point) / check_scale(scale)


def check_scale(scale: float) -> float:
    """A seasonal scale, refused unless it is finite and above 0."""
    if not 0.0 < scale < np.inf:
        raise DataError(f"scale is {scale}, expected a finite number above 0 from seasonal_scale")
    return scale


def r2(observed: Floats, point: Floats) -> float:
    """Coefficient of determination, unitless; higher is better, 1 is perfect.

    NaN if the observations do not vary: there is nothing to explain.
    """
    is_observed = _observed_mask(observed, point=point)
    values = observed[is_observed]
    if (values == values[0]).all():  # their spread around a rounded mean need not be exactly 0
        return float("nan")
    spread = np.square(values - values.mean()).sum()
    return float(1.0 - np.square(values - point[is_observed]).sum() / spread)


def pinball(observed: Floats, forecast: Floats, *, levels: ArrayLike) -> Floats:
    """Mean pinball loss per quantile level, of shape (Q,); `levels` come in any order.

    Notes
    -----
    The loss of Koenker & Bassett (1978), Econometrica 46(1), 33-50. Its integral over all
    levels is half the CRPS.

    Examples
    --------
    An observation of 10 against a 0.9-quantile of 8: the miss of 2 costs 0.9 * 2.

    >>> pinball(np.array([[10.0]]), np.array([[[8.0]]]), levels=[0.9])
    array([1.8])
    """
    tau = _levels(levels)
    is_observed = observed_points(observed, forecast, tau)
    loss: Floats = pinball_losses(observed, forecast, tau)[is_observed].mean(axis=0)
    return loss


def crps(observed: Floats, forecast: Floats, *, levels: ArrayLike) -> float:
    """Continuous ranked probability score, approximated from a grid of levels.

    `levels` strictly ascend, at any spacing.

    Notes
    -----
    CRPS is twice the integral of the pinball loss over all levels (Gneiting & Ranjan 2011, Journal
    of Business & Economic Statistics 29(3), 411-422). It is taken by trapezoids between the
    levels; in the tails the loss is drawn as a straight line from its value at the outermost level
    to 0 at level 0 or 1, where that of a calibrated forecast ends. The score is therefore a
    positively weighted sum of pinball losses and stays proper for every level of the grid. What
    the approximation costs, on the grid 0.05, 0.1, 0.2 ... 0.9, 0.95: a calibrated Gaussian
    forecast is scored 1.0 % too low, and a forecast whose levels all coincide at most 5 % below
    its absolute error.

    Examples
    --------
    One level at 0.5 with loss 1: a triangle of height 1 on a base of 1, twice.

    >>> crps(np.array([[10.0]]), np.array([[[8.0]]]), levels=[0.5])
    1.0
    """
    tau = ascending_levels(levels)
    return float(crps_weights(tau) @ pinball(observed, forecast, levels=tau))


def crps_weights(tau: Floats) -> Floats:
    """Weight of the pinball loss of each level in `crps`: twice that of the trapezoid rule."""
    edges = np.concatenate(([0.0], tau, [1.0]))
    weights: Floats = edges[2:] - edges[:-2]
    return weights


def picp(observed: Floats, lower: Floats, upper: Floats) -> float:
    """Share of the observations inside their interval, bounds included, in percent.

    Neither high nor low is better: `coverage_error` says how far it is from its target.
    """
    is_observed = _observed_mask(observed, lower=lower, upper=upper)
    check_order(lower, upper)
    return float(
        100.0 * ((lower <= observed) & (observed <= upper))[is_observed].sum() / is_observed.sum()
    )


def mean_width(lower: Floats, upper: Floats) -> float:
    """Mean width of intervals, whether or not anything was observed."""
    _check_finite("lower", lower)
    _observed_mask(lower, upper=upper)
    check_order(lower, upper)
    return float((upper - lower).mean())


def winkler(observed: Floats, lower: Floats, upper: Floats, *, coverage: float) -> float:
    """Interval score: the width, plus 2 / (1 - coverage) times the distance of a miss.

    Notes
    -----
    `coverage` is what the central interval claims, in percent. Equation 43 of Gneiting & Raftery
    (2007), Journal of the American Statistical Association 102(477), 359-378; proper for the
    central interval of that coverage.

    Examples
    --------
    A width of 4, and a miss by 1 that costs 2 / 0.5.

    >>> winkler(np.array([[9.0]]), np.array([[4.0]]), np.array([[8.0]]), coverage=50)
    8.0
    """
    _share(coverage)
    is_observed = _observed_mask(observed, lower=lower, upper=upper)
    check_order(lower, upper)
    return float(winkler_losses(observed, lower, upper, coverage=coverage)[is_observed].mean())


def coverage_error(picp: float, target: float) -> float:
    """Distance of a measured coverage from its target, in points of percent: |picp - target|.

    Both are in percent; the sign is lost, so report `picp` beside it.
    """
    _share(target)
    return abs(picp - target)


def quantile_at(forecast: Floats, levels: ArrayLike, level: float) -> Floats:
    """Quantile forecast at one level, of shape (N, H); `levels` strictly ascend.

    The column of the grid where `level` is in it, else linear between its two neighbours. Beyond
    the outermost levels nothing is known of the forecast, and the answer is a `DataError`.

    Examples
    --------
    >>> quantile_at(np.array([[[1.0, 2.0, 6.0]]]), [0.1, 0.5, 0.9], 0.6)
    array([[3.]])
    """
    tau = ascending_levels(levels)
    if forecast.shape[-1:] != (tau.size,):
        raise DataError(
            f"forecast has shape {forecast.shape}, expected (N, H, Q) with Q={tau.size}"
        )
    column = int(np.argmin(np.abs(tau - level)))
    if abs(tau[column] - level) <= SAME_LEVEL:
        exact: Floats = forecast[..., column]
        return exact
    if not tau[0] < level < tau[-1]:
        raise DataError(f"level {level:g} lies outside the grid of levels {tau.tolist()}")
    above = int(np.searchsorted(tau, level))
    share = (level - tau[above - 1]) / (tau[above] - tau[above - 1])
    between: Floats = (1.0 - share) * forecast[..., above - 1] + share * forecast[..., above]
    return between


def interval(forecast: Floats, levels: ArrayLike, coverage_percent: float) -> tuple[Floats, Floats]:
    """Lower and upper bound, each (N, H), of the central interval: levels 0.1 and 0.9 for 80."""
    _share(coverage_percent)
    low, high = central_levels(coverage_percent)
    return quantile_at(forecast, levels, low), quantile_at(forecast, levels, high)


def central_levels(coverage: float) -> tuple[float, float]:
    """The two quantile levels that bound the central interval of a coverage, in percent.

    Examples
    --------
    >>> central_levels(50)
    (0.25, 0.75)
    """
    tail = (1.0 - coverage / 100.0) / 2.0
    return tail, 1.0 - tail


def pinball_losses(observed: Floats, forecast: Floats, tau: Floats) -> Floats:
    """Pinball loss of each point and level, (N, H, Q)."""
    miss = observed[..., None] - forecast  # (N, H, Q)
    losses: Floats = np.maximum(tau * miss, (tau - 1.0) * miss)
    return losses


def winkler_losses(observed: Floats, lower: Floats, upper: Floats, *, coverage: float) -> Floats:
    """Winkler score of each point, (N, H)."""
    miss_rate = 1.0 - _share(coverage)
    miss = np.maximum(lower - observed, 0.0) + np.maximum(observed - upper, 0.0)
    losses: Floats = upper - lower + 2.0 / miss_rate * miss
    return losses


def _observed_mask(observed: Floats, **compared: Floats) -> NDArray[np.bool_]:
    """True where something was observed, after the checks that the head of the module names."""
    for name, values in compared.items():
        if values.shape != observed.shape:
            raise DataError(
                f"{name} has shape {values.shape}, expected {observed.shape} from observed"
            )
        _check_finite(name, values)
    if np.isinf(observed).any():
        raise DataError("observed holds an infinite value; mark a missing one as NaN")
    is_observed: NDArray[np.bool_] = ~np.isnan(observed)
    if not is_observed.any():
        raise DataError("observed holds no value to score against")
    return is_observed


def observed_points(observed: Floats, forecast: Floats, tau: Floats) -> NDArray[np.bool_]:
    """True where something was observed, (N, H), after the same checks of a quantile forecast."""
    expected = (*observed.shape, tau.size)
    if forecast.shape != expected:
        raise DataError(
            f"forecast has shape {forecast.shape}, expected (N, H, Q) = {expected} "
            "from observed and levels"
        )
    _check_finite("forecast", forecast)
    return _observed_mask(observed)


def _check_finite(name: str, values: Floats) -> None:
    broken = np.argwhere(~np.isfinite(values))
    if len(broken):
        where = tuple(int(i) for i in broken[0])
        axes = ", ".join(("window", "step", "level")[: values.ndim])
        raise DataError(f"{name} is not finite at ({axes}) = {where}")


def check_order(lower: Floats, upper: Floats) -> None:
    """Refuse bounds that cross anywhere."""
    if (lower > upper).any():
        where = tuple(int(i) for i in np.argwhere(lower > upper)[0])
        raise DataError(f"lower lies above upper at (window, step) = {where}; sort the levels")


def _levels(levels: ArrayLike) -> Floats:
    tau = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    if tau.size == 0 or not ((tau > 0.0) & (tau < 1.0)).all():
        raise DataError(f"levels must lie strictly inside (0, 1), got {tau.tolist()}")
    return tau


def ascending_levels(levels: ArrayLike) -> Floats:
    """Levels as an array, checked to ascend strictly inside (0, 1)."""
    tau = _levels(levels)
    if (np.diff(tau) <= SAME_LEVEL).any():
        raise DataError(f"levels must be strictly ascending, got {tau.tolist()}")
    return tau


def _share(coverage_percent: float) -> float:
    if not 1.0 < coverage_percent < 100.0:
        raise DataError(
            f"coverage is {coverage_percent}, expected percent between 1 and 100, such as 80"
        )
    return coverage_percent / 100.0
