"""A deployed model whose temperature comes in a file of its own, on its own clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builders import make_series
from commands import run_cli
from paretocast.api import operations
from paretocast.data.spec import SourceSpec
from paretocast.deployment.journal import Deployment
from paretocast.deployment.plan import Silent
from paretocast.deployment.retrain import retrain
from paretocast.errors import DataError, SettingsError
from retrained import TRAIN_DAYS, VALIDATION_DAYS, deploy, make_spec, make_table

DAY = pd.Timedelta(days=1)
FIRST = TRAIN_DAYS + VALIDATION_DAYS
N_DAYS = FIRST + 30
SOURCE = SourceSpec(
    path=Path("/far/away/weather.txt"),
    time_column="Zeit",
    stamp_zone="Etc/GMT-1",
    separator=";",
    decimal=",",
    columns={"temperature": "TT"},
)
SERIES = make_series(N_DAYS)
AT = SERIES.index[24 * FIRST]


def joined_rows(until: pd.Timestamp) -> pd.DataFrame:
    """Demand, temperature and pressure before a time, in one table."""
    return make_table(SERIES)[SERIES.index < until]


def demand_rows(until: pd.Timestamp) -> pd.DataFrame:
    """The same without the temperature."""
    return joined_rows(until).drop(columns="temperature")


def weather_rows(until: pd.Timestamp) -> pd.DataFrame:
    """The temperature of every half hour before a time, as a weather service writes it."""
    hours = SERIES.index[SERIES.index < until]
    times = hours.tz_convert("Etc/GMT-1").tz_localize(None)
    (temperature,) = (c.values[: len(hours)] for c in SERIES.covariates if c.name == "temperature")
    halves = [
        pd.DataFrame({"Zeit": times + minutes, "TT": temperature + change})
        for minutes, change in ((pd.Timedelta(0), -0.5), (pd.Timedelta(minutes=30), 0.5))
    ]
    return pd.concat(halves).sort_values("Zeit")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = make_spec(SERIES).model_copy(update={"sources": (SOURCE,)})
    return deploy(tmp_path_factory.mktemp("deployed"), SERIES, spec=spec).folder


@pytest.fixture
def live(tmp_path: Path) -> dict[str, Path]:
    """The files at an issue: the demand up to it, the temperature two days more."""
    data, weather = tmp_path / "small.csv", tmp_path / "weather.txt"
    demand_rows(AT).to_csv(data, index=False)
    weather_rows(AT + 2 * DAY).to_csv(weather, index=False, sep=";", decimal=",")
    return {"data": data, "weather.txt": weather}


def test_a_source_gives_the_forecast_of_a_joined_table(
    deployed: Path, live: dict[str, Path]
) -> None:
    sources = {"weather.txt": live["weather.txt"]}
    (apart,) = operations.forecast(deployed, live["data"], sources=sources, dry_run=True)
    rows = joined_rows(AT + 2 * DAY)
    rows.loc[SERIES.index[: len(rows)] >= AT, "demand"] = np.nan
    (joined,) = operations.forecast(deployed, rows, dry_run=True)
    assert (apart.issue_time, apart.rung, apart.flags) == (AT, "full", ())
    np.testing.assert_allclose(apart.raw, joined.raw, rtol=1e-9)


def test_rows_of_a_source_behind_the_horizon_change_nothing(
    deployed: Path, live: dict[str, Path]
) -> None:
    first, second = (
        operations.forecast(
            deployed, live["data"], sources={"weather.txt": weather_rows(until)}, dry_run=True
        )[0]
        for until in (AT + DAY, AT + 20 * DAY)
    )
    assert first.content() == second.content()


def test_commands_take_the_file_by_its_name_or_another(
    capsys: pytest.CaptureFixture[str], deployed: Path, live: dict[str, Path], tmp_path: Path
) -> None:
    words = ["forecast", deployed, "--dry-run", "--data", live["data"]]
    moved = live["weather.txt"].rename(tmp_path / "newer.txt")
    out = tmp_path / "out.csv"
    code, _, err = run_cli(capsys, *words, "--out", out, "--source", f"weather.txt={moved}")
    assert code == 0, err
    assert len(pd.read_csv(out)) == 24
    code, _, err = run_cli(capsys, *words, "--source", moved)
    assert code == 2
    assert "knows no file newer.txt, expected weather.txt" in err
    assert "weather.txt=newer.txt" in err
    code, _, err = run_cli(capsys, *words)
    assert code == 1
    assert "the data have no column temperature" in err
    assert "--source weather.txt" in err


def test_what_does_not_fit_together_is_told(deployed: Path, live: dict[str, Path]) -> None:
    contract = Deployment.open(deployed).bundle.contract
    sources = contract.read_sources({"weather.txt": live["weather.txt"]})
    with pytest.raises(DataError, match="temperature stand in the data and in a source"):
        contract.read(joined_rows(AT), None, sources)
    empty = contract.read_sources({"weather.txt": weather_rows(AT).drop(columns="TT")})
    with pytest.raises(DataError, match=r"a source cannot be used:\n.*weather.txt: .*TT"):
        contract.read(demand_rows(AT), None, empty)


def test_a_set_without_sources_takes_none(deployed: Path, live: dict[str, Path]) -> None:
    contract = Deployment.open(deployed).bundle.contract
    alone = replace(contract, spec=contract.spec.model_copy(update={"sources": ()}))
    with pytest.raises(SettingsError, match=r"small has no other files, but weather.txt is given"):
        alone.read_sources({"weather.txt": live["weather.txt"]})


def test_a_model_is_retrained_on_the_newer_files(deployed: Path) -> None:
    opened = Deployment.open(deployed)
    end = SERIES.index[-1] + DAY
    sources = opened.bundle.contract.read_sources({"weather.txt": weather_rows(end)})
    done = retrain(opened, demand_rows(end), None, sources, observer=Silent(), device="cpu")
    assert done.comparison.n_days == 28
    contract = Deployment.open(deployed).bundle_named(done.challenger).contract
    assert {c.declared for c in contract.columns} == {"temperature", "pressure"}
    assert [str(source.path) for source in contract.spec.sources] == ["weather.txt"]
