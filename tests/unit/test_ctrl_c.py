"""Ctrl-C at moments at which Python itself would print a traceback or drop it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import run_cli
from paretocast.cli.ctrl_c import is_ctrl_c, lasting_ctrl_c

SLOW = """
import time
print("loading", flush=True)
time.sleep(60.0)
"""


@pytest.fixture
def listening() -> Iterator[None]:
    """A process that hears Ctrl-C, even where it was started in the background."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


def start(folder: Path, module: str, *, ignored: bool = False) -> subprocess.Popen[str]:
    """The command line as a process that is loading a module."""
    (folder / f"{module}.py").write_text(SLOW, encoding="utf-8")
    handler = signal.SIG_IGN if ignored else signal.SIG_DFL
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); sys.argv = ['paretocast', 'status']; "
    process = subprocess.Popen(
        [sys.executable, "-c", code + "from paretocast.__main__ import run; run()"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, handler),  # noqa: PLW1509
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    return process


def test_a_ctrl_c_while_the_command_line_loads_ends_it_in_silence(tmp_path: Path) -> None:
    process = start(tmp_path, "typer")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20.0) == ("", "")
    assert process.returncode == -signal.SIGINT  # which a shell calls 130


def test_a_ctrl_c_that_is_not_meant_for_a_process_in_the_background_is_not_heard(
    tmp_path: Path,
) -> None:
    process = start(tmp_path, "typer", ignored=True)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.3)
    process.kill()
    process.communicate()


def test_nothing_slow_is_loaded_before_a_ctrl_c_is_heard() -> None:
    code = (
        "import sys, runpy; before = set(sys.modules); import paretocast.__main__; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["__future__", "paretocast", "paretocast.__main__"]


def test_a_ctrl_c_that_python_drops_comes_again(
    listening: None, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def work() -> None:
        with lasting_ctrl_c():
            Interrupted()
            time.sleep(20.0)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert capsys.readouterr().err == ""


def test_a_library_that_a_ctrl_c_kept_from_loading_is_no_error_of_ours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("a library cannot be loaded") from error

    monkeypatch.setattr("paretocast.cli.load_plugins", interrupted)
    assert run_cli(capsys, "status") == (130, "", "error: stopped\n")
    assert not is_ctrl_c(ImportError("another reason"))
