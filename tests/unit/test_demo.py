from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from commands import write_demo_csv
from paretocast.data import generate_demo, load_dataset
from paretocast.data.demo import DemoTruth
from paretocast.data.series import Role
from paretocast.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95)


def test_the_same_seed_gives_the_same_series_and_another_seed_another() -> None:
    first, _ = generate_demo(3, days=40)
    same, _ = generate_demo(3, days=40)
    other, _ = generate_demo(4, days=40)
    assert (first.values == same.values).all()
    assert not np.isclose(first.values, other.values).any()


def test_three_years_are_generated_within_a_second() -> None:
    started = time.process_time()
    series, _ = generate_demo()
    assert time.process_time() - started < 1.0
    assert len(series) == 3 * 365 * 24
    assert str(series.index[-1]) == "2023-12-31 23:00:00+00:00"


def test_the_demand_is_positive_and_complete() -> None:
    series, _ = generate_demo()
    assert series.values.min() > 0.0
    assert np.isfinite(series.values).all()


def test_weather_is_known_ahead_as_a_forecast() -> None:
    series, _ = generate_demo(days=40)
    assert [(c.name, c.role) for c in series.covariates] == [
        ("temperature", Role.FORECAST),
        ("wind", Role.FORECAST),
    ]


def test_quantiles_of_a_known_state_are_worked_by_hand() -> None:
    # State 2 at issue, persistence 0.5: after one hour mean 10 + 3 * 1, sd 3 * sqrt(1 - 1/4);
    # after two 20 + 4 * 0.5 and 4 * sqrt(1 - 1/16).
    truth = DemoTruth(
        mean=np.array([0.0, 10.0, 20.0]),
        spread=np.array([1.0, 3.0, 4.0]),
        noise=np.array([2.0, 0.0, 0.0]),
        persistence=0.5,
    )
    quantiles = truth.quantiles(np.array([1]), horizon_steps=2, levels=[0.5, 0.8413447460685429])
    assert quantiles.shape == (1, 2, 2)
    assert quantiles[0, :, 0].tolist() == pytest.approx([13.0, 22.0])
    assert quantiles[0, :, 1].tolist() == pytest.approx([13 + 3 * 0.75**0.5, 22 + 4 * 0.9375**0.5])


def test_every_level_covers_its_share_of_the_demand() -> None:
    series, truth = generate_demo()
    positions = np.arange(24, len(series) - 24, 24)
    quantiles = truth.quantiles(positions, horizon_steps=24, levels=LEVELS)
    observed = series.values[positions[:, None] + np.arange(24)]
    share = (observed[:, :, None] <= quantiles).mean(axis=(0, 1))
    assert share.tolist() == pytest.approx(LEVELS, abs=0.01)


def test_the_first_hour_ahead_is_covered_too() -> None:
    # Wrong decay or a state one hour off would still cover well on the average of a day.
    series, truth = generate_demo()
    positions = np.arange(1, len(series) - 1)
    quantiles = truth.quantiles(positions, horizon_steps=1, levels=[0.1, 0.9])[:, 0]
    below = series.values[positions, None] <= quantiles
    assert below.mean(axis=0).tolist() == pytest.approx([0.1, 0.9], abs=0.01)
    surprise = below[:, 0].astype(float)
    assert abs(np.corrcoef(surprise[1:], surprise[:-1])[0, 1]) < 0.03


def test_intervals_widen_with_the_lead_at_the_same_hour() -> None:
    _, truth = generate_demo(days=40)
    # The same hour 500 is the first step of one window and the twelfth of another.
    first = truth.quantiles(np.array([500]), horizon_steps=12, levels=[0.1, 0.9])[0, 0]
    later = truth.quantiles(np.array([489]), horizon_steps=12, levels=[0.1, 0.9])[0, 11]
    assert first[1] - first[0] < later[1] - later[0]


def test_the_spread_depends_on_temperature_and_hour() -> None:
    series, truth = generate_demo()
    relative = truth.spread / truth.mean
    hour = series.index.tz_convert("Europe/Copenhagen").hour.to_numpy()
    cold = series.covariates[0].values < 2.0
    warm = series.covariates[0].values > 12.0
    assert relative[cold & (hour == 3)].mean() > 1.05 * relative[warm & (hour == 3)].mean()
    assert relative[cold & (hour == 14)].mean() > 1.05 * relative[cold & (hour == 3)].mean()


def test_the_morning_peak_keeps_its_local_hour_through_the_year() -> None:
    series, truth = generate_demo()
    local = series.index.tz_convert("Europe/Copenhagen")
    workday = local.day_of_week < 5
    for month in (1, 7):
        mornings = workday & (local.month == month) & (local.hour < 12)
        profile = pd.Series(truth.mean[mornings]).groupby(local.hour[mornings]).mean()
        assert profile.idxmax() == 7


@pytest.mark.parametrize(("position", "horizon"), [(0, 24), (40 * 24 - 23, 24)])
def test_a_window_outside_the_series_is_refused(position: int, horizon: int) -> None:
    _, truth = generate_demo(days=40)
    with pytest.raises(DataError, match=r"expected 1 to 936 for a horizon of 24"):
        truth.quantiles(np.array([position]), horizon_steps=horizon, levels=[0.5])


def test_the_named_set_is_the_generated_series_with_its_periods() -> None:
    dataset = load_dataset("demo")
    series, _ = generate_demo()
    assert (dataset.series.values == series.values).all()
    assert dataset.series.unit == dataset.spec.unit == "kWh per hour per meter"
    assert [c.unit for c in dataset.series.covariates] == ["°C", "m/s"]
    dates = dataset.dates
    ends = (dates.train_to, dates.validation_to, dates.test_to)
    lengths = np.diff([0, *(series.index.searchsorted(end, side="right") for end in ends)])
    shares = lengths / len(series)
    assert shares.tolist() == pytest.approx([0.498, 0.333, 0.168], abs=0.01)


def test_covariates_of_the_demo_can_be_left_out() -> None:
    assert load_dataset("DEMO", covariates=[]).series.covariates == ()
    named = load_dataset("demo", covariates=["wind"]).series.covariates
    assert [c.name for c in named] == ["wind"]


def test_an_exported_demo_reads_back_as_the_same_series(tmp_path: Path) -> None:
    write_demo_csv(tmp_path / "zone.csv.gz", days=200)
    (tmp_path / "zone.toml").write_text(
        """
        name = "zone"
        path = "zone.csv.gz"
        target = "heat"
        unit = "kWh"
        zone = "Europe/Copenhagen"
        [covariates.temperature]
        role = "forecast"
        [splits]
        train = 0.6
        validation = 0.2
        """,
        encoding="utf-8",
    )
    read = load_dataset(tmp_path / "zone.toml").series
    series, _ = generate_demo(days=200)
    assert read.index.equals(series.index)
    assert read.values == pytest.approx(series.values, rel=1e-12)
    assert read.covariates[0].values == pytest.approx(series.covariates[0].values, rel=1e-12)
