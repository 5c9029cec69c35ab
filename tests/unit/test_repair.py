"""Repairs that a data set asks for: what they change, that they list it, and what they leave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paretocast.data import Dataset
from paretocast.data.checks import Grid
from paretocast.data.parsing import lay_frame
from paretocast.data.spec import declare_dataset

N_HOURS = 120 * 24


def make_frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    index = pd.date_range("2021-01-01", periods=N_HOURS, freq="h", tz="UTC")
    cycle = np.sin(2.0 * np.pi * index.hour.to_numpy() / 24.0)
    return pd.DataFrame(
        {
            "timestamp": index.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "flow": 10.0 + cycle + rng.normal(scale=0.3, size=N_HOURS),
            "temperature": np.round(5.0 + rng.normal(size=N_HOURS), 2),
        }
    )


def lay(frame: pd.DataFrame, **keys: str) -> tuple[Grid, list[str]]:
    spec = declare_dataset(
        {
            "name": "zone",
            "path": "zone.csv",
            "target": "flow",
            "unit": "MW",
            "covariates": {"temperature": {"role": "forecast"}},
            "splits": {"train": 0.6, "validation": 0.25},
            **keys,
        },
        origin="test",
    )
    grid, findings = lay_frame(frame, spec, covariates=["temperature"])
    assert grid is not None
    return grid, [f"{f.severity}: {f.message}" for f in findings]


def test_nothing_is_repaired_unless_it_is_asked_for() -> None:
    frame = make_frame()
    frame.loc[[40, 41, 42], "temperature"] = 999.9
    shuffled = pd.concat([frame.iloc[50:], frame.iloc[:60]])
    grid, findings = lay(shuffled)
    assert grid.repairs == ()
    assert np.nanmax(grid.covariates[0].values) == 999.9
    assert any("in more than one row" in message for message in findings)


def test_rows_are_sorted_and_exact_duplicates_dropped_with_their_numbers() -> None:
    frame = make_frame()
    shuffled = pd.concat([frame.iloc[:10], frame.iloc[[5]], frame.iloc[10:]])
    grid, findings = lay(shuffled, repair="auto")
    plain, _ = lay(frame)
    assert (grid.target == plain.target).all()
    assert [r.as_json() for r in grid.repairs] == [
        {"what": "sorted", "column": "", "value": None, "changed": [["7", "11"]], "n_changed": 5},
        {"what": "dropped", "column": "", "value": None, "changed": [["11", "11"]], "n_changed": 1},
    ]
    assert findings == ["note: repaired: 5 rows sorted, 1 row dropped"]


def test_a_file_from_new_to_old_is_put_in_order() -> None:
    frame = make_frame()
    grid, _ = lay(frame.iloc[::-1], repair="auto")
    plain, _ = lay(frame)
    assert (grid.index == plain.index).all()
    assert (grid.target == plain.target).all()
    doubled = pd.concat([frame.iloc[[9]], frame.iloc[::-1]])  # the hour 09:00 first, by mistake
    grid, _ = lay(doubled, repair="auto")
    assert (grid.target == plain.target).all()
    assert [repair.what for repair in grid.repairs] == ["sorted", "dropped"]


def test_rows_of_one_hour_that_differ_stay_an_error() -> None:
    frame = make_frame()
    other = frame.iloc[[5]].assign(flow=99.0)
    _, findings = lay(pd.concat([frame.iloc[:6], other, frame.iloc[6:]]), repair="auto")
    assert findings == [
        "error: 1 time in more than one row, the first is 2021-01-01 05:00Z in row 7"
    ]


def test_marks_for_no_value_are_emptied_and_every_hour_is_listed() -> None:
    frame = make_frame()
    frame.loc[[40, 41, 70], "temperature"] = 999.9
    grid, findings = lay(frame, repair="auto")
    (repair,) = grid.repairs
    assert np.flatnonzero(np.isnan(grid.covariates[0].values)).tolist() == [40, 41, 70]
    assert repair.as_json() == {
        "what": "emptied",
        "column": "temperature",
        "value": 999.9,
        "changed": [
            ["2021-01-02T16:00:00+00:00", "2021-01-02T17:00:00+00:00"],
            ["2021-01-03T22:00:00+00:00", "2021-01-03T22:00:00+00:00"],
        ],
        "n_changed": 3,
    }
    assert findings == ["note: repaired: 3 values of 999.9 of temperature emptied"]


def test_a_single_spike_is_left_to_the_user() -> None:
    frame = make_frame()
    frame.loc[40, "temperature"] = 71.3
    grid, _ = lay(frame, repair="auto")
    assert grid.repairs == ()


def test_a_counter_becomes_what_was_used_in_each_hour() -> None:
    frame = make_frame()
    used = frame["flow"].to_numpy()
    readings = np.concatenate([[0.0], np.cumsum(used)[:-1]])
    readings[[500, 501]] = -9999.0  # two marks, and a third one below
    readings[900] = -9999.0
    grid, _ = lay(frame.assign(flow=readings), repair="auto")
    missing = [499, 500, 501, 899, 900, N_HOURS - 1]
    assert np.flatnonzero(np.isnan(grid.target)).tolist() == missing
    kept = ~np.isnan(grid.target)
    assert grid.target[kept] == pytest.approx(used[kept])
    assert [repair.what for repair in grid.repairs] == ["emptied", "differenced"]


def test_repairs_of_a_frame_reach_the_task_and_are_not_made_twice(tmp_path: Path) -> None:
    from paretocast.api.frames import save_dataset
    from paretocast.data import load_dataset

    frame = make_frame()
    frame["flow"] = np.cumsum(frame["flow"])
    path = tmp_path / "zone.csv"
    frame.to_csv(path, index=False)
    (tmp_path / "zone.toml").write_text(
        'name = "zone"\npath = "zone.csv"\ntarget = "flow"\nunit = "MW"\nrepair = "auto"\n'
        "[splits]\ntrain = 0.6\nvalidation = 0.25\n",
        encoding="utf-8",
    )
    dataset = load_dataset(tmp_path / "zone.toml")
    assert [repair.what for repair in dataset.series.repairs] == ["differenced"]
    assert isinstance(dataset, Dataset)
    stored = load_dataset(save_dataset(dataset, tmp_path))
    assert stored.series.repairs == ()
    same = (dataset.series.values == stored.series.values) | np.isnan(dataset.series.values)
    assert same.all()
