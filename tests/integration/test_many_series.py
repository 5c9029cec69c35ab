"""Many series from one command: studies, a table over all, the total, and one that fails."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from commands import run_cli
from paretocast import load_study
from paretocast.data import generate_demo

pytestmark = pytest.mark.usefixtures("without_pages")
ZONES = """
name = "zones"
path = "zones.csv"
unit = "MW"
zone = "Europe/Copenhagen"

[series]
targets = ["north", "south", "broken"]

[splits]
train = 0.6
validation = 0.2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three zones, one of which is not there, with studies of the other two."""
    folder = tmp_path_factory.mktemp("zones")
    series, _ = generate_demo(days=260)
    rng = np.random.default_rng(1)
    shared = rng.normal(0.0, 0.1, len(series))
    table = pd.DataFrame({"timestamp": series.index.strftime("%Y-%m-%dT%H:%MZ")})
    for name, share in (("north", 0.4), ("south", 0.6)):
        table[name] = share * series.values + shared + rng.normal(0.0, 0.1, len(series))
    table.to_csv(folder / "zones.csv", index=False)
    (folder / "zones.toml").write_text(ZONES, encoding="utf-8")
    return folder


def test_a_stop_ends_the_search_over_the_series_and_names_those_that_are_left(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def stopped_at_the_second(options: dict[str, object]) -> SimpleNamespace:
        asked.append(str(options["dataset"]))
        return SimpleNamespace(choice=None, ended_by="trials" if len(asked) == 1 else "request")

    commands = importlib.import_module("paretocast.cli.tune")  # the package has a function tune
    monkeypatch.setattr(commands, "_tune_one", stopped_at_the_second)
    code, _, err = run_cli(
        capsys, *("tune", "--dataset", folder / "zones.toml", "--series", "south,north,broken")
    )
    assert code == 130
    assert [Path(name).name for name in asked] == ["zones.toml#south", "zones.toml#north"]
    assert "not begun: broken; --series names them" in err


def test_each_series_gets_a_study_and_one_that_fails_does_not_keep_the_others_from_it(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    code, out, err = run_cli(
        capsys,
        *("tune", "--dataset", folder / "zones.toml", "--series", "broken,north,south"),
        *("--model", "RIDGE", "--trials", 1, "--threads", 1, "--workspace", folder / "hpo"),
    )
    assert code == 1
    assert "1 of 3 series failed" in err
    assert "no column broken" in err
    assert out.count("recommended:") == 2
    assert out.count("on the calibrate split; as it is short, the tune split was counted too") == 2
    assert "against the ridge: median" in out
    for name in ("north", "south"):
        result = next((folder / "hpo" / "results").glob(f"RIDGE_zones_{name}/best_params_*.json"))
        study = load_study(result)
        assert study.dataset == f"zones_{name}"
        assert study.stored.task().series.name == f"zones_{name}"  # found again by its reference


def test_a_benchmark_of_all_tables_them_and_forecasts_their_total(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    code, out, err = run_cli(
        capsys,
        *("benchmark", "--dataset", folder / "zones.toml", "--series", "north,south"),
        *("--models", "RIDGE", "--methods", "tuned,ridge", "--calibrator", "cqr"),
        *("--threads", 1, "--workspace", folder / "hpo"),
    )
    assert code == 0, err
    assert "pinball loss against ridge: median" in out
    assert "total from joint errors" in out
    written = next((folder / "hpo" / "benchmarks").glob("zones_*_series"))
    content = json.loads((written / "series.json").read_text(encoding="utf-8"))
    assert [row["series"] for row in content["rows"]] == ["zones_north", "zones_south"]
    total, summed = content["total"]
    assert total["scores"]["picp"] < summed["scores"]["picp"]
    page = (written / "series.html").read_text(encoding="utf-8")
    for row in ("zones_north", "zones_south"):
        assert f">{row}</a>" in page
    assert len(pd.read_csv(written / "series.csv")) == 2
