"""Hostile input in front of the real command: what it says, what it leaves and what it may use."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from commands import run_cli

SECONDS = 30.0  # that an answer may take on a busy core; most take less than one
MOST_LETTERS = 5000
GIB = 1 << 30


class _Case(Protocol):
    @property
    def id(self) -> str: ...


@dataclass(frozen=True)
class Answer:
    """How a command has ended, and what it has said on either stream."""

    code: int
    text: str

    def must(self, code: int, *words: str) -> None:
        """Assert an exit code, and that all words are said, however their lines are broken."""
        said = " ".join(self.text.split())
        assert "Traceback" not in said, self.text[-3000:]
        assert self.code == code, self.text[-3000:]
        assert (code == 0) == ("error: " not in said and "it cannot be used" not in said)
        for word in words:
            assert word in said, self.text[-3000:]
        assert "\x1b" not in said
        assert len(said) < MOST_LETTERS


def ask(
    capsys: pytest.CaptureFixture[str],
    *words: object,
    gib: float = 8.0,
    seconds: float = SECONDS,
) -> Answer:
    """The answer of a command in this process, which may take so much more memory and time."""
    capsys.readouterr()
    begin = time.monotonic()
    with room_for(gib):
        code, out, err = run_cli(capsys, *words)
    assert time.monotonic() - begin < seconds
    return Answer(code, out + err)


@contextmanager
def room_for(gib: float) -> Iterator[None]:
    """So much more address space and no more: what wants it ends for want of memory."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + int(gib * GIB), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def ask_process(*words: object, folder: Path, gib: float, seconds: float = SECONDS) -> Answer:
    """The answer of a command in a process of its own, with so much memory and time in all."""
    limited = ["bash", "-c", f'ulimit -v {int(gib * GIB) >> 10} && exec "$@"', "-"]
    done = subprocess.run(
        [*limited, sys.executable, "-m", "paretocast", *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Answer(done.returncode, done.stdout + done.stderr)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def by_id(cases: Sequence[_Case]) -> pytest.MarkDecorator:
    """Give a test each of some cases in turn, called after its row."""
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in cases])
