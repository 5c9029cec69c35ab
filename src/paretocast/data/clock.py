"""The clock of time stamps: what a file's rows say at the hours where clocks change.

A *wall time* is a stamp without its zone. In spring the clock of a zone *skips* some wall times, in
autumn it *repeats* some. What stands in the rows there tells whether stamps follow the clock, mark
the start or the end of their interval, or keep one offset all year. Nothing here depends on the
step of a series but through the step that its own stamps have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.data.checks import Finding
from paretocast.formatting import count

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

# Where a data set does not say where its demand lives, stamps are held against one zone for each
# rule of summer time that is in wide use.
COMMON_ZONES = (
    *("Europe/Berlin", "Europe/London", "Europe/Athens"),
    *("America/New_York", "Australia/Sydney"),
)
# Offsets of all zones change at multiples of it.
_SCAN = pd.Timedelta(minutes=30)
_SHOWN = "%Y-%m-%d %H:%M"
_FEWEST_PROOFS = 2  # changes of the clock that outweigh other gaps
_MOST_OTHER_GAPS = 0.05  # share of the rows


class Trace(StrEnum):
    """Look of the rows around one change of the clock."""

    SKIPPED = "skipped"  # the wall times that the clock skips are absent
    FILLED = "filled"  # they stand in the file
    REPEATED = "repeated"  # the wall times that the clock repeats stand twice
    ONCE = "once"  # they stand once
    ENDING = "ending"  # as SKIPPED or REPEATED, for stamps at the end of their interval
    UNKNOWN = "unknown"  # rows are missing around the change


class Clock(StrEnum):
    """The clock that stamps follow."""

    WALL = "wall"  # the zone's, stamps at the start of the interval
    ENDING = "ending"  # the zone's, stamps at the end of the interval
    FIXED = "fixed"  # no change is seen where the zone has some
    MIXED = "mixed"  # the changes contradict each other
    UNKNOWN = "unknown"  # the stamps reach over no change


@dataclass(frozen=True)
class ClockChange:
    """One change of a zone's clock.

    Attributes
    ----------
    start : Timestamp
        First wall time that is skipped (`forward`) or repeated.
    length : Timedelta
        Wall times from `start` on that are.
    """

    start: pd.Timestamp
    length: pd.Timedelta
    forward: bool


def clock_changes(first: pd.Timestamp, last: pd.Timestamp, zone: str) -> tuple[ClockChange, ...]:
    """Changes of a zone's clock between two wall times, in their order.

    >>> change = clock_changes(pd.Timestamp("2021-01-01"), pd.Timestamp("2021-06-01"), "CET")[0]
    >>> str(change.start), str(change.length), change.forward
    ('2021-03-28 02:00:00', '0 days 01:00:00', True)
    """
    day = pd.Timedelta(days=1)
    days = pd.date_range(first.floor("h") - day, last + 2 * day, freq=day, tz="UTC")
    changes = []
    for begun in days[:-1][np.diff(_offsets(days, zone)) != 0]:
        utc = pd.date_range(begun, begun + day, freq=_SCAN)
        offsets = _offsets(utc, zone)
        for i in (np.flatnonzero(np.diff(offsets)) + 1).tolist():
            before, after = (pd.Timedelta(int(offsets[k]), unit="ns") for k in (i - 1, i))
            wall = utc[i].tz_localize(None) + before
            forward = bool(after > before)
            change = ClockChange(
                wall if forward else wall + (after - before), abs(after - before), forward
            )
            if first <= change.start <= last:
                changes.append(change)
    return tuple(changes)


def _offsets(utc: pd.DatetimeIndex, zone: str) -> NDArray[np.int64]:
    """Nanoseconds by which a zone's clock is ahead of UTC."""
    ns = utc.as_unit("ns")
    offsets: NDArray[np.int64] = ns.tz_convert(zone).tz_localize(None).asi8 - ns.asi8
    return offsets


@dataclass(frozen=True)
class ClockSurvey:
    """The rows of a file at every change of a zone's clock.

    Attributes
    ----------
    walls : DatetimeIndex of length T
        Wall times, row by row, in any order.
    values : ndarray of shape (T,), optional
        Of the target; NaN where missing. They tell filler rows from measured ones.
    """

    walls: pd.DatetimeIndex
    zone: str
    values: NDArray[np.float64] | None = None
    step: pd.Timedelta = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "step", step_of(self.walls))

    @cached_property
    def traces(self) -> tuple[tuple[ClockChange, Trace], ...]:
        """Every change with what the rows around it look like."""
        if not len(self.walls) or self.step <= pd.Timedelta(0):
            return ()
        changes = clock_changes(self.walls.min(), self.walls.max(), self.zone)
        return tuple((change, self._trace(change)) for change in changes)

    @cached_property
    def clock(self) -> Clock:
        """The clock that the stamps follow, by all changes together."""
        seen = {trace for _, trace in self.traces} - {Trace.UNKNOWN}
        if not seen:
            return Clock.UNKNOWN
        starts = seen & {Trace.SKIPPED, Trace.REPEATED}
        if Trace.ENDING in seen:
            return Clock.MIXED if starts else Clock.ENDING
        return Clock.WALL if starts or self._only_fillers else Clock.FIXED

    @property
    def follows_summer_time(self) -> bool:
        """True if the rows show that the clock of the zone was followed."""
        return self.clock in (Clock.WALL, Clock.ENDING)

    def at(self, trace: Trace) -> tuple[ClockChange, ...]:
        """The changes with a trace."""
        return tuple(change for change, own in self.traces if own is trace)

    def rows_in(self, changes: Iterable[ClockChange]) -> Mask:
        """Rows whose wall times some changes skip or repeat, (T,)."""
        inside = np.zeros(len(self.walls), dtype=bool)
        for change in changes:
            inside |= self._between(change.start, change.start + change.length)
        return inside

    def describe(self) -> str:
        """The rows that prove the clock: one change in spring and one in autumn."""
        told: dict[bool, str] = {}
        for change, trace in self.traces:
            if trace is not Trace.UNKNOWN:
                told.setdefault(change.forward, self._describe(change, trace))
        return "; ".join(told.values())

    def _describe(self, change: ClockChange, trace: Trace) -> str:
        next_wall = pd.Timestamp(self._sorted_walls[self._first(change.start)])
        start = change.start + (next_wall - change.start) % self.step  # stamps may stand at :30
        shown = f"{start:{_SHOWN}}"
        if trace is Trace.SKIPPED:
            row = self._row(start + change.length)
            return f"{shown} is missing before {start + change.length:%H:%M} in row {row}"
        if trace is Trace.REPEATED:
            return f"{shown} appears twice, in rows {self._rows(start)}"
        if trace is Trace.ENDING and change.forward:
            absent = start + self.step if self.step < change.length else start + change.length
            return (
                f"{shown}, which the clock skips, stands in row {self._row(start)} and "
                f"{absent:%H:%M} is not there"
            )
        if trace is Trace.ENDING:
            end = start + self.step
            return f"{end:{_SHOWN}} appears twice, in rows {self._rows(end)}, {start:%H:%M} once"
        what = f"which the clock of {self.zone} {'skips' if change.forward else 'repeats'}"
        return f"{shown}, {what}, stands once, in row {self._row(start)}"

    def _row(self, wall: pd.Timestamp) -> int:
        return int(np.flatnonzero(np.asarray(self.walls == wall))[0]) + 1

    def _rows(self, wall: pd.Timestamp) -> str:
        rows = np.flatnonzero(np.asarray(self.walls == wall)) + 1
        return " and ".join(map(str, rows.tolist()))

    @cached_property
    def _only_fillers(self) -> bool:
        """True if every skipped wall time in the file has a value that nobody measured."""
        if self.values is None or np.isnan(self.values).all() or not self.at(Trace.FILLED):
            return False
        order = np.argsort(self.walls.asi8, kind="stable")
        values = self.values[order]
        places = np.flatnonzero(self.rows_in(self.at(Trace.FILLED))[order])
        own = values[places]
        before = values[np.maximum(places - 1, 0)]
        after = values[np.minimum(places + 1, len(values) - 1)]
        copied = (
            (own == before) | (own == after) | np.isclose(own, (before + after) / 2.0, rtol=1e-9)
        )
        return bool((np.isnan(own) | (own == 0.0) | copied).all())

    def _trace(self, change: ClockChange) -> Trace:
        n_steps = change.length / self.step
        if n_steps < 1 or n_steps != int(n_steps):
            return Trace.UNKNOWN
        at_start, at_end = (self._counts(change, shift) for shift in (0 * self.step, self.step))
        followed = (1, 0 if change.forward else 2, 1)
        if at_start == followed:
            return Trace.SKIPPED if change.forward else Trace.REPEATED
        if at_end == followed:
            return Trace.ENDING
        if at_start == (1, 1, 1):
            return Trace.FILLED if change.forward else Trace.ONCE
        return Trace.UNKNOWN

    def _counts(self, change: ClockChange, shift: pd.Timedelta) -> tuple[int, int, int]:
        """Rows of every wall time before, in and after a change; -1 where they are not alike."""
        start = change.start + shift
        before, inside, after = (
            self._alike(start + k * change.length, start + (k + 1) * change.length)
            for k in (-1, 0, 1)
        )
        return before, inside, after

    def _alike(self, start: pd.Timestamp, stop: pd.Timestamp) -> int:
        first, last = self._first(start), self._first(stop)
        if first == last:
            return 0
        numbers = np.unique(self._sorted_walls[first:last], return_counts=True)[1]
        expected = round((stop - start) / self.step)
        return int(numbers[0]) if len(numbers) == expected and (numbers == numbers[0]).all() else -1

    def _first(self, wall: pd.Timestamp) -> int:
        """Position of the first of the sorted wall times that is not before another one."""
        same_unit = wall.as_unit(self.walls.unit).to_datetime64()  # numpy converts all others
        return int(self._sorted_walls.searchsorted(same_unit))

    @cached_property
    def _sorted_walls(self) -> NDArray[np.datetime64]:
        return np.sort(self.walls.to_numpy())

    def _between(self, start: pd.Timestamp, stop: pd.Timestamp) -> Mask:
        return np.asarray((self.walls >= start) & (self.walls < stop))


def step_of(stamps: pd.DatetimeIndex) -> pd.Timedelta:
    """Median step between two different stamps; 0 of fewer than two."""
    different = stamps.unique().sort_values()
    if len(different) < 2:
        return pd.Timedelta(0)
    return pd.Timedelta(int(np.median(np.diff(different.asi8))), unit=different.unit)


def localise(
    walls: pd.DatetimeIndex,
    zone: str,
    values: NDArray[np.float64] | None = None,
    *,
    at_end: bool = False,
) -> tuple[pd.DatetimeIndex | None, list[Finding]]:
    """UTC starts of the intervals that wall times mark, row by row.

    Of a repeated time the first row is summer time. A row gets NaT where it stands for no interval
    (a filler row for a time that the clock skipped) or for one of two that cannot be told apart (a
    repeated time that stands once); a warning says so, and only where other rows prove that the
    stamps follow the clock.

    Parameters
    ----------
    values : ndarray of shape (T,), optional
        Of the target.
    at_end : bool
        The wall times mark the end of their interval instead of its start: either as the clock
        shows it then, or a step after what the clock showed at the start. The changes of the clock
        tell which.

    Returns
    -------
    DatetimeIndex of length T, or None
        None with an error among the findings.
    """
    survey = ClockSurvey(walls, zone, values)
    if at_end:
        if survey.clock is Clock.WALL:
            ends, told = localise(walls, zone, values)
            return None if ends is None else ends - survey.step, told
        return localise(walls - survey.step, zone, values)
    skipped, repeated = _masks(walls, zone)
    left_out = np.zeros(len(walls), dtype=bool)
    findings: list[Finding] = []
    if survey.clock is Clock.WALL:
        for trace, words in (
            (Trace.FILLED, "never were, because the clock skips them in spring"),
            (Trace.ONCE, "stand once where the clock repeats them in autumn"),
        ):
            rows = survey.rows_in(survey.at(trace))
            if rows.any():
                left_out |= rows
                findings.append(_left_out(survey, rows, trace, words))
    sizes = pd.Series(walls).groupby(walls)
    lonely = repeated & (sizes.transform("size").to_numpy() != 2) & ~left_out
    if (skipped & ~left_out).any() or lonely.any() or survey.clock is Clock.ENDING:
        return None, [_other_clock(survey, skipped & ~left_out, lonely)]
    descending = len(walls) > 1 and bool(np.median(np.diff(walls.asi8)) < 0)
    place = sizes.cumcount(ascending=not descending).to_numpy()
    is_summer: Mask = place == 0
    stamps = walls.tz_localize(zone, ambiguous=is_summer, nonexistent="NaT")
    utc = pd.DatetimeIndex(stamps.where(~left_out)).tz_convert("UTC")
    return utc.as_unit("ns"), findings


def refuse_naive(
    raw: pd.Series, walls: pd.DatetimeIndex, zone: str, values: NDArray[np.float64] | None = None
) -> Finding:
    """The error on stamps without a zone, with the zone that the rows themselves speak for."""
    survey = _telling_survey(walls, zone, values)
    carry = f"the times carry no zone, as {raw.iloc[0]} in row 1"
    if survey.clock is Clock.ENDING:
        return Finding(
            "error",
            "daylight_saving",
            f"{carry}, and look like local time of {survey.zone} at the end of each interval: "
            f"{survey.describe()}",
            f'set stamp_zone = "{survey.zone}" and stamps = "end"',
        )
    if survey.clock is Clock.WALL:
        return Finding(
            "error",
            "daylight_saving",
            f"{carry}, and look like local time of {survey.zone}: {survey.describe()}",
            f'set stamp_zone = "{survey.zone}", or write UTC stamps with a Z at the end',
        )
    if survey.clock is Clock.FIXED:
        return Finding(
            "error",
            "naive_times",
            f"{carry}, and do not follow the clock of {survey.zone}: {survey.describe()}",
            _fixed_zones(survey),
        )
    return Finding(
        "error",
        "naive_times",
        carry,
        'write UTC stamps with a Z at the end, or offsets, or set stamp_zone = "UTC" if that is '
        "their zone",
    )


def is_even(index: pd.DatetimeIndex) -> bool:
    """True if all stamps are one step apart, rising; of a single stamp or none, too.

    >>> is_even(pd.date_range("2021-03-28", periods=4, freq="h", tz="UTC"))
    True
    """
    steps = np.diff(index.asi8)
    return not steps.size or (steps[0] > 0 and bool((steps == steps[0]).all()))


def check_clock(
    index: pd.DatetimeIndex,
    *,
    zone: str,
    stamp_zone: str | None,
    observed: Mask | None = None,
) -> list[Finding]:
    """Findings on UTC stamps that look like wall times read with one offset all year.

    Parameters
    ----------
    index : DatetimeIndex of length T
        UTC stamps of rows.
    zone : str
        Where the demand lives.
    stamp_zone : str or None
        Zone that the stamps were declared to be in.
    observed : ndarray of shape (T,), optional
        Rows with a value of the target; all without it.
    """
    there = index if observed is None else index[observed]
    there = there[there.notna()]
    if is_even(there):  # neither a gap nor a repetition, so no trace of any clock
        return []
    walls = there.tz_convert(stamp_zone or "UTC").tz_localize(None)
    if stamp_zone is not None and clock_changes(walls.min(), walls.max(), stamp_zone):
        return []
    survey = _telling_survey(walls, zone)
    labelled = "labelled as UTC" if stamp_zone is None else f"read as {stamp_zone}"
    ends = ' and stamps = "end"' if survey.clock is Clock.ENDING else ""
    if stamp_zone is None:
        advice = f'write them without a zone and set stamp_zone = "{survey.zone}"{ends}'
    else:
        advice = f'set stamp_zone = "{survey.zone}"{ends}'
    if survey.at(Trace.REPEATED) or (ends and walls.has_duplicates):
        return [
            Finding(
                "error",
                "daylight_saving",
                f"the times look like local time of {survey.zone} {labelled}: {survey.describe()}",
                advice,
            )
        ]
    gaps = [*survey.at(Trace.SKIPPED), *survey.at(Trace.ENDING)]
    if not survey.follows_summer_time or survey.at(Trace.FILLED) or not gaps:
        return []
    per_change = sum(round(change.length / survey.step) for change in gaps)
    n_absent = round((walls.max() - walls.min()) / survey.step) + 1 - walls.nunique()
    others = n_absent - per_change
    proved = len(gaps) >= _FEWEST_PROOFS and others / len(walls) < _MOST_OTHER_GAPS
    if others > 0 and not proved:
        return []
    which = "all gaps lie" if others <= 0 else f"{count(len(gaps), 'gap')} lie"
    return [
        Finding(
            "warning",
            "clock_gaps",
            f"{which} where the clock of {survey.zone} changes, as in local time {labelled}: "
            f"{survey.describe()}",
            f"if so, every stamp of half the year is wrong by an hour: {advice}",
        )
    ]


def _telling_survey(
    walls: pd.DatetimeIndex, zone: str, values: NDArray[np.float64] | None = None
) -> ClockSurvey:
    """The survey in a zone, or in a common one where that has no summer time and another fits."""
    survey = ClockSurvey(walls, zone, values)
    if survey.traces or not len(walls):
        return survey
    for other in COMMON_ZONES:
        candidate = ClockSurvey(walls, other, values)
        told = [t for _, t in candidate.traces if t is not Trace.UNKNOWN]
        plain = {Trace.FILLED, Trace.ONCE}
        if candidate.follows_summer_time and sum(t not in plain for t in told) >= _FEWEST_PROOFS:
            return candidate
    return survey


def _masks(walls: pd.DatetimeIndex, zone: str) -> tuple[Mask, Mask]:
    """Masks of wall times that a zone's clock skips, and of those that it repeats, both (T,)."""
    either = np.asarray(walls.tz_localize(zone, ambiguous="NaT", nonexistent="NaT").isna())
    summer = np.ones(len(walls), dtype=bool)
    skipped = np.asarray(walls.tz_localize(zone, ambiguous=summer, nonexistent="NaT").isna())
    return skipped, either & ~skipped


def _left_out(survey: ClockSurvey, rows: Mask, trace: Trace, words: str) -> Finding:
    first = int(np.flatnonzero(rows)[0])
    lost = (
        "they are left out"
        if trace is Trace.FILLED
        else "which of the two it was cannot be known, so both count as missing"
    )
    return Finding(
        "warning",
        "clock_rows",
        f"{count(int(rows.sum()), 'local time')} {words} ({survey.zone}), the first is "
        f"{survey.walls[first]:{_SHOWN}} in row {first + 1}; {lost}",
    )


def _other_clock(survey: ClockSurvey, skipped: Mask, lonely: Mask) -> Finding:
    """The error on wall times that a declared zone cannot have."""
    zone, walls = survey.zone, survey.walls
    if survey.clock is Clock.ENDING:
        return Finding(
            "error",
            "hour_ending",
            f"the times mark the end of their interval: {survey.describe()}",
            'set stamps = "end"',
        )
    bad = skipped if skipped.any() else lonely
    problem = (
        f"do not exist in {zone} because the clock leaps over them in spring"
        if skipped.any()
        else f"happen twice in {zone} when the clock goes back in autumn but do not stand in two "
        "rows"
    )
    first = int(np.flatnonzero(bad)[0])
    if survey.clock is Clock.FIXED:
        advice = f"if they do not follow summer time, {_fixed_zones(survey)}"
        if not (survey.at(Trace.FILLED) and survey.at(Trace.ONCE)):
            advice += "; else write UTC stamps with a Z at the end"
    else:
        advice = "write UTC stamps with a Z at the end, or leave these rows out"
    return Finding(
        "error",
        "daylight_saving",
        f"{int(bad.sum())} local times {problem}, the first is {walls[first]:{_SHOWN}} in row "
        f"{first + 1}",
        advice,
    )


def _fixed_zones(survey: ClockSurvey) -> str:
    """Settings for a clock that keeps one offset all year."""
    standard = standard_time(survey.walls[0], survey.zone)
    if not standard:
        return 'set stamp_zone = "UTC" if they are UTC'
    winter = f'"{standard}" if they are in winter time all year'
    return f'set stamp_zone = {winter}, "UTC" if they are UTC'


def standard_time(wall: pd.Timestamp, zone: str) -> str:
    """Name of the zone that keeps winter time all year; empty where it is off by minutes.

    >>> standard_time(pd.Timestamp("2021-06-01"), "Europe/Berlin")
    'Etc/GMT-1'
    """
    seasons = (pd.Timestamp(wall.year, month, 1, tz=zone).utcoffset() for month in (1, 7))
    hours = min(season.total_seconds() for season in seasons if season is not None) / 3600.0
    # Etc/GMT-1 is one hour ahead of UTC.
    return f"Etc/GMT{-int(hours):+d}" if hours == int(hours) else ""
