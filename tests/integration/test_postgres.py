"""Studies whose copy for Optuna lies in a real PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from clusters import TINY
from databases import PASSWORD, Database, running_database

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
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "PARETOCAST_"))}
    return subprocess.run(
        command,
        cwd=folder,
        env={**kept, "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def everything_written(folder: Path) -> str:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".pgpass"]
    return "\n".join(path.read_bytes().decode("utf-8", errors="replace") for path in paths)


def trials_in(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[optuna.trial.FrozenTrial]:
    (result,) = (folder / "hpo" / "results").glob("*/best_params_*.json")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    name = json.loads(result.read_text("utf-8"))["study_name"]
    return optuna.load_study(study_name=name, storage=database.url).trials


def test_the_password_may_stand_in_pgpass_and_is_written_nowhere_else(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".pgpass").write_text(database.pgpass, encoding="utf-8")
    (tmp_path / ".pgpass").chmod(0o600)
    done = tune(tmp_path, "--trials", "2", "--storage", database.url)
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in everything_written(tmp_path) + done.stdout + done.stderr
    assert len(trials_in(database, tmp_path, monkeypatch)) == 2


def test_workers_share_a_study_whose_url_holds_the_password(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = database.url.replace("@", f":{PASSWORD}@")
    words = ("--trials", "4", "--workers", "2", "--seed", "7", "--job-id", "b")
    done = tune(tmp_path, *words, PARETOCAST_STORAGE=url)
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in everything_written(tmp_path) + done.stdout + done.stderr
    trials = trials_in(database, tmp_path, monkeypatch)
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert all(trial.state.is_finished() for trial in trials)


def test_a_wrong_password_is_one_message_that_does_not_repeat_it(
    database: Database, tmp_path: Path
) -> None:
    url = database.url.replace("@", ":not-the-word@")
    done = tune(tmp_path, "--trials", "1", "--storage", url)
    assert done.returncode == 1
    assert "error: study storage postgresql+psycopg://researcher@127.0.0.1" in done.stderr
    assert "password authentication failed" in done.stderr
    assert "not-the-word" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_gone_is_one_message(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    url = "postgresql+psycopg://researcher@127.0.0.1:9/hpo"
    done = tune(tmp_path, "--trials", "1", "--storage", url)
    assert done.returncode == 1
    assert "check the address and whether the server answers" in done.stderr.replace("\n", " ")
