"""Missing hours, repaired with what was known at the time.

A gap is judged causally: its first hours are filled, the rest is masked. Whether a gap will turn
out to be long is not known while it lasts, so a rule that fills "short gaps" whole would use the
future.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.steps import STEPS_PER_DAY, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LONGEST_FILL_HOURS = 6
SEASONS_HOURS = (168, 24)


def fill_from_past(
    values: NDArray[np.float64],
    *,
    longest_steps: int | None = None,
    steps_per_day: int = STEPS_PER_DAY,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Fill the first hours of every gap from earlier values.

    A missing value becomes the one of a week before; where that is missing too, the one of a day
    before, else the last one known. Earlier fills count as known.

    Parameters
    ----------
    values : ndarray of shape (T,)
        Target, in target units. NaN marks a missing value.
    longest_steps : int, optional
        Filled steps of a gap, at most; those after them stay NaN. Those of six hours without it.

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
    if longest_steps is None:
        longest_steps = steps_of(LONGEST_FILL_HOURS, steps_per_day)
    seasons = [steps_of(hours, steps_per_day) for hours in SEASONS_HOURS]
    filled = values.astype(np.float64, copy=True)
    for position, age in missing_hours(values):
        if age > longest_steps:
            continue
        for lag in (*seasons, 1):
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
