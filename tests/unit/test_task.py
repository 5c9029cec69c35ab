from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from builders import make_dates, make_series, make_task, stamp
from paretocast.data.series import SplitDates
from paretocast.data.task import (
    VALIDATION_SPLITS,
    TaskShape,
    daily_positions,
    manifest_hash,
    plan_task,
    plan_validation_blocks,
)
from paretocast.errors import DataError


def target_hours(split: str, horizon_steps: int = 24) -> set[int]:
    return set(make_task(horizon_steps=horizon_steps).horizon_positions(split).ravel().tolist())


def test_no_hour_is_a_target_of_two_splits() -> None:
    splits = ("train", *VALIDATION_SPLITS)
    hours = [target_hours(split) for split in splits]
    assert sum(len(part) for part in hours) == len(set.union(*hours))


def test_blocks_alternate_are_whole_weeks_and_a_purge_day_lies_between_them() -> None:
    blocks = make_task().blocks
    assert [block.split for block in blocks] == ["stop", "tune", "calibrate"] * (len(blocks) // 3)
    assert {block.stop - block.start for block in blocks} == {7 * 24}
    assert {later.start - earlier.stop for earlier, later in pairwise(blocks)} == {
        TaskShape().purge_steps
    }


def test_a_week_long_block_holds_seven_daily_issues() -> None:
    task = make_task()
    n_blocks = sum(block.split == "tune" for block in task.blocks)
    assert len(task.issues["tune"]) == 7 * n_blocks


def test_a_horizon_of_a_week_gets_blocks_that_hold_it() -> None:
    blocks = plan_validation_blocks(0, 24 * 90, TaskShape(horizon_steps=168))
    assert {block.stop - block.start for block in blocks} == {14 * 24}


def test_every_window_ends_inside_its_block() -> None:
    task = make_task()
    for block in task.blocks:
        inside = task.issues[block.split]
        inside = inside[(inside >= block.start) & (inside < block.stop)]
        assert inside.size
        assert (inside + task.shape.horizon_steps <= block.stop).all()


def test_train_windows_end_with_the_train_period() -> None:
    task = make_task()
    last = task.issues["train"][-1] + task.shape.horizon_steps - 1
    assert task.series.index[last] == task.dates.train_to
    assert task.issues["train"][0] == task.shape.input_steps


def test_without_the_benchmark_no_test_value_is_within_reach() -> None:
    task = make_task()
    assert task.series.index[-1] == task.dates.validation_to
    assert task.issues["test"].size == 0


def test_the_test_split_is_daily_and_whole() -> None:
    series = make_series()
    task = plan_task(series, make_dates(series), shape=TaskShape(input_steps=48), with_test=True)
    assert len(task.issues["test"]) == 130 - 102
    assert task.issue_times("test").hour.unique().tolist() == [0]


def test_the_published_heat_test_split_has_318_issues() -> None:
    index = pd.date_range("2019-12-01", "2020-11-13 23:00", freq="h", tz="UTC")
    daily = daily_positions(index, TaskShape())
    inside = daily[(index[daily] >= stamp("2020-01-01")) & (daily <= len(index) - 24)]
    assert len(inside) == 318
    assert inside.size * 24 == 7632


def test_a_local_issue_hour_moves_with_daylight_saving_time() -> None:
    index = pd.date_range("2021-03-27", "2021-03-30", freq="h", tz="UTC")
    shape = TaskShape(issue_hour=6, issue_zone="Europe/Copenhagen")
    assert index[daily_positions(index, shape)].hour.tolist() == [5, 4, 4]


def test_an_issue_hour_that_spring_skips_is_left_out_and_the_doubled_one_counts_once() -> None:
    shape = TaskShape(issue_hour=2, issue_zone="Europe/Copenhagen")
    spring = pd.date_range("2021-03-27", "2021-03-29 23:00", freq="h", tz="UTC")
    autumn = pd.date_range("2021-10-30", "2021-11-01 23:00", freq="h", tz="UTC")
    assert len(daily_positions(spring, shape)) == 2
    assert len(daily_positions(autumn, shape)) == 3


def test_a_validation_period_without_room_for_three_blocks_is_refused() -> None:
    series = make_series()
    dates = SplitDates(stamp("2021-02-24 23:00"), stamp("2021-03-10 23:00"), series.index[-1])
    with pytest.raises(DataError, match="holds 14 days, expected at least 23"):
        plan_task(series, dates, shape=TaskShape(input_steps=48))


def test_a_train_period_shorter_than_a_window_is_refused() -> None:
    series = make_series()
    dates = SplitDates(stamp("2021-01-02 23:00"), stamp("2021-04-10 23:00"), series.index[-1])
    with pytest.raises(DataError, match="input_steps \\+ horizon_steps = 72"):
        plan_task(series, dates, shape=TaskShape(input_steps=48))


def test_the_manifest_does_not_depend_on_test_values() -> None:
    series = make_series()
    changed = series.values.copy()
    changed[-24:] = 99.0
    other = make_task(replace(series, values=changed))
    assert manifest_hash(other.manifest()) == manifest_hash(make_task(series).manifest())


def test_the_manifest_depends_on_every_development_value() -> None:
    series = make_series()
    changed = series.values.copy()
    changed[24 * 70] += 1e-9
    other = make_task(replace(series, values=changed))
    assert other.manifest()["data_sha256"] != make_task(series).manifest()["data_sha256"]


def test_observed_keeps_missing_hours_missing() -> None:
    series = make_series()
    task = make_task(series)
    hour = task.horizon_positions("tune")[3, 5]
    values = series.values.copy()
    values[hour] = np.nan
    observed = make_task(replace(series, values=values)).observed("tune")
    assert np.argwhere(np.isnan(observed)).tolist() == [[3, 5]]
