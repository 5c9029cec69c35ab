"""One network for the zones of a file: search, a table by zone, studies of zones, benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import run_cli
from paretocast import load_study
from paretocast.data import generate_demo

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
steps = 10
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
        table[name] = share * (series.values + rng.normal(0.0, 0.2, len(series)))
    table.to_csv(folder / "zones.csv", index=False)
    (folder / "zones.toml").write_text(ZONES, encoding="utf-8")
    (folder / "short.toml").write_text(SETTINGS, encoding="utf-8")
    return folder


def words(folder: Path, *more: object) -> list[object]:
    return ["--dataset", folder / "zones.toml", "--series", "all", *more]


def test_a_search_leaves_a_table_by_series_and_a_study_of_each(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    code, out, err = run_cli(
        capsys,
        *("tune", "--model", "NHITS_Q", "--pool", "--trials", 2, "--job-id", "1"),
        *words(folder, "--settings", folder / "short.toml"),
        *("--threads", 1, "--workspace", folder / "hpo"),
    )
    print(out, err)
    assert code == 0, err
