"""The commands of the README and the documents, pasted one after the other."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from docs_commands import RUN_DOCUMENTS, environment_of, prepare, run_commands, runnable

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_command_of_the_documents_works(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    prepare(work)
    environment = environment_of(Path(sys.executable), tmp_path / "bin")
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), *sys.path])
    assert run_commands(runnable(RUN_DOCUMENTS), work, environment) == []
