"""Missing hours, repaired with what was known at the time.

A gap is judged causally: its first hours are filled, the rest is masked. Whether a gap will turn
out to be long is not known while it lasts, so a rule that fills "short gaps" whole would use the
future.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

LONGEST_FILL_STEPS = 6
SEASONS_STEPS = (168, 24)
LONGEST_DELAY_HOURS = 168  # beyond it what a week before shows would be missing too


def fill_from_past(
    values: NDArray[np.float64], *, longest_steps: int = LONGEST_FILL_STEPS
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Fill the first hours of every gap from earlier values.

    A missing value becomes the one of a week before; where that is missing too, the one of a day
    before, else the last one known. Earlier fills count as known.

    Parameters
    ----------
    values : ndarray of shape (T,)
        Target, in target units. NaN marks a missing value.
    longest_steps : int
        Filled hours of a gap, at most; those after them stay NaN.

    Returns
    -------
    filled : ndarray of shape (T,)
        `values` with fills; NaN where nothing was filled.
    usable : ndarray of bool, shape (T,)
        True where `filled` holds a number.

    Examples
    --------
    >>> fill_from_past(np.array([1.0, np.nan, np.nan, 4.0]), longest_steps=1)[0]
    array([ 1.,  1., nan,  4.])
    """
    filled = values.astype(np.float64, copy=True)
    for position, age in missing_hours(values):
        if age > longest_steps:
            continue
        for lag in (*SEASONS_STEPS, 1):
            if position >= lag and not np.isnan(filled[position - lag]):
                filled[position] = filled[position - lag]
                break
    return filled, ~np.isnan(filled)


def missing_hours(values: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Yield position and age of every missing value in order; a gap's first hour is of age 1.

    >>> list(missing_hours(np.array([np.nan, 1.0, np.nan, np.nan])))
    [(0, 1), (2, 1), (3, 2)]
    """
    age, previous = 0, -2
    for position in np.flatnonzero(np.isnan(values)).tolist():
        age = age + 1 if position == previous + 1 else 1
        previous = position
        yield position, age


@dataclass(frozen=True)
class SeenTarget:
    """A target with its gaps filled, as it is seen from the issues of a series.

    Of a source that publishes late, the last hours before an issue are not there yet: for that
    issue they are a gap like any other, filled as `fill_from_past` would fill it.

    Attributes
    ----------
    filled : ndarray of shape (T,)
        With the gaps of the series filled; NaN where they are not.
    ages : ndarray of shape (T,)
        Hours for which the target has been missing, that one included; 0 where it was observed.
    delay_hours : int
        Hours before an issue that are not there yet.
    longest_steps : int
        Filled hours of a gap, at most.
    """

    filled: NDArray[np.float64]
    ages: NDArray[np.intp]
    delay_hours: int
    longest_steps: int

    @classmethod
    def of(
        cls,
        values: NDArray[np.float64],
        *,
        delay_hours: int = 0,
        longest_steps: int | None = None,
    ) -> SeenTarget:
        """The target (T,), NaN where missing; gaps are filled whole without `longest_steps`."""
        longest = len(values) + delay_hours if longest_steps is None else longest_steps
        filled, _ = fill_from_past(values, longest_steps=longest)
        ages = np.zeros(len(values), dtype=np.intp)
        for position, age in missing_hours(values):
            ages[position] = age
        return cls(filled, ages, delay_hours, longest)

    def scaled(self, scale: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> SeenTarget:
        """The same in other units."""
        return replace(self, filled=scale(self.filled))

    def at(self, positions: NDArray[np.intp], hours: NDArray[np.intp]) -> NDArray[np.float64]:
        """Values of hours (N, K) as seen from issue positions (N,); those after it as they are."""
        values: NDArray[np.float64] = self.filled[hours]
        if not self.delay_hours:
            return values
        into = hours - (positions[:, None] - self.delay_hours)
        late = (into >= 0) & (into < self.delay_hours)
        last = np.clip(into, 0, self.delay_hours - 1)
        return np.where(late, np.take_along_axis(self.last_hours(positions), last, axis=1), values)

    def last_hours(self, positions: NDArray[np.intp]) -> NDArray[np.float64]:
        """The hours before issue positions that are not there yet, filled, (N, delay_hours)."""
        first = positions - self.delay_hours
        missing_before = np.where(first > 0, self.ages[np.maximum(first - 1, 0)], 0)
        last = np.full((len(positions), self.delay_hours), np.nan)
        for i in range(self.delay_hours):
            value = np.full(len(positions), np.nan)
            for lag in (1, *reversed(SEASONS_STEPS)):  # the best one last
                back = first + i - lag
                source = last[:, i - lag] if i >= lag else self.filled[np.maximum(back, 0)]
                value = np.where((back >= 0) & ~np.isnan(source), source, value)
            fillable = (missing_before + i < self.longest_steps) & (first + i >= 0)
            last[:, i] = np.where(fillable, value, np.nan)
        return last
