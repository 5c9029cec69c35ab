"""Retraining a deployment: when, on what, who wins, and what a kill leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from builders import make_series, runs_table
from commands import run_cli
from paretocast.data.series import Series
from paretocast.deployment import build, calibration_state, challenge
from paretocast.deployment import retrain as retraining
from paretocast.deployment.audit import audit
from paretocast.deployment.bundle import load_bundle
from paretocast.deployment.bundle_files import check_sums
from paretocast.deployment.calibration_state import replay as calibration_replay
from paretocast.deployment.challenge import Comparison, hold_back, issue_in_memory
from paretocast.deployment.journal import Deployment
from paretocast.deployment.plan import Silent
from paretocast.deployment.retrain import (
    Retraining,
    find_trigger,
    is_alarmed,
    remove_leftovers,
    retrain,
    rollback,
)
from paretocast.deployment.run import issue_forecasts
from paretocast.errors import DataError, SettingsError, StoreError
from paretocast.workspace.claims import StudyLock
from retrained import (
    CHANGED_DAY,
    HELD_DAY,
    N_DAYS,
    deploy,
    make_table,
    with_noise,
    with_other_days,
    with_runs,
)

if TYPE_CHECKING:
    from paretocast.benchmarking.retraining import TrainedModel
    from paretocast.calibration import Calibrator
    from paretocast.deployment.bundle import Bundle
    from paretocast.deployment.calibration_state import LearnedWindow
    from paretocast.deployment.inputs import LiveInputs
    from paretocast.deployment.issued import LiveForecast

DAY = pd.Timedelta(days=1)
WAITED_FOR = 1 + 2  # windows before the newest one that `late_inputs` keeps waiting, by issue


def copy_of(folder: Path, copy: Path) -> Deployment:
    """A copy of a deployment's folder, opened."""
    return Deployment.open(Path(shutil.copytree(folder, copy)))


@pytest.fixture(scope="module", autouse=True)
def _few_penalties() -> Iterator[None]:
    """Choose the penalty of a ridge from three: which one it is does not matter here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paretocast.models.linear.PENALTIES", (3.0, 30.0, 300.0))
        yield


@pytest.fixture(scope="module")
def series() -> Series:
    """The whole series; the last four weeks are held back."""
    return make_series(N_DAYS)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, series: Series) -> Path:
    """A ridge with a calibrator that goes on learning; copied before use."""
    return deploy(tmp_path_factory.mktemp("deployed"), series, calibrator="pid").folder


@pytest.fixture
def deployment(deployed: Path, tmp_path: Path) -> Deployment:
    """A copy to work on."""
    return copy_of(deployed, tmp_path / "small")


@pytest.fixture(scope="module")
def changed(
    tmp_path_factory: pytest.TempPathFactory, deployed: Path, series: Series
) -> tuple[Path, Retraining]:
    """A deployment after the demand has changed, and what its retraining has led to."""
    copy = copy_of(deployed, tmp_path_factory.mktemp("changed") / "small")
    table = make_table(with_other_days(series))
    return copy.folder, retrain(copy, table, observer=Silent(), device="cpu")


def inputs_of(deployment: Deployment, series: Series) -> LiveInputs:
    return deployment.bundle.contract.read(make_table(series))


# Who wins


def test_a_challenger_that_has_seen_a_change_is_put_into_use(
    changed: tuple[Path, Retraining],
) -> None:
    folder, done = changed
    deployment = Deployment.open(folder)
    assert done.promoted
    assert done.comparison.challenger < 0.5 * done.comparison.champion
    assert done.comparison.probability == 1.0
    assert deployment.current == done.in_use not in {done.champion, done.challenger}
    for name in (done.champion, done.challenger, done.in_use):
        load_bundle(folder / "bundles" / name).verify()
    assert not list((folder / "bundles").glob(".*"))


def test_the_event_holds_the_figures(changed: tuple[Path, Retraining]) -> None:
    folder, done = changed
    (event,) = Deployment.open(folder).events("promote")
    assert (event["before"], event["bundle"]) == (done.champion, done.in_use)
    assert event["challenger"] == done.challenger
    assert event["comparison"]["champion"] == done.comparison.champion
    assert event["comparison"]["n_days"] == 28


def test_the_promoted_bundle_has_learned_from_what_was_held_back(
    changed: tuple[Path, Retraining], series: Series
) -> None:
    folder, done = changed
    challenger = load_bundle(folder / "bundles" / done.challenger)
    promoted = load_bundle(folder / "bundles" / done.in_use)
    assert pd.Timestamp(promoted.manifest["learned_until"]) == series.index[-1]
    assert promoted.manifest["refit"]
    assert not challenger.manifest["refit"]
    before, after = (b.members[0][0].arrays()["weights"] for b in (challenger, promoted))
    assert not np.array_equal(before, after)
    for rung, calibrator in promoted.calibrators.items():
        assert calibrator.as_json() == challenger.calibrators[rung].as_json()


def test_the_periods_keep_their_lengths_and_end_at_the_held_back_weeks(
    changed: tuple[Path, Retraining], series: Series
) -> None:
    folder, done = changed
    before = load_bundle(folder / "bundles" / done.champion).manifest["task"]["periods"]
    held = series.index[24 * HELD_DAY]
    for period in ("train", "validation"):
        spans = [[pd.Timestamp(hour) for hour in p[period]] for p in (before, done.periods)]
        assert spans[0][1] - spans[0][0] == spans[1][1] - spans[1][0]
    assert pd.Timestamp(done.periods["validation"][1]) == held - pd.Timedelta(hours=1)
    assert pd.Timestamp(done.comparison.first) == held


def test_a_worse_challenger_is_kept_and_not_used(deployment: Deployment, series: Series) -> None:
    champion = deployment.current
    table = make_table(with_noise(series, CHANGED_DAY, HELD_DAY))
    done = retrain(deployment, table, observer=Silent(), device="cpu")
    assert not done.promoted
    assert done.comparison.champion < done.comparison.challenger
    assert deployment.current == done.in_use == champion
    assert (deployment.bundles / done.challenger).is_dir()
    (event,) = deployment.events("retrain")
    assert event["kept"] == champion
    assert "below 0.3" in event["reason"]


def comparison(**changes: float) -> Comparison:
    plain = Comparison(
        first="2022-05-25T00:00:00+00:00",
        last="2022-06-21T00:00:00+00:00",
        n_days=28,
        champion=1.0,
        challenger=1.0,
        ridge=2.0,
        probability=0.5,
        coverage=80.0,
        low=74.0,
        high=86.0,
        target=80.0,
        loses_to_ridge=False,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "objection"),
    [
        ({}, None),
        ({"probability": 0.3}, None),
        ({"probability": 0.29}, "below 0.3"),
        ({"coverage": 72.0, "low": 68.0, "high": 75.1}, None),
        ({"coverage": 70.0, "low": 66.0, "high": 74.9}, "outside 75 to 85"),
        ({"coverage": 90.0, "low": 85.1, "high": 94.0}, "outside 75 to 85"),
        ({"target": 90.0, "coverage": 90.0, "low": 85.1, "high": 94.0}, None),
        ({"loses_to_ridge": True}, "loses to the ridge"),
    ],
)
def test_what_speaks_against_a_challenger(changes: dict[str, Any], objection: str | None) -> None:
    objections = comparison(**changes).objections
    assert len(objections) == (objection is not None)
    assert objection is None or objection in objections[0]


# What is compared


class TrainedError(Exception):
    """The challenger lies among the bundles."""


class UntilTrained:
    """An observer that ends a retraining once the challenger is written."""

    def began(self, what: str) -> None:
        if what.startswith("forecasts"):
            raise TrainedError


def challenger_of(
    deployment: Deployment, table: pd.DataFrame, weather: pd.DataFrame | None = None
) -> Bundle:
    """The challenger that is trained on some rows; it is compared with nothing."""
    before = set(deployment.bundles.iterdir())
    with pytest.raises(TrainedError):
        retrain(deployment, table, weather, observer=UntilTrained(), device="cpu")
    (challenger,) = set(deployment.bundles.iterdir()) - before
    return load_bundle(challenger)


def test_nothing_held_back_is_learned_from(
    deployment: Deployment, series: Series, tmp_path: Path
) -> None:
    """The name of a bundle is the hash of its files: weights, calibrators, golden windows."""
    hours = np.arange(len(series))

    def changed_from(folder: str, first_hour: int) -> str:
        copy = copy_of(deployment.folder, tmp_path / folder)
        later = hours >= first_hour
        other = replace(
            series,
            values=np.where(later, 3.0 * series.values + 40.0, series.values),
            covariates=tuple(
                replace(c, values=np.where(later, c.values + 9.0, c.values))
                for c in series.covariates
            ),
        )
        return challenger_of(copy, make_table(other)).name

    unchanged = changed_from("unchanged", len(series))
    assert changed_from("held", 24 * HELD_DAY) == unchanged
    assert changed_from("learned", 24 * HELD_DAY - 1) != unchanged


def issue_half(deployment: Deployment, inputs: LiveInputs, live: Deployment) -> list[LiveForecast]:
    """Six forecasts in memory of a deployment whose journal has six; the live one issues all."""
    times = [inputs.values.index[24 * day] for day in range(HELD_DAY - 6, HELD_DAY + 6)]
    issue_forecasts(live, inputs, times[0], times[-1])
    issue_forecasts(deployment, inputs, times[0], times[5])
    before = {p: p.read_bytes() for p in deployment.folder.rglob("*") if p.is_file()}
    forecasts = issue_in_memory(deployment, deployment.bundle, inputs, times[6:])
    assert {p: p.read_bytes() for p in deployment.folder.rglob("*") if p.is_file()} == before
    return forecasts


def test_forecasts_in_memory_are_those_that_the_journal_would_have_got(
    deployment: Deployment, series: Series, tmp_path: Path
) -> None:
    live = copy_of(deployment.folder, tmp_path / "live")
    forecasts = issue_half(deployment, inputs_of(deployment, series), live)
    assert len({forecast.calibration for forecast in forecasts}) == 6  # it went on learning
    for made, expected in zip(forecasts, live.issued()[6:], strict=True):
        assert made.forecast_id == expected.forecast_id
        np.testing.assert_array_equal(made.quantiles, expected.quantiles)


def late_inputs(deployment: Deployment, series: Series) -> LiveInputs:
    """Inputs whose hours are there six hours later, and a part of one day three days later."""
    table = make_table(series)
    arrived = pd.Series(series.index + pd.Timedelta(hours=6))
    day = slice(24 * (HELD_DAY - 3) + 5, 24 * (HELD_DAY - 3) + 9)
    arrived[day] += pd.Timedelta(days=3)
    return deployment.bundle.contract.read(table.assign(available_at=arrived))


def test_forecasts_in_memory_learn_from_late_observations_as_the_journal_would(
    deployment: Deployment, series: Series, tmp_path: Path
) -> None:
    live = copy_of(deployment.folder, tmp_path / "live")
    forecasts = issue_half(deployment, late_inputs(deployment, series), live)
    assert [f.calibration for f in forecasts] == [f.calibration for f in live.issued()[6:]]
    assert not audit(Deployment.open(live.folder)).problems


def count_learned(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of windows that replays learn from, filled as they are made."""
    learned: list[int] = []

    def replay(
        bundle: Bundle, windows: Sequence[LearnedWindow], *, start: Mapping[str, Calibrator]
    ) -> dict[str, Calibrator]:
        learned.append(len(windows))
        return calibration_replay(bundle, windows, start=start)

    monkeypatch.setattr(module, "replay", replay)
    return learned


@pytest.mark.parametrize("late", [False, True])
def test_each_window_is_learned_from_once(
    deployment: Deployment, series: Series, monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    learned = count_learned(challenge, monkeypatch)
    inputs = late_inputs(deployment, series) if late else inputs_of(deployment, series)
    times = [series.index[24 * day] for day in range(HELD_DAY - 8, HELD_DAY + 8)]
    issue_in_memory(deployment, deployment.bundle, inputs, times)
    # The window that has just ended lacks its last hours, and is learned from again a day later.
    assert sum(learned) == (15 if not late else 14 + 15 + WAITED_FOR)


def test_a_day_that_comes_late_leads_to_no_replay_of_all(
    deployment: Deployment, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = count_learned(calibration_state, monkeypatch)
    times = [series.index[24 * day] for day in range(HELD_DAY - 8, HELD_DAY + 8)]
    issue_forecasts(deployment, late_inputs(deployment, series), times[0], times[-1])
    assert sum(learned) == 14 + 15 + WAITED_FOR


def test_a_challenger_forecasts_by_its_own_contract(
    changed: tuple[Path, Retraining], series: Series
) -> None:
    folder, done = changed
    deployment = Deployment.open(folder)
    champion, challenger = (
        load_bundle(folder / "bundles" / name) for name in (done.champion, done.challenger)
    )
    assert champion.contract.standards != challenger.contract.standards
    table = make_table(with_other_days(series))
    issue = series.index[24 * HELD_DAY]
    inputs = champion.contract.read(table)
    (made,) = issue_in_memory(deployment, challenger, inputs, [issue])
    expected = challenger.forecast_from(challenger.contract.read(table), issue)
    np.testing.assert_array_equal(made.raw, expected.raw)
    np.testing.assert_array_equal(made.reference, expected.reference)


def test_only_hours_that_the_champion_has_not_seen_are_compared(
    deployment: Deployment, series: Series
) -> None:
    knows = pd.Timestamp(deployment.bundle.manifest["task"]["periods"]["validation"][1])
    shorter = series.before(knows + pd.Timedelta(hours=1) + 9 * DAY)
    held = hold_back(deployment, inputs_of(deployment, shorter))
    assert held.first == knows + pd.Timedelta(hours=1)
    assert len(held.issues) == 9
    shorter = series.before(knows + pd.Timedelta(hours=1) + 6 * DAY)
    with pytest.raises(DataError, match=r"6 observed days lie between .* expected at least 7"):
        hold_back(deployment, inputs_of(deployment, shorter))
    with pytest.raises(SettingsError, match="--weeks is 1, expected at least 2"):
        hold_back(deployment, inputs_of(deployment, series), weeks=1)


def test_a_bundle_that_has_just_been_promoted_is_not_retrained_on_what_it_knows(
    changed: tuple[Path, Retraining], series: Series
) -> None:
    folder, _ = changed
    with pytest.raises(DataError, match=r"^0 observed days"):
        retrain(Deployment.open(folder), make_table(series), observer=Silent(), device="cpu")


def test_data_that_begin_too_late_are_refused(deployment: Deployment, series: Series) -> None:
    table = make_table(series).iloc[24 * 100 :]
    with pytest.raises(DataError, match=r"the data begin at 2021-04-11.*or earlier"):
        retrain(deployment, table, observer=Silent(), device="cpu")


def test_a_bundle_without_a_recipe_is_refused(deployment: Deployment, series: Series) -> None:
    del deployment.bundle.manifest["recipe"]  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match="does not say how its models were trained"):
        retrain(deployment, make_table(series), observer=Silent(), device="cpu")


# Weather runs


@pytest.fixture(scope="module")
def deployed_on_runs(tmp_path_factory: pytest.TempPathFactory, series: Series) -> Path:
    """A ridge that has learned from weather runs; copied before use."""
    return deploy(tmp_path_factory.mktemp("on_runs"), with_runs(series)).folder


@pytest.fixture
def on_runs(deployed_on_runs: Path, tmp_path: Path) -> Deployment:
    """A copy to work on."""
    return copy_of(deployed_on_runs, tmp_path / "on_runs")


def test_a_bundle_that_has_learned_from_weather_runs_is_retrained_on_them(
    on_runs: Deployment, series: Series
) -> None:
    later = with_other_days(with_runs(series))
    done = retrain(on_runs, make_table(later), runs_table(series), observer=Silent(), device="cpu")
    assert done.promoted
    assert done.comparison.challenger < 0.5 * done.comparison.champion
    challenger = load_bundle(on_runs.bundles / done.challenger)
    assert "weather_sha256" in challenger.manifest["task"]
    assert not challenger.manifest["assumptions"]
    # What was compared is what the challenger issues live, by the run of its issue.
    at = pd.Timestamp(done.comparison.first)
    live = challenger.forecast(make_table(later), runs_table(series), at=at)
    assert live.weather_issue_time == (at - pd.Timedelta(hours=4)).isoformat()
    inputs = challenger.contract.read(make_table(later), runs_table(series))
    (made,) = issue_in_memory(on_runs, challenger, inputs, [at])
    np.testing.assert_array_equal(made.raw, live.raw)
    for name in (done.challenger, done.in_use):
        load_bundle(on_runs.bundles / name).verify()


def test_a_challenger_learns_from_each_run_what_was_known_at_the_issue(
    on_runs: Deployment, series: Series, tmp_path: Path
) -> None:
    runs = runs_table(series)
    held = series.index[24 * HELD_DAY]
    known = (runs["issued_at"] < held) & (runs["valid_at"] < held)
    # Issues from 20:00 on see the new run: the day after tomorrow of a run is beyond all of them.
    unseen = runs["valid_at"] > runs["issued_at"] + pd.Timedelta(hours=46)

    def weights_of(folder: str, changed: pd.Series[bool]) -> bytes:
        copy = copy_of(on_runs.folder, tmp_path / folder)
        other = runs.assign(temperature=runs["temperature"] + 9.0 * changed)
        challenger = challenger_of(copy, make_table(with_runs(series)), other)
        return challenger.members[0][0].arrays()["weights"].tobytes()

    train_to = held - 48 * DAY
    unchanged = weights_of("unchanged", known & False)
    assert weights_of("unseen", ~known | unseen) == unchanged
    assert weights_of("seen", known & (runs["issued_at"] >= train_to - 2 * DAY)) != unchanged


def test_weather_runs_are_asked_for_where_they_were_learned_from_and_only_there(
    on_runs: Deployment, deployment: Deployment, series: Series
) -> None:
    with pytest.raises(DataError, match="needs temperature from weather runs"):
        retrain(on_runs, make_table(with_runs(series)), observer=Silent(), device="cpu")
    with pytest.raises(SettingsError, match="has learned from measured weather"):
        retrain(deployment, make_table(series), runs_table(series), observer=Silent())
    runs = runs_table(series)
    early = runs[runs["issued_at"] < series.index[24 * 200]]
    with pytest.raises(DataError, match=r"cannot be learned from[\s\S]*temperature"):
        retrain(on_runs, make_table(with_runs(series)), early, observer=Silent(), device="cpu")


# Networks


@pytest.mark.slow
@pytest.mark.parametrize("start", ["the weights before", "scratch"])
def test_a_network_starts_from_the_weights_before_or_from_scratch(
    start: str,
    tmp_path: Path,
    series: Series,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployment = deploy(tmp_path / "network", series, model="NHITS_Q")
    warm = start != "scratch"
    # Another seed: what starts from scratch starts far from the champion's weights.
    deployment.bundle.manifest["recipe"]["configs"][0]["study_seed"] = 99
    champion = deployment.bundle.members[0][0].arrays()
    losses: list[float] = []
    true_loss = build._stop_loss

    def loss(trained: TrainedModel) -> float:
        losses.append(true_loss(trained))
        return float(len(losses) if not warm else -len(losses))  # scratch comes first

    monkeypatch.setattr(build, "_stop_loss", loss)
    monkeypatch.setattr(Comparison, "objections", ())
    done = retrain(deployment, make_table(series), observer=Silent(), device="cpu")
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    names = [done.challenger, done.in_use]
    bundles = [load_bundle(deployment.bundles / name) for name in names]
    for bundle in bundles:
        said = bundle.manifest["members"][0]["trained"]
        assert ("from the weights before" in said) == warm
    weights = [bundle.members[0][0].arrays() for bundle in bundles]
    moved = [
        max(np.abs(after[n] - champion[n]).max() for n in champion if n.startswith("weights."))
        for after in weights
    ]
    assert (max(moved) < 0.1) == warm
    assert min(moved) > 0.0
    assert any(not np.array_equal(weights[0][n], weights[1][n]) for n in champion)


# When


@pytest.mark.parametrize(
    ("days", "state", "answer"),
    [
        (None, None, (True, "neither --if-older")),
        (166, None, (True, "166 days")),
        (167, None, (False, "no more than 167 days")),
        (None, "alarm", (True, "raised an alarm")),
        (None, "watch", (False, "raised no alarm")),
        (None, "fine", (False, "raised no alarm")),
        (167, "alarm", (True, "raised an alarm")),
        (166, "fine", (True, "166 days")),
        (167, "fine", (False, "167 days; the monitor")),
    ],
)
def test_age_or_alarm_is_enough(
    deployment: Deployment,
    series: Series,
    days: int | None,
    state: str | None,
    answer: tuple[bool, str],
) -> None:
    # The last hour is 120 + 47 days after that of the train period.
    if state is not None:
        deployment.note("monitor", state="alarm" if state != "alarm" else "fine")
        deployment.note("monitor", state=state)
        deployment.note("forecast", issue="2022-05-25T00:00:00+00:00", revision=1)
    trigger = find_trigger(
        deployment,
        inputs_of(deployment, series),
        older_than=None if days is None else days * DAY,
        if_alarm=state is not None,
    )
    assert trigger.due == answer[0]
    assert answer[1] in trigger.reason


def test_an_alarm_about_an_earlier_bundle_does_not_count(deployment: Deployment) -> None:
    deployment.note("monitor", state="alarm")
    assert is_alarmed(deployment)
    deployment.point_to(deployment.bundle.name, event="promote", reason="test")
    assert not is_alarmed(deployment)
    deployment.note("monitor", state="alarm")
    assert is_alarmed(deployment)


def test_an_alarm_counts_for_the_bundle_that_it_has_judged(deployment: Deployment) -> None:
    first = deployment.bundle.name
    deployment.note("monitor", state="alarm", judged=first)
    assert is_alarmed(deployment)
    # As a kill between pointer and event leaves it.
    (deployment.folder / "current").write_text("b\n")
    assert not is_alarmed(Deployment.open(deployment.folder))


# Kills and locks

KILLED = """
import os, signal, sys
from pathlib import Path
from paretocast.data.tables import read_table
from paretocast.deployment.journal import Deployment
from paretocast.deployment.retrain import retrain

class Killer:
    n = 0
    def began(self, what):
        Killer.n += what.startswith(sys.argv[3])
        if Killer.n == int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)

retrain(Deployment.open(Path(sys.argv[1])), read_table(Path(sys.argv[2])), observer=Killer(),
        device="cpu")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "nth"), [("ridge", 1), ("golden", 1), ("forecasts", 1), ("golden", 2)]
)
def test_a_kill_leaves_the_champion_and_no_half_bundle(
    deployment: Deployment, series: Series, tmp_path: Path, step: str, nth: int
) -> None:
    champion = deployment.current
    data = tmp_path / "small.csv"
    make_table(with_other_days(series)).to_csv(data, index=False)
    words = [sys.executable, "-c", KILLED, str(deployment.folder), str(data), step, str(nth)]
    done = subprocess.run(words, env=dict(os.environ), capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    again = Deployment.open(deployment.folder)
    assert again.current == champion
    for folder in again.bundles.glob("[!.]*"):
        check_sums(folder)
    hidden = list(again.bundles.glob(".new-*"))
    assert len(hidden) == (step == "golden")
    remove_leftovers(again.bundles)
    assert list(again.bundles.glob(".new-*")) == hidden  # it may be the work of a living process
    if not hidden:
        return
    yesterday = time.time() - 25 * 3600
    os.utime(hidden[0], (yesterday, yesterday))
    assert retrain(again, pd.read_csv(data), observer=Silent(), device="cpu").promoted
    assert not list(again.bundles.glob(".*"))


def test_a_second_retraining_is_refused(deployment: Deployment, series: Series) -> None:
    with StudyLock(deployment.folder / ".retrain.lock"):
        with pytest.raises(StoreError, match="is not retrained a second time"):
            retrain(deployment, make_table(series), observer=Silent(), device="cpu")
        with deployment.locked():  # a forecast is issued meanwhile
            pass


def test_a_challenger_of_a_bundle_no_longer_in_use_is_not_promoted(
    deployment: Deployment, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(deployment.bundles / deployment.bundle.name, deployment.bundles / "other")

    def compare(*_: object, **__: object) -> Comparison:
        Deployment.open(deployment.folder).point_to("other", event="deploy", reason="test")
        return comparison()

    monkeypatch.setattr(retraining, "compare", compare)
    with pytest.raises(StoreError, match="uses the bundle other by now"):
        retrain(deployment, make_table(series), observer=Silent(), device="cpu")
    assert deployment.current == "other"


# Back


def with_bundles(deployment: Deployment, *names: str) -> None:
    """Put copies of the bundle into use, one after the other."""
    for name in names:
        shutil.copytree(deployment.bundles / deployment.bundle.name, deployment.bundles / name)
    for name in names:
        deployment.point_to(name, event="promote", reason="test")


def test_a_rollback_goes_one_bundle_back_each_time(deployment: Deployment) -> None:
    first = deployment.bundle.name
    with_bundles(deployment, "b", "c")
    assert rollback(deployment) == "b"
    assert rollback(deployment) == deployment.current == first
    with pytest.raises(StoreError, match="has had no other bundle in use"):
        rollback(deployment)
    assert rollback(deployment, to="c") == deployment.current == "c"
    assert rollback(deployment) == first
    events = [(e["before"], e["bundle"]) for e in deployment.events("rollback")]
    assert events == [("c", "b"), ("b", first), (first, "c"), ("c", first)]


def test_a_rollback_from_a_bundle_that_is_not_there_asks_for_a_name(
    deployment: Deployment,
) -> None:
    before = (deployment.folder / "current").read_text(encoding="utf-8")
    (deployment.folder / "current").write_text("b1b1b1b1b1b1\n", encoding="utf-8")
    with pytest.raises(StoreError, match="b1b1b1b1b1b1 is in use, of which it has no bundle"):
        rollback(deployment)
    assert rollback(deployment, to=before.strip()) == before.strip()


def test_a_rollback_after_a_kill_between_pointer_and_event(deployment: Deployment) -> None:
    first = deployment.bundle.name
    shutil.copytree(deployment.bundles / first, deployment.bundles / "b")
    (deployment.folder / "current").write_text("b\n")
    assert rollback(Deployment.open(deployment.folder)) == first


@pytest.mark.parametrize("name", ["nothing", "../small", ".new-1", "bundles", ""])
def test_a_rollback_to_something_else_is_refused(deployment: Deployment, name: str) -> None:
    (deployment.bundles / ".new-1").mkdir()
    with pytest.raises(SettingsError, match="has no bundle"):
        rollback(deployment, to=name)
    with pytest.raises(SettingsError, match="is in use already"):
        rollback(deployment, to=deployment.bundle.name)


def test_a_rollback_to_a_damaged_bundle_is_refused(deployment: Deployment) -> None:
    first = deployment.bundle.name
    with_bundles(deployment, "b")
    (deployment.bundles / first / "calibrators.json").write_text("{}")
    with pytest.raises(StoreError, match="was changed after the bundle was made"):
        rollback(deployment)
    assert deployment.current == "b"


# Commands


@pytest.fixture
def command(
    deployment: Deployment, series: Series, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`paretocast retrain` of the deployment on its data, with further options."""
    data = tmp_path / "small.csv"
    make_table(series).to_csv(data, index=False)

    def run(*options: str) -> tuple[int, str, str]:
        return run_cli(capsys, "retrain", deployment.folder, "--data", data, *options)

    return run


def test_exit_codes_and_what_is_said(
    command: Callable[..., tuple[int, str, str]],
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, out, err = command("--if-older", "30w", "--if-alarm")
    assert (code, out) == (5, "")
    assert "not retrained: the bundle has learned until 2022-01-05 23:00 UTC" in err
    assert command("--if-older", "soon")[0] == 2
    assert command("--data", "absent.csv")[0] == 1
    monkeypatch.setattr(retraining, "compare", lambda *_, **__: comparison(loses_to_ridge=True))
    code, out, err = command("--if-older", "30d", "--device", "cpu")
    assert code == 5
    assert "in use 1.000, new 1.000, ridge 2.000" in out
    assert "paretocast tune --model all --dataset small.toml" in err
    assert "train_to = 2022-04-07T23:00:00+00:00" in err
    monkeypatch.setattr(retraining, "compare", lambda *_, **__: comparison())
    code, out, err = command("--device", "cpu")
    assert code == 0
    assert "probability 0.50" in out
    assert f"uses {deployment.current} instead of" in err


def test_rollback_prints_the_name(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    first = deployment.bundle.name
    with_bundles(deployment, "b")
    assert run_cli(capsys, "rollback", deployment.folder)[:2] == (0, f"{first}\n")
    assert run_cli(capsys, "rollback", deployment.folder)[0] == 1
    assert run_cli(capsys, "rollback", deployment.folder, "--to", "x")[0] == 2


def test_a_profile_hands_the_same_command_over(
    command: Callable[..., tuple[int, str, str]], deployment: Deployment
) -> None:
    profiles = deployment.folder / "cluster.toml"
    profiles.write_text(
        '[profiles.here]\nexecutor = "background"\nprogram = ["/bin/echo"]\n', encoding="utf-8"
    )
    words = ("--if-older", "30d", "--profile", "here", "--weeks", "3", "--weather", "nwp.csv")
    code, out, err = command(*words)
    assert code == 0
    log = deployment.folder / "jobs" / f"retrain_small_{out.strip()}.log"
    assert str(log) in err
    ends = time.monotonic() + 10.0
    while "--weather" not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < ends, "the job has said nothing"
        time.sleep(0.05)
    assert f"retrain {deployment.folder} --data" in log.read_text()
    assert "--weather nwp.csv" in log.read_text()
    assert not deployment.events("retrain")
