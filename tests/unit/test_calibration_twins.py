"""The plain conformal calibrators against MAPIE and crepes, which share no code with them."""

from __future__ import annotations

import numpy as np
import pytest
from crepes import ConformalRegressor
from mapie.regression import ConformalizedQuantileRegressor
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin

from paretocast.calibration import fit_calibrator
from paretocast.calibration.conformal import Sides, fit_conformal
from paretocast.metrics.forecast import Forecast
from samples import clock_groups

LEVELS = (0.1, 0.5, 0.9)
BOUNDS = (0, 2, 1)  # MAPIE asks for the lower, the upper and the median forecast


class Column(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted model whose forecast is a column of what it is given."""

    def __init__(self, column: int = 0) -> None:
        self.column = column

    def fit(self, rows: NDArray[np.float64], _target: NDArray[np.float64]) -> Column:
        self.n_features_in_ = rows.shape[1]
        return self

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return rows[:, self.column]


def hourly_sample(n: int, seed: int) -> Forecast:
    """Windows of one hour, so that every window is one exchangeable observation."""
    rng = np.random.default_rng(seed)
    middle = rng.normal(size=(n, 1, 1))
    quantiles = middle + np.array([-0.7, 0.1, 0.5]) * rng.uniform(0.5, 2.0, size=(n, 1, 1))
    observed = middle[..., 0] + rng.normal(size=(n, 1))
    return Forecast(quantiles, LEVELS, observed, 24 * np.arange(n), clock_groups(n, 1))


def mapie_bounds(sample: Forecast, later: Forecast, *, symmetric: bool) -> NDArray[np.float64]:
    models = [Column(i).fit(sample.quantiles[:, 0], sample.observed[:, 0]) for i in BOUNDS]
    conformal = ConformalizedQuantileRegressor(models, confidence_level=0.8, prefit=True)
    conformal.conformalize(sample.quantiles[:, 0], sample.observed[:, 0])
    _, bounds = conformal.predict_interval(later.quantiles[:, 0], symmetric_correction=symmetric)
    return np.asarray(bounds)[:, :, 0]


@pytest.mark.parametrize("n", [30, 99, 250])
def test_symmetric_bounds_are_those_of_mapie(n: int) -> None:
    sample, later = hourly_sample(n, 1), hourly_sample(20, 2)
    calibrated = fit_calibrator(sample, "cqr").apply(later).quantiles[:, 0]
    expected = mapie_bounds(sample, later, symmetric=True)
    assert calibrated[:, [0, 2]] == pytest.approx(expected)


@pytest.mark.parametrize("n", [30, 99, 250])
def test_asymmetric_bounds_are_those_of_mapie(n: int) -> None:
    sample, later = hourly_sample(n, 3), hourly_sample(20, 4)
    calibrated = fit_calibrator(sample, "cqr-asymmetric").apply(later).quantiles[:, 0]
    expected = mapie_bounds(sample, later, symmetric=False)
    assert calibrated[:, [0, 2]] == pytest.approx(expected)


def test_corrections_by_group_are_the_mondrian_ones_of_crepes() -> None:
    # Around a forecast without width, the signed score is the absolute residual.
    sample, later = hourly_sample(200, 5), hourly_sample(40, 6)
    point = sample.with_quantiles(np.repeat(sample.quantiles[..., 1:2], 3, axis=-1))
    fitted = fit_conformal(
        point, name="x", sides=Sides.PAIRS, group=("season",), shrinkage_windows=0.0
    )
    flat = later.with_quantiles(np.repeat(later.quantiles[..., 1:2], 3, axis=-1))
    calibrated = fitted.apply(flat).quantiles[:, 0]
    twin = ConformalRegressor()
    twin.fit(
        np.abs(point.observed - point.quantiles[..., 1])[:, 0], bins=point.groups["season"][:, 0]
    )
    expected = twin.predict_int(
        flat.quantiles[:, 0, 0], bins=later.groups["season"][:, 0], confidence=0.8
    )
    assert calibrated[:, [0, 2]] == pytest.approx(expected)
