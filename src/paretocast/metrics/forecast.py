"""A quantile forecast with what was observed: the object that calibrators and diagnoses work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paretocast.errors import DataError
from paretocast.metrics.quantile_curve import checked_levels, quantiles_at
from paretocast.metrics.scores import central_levels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Floats = NDArray[np.float64]
Groups = Mapping[str, NDArray[np.integer]]  # group labels by name, each of shape (N, H)


@dataclass(frozen=True, init=False, eq=False)
class Forecast:
    """Quantile forecasts of N windows of H steps, in time order, with their observations.

    Parameters
    ----------
    quantiles : array_like of shape (N, H, Q)
        In target units, finite. They are sorted along the levels.
    levels : array_like of shape (Q,)
        Quantile levels, strictly ascending inside (0, 1).
    observed : array_like of shape (N, H), optional
        In target units; NaN where missing or not observed yet, which is everywhere without it.
    issues : array_like of int of shape (N,), optional
        First horizon step of each window as a count of steps, ascending. It says which windows lie
        wholly in the past when another one is issued. Without it the windows follow one another
        without a gap.
    groups : mapping of name to ndarray of int of shape (N, H), optional
        What target times have in common, such as `hour`, the local hour. Calibrators can correct
        each group by itself.
    lower_bound : float, optional
        Value that the target never falls below, target units, such as 0 for demand that only
        flows one way. Quantiles below it are raised to it, those of every derived forecast too.
    delay_steps : int
        Steps after its end until the value of a step is known.

    Raises
    ------
    DataError
        If shapes do not agree, a quantile or the lower bound is not finite, an observation is
        infinite, or levels or issues do not ascend.

    Examples
    --------
    One day of two hours, with the quantiles of three levels for each.

    >>> forecast = Forecast([[[8, 10, 13], [7, 9, 12]]], [0.1, 0.5, 0.9], [[12.0, np.nan]])
    >>> lower, upper = forecast.interval(80)
    >>> lower.tolist(), upper.tolist()
    ([[8.0, 7.0]], [[13.0, 12.0]])
    >>> forecast.median.tolist(), forecast.n_observed_windows
    ([[10.0, 9.0]], 1)
    """

    quantiles: Floats
    levels: tuple[float, ...]
    observed: Floats
    issues: NDArray[np.integer]
    groups: Groups
    lower_bound: float | None
    delay_steps: int

    def __init__(
        self,
        quantiles: ArrayLike,
        levels: ArrayLike,
        observed: ArrayLike | None = None,
        issues: ArrayLike | None = None,
        groups: Groups | None = None,
        *,
        lower_bound: float | None = None,
        delay_steps: int = 0,
    ) -> None:
        predicted = np.asarray(quantiles, dtype=np.float64)
        if observed is None:
            observed = np.full(predicted.shape[:2], np.nan)
        actual = np.asarray(observed, dtype=np.float64)
        if issues is None:
            issues = np.arange(len(actual)) * max(actual.shape[-1], 1)
        for name, value in (
            ("quantiles", predicted),
            ("levels", tuple(checked_levels(levels).tolist())),
            ("observed", actual),
            ("issues", np.asarray(issues)),
            ("groups", dict(groups or {})),
            ("lower_bound", lower_bound),
            ("delay_steps", delay_steps),
        ):
            object.__setattr__(self, name, value)
        self._check()
        if lower_bound is not None:
            predicted = np.maximum(predicted, lower_bound)
        object.__setattr__(self, "quantiles", np.sort(predicted, axis=-1))

    def _check(self) -> None:
        expected = (*self.observed.shape, len(self.levels))
        if self.observed.ndim != 2 or self.quantiles.shape != expected:
            raise DataError(
                f"forecast has shape {self.quantiles.shape}, expected (N, H, Q) = {expected} "
                "from observed and levels"
            )
        if not np.isfinite(self.quantiles).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(self.quantiles))[0])
            raise DataError(f"forecast is not finite at (window, step, level) = {where}")
        if self.lower_bound is not None and not np.isfinite(self.lower_bound):
            raise DataError(f"lower_bound is {self.lower_bound}, expected a number or None")
        if np.isinf(self.observed).any():
            raise DataError("observed holds an infinite value; mark a missing one as NaN")
        _check_issues(self.issues, self.n_windows)
        for name, members in self.groups.items():
            if members.shape != self.observed.shape:
                raise DataError(
                    f"group {name} has shape {members.shape}, expected {self.observed.shape}"
                )

    @property
    def n_windows(self) -> int:
        """Number of windows, those without an observation included."""
        return len(self.observed)

    @property
    def n_observed_windows(self) -> int:
        """Number of windows in which something was observed."""
        return int((~np.isnan(self.observed)).any(axis=1).sum())

    @property
    def median(self) -> Floats:
        """The quantile at level 0.5, of shape (N, H)."""
        return self.quantile(0.5)

    def quantile(self, level: float) -> Floats:
        """The quantile at any level inside (0, 1), of shape (N, H), read from the quantile curve.

        Levels beyond the outermost one are not read below `lower_bound` either.

        Examples
        --------
        >>> Forecast([[[10.0, 20.0]]], [0.2, 0.4]).quantile(0.3).tolist()
        [[15.0]]
        """
        return self._read([level])[..., 0]

    @property
    def known_after(self) -> int:
        """Steps from an issue until the last step of its window is known."""
        return int(self.observed.shape[1]) + self.delay_steps

    def nearest(self, level: float) -> Floats:
        """The stored quantile whose level is nearest to a level, of shape (N, H)."""
        quantile: Floats = self.quantiles[
            ..., int(np.argmin(np.abs(np.array(self.levels) - level)))
        ]
        return quantile

    def bounds(self, low: float, high: float) -> tuple[Floats, Floats]:
        """The quantiles at two levels inside (0, 1), each of shape (N, H)."""
        both = self._read([low, high])
        return both[..., 0], both[..., 1]

    def interval(self, coverage: float) -> tuple[Floats, Floats]:
        """Lower and upper bound, each (N, H), of the central interval of a coverage in percent."""
        return self.bounds(*central_levels(coverage))

    def take(self, windows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Forecast:
        """Some of the windows, in time order."""
        observed, issues = self.observed[windows], self.issues[windows]
        _check_issues(issues, len(observed))
        return self._derive(
            quantiles=self.quantiles[windows],
            observed=observed,
            issues=issues,
            groups={name: members[windows] for name, members in self.groups.items()},
        )

    def followed_by(self, later: Forecast) -> Forecast:
        """These windows and later ones of the same levels and groups."""
        return replace(
            self,
            quantiles=np.concatenate((self.quantiles, later.quantiles)),
            observed=np.concatenate((self.observed, later.observed)),
            issues=np.concatenate((self.issues, later.issues)),
            groups={
                name: np.concatenate((members, later.groups[name]))
                for name, members in self.groups.items()
            },
        )

    def with_quantiles(self, quantiles: Floats) -> Forecast:
        """The same windows and observations under other quantiles, not below `lower_bound`."""
        return replace(self, quantiles=quantiles)

    def without_observations(self) -> Forecast:
        """The same forecast as if nothing were observed yet."""
        return self._derive(observed=np.full_like(self.observed, np.nan))

    def _read(self, levels: list[float]) -> Floats:
        read = quantiles_at(self.quantiles, self.levels, levels)
        return read if self.lower_bound is None else np.maximum(read, self.lower_bound)

    def _derive(self, **changes: object) -> Forecast:
        """The same forecast with other values of fields, which need no check."""
        derived = object.__new__(Forecast)
        for name, value in {**vars(self), **changes}.items():
            object.__setattr__(derived, name, value)
        return derived


def _check_issues(issues: NDArray[np.integer], n_windows: int) -> None:
    if issues.shape != (n_windows,) or (np.diff(issues) <= 0).any():
        raise DataError(
            f"issues have shape {issues.shape}, expected one ascending hour for each of "
            f"{n_windows} windows"
        )
