"""Series of other steps than an hour: grid, calendar, windows, naive methods and settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paretocast.calibration.rolling import n_past_windows
from paretocast.data import Dataset
from paretocast.data.calendar import is_weekend
from paretocast.data.features import build_features, fill_covariate
from paretocast.data.gaps import fill_from_past
from paretocast.data.scaling import TargetScaling, Transform
from paretocast.data.series import Calendar, Covariate, Role, Series, SplitDates
from paretocast.data.task import Task, TaskShape, daily_positions, plan_task
from paretocast.deployment.climatology import forecast_climatology
from paretocast.errors import DataError, SettingsError
from paretocast.models.baselines.naive import forecast_naive
from paretocast.models.linear_table import LinearTable, reference_form
from paretocast.results.groups import issue_hours
from paretocast.search.models import MODELS
from paretocast.settings import TaskSettings, TuneSettings, load_settings
from paretocast.steps import FREQUENCIES
from paretocast.study.warm_start import plan_warm_start
from paretocast.toml import parse_table

PLAIN = TargetScaling(Transform.NONE, 1.0, center=0.0, spread=1.0)
DAY = pd.Timedelta(days=1)


def make_frame(
    frequency: str, *, n_days: int = 70, stamps: pd.DatetimeIndex | None = None
) -> pd.DataFrame:
    """Load and temperature of a step, without a zone."""
    if stamps is None:
        step = DAY / FREQUENCIES[frequency]
        stamps = pd.date_range("2021-03-01", periods=n_days * FREQUENCIES[frequency], freq=step)
    rng = np.random.default_rng(0)
    load = 10.0 + np.sin(2 * np.pi * np.arange(len(stamps)) / max(2, FREQUENCIES[frequency]))
    return pd.DataFrame(
        {
            "timestamp": stamps.strftime("%Y-%m-%dT%H:%M:%S"),
            "load": load + rng.normal(size=len(stamps)),
            "temperature": rng.normal(size=len(stamps)),
        }
    )


def make_dataset(frequency: str, frame: pd.DataFrame | None = None, **described: object) -> Dataset:
    """The data set of a frame, its stamps in UTC unless a zone is given."""
    return Dataset.from_frame(
        make_frame(frequency) if frame is None else frame,
        target="load",
        time="timestamp",
        frequency=frequency,
        covariates={"temperature": "forecast"},
        **{  # type: ignore[arg-type]
            "stamp_zone": "UTC",
            "splits": {"train": 0.45, "validation": 0.4},
            **described,
        },
    )


def make_steps(n_days: int, per_day: int, *, zone: str = "UTC") -> Series:
    """A series whose values are their own positions."""
    index = pd.date_range("2021-01-04", periods=n_days * per_day, freq=DAY / per_day, tz="UTC")
    return Series("ramp", np.arange(len(index), dtype=np.float64), index, "", Calendar(zone))


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_window_horizon_and_blocks_follow_the_step(frequency: str) -> None:
    n_days = 200 if frequency == "1d" else 130
    dataset = make_dataset(frequency, make_frame(frequency, n_days=n_days))
    task = plan_task(dataset.series, dataset.dates)
    per_day = FREQUENCIES[frequency]
    assert dataset.series.steps_per_day == task.shape.steps_per_day == per_day
    assert task.shape.step == dataset.series.step == DAY / per_day
    span = task.shape.horizon_steps * task.shape.step
    assert span == pd.Timedelta(days=7 if frequency == "1d" else 1)
    for block in task.blocks:
        assert (block.stop - block.start) * task.shape.step % pd.Timedelta(weeks=1) == 0 * DAY
    issues = task.issue_times("tune")
    assert (issues == issues.normalize()).all()
    assert (np.diff(task.issues["tune"]) >= per_day).all()


def test_periods_given_as_shares_end_at_the_last_step_of_a_day() -> None:
    dates = make_dataset("15min").dates
    assert (dates.train_to.hour, dates.train_to.minute) == (23, 45)


@pytest.mark.parametrize(("frequency", "advised"), [("15min", "15min"), ("1d", "1d")])
def test_another_step_than_the_declared_one_is_named(frequency: str, advised: str) -> None:
    with pytest.raises(DataError, match=f'set frequency = "{advised}"'):
        make_dataset("1h", make_frame(frequency))


def test_stamps_beside_the_step_are_refused() -> None:
    frame = make_frame("15min")
    frame["timestamp"] = frame["timestamp"].str.replace(":15:00", ":16:00")
    with pytest.raises(DataError, match="are no multiples of 15 min in UTC"):
        make_dataset("15min", frame)


def test_days_of_92_and_100_quarter_hours_keep_their_length() -> None:
    zone = "Europe/Copenhagen"
    utc = pd.date_range("2021-03-01", "2021-11-20", freq="15min", tz=zone, inclusive="left")
    frame = make_frame("15min", stamps=utc.tz_localize(None))
    series = make_dataset("15min", frame, zone=zone, stamp_zone=zone).series
    assert (series.index == utc.tz_convert("UTC")).all()
    shape = replace(TaskShape.of_step(96), issue_zone=zone)
    positions = daily_positions(series.index, shape)
    local = series.index[positions].tz_convert(zone)
    assert (local == local.normalize()).all()
    lengths = dict(zip(local.strftime("%m-%d"), np.diff(positions), strict=False))
    assert {day: n for day, n in lengths.items() if n != 96} == {"03-28": 92, "10-31": 100}


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu"])
def test_full_hours_of_a_zone_off_by_minutes_are_an_hourly_grid(zone: str) -> None:
    dataset = make_dataset("1h", zone=zone, stamp_zone=zone)
    series = dataset.series
    local = series.index.tz_convert(zone)
    assert (series.index.minute != 0).all()
    assert (local.minute == 0).all()
    table = build_features(series, ["calendar"])
    midnights = local == local.normalize()
    assert table.column("hour_sin")[midnights] == pytest.approx(0.0, abs=1e-12)
    assert (table.column("weekend") == (local.day_of_week >= 5)).all()
    shape = TaskShape(issue_zone=zone)
    issues = series.index[daily_positions(series.index, shape)].tz_convert(zone)
    assert (issues == issues.normalize()).all()
    task = plan_task(series, dataset.dates, shape=shape)
    assert (np.diff(issue_hours(task, "tune")) >= 24).all()


def test_half_hours_of_utc_are_no_hours_elsewhere() -> None:
    frame = make_frame("1h")
    frame["timestamp"] = frame["timestamp"].str.replace(":00:00", ":30:00")
    with pytest.raises(DataError, match="are no full hours in UTC or Asia/Kathmandu"):
        make_dataset("1h", frame, zone="Asia/Kathmandu")


def test_the_time_of_day_has_minutes() -> None:
    table = build_features(make_steps(1, 96), ["calendar"])
    angle = 2.0 * np.pi * np.arange(96) / 96
    np.testing.assert_allclose(table.column("hour_sin"), np.sin(angle), atol=1e-12)


@pytest.mark.parametrize("zone", ["Europe/Copenhagen", "America/New_York"])
@pytest.mark.parametrize("kind", ["dates", "local midnights", "UTC midnights"])
def test_a_daily_series_is_one_of_dates(zone: str, kind: str) -> None:
    days = pd.date_range("2021-01-01", periods=400)
    frame = make_frame("1d", stamps=days)
    stamps = days.tz_localize("UTC" if kind == "UTC midnights" else zone)
    frame["timestamp"] = (
        days.strftime("%Y-%m-%d")
        if kind == "dates"
        else stamps.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ")
    )
    series = make_dataset("1d", frame, zone=zone, stamp_zone=None).series
    assert (series.index == days.tz_localize("UTC")).all()
    weekend = is_weekend(series.index, series.calendar.zone)
    assert (weekend == (days.day_of_week >= 5)).all()
    names = build_features(series, ["calendar"]).names
    assert not [name for name in names if name.startswith("hour_")]


def test_a_daily_series_ends_its_periods_on_dates() -> None:
    days = pd.date_range("2021-01-01", periods=400)
    frame = make_frame("1d", stamps=days)
    frame["timestamp"] = days.strftime("%Y-%m-%d")
    ends = {"train_to": "2021-06-30T22:00:00Z", "validation_to": "2021-11-30T00:00:00Z"}
    zone = "Europe/Copenhagen"
    dates = make_dataset("1d", frame, zone=zone, stamp_zone=None, splits=ends).dates
    assert [str(date.date()) for date in (dates.train_to, dates.validation_to)] == [
        "2021-07-01",
        "2021-11-30",
    ]


def test_times_of_a_day_are_no_dates() -> None:
    with pytest.raises(DataError, match="are no midnights"):
        make_dataset("1d", make_frame("1h"))


def test_a_gap_is_filled_for_six_hours_from_a_week_before() -> None:
    values = np.arange(96.0 * 10)
    values[800:840] = np.nan
    filled, usable = fill_from_past(values, steps_per_day=96)
    assert (filled[800:824] == np.arange(800, 824) - 672).all()
    assert not usable[824:840].any()


def test_a_hole_of_a_covariate_holds_for_six_hours_and_then_repeats_the_day() -> None:
    values = np.arange(96.0 * 4)
    values[200:300] = np.nan
    filled = fill_covariate(Covariate("rain", values, Role.PAST), 96)
    assert (filled[200:224] == 199.0).all()
    assert filled[224] == 224 - 96


def test_lags_and_rolling_means_are_named_by_hours() -> None:
    table = build_features(make_steps(20, 96), ["lags", "rolling"])
    assert table.column("lag_168")[1000] == 1000 - 672
    assert table.column("rolling_mean_24")[1000] == np.arange(905, 1001).mean()


def test_naive_methods_look_a_day_and_a_week_back() -> None:
    values, positions = np.arange(48.0 * 80), np.array([48 * 75])
    asked = {"horizon_steps": 48, "levels": (0.5,), "steps_per_day": 48}
    day = forecast_naive("seasonal_naive_24", values, positions, **asked)  # type: ignore[arg-type]
    week = forecast_naive("seasonal_naive_168", values, positions, **asked)  # type: ignore[arg-type]
    assert (day[0, :, 0] == np.arange(48) + 48 * 74).all()
    assert (week[0, :, 0] == np.arange(48) + 48 * 68).all()


def test_the_last_resort_takes_the_same_time_of_the_week() -> None:
    per_day = 96
    series = make_steps(60, per_day)
    of_week = np.arange(len(series)) % (7 * per_day)
    series = replace(series, values=of_week.astype(np.float64))
    position = 58 * per_day
    forecast = forecast_climatology(series, position, horizon_steps=8, levels=(0.5,))
    expected = of_week[position : position + 8]
    assert np.abs(forecast[2:6, 0] - expected[2:6]).max() <= 4  # an hour to either side is pooled


def make_task(per_day: int, shape: TaskShape | None = None) -> Task:
    series = make_steps(130, per_day)
    ends = [series.index[0] + n * DAY - series.step for n in (60, 115, 130)]
    return plan_task(series, SplitDates(*ends), shape=shape)


def test_the_ridge_sees_the_last_day_in_steps_and_older_hours_in_means() -> None:
    task = make_task(96)
    table = LinearTable.of_week(task, PLAIN)
    form = reference_form(96)
    assert form.history_steps == 672
    position = 96 * 50
    lags = table.block("lags", np.array([position]))[0]
    target = task.series.values
    newest = [target[position - k] for k in range(1, 97)]
    hours = [target[position - 96 - 4 * (j + 1) : position - 96 - 4 * j].mean() for j in range(144)]
    np.testing.assert_allclose(lags, [*newest, *hours])


def test_the_ridge_sees_the_calendar_of_each_hour_once() -> None:
    hourly, quarters = make_task(24), make_task(96)
    widths = [
        LinearTable.of_week(task, PLAIN).block("calendar", np.array([2000])).shape[1]
        for task in (hourly, quarters)
    ]
    assert widths[0] == widths[1]


def test_a_forecast_is_past_when_its_last_step_is() -> None:
    issues = issue_hours(make_task(96), "tune")
    assert n_past_windows(issues, 96, int(issues[1])) == 1


def test_settings_of_another_step_than_the_series_are_refused() -> None:
    with pytest.raises(DataError, match=r'set step = "15min" in \[task\]'):
        make_task(96, TaskShape())


def test_durations_are_steps_of_the_series() -> None:
    quarters = TaskSettings(step="15min", input="7d", horizon="24h")  # type: ignore[call-arg]
    assert (quarters.input_steps, quarters.horizon_steps) == (672, 96)
    assert TaskSettings(input="2w", horizon="36h").input_steps == 336  # type: ignore[call-arg]
    assert TaskSettings(step="15min") == quarters
    daily = TaskSettings(step="1d")
    assert (daily.input_steps, daily.horizon_steps) == (28, 7)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"step": "30min", "horizon": "45min"}, "horizon is 45min, expected a multiple"),
        ({"step": "1d", "input": "36h"}, "input is 36h, expected a multiple"),
        ({"horizon": "1 month"}, "expected a duration such as"),
        ({"horizon": "24h", "horizon_steps": 24}, "both given"),
        ({"step": "15min", "input_steps": 48}, "expected at least the 96 of a day"),
        ({"step": "1d", "issue_hour": 6}, "a daily series has no hour of issue"),
        ({"step": "7min"}, "allowed are 5min"),
    ],
)
def test_wrong_durations_are_told(task: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_table(TuneSettings, {"task": task}, origin="the options")


def test_the_data_set_gives_the_step(tmp_path: Path) -> None:
    toml = tmp_path / "sub.toml"
    toml.write_text(
        'name = "sub"\npath = "sub.csv"\ntarget = "load"\nunit = "MW"\nfrequency = "15min"\n'
        "[splits]\ntrain = 0.6\nvalidation = 0.2\n",
        encoding="utf-8",
    )
    settings = load_settings(None, {"dataset": str(toml), "task": {"horizon": "12h"}})
    assert settings.task.shape() == TaskShape(672, 48, steps_per_day=96)
    assert TuneSettings().task.step == "1h"


@pytest.mark.parametrize("frequency", FREQUENCIES)
@pytest.mark.parametrize("model", MODELS)
def test_a_default_config_lies_in_the_space_of_its_step(frequency: str, model: str) -> None:
    settings = TuneSettings(model=model, task={"step": frequency})  # type: ignore[arg-type]
    config = settings.default_of({})
    assert config is not None
    if "input_steps" in config:
        assert config["input_steps"] == settings.task.input_steps


def test_a_week_is_the_longest_window_that_is_searched_at_five_minutes() -> None:
    space = TuneSettings(task={"step": "5min"}).space_of_model()  # type: ignore[arg-type]
    assert max(space["input_steps"].values) == 7 * 288  # type: ignore[union-attr]


def test_weather_runs_are_not_for_daily_series() -> None:
    with pytest.raises(SettingsError, match=r"\[weather\] .* put the means of the days into"):
        Dataset.from_frame(
            make_frame("1d"),
            target="load",
            time="timestamp",
            frequency="1d",
            covariates={"temperature": {"role": "forecast", "source": "weather"}},
            weather=pd.DataFrame(),
        )


@pytest.mark.parametrize("step", ["5min", "15min", "30min", "1h", "1d"])
@pytest.mark.parametrize("model", sorted(MODELS))
def test_a_search_begins_with_the_default_of_the_step(model: str, step: str) -> None:
    settings = TuneSettings.model_validate({"model": model, "task": {"step": step}})
    per_day, space = settings.task.steps_per_day, settings.space_of_model()
    plan = plan_warm_start(model, space, n_trials=4, steps_per_day=per_day)
    assert plan.configs == (settings.default_of({}),)
    lengths = [plan.configs[0].get(name) for name in ("lags", "input_steps")]
    assert {int(n) / per_day for n in lengths if n is not None} <= {7.0, 28.0}
    assert MODELS[model].default_at(per_day).items() <= plan.configs[0].items()
