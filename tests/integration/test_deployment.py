"""A study into use: bundles, forecasts, journal, audit and monitoring on real files."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load as load_tensors

import deployments
from commands import run_cli
from paretocast.api import operations
from paretocast.benchmarking.retraining import plan_retraining, train_and_forecast
from paretocast.benchmarking.run import calibrate_test
from paretocast.calibration import OnlineCalibrator
from paretocast.data.task import Task
from paretocast.deployment.audit import audit
from paretocast.deployment.bundle import load_bundle
from paretocast.deployment.calibration_state import CACHE, past_windows
from paretocast.deployment.card import card_text
from paretocast.deployment.issued import second_of
from paretocast.deployment.journal import Deployment
from paretocast.deployment.monitor import check_degraded
from paretocast.deployment.plan import plan_bundle
from paretocast.errors import DataError, ForecastError, SettingsError, StoreError
from paretocast.models.baselines.catalogue import fit_baseline
from paretocast.results.stored_study import StoredStudy
from paretocast.training.setup import TrainingSetup
from paretocast.workspace.stored import save

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.deployment.inputs import LiveWindow

AT = deployments.TEST_FROM
DAY = pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    training = {"steps": 20, "batch_size": 32, "n_evaluations": 2}
    space = {"NHITS_Q": {"layer_widths": {"values": [16]}, "num_stacks": {"values": [2]}}}
    return deployments.tuned_study(
        tmp_path_factory.mktemp("study"), training=training, space=space, recipe=()
    )


@pytest.fixture(scope="module")
def ridge(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deployments.make_deployment(study, tmp_path_factory.mktemp("ridge") / "zone").folder


@pytest.fixture(scope="module")
def network(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network") / "zone"
    return deployments.make_deployment(study, folder, method="trial 1").folder


@pytest.fixture
def deployed(ridge: Path, tmp_path: Path) -> Path:
    """A copy of the ridge deployment with an empty journal."""
    return Path(shutil.copytree(ridge, tmp_path / "zone"))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return deployments.make_frame()


def issued_files(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in sorted((folder / "journal/issued").glob("*/*"))
    }


def test_a_deployed_ridge_forecasts_the_test_period_as_the_benchmark_does(
    study: Path, deployed: Path, frame: pd.DataFrame
) -> None:
    stored = StoredStudy.open(study)
    task = Task.from_settings(stored.settings, with_test=True)
    fitted = fit_baseline("ridge", task)
    splits = ("calibrate", "test")
    raw = {split: fitted.forecast(task, task.issues[split]) for split in splits}
    expected = calibrate_test(task, raw, "pid", coverage=80.0).forecast.quantiles
    first, last = task.issue_times("test")[[0, -1]]
    forecasts = operations.forecast(deployed, frame, first=first, last=last)
    issued = np.array([forecast.quantiles for forecast in forecasts])
    np.testing.assert_allclose(issued, expected, rtol=1e-9)


def test_a_deployed_network_forecasts_as_it_was_trained(
    study: Path, network: Path, frame: pd.DataFrame
) -> None:
    stored = StoredStudy.open(study)
    plan = plan_bundle(stored, method="trial 1")
    trained, _ = plan.configs[0]
    task = Task.from_settings(stored.settings, with_test=True)
    setup = TrainingSetup.from_settings(stored.settings, task, device="cpu")
    periods = plan_retraining(setup.task)
    expected = train_and_forecast(setup, trained.config, seed=trained.seed(0), periods=periods)
    bundle = load_bundle(network)
    times = task.issue_times("test")[:5]
    live = np.array([bundle.forecast(frame, at=time).raw for time in times])
    np.testing.assert_allclose(live, np.sort(expected["test"][:5], axis=-1), rtol=1e-5)


def test_many_days_at_once_are_what_single_days_would_have_been(
    deployed: Path, tmp_path: Path, frame: pd.DataFrame
) -> None:
    other = Path(shutil.copytree(deployed, tmp_path / "other"))
    operations.forecast(deployed, frame, first=AT, last=AT + 5 * DAY)
    for day in range(6):
        at = AT + day * DAY
        operations.forecast(other, deployments.until(frame, at), at=at)
    batch = issued_files(deployed)
    assert len(batch) == 6
    assert issued_files(other) == batch
    observed = [(folder / "journal/observed.csv").read_bytes() for folder in (deployed, other)]
    assert observed[0] == observed[1]


def test_the_same_inputs_are_the_same_forecast_and_others_the_next_revision(
    deployed: Path, frame: pd.DataFrame
) -> None:
    first = operations.forecast(deployed, frame, at=AT)[0]
    again = operations.forecast(deployed, frame, at=AT)[0]
    assert again.content() == first.content()
    warmer = frame.assign(temperature=frame["temperature"] + 3.0)
    second = operations.forecast(deployed, warmer, at=AT)[0]
    assert (first.revision, second.revision) == (1, 2)
    assert set(issued_files(deployed)) == {
        f"{AT:%Y-%m-%dT%HZ}.r1.json",
        f"{AT:%Y-%m-%dT%HZ}.r2.json",
    }
    assert audit(Deployment.open(deployed)).problems == ()


@pytest.mark.parametrize("folder", ["ridge", "network"])
def test_nothing_after_the_issue_changes_a_forecast(
    folder: str, request: pytest.FixtureRequest, frame: pd.DataFrame
) -> None:
    bundle = load_bundle(request.getfixturevalue(folder))
    later = frame["timestamp"] >= AT
    beyond = frame["timestamp"] >= AT + DAY
    changed = frame.copy()
    changed.loc[later, "load"] = 1e6
    changed.loc[beyond, "temperature"] = -1e6
    forecast = bundle.forecast(frame, at=AT)
    assert bundle.forecast(changed, at=AT).content() == forecast.content()
    assert bundle.forecast(frame[~beyond], at=AT).content() == forecast.content()
    changed.loc[later & ~beyond, "temperature"] += 5.0
    assert bundle.forecast(changed, at=AT).content() != forecast.content()


def test_a_row_that_was_not_there_yet_is_not_read(ridge: Path, frame: pd.DataFrame) -> None:
    bundle = load_bundle(ridge)
    late = frame["timestamp"].between(AT - pd.Timedelta(hours=3), AT - pd.Timedelta(hours=1))
    arrival = frame["timestamp"] + pd.Timedelta(hours=1)
    arrival[late] = AT + pd.Timedelta(hours=5)
    stamped = frame.assign(available_at=arrival)
    missing = frame.assign(load=frame["load"].mask(late))
    forecast = bundle.forecast(stamped, at=AT)
    assert "late_data" in forecast.flags
    np.testing.assert_array_equal(forecast.raw, bundle.forecast(missing, at=AT).raw)


def test_weather_comes_from_the_newest_run_of_the_time(ridge: Path, frame: pd.DataFrame) -> None:
    bundle = load_bundle(ridge)
    hours = frame[frame["timestamp"].between(AT, AT + DAY)][["timestamp", "temperature"]]
    history = frame[frame["timestamp"] < AT]
    runs = pd.concat(
        [
            hours.assign(issued_at=AT - pd.Timedelta(hours=14), temperature=1.0),
            hours.assign(issued_at=AT - pd.Timedelta(hours=2)),
            hours.assign(issued_at=AT + pd.Timedelta(hours=4), temperature=99.0),
        ]
    )
    forecast = bundle.forecast(history, runs, at=AT)
    expected = bundle.forecast(frame, at=AT)
    np.testing.assert_allclose(forecast.raw, expected.raw)
    assert forecast.weather_issue_time == (AT - pd.Timedelta(hours=2)).isoformat()
    short = runs[(runs["issued_at"] < AT - DAY / 2) | (runs["timestamp"] < AT + DAY / 2)]
    filled = bundle.forecast(history, short, at=AT)
    assert filled.rung == "full"
    assert "previous_weather_run" in filled.flags
    old = runs.assign(issued_at=runs["issued_at"] - 3 * DAY)
    assert bundle.forecast(history, old, at=AT).rung == "no_weather"


def test_without_weather_a_ridge_without_it_forecasts(ridge: Path, frame: pd.DataFrame) -> None:
    bundle = load_bundle(ridge)
    blind = bundle.forecast(frame[frame["timestamp"] < AT], at=AT)
    assert (blind.rung, blind.degraded) == ("no_weather", True)
    assert "fallback:no_weather" in blind.flags
    assert np.isfinite(blind.quantiles).all()


def test_without_recent_data_the_hours_of_the_week_forecast(
    ridge: Path, frame: pd.DataFrame
) -> None:
    bundle = load_bundle(ridge)
    gone = frame.assign(load=frame["load"].mask(frame["timestamp"] >= AT - 3 * DAY))
    forecast = bundle.forecast(gone, at=AT)
    assert forecast.rung == "climatology"
    assert np.isfinite(forecast.quantiles).all()
    actual = frame[frame["timestamp"].between(AT, AT + pd.Timedelta(hours=23))]["load"].to_numpy()
    assert np.abs(forecast.median - actual).mean() < 10.0
    nothing = frame.assign(load=np.nan)
    with pytest.raises(ForecastError, match="no forecast"):
        bundle.forecast(nothing, at=AT)


@pytest.mark.parametrize(
    ("day", "n_local"), [("2023-03-26", 23), ("2023-10-29", 25)], ids=["spring", "autumn"]
)
def test_days_of_23_and_25_hours_have_their_hours(
    ridge: Path, frame: pd.DataFrame, day: str, n_local: int
) -> None:
    shift = pd.Timestamp(day, tz="UTC") - pd.Timestamp("2023-06-11", tz="UTC")
    moved = frame.assign(timestamp=frame["timestamp"] + shift)
    midnight = pd.Timestamp(day, tz="Europe/Copenhagen").tz_convert("UTC")
    forecasts = [
        load_bundle(ridge).forecast(moved, at=midnight + i * pd.Timedelta(hours=24))
        for i in range(2)
    ]
    local = pd.concat([f.frame["target_time_local"] for f in forecasts])
    assert (local.str[:10] == day).sum() == n_local
    assert local.is_unique


def test_holes_flats_and_strange_values_are_flagged(ridge: Path, frame: pd.DataFrame) -> None:
    bundle = load_bundle(ridge)
    hours = AT - frame["timestamp"]
    flat = frame.assign(load=frame["load"].mask(hours.between("1h", "20h"), 40.0))
    assert "flatline" in bundle.forecast(flat, at=AT).flags
    spike = frame.assign(load=frame["load"].mask(hours == pd.Timedelta("5h"), 4000.0))
    assert "out_of_range" in bundle.forecast(spike, at=AT).flags
    holes = frame.assign(load=frame["load"].mask(hours.between("30h", "60h")))
    assert "incomplete_history" in bundle.forecast(holes, at=AT).flags
    assert bundle.forecast(frame, at=AT).flags == ()


def test_observing_twice_changes_nothing_and_a_correction_is_a_revision(
    deployed: Path, frame: pd.DataFrame
) -> None:
    operations.forecast(deployed, deployments.until(frame, AT), at=AT)
    for expected in ((24 * 30, 0), (0, 0)):
        added = operations.observe(deployed, frame)
        assert (added.n_new, added.n_corrected) == expected
    corrected = frame.assign(load=frame["load"] + 0.5 * (frame["timestamp"] == AT))
    added = operations.observe(deployed, corrected)
    assert (added.n_new, added.n_corrected) == (0, 1)
    rows = Deployment.open(deployed).observations()
    assert [row.revision for row in rows if row.second == second_of(AT)] == [1, 2]


def test_the_state_of_calibration_is_a_replay_of_the_journal(
    deployed: Path, frame: pd.DataFrame
) -> None:
    operations.forecast(deployed, frame, first=AT, last=AT + 9 * DAY)
    opened = Deployment.open(deployed)
    assert isinstance(opened.bundle.calibrators["full"], OnlineCalibrator)
    states = [forecast.calibration for forecast in opened.issued()]
    assert len(set(states)) == len(states)  # it has learned every day
    (deployed / CACHE).unlink()
    assert audit(Deployment.open(deployed)).problems == ()
    kept = issued_files(deployed)
    operations.forecast(deployed, frame, first=AT, last=AT + 9 * DAY)
    assert issued_files(deployed) == kept


def test_an_audit_finds_what_was_changed(deployed: Path, frame: pd.DataFrame) -> None:
    operations.forecast(deployed, frame, first=AT, last=AT + 3 * DAY)
    path = sorted((deployed / "journal/issued").glob("*/*"))[2]
    content = json.loads(path.read_text())
    for name in ("quantiles", "upper"):
        changed = copy.deepcopy(content)
        numbers = changed[name][0] if name == "quantiles" else changed[name]
        numbers[0] -= 1.0
        path.write_text(json.dumps(changed))
        with pytest.raises(StoreError, match="changed after it was written"):
            audit(Deployment.open(deployed))
        save(path, changed)
        problems = audit(Deployment.open(deployed)).problems
        assert len(problems) == 1
        assert "the quantiles are not those of its calibration" in problems[0]


def test_a_bundle_works_where_it_is_moved_to(network: Path, tmp_path: Path) -> None:
    """Read-only, elsewhere, in another process with other threads."""
    frame = deployments.make_frame()
    expected = load_bundle(network).forecast(frame, at=AT).raw
    moved = Path(shutil.copytree(network, tmp_path / "moved"))
    data = tmp_path / "zone.csv"
    frame.to_csv(data, index=False)
    for path in moved.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    code = (
        "import sys, pandas as pd, numpy as np, paretocast\n"
        f"bundle = paretocast.load_bundle({str(moved)!r}); bundle.verify()\n"
        f"frame = pd.read_csv({str(data)!r})\n"
        f"np.save({str(tmp_path / 'raw.npy')!r}, bundle.forecast(frame, at={str(AT)!r}).raw)\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
    np.testing.assert_allclose(np.load(tmp_path / "raw.npy"), expected, rtol=1e-4)


def test_a_bundle_opens_no_file_of_its_maker_and_no_connection(
    study: Path, network: Path, tmp_path: Path
) -> None:
    """Scaling, calibrators and weights are all in it, and nothing is fetched."""
    moved = Path(shutil.copytree(network, tmp_path / "moved"))
    data = tmp_path / "zone.csv"
    deployments.make_frame().to_csv(data, index=False)
    made_at = [str(network.parent), str(study.parents[2])]
    code = (
        "import sys, pandas as pd, paretocast\n"
        "def forbid(event, arguments):\n"
        "    assert not event.startswith('socket.'), (event, arguments)\n"
        f"    if event in ('open', 'os.listdir', 'os.scandir') and any(\n"
        f"        str(arguments[0]).startswith(place) for place in {made_at!r}\n"
        "    ):\n"
        "        raise AssertionError((event, arguments))\n"
        "sys.addaudithook(forbid)\n"
        f"bundle = paretocast.load_bundle({str(moved)!r})\n"
        "bundle.verify()\n"
        f"bundle.forecast(pd.read_csv({str(data)!r}), at={str(AT)!r})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_bundle_holds_arrays_and_text_without_paths_or_pickles(
    study: Path, network: Path
) -> None:
    folder = load_bundle(network).folder
    for path in folder.iterdir():
        if path.suffix == ".safetensors":
            arrays = load_tensors(path.read_bytes())
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                arrays = dict(stored)
        else:
            assert path.suffix in {".json", ".toml", ".txt", ".md"} or path.name == "SHA256SUMS"
            assert str(study.parents[2]) not in path.read_text(encoding="utf-8")
            continue
        assert arrays
        assert all(array.dtype.kind in "fiubU" for array in arrays.values())


def test_a_bundle_holds_three_windows_of_the_data_and_no_more(network: Path) -> None:
    bundle = load_bundle(network)
    n_hours = bundle.contract.history_steps + bundle.contract.shape.horizon_steps
    with np.load(bundle.folder / "golden.npz") as golden:
        assert golden["target"].shape == (3, n_hours)
    history = deployments.make_frame()["load"].to_numpy()[100:132]
    for path in bundle.folder.iterdir():
        content = path.read_bytes()
        assert history.tobytes() not in content
        assert history.astype(np.float32).tobytes() not in content


def test_weights_of_a_network_are_single_precision(network: Path) -> None:
    (member,) = (m for m in load_bundle(network).manifest["members"] if m["kind"] == "network")
    arrays = load_tensors((load_bundle(network).folder / member["file"]).read_bytes())
    weights = {name: array for name, array in arrays.items() if name.startswith("weights.")}
    assert weights
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}


def test_numbers_that_are_none_are_not_issued(
    ridge: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_bundle(ridge)
    whole = bundle._on_rung

    def spoiled(rung: str, window: LiveWindow) -> NDArray[np.float64]:
        quantiles = whole(rung, window)
        return quantiles * np.nan if rung == "full" else quantiles

    monkeypatch.setattr(type(bundle), "_on_rung", lambda _, *asked: spoiled(*asked))
    forecast = bundle.forecast(frame, at=AT)
    assert forecast.rung == "no_weather"
    assert "full_failed: not finite" in forecast.flags
    assert np.isfinite(forecast.quantiles).all()


def test_every_row_names_its_forecast(ridge: Path, frame: pd.DataFrame) -> None:
    forecast = load_bundle(ridge).forecast(frame, at=AT)
    assert set(forecast.frame["forecast_id"]) == {forecast.forecast_id[:16]}
    assert set(forecast.frame["revision"]) == {1}
    assert forecast.as_json()["bundle"] == load_bundle(ridge).name


def test_the_default_issue_is_said_and_another_hour_teaches_nothing(
    deployed: Path, frame: pd.DataFrame
) -> None:
    """At half past eleven the day's last hour is not there yet."""
    evening = deployments.until(frame, AT - pd.Timedelta(hours=1))
    said: list[str] = []
    (early,) = operations.forecast(deployed, evening, say=said.append)
    assert early.issue_time == AT - pd.Timedelta(hours=1)
    assert early.flags == ("off_schedule",)
    assert said[0].startswith(f"issued for {early.issue_time:%Y-%m-%d %H:%M} UTC, the hour after")
    assert "--at daily" in said[1]
    rows = deployments.until(frame, AT).assign(load=evening["load"])
    (daily,) = operations.forecast(deployed, rows, at="daily", say=said.append)
    assert (daily.issue_time, daily.flags) == (AT, ("late_data",))
    assert "the first daily issue" in said[2]
    (again,) = operations.forecast(deployed, deployments.until(frame, AT), at="daily")
    assert (again.issue_time, again.flags, again.revision) == (AT, (), 2)
    later = operations.forecast(deployed, frame, at=AT + 2 * DAY)[0]
    assert audit(Deployment.open(deployed)).problems == ()
    learned = Deployment.open(deployed)
    assert later.calibration != again.calibration
    windows = past_windows(learned.issued(), {}, AT + 2 * DAY, learned.bundle)
    assert [window.forecast.issue_time for window in windows] == [AT, AT]


def test_newer_data_are_read_as_the_data_set_declares(
    ridge: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """Of a workbook the sheet that the data set names."""
    pytest.importorskip("openpyxl")
    deployed = Deployment.open(ridge)
    spec = deployed.bundle.contract.spec.model_copy(update={"sheet": "load"})
    rows = frame[frame["timestamp"] < AT + DAY].tail(24 * 60)
    rows = rows.assign(timestamp=rows["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    with pd.ExcelWriter(tmp_path / "zone.xlsx") as book:
        rows.head(3).to_excel(book, sheet_name="notes", index=False)
        rows.to_excel(book, sheet_name="load", index=False)
    assert len(operations._table(tmp_path / "zone.xlsx", spec)) == len(rows)


def test_a_ridge_needs_no_torch(ridge: Path, tmp_path: Path) -> None:
    data = tmp_path / "zone.csv"
    deployments.make_frame().to_csv(data, index=False)
    code = (
        "import sys, pandas as pd, paretocast\n"
        f"bundle = paretocast.load_bundle({str(ridge)!r})\n"
        f"bundle.forecast(pd.read_csv({str(data)!r}), at={str(AT)!r})\n"
        "heavy = {'torch', 'optuna', 'lightgbm', 'plotly'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_changed_file_is_found(deployed: Path) -> None:
    bundle = load_bundle(deployed)
    path = bundle.folder / "calibrators.json"
    path.write_text(path.read_text().replace("0.8", "0.7", 1))
    with pytest.raises(StoreError, match="was changed after the bundle was made"):
        bundle.verify()


def test_a_bundle_with_a_changed_list_of_checksums_is_refused(deployed: Path) -> None:
    sums = load_bundle(deployed).folder / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(lines[1:]))
    with pytest.raises(StoreError, match="SHA256SUMS was changed after the bundle was made"):
        load_bundle(deployed)
    sums.write_text("".join(lines) + "x\n")
    with pytest.raises(StoreError, match="'x' is no checksum of a file"):
        load_bundle(deployed)


def test_a_kept_calibration_that_was_changed_is_not_used(
    deployed: Path, frame: pd.DataFrame
) -> None:
    operations.forecast(deployed, frame, first=AT, last=AT + 2 * DAY)
    (expected,) = operations.forecast(deployed, frame, at=AT + 3 * DAY, dry_run=True)
    content = json.loads((deployed / CACHE).read_text())
    content["calibrators"]["full"]["shifts"] = [9.0 for _ in expected.levels]
    (deployed / CACHE).write_text(json.dumps(content))
    (got,) = operations.forecast(deployed, frame, at=AT + 3 * DAY, dry_run=True)
    np.testing.assert_array_equal(got.quantiles, expected.quantiles)


def test_a_forecast_under_the_name_of_another_is_refused(
    deployed: Path, frame: pd.DataFrame
) -> None:
    operations.forecast(deployed, frame, at=AT)
    (path,) = (deployed / "journal/issued").glob("*/*")
    shutil.copy(path, path.with_name("copy.json"))
    with pytest.raises(StoreError, match=rf"copy\.json is damaged: .* of {path.name}; remove it"):
        Deployment.open(deployed).issued()


def test_bad_inputs_are_told(ridge: Path, frame: pd.DataFrame) -> None:
    bundle = load_bundle(ridge)
    with pytest.raises(DataError, match="no column temperature"):
        bundle.forecast(frame.drop(columns="temperature"), at=AT)
    with pytest.raises(DataError, match="names no zone"):
        bundle.forecast(frame, at="2023-06-10T00:00")
    for wrong in ("tomorrow", "9999-01-01T00:00Z", "NaT"):
        with pytest.raises(DataError, match="--at is"):
            bundle.forecast(frame, at=wrong)
    with pytest.raises(SettingsError, match="expected a full hour"):
        bundle.forecast(frame, at=AT + pd.Timedelta(minutes=5))
    with pytest.raises(DataError, match="cannot be used"):
        bundle.forecast(pd.concat([frame, frame.tail(3)]), at=AT)
    with pytest.raises(StoreError, match="nothing is deployed"):
        Deployment.open(ridge / "bundles")


def test_a_method_without_weights_is_refused(study: Path) -> None:
    with pytest.raises(SettingsError, match="has no weights"):
        plan_bundle(StoredStudy.open(study), method="seasonal_naive_24")


def test_a_refit_learns_from_all_hours_and_leaves_the_bundle_before_as_it_was(
    study: Path, tmp_path: Path, frame: pd.DataFrame
) -> None:
    early = operations.deploy(study, tmp_path / "zone", method="ridge")
    before = {path: path.read_bytes() for path in early.bundle.folder.rglob("*")}
    late = operations.deploy(study, tmp_path / "zone", method="ridge", refit=True)
    assert late.bundle.manifest["learned_until"].startswith("2023-07-09")
    assert {path: path.read_bytes() for path in early.bundle.folder.rglob("*")} == before
    assert len(list(late.bundles.iterdir())) == 2
    at = AT + 25 * DAY
    raws = [d.bundle.forecast(frame, at=at).raw for d in (late, early)]
    assert not np.allclose(raws[0], raws[1])


def test_a_monitor_is_calm_where_intervals_hold_and_alarmed_where_they_do_not(
    deployed: Path, tmp_path: Path, frame: pd.DataFrame
) -> None:
    broken = Path(shutil.copytree(deployed, tmp_path / "broken"))
    last = AT + 28 * DAY
    operations.forecast(deployed, frame, first=AT, last=last)
    report, page = operations.monitor(deployed, now=last)
    states = {check.name: check.level.name for check in report.checks}
    assert states["coverage"] == states["inputs"] == states["age of load"] == "FINE"
    assert "Coverage by step ahead" in page.read_text(encoding="utf-8")
    rng = np.random.default_rng(3)
    noise = 15.0 * rng.normal(size=len(frame)) * (frame["timestamp"] >= AT)
    operations.forecast(broken, frame.assign(load=frame["load"] + noise), first=AT, last=last)
    report, _ = operations.monitor(broken, now=last)
    assert report.level == 4
    assert Deployment.open(broken).events("monitor")[-1]["state"] == "alarm"


def test_a_card_of_a_target_without_a_unit_has_whole_sentences(ridge: Path) -> None:
    manifest = {**load_bundle(ridge).manifest, "unit": ""}
    card = card_text(manifest)
    assert "in units of the target for the next 24 hours" in card
    assert "the calibrate split, in units of the target;" in card
    assert not re.search(r"\w  \w| [.,;]", card)
    losses = re.findall(r"^\| \w+ \| 0\.(\d+) \|$", card, re.M)
    assert len({len(decimals) for decimals in losses}) == 1


def test_the_only_forecast_and_none_are_told_as_such(ridge: Path, frame: pd.DataFrame) -> None:
    assert check_degraded([]).reason == "No forecast has been issued yet."
    forecast = load_bundle(ridge).forecast(frame, at=AT)
    assert check_degraded([forecast]).reason == "The only forecast was not degraded."


def test_the_commands_say_how_it_went(
    capsys: pytest.CaptureFixture[str], deployed: Path, tmp_path: Path, frame: pd.DataFrame
) -> None:
    data, out = tmp_path / "zone.csv", tmp_path / "tomorrow.csv"
    frame.to_csv(data, index=False)
    page = tmp_path / "fan.html"
    words = ["forecast", deployed, "--data", data, "--at", AT.isoformat(), "--out", out]
    code, _, err = run_cli(capsys, *words, "--page", page)
    assert code == 0, err
    table = pd.read_csv(out)
    assert len(table) == 24
    assert (table["lower"] <= table["median"]).all()
    assert "The next hours" in page.read_text(encoding="utf-8")
    blind = tmp_path / "blind.csv"
    frame[frame["timestamp"] < AT + DAY].to_csv(blind, index=False)
    at = (AT + DAY).isoformat()
    code, _, err = run_cli(capsys, "forecast", deployed, "--data", blind, "--at", at)
    assert code == 3
    assert "no_weather" in err
    assert run_cli(capsys, "audit", deployed)[0] == 0
    card = run_cli(capsys, "card", deployed)[1]
    assert "day-ahead forecast" in card
    assert re.search(r"\| train \| \d{4}-\d\d-\d\d \d\d:\d\d UTC \|", card)
    said = run_cli(capsys, "monitor", deployed, "--now", at)[1]
    assert re.search(r"inputs: 1 of the last 2 forecasts were degraded\.", said)
    code, _, err = run_cli(capsys, "forecast", tmp_path / "nowhere", "--data", data)
    assert code == 1
    assert "Traceback" not in err
