"""Error along each parameter of the search, the others held at the chosen config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.search.selection import TrialState
from paretocast.search.space import model_in, shares_of, without_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.search.space import Config, Parameter, Space
    from paretocast.training.trial import TrialRecord

    Floats = NDArray[np.float64]

FEWEST_TRIALS = 10
MOST_TRIALS = 200  # that the surface is fitted to: its cost grows with their cube
N_POINTS = 25
HALF_WIDTH_95 = 1.96  # of a 95 % interval, in standard deviations
FAR = 3.0  # distances of the median error from the best one: errors beyond count as that far


@dataclass(frozen=True, eq=False)
class Slice:
    """Expected error along one parameter.

    Attributes
    ----------
    positions : ndarray of shape (P,)
        Shares of the way through the range, 0 to 1, on its scale.
    mean, low, high : ndarray of shape (P,)
        Expected MAE with the 95 % interval of the expectation, target units.
    trials : tuple of (share, MAE)
        Complete trials, wherever their other parameters are.
    chosen : float
        Share of the chosen config.
    """

    name: str
    parameter: Parameter
    positions: Floats
    mean: Floats
    low: Floats
    high: Floats
    trials: tuple[tuple[float, float], ...]
    chosen: float

    @property
    def effect(self) -> float:
        """Distance between the highest and the lowest expectation, target units."""
        return float(np.ptp(self.mean))


def parameter_slices(
    records: Sequence[TrialRecord], chosen: Config, *, space: Space, model: str
) -> tuple[Slice, ...]:
    """Slices through the chosen config, the largest effect first; empty with too few trials.

    Parameters
    ----------
    records : sequence of TrialRecord
        Each scored on the mean over its seeds; those of the chosen config's model count.
    space : mapping of parameter to range
        Of that model.
    model : str
        Of configs that name none.

    Notes
    -----
    A Gaussian process over the unit cube of the parameters, as the sampler `mfgp` uses it. Its
    interval is that of the expectation, without the noise of a single training; where no trial
    is near, it is wide. Errors far from the best are taken as less far, so that a few trainings
    that diverged do not bend the rest.
    """
    from paretocast.search.samplers.gaussian_process import (
        fit_process,
    )  # Optuna, through its package

    judged = _judged(records, space, model=model_in(chosen, model), only=model)
    if len(judged) < FEWEST_TRIALS:
        return ()
    errors = np.array([record.scores["mae"] for record in judged])
    best, median = errors.min(), float(np.median(errors))
    near = np.minimum(errors, best + FAR * (median - best))
    points = np.array([shares_of(space, without_model(record.config)) for record in judged])
    # The last coordinate of the process is a budget, which all of these share.
    process = fit_process(np.column_stack([points, np.zeros(len(points))]), near)
    centre = np.array(shares_of(space, without_model(chosen)))
    slices = []
    for j, (name, parameter) in enumerate(space.items()):
        positions = np.unique(_positions(parameter, points[:, j]))
        if positions.size < 2:
            continue
        along = np.tile(np.append(centre, 0.0), (positions.size, 1))
        along[:, j] = positions
        mean, deviation = process.predict(along)
        half = HALF_WIDTH_95 * deviation
        trials = tuple(zip(points[:, j].tolist(), errors.tolist(), strict=True))
        slices.append(
            Slice(
                name, parameter, positions, mean, mean - half, mean + half, trials, float(centre[j])
            )
        )
    return tuple(sorted(slices, key=lambda of_one: -of_one.effect))


def _judged(
    records: Sequence[TrialRecord], space: Space, *, model: str, only: str
) -> list[TrialRecord]:
    """Complete trials of a model whose config lies in its space, the best ones if they are many."""
    judged = [
        record
        for record in records
        if record.state is TrialState.COMPLETE
        and model_in(record.config, only) == model
        and all(n in record.config and p.holds(record.config[n]) for n, p in space.items())
    ]
    return sorted(judged, key=lambda record: record.scores["mae"])[:MOST_TRIALS]


def _positions(parameter: Parameter, of_trials: Floats) -> Floats:
    """Shares at which a parameter is shown: every value of a few, a grid of many."""
    grid = (np.arange(N_POINTS) + 0.5) / N_POINTS
    values = [parameter.at(float(share)) for share in grid]
    shares = np.array([parameter.share(value) for value in values])
    return np.concatenate([shares, of_trials]) if np.unique(shares).size < N_POINTS else grid
