"""Holidays of a region and of one's own, and the days around them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from paretocast.data.calendar import (
    AROUND_HOLIDAYS,
    around_holidays,
    calendar_columns,
    is_public_holiday,
    weekdays,
)
from paretocast.data.features import available_features, build_features
from paretocast.data.series import Calendar, Series
from paretocast.data.spec import declare_dataset
from paretocast.errors import SettingsError

BAVARIA = Calendar("Europe/Berlin", "DE", subdivision="BY")


def hours(first: str, last: str) -> pd.DatetimeIndex:
    return pd.date_range(first, last, freq="h", tz="Europe/Berlin", inclusive="left").tz_convert(
        "UTC"
    )


def days_with(index: pd.DatetimeIndex, mask: np.ndarray) -> list[str]:
    local = index.tz_convert("Europe/Berlin")[mask]
    return local.strftime("%m-%d").unique().tolist()


def series(calendar: Calendar) -> Series:
    index = hours("2024-01-01", "2025-01-01")
    return Series("zone", np.ones(len(index)), index, "MW", calendar)


def test_holidays_of_a_subdivision_count_beside_those_of_the_country() -> None:
    index = hours("2024-01-01", "2025-01-01")
    country = days_with(index, is_public_holiday(index, Calendar("Europe/Berlin", "DE")))
    bavaria = days_with(index, is_public_holiday(index, BAVARIA))
    assert set(country) < set(bavaria)
    assert {"01-06", "05-30", "11-01"} <= set(bavaria) - set(country)


def test_own_holidays_count_with_and_without_a_country() -> None:
    index = hours("2024-05-01", "2024-06-01")
    festival = (dt.date(2024, 5, 10),)
    alone = Calendar("Europe/Berlin", holidays=festival)
    assert days_with(index, is_public_holiday(index, alone)) == ["05-10"]
    beside = Calendar("Europe/Berlin", "DE", holidays=festival)
    assert days_with(index, is_public_holiday(index, beside)) == [
        "05-01",
        "05-09",
        "05-10",
        "05-20",
    ]
    assert "holiday" in available_features(series(alone))["calendar"]


def test_days_around_ascension_day_are_told_apart() -> None:
    index = hours("2024-05-06", "2024-05-13")  # Ascension Day was Thursday, the 9th
    around = around_holidays(index, BAVARIA)
    assert {name: days_with(index, mask) for name, mask in around.items()} == {
        "day_before_holiday": ["05-08"],
        "day_after_holiday": ["05-10"],
        "bridge_day": ["05-10"],
    }


def test_the_first_of_january_has_its_eve_in_the_year_before() -> None:
    index = hours("2023-12-31", "2024-01-03")
    around = around_holidays(index, Calendar("Europe/Berlin", "DE"))
    assert days_with(index, around["day_before_holiday"]) == ["12-31"]
    assert days_with(index, around["day_after_holiday"]) == ["01-02"]


def test_a_weekend_is_no_bridge_and_makes_none_without_a_holiday() -> None:
    index = hours("2024-06-10", "2024-06-24")  # no holiday
    assert not any(mask.any() for mask in around_holidays(index, BAVARIA).values())
    index = hours("2024-10-31", "2024-11-04")  # Friday, 1 November, then the weekend
    assert days_with(index, around_holidays(index, BAVARIA)["bridge_day"]) == []


def test_days_around_holidays_are_features_only_where_they_are_asked_for() -> None:
    bavaria = series(BAVARIA)
    assert not set(AROUND_HOLIDAYS) & set(build_features(bavaria).names)
    table = build_features(bavaria, ("calendar", "holidays"))
    assert table.names[-3:] == AROUND_HOLIDAYS
    assert table.column("bridge_day").sum() > 0
    assert table.calendar.names == table.names  # known for ever
    assert available_features(series(Calendar("Europe/Berlin")))["holidays"] == ()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"holiday_country": "DE", "holiday_subdivision": "XX"}, "'XX' is none of DE, which has"),
        ({"holiday_subdivision": "BY"}, "holiday_subdivision needs a holiday_country"),
        ({"holiday_country": "__init__"}, "expected an ISO code"),
        ({"holidays": ["10.05.2024"]}, "holidays"),
    ],
)
def test_wrong_holidays_are_refused(keys: dict[str, object], message: str) -> None:
    content = {"name": "z", "path": "z.csv", "target": "load", "unit": "MW"}
    splits = {"splits": {"train": 0.6, "validation": 0.2}}
    with pytest.raises(SettingsError, match=message):
        declare_dataset({**content, **splits, **keys}, origin="test")


def test_a_calendar_without_new_keys_is_described_as_before() -> None:
    from paretocast.data.task import _calendar_json

    assert set(_calendar_json(Calendar("UTC", "DK"))) == {"zone", "country", "school_holidays"}
    told = _calendar_json(Calendar("UTC", "DE", (), "BY", (dt.date(2024, 5, 10),)))
    assert (told["subdivision"], told["holidays"]) == ("BY", ["2024-05-10"])


@pytest.mark.parametrize(
    ("first", "step", "n"),
    [
        ("2020-12-30T00:30", "h", 100),
        ("2021-03-27", "15min", 9000),
        ("2019-12-31", "D", 800),
        ("1677-09-22", "h", 40),
    ],
)
def test_terms_are_the_same_hour_by_hour_and_of_a_whole_grid(first: str, step: str, n: int) -> None:
    index = pd.date_range(first, periods=n, freq=step, tz="UTC", unit="ns")
    together = calendar_columns(index, Calendar("Europe/Berlin"))
    for i in (0, n // 2, n - 1):
        alone = calendar_columns(index[[i]], Calendar("Europe/Berlin"))
        assert {name: values[i] for name, values in together.items()} == {
            name: values[0] for name, values in alone.items()
        }


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "America/St_Johns"])
def test_weekdays_of_kept_years_are_those_of_the_local_clock(zone: str) -> None:
    index = pd.date_range("2020-12-27T17:00", periods=400, freq="h", tz="UTC", unit="ns")
    with_a_gap = index.delete(7)
    for hours_there in (index, with_a_gap, index[:1], index[:0]):
        expected = hours_there.tz_convert(zone).day_of_week.to_list()
        assert weekdays(hours_there, zone).tolist() == expected
