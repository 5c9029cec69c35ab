"""Weather by its time of issue: what a forecast may know of it, and what it must not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from builders import START, make_dates, make_series
from paretocast.api.frames import save_dataset
from paretocast.data import Dataset, check_dataset, load_dataset
from paretocast.data.features import build_features
from paretocast.data.issue_weather import with_issue_weather, with_weather_error
from paretocast.data.run_parsing import examine_runs
from paretocast.data.scaling import Transform, scale_task
from paretocast.data.series import Calendar, Covariate, Role, Series
from paretocast.data.task import Task, TaskShape, plan_task
from paretocast.data.weather_runs import WeatherRuns
from paretocast.deployment.inputs import InputColumn, InputContract, WeatherTable
from paretocast.errors import DataError, SettingsError
from paretocast.models import fitted
from paretocast.models.baselines import lightgbm
from paretocast.models.baselines.base import train_scaling
from paretocast.models.baselines.catalogue import fit_baseline
from paretocast.models.linear_table import FULL, LinearForm, LinearTable
from paretocast.training.windows import WindowSource

HOUR = pd.Timedelta(hours=1)
Floats = NDArray[np.float64]
H = 24


def make_runs(
    series: Series,
    *,
    every: int = 6,
    n_leads: int = 31,
    delay_minutes: int = 20,
    drop: float = 0.0,
    seed: int = 1,
) -> WeatherRuns:
    """Temperature and wind: the truth with an error that is a run's own and grows with the lead."""
    rng = np.random.default_rng(seed)
    truth = series.covariates[0].values
    start = np.arange(-every, len(series), every)
    run, lead = (axis.ravel() for axis in np.mgrid[: len(start), :n_leads])
    hour, error = start[run] + lead, rng.normal(size=len(start))[run]
    there = (hour >= 0) & (hour < len(series)) & ((hour == 0) | (rng.random(len(hour)) >= drop))
    run, lead, hour, error = run[there], lead[there], hour[there], error[there]
    issued = series.index[0] + start[run] * HOUR + pd.Timedelta(minutes=delay_minutes)
    return WeatherRuns(
        ("temperature", "wind"),
        pd.DatetimeIndex(issued).as_unit("ns"),
        pd.DatetimeIndex(series.index[0] + hour * HOUR).as_unit("ns"),
        np.column_stack([truth[hour] + 0.1 * lead * error, 5.0 + error]),
    )


def with_runs(series: Series, runs: WeatherRuns) -> Series:
    """The series with temperature and wind by run, and its pressure."""
    column = runs.shortest_lead(series.index)
    return replace(
        series,
        covariates=(
            Covariate("temperature", column[:, 0], Role.FORECAST, "°C"),
            Covariate("wind", column[:, 1], Role.FORECAST, "m/s"),
            series.covariates[1],
        ),
        runs=runs,
    )


def make_runs_task(runs: WeatherRuns | None = None, *, n_days: int = 130) -> Task:
    series = make_series(n_days)
    series = with_runs(series, make_runs(series) if runs is None else runs)
    shape = TaskShape(input_steps=48, horizon_steps=H)
    return plan_task(series, make_dates(series), shape=shape, with_test=True)


def slow_value(runs: WeatherRuns, at: pd.Timestamp, hour: pd.Timestamp, column: int) -> float:
    """Value of an hour known at a time: run by run from the newest back, 24 h at most."""
    table = pd.DataFrame({"issued": runs.issued, "valid": runs.valid, "v": runs.values[:, column]})
    stamps = sorted({stamp for stamp in runs.issued if stamp <= at}, reverse=True)
    for stamp in stamps:
        if stamps[0] - stamp > pd.Timedelta(hours=24):
            break
        found = table[(table.issued == stamp) & (table.valid == hour)].v.dropna()
        if len(found):
            return float(found.iloc[0])
    return float("nan")


def changed(runs: WeatherRuns, rows: NDArray[np.bool_]) -> WeatherRuns:
    values = runs.values.copy()
    values[rows] += 7.0
    return replace(runs, values=values)


@pytest.mark.parametrize("drop", [0.0, 0.4])
def test_a_window_reads_the_newest_run_and_then_older_ones(drop: float) -> None:
    series = make_series(8)
    runs = make_runs(series, every=7, n_leads=12, drop=drop)
    cells = runs.cells(series.index, H)
    values = runs.at(series.index, cells)
    for position in (0, 1, 30, 31, 77, 100):
        for step in (0, 1, 5, 11, 12, 23):
            cell = cells.first[position] + step
            hour = series.index[position + step]
            assert cells.hours[cell] == position + step
            expected = slow_value(runs, series.index[position], hour, 0)
            np.testing.assert_equal(values[cell, 0], expected)


def test_a_run_counts_from_the_minute_it_was_issued() -> None:
    hours = pd.date_range(START, periods=4, freq="h")
    for minutes, known in ((60, [np.nan, 5.0, 5.0, 5.0]), (61, [np.nan, np.nan, 5.0, 5.0])):
        issued = pd.DatetimeIndex([START + pd.Timedelta(minutes=minutes)] * 4)
        runs = WeatherRuns(("t",), issued, hours, np.full((4, 1), 5.0))
        np.testing.assert_equal(runs.shortest_lead(hours)[:, 0], known)


def test_a_run_older_than_a_day_stands_in_for_nothing() -> None:
    hours = pd.date_range(START, periods=60, freq="h")
    for age, expected in ((24, 1.0), (25, np.nan)):
        first, second = hours[30 - age], hours[30]
        runs = WeatherRuns(
            ("t",),
            pd.DatetimeIndex([first, second]),
            pd.DatetimeIndex([hours[32], hours[31]]),
            np.array([[1.0], [2.0]]),
        )
        cells = runs.cells(hours, 3)
        found = runs.at(hours, cells)[cells.first[30] : cells.first[30] + 3, 0]
        np.testing.assert_equal(found, [np.nan, 2.0, expected])


def live_series(series: Series, position: int) -> Series:
    """The series as it was known at an issue, up to the end of the horizon."""
    index = series.index[: position + H]
    values = series.values[: position + H].copy()
    values[position:] = np.nan
    assert series.runs is not None
    column = series.runs.issued_by(index[position]).shortest_lead(index)
    return replace(
        series,
        values=values,
        index=index,
        covariates=(
            replace(series.covariates[0], values=column[:, 0]),
            replace(series.covariates[1], values=column[:, 1]),
            replace(series.covariates[2], values=series.covariates[2].values[: position + H]),
        ),
        runs=None,
    )


@pytest.mark.parametrize("drop", [0.0, 0.7])
def test_features_of_a_backtest_are_those_of_a_live_series(drop: float) -> None:
    series = make_series(20)
    runs = make_runs(series, every=30, n_leads=40, drop=drop, delay_minutes=0)
    series = with_runs(series, runs)
    table = with_issue_weather(build_features(series), series, H)
    for position in (50, 95, 96, 200, 301):
        expected = build_features(live_series(series, position)).known.values
        seen = table.known.horizon(np.array([position]), H)[0]
        np.testing.assert_array_equal(seen, expected[position:])
        np.testing.assert_array_equal(table.known.values[:position], expected[:position])


def linear_columns(task: Task, position: int) -> Floats:
    table = LinearTable(task, train_scaling(task))
    return table.columns(LinearForm(FULL), np.array([position]))


def network_inputs(task: Task, position: int) -> Floats:
    arrays, _ = scale_task(task, Transform.NONE)
    source = WindowSource(arrays, input_steps=48, horizon_steps=H, device="cpu")
    return source.inputs(torch.tensor([position])).known.numpy()


def tree_rows(task: Task, position: int) -> Floats:
    at = np.array([position])
    table = LinearTable(task, train_scaling(task))
    rows = (
        lightgbm._rows(task, at, (-np.inf, np.inf))[0],
        fitted._rows(table, at, None, weather=True)[0],
    )
    return np.hstack(rows)


def ridge_forecast(task: Task, position: int) -> Floats:
    return fit_baseline("ridge", task).forecast(task, np.array([position]))


@pytest.mark.parametrize("see", [linear_columns, network_inputs, tree_rows, ridge_forecast])
def test_a_later_run_changes_nothing_and_the_newest_one_does(
    see: Callable[[Task, int], Floats],
) -> None:
    series = make_series()
    runs = make_runs(series)
    task = make_runs_task(runs)
    position = int(task.issues["test"][3])
    issue = series.index[position]
    before = see(task, position)
    later = see(make_runs_task(changed(runs, runs.issued > issue)), position)
    np.testing.assert_array_equal(later, before)
    newest = runs.issued == runs.issued[runs.issued <= issue].max()
    inside = np.asarray(newest & (runs.valid >= issue + 5 * HOUR))
    assert not np.array_equal(see(make_runs_task(changed(runs, inside)), position), before)


def test_the_network_reads_each_columns_own_value() -> None:
    task = make_runs_task()
    known = task.features.known
    positions = task.issues["test"][:4]
    arrays, _ = scale_task(task, Transform.NONE)
    source = WindowSource(arrays, input_steps=48, horizon_steps=H, device="cpu")
    seen = source.inputs(torch.from_numpy(positions)).known.numpy()
    train = known.values[: task.train_stop]
    expected = (known.horizon(positions, H) - train.mean(axis=0)) / train.std(axis=0)
    np.testing.assert_allclose(seen[:, 48:], expected, atol=1e-5)
    calendar = [i for i, role in enumerate(known.roles) if role is Role.CALENDAR]
    hours = positions[:, None] + np.arange(H)
    ahead = known.horizon(positions, H)
    assert np.array_equal(ahead[..., calendar], known.values[hours][..., calendar])
    squared = known.names.index("temperature_squared")
    celsius = known.names.index("temperature")
    np.testing.assert_allclose(ahead[..., squared], ahead[..., celsius] ** 2)
    assert np.abs(ahead[..., celsius] - known.values[hours][..., celsius]).max() > 0.5


def test_runs_take_away_the_assumption_and_are_in_the_manifest() -> None:
    task = make_runs_task()
    assert task.assumptions == ()
    runs = task.series.runs
    assert runs is not None
    assert "perfect" in make_task_of(make_series()).assumptions[0]
    development = task.series.index[0] + 24 * 102 * HOUR
    early = make_runs_task(changed(runs, np.asarray(runs.issued < development - 9 * HOUR)))
    late = make_runs_task(changed(runs, np.asarray(runs.issued >= development)))
    assert early.manifest()["weather_sha256"] != task.manifest()["weather_sha256"]
    assert late.manifest() == task.manifest()


def test_a_task_without_its_test_period_holds_no_run_of_it() -> None:
    series = make_runs_task().series
    dates = make_dates(series)
    task = plan_task(series, dates, shape=TaskShape(input_steps=48, horizon_steps=H))
    assert task.series.runs is not None
    assert task.series.runs.issued.max() <= dates.validation_to + HOUR
    assert task.series.runs.valid.max() <= dates.validation_to


def make_task_of(series: Series) -> Task:
    shape = TaskShape(input_steps=48, horizon_steps=H)
    return plan_task(series, make_dates(series), shape=shape, with_test=True)


def test_an_error_of_the_weather_is_in_the_horizon_of_its_windows_alone() -> None:
    task = make_task_of(make_series(500))
    positions = task.issues["test"]
    table = with_weather_error(task.features, task.series, positions, H, error=1.5)
    column = table.names.index("temperature")
    error = (table.horizon(positions, H) - task.features.horizon(positions, H))[..., column]
    assert error.std() == pytest.approx(1.5, rel=0.05)
    assert np.corrcoef(error[:, 3], error[:, 4])[0, 1] == pytest.approx(0.9, abs=0.03)
    assert np.array_equal(table.values, task.features.values)
    others = np.setdiff1d(task.issues["train"], positions)
    assert np.array_equal(table.horizon(others, H), task.features.horizon(others, H))
    again = with_weather_error(task.features, task.series, positions, H, error=1.5)
    assert np.array_equal(again.horizon(positions, H), table.horizon(positions, H))
    with pytest.raises(SettingsError, match="no temperature that stands in for its own forecast"):
        with_weather_error(task.features, make_runs_task().series, positions, H, error=1.5)


SPEC = """name = "small"
path = "small.csv"
target = "demand"
unit = "m³/h"
zone = "Europe/Copenhagen"

[weather]
path = "nwp.csv"

[covariates.temperature]
role = "forecast"
source = "weather"
column = "t2m"
unit = "°C"

[covariates.mast]
role = "forecast"
kind = "wind"
source = "weather"

[splits]
train = 0.5
validation = 0.3
"""


def file_runs(*, n_leads: int = 49) -> WeatherRuns:
    """A run a day, the next one before the last ends."""
    return make_runs(make_series(), every=24, n_leads=n_leads)


def write_files(folder: Path, runs: WeatherRuns, *, spec: str = SPEC) -> Path:
    series = make_series()
    folder.mkdir(exist_ok=True)
    stamps = series.index.strftime("%Y-%m-%dT%H:%M:%SZ")
    target = pd.DataFrame({"timestamp": stamps, "demand": series.values})
    target.to_csv(folder / "small.csv", index=False)
    runs_frame(runs).to_csv(folder / "nwp.csv", index=False)
    (folder / "small.toml").write_text(spec, encoding="utf-8")
    return folder / "small.toml"


def runs_frame(runs: WeatherRuns) -> pd.DataFrame:
    stamps = {"issued_at": runs.issued, "valid_at": runs.valid}
    return pd.DataFrame({**stamps, "t2m": runs.values[:, 0], "mast": runs.values[:, 1]})


def test_a_declared_file_of_runs_is_read_and_written_again_alike(tmp_path: Path) -> None:
    runs = file_runs()
    shuffled = np.random.default_rng(0).permutation(len(runs.issued))
    mixed = replace(
        runs,
        issued=runs.issued[shuffled],
        valid=runs.valid[shuffled],
        values=runs.values[shuffled],
    )
    dataset = load_dataset(write_files(tmp_path, mixed))
    assert dataset.series.runs is not None
    assert dataset.series.runs.names == ("temperature", "wind_mast")
    assert dataset.series.runs.issued.equals(runs.issued)
    np.testing.assert_array_equal(dataset.series.runs.values, runs.values)
    column = runs.shortest_lead(dataset.series.index)
    np.testing.assert_array_equal(dataset.series.covariates[1].values, column[:, 1])
    again = load_dataset(save_dataset(dataset, tmp_path))
    assert again.series.runs is not None
    assert again.series.runs.sha256 == dataset.series.runs.sha256


def test_a_frame_of_runs_is_a_file_of_runs(tmp_path: Path) -> None:
    series, runs = make_series(), file_runs()
    written = load_dataset(write_files(tmp_path, runs))
    frame = pd.DataFrame({"demand": series.values}, index=series.index)
    source = {"role": "forecast", "source": "weather"}
    framed = Dataset.from_frame(
        frame,
        target="demand",
        covariates={
            "temperature": {**source, "column": "t2m"},
            "mast": {**source, "kind": "wind"},
        },
        weather=runs_frame(runs),
    )
    assert framed.series.runs is not None
    assert written.series.runs is not None
    assert framed.series.runs.sha256 == written.series.runs.sha256


def test_without_its_covariates_no_runs_are_needed(tmp_path: Path) -> None:
    spec = write_files(tmp_path, file_runs())
    (tmp_path / "nwp.csv").unlink()
    assert load_dataset(spec, covariates=[]).series.runs is None
    with pytest.raises(DataError, match=r"no file .*nwp\.csv"):
        load_dataset(spec)


def spoilt(runs: WeatherRuns, how: str) -> WeatherRuns:
    twice = np.append(np.arange(len(runs.issued)), 40)
    return {
        "duplicates": replace(
            runs,
            issued=runs.issued[twice],
            valid=runs.valid[twice],
            values=runs.values[twice],
        ),
        "frequency": replace(runs, valid=runs.valid + pd.Timedelta(minutes=30)),
        "issued_late": replace(runs, issued=runs.valid, valid=runs.issued.floor("h")),
    }[how]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("duplicates", "1 hour in more than one row of one run, the first is "),
        ("frequency", "valid_at are no full hours in UTC"),
        ("issued_late", "issued_at and valid_at are mistaken for each other"),
    ],
)
def test_runs_that_cannot_be_used_are_refused(tmp_path: Path, how: str, message: str) -> None:
    spec = write_files(tmp_path, spoilt(file_runs(), how))
    with pytest.raises(DataError, match=f"weather runs: .*{message}"):
        load_dataset(spec)


def test_what_the_newest_run_lacks_is_told(tmp_path: Path) -> None:
    whole = check_dataset(write_files(tmp_path, file_runs()))
    assert "run_holes" not in {finding.code for finding in whole}
    short = file_runs(n_leads=30)
    (finding,) = (f for f in check_dataset(write_files(tmp_path, short)) if f.code == "run_holes")
    assert finding.severity == "warning"
    late = replace(short, issued=short.issued + pd.Timedelta(hours=3))
    codes = {f.code for f in check_dataset(write_files(tmp_path, late)) if f.severity == "note"}
    assert "issued_late" in codes


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[weather]\npath", "[note2]\npath", "note2"),
        ('[weather]\npath = "nwp.csv"\n', "", r"no section \[weather\] names a file"),
        ('source = "weather"\n', "", "a file that no covariate reads"),
        ('role = "forecast"', 'role = "past"', "source weather goes with role forecast"),
    ],
)
def test_a_half_declared_file_of_runs_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    spec = write_files(tmp_path, file_runs(), spec=SPEC.replace(old, new))
    with pytest.raises(SettingsError, match=message):
        load_dataset(spec)


def make_contract(dataset: Dataset) -> InputContract:
    columns = (
        InputColumn("temperature", "temperature", "forecast", "°C", -20.0, 40.0),
        InputColumn("wind_mast", "mast", "forecast", "m/s", 0.0, 30.0),
    )
    return InputContract(
        spec=dataset.spec,
        calendar=dataset.series.calendar,
        columns=columns,
        shape=TaskShape(input_steps=48, horizon_steps=H),
        feature_groups=None,
        history_steps=96,
        window_steps=48,
        low=0.0,
        high=50.0,
        delay_hours=0,
        standards={},
    )


@pytest.mark.parametrize("drop", [0.0, 0.2])
def test_a_live_window_reads_what_a_backtest_reads(tmp_path: Path, drop: float) -> None:
    runs = make_runs(make_series(), every=24, n_leads=73, drop=drop)
    dataset = load_dataset(write_files(tmp_path, runs))
    series = dataset.series
    table = with_issue_weather(build_features(series), series, H).known
    history = pd.read_csv(tmp_path / "small.csv")
    # Measured weather beside the target is no forecast: it must not be taken for one.
    history["t2m"] = 99.0
    inputs = make_contract(dataset).read(history, pd.read_csv(tmp_path / "nwp.csv"))
    for position in (24 * 50, 24 * 60 + 7):
        window = inputs.cut(series.index[position])
        assert window.weather is not None
        assert window.weather.filled == (drop > 0.0)
        live = window.task().features.known
        assert live.names == table.names
        np.testing.assert_array_equal(live.values[:96], table.values[position - 96 : position])
        expected = table.horizon(np.array([position]), H)[0]
        np.testing.assert_array_equal(live.values[96:], expected)


def test_a_live_run_that_is_a_day_old_is_no_weather(tmp_path: Path) -> None:
    dataset = load_dataset(write_files(tmp_path, make_runs(make_series(), every=24, n_leads=72)))
    runs = pd.read_csv(tmp_path / "nwp.csv")
    at = dataset.series.index[24 * 50]
    runs = runs[pd.to_datetime(runs["issued_at"]) <= at - pd.Timedelta(hours=25)]
    window = make_contract(dataset).read(pd.read_csv(tmp_path / "small.csv"), runs).cut(at)
    assert window.lacks_weather
    assert "weather_missing:temperature" in window.flags()


def test_models_of_measured_weather_take_the_past_from_any_run() -> None:
    hours = pd.date_range(START, periods=6, freq="h")
    issued = pd.DatetimeIndex([hours[4]] * 6)
    runs = WeatherRuns(("t",), issued, hours, np.arange(6.0)[:, None])
    for learned, expected in ((False, [0, 1, 2, 3, 4, 5]), (True, [np.nan] * 4 + [4, 5])):
        known = WeatherTable(None, runs, learned=learned).known_at(hours[4], hours)
        np.testing.assert_equal(known.values["t"].to_numpy(), expected)


def test_runs_after_the_end_of_a_study_change_nothing(tmp_path: Path) -> None:
    runs = file_runs()
    until = make_series().index[24 * 120 - 1]
    spec = write_files(tmp_path, runs)
    table = pd.read_csv(tmp_path / "nwp.csv", dtype=str)
    later = pd.to_datetime(table["valid_at"]) > until
    table[~later].to_csv(tmp_path / "nwp.csv", index=False)
    before = load_dataset(spec, until=until)
    table.loc[later, "t2m"] = "broken"
    table.to_csv(tmp_path / "nwp.csv", index=False)
    after = load_dataset(spec, until=until)
    assert before.series.runs is not None
    assert after.series.runs is not None
    assert before.series.runs.sha256 == after.series.runs.sha256
    with pytest.raises(DataError, match="broken"):
        load_dataset(spec)


def test_a_model_of_runs_needs_runs(tmp_path: Path) -> None:
    contract = make_contract(load_dataset(write_files(tmp_path, file_runs())))
    history, runs = pd.read_csv(tmp_path / "small.csv"), pd.read_csv(tmp_path / "nwp.csv")
    with pytest.raises(DataError, match="needs mast, t2m from weather runs"):
        contract.read(history.assign(t2m=1.0, mast=1.0))
    with pytest.raises(DataError, match="no column issued_at; the model has learned from"):
        contract.read(history, runs.drop(columns="issued_at"))
    with pytest.raises(DataError, match="1 hour in more than one row"):
        contract.read(history, pd.concat([runs, runs.tail(1)]))


# Other steps than hours


def run_rows(
    issued: pd.DatetimeIndex, step: pd.Timedelta, n_leads: int, *, late: str = "20min"
) -> pd.DataFrame:
    """Runs published some minutes after each time, whose value is the number of the run."""
    parts = [
        pd.DataFrame(
            {
                "issued_at": start + pd.Timedelta(late),
                "valid_at": pd.date_range(start, periods=n_leads, freq=step),
                "t": float(number),
            }
        )
        for number, start in enumerate(issued)
    ]
    return pd.concat(parts, ignore_index=True)


def of_quarters(n_days: int, weather: pd.DataFrame) -> Dataset:
    """A made series of quarter-hours with a temperature by run."""
    index = pd.date_range("2024-01-01", periods=96 * n_days, freq="15min", tz="UTC")
    values = 10.0 + np.random.default_rng(0).normal(size=len(index))
    return Dataset.from_frame(
        pd.DataFrame({"load": values}, index=index),
        target="load",
        frequency="15min",
        weather=weather,
        covariates={"t": {"role": "forecast", "source": "weather"}},
    )


@pytest.mark.parametrize("minutes", [15, 60])
def test_runs_of_hours_and_of_quarters_serve_a_series_of_quarters(minutes: int) -> None:
    n_days, step = 70, pd.Timedelta(minutes=minutes)
    issued = pd.date_range("2023-12-31T18:00", periods=4 * n_days + 1, freq="6h", tz="UTC")
    rows = run_rows(issued, step, round(pd.Timedelta("3D") / step))
    rows["t"] += rows["valid_at"].dt.hour / 100.0 + rows["valid_at"].dt.minute / 10000.0
    dataset = of_quarters(n_days, rows)
    series = dataset.series
    assert not [f for f in dataset.findings if f.code in {"run_holes", "covariate_holes"}]
    table = with_issue_weather(build_features(series), series, 96).known
    known = table.names.index("t")
    for position in (96 * 40, 96 * 41 + 3):  # at 0:00 the run of 18:00 is the newest, until 0:20
        at = series.index[position]
        run = int((issued + pd.Timedelta("20min") <= at).sum()) - 1
        hours = series.index[position : position + 96]
        minute = hours.minute if minutes == 15 else 0.0
        expected = run + hours.hour / 100.0 + minute / 10000.0
        horizon = table.horizon(np.array([position]), 96)[0][:, known]
        np.testing.assert_allclose(horizon, expected, atol=1e-9)


def test_a_hole_of_a_run_of_quarters_is_filled_by_hours_and_not_by_steps() -> None:
    issued = pd.date_range("2023-12-31T18:00", periods=282, freq="6h", tz="UTC")
    rows = run_rows(issued, HOUR, 18)  # the last quarter of a day ahead is in no run
    dataset = of_quarters(70, rows)
    series = dataset.series
    table = with_issue_weather(build_features(series), series, 96).known
    position = 96 * 40 + 4 * 5
    horizon = table.horizon(np.array([position]), 96)[0][:, table.names.index("t")]
    newest = 40 * 4  # issued at 0:20 and reaching to 18:00; the older ones end before
    assert (horizon[: 4 * 13] == newest + 1).all()
    held = horizon[4 * 13 : 4 * (13 + 3)]
    assert (held == newest + 1).all()  # three hours of the last value, not three quarters


def test_the_end_of_the_targets_steps_is_not_that_of_runs() -> None:
    series, runs = make_series(), make_runs(make_series(), every=24, n_leads=73)
    frame = pd.DataFrame({"v": series.values}, index=series.index)
    source = {"role": "forecast", "source": "weather"}
    read = Dataset.from_frame(
        frame,
        target="v",
        covariates={"temperature": source, "wind": source},
        weather=pd.DataFrame(
            {"issued_at": runs.issued, "valid_at": runs.valid, "temperature": runs.values[:, 0]}
        ).assign(wind=runs.values[:, 1]),
    )
    assert read.series.runs is not None
    spec = read.spec.model_copy(update={"stamps": "end"})
    table = pd.DataFrame({"issued_at": runs.issued, "valid_at": runs.valid, "temperature": 1.0})
    ended, _ = examine_runs(table, spec, covariates=["temperature"])
    assert ended is not None
    assert ended.issued.equals(read.series.runs.issued)
    assert ended.valid.equals(read.series.runs.valid)


def test_an_error_of_the_weather_forgets_itself_by_hours_and_not_by_steps() -> None:
    n_steps = 96 * 70
    index = pd.date_range("2024-01-01", periods=n_steps, freq="15min", tz="UTC")
    rng = np.random.default_rng(0)
    covariate = Covariate("temperature", np.zeros(n_steps), Role.FORECAST)
    series = Series("q", 5.0 + rng.random(n_steps), index, "kW", Calendar(), (covariate,))
    positions = np.arange(96, n_steps - 96, 96)
    table = with_weather_error(build_features(series), series, positions, 96, error=2.0).known
    errors = table.horizon(positions, 96)[:, :, table.names.index("temperature")]
    after_an_hour = np.corrcoef(errors[:, :-4].ravel(), errors[:, 4:].ravel())[0, 1]
    assert after_an_hour == pytest.approx(0.9, abs=0.03)
