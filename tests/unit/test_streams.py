"""Stdout and stderr that fail, and what the command line makes of a machine that does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import paretocast.cli
from commands import run_cli
from paretocast.cli import main
from paretocast.cli.streams import LastingStream
from paretocast.errors import StoreError
from paretocast.study.interruption import StopRequest

# A command that prints what ASCII lacks, and writes a file only afterwards.
PROGRAM = """
import sys, typer
from pathlib import Path
import paretocast.cli as cli
def command(**_: object) -> None:
    print("± 1 ★")
    typer.echo("talk", err=True)
    sys.stdout.flush()
    Path(sys.argv.pop()).write_text("complete")
cli.app = command
cli.main()
"""


def run_with(place: Path, redirection: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (place / "program.py").write_text(PROGRAM, encoding="utf-8")
    command = f"{sys.executable} program.py written {redirection}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("redirection", "environment", "code", "said"),
    [
        (">/dev/full", {}, 1, "error: stdout cannot be written: No space left on device"),
        ("2>/dev/full", {}, 0, ""),
        (">&-", {}, 0, "talk"),
        ("2>&-", {}, 0, ""),
        ("", {"PYTHONIOENCODING": "ascii"}, 0, "talk"),
    ],
)
def test_a_stream_that_fails_loses_no_file(
    tmp_path: Path, redirection: str, environment: dict[str, str], code: int, said: str
) -> None:
    done = run_with(tmp_path, redirection, **environment)
    assert (tmp_path / "written").read_text() == "complete"
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert said in done.stderr


def test_a_closed_pipe_ends_what_prints_numbers() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as file:
        stream = LastingStream(file, pipe_ends=True)
        stream.write("x")
        with pytest.raises(BrokenPipeError):
            stream.flush()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError("cannot allocate 8 GiB"), 1, "error: out of memory: cannot allocate 8 GiB"),
        (MemoryError(), 1, "error: out of memory; use smaller data"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            1,
            "error: out of memory: Def",
        ),
        (RuntimeError("can't start new thread"), 1, "error: no thread can be started; raise"),
        (PermissionError(13, "Permission denied", "/x"), 1, "error: /x: Permission denied"),
        (OSError(36, "File name too long", "a" * 5000), 1, "File name too long"),
        (ImportError("libtorch_cpu.so: failed to map segment"), 1, "memory is too small"),
        (StoreError(f"folder /{'w' * 5000} is full; free it"), 1, "w… is full; free it"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_a_fault_of_the_machine_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(paretocast.cli, "app", fail)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == code
    err = capsys.readouterr().err
    assert said in err
    assert len(err) < 500


def test_a_working_directory_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run_cli(capsys, "status") == (
        1,
        "",
        "error: the working directory is no longer there; change into another one\n",
    )


def test_the_end_of_a_terminal_puts_the_trial_away() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    try:
        with StopRequest(lambda _: None) as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_under_nohup_the_search_outlives_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest(lambda _: None) as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)
