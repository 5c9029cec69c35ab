"""Weather forecasts by their time of issue.

A *run* is all that was issued at one time. The newest run of a time is the last one issued at or
before it: what a forecast made at that time may know. M rows, R runs, C columns, T steps of a
complete grid; where it says hours, those of another grid are its steps.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

HOUR_NS = 3_600_000_000_000
# An older run stands in for what the newest one lacks, if it is not older by more than this.
OLDER_NS = 24 * HOUR_NS


@dataclass(frozen=True)
class IssueCells:
    """Every hour that an issue at some position of a grid may look ahead to, M cells.

    All positions with the same newest run share their cells: the hours of the window issued at
    position p are the cells from `first[p]` on.

    Attributes
    ----------
    hours : ndarray of shape (M,)
        Position of the hour that a cell is for.
    runs : ndarray of shape (M,)
        Number of the newest run; -1 before the first one.
    starts : ndarray of shape (M,)
        Position from which on that run is the newest.
    first : ndarray of shape (T,)
        Cell of the first hour of the window issued at each position.
    """

    hours: NDArray[np.intp]
    runs: NDArray[np.intp]
    starts: NDArray[np.intp]
    first: NDArray[np.intp]


@dataclass(frozen=True)
class WeatherRuns:
    """Forecasts of weather, a row for each time of issue and hour.

    Attributes
    ----------
    names : tuple of str, length C
        Covariates of the series.
    issued : DatetimeIndex of length M
        Time from which on a row was known, UTC, ascending.
    valid : DatetimeIndex of length M
        Hour that a row is for, UTC; ascending within a run, each hour once.
    values : ndarray of shape (M, C)
        NaN where missing.
    step_ns : int
        Step of the series in nanoseconds, of which `valid` are multiples; an hour at most. A row
        at a full hour holds for the whole hour where its run has no other.
    """

    names: tuple[str, ...]
    issued: pd.DatetimeIndex
    valid: pd.DatetimeIndex
    values: Floats
    step_ns: int = HOUR_NS

    def before(self, stamp: pd.Timestamp) -> WeatherRuns:
        """Rows issued before `stamp` and for hours before it."""
        return self._rows((self.issued < stamp) & (self.valid < stamp))

    def issued_by(self, stamp: pd.Timestamp) -> WeatherRuns:
        """Rows issued at or before `stamp`."""
        return self._rows(slice(int(self.issued.searchsorted(stamp, side="right"))))

    @property
    def sha256(self) -> str:
        """Hash of names, stamps and values."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        digest.update(self.issued.as_unit("ns").asi8.tobytes())
        digest.update(self.valid.as_unit("ns").asi8.tobytes())
        digest.update(np.ascontiguousarray(self.values).tobytes())
        return digest.hexdigest()

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return len(self._stamps)

    def cells(self, index: pd.DatetimeIndex, horizon_steps: int) -> IssueCells:
        """Cells that windows of some hours at every position of an hourly grid look at.

        Parameters
        ----------
        index : DatetimeIndex of length T
        horizon_steps : int
            With 1 there is one cell for each hour, in order: each with the newest run of its hour.
        """
        newest = np.searchsorted(self._stamps, index.as_unit("ns").asi8, side="right") - 1
        starts = np.flatnonzero(np.diff(newest, prepend=-2))
        stops = np.append(starts[1:], len(index))
        lengths = np.minimum(stops - 1 + horizon_steps, len(index)) - starts
        begins = np.cumsum(lengths) - lengths
        of_cell = np.repeat(np.arange(len(starts)), lengths)
        of_position = np.repeat(np.arange(len(starts)), stops - starts)
        shift = starts - begins
        return IssueCells(
            hours=np.arange(len(of_cell)) + shift[of_cell],
            runs=newest[starts][of_cell],
            starts=starts[of_cell],
            first=np.arange(len(index)) - shift[of_position],
        )

    def at(self, index: pd.DatetimeIndex, cells: IssueCells, *, older: bool = True) -> Floats:
        """Values of cells, (M, C), NaN where missing.

        Parameters
        ----------
        older : bool
            Whether an older run, issued up to 24 h before, stands in where the newest one lacks a
            value.
        """
        stamps = index.as_unit("ns").asi8[cells.hours]
        values = self._found(cells.runs, stamps)
        back = 0
        pending = np.flatnonzero(np.isnan(values).any(axis=1))
        while older and pending.size:
            back += 1
            newest = cells.runs[pending]
            pending = pending[newest >= back]
            newest = cells.runs[pending]
            pending = pending[self._stamps[newest] - self._stamps[newest - back] <= OLDER_NS]
            found = self._found(cells.runs[pending] - back, stamps[pending])
            known = values[pending]
            values[pending] = np.where(np.isnan(known), found, known)
            pending = pending[np.isnan(values[pending]).any(axis=1)]
        return values

    def shortest_lead(self, index: pd.DatetimeIndex) -> Floats:
        """Value of each hour by the newest run of that hour, (T, C); NaN where missing.

        It was known when the hour began: the history that any later issue may read.
        """
        return self.at(index, self.cells(index, 1))

    def _rows(self, kept: NDArray[np.bool_] | slice) -> WeatherRuns:
        return replace(
            self, issued=self.issued[kept], valid=self.valid[kept], values=self.values[kept]
        )

    @cached_property
    def _stamps(self) -> Integers:
        """Times of issue, each once, (R,)."""
        return np.unique(self.issued.as_unit("ns").asi8)

    @cached_property
    def _keys(self) -> tuple[Integers, int, int]:
        """Ascending key of every row by run and step, with the first step and their number."""
        if not len(self.valid):
            return np.empty(0, dtype=np.int64), 0, 1
        hours = self.valid.as_unit("ns").asi8 // self.step_ns
        first = int(hours.min())
        span = int(hours.max()) - first + 1
        runs = np.searchsorted(self._stamps, self.issued.as_unit("ns").asi8)
        return runs * span + hours - first, first, span

    def _found(self, runs: NDArray[np.intp], stamps: Integers) -> Floats:
        """Values of times in runs, (K, C), each of its step, else of its hour; NaN for none."""
        values = self._lookup(runs, stamps // self.step_ns)
        if self.step_ns < HOUR_NS:
            inside = np.flatnonzero(np.isnan(values).any(axis=1) & (stamps % HOUR_NS != 0))
            of_hour = self._lookup(
                runs[inside], stamps[inside] // HOUR_NS * (HOUR_NS // self.step_ns)
            )
            values[inside] = np.where(np.isnan(values[inside]), of_hour, values[inside])
        return values

    def _lookup(self, runs: NDArray[np.intp], hours: Integers) -> Floats:
        """Values of steps (counted from 1970) in runs, (K, C); NaN where there are none."""
        keys, first, span = self._keys
        found = np.full((len(runs), len(self.names)), np.nan)
        wanted = runs * span + hours - first
        possible = (runs >= 0) & (hours >= first) & (hours < first + span)
        rows = np.searchsorted(keys, wanted)
        possible &= rows < len(keys)
        possible[possible] = keys[rows[possible]] == wanted[possible]
        found[possible] = self.values[rows[possible]]
        return found
