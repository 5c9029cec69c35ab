"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusters import Cluster, running_cluster
from commands import no_pages
from remembered import remember_fits, remember_migrations

remember_fits()


@pytest.fixture(scope="session", autouse=True)
def _migrations() -> None:
    """Read the history of Optuna's tables once."""
    remember_migrations()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real series; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("PARETOCAST_DATA", ""))
    if not (folder / "heat.csv.gz").is_file():
        pytest.skip("the real series are absent; PARETOCAST_DATA names their folder")
    return folder


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Slurm with accounting, for all tests that need one."""
    with running_cluster(accounting=True) as started:
        yield started


@pytest.fixture(scope="module")
def without_pages() -> Iterator[None]:
    """No pages in a whole module."""
    with no_pages():
        yield
