"""What rows say at the changes of the clock, and the advice that follows from them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from paretocast.data.clock import Clock, ClockSurvey, check_clock, localise, refuse_naive
from paretocast.data.stamps import read_times

BERLIN = "Europe/Berlin"
STEPS = ("15min", "30min", "1h")


def utc_hours(step: str = "1h", start: str = "2021-01-01", days: int = 700) -> pd.DatetimeIndex:
    n_steps = int(pd.Timedelta(days=days) / pd.Timedelta(step))
    return pd.date_range(start, periods=n_steps, freq=step, tz="UTC", unit="ns")


def walls_of(index: pd.DatetimeIndex, zone: str = BERLIN) -> pd.DatetimeIndex:
    return index.tz_convert(zone).tz_localize(None)


def ending_walls(index: pd.DatetimeIndex, step: str) -> pd.DatetimeIndex:
    """Stamps a step after what the clock shows at the start of each interval."""
    return walls_of(index) + pd.Timedelta(step)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("backward", [False, True])
def test_wall_times_are_read_in_either_order(step: str, *, backward: bool) -> None:
    index = utc_hours(step)[:: -1 if backward else 1]
    stamps, findings = localise(walls_of(index), BERLIN)
    assert findings == []
    assert stamps is not None
    assert (stamps == index).all()


@pytest.mark.parametrize("step", STEPS)
def test_stamps_at_the_end_of_their_interval_are_named_with_the_rows_that_prove_it(
    step: str,
) -> None:
    walls = ending_walls(utc_hours(step), step)
    assert ClockSurvey(walls, BERLIN).clock is Clock.ENDING
    stamps, (finding,) = localise(walls, BERLIN)
    assert stamps is None
    assert finding.code == "hour_ending"
    row = int(np.flatnonzero(walls == pd.Timestamp("2021-03-28 02:00"))[0]) + 1
    assert f"2021-03-28 02:00, which the clock skips, stands in row {row}" in finding.message
    assert finding.advice == 'set stamps = "end"'


@pytest.mark.parametrize("step", STEPS)
def test_both_ways_of_writing_the_end_of_an_interval_are_read(step: str) -> None:
    index = utc_hours(step)
    after_start = ending_walls(index, step)
    on_the_clock = walls_of(index + pd.Timedelta(step))
    for walls in (after_start, on_the_clock):
        stamps, findings = localise(walls, BERLIN, at_end=True)
        assert findings == []
        assert stamps is not None
        assert (stamps == index).all()


@pytest.mark.parametrize("step", STEPS)
def test_an_autumn_hour_written_once_counts_as_missing_where_spring_proves_the_clock(
    step: str,
) -> None:
    walls = walls_of(utc_hours(step))
    once = walls[~walls.duplicated(keep="last")]
    stamps, (finding,) = localise(once, BERLIN)
    assert (finding.severity, finding.code) == ("warning", "clock_rows")
    assert "stand once where the clock repeats them in autumn" in finding.message
    assert stamps is not None
    hour = pd.Timedelta("1h")
    assert int(np.sum(stamps.isna())) == 2 * hour // pd.Timedelta(step)
    expected = utc_hours(step)
    lost = expected[walls.duplicated(keep=False)]
    assert stamps.dropna().equals(expected.difference(lost))


def test_an_autumn_hour_written_once_is_refused_where_nothing_proves_the_clock() -> None:
    walls = walls_of(utc_hours(start="2021-09-01", days=120))
    stamps, (finding,) = localise(walls[~walls.duplicated()], BERLIN)
    assert stamps is None
    assert finding.severity == "error"
    assert "do not stand in two rows, the first is 2021-10-31 02:00 in row 1441" in finding.message


def test_a_filler_row_in_spring_is_left_out_where_autumn_proves_the_clock() -> None:
    walls = walls_of(utc_hours())
    spring = pd.date_range("2021-03-28 02:00", periods=1, freq="h")
    filled = pd.DatetimeIndex(walls.append(spring)).sort_values()
    stamps, (finding,) = localise(filled, BERLIN)
    assert (finding.severity, finding.code) == ("warning", "clock_rows")
    assert "never were" in finding.message
    assert "2021-03-28 02:00" in finding.message
    assert stamps is not None
    assert stamps.dropna().equals(utc_hours())


def test_filler_values_prove_the_clock_where_no_stamp_does() -> None:
    """Twenty-four rows a day all year: of winter time, or of a clock whose fillers were added."""
    walls = pd.date_range("2021-01-01", periods=700 * 24, freq="h")
    measured = np.random.default_rng(0).normal(100.0, 5.0, len(walls))
    stamps, (finding,) = localise(walls, BERLIN, measured)
    assert stamps is None
    assert 'set stamp_zone = "Etc/GMT-1" if they are in winter time all year' in finding.advice
    filler = walls.isin(pd.DatetimeIndex(["2021-03-28 02:00", "2022-03-27 02:00"]))
    stamps, findings = localise(walls, BERLIN, np.where(filler, np.nan, measured))
    assert stamps is not None
    assert {finding.code for finding in findings} == {"clock_rows"}


def test_a_fixed_offset_is_advised_only_where_all_hours_stand_through_the_changes() -> None:
    raw = pd.Series(["2021-01-01 00:00"])
    wall = refuse_naive(raw, walls_of(utc_hours()), BERLIN)
    assert "Etc/GMT" not in wall.advice
    assert f'stamp_zone = "{BERLIN}"' in wall.advice
    once = walls_of(utc_hours())
    lost = refuse_naive(raw, once[~once.duplicated()], BERLIN)
    assert "Etc/GMT" not in lost.advice
    fixed = refuse_naive(raw, pd.date_range("2021-01-01", periods=17_000, freq="h"), BERLIN)
    assert 'stamp_zone = "Etc/GMT-1"' in fixed.advice
    ending = refuse_naive(raw, ending_walls(utc_hours(), "1h"), BERLIN)
    assert 'stamp_zone = "Europe/Berlin" and stamps = "end"' in ending.advice


def test_stamps_beside_the_full_hour_prove_their_clock_by_their_own_rows() -> None:
    raw, half = pd.Series(["2021-01-01 00:30"]), pd.Timedelta("30min")
    walls = walls_of(utc_hours()) + half
    followed = refuse_naive(raw, walls, BERLIN)
    spring = int(np.flatnonzero(walls == pd.Timestamp("2021-03-28 03:30"))[0]) + 1
    assert f"2021-03-28 02:30 is missing before 03:30 in row {spring}" in followed.message
    assert "2021-10-31 02:30 appears twice, in rows 7273 and 7274" in followed.message
    fixed = refuse_naive(raw, pd.date_range("2021-01-01 00:30", periods=17_000, freq="h"), BERLIN)
    assert "2021-03-28 02:30, which the clock of Europe/Berlin skips, stands" in fixed.message


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("stamp_zone", [None, "Etc/GMT-1"])
def test_gaps_at_the_changes_of_the_clock_are_a_warning_of_their_own(
    step: str, stamp_zone: str | None
) -> None:
    walls = walls_of(utc_hours(step)).drop_duplicates()
    read = walls.tz_localize(stamp_zone or "UTC").tz_convert("UTC")
    (finding,) = check_clock(read, zone=BERLIN, stamp_zone=stamp_zone)
    assert (finding.severity, finding.code) == ("warning", "clock_gaps")
    assert "all gaps lie where the clock of Europe/Berlin changes" in finding.message
    assert f'stamp_zone = "{BERLIN}"' in finding.advice
    # The zone of the demand need not be told where two changes agree.
    (guessed,) = check_clock(read, zone="UTC", stamp_zone=stamp_zone)
    assert "Europe/Berlin" in guessed.message
    outages = read.delete(np.arange(4000, 4100))
    (still,) = check_clock(outages, zone=BERLIN, stamp_zone=stamp_zone)
    assert "2 gaps lie where the clock" in still.message


def test_a_repeated_hour_labelled_as_utc_is_an_error() -> None:
    read = walls_of(utc_hours()).tz_localize("UTC")
    (finding,) = check_clock(read, zone=BERLIN, stamp_zone=None)
    assert finding.severity == "error"
    assert "look like local time of Europe/Berlin labelled as UTC" in finding.message


@pytest.mark.parametrize("zone", [BERLIN, "UTC", "America/New_York", "Asia/Kolkata"])
def test_true_stamps_raise_no_suspicion_whatever_they_miss(zone: str) -> None:
    index = utc_hours()
    missing = np.random.default_rng(1).random(len(index)) < 0.05
    for read in (index, index[~missing], index.delete(np.arange(2060, 2100))):
        assert check_clock(read, zone=zone, stamp_zone=None) == []
    walls = walls_of(index[~missing])
    assert check_clock(index[~missing], zone=BERLIN, stamp_zone=BERLIN) == []
    assert ClockSurvey(walls, "Asia/Kolkata").clock is Clock.UNKNOWN


def test_zones_that_change_by_half_an_hour_are_read() -> None:
    index = utc_hours("30min")
    walls = walls_of(index, "Australia/Lord_Howe")
    stamps, findings = localise(walls, "Australia/Lord_Howe")
    assert findings == []
    assert stamps is not None
    assert (stamps == index).all()


@pytest.mark.parametrize(
    "wrong",
    [
        "2023-02-30T00:00:00Z",
        "2023-01-01T25:00:00Z",
        "2023-13-01T00:00:00Z",
        "2023-01-0xT00:00:00Z",
    ],
)
def test_a_day_that_is_none_among_many_stamps_is_no_time(wrong: str) -> None:
    # NumPy crashes on bytes that are no time where there are more than 500 of them.
    hours = pd.date_range("2022-12-31", periods=1000, freq="h", tz="UTC")
    cells = hours.strftime("%Y-%m-%dT%H:%M:%SZ").to_list()
    assert (read_times(pd.Series(cells)).stamps == hours).all()
    cells[700] = wrong
    stamps = read_times(pd.Series(cells)).stamps
    assert np.flatnonzero(stamps.isna()).tolist() == [700]
