"""The chosen trial seen closely: on forecasts whose faults were put there."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike

from outcomes import outcome_of
from paretocast.metrics.diagnostics import (
    Grouping,
    coverage_grid,
    error_quantiles,
    windows_by_error,
)
from paretocast.metrics.forecast import Forecast
from paretocast.report.review import forecast_parts, gap_text, rival_parts
from paretocast.results.review import KINDS, Review, compare, review_days, review_study
from paretocast.results.stored_study import StoredStudy
from runs import write_run
from samples import draw_sample

LEVELS = (0.1, 0.5, 0.9)


def forecast_around(observed: ArrayLike, *, offset: float = 0.0) -> Forecast:
    """An interval of 1 to both sides of a median of `offset`."""
    values = np.asarray(observed, dtype=np.float64)
    quantiles = np.broadcast_to(offset + np.array([-1.0, 0.0, 1.0]), (*values.shape, 3))
    return Forecast(quantiles, LEVELS, values)


def test_coverage_by_hour_and_month_is_counted_in_each_cell() -> None:
    # Rows: hour 0 and hour 1 of four days, two in January, two in March.
    forecast = forecast_around([[0.0, 5.0], [0.0, 0.5], [9.0, 0.0], [np.nan, 5.0]])
    hours = Grouping("local hour", np.tile([0, 1], (4, 1)), ("00", "01"))
    months = Grouping("month", np.array([[0, 0], [0, 0], [2, 2], [2, 2]]), ("Jan", "Feb", "Mar"))
    grid = coverage_grid(forecast, hours, months, target=80.0)
    assert (grid.rows, grid.columns) == (("00", "01"), ("Jan", "Mar"))
    assert grid.picp.tolist() == [[100.0, 0.0], [50.0, 50.0]]
    assert grid.n.tolist() == grid.n_windows.tolist() == [[2, 1], [2, 2]]


def test_a_cell_without_an_observation_is_none_and_points_outside_groups_do_not_count() -> None:
    forecast = forecast_around([[0.0, 5.0], [5.0, np.nan]])
    hours = Grouping("local hour", np.array([[0, 1], [0, -1]]), ("00", "01"))
    months = Grouping("month", np.array([[0, 0], [1, 1]]), ("Jan", "Feb"))
    grid = coverage_grid(forecast, hours, months, target=80.0)
    assert grid.picp[0].tolist() == [100.0, 0.0]
    assert grid.picp[1, 0] == 0.0
    assert np.isnan(grid.picp[1, 1])


def test_the_grid_adds_up_to_the_coverage_of_all() -> None:
    sample = draw_sample(np.random.default_rng(0), n_windows=60)
    hours = Grouping("hour", sample.groups["hour"], tuple(map(str, range(24))))
    seasons = Grouping("season", sample.groups["season"], ("a", "b", "c", "d"))
    grid = coverage_grid(sample, hours, seasons, target=80.0)
    lower, upper = sample.interval(80.0)
    inside = ((lower <= sample.observed) & (sample.observed <= upper)).mean()
    assert np.nansum(grid.picp * grid.n) / grid.n.sum() == pytest.approx(100.0 * inside)


def test_errors_are_observed_minus_median_by_step() -> None:
    forecast = forecast_around([[1.0, np.nan], [3.0, np.nan], [5.0, np.nan]], offset=1.0)
    quantiles = error_quantiles(forecast, (0.0, 0.5, 1.0))
    assert quantiles[0].tolist() == [0.0, 2.0, 4.0]
    assert np.isnan(quantiles[1]).all()


def test_days_are_ordered_by_their_error_and_one_with_a_gap_is_left_out() -> None:
    forecast = forecast_around([[3.0, 3.0], [0.0, 0.0], [1.0, np.nan], [1.0, 1.0]])
    windows, errors = windows_by_error(forecast)
    assert windows.tolist() == [1, 3, 0]
    assert errors.tolist() == [0.0, 1.0, 3.0]


def test_best_typical_and_worst_days_are_those() -> None:
    forecast = forecast_around([[float(i)] for i in range(31)])
    times = [pd.DatetimeIndex([f"2021-01-{i + 1:02d}"]) for i in range(31)]
    days = review_days(forecast, times, target=80.0)
    by_kind = {kind: [day.mae for day in days if day.kind == kind] for kind in KINDS}
    assert by_kind["best"] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert by_kind["typical"] == [13.0, 14.0, 15.0, 16.0, 17.0]
    assert by_kind["worst"] == [30.0, 29.0, 28.0, 27.0, 26.0]
    assert days[-5].times[0] == pd.Timestamp("2021-01-31")
    assert (days[0].picp, days[-1].picp) == (100.0, 0.0)


@pytest.mark.parametrize(("n", "expected"), [(0, 0), (1, 1), (2, 2), (5, 3), (14, 12)])
def test_few_days_are_shown_once_each(n: int, expected: int) -> None:
    forecast = forecast_around(np.arange(float(n)).reshape(n, 1))
    times = [pd.DatetimeIndex([f"2021-01-{i + 1:02d}"]) for i in range(n)]
    days = review_days(forecast, times, target=80.0)
    assert len(days) == len({day.mae for day in days}) == expected


def test_a_rival_that_is_worse_by_one_everywhere_is_worse_beyond_chance() -> None:
    sample = draw_sample(np.random.default_rng(1), n_windows=60)
    worse = sample.with_quantiles(sample.quantiles + 40.0)
    compared = compare((sample,), {"shifted": (worse,), "same": (sample,)}, coverage=80.0)
    shifted, same = compared.rivals
    assert shifted.gaps["mae"].high < 0.0
    gap = shifted.gaps["mae"].mean
    assert gap == pytest.approx(compared.scores["mae"] - shifted.scores["mae"])
    assert (same.gaps["mae"].low, same.gaps["mae"].high) == (0.0, 0.0)
    assert gap_text(same, "mae") == "+0.0 [+0.0, +0.0]"


def test_losses_are_the_mean_over_the_trainings_and_not_of_their_average() -> None:
    observed = np.zeros((20, 4))
    low, high = (forecast_around(observed.tolist(), offset=offset) for offset in (-1.0, 1.0))
    compared = compare((low, high), {}, coverage=80.0)
    assert compared.scores["mae"] == 1.0  # their average would have no error


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> tuple[Review, StoredStudy]:
    """A stored study of two trials, with a ridge that is fitted again."""
    study = StoredStudy.open(write_run(tmp_path_factory.mktemp("reviewed"), n_trials=2))
    records = [*study.records.values()]
    references = {"seasonal_naive_24": {"mae": 2.0, "picp": 80.0}}
    outcome = outcome_of(records, front=(0, 1), chosen=0, references=references)
    found = review_study(study.run, outcome, settings=study.settings, task=study.task())
    assert isinstance(found, Review)
    return found, study


def test_a_review_shows_days_of_the_calibrate_split_alone(
    review: tuple[Review, StoredStudy],
) -> None:
    found, study = review
    issues = study.task().issue_times("calibrate")
    assert {day.times[0] for day in found.days} <= set(issues)
    assert len(found.days) == 15
    assert found.comparisons["calibrate"].rivals[0].name == "seasonal_naive_24"
    assert found.comparisons["tune"].rivals[0].gaps["mae"].high < 0.0
    assert found.errors.shape == (24, 5)


def test_the_page_holds_the_days_of_its_picker_with_four_digits(
    review: tuple[Review, StoredStudy],
) -> None:
    html = "".join(forecast_parts(review[0]))
    content = re.search(r'id="day-days">(.*?)</script>', html)
    assert content is not None
    days = json.loads(content[1])
    assert html.count("<option ") == len(days) == 15
    assert [*re.findall(r'<optgroup label="([^"]+)"', html)] == [
        "Lowest error", "Typical error", "Highest error",
    ]  # fmt: skip
    assert len(days[0]["q"]) == len(review[0].levels)
    assert all(len(f"{abs(x):g}".replace(".", "").strip("0")) <= 4 for x in days[3]["o"])
    assert days[0]["said"] in html


def test_markup_in_a_unit_stays_text(review: tuple[Review, StoredStudy]) -> None:
    nasty = "</script><script>alert(1)</script>"
    found = replace(review[0], unit=nasty)
    html = "".join([*forecast_parts(found), *rival_parts(found, chosen=0)])
    assert nasty not in html
    assert "<script>alert" not in html


def test_the_table_of_rivals_gives_differences_with_their_intervals(
    review: tuple[Review, StoredStudy],
) -> None:
    html = "".join(rival_parts(review[0], chosen=0))
    assert "trial 0, chosen" in html
    assert re.search(r"seasonal naive 24.*?-\d+\.\d \[-\d+\.\d, -\d+\.\d\]", html, re.DOTALL)


def test_removed_forecasts_are_said_in_words(
    review: tuple[Review, StoredStudy], tmp_path: Path
) -> None:
    _, study = review
    run = replace(study.run, workspace=tmp_path)
    outcome = outcome_of([*study.records.values()], front=(0,), chosen=0)
    found = review_study(run, outcome, settings=study.settings, task=study.task())
    assert isinstance(found, str)
    assert "were removed" in forecast_parts(found)[0]
    assert rival_parts(found, chosen=0) == []
