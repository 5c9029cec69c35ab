"""Evidence in time stamps on their clock: its zone, and whether stamps mark starts or ends.

A wall clock leaps over an hour in spring and repeats one in autumn; a clock without changes does
neither. Where neither can be seen, nothing in the stamps tells, and the reason says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.data.clock import COMMON_ZONES, Clock, ClockSurvey, step_of
from paretocast.data.parsing import newest_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.data.stamps import Times

DAY = pd.Timedelta(days=1)
# Others share the hours at which the clock changes.
USUAL_ZONES = (
    *(*COMMON_ZONES, "America/Chicago", "America/Denver", "America/Los_Angeles"),
    *("Pacific/Auckland", "Australia/Adelaide", "America/Santiago"),
)
_OTHERS = "others change likewise, so give --zone if it is another"
_OFFSET = re.compile(r"(?:Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$")
_SAYS_UTC = re.compile(r"utc|gmt", re.IGNORECASE)
_SAYS_END = re.compile(
    r"ending|(?:^|[^a-z])(?:end|ende|bis|to|until|he)(?:$|[^a-z])", re.IGNORECASE
)


@dataclass(frozen=True)
class ClockBelief:
    """The clock that stamps tell of.

    Attributes
    ----------
    zone : str or None
        Of the calendar; None where nothing tells.
    stamp_zone : str or None
        None where stamps carry an offset.
    at_end : bool
        True if stamps mark ends of intervals.
    why_zone, why_clock, why_end : str
        The evidence.
    """

    zone: str | None
    stamp_zone: str | None
    at_end: bool
    why_zone: str
    why_clock: str
    why_end: str


def find_clock(raw: pd.Series, times: Times, *, zone: str | None) -> ClockBelief:
    """The clock of the rows of one series.

    Parameters
    ----------
    raw : Series
        Their cells, named by the column.
    zone : str, optional
        Where the demand lives, if the user says so.
    """
    column = str(raw.name)
    if times.zoned.all():
        return _zoned_clock(raw, times, zone=zone)
    if times.counted:
        why = "hours are counted from midnight up to 25, as on the clock of a zone"
        why_zone = "you say so" if zone else ""
        return ClockBelief(
            zone=zone,
            stamp_zone=zone or "UTC",
            at_end=False,
            why_zone=why_zone,
            why_clock=why,
            why_end="hour 1 begins at midnight",
        )
    walls = times.stamps.tz_localize(None)
    walls = walls[::-1] if newest_first(walls) else walls
    at_end, why_end = _end_of([walls], column, at_end=times.at_end)
    if zone is None and _SAYS_UTC.search(column):
        return ClockBelief(None, "UTC", at_end, "", f"column {column} says so", why_end)
    # The end of an hour on one clock is the start of one on the next: an end needs another hint.
    fitting = {Clock.WALL, Clock.ENDING} if at_end or zone is not None else {Clock.WALL}
    for candidate in USUAL_ZONES if zone is None else (zone,):
        survey = ClockSurvey(walls, candidate)
        if survey.clock in fitting:
            if survey.clock is Clock.ENDING:
                at_end, why_end = True, survey.describe()
            else:
                frames = [walls, _in_utc(walls, candidate)]
                at_end, why_end = _end_of(frames, column, at_end=times.at_end)
            why = f"{survey.describe()}, as on the clock of {candidate}"
            why_zone = "you say so" if zone else f"its changes of the clock; {_OTHERS}"
            return ClockBelief(candidate, candidate, at_end, why_zone, why, why_end)
    stamp_zone, why = _unchanging(walls, zone)
    return ClockBelief(zone, stamp_zone, at_end, "you say so" if zone else "", why, why_end)


def _zoned_clock(raw: pd.Series, times: Times, *, zone: str | None) -> ClockBelief:
    stamps = times.stamps[::-1] if newest_first(times.stamps) else times.stamps
    written = raw.astype("str").str.strip().str.extract(f"({_OFFSET.pattern})", expand=False)
    offsets = sorted(set(written.dropna().astype("str")))
    why = f"each stamp carries its offset: {', '.join(offsets[:3])}" if offsets else "typed as UTC"
    why_zone = "you say so"
    if zone is None:
        zone, why_zone = _zone_of_offsets(stamps, written)
    frames = [stamps.tz_convert(name).tz_localize(None) for name in (zone or "UTC", "UTC")]
    at_end, why_end = _end_of(frames, str(raw.name), at_end=times.at_end)
    return ClockBelief(zone, None, at_end, why_zone, why, why_end)


def _zone_of_offsets(stamps: pd.DatetimeIndex, written: pd.Series) -> tuple[str | None, str]:
    """A usual zone whose offsets are those of the stamps; none for stamps in UTC."""
    hours = pd.to_numeric(written.str.extract(r"^([+-]\d{2})", expand=False), errors="coerce")
    if hours.nunique() < 2:
        return None, ""
    seen = hours.to_numpy()[:: -1 if newest_first(stamps) else 1]
    for zone in USUAL_ZONES:
        own = (stamps.tz_convert(zone).tz_localize(None) - stamps.tz_localize(None)) // (DAY / 24)
        if (np.asarray(own) == seen).all():
            return zone, f"its offsets are those of the stamps; {_OTHERS}"
    return None, ""


def _unchanging(walls: pd.DatetimeIndex, zone: str | None) -> tuple[str, str]:
    """Zone of stamps that show no change of a clock."""
    if zone is None:
        return "UTC", "no hour is left out or repeated; where nothing else tells, UTC is meant"
    survey = ClockSurvey(walls, zone)
    if survey.clock is Clock.UNKNOWN:
        return (
            zone,
            f"the file shows no change of the clock of {zone}; its times are taken as local",
        )
    if survey.clock is Clock.MIXED:
        return zone, f"the rows contradict each other: {survey.describe()}"
    local = pd.Timestamp(walls[0]).tz_localize("UTC").tz_convert(zone)
    if local == local.normalize() and walls[0] != walls[0].normalize():
        return "UTC", f"the first stamp, {walls[0]:%H:%M}, is midnight in {zone} if it is UTC"
    return "UTC", (
        f"no hour is left out or repeated where the clock of {zone} changes: UTC, or winter time "
        "all year, which the stamps do not tell apart"
    )


def _in_utc(walls: pd.DatetimeIndex, zone: str) -> pd.DatetimeIndex:
    local = walls.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    return local.tz_convert("UTC").tz_localize(None)


def _end_of(clocks: Sequence[pd.DatetimeIndex], column: str, *, at_end: bool) -> tuple[bool, str]:
    """True if stamps mark ends, with the reason, by what does not depend on changes of the clock.

    Parameters
    ----------
    clocks : sequence of DatetimeIndex
        The stamps as some clocks show them: files hold whole days of one of these.
    """
    if at_end:
        return True, "hours run to 24:00"
    if _SAYS_END.search(column):
        return True, f"column {column} says so"
    step, zero = step_of(clocks[0]), pd.Timedelta(0)
    # Whole days of UTC on a clock an hour ahead look like ends of hours: the plainer reading first.
    for whole, marked in (((zero, DAY - step), False), ((step, zero), True)):
        for walls in clocks:
            first, last = (stamp - stamp.normalize() for stamp in (walls[0], walls[-1]))
            if step < DAY and (first, last) == whole:
                return marked, f"whole days run from {walls[0]:%H:%M} to {walls[-1]:%H:%M}"
    return False, "nothing in the file tells; most files mark the start"
