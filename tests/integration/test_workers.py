"""Several workers on one study: shared trials, deaths, take-overs; all components are real."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from builders import make_task
from paretocast.search.selection import TrialState
from paretocast.settings import TuneSettings
from paretocast.study.manifest import build_manifest
from paretocast.study.study import Study
from paretocast.training.setup import TrainingSetup
from paretocast.workspace.claims import Claim, claim_owner
from paretocast.workspace.files import load_json, save_json
from paretocast.workspace.runs import RunDirectory
from studies import Watch, make_run, make_settings, make_study, numbers, optimise

KILLED_OWNER = """
import os, signal, sys
from pathlib import Path
from paretocast.workspace.claims import Claim
Claim.take(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""
TINY = """
[training]
steps = 60
batch_size = 32
n_evaluations = 6
[space.NHITS_Q]
layer_widths = {values = [16, 32]}
"""


def make_worker(folder: Path, settings: TuneSettings, *, worker: int = 0) -> Study:
    return make_study(folder, settings, shared=True, worker=worker)


def claim_and_die(folder: Path) -> None:
    """Have a process claim a folder and be killed at once."""
    subprocess.run([sys.executable, "-c", KILLED_OWNER, str(folder)], check=False)


def optuna_trials(run: RunDirectory) -> list[optuna.trial.FrozenTrial]:
    backend = optuna.storages.journal.JournalFileBackend(str(run.study_journal))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name=run.study_name, storage=storage).trials


def test_workers_share_the_trials_and_none_is_trained_twice(tmp_path: Path) -> None:
    settings = make_settings(4)
    watches = [Watch(), Watch()]
    results: list[Any] = [None] * 2

    def work(index: int) -> None:
        study = make_worker(tmp_path, settings, worker=index)
        results[index] = study.optimise(watches[index], should_stop=lambda: False)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    started = sorted(number for watch in watches for number, _ in watch.started)
    assert started == list(range(4))
    for result in results:
        assert result.ended_by == "trials"
        assert [record.number for record in result.records] == list(range(4))
    run = make_run(tmp_path)
    assert [trial.number for trial in optuna_trials(run)] == list(range(4))
    assert all(trial.state.is_finished() for trial in optuna_trials(run))
    assert load_json(run.best_params)["n_trials"] == 4
    assert not list(run.trials_folder.rglob("*claim*"))
    assert not list(run.trials_folder.rglob("*.safetensors"))


def test_a_study_begun_by_one_process_goes_on_with_several(tmp_path: Path) -> None:
    bench_settings = make_settings(2)
    optimise(make_worker(tmp_path, bench_settings))
    make_run(tmp_path).study_journal.unlink()  # as if it had been kept in SQLite
    optimise(make_worker(tmp_path, make_settings(3)))
    assert [trial.number for trial in optuna_trials(make_run(tmp_path))] == [0, 1, 2]


def test_the_trial_of_a_killed_worker_goes_on_from_its_last_rung(tmp_path: Path) -> None:
    whole = optimise(make_worker(tmp_path / "whole", make_settings(2)))

    class Dies(Watch):
        def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
            super().trial_advanced(step, total_steps, stop_loss)
            if step > 4:  # the second of three rungs
                raise SystemExit(137)

    killed = tmp_path / "killed"
    with pytest.raises(SystemExit):
        optimise(make_worker(killed, make_settings(2)), Dies())
    folder = make_run(killed).trial_folder(0)
    claim_and_die(folder)
    assert (folder / "claim.1").exists()
    assert claim_owner(folder) is None
    watch = Watch()
    assert numbers(optimise(make_worker(killed, make_settings(2)), watch)) == numbers(whole)
    assert watch.started == [(0, True), (1, False)]


def test_a_trial_in_living_hands_is_left_alone_and_waited_for(tmp_path: Path) -> None:
    study = make_worker(tmp_path, make_settings(2))
    other = Claim.take(make_run(tmp_path).trial_folder(0))
    assert other is not None
    watch, waits = Watch(), 0

    def wait(_seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            other.release()

    result = study.optimise(watch, should_stop=lambda: False, pause=wait)
    assert [number for number, _ in watch.started] == [1, 0]
    assert waits == 3
    assert len(result.records) == 2


def test_a_trial_is_compared_with_what_others_have_shown_at_a_rung(tmp_path: Path) -> None:
    alone = optimise(make_worker(tmp_path / "alone", make_settings(1))).records[0]
    assert alone.state is TrialState.COMPLETE
    study = make_worker(tmp_path / "shared", make_settings(2))
    run = make_run(tmp_path / "shared")
    other = Claim.take(run.trial_folder(0))
    assert other is not None
    perfect = {**alone.rungs[0].scores, "mae": 0.0, "coverage_error": 0.0}
    rung = {"step": 1, "scores": perfect, "picp_interval": [79.0, 81.0]}
    save_json(run.rungs(0), {"schema_version": 1, "rungs": [rung]})
    watch = Watch()
    ended: list[bool] = []
    result = study.optimise(
        watch, should_stop=lambda: bool(ended), pause=lambda _seconds: ended.append(True)
    )
    other.release()
    assert result.records[0].number == 1
    assert result.records[0].state is TrialState.PRUNED


def test_a_result_is_not_kept_by_a_worker_whose_trial_was_taken_over(tmp_path: Path) -> None:
    run = make_run(tmp_path)

    class TakenOver(Watch):
        def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
            super().trial_advanced(step, total_steps, stop_loss)
            if step == total_steps and self.n_evaluations < 10:
                (run.trial_folder(0) / "claim.1").touch()
                self.n_evaluations = 10

    watch = TakenOver()
    result = optimise(make_worker(tmp_path, make_settings(1)), watch)
    # The second claim is empty, so the trial was free again: it was trained anew, and kept once.
    assert [number for number, _ in watch.started] == [0, 0]
    assert len(result.records) == 1


def test_a_search_ends_when_patience_does(tmp_path: Path) -> None:
    settings = make_settings(9, patience=1, patience_growth=1000.0)
    result = optimise(make_worker(tmp_path, settings))
    assert result.ended_by == "patience"
    assert len(result.records) == 2


def test_a_password_is_not_in_the_manifest() -> None:
    settings = make_settings(1, storage="postgresql://anna:s3cret@db/x")
    setup = TrainingSetup.from_settings(settings, make_task(), device="cpu")
    manifest = build_manifest(settings, setup)
    assert manifest["settings"]["storage"] == "postgresql://anna@db/x"
    assert "s3cret" not in json.dumps(manifest)


class Tuning:
    """A search with two workers, as a user starts it."""

    def __init__(self, folder: Path, *arguments: str, longest_file: int | None = None) -> None:
        (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
        self.run = RunDirectory(folder / "hpo", "NHITS_Q", "demo", "w")
        self.error_file = folder / "err"
        command = [sys.executable, "-m", "paretocast", "tune", "--dataset", "demo", "--job-id", "w"]
        command += ["--settings", str(folder / "tiny.toml"), "--workspace", str(folder / "hpo")]
        if longest_file is not None:  # a full disk, as far as a process can be shown one
            limit = f'ulimit -f {longest_file // 1024}; exec "$@"'
            command = ["bash", "-c", limit, "bash", *command]
        with self.error_file.open("w", encoding="utf-8") as talk:
            self.process = subprocess.Popen(
                [*command, *arguments], stderr=talk, stdout=subprocess.DEVNULL
            )

    def said(self) -> str:
        return self.error_file.read_text(encoding="utf-8")

    def busy_worker(self) -> tuple[int, int]:
        """Trial and process id of a worker whose loss was evaluated once."""
        while True:
            assert self.process.poll() is None, self.said()
            for path in self.run.worker_report(0).parent.glob("*.json"):
                report = json.loads(path.read_text(encoding="utf-8"))
                if report["step"] > 0:
                    return report["trial"], report["pid"]
            time.sleep(0.02)

    def records(self) -> list[dict[str, Any]]:
        return [load_json(p) for p in sorted(self.run.trials_folder.glob("*/record.json"))]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_worker_is_reported_and_the_others_finish_the_study(tmp_path: Path) -> None:
    tuning = Tuning(tmp_path, "--workers", "2", "--trials", "5")
    _, pid = tuning.busy_worker()
    os.kill(pid, signal.SIGKILL)
    assert tuning.process.wait() == 0, tuning.said()
    assert "was killed by SIGKILL; its trial goes to the others" in tuning.said()
    assert "1 of 2 workers ended early" in tuning.said()
    assert [record["number"] for record in tuning.records()] == list(range(5))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_puts_all_trials_away_and_the_study_goes_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    tuning = Tuning(tmp_path, "--workers", "2", "--trials", "5")
    trial, pid = tuning.busy_worker()
    tuning.process.send_signal(number)
    assert tuning.process.wait() == 0, tuning.said()
    assert "--job-id w --resume" in tuning.said()
    assert not is_running(pid)
    assert tuning.run.record(trial).exists() or tuning.run.checkpoint(trial).exists()
    again = Tuning(tmp_path, "--resume")
    assert again.process.wait() == 0, again.said()
    assert len(again.records()) == 5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_workers_whose_parent_is_killed_put_their_trials_away(tmp_path: Path) -> None:
    tuning = Tuning(tmp_path, "--workers", "2", "--trials", "50")
    trial, pid = tuning.busy_worker()
    tuning.process.kill()
    tuning.process.wait()
    deadline = time.monotonic() + 60.0
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(pid)
    assert tuning.run.record(trial).exists() or tuning.run.checkpoint(trial).exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_is_a_clear_error_and_the_study_goes_on_afterwards(
    tmp_path: Path, workers: str
) -> None:
    options = ("--trials", "3", "--workers", workers)
    tuning = Tuning(tmp_path, *options, longest_file=100 * 1024)
    assert tuning.process.wait() == 1
    assert re.search("File too large|disk I/O error|disk is full", tuning.said())
    assert "Traceback" not in tuning.said()
    again = Tuning(tmp_path, *options)
    assert again.process.wait() == 0, again.said()
    assert [record["number"] for record in again.records()] == [0, 1, 2]
