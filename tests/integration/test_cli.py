"""The command line as a user meets it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import no_pages, run_cli, write_demo_csv
from paretocast.cli.tune import parse_duration
from paretocast.errors import SettingsError
from paretocast.report.assessment import HEADING
from paretocast.study.interruption import StopRequest

TINY = """
[training]
steps = 12
batch_size = 32
n_evaluations = 3
[space.NHITS_Q]
layer_widths = {values = [16, 32]}
"""
ZONE = """
name = "my_zone"
path = "my_zone.csv"
time_column = "timestamp"
target = "heat"
unit = "kWh"
zone = "Europe/Copenhagen"
frequency = "1h"
holiday_country = "DK"
[splits]
train = 0.6
validation = 0.2
"""


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """Options of a search that takes seconds."""
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    return [
        "--settings",
        str(tmp_path / "tiny.toml"),
        "--workspace",
        str(tmp_path / "hpo"),
        "--threads",
        "1",
    ]


@pytest.fixture
def pageless() -> Iterator[None]:
    """For tests of something else than pages."""
    with no_pages():
        yield


def own_series(folder: Path) -> list[str]:
    """The words of a search on a series of the user's."""
    write_demo_csv(folder / "my_zone.csv", days=150)
    (folder / "my_zone.toml").write_text(ZONE, encoding="utf-8")
    return ["tune", "--dataset", str(folder / "my_zone.toml")]


def test_tune_prints_the_front_the_choice_and_the_references(
    capsys: pytest.CaptureFixture[str], tiny: list[str], tmp_path: Path
) -> None:
    words = [*own_series(tmp_path), "--model", "nhits_q", "--trials", "2", "--job-id", "a"]
    code, out, err = run_cli(capsys, *words, *tiny)
    assert code == 0
    assert "Pareto front on the tune split" in out
    assert "in kWh" in out
    assert re.search(r"chosen: trial [01] – ", out)
    assert "seasonal_naive_24" in out
    assert "trial 1 MAE" in err
    assert "\x1b[" not in out + err
    folder = tmp_path / "hpo" / "results" / "NHITS_Q_my_zone"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "best_params_NHITS_Q_my_zone_a.json",
        "study_NHITS_Q_my_zone_a.db",
        "manifest_a.json",
        "study_a.html",
        "trials_a",
    }
    assert HEADING in (folder / "study_a.html").read_text("utf-8")


def test_resume_goes_on_with_the_settings_of_the_start(
    capsys: pytest.CaptureFixture[str], tiny: list[str], tmp_path: Path, pageless: None
) -> None:
    start = own_series(tmp_path)
    assert run_cli(capsys, *start, "--trials", "1", "--seed", "5", *tiny)[0] == 0
    workspace = tiny[2:4]
    code, _, err = run_cli(capsys, *start, "--resume", "--trials", "2", *workspace)
    assert code == 0
    assert "trial 1 MAE" in err
    results = list((tmp_path / "hpo" / "results" / "NHITS_Q_my_zone").glob("best_params_*.json"))
    assert len(results) == 1
    assert json.loads(results[0].read_text())["n_trials"] == 2


@pytest.mark.slow
def test_a_study_on_a_users_own_series_is_found_and_named_from_any_folder(
    capsys: pytest.CaptureFixture[str],
    tiny: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_demo_csv(tmp_path / "series.csv", days=250)
    text = ZONE.replace("my_zone.csv", "series.csv")
    (tmp_path / "series.toml").write_text(text, encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    study = tmp_path / "hpo" / "results" / "NHITS_Q_my_zone"
    tune = ("tune", "--dataset", "series.toml", *tiny)
    monkeypatch.chdir(tmp_path)
    assert run_cli(capsys, *tune, "--trials", "1", "--job-id", "a")[0] == 0
    limited = ("--trials", "200", "--time-limit", "1s", "--job-id", "b")
    assert run_cli(capsys, *tune, *limited)[0] == 0
    words = f"--dataset series.toml --job-id b --resume --workspace {tmp_path / 'hpo'}"
    assert words in run_cli(capsys, "status", "--workspace", str(tmp_path / "hpo"))[2]
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = study / "best_params_NHITS_Q_my_zone_a.json"
    assert run_cli(capsys, "calibrate", str(done))[0] == 0
    words = words.replace("series.toml", str(tmp_path / "series.toml"))
    assert words in run_cli(capsys, "status", "--workspace", str(tmp_path / "hpo"))[2]
    (tmp_path / "series.toml").rename(tmp_path / "elsewhere" / "series.toml")
    code, _, err = run_cli(capsys, "calibrate", str(done))
    assert (code, "give the folder of series.toml with --data-dir" in err) == (1, True)
    (tmp_path / "series.csv").rename(tmp_path / "elsewhere" / "series.csv")
    assert run_cli(capsys, "calibrate", str(done), "--data-dir", ".")[0] == 0


def test_changed_data_are_told_from_changed_options(
    capsys: pytest.CaptureFixture[str], tiny: list[str], tmp_path: Path, pageless: None
) -> None:
    words = [*own_series(tmp_path), "--trials", "1", *tiny]
    assert run_cli(capsys, *words, "--job-id", "a")[0] == 0
    rows = (tmp_path / "my_zone.csv").read_text(encoding="utf-8").splitlines()
    rows[5] = rows[6].replace(rows[6].split(",")[0], rows[5].split(",")[0])
    (tmp_path / "my_zone.csv").write_text("\n".join(rows), encoding="utf-8")
    code, _, err = run_cli(capsys, *words, "--job-id", "a", "--resume")
    assert code == 1
    assert "was made on other data and cannot be continued" in err


def test_a_second_interrupt_that_python_drops_comes_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Interrupted:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    with StopRequest(print) as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        Interrupted()
        with pytest.raises(KeyboardInterrupt):
            stop()
    assert "Traceback" not in capsys.readouterr().err


def test_the_test_option_runs_everything_apart_from_real_results(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    workspace = tmp_path / "hpo"
    code, _, _ = run_cli(capsys, "tune", "--test", "--workspace", str(workspace), "--threads", "1")
    assert code == 0
    assert [path.name for path in workspace.iterdir()] == ["test"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model", "PROPHET"], 2, "expected one of NHITS_Q, TFT_Q, TIMESNET_Q"),
        (["--dataset", "haet"], 2, "heat"),
        (["--time-limit", "soon"], 2, "expected e.g. 90s, 30m or 1h30m"),
        (["--device", "cuda:7"], 2, "no CUDA device is visible"),
        (["--device", "gpu"], 2, "got 'gpu', expected auto, cpu, cuda or cuda:N"),
        (["--job-id", "../x"], 2, "cannot be part of a file name"),
        (["--resume"], 1, "nothing to resume"),
        (["--dataset", "heat", "--data-dir", "nowhere"], 1, "PARETOCAST_DATA"),
    ],
)
def test_a_refusal_is_one_message_without_traceback_and_writes_nothing(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    workspace = tmp_path / "hpo"
    ended, out, err = run_cli(capsys, "tune", "--workspace", str(workspace), *arguments)
    assert (ended, out) == (code, "")
    assert message in err.replace("\n", " ")
    assert "Traceback" not in err
    assert not workspace.exists()


def test_an_option_that_does_not_exist_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(capsys, "tune", "--trails", "3")[0] == 2


def test_data_list_names_the_data_sets(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_cli(capsys, "data", "list")
    assert code == 0
    for name in ("demo", "heat", "water_centrum", "water_tommerby"):
        assert name in out


def test_data_check_fails_on_a_series_that_cannot_be_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "my_zone.csv").write_text("timestamp,heat\n2020-01-01,1\n2020-01-01,2\n")
    (tmp_path / "my_zone.toml").write_text(ZONE, encoding="utf-8")
    code, out, _ = run_cli(capsys, "data", "check", str(tmp_path / "my_zone.toml"))
    assert code == 1
    assert "cannot be used" in out


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "30", "-5m", "0s", "1h 30m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is not understood"):
        parse_duration(text)


def start_tuning(workspace: Path, settings: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "paretocast", "tune", "--dataset", "demo", "--trials", "5"]
    command += [
        "--settings",
        settings,
        "--workspace",
        str(workspace),
        "--threads",
        "1",
        "--job-id",
        "k",
    ]
    with error_file(workspace).open("w", encoding="utf-8") as talk:
        return subprocess.Popen([*command, *arguments], stderr=talk, stdout=subprocess.DEVNULL)


def error_file(workspace: Path) -> Path:
    return workspace.with_name(f"{workspace.name}.err")


def wait_for_record(workspace: Path, number: int, process: subprocess.Popen[bytes]) -> None:
    record = workspace / "results" / "NHITS_Q_demo" / "trials_k" / f"{number:04d}" / "record.json"
    while not record.exists():
        assert process.poll() is None, error_file(workspace).read_text(encoding="utf-8")
        time.sleep(0.05)


def trials_of(workspace: Path) -> list[tuple[object, ...]]:
    folder = workspace / "results" / "NHITS_Q_demo" / "trials_k"
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*/record.json"))]
    return [(r["number"], r["state"], r["config"], r["scores"]) for r in records]


@pytest.mark.slow
def test_a_killed_search_ends_with_the_same_trials_as_one_that_was_not(
    tiny: list[str], tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start_tuning(whole, tiny[1]).wait() == 0
    for number in (0, 2):
        process = start_tuning(killed, tiny[1])
        wait_for_record(killed, number, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start_tuning(killed, tiny[1]).wait() == 0
    assert len(trials_of(whole)) == 5
    assert trials_of(killed) == trials_of(whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_search_politely_and_says_how_to_go_on(
    tiny: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    process = start_tuning(tmp_path / "hpo", tiny[1])
    wait_for_record(tmp_path / "hpo", 0, process)
    process.send_signal(number)
    assert process.wait() == 0
    err = error_file(tmp_path / "hpo").read_text(encoding="utf-8")
    assert "paretocast tune --model NHITS_Q --dataset demo --job-id k --resume" in err


def test_help_answers_without_the_heavy_libraries() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "paretocast", "tune", "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert done.returncode == 0, done.stderr
    assert "--time-limit" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "paretocast.cli" in imported
    heavy = {"torch", "optuna", "pandas", "plotly", "neuralforecast", "numpy"}
    assert not heavy & imported


def test_workers_per_device_need_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    code, _, err = run_cli(capsys, "tune", "--workers-per-device", "4")
    assert code == 2
    assert "no CUDA device is visible; use --workers" in err


def test_workers_take_turns_on_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    from paretocast.settings import load_settings
    from paretocast.study.parallel import device_options

    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    turns = [device_options(load_settings(None, {}), index) for index in range(3)]
    assert turns == [["--device", "cuda:0"], ["--device", "cuda:1"], ["--device", "cuda:0"]]
    assert device_options(load_settings(None, {"device": "cpu"}), 1) == []
