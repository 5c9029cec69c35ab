"""Forecasts with what came of them: what every calibrator is fitted on and judged by."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import DataError
from paretocast.metrics.quantile_curve import checked_levels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Groups = Mapping[str, NDArray[np.integer]]

LEAD = "lead"  # the group that needs no clock: the step ahead


@dataclass(frozen=True)
class Sample:
    """Windows in time order with their forecasts and observations.

    Attributes
    ----------
    observed : ndarray of shape (N, H)
        In target units; NaN where missing.
    forecast : ndarray of shape (N, H, Q)
        In target units, finite. Crossing quantiles are sorted.
    levels : tuple of float
        Strictly ascending.
    issues : ndarray of int of shape (N,)
        First horizon hour of each window as a count of hours, ascending. It says which windows lie
        wholly in the past when another one is issued.
    groups : mapping of name to ndarray of int of shape (N, H)
        What the target times have in common, such as the local hour.
    """

    observed: Floats
    forecast: Floats
    levels: tuple[float, ...]
    issues: NDArray[np.integer]
    groups: Groups = field(default_factory=dict)

    def __post_init__(self) -> None:
        tau = checked_levels(self.levels)
        expected = (*self.observed.shape, tau.size)
        if self.observed.ndim != 2 or self.forecast.shape != expected:
            raise DataError(
                f"forecast has shape {self.forecast.shape}, expected (N, H, Q) = {expected} "
                "from observed and levels"
            )
        if not np.isfinite(self.forecast).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(self.forecast))[0])
            raise DataError(f"forecast is not finite at (window, step, level) = {where}")
        if np.isinf(self.observed).any():
            raise DataError("observed holds an infinite value; mark a missing one as NaN")
        if self.issues.shape != (self.n_windows,) or (np.diff(self.issues) <= 0).any():
            raise DataError(
                f"issues have shape {self.issues.shape}, expected one ascending hour for each of "
                f"{self.n_windows} windows"
            )
        for name, members in self.groups.items():
            if members.shape != self.observed.shape:
                raise DataError(
                    f"group {name} has shape {members.shape}, expected {self.observed.shape}"
                )
        object.__setattr__(self, "forecast", np.sort(self.forecast, axis=-1))

    @property
    def n_windows(self) -> int:
        """Windows, those without an observation included."""
        return len(self.observed)

    @property
    def n_observed_windows(self) -> int:
        """Windows in which something was observed."""
        return int((~np.isnan(self.observed)).any(axis=1).sum())

    def take(self, windows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Sample:
        """Some of the windows, in time order."""
        return replace(
            self,
            observed=self.observed[windows],
            forecast=self.forecast[windows],
            issues=self.issues[windows],
            groups={name: members[windows] for name, members in self.groups.items()},
        )

    def followed_by(self, later: Sample) -> Sample:
        """These windows and later ones of the same levels and groups."""
        return replace(
            self,
            observed=np.concatenate((self.observed, later.observed)),
            forecast=np.concatenate((self.forecast, later.forecast)),
            issues=np.concatenate((self.issues, later.issues)),
            groups={
                name: np.concatenate((members, later.groups[name]))
                for name, members in self.groups.items()
            },
        )

    def with_forecast(self, forecast: Floats) -> Sample:
        """The same windows under another forecast."""
        return replace(self, forecast=forecast)


def group_members(
    names: tuple[str, ...], groups: Groups, shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Labels of the groups of every point, of shape (N, H, len(names)); `lead` needs none given.

    Raises
    ------
    DataError
        If a group is not given.
    """
    columns = []
    for name in names:
        if name not in groups and name != LEAD:
            raise DataError(
                f"group {name!r} is needed and not given, only {sorted({LEAD, *groups})}"
            )
        steps = np.arange(shape[1])
        columns.append(np.broadcast_to(steps if name == LEAD else groups[name], shape))
    return np.stack(columns, axis=-1).astype(np.int64)
