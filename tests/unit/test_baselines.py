import numpy as np
import pytest

from paretocast.errors import DataError
from paretocast.models.baselines.naive import POINT_FORECASTS, forecast_naive

LEVELS = (0.1, 0.5, 0.9)
HOURS = np.arange(24 * 100, dtype=np.float64)


def point(name: str, values: np.ndarray, position: int, horizon_steps: int = 24) -> np.ndarray:
    positions = np.array([position])
    return forecast_naive(name, values, positions, horizon_steps=horizon_steps, levels=LEVELS)[
        0, :, 1
    ]


def test_seasonal_naive_repeats_the_day_before() -> None:
    assert point("seasonal_naive_24", HOURS, 2000).tolist() == list(range(1976, 2000))


def test_seasonal_naive_repeats_its_last_season_over_a_longer_horizon() -> None:
    expected = [*range(1976, 2000), *range(1976, 2000)]
    assert point("seasonal_naive_24", HOURS, 2000, 48).tolist() == expected


def test_weekly_naive_repeats_the_week_before() -> None:
    assert point("seasonal_naive_168", HOURS, 2000)[:2].tolist() == [1832, 1833]


def test_the_weekday_hour_mean_is_that_of_four_weeks() -> None:
    assert point("weekday_hour_mean", HOURS, 2000)[0] == 2000 - 168 * 2.5


def test_the_median_is_the_point_forecast_even_where_the_method_is_biased() -> None:
    # A steady rise makes every error positive: their median would lift the forecast.
    forecast = forecast_naive(
        "seasonal_naive_24", HOURS, np.array([2000]), horizon_steps=24, levels=LEVELS
    )
    assert forecast[0, 0].tolist() == [1976, 1976, 2000]


def test_the_interval_comes_from_errors_of_the_trailing_weeks() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=24 * 400)
    positions = np.arange(24 * 100, 24 * 390, 24)
    forecast = forecast_naive(
        "weekday_hour_mean", values, positions, horizon_steps=24, levels=LEVELS
    )
    observed = values[positions[:, None] + np.arange(24)]
    covered = (observed >= forecast[:, :, 0]) & (observed <= forecast[:, :, 2])
    assert covered.mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("name", POINT_FORECASTS)
def test_a_gap_in_the_history_leaves_no_hole_in_the_forecast(name: str) -> None:
    values = HOURS.copy()
    values[1500:1990] = np.nan
    positions = np.array([2000])
    assert np.isfinite(
        forecast_naive(name, values, positions, horizon_steps=24, levels=LEVELS)
    ).all()


@pytest.mark.parametrize("name", POINT_FORECASTS)
def test_too_little_history_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="the first issue has 500"):
        forecast_naive(name, HOURS, np.array([500]), horizon_steps=24, levels=LEVELS)


def test_a_gap_far_away_changes_no_forecast() -> None:
    values = np.random.default_rng(0).normal(size=24 * 400)
    torn = values.copy()
    torn[24 * 380] = np.nan  # seen by the last windows alone
    positions = np.arange(24 * 100, 24 * 390, 24)
    whole, gap = (
        forecast_naive("seasonal_naive_24", v, positions, horizon_steps=24, levels=LEVELS)
        for v in (values, torn)
    )
    same = positions <= 24 * 380
    assert np.array_equal(whole[same], gap[same])
    assert np.isfinite(gap).all()
