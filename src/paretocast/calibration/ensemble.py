"""Ensembles of forecasts: quantiles averaged level by level.

Averaging quantiles (Vincent 1912; Lichtendahl, Grushka-Cockayne & Winkler 2013, Management Science
59(7), 1594-1611) keeps the shape of its members, where averaging probabilities would spread them
out. The result is a forecast like any other: it can be calibrated, scored and handed over.

Members are chosen by greedy selection with replacement (Caruana et al. 2004, ICML, section 2): the
forecast that lowers the loss of the average most is added again and again; how often it was added
is its weight. Weights learned on few weeks are uncertain, and equal ones are hard to beat (Bates &
Granger 1969; Smith & Wallis 2009, Oxford Bulletin of Economics and Statistics 71(3), 331-355): they
are shrunk towards equal ones, as far as serves weeks that were left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import DataError
from paretocast.metrics.scores import pinball

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]

ENSEMBLE = "ensemble"  # as tables and files call an average of forecasts
MOST_ROUNDS = 12
MOST_MEMBERS = 4
SHRINKAGES = (0.0, 0.25, 0.5, 0.75, 1.0)  # 1 for equal weights
ABOUT_AS_WELL = 0.002  # relative difference of two losses that a few weeks do not tell apart
LEAST_WEIGHT = 0.04  # every member has to be trained again
WEEK_WINDOWS = 7


def average_levels(forecasts: Sequence[Floats], weights: Sequence[float] | None = None) -> Floats:
    """The weighted mean of every quantile, of shape (N, H, Q), ascending along the levels.

    Parameters
    ----------
    forecasts : sequence of ndarray of shape (N, H, Q)
        In target units, of the same windows and levels; crossing quantiles are sorted first.
    weights : sequence of float, optional
        Not negative, scaled to add up to 1; equal ones without it.

    Examples
    --------
    >>> average_levels([np.array([[[1.0, 3.0]]]), np.array([[[2.0, 8.0]]])], [3.0, 1.0]).tolist()
    [[[1.25, 4.25]]]
    """
    if not forecasts:
        raise DataError("no forecast to average")
    shapes = {forecast.shape for forecast in forecasts}
    if len(shapes) > 1:
        raise DataError(f"forecasts have shapes {sorted(shapes)}, expected one shape (N, H, Q)")
    share = np.ones(len(forecasts)) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != (len(forecasts),):
        raise DataError(f"{share.size} weights for {len(forecasts)} forecasts, expected one each")
    if not np.isfinite(share).all() or (share < 0.0).any() or not share.sum() > 0.0:
        raise DataError(f"weights are {share.tolist()}, expected not negative and not all 0")
    share = share / share.sum()
    total = np.zeros(forecasts[0].shape)
    for weight, forecast in zip(share, forecasts, strict=True):
        total += weight * np.sort(forecast, axis=-1)
    return total


@dataclass(frozen=True)
class Members:
    """Members of an ensemble with their weights.

    Attributes
    ----------
    indices : tuple of int
        Positions of the members among the forecasts to choose from, the first chosen first.
    weights : tuple of float
        Add up to 1.
    loss : float
        Mean pinball loss over all levels on the windows it was chosen on, target units.
    """

    indices: tuple[int, ...]
    weights: tuple[float, ...]
    loss: float


def choose_members(forecasts: Sequence[Forecast], *, most: int) -> Members:
    """The members of an ensemble and their weights.

    Parameters
    ----------
    forecasts : sequence of Forecast
        At least one; of the same windows and levels.
    most : int
        Different members at most: each has to be trained again.
    """
    observed, levels = forecasts[0].observed, forecasts[0].levels
    quantiles = [forecast.quantiles for forecast in forecasts]
    counts = np.zeros(len(forecasts), dtype=np.intp)
    total = np.zeros_like(quantiles[0])
    order: list[int] = []
    loss = np.inf
    for n_chosen in range(MOST_ROUNDS):
        allowed = order if len(order) >= most else range(len(forecasts))
        losses = {
            i: float(
                pinball(observed, (total + quantiles[i]) / (n_chosen + 1), levels=levels).mean()
            )
            for i in allowed
        }
        best = min(losses, key=lambda i: losses[i])
        if losses[best] >= loss:
            break
        loss = losses[best]
        total = total + quantiles[best]
        counts[best] += 1
        if best not in order:
            order.append(best)
    weights = tuple(float(counts[i] / counts.sum()) for i in order)
    return Members(tuple(order), weights, loss)


def weigh_members(
    forecasts: Sequence[Forecast], *, most: int, prior: Sequence[float] | None = None
) -> Members:
    """The members of an ensemble, their weights shrunk towards a prior.

    How far is found on the same windows: weights learned on every other week are tried on the weeks
    between, and the other way round. Of shares that serve about as well the largest is taken.

    Parameters
    ----------
    forecasts, most
        As of `choose_members`.
    prior : sequence of float, optional
        A weight for each forecast, adding up to 1; equal ones for the chosen members without it.
    """
    observed = forecasts[0].observed
    half = np.arange(len(observed)) // WEEK_WINDOWS % 2
    halves = [half == part for part in (0, 1)]
    learned = _learned_weights(forecasts, most)
    if any(np.isnan(observed[part]).all() for part in halves):
        return _members_of(learned, forecasts)
    losses = np.zeros(len(SHRINKAGES))
    for part in halves:
        weights = _learned_weights([forecast.take(~part) for forecast in forecasts], most)
        held_out = [forecast.take(part) for forecast in forecasts]
        losses += [_loss(held_out, shrunk(weights, share, prior)) for share in SHRINKAGES]
    serving = np.flatnonzero(losses <= (1.0 + ABOUT_AS_WELL) * losses.min())
    return _members_of(shrunk(learned, SHRINKAGES[int(serving[-1])], prior), forecasts)


def shrunk(
    weights: Sequence[float], share: float, prior: Sequence[float] | None = None
) -> tuple[float, ...]:
    """Weights moved a share of the way to a prior, to equal weights of those above 0 without one.

    >>> shrunk((0.75, 0.25, 0.0), 0.5)
    (0.625, 0.375, 0.0)
    """
    if prior is None:
        n_members = sum(weight > 0.0 for weight in weights)
        prior = [float(weight > 0.0) / n_members for weight in weights]
    both = zip(weights, prior, strict=True)
    return tuple((1.0 - share) * weight + share * goal for weight, goal in both)


def _learned_weights(forecasts: Sequence[Forecast], most: int) -> tuple[float, ...]:
    """A weight for each forecast, 0 for those that `choose_members` leaves out."""
    members = choose_members(forecasts, most=most)
    weights = [0.0] * len(forecasts)
    for i, weight in zip(members.indices, members.weights, strict=True):
        weights[i] = weight
    return tuple(weights)


def _members_of(weights: Sequence[float], forecasts: Sequence[Forecast]) -> Members:
    """Members with more than a negligible weight, the heaviest first."""
    order = [i for i in np.argsort(weights)[::-1].tolist() if weights[i] >= LEAST_WEIGHT]
    total = sum(weights[i] for i in order)
    kept = tuple(weights[i] / total for i in order)
    return Members(tuple(order), kept, _loss([forecasts[i] for i in order], kept))


def _loss(forecasts: Sequence[Forecast], weights: Sequence[float]) -> float:
    """Mean pinball loss of a weighted average over all observed hours and levels."""
    average = average_levels([forecast.quantiles for forecast in forecasts], weights)
    losses = pinball(forecasts[0].observed, average, levels=forecasts[0].levels)
    return float(np.nanmean(losses))
