from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretocast.data import load_dataset
from paretocast.data.calendar import calendar_columns
from paretocast.data.features import (
    DAYS_BACK_A_YEAR,
    LAG_HOURS,
    ROLLING_HOURS,
    FeatureTable,
    available_features,
    build_features,
    fill_covariate,
    weakest_role,
)
from paretocast.data.series import Calendar, Covariate, Role, Series
from paretocast.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

COPENHAGEN = Calendar(
    zone="Europe/Copenhagen",
    country="DK",
    school_holidays=((dt.date(2021, 1, 10), dt.date(2021, 1, 12)),),
)
N_HOURS = 420


def make_series(
    values: NDArray[np.float64] | None = None, *covariates: Covariate, n_hours: int = N_HOURS
) -> Series:
    index = pd.date_range("2021-01-01T00:00:00Z", periods=n_hours, freq="h")
    if values is None:
        values = np.arange(n_hours, dtype=np.float64)
    return Series("zone", values, index, "kWh", COPENHAGEN, covariates)


def covariate(name: str, role: Role, values: NDArray[np.float64] | None = None) -> Covariate:
    if values is None:
        values = np.linspace(-5.0, 10.0, N_HOURS)
    return Covariate(name, values, role)


def stamps(*times: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(list(times), tz="UTC")


def test_the_hour_is_local_in_winter_and_in_summer() -> None:
    # 05:00 UTC is 06:00 in winter and 04:00 UTC is 06:00 in summer: a quarter of the clock.
    table = calendar_columns(stamps("2021-01-15T05:00", "2021-07-15T04:00"), COPENHAGEN)
    assert table["hour_sin"].tolist() == pytest.approx([1.0, 1.0])
    assert table["hour_cos"].tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


def test_the_day_changes_at_local_midnight() -> None:
    # Friday 2021-01-08 22:30 UTC is still Friday in Denmark, 23:00 UTC is Saturday.
    table = calendar_columns(stamps("2021-01-08T22:00", "2021-01-08T23:00"), COPENHAGEN)
    assert table["weekend"].tolist() == [0.0, 1.0]


def test_public_holidays_are_those_of_the_country() -> None:
    # Great Prayer Day 2021 was Friday 30 April, from 22:00 UTC of the day before.
    times = stamps("2021-04-29T21:00", "2021-04-29T22:00", "2021-04-30T21:00", "2021-04-30T22:00")
    assert calendar_columns(times, COPENHAGEN)["holiday"].tolist() == [0.0, 1.0, 1.0, 0.0]


def test_school_holidays_include_their_first_and_last_day() -> None:
    times = stamps("2021-01-09T22:00", "2021-01-09T23:00", "2021-01-12T22:00", "2021-01-12T23:00")
    column = calendar_columns(times, COPENHAGEN)["school_holiday"]
    assert column.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_a_calendar_without_holidays_has_no_constant_holiday_column() -> None:
    names = calendar_columns(stamps("2021-01-01T00:00"), Calendar())
    assert "holiday" not in names
    assert "school_holiday" not in names


def test_an_unknown_country_is_named() -> None:
    with pytest.raises(DataError, match="no country 'XX'"):
        calendar_columns(stamps("2021-01-01T00:00"), Calendar(country="XX"))


def test_calendar_rows_beyond_the_data_equal_those_of_a_longer_series() -> None:
    longer = build_features(make_series(n_hours=500), ["calendar"])
    future = pd.date_range("2021-01-01T00:00:00Z", periods=500, freq="h")[420:]
    beyond = np.column_stack(list(calendar_columns(future, COPENHAGEN).values()))
    assert (beyond == longer.values[420:]).all()


def test_a_lag_is_the_value_that_many_hours_before() -> None:
    table = build_features(make_series(), ["lags"])
    assert table.column("lag_168")[400] == 400 - 168
    assert table.column("lag_336")[400] == 400 - 336


def test_a_lag_before_the_series_is_the_mean_so_far() -> None:
    assert build_features(make_series(), ["lag_168"]).column("lag_168")[:3].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("steps", ROLLING_HOURS)
def test_a_rolling_mean_ends_with_its_own_hour(steps: int) -> None:
    values = np.random.default_rng(0).normal(size=N_HOURS)
    column = build_features(make_series(values), ["rolling"]).column(f"rolling_mean_{steps}")
    slow = [values[max(0, t - steps + 1) : t + 1].mean() for t in range(N_HOURS)]
    assert column.tolist() == pytest.approx(slow)


def test_a_missing_target_leaves_lags_and_means_finite() -> None:
    values = np.arange(N_HOURS, dtype=np.float64)
    values[:5] = np.nan
    values[100:300] = np.nan
    table = build_features(make_series(values), ["lags", "rolling"])
    assert np.isfinite(table.values).all()


def test_lags_and_means_have_role_past_and_the_calendar_is_known_ahead() -> None:
    table = build_features(make_series(), ["calendar", "lags", "rolling"])
    assert table.past.names == ("lag_168", "lag_336", "rolling_mean_24", "rolling_mean_168")
    assert table.known.names == tuple(calendar_columns(make_series().index, COPENHAGEN))
    assert table.past.values.shape == (N_HOURS, 4)


def test_weather_terms_are_products_of_their_parts() -> None:
    series = make_series(
        None,
        covariate("temperature", Role.FORECAST, np.full(N_HOURS, -3.0)),
        covariate("wind_speed", Role.FORECAST, np.full(N_HOURS, 4.0)),
    )
    table = build_features(series)
    saturday = int(series.index.searchsorted(pd.Timestamp("2021-01-09T12:00Z")))
    assert table.column("temperature_squared")[saturday] == 9.0
    assert table.column("temperature_wind")[saturday] == -12.0
    assert table.column("temperature_weekend")[[saturday, saturday + 48]].tolist() == [-3.0, 0.0]


@pytest.mark.parametrize(
    ("temperature", "wind", "product"),
    [
        (Role.FORECAST, Role.FORECAST, Role.FORECAST),
        (Role.FORECAST, Role.PAST, Role.PAST),
        (Role.PAST, Role.FORECAST, Role.PAST),
        (Role.CALENDAR, Role.FORECAST, Role.FORECAST),
    ],
)
def test_a_weather_term_has_the_role_of_its_weakest_part(
    temperature: Role, wind: Role, product: Role
) -> None:
    series = make_series(None, covariate("temperature", temperature), covariate("wind", wind))
    table = build_features(series)
    roles = dict(zip(table.names, table.roles, strict=True))
    assert roles["temperature_wind"] is product
    assert roles["temperature_squared"] is roles["temperature_weekend"] is temperature


def test_the_weakest_role_does_not_depend_on_the_order() -> None:
    assert weakest_role([Role.PAST, Role.CALENDAR]) is weakest_role([Role.CALENDAR, Role.PAST])
    assert weakest_role([Role.CALENDAR, Role.FORECAST]) is Role.FORECAST


def test_wind_direction_is_no_wind_speed() -> None:
    series = make_series(
        None, covariate("temperature", Role.PAST), covariate("wind_direction", Role.PAST)
    )
    assert available_features(series)["weather"] == ("temperature_squared", "temperature_weekend")


def test_calendar_covariates_and_weather_are_the_default() -> None:
    series = make_series(None, covariate("temperature", Role.FORECAST))
    offered = available_features(series)
    expected = (*offered["calendar"], *offered["covariates"], *offered["weather"])
    assert build_features(series).names == expected


def test_the_order_of_the_wish_does_not_change_the_table() -> None:
    series = make_series(None, covariate("temperature", Role.FORECAST))
    first = build_features(series, ["lag_336", "temperature", "weekend"])
    other = build_features(series, ["weekend", "lag_336", "temperature"])
    assert first.names == other.names == ("weekend", "temperature", "lag_336")
    assert (first.values == other.values).all()


def test_no_group_gives_no_column() -> None:
    assert build_features(make_series(), []).values.shape == (N_HOURS, 0)


def test_an_unknown_feature_is_answered_with_those_that_exist() -> None:
    with pytest.raises(DataError, match=r"no feature humidity; .*lag_168"):
        build_features(make_series(), ["humidity"])


def test_an_absent_column_is_answered_with_those_that_exist() -> None:
    with pytest.raises(DataError, match="no feature 'lag_1'; this table has lag_168"):
        build_features(make_series(), ["lag_168"]).column("lag_1")


@pytest.mark.parametrize("name", ["weekend", "lag_168"])  # the second is not asked for here
def test_a_covariate_named_as_a_feature_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=f"two features are called {name}"):
        build_features(make_series(None, covariate(name, Role.PAST)))


def test_a_short_hole_of_a_covariate_holds_the_last_value() -> None:
    values = np.arange(N_HOURS, dtype=np.float64)
    values[50:56] = np.nan
    assert fill_covariate(covariate("rain", Role.PAST, values))[49:57].tolist() == [49.0] * 7 + [56]


def test_a_longer_hole_repeats_the_day_before() -> None:
    values = np.arange(N_HOURS, dtype=np.float64)
    values[50:110] = np.nan
    filled = fill_covariate(covariate("rain", Role.PAST, values))
    assert filled[[55, 56, 73, 74]].tolist() == [49.0, 32.0, 49.0, 49.0]
    assert filled[80] == 32.0


def test_a_hole_of_weeks_takes_the_same_hour_of_last_year() -> None:
    year = DAYS_BACK_A_YEAR * 24
    values = np.arange(year + 500, dtype=np.float64)
    values[year + 50 :] = np.nan
    filled = fill_covariate(Covariate("rain", values, Role.PAST))
    assert filled[year + 122] == 122.0
    assert filled[year + 121] != 121.0


def test_a_hole_at_the_start_is_refused_because_only_the_future_could_fill_it() -> None:
    values = np.arange(N_HOURS, dtype=np.float64)
    values[:3] = np.nan
    with pytest.raises(DataError, match=r"covariate rain misses its first 3 hours.*use_from"):
        build_features(make_series(None, covariate("rain", Role.PAST, values)))


def test_building_features_changes_no_input() -> None:
    values = np.arange(N_HOURS, dtype=np.float64)
    values[50:60] = np.nan
    series = make_series(values.copy(), covariate("temperature", Role.PAST, values.copy()))
    build_features(series, tuple(available_features(series)))
    assert np.array_equal(series.values, values, equal_nan=True)
    assert np.array_equal(series.covariates[0].values, values, equal_nan=True)


def spoil(values: NDArray[np.float64], after: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Other values, some of them missing, at every position beyond `after`."""
    spoiled = values.copy()
    spoiled[after + 1 :] = rng.normal(scale=1e3, size=len(values) - after - 1)
    spoiled[after + 1 :][rng.random(len(values) - after - 1) < 0.3] = np.nan
    return spoiled


@settings(max_examples=25, deadline=None)
@given(after=st.integers(0, N_HOURS - 1), seed=st.integers(0, 2**32 - 1))
def test_no_feature_looks_ahead(after: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=N_HOURS)
    target[rng.random(N_HOURS) < 0.2] = np.nan
    weather = rng.normal(size=N_HOURS)
    weather[1:][rng.random(N_HOURS - 1) < 0.2] = np.nan
    series = make_series(
        target, covariate("temperature", Role.PAST, weather), covariate("wind", Role.PAST, weather)
    )
    other = replace(
        series,
        values=spoil(target, after, rng),
        covariates=tuple(replace(c, values=spoil(c.values, after, rng)) for c in series.covariates),
    )
    groups = tuple(available_features(series))
    before = build_features(series, groups).values[: after + 1]
    assert np.array_equal(build_features(other, groups).values[: after + 1], before)


def test_a_lag_does_look_at_its_own_hour_once_it_is_past() -> None:
    # The twin of the test above: a table that ignored the target would pass it too.
    values = np.zeros(N_HOURS)
    values[10] = 1.0
    table = build_features(make_series(values), ["lags", "rolling"])
    for steps in LAG_HOURS:
        assert table.column(f"lag_{steps}")[10 + steps] == 1.0
    assert table.column("rolling_mean_24")[10 + 23] > 0.0


def test_real_series_have_finite_features(data_dir: Path) -> None:
    series = load_dataset("heat", data_dir=data_dir, covariates=["temperature"]).series
    assert np.isfinite(build_features(series, tuple(available_features(series))).values).all()


def test_chosen_columns_lie_in_one_piece_each_whether_some_or_all_are_kept() -> None:
    rng = np.random.default_rng(1)
    names = ("a", "b", "c")
    table = FeatureTable(names, (Role.CALENDAR,) * 3, rng.normal(size=(50, 3)))
    for kept in ([True, True, True], [True, False, True]):
        assert table.select(kept).values.flags.f_contiguous
