"""A study on weather runs, deployed: what is forecast live is what training forecast."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark_cases import tune_small, write_dataset
from builders import make_series, runs_table
from paretocast.deployment.build import build_bundle
from paretocast.deployment.bundle import Bundle
from paretocast.deployment.plan import plan_bundle
from paretocast.results.stored_study import StoredStudy

HOUR = pd.Timedelta(hours=1)
DECLARED = """
[weather]
path = "nwp.csv"

[location]
latitude = 55.5
longitude = 9.75

[covariates.temperature]
role = "forecast"
source = "weather"
unit = "°C"
"""


class Quiet:
    def began(self, what: str) -> None:
        pass


def write_runs(folder: Path) -> Path:
    """The small series, and runs of 48 h issued each day at 20:00."""
    series = make_series()
    spec = write_dataset(folder, series)
    spec.write_text(spec.read_text(encoding="utf-8") + DECLARED, encoding="utf-8")
    runs_table(series).to_csv(folder / "nwp.csv", index=False)
    return spec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    tune_small(folder / "hpo", write_runs(folder))
    return folder


def deploy(folder: Path, method: str) -> Bundle:
    """A bundle, whose golden windows are compared with training when it is built."""
    (run,) = (folder / "hpo" / "results").glob("*/best_params_*.json")
    plan = plan_bundle(StoredStudy.open(run), method=method, calibrator="none")
    return build_bundle(plan, folder / method.replace(" ", "_"), observer=Quiet())


@pytest.mark.parametrize("method", ["ridge", "trial 0"])
def test_a_bundle_forecasts_with_the_runs_of_its_issue(folder: Path, method: str) -> None:
    bundle = deploy(folder, method)
    assert not bundle.manifest["assumptions"]
    history, runs = pd.read_csv(folder / "small.csv"), pd.read_csv(folder / "nwp.csv")
    at = pd.Timestamp("2021-04-20T00:00Z")
    first = bundle.forecast(history, runs, at=at)
    assert first.rung == "full"
    assert first.weather_issue_time == "2021-04-19T20:00:00+00:00"
    issued = pd.to_datetime(runs["issued_at"])
    later = runs.assign(temperature=runs["temperature"].where(issued <= at, 30.0))
    np.testing.assert_array_equal(bundle.forecast(history, later, at=at).raw, first.raw)
    newest = runs.assign(
        temperature=runs["temperature"] + 3.0 * (issued == issued[issued <= at].max())
    )
    assert not np.array_equal(bundle.forecast(history, newest, at=at).raw, first.raw)


def test_fetched_weather_is_added_to_the_runs_that_a_bundle_reads(folder: Path) -> None:
    pytest.importorskip("openmeteo_requests")
    from paretocast.api.weather import fetch_weather, update_weather
    from paretocast.weather.open_meteo import OpenMeteo
    from weather_server import running_server

    bundle = deploy(folder, "ridge")
    path = folder / "live.csv"
    path.write_bytes((folder / "nwp.csv").read_bytes())
    at = pd.Timestamp("2021-04-20T00:00Z")
    with running_server() as server:
        server.now = at - 0.6 * HOUR
        fetch = partial(fetch_weather, bundle.folder, now=server.now)
        update_weather(path, partial(fetch, service=OpenMeteo(url=server.url)), append=True)
    history = pd.read_csv(folder / "small.csv")
    forecast = bundle.forecast(history, pd.read_csv(path), at=at)
    assert forecast.rung == "full"
    assert forecast.weather_issue_time == "2021-04-19T23:00:00+00:00"
    before = bundle.forecast(history, pd.read_csv(folder / "nwp.csv"), at=at)
    assert not np.array_equal(forecast.raw, before.raw)
