"""Evidence in time stamps on their clock: its zone, and whether stamps mark starts or ends.

A wall clock leaps over an hour in spring and repeats one in autumn; a clock without changes does
neither. Where neither can be seen, nothing in the stamps tells, and the reason says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from paretocast.data.parsing import clock_changes, newest_first
from paretocast.data.stamps import Times, step_of

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = pd.Timedelta(days=1)
# One for each rule of changes of the clock; others share their hours.
USUAL_ZONES = (
    *("Europe/Berlin", "Europe/London", "Europe/Helsinki", "America/New_York"),
    *("America/Chicago", "America/Denver", "America/Los_Angeles", "America/Sao_Paulo"),
    *("Australia/Sydney", "Australia/Adelaide", "Pacific/Auckland", "America/Santiago"),
)
_OFFSET = re.compile(r"(?:Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$")
_SAYS_UTC = re.compile(r"utc|gmt", re.IGNORECASE)
_SAYS_END = re.compile(
    r"ending|(?:^|[^a-z])(?:end|ende|bis|to|until|he)(?:$|[^a-z])", re.IGNORECASE
)

Fit = Literal["changes", "fixed", "unseen", "other"]


@dataclass(frozen=True)
class Clock:
    """What stamps tell of their clock.

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


def find_clock(raw: pd.Series, times: Times, *, zone: str | None) -> Clock:
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
    walls = times.stamps.tz_localize(None)
    walls = walls[::-1] if newest_first(walls) else walls
    at_end, why_end = _end_of(walls, column, at_end=times.at_end)
    if zone is None and _SAYS_UTC.search(column):
        return Clock(None, "UTC", at_end, "", f"column {column} says so", why_end)
    zones = USUAL_ZONES if zone is None else (zone,)
    for shift in (pd.Timedelta(0), step_of(walls)):
        for candidate in zones:
            if fit_of(walls - shift, candidate) == "changes":
                why = f"{_shown(walls, walls - shift, candidate)}, as the clock of {candidate} does"
                if shift:
                    at_end, why_end = True, f"its changes of the clock come {_words(shift)} late"
                why_zone = "you say so" if zone else f"{why}; other zones change likewise: --zone"
                return Clock(candidate, candidate, at_end, why_zone, why, why_end)
    stamp_zone, why = _unchanging(walls, zone)
    return Clock(zone, stamp_zone, at_end, "you say so" if zone else "", why, why_end)


def _zoned_clock(raw: pd.Series, times: Times, *, zone: str | None) -> Clock:
    stamps = times.stamps[::-1] if newest_first(times.stamps) else times.stamps
    written = raw.astype("str").str.strip().str.extract(f"({_OFFSET.pattern})", expand=False)
    offsets = sorted(set(written.dropna().astype("str")))
    why = f"each stamp carries its offset: {', '.join(offsets[:3])}" if offsets else "typed as UTC"
    why_zone = "you say so"
    if zone is None:
        zone, why_zone = _zone_of_offsets(stamps, written)
    local = stamps.tz_convert(zone or "UTC").tz_localize(None)
    at_end, why_end = _end_of(local, str(raw.name), at_end=times.at_end)
    return Clock(zone, None, at_end, why_zone, why, why_end)


def _zone_of_offsets(stamps: pd.DatetimeIndex, written: pd.Series) -> tuple[str | None, str]:
    """A usual zone whose offsets are those of the stamps; none for stamps in UTC."""
    hours = pd.to_numeric(written.str.extract(r"^([+-]\d{2})", expand=False), errors="coerce")
    if hours.nunique() < 2:
        return None, ""
    seen = hours.to_numpy()[:: -1 if newest_first(stamps) else 1]
    for zone in USUAL_ZONES:
        own = (stamps.tz_convert(zone).tz_localize(None) - stamps.tz_localize(None)) // (DAY / 24)
        if (np.asarray(own) == seen).all():
            return zone, f"its offsets are those of the stamps; other zones have them too: --zone"
    return None, ""


def _unchanging(walls: pd.DatetimeIndex, zone: str | None) -> tuple[str, str]:
    """Zone of stamps that show no change of a clock."""
    if zone is None:
        return "UTC", "no hour is left out or repeated; where nothing else tells, UTC is meant"
    fit = fit_of(walls, zone)
    if fit == "unseen":
        return zone, f"the file shows no change of the clock of {zone}, so its times are local"
    if fit == "other":
        return zone, (
            f"neither the changes of the clock of {zone} nor a clock without any; the check says "
            "where"
        )
    local = pd.Timestamp(walls[0]).tz_localize("UTC").tz_convert(zone)
    if local == local.normalize() and walls[0] != walls[0].normalize():
        return "UTC", f"the first stamp, {walls[0]:%H:%M}, is midnight in {zone} if it is UTC"
    return "UTC", (
        f"no hour is left out or repeated where the clock of {zone} changes: UTC, or winter time "
        "all year, which the stamps do not tell apart"
    )


def fit_of(walls: pd.DatetimeIndex, zone: str) -> Fit:
    """How stamps in order agree with the changes of a zone's clock.

    Returns
    -------
    str
        "changes" if every hour that the clock repeats stands twice and none that it leaps over
        stands at all, "fixed" if each of them stands once, "unseen" if there are none among the
        hours of the file, else "other".
    """
    step = step_of(walls)
    if not step or step >= DAY:
        return "unseen"
    grid = pd.date_range(walls.min(), walls.max(), freq=step)
    repeated, leapt = clock_changes(grid, zone)
    if not (repeated.any() or leapt.any()):
        return "unseen"
    counts = pd.Series(1, index=walls).groupby(level=0).sum()
    n_repeated = counts.reindex(grid[repeated], fill_value=0).to_numpy()
    n_leapt = counts.reindex(grid[leapt], fill_value=0).to_numpy()
    if (n_repeated == 2).all() and (n_leapt == 0).all():
        return "changes"
    return "fixed" if (n_repeated == 1).all() and (n_leapt == 1).all() else "other"


def _shown(written: pd.DatetimeIndex, walls: pd.DatetimeIndex, zone: str) -> str:
    """Words on one leapt and one repeated hour."""
    repeated, _ = clock_changes(walls, zone)
    grid = pd.date_range(walls.min(), walls.max(), freq=step_of(walls))
    late = written[0] - walls[0]
    traces: Iterator[str] = (
        f"{times[0] + late:%Y-%m-%d %H:%M} {what}"
        for times, what in (
            (grid[clock_changes(grid, zone)[1]], "is left out"),
            (walls[repeated], "stands twice"),
        )
        if len(times)
    )
    return " and ".join(traces)


def _end_of(walls: pd.DatetimeIndex, column: str, *, at_end: bool) -> tuple[bool, str]:
    """Whether stamps mark ends, by what does not depend on changes of the clock."""
    step = step_of(walls)
    first, last = walls[0] - walls[0].normalize(), walls[-1] - walls[-1].normalize()
    zero = pd.Timedelta(0)
    if at_end:
        return True, "hours run to 24:00"
    if _SAYS_END.search(column):
        return True, f"column {column} says so"
    if step < DAY and (first, last) == (step, zero):
        return True, f"whole days run from {walls[0]:%H:%M} to {walls[-1]:%H:%M}"
    if step < DAY and (first, last) == (zero, DAY - step):
        return False, f"whole days run from {walls[0]:%H:%M} to {walls[-1]:%H:%M}"
    return False, "nothing in the file tells; most files mark the start"


def _words(step: pd.Timedelta) -> str:
    return f"{step / pd.Timedelta(minutes=1):g} minutes"
