"""Importance of each parameter for each objective, beside what chance would give.

PED-ANOVA [1]_: how far the distribution of a parameter among the best trials is from that among all
trials, as the Pearson divergence of two Parzen estimates on a grid. Numbers are those of Optuna's
evaluator; this one computes hundreds of shuffled studies at once. In a shuffled study the best
trials are drawn at random, so that what it finds is chance.

References
----------
.. [1] Watanabe, Bansal & Hutter (2023), PED-ANOVA, IJCAI, arXiv 2304.10255.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from paretocast.search.space import Choice, Contest, IntRange, model_in, without_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.search.objectives import Objective
    from paretocast.search.space import AnySpace, Parameter, Value
    from paretocast.training.trial import TrialRecord

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

FEWEST_TRIALS = 10
BEST_SHARE, FEWEST_BEST = 0.1, 5  # of the trials, that count as the best ones
N_SHUFFLES = 199
CONFIDENCE = 0.95
MOST_STEPS = 50  # of the grid of a range
TINY = 1e-12  # keeps a density above 0
SMALLEST_SIGMA = 0.5 / 1.64  # 90 % of a kernel within its step of the grid


@dataclass(frozen=True)
class Importance:
    """Importance of the parameters for one objective.

    Attributes
    ----------
    shares : mapping of parameter to float
        They add up to 1.
    chances : mapping of parameter to float
        Share that a parameter without any effect stays below. With the probability `CONFIDENCE`
        that holds for all parameters of a study together, if none has an effect.
    """

    shares: Mapping[str, float]
    chances: Mapping[str, float]

    @property
    def told_apart(self) -> tuple[str, ...]:
        """Parameters whose share is told apart from chance, the largest first."""
        above = [name for name, share in self.shares.items() if share > self.chances[name]]
        return tuple(sorted(above, key=lambda name: -self.shares[name]))


def parameter_importances(
    records: Sequence[TrialRecord], *, space: AnySpace, objectives: Sequence[Objective]
) -> dict[str, Importance]:
    """Importance of the parameters by the name of the objective.

    As of the first rung, where all trials have had the same training. Empty while there are too
    few. Where several models share the study, of the one with the most trials.
    """
    if isinstance(space, Contest):
        model, own = most_tried(records, "")
        if not own:
            return {}
        space = space.spaces[model]
        records = [replace(record, config=without_model(record.config)) for record in own]
    importances = {}
    for objective in objectives:
        judged = [r for r in records if r.rungs and np.isfinite(_value(r, objective))]
        if len(judged) >= FEWEST_TRIALS:
            values = np.array([_value(record, objective) for record in judged])
            importance = importance_of([r.config for r in judged], values, space=space)
            if importance.shares:
                importances[objective.name] = importance
    return importances


def importance_of(
    configs: Sequence[Mapping[str, Value]],
    values: Floats,
    *,
    space: Mapping[str, Parameter],
    n_shuffles: int = N_SHUFFLES,
    seed: int = 0,
) -> Importance:
    """Importance of the parameters of a space for an objective that is minimised.

    Parameters
    ----------
    configs : sequence of config
        Points of the space; a parameter that one of them lacks is left out.
    values : ndarray of shape (n,)
        Finite. The best tenth of them, and no fewer than five, are compared with all.
    """
    n = len(values)
    n_best = min(n, max(math.ceil(BEST_SHARE * n), FEWEST_BEST))
    best = values <= np.partition(values, n_best - 1)[n_best - 1]
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.tile(best, (n_shuffles, 1)), axis=1)
    sets = np.vstack([best, shuffled])  # (1 + R, n)
    divergences = {
        name: _divergence(sets, _on_grid([config[name] for config in configs], parameter))
        for name, parameter in space.items()
        if _n_steps(parameter) > 1 and all(name in config for config in configs)
    }
    if not divergences:
        return Importance({}, {})
    found = np.stack([*divergences.values()], axis=1)  # (1 + R, P)
    total = float(found[0].sum())
    if total == 0.0:
        even = dict.fromkeys(divergences, 1.0 / len(divergences))
        return Importance(even, dict.fromkeys(divergences, 1.0))
    bounds = _chance_bounds(found)
    ordered = sorted(zip(divergences, found[0], bounds, strict=True), key=lambda row: -row[1])
    return Importance(
        {name: float(divergence) / total for name, divergence, _ in ordered},
        {name: float(bound) / total for name, _, bound in ordered},
    )


def _chance_bounds(found: Floats) -> Floats:
    """Divergences (P,) that all parameters of a shuffled study stay below together.

    Parameters
    ----------
    found : ndarray of shape (1 + R, P)
        Divergences in the study, then in shuffled ones.

    Notes
    -----
    A largest-statistic test (Westfall & Young 1993): each divergence is measured in its own
    upper quantile, since a list of three values varies less by chance than a range does. The study
    counts among the shuffled ones for these quantiles, which keeps the test exact.
    """
    scale = np.maximum(np.quantile(found, CONFIDENCE, axis=0), TINY)
    largest = np.sort((found[1:] / scale).max(axis=1))
    rank = math.ceil(CONFIDENCE * len(found)) - 1
    bounds: Floats = scale * largest[min(rank, len(largest) - 1)]
    return bounds


def most_tried(records: Sequence[TrialRecord], only: str) -> tuple[str, list[TrialRecord]]:
    """The model with the most trials that have scores, and these trials.

    Parameters
    ----------
    only : str
        The model where configs name none.
    """
    judged = [record for record in records if record.scores]
    tried = Counter(model_in(record.config, only) for record in judged)
    model = tried.most_common(1)[0][0] if tried else only
    return model, [record for record in judged if model_in(record.config, only) == model]


def _value(record: TrialRecord, objective: Objective) -> float:
    return objective.value(record.rungs[0].scores)


def _n_steps(parameter: Parameter) -> int:
    """Steps of the grid of a parameter."""
    match parameter:
        case Choice(values):
            return len(values)
        case IntRange(low, high):
            return min(high - low + 1, MOST_STEPS)
        case _:
            return MOST_STEPS if parameter.low < parameter.high else 1


@dataclass(frozen=True)
class _Gridded:
    """Positions (n,) of values on a grid of so many steps, which have an order or not."""

    positions: NDArray[np.intp]
    n_steps: int
    ordered: bool


def _on_grid(values: Sequence[Value], parameter: Parameter) -> _Gridded:
    size = _n_steps(parameter)
    if isinstance(parameter, Choice):
        found = np.array([parameter.values.index(value) for value in values])
        return _Gridded(found, size, ordered=False)
    if isinstance(parameter, IntRange):
        span = parameter.high - parameter.low
        shares = np.array([(int(value) - parameter.low) / span for value in values])
    else:
        shares = np.array([parameter.share(value) for value in values])
    positions = np.ceil(shares * (size - 1) - 0.5).astype(np.intp)
    return _Gridded(positions.clip(0, size - 1), size, ordered=True)


def _divergence(sets: Flags, values: _Gridded) -> Floats:
    """Pearson divergence between each set of trials (S, n) and all of them, (S,)."""
    hot = np.zeros((values.positions.size, values.n_steps))
    hot[np.arange(values.positions.size), values.positions] = 1.0
    density = _density_on_range if values.ordered else _density_of_list
    best = density(sets @ hot) + TINY
    everyone = density(hot.sum(axis=0, keepdims=True)) + TINY
    divergence: Floats = ((best / everyone - 1.0) ** 2 * everyone).sum(axis=1)
    return divergence


def _density_of_list(counts: Floats) -> Floats:
    """Parzen estimates (S, G) of values without order that occur so often, (S, G)."""
    n, size = counts.sum(axis=1, keepdims=True), counts.shape[1]
    n_kernels = (counts > 0.0).sum(axis=1, keepdims=True) + 1.0
    smoothed: Floats = (n / n_kernels + counts) / (size / n_kernels + 1.0)
    density: Floats = (smoothed + 1.0 / size) / (n + 1.0)
    return density


def _density_on_range(counts: Floats) -> Floats:
    """Parzen estimates (S, G) of grid points that occur so often, with Scott's bandwidth."""
    size = counts.shape[1]
    grid = np.arange(size, dtype=np.float64)
    n = counts.sum(axis=1)
    mean = counts @ grid / n
    squares = (counts * (grid - mean[:, None]) ** 2).sum(axis=1)
    deviation = np.sqrt(squares / np.maximum(1.0, n - 1.0))
    up_to = counts.cumsum(axis=1)
    first = (up_to >= np.maximum(n // 4, 1.0)[:, None]).argmax(axis=1)
    third = (up_to > (3 * n // 4)[:, None]).argmax(axis=1)
    spread = np.minimum((third - first) / 1.34, deviation)
    sigma = np.maximum(1.059 * spread * n**-0.2, SMALLEST_SIGMA)
    edges = np.arange(size + 1) - 0.5
    below = ndtr((edges[None, None, :] - grid[None, :, None]) / sigma[:, None, None])  # (S, G, G+1)
    kernels = np.diff(below, axis=2) / (below[..., -1:] - below[..., :1])
    prior = np.diff(ndtr((edges - (size - 1) / 2.0) / size))
    prior /= prior.sum()
    density: Floats = (np.einsum("sg,sgx->sx", counts, kernels) + prior) / (n + 1.0)[:, None]
    return density
