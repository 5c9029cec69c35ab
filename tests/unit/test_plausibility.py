"""Values that nobody measured: each kind is found, and what is merely rare is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from paretocast.data.checks import Finding, Grid
from paretocast.data.plausibility import check_values, differences, find_copy, is_counter
from paretocast.data.series import Covariate, Role
from paretocast.data.spec import declare_dataset

Floats = np.ndarray
N_DAYS = 200


def weather(step: str = "1h", seed: int = 0) -> Floats:
    """A temperature with season, day and noise that hangs together, rounded to tenths."""
    n = int(pd.Timedelta(days=N_DAYS) / pd.Timedelta(step))
    rng = np.random.default_rng(seed)
    days = np.arange(n) / (pd.Timedelta(days=1) / pd.Timedelta(step))
    noise = np.cumsum(rng.normal(0.0, 0.3, n))
    noise -= pd.Series(noise).rolling(500, min_periods=1).mean().to_numpy()
    return np.round(8.0 - 9.0 * np.cos(days / 58.0) + 3.0 * np.sin(days * 2 * np.pi) + noise, 1)


def demand(step: str = "1h") -> Floats:
    n = int(pd.Timedelta(days=N_DAYS) / pd.Timedelta(step))
    days = np.arange(n) / (pd.Timedelta(days=1) / pd.Timedelta(step))
    rng = np.random.default_rng(3)
    return 100.0 + 20.0 * np.sin(days * 2 * np.pi) + rng.normal(0.0, 5.0, n)


def rain() -> Floats:
    rng = np.random.default_rng(5)
    wet = rng.random(N_DAYS * 24) < 0.08
    return np.round(np.where(wet, rng.lognormal(-0.5, 1.2, N_DAYS * 24), 0.0), 1)


def wind() -> Floats:
    rng = np.random.default_rng(7)
    speed = pd.Series(rng.weibull(2.0, N_DAYS * 24) * 7.0).rolling(3, min_periods=1).mean()
    return np.round(speed.to_numpy(), 1)


def sun() -> Floats:
    hours = np.arange(N_DAYS * 24)
    cloud = np.random.default_rng(9).uniform(0.2, 1.0, len(hours))
    return np.round(800.0 * cloud * np.maximum(0.0, np.sin((hours % 24 - 6) / 12.0 * np.pi)))


def findings(
    target: Floats,
    covariate: Floats | None = None,
    *,
    role: Role = Role.FORECAST,
    step: str = "1h",
    zone: str = "UTC",
) -> list[Finding]:
    index = pd.date_range("2021-01-01", periods=len(target), freq=step, tz="UTC")
    names = () if covariate is None else ("extra",)
    covariates = () if covariate is None else (Covariate("extra", covariate, role),)
    spec = declare_dataset(
        {
            "name": "zone",
            "path": "zone.csv",
            "target": "load",
            "unit": "MW",
            "zone": zone,
            "covariates": {name: {"role": str(role)} for name in names},
            "splits": {"train": 0.6, "validation": 0.25},
        },
        origin="test",
    )
    return check_values(Grid(index, target, covariates), spec, covariates=names)


def codes(found: list[Finding]) -> list[str]:
    return [finding.code for finding in found]


@pytest.mark.parametrize("step", ["15min", "1h"])
def test_plain_weather_has_no_finding(step: str) -> None:
    assert findings(demand(step), weather(step), step=step) == []


@pytest.mark.parametrize("make", [rain, wind, sun])
def test_what_is_rare_by_nature_has_no_finding(make: object) -> None:
    assert callable(make)
    assert findings(demand(), make()) == []


def test_flags_tariffs_and_numbers_of_meters_have_no_finding() -> None:
    hours = np.arange(N_DAYS * 24)
    flag = (hours // 24 % 7 >= 5).astype(np.float64)
    tariff = np.where(hours % 24 < 6, 0.12, 0.31)
    meters = 1000.0 + hours // (24 * 30)
    for column in (flag, tariff, meters):
        assert findings(demand(), column) == []


@pytest.mark.parametrize("mark", [999.9, -39.9, -99.0, -200.0, 9999.0, 1e20])
@pytest.mark.parametrize("n_hours", [3, 100])
def test_a_repeated_mark_for_no_value_is_a_warning_with_hour_and_value(
    mark: float, n_hours: int
) -> None:
    values = weather()
    values[1000 : 1000 + n_hours] = mark
    (finding,) = (f for f in findings(demand(), values) if f.code == "sentinels")
    assert finding.severity == "warning"
    assert f"covariate extra is {mark:g} in {n_hours} hours" in finding.message
    assert "the first at 2021-02-11 16:00Z" in finding.message


def test_one_hour_of_a_common_mark_is_enough() -> None:
    values = weather()
    values[1000] = 999.9
    assert codes(findings(demand(), values)) == ["sentinels"]


def test_two_marks_in_one_column_do_not_hide_each_other() -> None:
    values = weather()
    values[1000:1100] = -39.9
    values[3000:3060] = 999.9
    assert codes(findings(demand(), values)) == ["sentinels", "sentinels"]


def test_marks_are_found_in_the_target_too() -> None:
    target = demand()
    target[[700, 900, 1400]] = 9999.0
    assert codes(findings(target)) == ["sentinels"]


def test_a_wild_hour_and_a_jump_within_the_range_are_spikes() -> None:
    far = weather()
    far[1000] = 75.3
    (finding,) = findings(demand(), far)
    assert finding.code == "spikes"
    assert "75.3 at 2021-02-11 16:00Z" in finding.message
    values = weather()
    values[1000] = values.min() if values[1000] > values.mean() else values.max()
    wide = values.copy()
    wide[1000] = values[1000] + 1.2 * np.sign(values[1000] - values[999]) * (
        np.quantile(values, 0.99) - np.quantile(values, 0.01)
    )
    assert codes(findings(demand(), wide)) == ["spikes"]


def test_a_sensor_that_hangs_is_a_warning_with_its_hours() -> None:
    values = weather()
    values[2000:2030] = 5.3
    (finding,) = findings(demand(), values)
    assert finding.code == "constant_runs"
    assert "30 h of 5.3 from 2021-03-25 08:00Z" in finding.message


def test_readings_of_a_counter_are_a_warning_that_offers_the_difference() -> None:
    used = demand()
    readings = np.cumsum(used)
    (finding,) = findings(readings)
    assert finding.code == "counter"
    assert "never falls, from" in finding.message
    readings[3000:] -= readings[3000]
    (finding,) = findings(readings)
    assert "never falls but for 1 reset" in finding.message
    assert differences(readings)[:2999] == pytest.approx(used[1:3000])
    assert np.isnan(differences(readings)[2999])
    assert not is_counter(used)
    assert not is_counter(np.arange(5000.0))  # a trend that somebody computed


def test_a_change_of_the_unit_is_found_at_its_hour() -> None:
    values = demand()
    values[2500:] *= 1000.0
    (finding,) = findings(values)
    assert finding.code == "unit_jump"
    assert "near 1000" in finding.message
    hour = pd.Timestamp("2021-01-01", tz="UTC") + pd.Timedelta(hours=2500)
    assert abs(pd.Timestamp(finding.message.split(" at ")[1][:17]) - hour) <= pd.Timedelta("12h")


def test_weeks_in_which_nothing_is_used_are_no_change_of_the_unit() -> None:
    values = np.concatenate([demand() for _ in range(5)])
    values[9000 : 9000 + 35 * 24] = 0.0
    assert "unit_jump" not in codes(findings(values))
    values[15_000:] *= 1000.0
    values[14_900:14_930] = 0.0  # beside a day of zeros, which is no jump by any factor
    (finding,) = (f for f in findings(values) if f.code == "unit_jump")
    assert "near 1000 at 2022-09-17" in finding.message


def test_a_season_is_no_change_of_the_unit() -> None:
    days = np.arange(N_DAYS * 24) / 24.0
    heat = demand() * (1.01 + np.cos(days / N_DAYS * 2 * np.pi))
    assert findings(np.maximum(heat, 1.0)) == []


def test_a_target_that_never_changes_is_an_error_in_plain_words() -> None:
    (finding,) = findings(np.full(N_DAYS * 24, 5.0))
    assert finding.severity == "error"
    assert "target load is 5 in every hour of the train period" in finding.message
    (daily,) = findings(np.tile(np.arange(24.0), N_DAYS))
    assert "repeats the same day throughout the train period" in daily.message


def test_the_train_period_ends_at_midnight_of_the_zone() -> None:
    target = demand()
    target[: 119 * 24 + 7] = 5.0  # until midnight in Los Angeles, on the last day of UTC
    found = findings(target, zone="America/Los_Angeles")
    (finding,) = (f for f in found if f.code == "constant")
    assert "target load is 5 in every hour of the train period" in finding.message
    assert "constant" not in codes(findings(target, zone="UTC"))


def test_a_target_that_dies_after_the_train_period_is_a_warning() -> None:
    target = demand()
    target[int(0.6 * len(target)) :] = 0.0
    (finding,) = findings(target)
    assert finding.severity == "warning"
    assert "target load is 0 in every hour after the train period" in finding.message


def test_a_covariate_that_never_changes_is_a_warning() -> None:
    (finding,) = findings(demand(), np.full(N_DAYS * 24, 1013.0))
    assert (finding.severity, finding.code) == ("warning", "constant")


@pytest.mark.parametrize(
    ("role", "late", "severity"),
    [
        (Role.FORECAST, 0, "error"),
        (Role.FORECAST, 3, "error"),
        (Role.FORECAST, -5, "error"),
        (Role.FORECAST, 24, None),  # yesterday's value is known
        (Role.FORECAST, 168, None),
        (Role.PAST, -1, "error"),
        (Role.PAST, 0, "warning"),
        (Role.PAST, 3, None),
    ],
)
def test_a_shifted_copy_of_the_target_is_an_error_where_it_leaks(
    role: Role, late: int, severity: str | None
) -> None:
    copy = 0.001 * np.roll(demand(), late) + 7.0
    found = [f for f in findings(demand(), copy, role=role) if f.code in ("leak", "copy")]
    assert [f.severity for f in found] == ([] if severity is None else [severity])


def test_a_good_forecast_of_the_target_is_no_copy() -> None:
    target = weather(seed=1)
    forecast = target + np.random.default_rng(2).normal(0.0, 0.3, len(target))
    assert find_copy(forecast, target, 192) is None
    assert find_copy(target, target, 192) == 0
