"""The sampler `mfgp`: the config from which the front is expected to grow most.

Every objective has a Gaussian process over the unit cube of the space and the logarithm of the
budget, so a trial that was pruned at a rung informs about the full budget too. Suggested is the
candidate with the greatest expected hypervolume improvement at the full budget (Emmerich,
Giannakoglou and Naujoks 2006). The expectation is over quasi-random draws; the hypervolume is the
mean of its scalarisations along quasi-random directions (Golovin and Zhang 2020, arXiv 2006.04655),
one formula for any number of objectives.

Objectives are minimised and modelled on a shifted logarithm: a training that diverged is far off,
but not so far that it hides how the good ones differ. A running trial counts with the values
expected of it (the kriging believer of Ginsbourger et al. 2010), a failed one with the worst known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_ndtr, ndtri
from scipy.stats.qmc import Sobol

from paretocast.search.pareto import front
from paretocast.search.pruning import ETA
from paretocast.search.samplers.gaussian_process import fit_process
from paretocast.search.samplers.observation import best_first, was_tried
from paretocast.search.space import config_at, shares_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from paretocast.search.samplers.gaussian_process import GaussianProcess
    from paretocast.search.samplers.observation import Observation
    from paretocast.search.space import Config, Space

    Floats = NDArray[np.float64]

# Candidates: points that fill the space, half as many near the best trials.
N_SPREAD, N_NEAR, N_BEST = 512, 256, 6
# A coordinate of a best trial is moved by so much, in sides of the cube, every other time.
NEAR = 0.12
N_DRAWS, N_DIRECTIONS = 128, 64
# The share of the budget that is one side of the cube away from all of it: three rungs.
LEAST_SHARE = ETA**-3
# The corner lies so far beyond the ends of the front, in sides of the box around it.
BEYOND_ENDS = 0.1
# With fewer known costs no process is fitted to them.
FEWEST_COSTS = 3
# Where so many of the best candidates are too large, others are drawn.
MOST_TOO_LARGE = 64
# Points whose expected values tell what an ordinary config is worth.
N_ORDINARY = 256


@dataclass(frozen=True)
class _Scale:
    """A shifted logarithm: `log1p((value - low) / width)`."""

    low: Floats
    width: Floats

    def of(self, values: Floats) -> Floats:
        logarithm: Floats = np.log1p(np.maximum(values - self.low, 0.0) / self.width)
        return logarithm

    def back(self, logarithms: Floats) -> Floats:
        """Values below `low` are possible, by less than the width."""
        values: Floats = self.low + self.width * np.expm1(np.minimum(logarithms, 50.0))
        return values


@dataclass(frozen=True)
class _Learnt:
    """Processes fitted to the trials.

    Attributes
    ----------
    objectives : tuple of GaussianProcess
        One per objective, on the shifted logarithm.
    violations : tuple of GaussianProcess
        One per constraint, at the full budget; above 0 where it is violated.
    """

    objectives: tuple[GaussianProcess, ...]
    violations: tuple[GaussianProcess, ...]
    scale: _Scale

    def at_the_end(self, points: Floats) -> tuple[Floats, Floats]:
        """Mean and deviation of the logarithms at the full budget, (p, m) each."""
        full = _with_budget(points, 1.0)
        predicted = [process.predict(full) for process in self.objectives]
        return np.stack([p[0] for p in predicted], -1), np.stack([p[1] for p in predicted], -1)

    def log_feasible(self, points: Floats) -> Floats:
        """Logarithm of the probability that all constraints are met at the full budget, (p,)."""
        chance = np.zeros(len(points))
        for process in self.violations:
            mean, deviation = process.predict(_with_budget(points, 1.0))
            chance += log_ndtr(-mean / deviation)
        return chance


def suggest(
    space: Space,
    trials: Sequence[Observation],
    modelled: Sequence[Observation],
    *,
    seed: int,
    log_cost: GaussianProcess | None = None,
    fits: Callable[[Config], bool] = lambda _config: True,
) -> Config:
    """The candidate with the greatest expected growth of the front, for what it costs.

    Parameters
    ----------
    trials : sequence of Observation
        All trials; none of their configs is suggested again while there is another.
    modelled : sequence of Observation
        Those to learn from, at least one with values, by number.
    seed : int
        Of the candidates and the draws.
    log_cost : GaussianProcess, optional
        Logarithm of what a trial costs; without it all cost the same.
    fits : callable, optional
        False for a config that is too large; the best of the first `MOST_TOO_LARGE` that fits is
        suggested.
    """
    rng = np.random.default_rng(seed)
    learnt = _learn(space, modelled)
    values = _final_values(space, modelled, learnt)
    corner = _corner(space, learnt, values, rng)
    candidates = _candidates(space, modelled, rng)
    points = np.array([shares_of(space, config) for config in candidates])
    gains = _expected_growth(_draw(learnt, points, rng), values, corner, rng)
    merit = np.log(np.maximum(gains, 1e-300)) + learnt.log_feasible(points)
    if log_cost is not None:
        merit -= log_cost.predict(_with_budget(points, 1.0))[0]
    ordered = [candidates[i] for i in np.argsort(-merit, kind="stable")]
    new = (config for config in ordered if not was_tried(config, trials))
    fitting = (config for config in islice(new, MOST_TOO_LARGE) if fits(config))
    return next(fitting, ordered[0])


def learn_cost(
    space: Space, configs: Sequence[Config], costs: Sequence[float]
) -> GaussianProcess | None:
    """A process of the logarithm of the cost; NaN is left out, None if too few costs remain."""
    pairs = [(config, cost) for config, cost in zip(configs, costs, strict=True) if cost > 0.0]
    if len(pairs) < FEWEST_COSTS:
        return None
    points = np.array([shares_of(space, config) for config, _ in pairs])
    return fit_process(_with_budget(points, 1.0), np.log([cost for _, cost in pairs]))


def _learn(space: Space, trials: Sequence[Observation]) -> _Learnt:
    """Fit a process to every objective and constraint, then add the running and failed trials."""
    points, values, ends = [], [], []
    for trial in trials:
        if trial.values is None:
            continue
        point = np.array([shares_of(space, trial.config)])
        for share, at_rung in (*trial.before, (trial.share, trial.values)):
            points.append(_with_budget(point, share)[0])
            values.append(at_rung)
        ends.append((points[-1], trial.violations))
    at_rungs, scale = np.array(points), _fit_scale(np.array(values))
    logarithms = scale.of(np.array(values))
    objectives = [fit_process(at_rungs, column) for column in logarithms.T]
    last = np.array([point for point, _ in ends])
    violations = [fit_process(last, column) for column in np.array([v for _, v in ends]).T]
    if running := [trial for trial in trials if _runs(trial)]:
        full = _at_full_budget(space, running)
        objectives = [p.conditioned_on(full, p.predict(full)[0]) for p in objectives]
    if failed := [trial for trial in trials if trial.failed]:
        full = _at_full_budget(space, failed)
        worst = [np.full(len(full), column.max()) for column in logarithms.T]
        objectives = [p.conditioned_on(full, w) for p, w in zip(objectives, worst, strict=True)]
    return _Learnt(tuple(objectives), tuple(violations), scale)


def _fit_scale(values: Floats) -> _Scale:
    """The scale from the lowest of values (n, m), whose width is what the median is above it."""
    low = values.min(axis=0)
    width = np.median(values, axis=0) - low
    width = np.where(width > 0.0, width, values.std(axis=0))
    return _Scale(low, np.where(width > 0.0, width, 1.0))


def _at_full_budget(space: Space, trials: Sequence[Observation]) -> Floats:
    return _with_budget(np.array([shares_of(space, trial.config) for trial in trials]), 1.0)


def _final_values(space: Space, trials: Sequence[Observation], learnt: _Learnt) -> Floats:
    """Expected values at the full budget of the trials that meet the constraints, (n, m).

    Of those that have ended there, and of those that run and will probably meet them. Expected, not
    measured: no other config could dominate the values of a lucky seed.
    """
    ended = [
        trial.config
        for trial in trials
        if trial.values is not None
        and not trial.running
        and trial.share >= 1.0
        and all(violation <= 0.0 for violation in trial.violations)
    ]
    running = [trial.config for trial in trials if _runs(trial)]
    if not ended and not running:
        return np.empty((0, len(learnt.objectives)))
    points = np.array([shares_of(space, config) for config in [*ended, *running]])
    likely = learnt.log_feasible(points) >= math.log(0.5)
    likely[: len(ended)] = True
    return learnt.scale.back(learnt.at_the_end(points[likely])[0])


def _corner(space: Space, learnt: _Learnt, values: Floats, rng: np.random.Generator) -> Floats:
    """The worst values that still count: the median of what is expected of all configs, (m,).

    Beyond the ends of the front, where these are worse, or nothing could be gained there.
    """
    ordinary = Sobol(len(space), rng=rng).random(N_ORDINARY)
    expected = learnt.scale.back(learnt.at_the_end(ordinary)[0])
    corner: Floats = np.median(expected, axis=0)
    if len(values):
        on_front = values[front(values)]
        best, worst = on_front.min(axis=0), on_front.max(axis=0)
        room = np.maximum(BEYOND_ENDS * (worst - best), 1e-6 * np.abs(worst))
        corner = np.maximum(corner, worst + room)
    return corner


def _candidates(
    space: Space, trials: Sequence[Observation], rng: np.random.Generator
) -> list[Config]:
    """Points that fill the space, and points near the best trials."""
    spread = Sobol(len(space), rng=rng).random(N_SPREAD)
    scored = [t for t in trials if t.values is not None]
    scored = [t for t in scored if t.share >= 1.0] or scored
    best = np.array([shares_of(space, scored[i].config) for i in best_first(scored)[:N_BEST]])
    near = best[np.arange(N_NEAR) % len(best)]
    moved = rng.random(near.shape) < 0.5
    near = near + np.where(moved, rng.normal(0.0, NEAR, near.shape), 0.0)
    everywhere = np.clip(np.vstack([spread, near]), 0.0, np.nextafter(1.0, 0.0))
    return [config_at(space, point) for point in everywhere.tolist()]


def _draw(learnt: _Learnt, points: Floats, rng: np.random.Generator) -> Floats:
    """Quasi-random draws of the values of configs at the full budget, (p, N_DRAWS, m)."""
    mean, deviation = learnt.at_the_end(points)
    normal = ndtri(Sobol(mean.shape[1], rng=rng).random(N_DRAWS))
    return learnt.scale.back(mean[:, None, :] + deviation[:, None, :] * normal)


def _expected_growth(
    drawn: Floats, values: Floats, corner: Floats, rng: np.random.Generator
) -> Floats:
    """Expected hypervolume improvement of candidates (p, N_DRAWS, m) over values (n, m): (p,)."""
    n_objectives = len(corner)
    # The volume is that of the cube between the best of each objective and the corner.
    on_front = values[front(values)] if len(values) else values
    sides = corner - np.minimum(drawn.min(axis=(0, 1)), on_front.min(axis=0, initial=np.inf))
    sides = np.maximum(sides, 1e-12)
    inside = np.maximum((corner - on_front) / sides, 0.0).T  # (m, n)
    hoped = np.ascontiguousarray(np.maximum((corner - drawn) / sides, 0.0).transpose(2, 0, 1))
    growth = np.zeros(len(drawn))
    for direction in _directions(n_objectives, rng):
        per_unit = 1.0 / direction
        reached = (inside * per_unit[:, None]).min(axis=0).max(initial=0.0)
        length = hoped[0] * per_unit[0]
        for objective in range(1, n_objectives):
            np.minimum(length, hoped[objective] * per_unit[objective], out=length)
        volume = np.maximum(length, reached) ** n_objectives
        growth += volume.mean(axis=1) - reached**n_objectives
    return growth


def _runs(trial: Observation) -> bool:
    return trial.running or (trial.values is None and not trial.failed)


def _directions(n_objectives: int, rng: np.random.Generator) -> Floats:
    """Unit vectors with no negative part, even over their part of the sphere, (n, m)."""
    uniform = Sobol(n_objectives, rng=rng).random(N_DIRECTIONS)
    normal = ndtri(0.5 + 0.5 * np.clip(uniform, 1e-6, 1.0 - 1e-6))
    directions: Floats = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return directions


def _with_budget(points: Floats, share: float) -> Floats:
    """Points with the logarithm of a share of the budget as their last coordinate; full is 0."""
    return np.column_stack([points, np.full(len(points), math.log(share, LEAST_SHARE))])
