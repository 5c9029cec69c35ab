"""A Gaussian process over configs and budgets, fitted to a few dozen noisy values.

Rasmussen and Williams 2006, chapters 2 and 5. The covariance of two points is a Matérn 5/2 kernel
with a length scale for every coordinate, plus a line along the last one, plus a constant. The
hyperparameters are those of the highest posterior density. Their priors make five points enough:
without them, maximum likelihood takes the noise of so few for structure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROOT_5 = 5.0**0.5
# Of the standardised values; keeps a Cholesky factor possible where points coincide.
JITTER = 1e-8
MOST_ITERATIONS = 40

# Normal priors of the logarithms: mean, standard deviation. Length scales are in sides of the unit
# cube and grow with its dimension, since so do distances (Hvarfner et al. 2024, arXiv 2402.02229).
LENGTH_PRIOR = (2.0**0.5 - 1.6, 1.2)  # plus half the logarithm of the dimension
AMPLITUDE_PRIOR = (0.0, 1.5)
SLOPE_PRIOR = (0.0, 2.0)
NOISE_PRIOR = (np.log(0.05), 1.5)
# The search for the best density begins with somewhat shorter length scales than the prior's.
SHORTER_AT_FIRST = 0.5
LOG_BOUNDS = {
    "length": (-3.0, 4.0),
    "amplitude": (-3.0, 3.0),
    "slope": (-6.0, 3.0),
    "noise": (np.log(1e-4), 0.0),
}


@dataclass(frozen=True)
class GaussianProcess:
    """A fitted process.

    Attributes
    ----------
    points : ndarray of shape (n, d)
    values : ndarray of shape (n,)
        Standardised: `(value - centre) / spread`.
    log_parameters : ndarray of shape (d + 3,)
        Length scales, amplitude, slope along the last coordinate, noise variance.
    factor : ndarray of shape (n, n)
        Lower Cholesky factor of the covariance of the values.
    weights : ndarray of shape (n,)
        Its inverse times the values.
    """

    points: Floats
    values: Floats
    centre: float
    spread: float
    log_parameters: Floats
    factor: Floats
    weights: Floats

    def predict(self, points: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, without noise, at points (p, d): two of shape (p,)."""
        across = _covariance(self.log_parameters, points, self.points)
        explained = solve_triangular(self.factor, across.T, lower=True)
        variance = _variance(self.log_parameters, points) - (explained**2).sum(axis=0)
        mean: Floats = (across @ self.weights) * self.spread + self.centre
        deviation: Floats = np.sqrt(np.maximum(variance, 1e-10)) * self.spread
        return mean, deviation

    def conditioned_on(self, points: Floats, values: Floats) -> GaussianProcess:
        """The process with further values, and the same hyperparameters."""
        standardised = (values - self.centre) / self.spread
        return _conditioned(
            replace(
                self,
                points=np.vstack([self.points, points]),
                values=np.concatenate([self.values, standardised]),
            )
        )


def fit_process(points: Floats, values: Floats) -> GaussianProcess:
    """The process that explains noisy values at points best.

    Parameters
    ----------
    points : ndarray of shape (n, d)
        In the unit cube, but for the last coordinate, which may have any scale of that order and
        along which the values may follow a line.
    values : ndarray of shape (n,)
        Finite, in any unit.
    """
    n_lengths = points.shape[1]
    spread = float(values.std())
    if spread <= 1e-12 * float(np.abs(values).max()):  # equal, but for rounding
        spread = 1.0
    centre = float(values.mean())
    standardised = (values - centre) / spread
    squared_gaps = (points[:, None, :] - points[None, :, :]) ** 2  # (n, n, d)
    prior_mean, prior_spread = _priors(n_lengths)
    start = prior_mean - np.where(np.arange(n_lengths + 3) < n_lengths, SHORTER_AT_FIRST, 0.0)
    lengths = [LOG_BOUNDS["length"]] * n_lengths

    def density(log_parameters: Floats) -> tuple[float, Floats]:
        """The negative logarithm of the posterior and its gradient."""
        value, gradient = _negative_log_likelihood(
            log_parameters, points, standardised, squared_gaps
        )
        deviation = (log_parameters - prior_mean) / prior_spread
        return value + 0.5 * float(deviation @ deviation), gradient + deviation / prior_spread

    optimum = minimize(
        density,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[*lengths, *(LOG_BOUNDS[name] for name in ("amplitude", "slope", "noise"))],
        options={"maxiter": MOST_ITERATIONS},
    )
    empty = np.empty(0)
    return _conditioned(
        GaussianProcess(points, standardised, centre, spread, optimum.x, empty, empty)
    )


def _conditioned(process: GaussianProcess) -> GaussianProcess:
    n = len(process.values)
    noise = np.exp(process.log_parameters[-1]) + JITTER
    covariance = _covariance(process.log_parameters, process.points, process.points)
    factor = np.linalg.cholesky(covariance + noise * np.eye(n))
    return replace(process, factor=factor, weights=cho_solve((factor, True), process.values))


def _priors(n_lengths: int) -> tuple[Floats, Floats]:
    """Means and standard deviations of the logarithms of all hyperparameters."""
    length = (LENGTH_PRIOR[0] + 0.5 * np.log(n_lengths), LENGTH_PRIOR[1])
    priors = np.array([*[length] * n_lengths, AMPLITUDE_PRIOR, SLOPE_PRIOR, NOISE_PRIOR])
    return priors[:, 0], priors[:, 1]


def _negative_log_likelihood(
    log_parameters: Floats, points: Floats, values: Floats, squared_gaps: Floats
) -> tuple[float, Floats]:
    """Up to a constant, and its gradient; `squared_gaps` of the points are (n, n, d)."""
    n, n_lengths = points.shape
    scales = np.exp(-2.0 * log_parameters[:n_lengths])
    amplitude, slope, noise = np.exp(log_parameters[n_lengths:])
    distance = np.sqrt(squared_gaps @ scales)
    decay = np.exp(-ROOT_5 * distance)
    matern = amplitude * (1.0 + ROOT_5 * distance + 5.0 / 3.0 * distance**2) * decay
    line = slope * np.outer(points[:, -1], points[:, -1])
    factor = np.linalg.cholesky(matern + line + 1.0 + (noise + JITTER) * np.eye(n))
    weights = cho_solve((factor, True), values)
    value = 0.5 * values @ weights + np.log(np.diag(factor)).sum()
    pull = 0.5 * (cho_solve((factor, True), np.eye(n)) - np.outer(weights, weights))
    # The derivative of the kernel by the logarithm of a length scale.
    steepness = amplitude * 5.0 / 3.0 * (1.0 + ROOT_5 * distance) * decay
    by_length = np.einsum("ij,ijk->k", pull * steepness, squared_gaps) * scales
    by_rest = [(pull * matern).sum(), (pull * line).sum(), noise * np.trace(pull)]
    return float(value), np.concatenate([by_length, by_rest])


def _covariance(log_parameters: Floats, left: Floats, right: Floats) -> Floats:
    """Without noise, of points (p, d) and (q, d): shape (p, q)."""
    n_lengths = left.shape[1]
    amplitude, slope, _ = np.exp(log_parameters[n_lengths:])
    inverse = np.exp(-log_parameters[:n_lengths])
    gap = (left[:, None, :] - right[None, :, :]) * inverse
    distance = np.sqrt((gap**2).sum(axis=-1))
    matern = (1.0 + ROOT_5 * distance + 5.0 / 3.0 * distance**2) * np.exp(-ROOT_5 * distance)
    covariance: Floats = amplitude * matern + slope * np.outer(left[:, -1], right[:, -1]) + 1.0
    return covariance


def _variance(log_parameters: Floats, points: Floats) -> Floats:
    """The diagonal of `_covariance` of points with themselves, (p,)."""
    amplitude, slope, _ = np.exp(log_parameters[points.shape[1] :])
    variance: Floats = amplitude + slope * points[:, -1] ** 2 + 1.0
    return variance
