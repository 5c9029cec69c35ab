"""Studies whose copy for Optuna lies in a real PostgreSQL."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState as OptunaState

from clusters import TINY
from databases import PASSWORD, Database, free_port, running_database
from paretocast.errors import StoreError
from paretocast.search.space import FloatRange, Space
from paretocast.study.optuna_sync import HEARTBEAT_SECONDS, OptunaSync, frozen_trial
from paretocast.workspace.files import create_folder
from studies import make_run

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with running_database() as started:
        yield started


def tune(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """One search as a user starts it, with nothing but these variables to find a password in."""
    (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
    command = [sys.executable, "-m", "paretocast", "tune", "--dataset", "demo"]
    command += ["--settings", "tiny.toml", "--job-id", "a", "--threads", "1", *words]
    harmless = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "PARETOCAST_"))}
    return subprocess.run(
        command,
        cwd=folder,
        env={**harmless, "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def everything_written(folder: Path) -> str:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".pgpass"]
    return "\n".join(path.read_bytes().decode("utf-8", errors="replace") for path in paths)


def running(number: int) -> optuna.trial.FrozenTrial:
    space: Space = {"lr": FloatRange(1e-5, 1e-2, log=True)}
    return frozen_trial({"lr": 1e-3}, space, state=OptunaState.RUNNING)


def open_sync(url: str, folder: Path, study: str = "1") -> OptunaSync:
    run = make_run(folder, study)
    create_folder(run.folder)
    return OptunaSync(url, run, objectives=["MAE", "coverage"])


def close_sync(optuna_sync: OptunaSync) -> None:
    assert optuna_sync._heart is not None
    close(optuna_sync._heart)


def close(storage: optuna.storages.RDBStorage) -> None:
    """Leave no connection to the garbage collector, which would warn of it."""
    storage.remove_session()
    storage.engine.dispose()


def trials_in(database: Database, study_name: str) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.RDBStorage(database.url.replace("@", f":{PASSWORD}@"))
    trials = optuna.load_study(study_name=study_name, storage=storage).trials
    close(storage)
    return trials


def test_the_password_may_stand_in_pgpass(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pgpass").write_text(database.pgpass, encoding="utf-8")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    optuna_sync = open_sync(database.url, tmp_path)
    optuna_sync.catch_up(2, running)
    close_sync(optuna_sync)
    assert [trial.state for trial in trials_in(database, "NHITS_Q_small_1")] == [
        OptunaState.RUNNING,
        OptunaState.RUNNING,
    ]


def test_workers_share_a_study_and_the_password_of_its_url_is_written_nowhere(
    database: Database, tmp_path: Path
) -> None:
    url = database.url.replace("@", f":{PASSWORD}@")
    words = ("--trials", "4", "--workers", "2", "--seed", "7", "--job-id", "b")
    done = tune(tmp_path, *words, PARETOCAST_STORAGE=url)
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in everything_written(tmp_path) + done.stdout + done.stderr
    trials = trials_in(database, "NHITS_Q_demo_b")
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert all(trial.state.is_finished() for trial in trials)
    # The first is in the database before it starts; a later one may end before it gets there.
    assert 0 in beating_trials(database, "NHITS_Q_demo_b")


def test_a_trial_that_is_worked_on_has_a_heartbeat_in_the_database(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    optuna_sync = open_sync(database.url, tmp_path, "beats")
    optuna_sync.catch_up(2, running)
    with optuna_sync.alive(1):
        pass  # one beat comes at once
    close_sync(optuna_sync)
    assert beating_trials(database, "NHITS_Q_small_beats") == [1]


def test_a_trial_that_enters_the_database_after_its_start_has_a_heartbeat_soon(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    optuna_sync = open_sync(database.url, tmp_path, "late")
    with optuna_sync.alive(1):
        time.sleep(0.5)  # the first beat finds no such trial
        optuna_sync.catch_up(2, running)
        deadline = time.monotonic() + HEARTBEAT_SECONDS / 2
        while not beating_trials(database, "NHITS_Q_small_late") and time.monotonic() < deadline:
            time.sleep(0.2)
    close_sync(optuna_sync)
    assert beating_trials(database, "NHITS_Q_small_late") == [1]


def beating_trials(database: Database, study_name: str) -> list[int]:
    """Numbers of the trials of a study that have a heartbeat."""
    import psycopg

    query = (
        "SELECT trials.number FROM trial_heartbeats JOIN trials USING (trial_id) "
        "JOIN studies USING (study_id) WHERE study_name = %s"
    )
    url = database.url.replace("+psycopg", "")
    with psycopg.connect(url, password=PASSWORD) as connection:
        return [number for (number,) in connection.execute(query, (study_name,)).fetchall()]


def test_a_study_may_reach_its_database_through_the_grpc_proxy(
    database: Database, tmp_path: Path
) -> None:
    pytest.importorskip("grpc", reason="the extra grpc is not installed")
    port = free_port()
    serve = (
        "import sys, optuna; optuna.storages.run_grpc_proxy_server("
        "optuna.storages.RDBStorage(sys.argv[1]), host='127.0.0.1', port=int(sys.argv[2]))"
    )
    command = [sys.executable, "-W", "ignore", "-c", serve, database.url, str(port)]
    environment = {**os.environ, "PGPASSWORD": PASSWORD}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as proxy:
        try:
            wait_for_port(port)
            optuna_sync = open_sync(f"grpc://127.0.0.1:{port}", tmp_path, "far")
            optuna_sync.catch_up(1, running)
            with optuna_sync.alive(0):  # the proxy takes no heartbeats
                optuna_sync.catch_up(
                    2, lambda number: ended(number) if number == 0 else running(number)
                )
        finally:
            proxy.terminate()
    trials = trials_in(database, "NHITS_Q_small_far")
    assert [trial.state for trial in trials] == [OptunaState.COMPLETE, OptunaState.RUNNING]
    assert trials[0].values == [0.1, 2.0]


def ended(number: int) -> optuna.trial.FrozenTrial:
    space: Space = {"lr": FloatRange(1e-5, 1e-2, log=True)}
    return frozen_trial({"lr": 1e-3}, space, values=[0.1, 2.0])


def test_a_proxy_that_is_gone_is_one_message(tmp_path: Path) -> None:
    pytest.importorskip("grpc", reason="the extra grpc is not installed")
    with pytest.raises(StoreError, match=r"^study storage grpc://127\.0\.0\.1:9 fails: .*refused"):
        open_sync("grpc://127.0.0.1:9", tmp_path)


def wait_for_port(port: int) -> None:
    """Until somebody listens."""
    deadline = time.monotonic() + 60.0
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_wrong_password_is_one_message_that_does_not_repeat_it(
    database: Database, tmp_path: Path
) -> None:
    url = database.url.replace("@", ":not-the-word@")
    with pytest.raises(StoreError, match="password authentication failed") as raised:
        open_sync(url, tmp_path)
    assert "study storage postgresql+psycopg://researcher@127.0.0.1" in str(raised.value)
    assert "not-the-word" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_server_that_is_gone_is_one_message(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    url = "postgresql+psycopg://researcher@127.0.0.1:9/hpo"
    with pytest.raises(StoreError, match="check the address and whether the server answers"):
        open_sync(url, tmp_path)
