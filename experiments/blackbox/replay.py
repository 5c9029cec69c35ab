"""Recorded curves as a black box: any config of the space, trained in microseconds.

A search proposes configs that nobody recorded, and far more of them than there are curves. The
value of a config is therefore that of a *surrogate*: a Gaussian process over the unit cube of the
space, fitted to all recorded curves at once (log of losses and seconds, logit of coverage), which
gives the mean curve; to it is added how a real curve of a repeated config nearby differed from the
mean of its repetitions. That difference is taken whole, over all rungs, scores and both splits, so
noise that lasts from rung to rung lasts here too.

The *nearest* black box returns the recorded curve of the nearest config as it is. It has no model
between the data and the search, but only as many values as there are curves. The scripts can use
either, to see whether a result hangs on the surrogate.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from blackbox.curves import (
    RECORDINGS,
    SCORES,
    SPLITS,
    TABLES,
    TARGET_COVERAGE,
    Recording,
    point_of,
    read_rows,
    table_path,
    whole_curves,
)

from paretocast.errors import DataError
from paretocast.metrics.scores import coverage_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.search.space import Config, Value

    Floats = NDArray[np.float64]

N_NEIGHBOURS = 5  # repeated configs whose noise a config may have
FEWEST_CURVES = 10


@dataclass(frozen=True)
class Curve:
    """One training, as far as the full budget.

    Attributes
    ----------
    scores : dict of split to tuple of dict
        By split, the scores at every rung, coverage_error among them.
    seconds : tuple of float
        Training time from the start to each rung, on one core.
    """

    scores: Mapping[str, tuple[dict[str, float], ...]]
    seconds: tuple[float, ...]


class Blackbox(Protocol):
    """Learning curves that a search is replayed on."""

    @property
    def table(self) -> Table:
        """The recorded curves."""

    @property
    def recording(self) -> Recording:
        """Space and budget of the curves."""

    @property
    def rung_steps(self) -> tuple[int, ...]:
        """Rungs of the curves; the last one is the full budget."""

    def curve(self, config: Config, *, seed: int) -> Curve:
        """The curve of a config; the same config and seed give the same curve."""

    def expected(self, config: Config) -> dict[str, tuple[float, ...]]:
        """MAE and coverage error at the full budget by split, mean over all that `curve` may draw.

        The average worth of a fresh training of the config.
        """


@dataclass(frozen=True)
class Table:
    """The curves of one model and data set.

    Attributes
    ----------
    points : ndarray of shape (n, d)
        Configs in the unit cube, one row per curve.
    numbers : ndarray of shape (n,)
        Number of the config of each curve: equal for repetitions.
    rung_steps : tuple of int
        R rungs, the last one is the full budget.
    values : ndarray of shape (n, R, K)
        Columns `COLUMNS`: scores of both splits, then training seconds since the start.
    n_failed : int
        Curves whose training failed; they are in none of the arrays.
    """

    name: str
    recording: Recording
    points: Floats
    numbers: NDArray[np.intp]
    rung_steps: tuple[int, ...]
    values: Floats
    n_failed: int

    def column(self, name: str) -> Floats:
        """A score or `cpu_seconds`, (n, R)."""
        column: Floats = self.values[:, :, COLUMNS.index(name)]
        return column

    def objective(self, split: str, name: str) -> Floats:
        """A score that can be searched for, (n, R), lower is better."""
        if name == "coverage_error":
            distance: Floats = np.abs(self.column(f"{split}_picp") - TARGET_COVERAGE)
            return distance
        return self.column(f"{split}_{name}")


GUIDES = ("tune_mae", "tune_picp")
COLUMNS = (*(f"{split}_{score}" for split in SPLITS for score in SCORES), "cpu_seconds")


def load_table(model: str, dataset: str, *, folder: Path = TABLES, kind: str = "") -> Table:
    """The recorded curves of a model and data set.

    Raises
    ------
    DataError
        If there are too few to say anything.
    """
    recording = RECORDINGS[model]
    n_rungs = recording.n_rungs - (kind == "_own_schedule")
    path = table_path(model, dataset, folder=folder, kind=kind)
    curves = whole_curves(read_rows(path), n_rungs=n_rungs)
    good = [curve for curve in curves if len(curve) == n_rungs]
    if len(good) < FEWEST_CURVES:
        raise DataError(
            f"{path} holds {len(good)} whole curves, expected at least {FEWEST_CURVES}; "
            "experiments/record_curves.py records them"
        )
    return Table(
        name=f"{model} {dataset}",
        recording=recording,
        points=np.array([point_of(_config(c[0], recording), recording.space) for c in good]),
        numbers=np.array([int(curve[0]["config"]) for curve in good]),
        rung_steps=tuple(int(row["step"]) for row in good[0]),
        values=np.array(
            [[[float(row[name]) for name in COLUMNS] for row in curve] for curve in good]
        ),
        n_failed=len(curves) - len(good),
    )


def _config(row: Mapping[str, str], recording: Recording) -> dict[str, Value]:
    kinds = {name: type(value) for name, value in recording.first.items()}
    return {name: kinds[name](row[name]) for name in recording.space}


@dataclass(frozen=True)
class _Recorded:
    """The part of a black box that its table gives."""

    table: Table

    @property
    def recording(self) -> Recording:
        """Space and budget of the curves."""
        return self.table.recording

    @property
    def rung_steps(self) -> tuple[int, ...]:
        """Rungs of the curves; the last one is the full budget."""
        return self.table.rung_steps


@dataclass(frozen=True)
class Nearest(_Recorded):
    """The recorded curve of the nearest config; one of them where it was repeated."""

    def curve(self, config: Config, *, seed: int) -> Curve:
        """As recorded."""
        index = np.random.default_rng(seed).choice(self._nearest(config))
        return _as_curve(self.table.values[index])

    def expected(self, config: Config) -> dict[str, tuple[float, ...]]:
        curves = [_as_curve(self.table.values[i]) for i in self._nearest(config)]
        return {split: _mean_at_the_end(curves, split) for split in SPLITS}

    def _nearest(self, config: Config) -> NDArray[np.intp]:
        """Curves of the nearest config."""
        distance = np.abs(self.table.points - point_of(config, self.recording.space)).sum(axis=1)
        return np.flatnonzero(np.isclose(distance, distance.min()))


@dataclass(frozen=True)
class Surrogate(_Recorded):
    """A Gaussian process through the recorded curves, with noise from their repetitions."""

    def curve(self, config: Config, *, seed: int) -> Curve:
        """Mean curve and the noise of one repetition nearby."""
        point = point_of(config, self.recording.space)
        shape = self.table.values.shape[1:]
        mean = self._fit.mean(point[None])[0].reshape(shape)
        return _as_curve(_untransformed(mean + self._noise(point, np.random.default_rng(seed))))

    def expected(self, config: Config) -> dict[str, tuple[float, ...]]:
        point = point_of(config, self.recording.space)
        mean = self._fit.mean(point[None])[0].reshape(self.table.values.shape[1:])
        worth: dict[str, list[tuple[float, ...]]] = {split: [] for split in SPLITS}
        for deviations in self._near(point):
            curves = [_as_curve(_untransformed(mean + noise)) for noise in deviations]
            for split, values in worth.items():
                values.append(_mean_at_the_end(curves, split))
        return {split: tuple(np.mean(v, axis=0).tolist()) for split, v in worth.items()}

    @cached_property
    def _fit(self) -> _Fit:
        return fit_process(self.table.points, _transformed(self.table.values))

    @cached_property
    def _repeats(self) -> tuple[Floats, list[Floats]]:
        """Points of the repeated configs, and how their repetitions deviate, (s, R, K) each.

        Before anything was repeated: all configs, and how their curves deviate from the process.
        """
        values = _transformed(self.table.values)
        if len(np.unique(self.table.numbers)) == len(self.table.numbers):
            mean = self._fit.mean(self.table.points).reshape(values.shape)
            return self.table.points, list((values - mean)[:, None])
        points, deviations = [], []
        for number in np.unique(self.table.numbers):
            members = np.flatnonzero(self.table.numbers == number)
            if (n := len(members)) > 1:
                points.append(self.table.points[members[0]])
                away = values[members] - values[members].mean(axis=0)
                deviations.append(away * np.sqrt(n / (n - 1)))
        return np.array(points), deviations

    def _noise(self, point: Floats, rng: np.random.Generator) -> Floats:
        near = self._near(point)
        deviations = near[int(rng.integers(len(near)))]
        noise: Floats = deviations[int(rng.integers(len(deviations)))]
        return noise

    def _near(self, point: Floats) -> list[Floats]:
        """Deviations of the repeated configs that are nearest, (s, R, K) each, nearest first."""
        points, deviations = self._repeats
        distance = (((points - point) / self._fit.length_scales) ** 2).sum(axis=1)
        return [deviations[i] for i in np.argsort(distance, kind="stable")[:N_NEIGHBOURS]]


@dataclass(frozen=True)
class _Fit:
    """A fitted process of K outputs that share one kernel.

    Attributes
    ----------
    weights : ndarray of shape (n, K)
        Of the kernel's columns, in standardised outputs.
    """

    points: Floats
    weights: Floats
    centre: Floats
    spread: Floats
    amplitude: float
    length_scales: Floats

    def mean(self, points: Floats) -> Floats:
        """Posterior mean at points (p, d), shape (p, K)."""
        gap = (points[:, None, :] - self.points[None, :, :]) / self.length_scales
        r = np.sqrt(5.0 * (gap**2).sum(axis=-1))  # (p, n)
        kernel = self.amplitude * (1.0 + r + r**2 / 3.0) * np.exp(-r)
        mean: Floats = (kernel @ self.weights) * self.spread + self.centre
        return mean


def fit_process(points: Floats, values: Floats) -> _Fit:
    """Gaussian process with a Matérn 5/2 kernel, one length scale per parameter, and white noise.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    values : ndarray of shape (n, R, K)
        Transformed curves. All outputs share the kernel, whose parameters maximise the joint
        likelihood of the searched ones, MAE and coverage on the tune split, at all rungs.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    flat = values.reshape(len(values), -1)
    centre, spread = flat.mean(axis=0), flat.std(axis=0) + 1e-12
    outputs = ((flat - centre) / spread).reshape(values.shape)
    guides = outputs[:, :, [COLUMNS.index(name) for name in GUIDES]].reshape(len(values), -1)
    scales = Matern(np.full(points.shape[1], 0.5), (0.05, 20.0), nu=2.5)
    kernel = ConstantKernel(1.0, (0.1, 100.0)) * scales + WhiteKernel(0.1, (1e-4, 1.0))
    process = GaussianProcessRegressor(kernel)
    with warnings.catch_warnings():
        # A parameter without influence ends at the longest scale allowed: so it should.
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(points, guides)
    kernel = process.kernel_
    return _Fit(
        points=points,
        weights=np.linalg.solve(kernel(points), outputs.reshape(len(values), -1)),
        centre=centre,
        spread=spread,
        amplitude=float(kernel.k1.k1.constant_value),
        length_scales=np.asarray(kernel.k1.k2.length_scale, dtype=np.float64),
    )


def surrogate_errors(table: Table, *, n_folds: int = 5, seed: int = 0) -> dict[str, Floats]:
    """Share of the variance over configs that the surrogate explains in cross-validation.

    Repetitions of a config are in the same fold. Gives R² by rung, (R,), of the transformed MAE
    and coverage of the tune split; 1 is perfect, and run-to-run noise keeps it below.
    """
    values = _transformed(table.values)
    order = np.random.default_rng(seed).permutation(np.unique(table.numbers))
    predicted = np.empty((len(values), values[0].size))
    for fold in range(n_folds):
        out = np.isin(table.numbers, order[fold::n_folds])
        predicted[out] = fit_process(table.points[~out], values[~out]).mean(table.points[out])
    missed = ((predicted.reshape(values.shape) - values) ** 2).mean(axis=0)
    explained: Floats = 1.0 - missed / values.var(axis=0)
    return {name: explained[:, COLUMNS.index(name)] for name in GUIDES}


def _is_picp() -> NDArray[np.bool_]:
    return np.array([name.endswith("picp") for name in COLUMNS])


def _transformed(values: Floats) -> Floats:
    """Logarithm of losses and seconds, logit of coverage."""
    share = np.clip(values / 100.0, 1e-3, 1.0 - 1e-3)
    logit = np.log(share / (1.0 - share))
    result: Floats = np.where(_is_picp(), logit, np.log(np.maximum(values, 1e-9)))
    return result


def _untransformed(values: Floats) -> Floats:
    percent = 100.0 / (1.0 + np.exp(-values))
    result: Floats = np.where(_is_picp(), percent, np.exp(np.minimum(values, 50.0)))
    return result


def _mean_at_the_end(curves: Sequence[Curve], split: str) -> tuple[float, ...]:
    """MAE and coverage error at the full budget, mean over curves."""
    ends = [curve.scores[split][-1] for curve in curves]
    return tuple(np.mean([(end["mae"], end["coverage_error"]) for end in ends], axis=0).tolist())


def _as_curve(values: Floats) -> Curve:
    """A curve from its rungs, (R, K)."""
    rungs = [dict(zip(COLUMNS, row.tolist(), strict=True)) for row in values]
    scores = {}
    for split in SPLITS:
        at_rungs = [{name: rung[f"{split}_{name}"] for name in SCORES} for rung in rungs]
        scores[split] = tuple(
            {**at, "coverage_error": coverage_error(at["picp"], TARGET_COVERAGE)} for at in at_rungs
        )
    seconds = np.maximum.accumulate([rung["cpu_seconds"] for rung in rungs])
    return Curve(scores, tuple(seconds.tolist()))
