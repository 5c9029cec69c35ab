"""Steps that a series may have: their names, and lengths of time in them.

Lengths are counted in steps inside and told in hours: a step is as many as fit a day of 24 hours.
"""

from __future__ import annotations

HOURS_PER_DAY = 24
STEPS_PER_DAY = 24  # of an hourly series
# What `frequency` of a data set may be, with its steps a day.
FREQUENCIES = {"5min": 288, "10min": 144, "15min": 96, "30min": 48, "1h": STEPS_PER_DAY, "1d": 1}


def frequency_of(steps_per_day: int) -> str:
    """Return the name of a step, such as "15min".

    >>> frequency_of(96)
    '15min'
    """
    return next(name for name, steps in FREQUENCIES.items() if steps == steps_per_day)


def steps_of(hours: float, steps_per_day: int) -> int:
    """Return the number of steps in some hours, at least one.

    >>> steps_of(6, 96), steps_of(6, 1)
    (24, 1)
    """
    return max(1, round(hours * steps_per_day / HOURS_PER_DAY))


def steps_within(hours: int, steps_per_day: int) -> int:
    """Return the number of steps that some hours reach into, 0 for none.

    >>> steps_within(6, 96), steps_within(6, 1), steps_within(0, 24)
    (24, 1, 0)
    """
    return -(-hours * steps_per_day // HOURS_PER_DAY)


def steps_per_hour(steps_per_day: int) -> int:
    """Return the number of steps in an hour, 1 where a step is an hour or longer."""
    return steps_of(1, steps_per_day)


def hours_in(n_steps: int, steps_per_day: int) -> int | float:
    """Return the hours in some steps, whole ones as a whole number.

    >>> hours_in(6, 24), hours_in(6, 96), hours_in(3, 1)
    (6, 1.5, 72)
    """
    hours = n_steps * HOURS_PER_DAY / steps_per_day
    return int(hours) if hours == int(hours) else hours


def noun(steps_per_day: int) -> str:
    """Return the word for a step of a series.

    >>> noun(24), noun(96), noun(1)
    ('hour', 'step', 'day')
    """
    return {STEPS_PER_DAY: "hour", 1: "day"}.get(steps_per_day, "step")
