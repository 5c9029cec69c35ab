"""One network for the zones of a file: search, a table by zone, studies of zones, benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builders import make_series, make_task, with_values
from commands import run_cli
from paretocast import load_study
from paretocast.data import generate_demo
from paretocast.data.pooled import PooledTask
from paretocast.results.stored_study import StoredStudy
from paretocast.study.study import Study
from paretocast.training.pooling import PooledSetup
from paretocast.workspace.runs import RunDirectory
from studies import Watch, make_run, make_settings, numbers, optimise

ZONES = """
name = "zones"
path = "zones.csv"
unit = "MW"
zone = "Europe/Copenhagen"

[series]
targets = ["north", "south"]

[splits]
train = 0.5
validation = 0.3
"""
SETTINGS = """
recipe = []
[training]
steps = 30
n_evaluations = 2
anchor = "none"
[space.NHITS_Q]
layer_widths = { values = [16, 32] }
num_stacks = { low = 2, high = 2 }
num_blocks = { low = 1, high = 1 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two zones of different size, and settings of a short search."""
    folder = tmp_path_factory.mktemp("zones")
    series, _ = generate_demo(days=210)
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"timestamp": series.index.strftime("%Y-%m-%dT%H:%MZ")})
    for name, share in (("north", 0.4), ("south", 60.0)):
        values = series.values + rng.normal(0.0, 0.1, len(series))
        table[name] = share * np.maximum(values, 0.1)
    table.to_csv(folder / "zones.csv", index=False)
    (folder / "zones.toml").write_text(ZONES, encoding="utf-8")
    (folder / "short.toml").write_text(SETTINGS, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def said(folder: Path, request: pytest.FixtureRequest) -> str:
    """What the search says; it leaves its studies in the folder."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        pass
    return ""


def tune(folder: Path, *more: object) -> list[object]:
    """The words of a search over both zones."""
    return [
        *("tune", "--model", "NHITS_Q", "--dataset", folder / "zones.toml", "--job-id", "1"),
        *("--settings", folder / "short.toml", "--threads", 1, "--workspace", folder / "hpo"),
        *more,
    ]


def run_of(folder: Path, name: str = "") -> RunDirectory:
    """Where the study of all zones lies, or that of one."""
    return RunDirectory(folder / "hpo", "NHITS_Q", f"zones{name and '_'}{name}", "1")
