"""Diagnostics of a forecast whose faults are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders import make_series, make_task
from paretocast.errors import DataError
from paretocast.metrics.diagnostics import (
    Diagnosis,
    Grouping,
    demand_grouping,
    diagnose,
    lead_grouping,
)
from paretocast.metrics.forecast import Forecast
from paretocast.report import diagnosis_page, worst_sentence
from paretocast.results.groups import (
    calibration_groups,
    forecast_of,
    issue_hours,
    task_groupings,
)
from samples import LEVELS, draw_sample


def diagnosis(*, fault: bool) -> Diagnosis:
    """80 days; with a fault, the intervals of steps 11 and 12 are five times too narrow."""
    sample = draw_sample(np.random.default_rng(1), n_windows=80)
    quantiles = sample.quantiles.copy()
    if fault:
        middle = quantiles[:, 10:12, 5:6]
        quantiles[:, 10:12] = middle + 0.2 * (quantiles[:, 10:12] - middle)
    forecast = sample.with_quantiles(quantiles)
    groupings = (lead_grouping(80, 24), demand_grouping(forecast))
    return diagnose(forecast, groupings, target=80.0)


def test_the_worst_group_is_where_the_fault_was_put() -> None:
    worst = diagnosis(fault=True).worst
    assert worst is not None
    assert (worst.grouping, worst.group.label) in {("lead time", "11"), ("lead time", "12")}
    assert worst.group.picp < 40.0
    assert worst.differs_from(80.0)
    assert worst.n_looked_at == 34
    assert worst.low < worst.group.low
    assert worst.high > worst.group.high
    assert "given 34 groups" in worst_sentence(worst, 80.0)


def test_an_honest_forecast_has_a_worst_group_that_chance_explains() -> None:
    worst = diagnosis(fault=False).worst
    assert worst is not None
    assert not worst.differs_from(80.0)
    assert "consistent with chance, given" in worst_sentence(worst, 80.0)


def test_groups_add_up_to_the_whole() -> None:
    result = diagnosis(fault=True)
    for breakdown in result.breakdowns:
        assert sum(group.n for group in breakdown.groups) == result.overall.n == 80 * 24
        hits = sum(group.picp * group.n for group in breakdown.groups)
        assert hits / result.overall.n == pytest.approx(result.overall.picp)


def test_a_reliable_forecast_is_on_the_diagonal_and_flat() -> None:
    result = diagnosis(fault=False)
    for share in result.reliability:
        assert share.low <= share.at <= share.high
        assert share.observed == pytest.approx(share.at, abs=3.0)
    assert sum(share.observed for share in result.pit) == pytest.approx(100.0)
    assert [share.observed for share in result.pit] == pytest.approx([10.0] * 10, abs=2.5)


def test_a_forecast_that_is_too_narrow_has_a_pit_histogram_like_a_u() -> None:
    sample = draw_sample(np.random.default_rng(2), n_windows=60, spread=0.4)
    result = diagnose(sample, (), target=80.0)
    assert result.pit[0].observed > 20.0
    assert result.pit[-1].observed > 20.0
    assert result.worst is None


def test_a_missing_hour_belongs_to_no_group_and_an_empty_group_is_left_out() -> None:
    sample = draw_sample(np.random.default_rng(3), n_windows=20)
    observed = sample.observed.copy()
    observed[:, 3] = np.nan
    groupings = (lead_grouping(20, 24),)
    result = diagnose(replace(sample, observed=observed), groupings, target=80.0)
    assert [group.label for group in result.breakdowns[0].groups] == [
        str(step) for step in range(1, 25) if step != 4
    ]
    assert result.overall.n == 20 * 23


def test_a_target_time_outside_every_group_is_not_counted() -> None:
    sample = draw_sample(np.random.default_rng(4), n_windows=20)
    members = np.full(sample.observed.shape, -1)
    members[:, 0] = 0
    result = diagnose(sample, (Grouping("part", members, ("first", "never")),), target=80.0)
    assert [(group.label, group.n) for group in result.breakdowns[0].groups] == [("first", 20)]


def test_demand_is_divided_by_the_forecast_and_not_by_what_came() -> None:
    sample = draw_sample(np.random.default_rng(5), n_windows=50)
    members = demand_grouping(sample).members
    counts = np.bincount(members.ravel())
    assert counts.size == 10
    assert np.ptp(counts) <= 1
    median = sample.quantiles[..., 5]
    assert median[members == 9].min() >= median[members == 8].max()


def test_nothing_observed_is_nothing_to_diagnose() -> None:
    with pytest.raises(DataError, match="no value to diagnose"):
        diagnose(Forecast(np.zeros((2, 3, 11)), LEVELS), (), target=80.0)


def test_the_groups_of_a_task_are_in_local_time() -> None:
    task = make_task()  # Copenhagen in January to April, issued at midnight UTC
    groups = calibration_groups(task, "calibrate")
    first = task.issue_times("calibrate")[0]
    assert groups["hour"][0, 0] == first.tz_convert("Europe/Copenhagen").hour
    assert set(np.unique(groups["season"])) <= {0, 1}
    assert issue_hours(task, "calibrate")[0] * 3600 == first.timestamp()
    assert (np.diff(issue_hours(task, "calibrate")) >= 24).all()


def test_a_task_with_a_temperature_is_divided_by_it() -> None:
    task = make_task()
    quantiles = np.random.default_rng(0).normal(size=(*task.observed("tune").shape, 11))
    forecast = forecast_of(task, "tune", quantiles)
    groupings = {g.name: g for g in task_groupings(task, "tune", forecast)}
    assert list(groupings) == [
        "lead time",
        "local hour",
        "weekday",
        "month",
        "demand decile",
        "temperature",
    ]
    bands = groupings["temperature"]
    degrees = task.series.covariates[0].values[task.horizon_positions("tune")]
    for i, label in enumerate(bands.labels):
        low, high = (float(part) for part in label.removesuffix(" °C").split(" to "))
        inside = degrees[bands.members == i]
        assert ((low <= inside) & (inside < high)).all()
    hours = groupings["local hour"]
    assert (
        hours.labels[hours.members[0, 0]] == f"{calibration_groups(task, 'tune')['hour'][0, 0]:02d}"
    )


def test_a_task_without_a_temperature_is_not() -> None:
    task = make_task(make_series(with_covariates=False))
    forecast = forecast_of(task, "tune", np.zeros((*task.observed("tune").shape, 11)))
    assert "temperature" not in {g.name for g in task_groupings(task, "tune", forecast)}


def test_a_missing_temperature_belongs_to_no_band() -> None:
    series = make_series()
    covariate = series.covariates[0]
    holed = replace(
        covariate, values=np.where(np.arange(len(series)) % 2, np.nan, covariate.values)
    )
    task = make_task()
    task = replace(
        task,
        series=replace(
            task.series, covariates=(replace(holed, values=holed.values[: len(task.series)]),)
        ),
    )
    forecast = forecast_of(task, "tune", np.zeros((*task.observed("tune").shape, 11)))
    bands = task_groupings(task, "tune", forecast)[-1]
    odd = task.horizon_positions("tune") % 2 == 1
    assert (bands.members[odd] == -1).all()
    assert (bands.members[~odd] >= 0).all()


def test_the_page_holds_every_grouping_and_needs_no_network() -> None:
    page = diagnosis_page(
        diagnosis(fault=True), model="NHITS_Q", dataset="<demo>", unit="kWh", subject="trial 3"
    )
    for text in ("Coverage by lead time", "Coverage by demand decile", "&lt;demo&gt;", "trial 3"):
        assert text in page
    assert 'class="warning"' in page
    assert "<demo>" not in page
    assert 'src="http' not in page
