"""Series of other steps than an hour, from a file to a deployment and its graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import paretocast
from paretocast.api.operations import deploy
from paretocast.data import load_dataset
from paretocast.deployment.audit import audit
from paretocast.deployment.journal import Deployment
from paretocast.deployment.monitor import health_of
from paretocast.deployment.onnx_graph import columns_of, graph_of, inputs_of
from paretocast.deployment.run import issue_forecasts, observe
from paretocast.results.stored_study import StoredStudy

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@dataclass(frozen=True)
class Case:
    """A series of a step, on the clock of its zone."""

    frequency: str
    steps_per_day: int
    n_days: int
    zone: str
    train: float = 0.5
    validation: float = 0.3

    @property
    def stamps(self) -> pd.DatetimeIndex:
        step = pd.Timedelta(days=1) / self.steps_per_day
        n_steps = self.n_days * self.steps_per_day
        return pd.date_range("2023-01-01", periods=n_steps, freq=step)  # wall clock


CASES = {
    "quarter hours": Case("15min", 96, 100, "UTC"),
    "hours of Kathmandu": Case("1h", 24, 100, "Asia/Kathmandu"),
    "days": Case("1d", 1, 500, "Europe/Copenhagen", train=0.6, validation=0.2),
}


def write_case(folder: Path, case: Case) -> Path:
    """The TOML file of a series with a daily and a weekly pattern, its CSV beside it."""
    rng = np.random.default_rng(0)
    stamps = case.stamps
    of_day = np.arange(len(stamps)) % case.steps_per_day / case.steps_per_day
    temperature = 5.0 + 4.0 * np.sin(np.arange(len(stamps)) / (9 * case.steps_per_day))
    load = 40.0 + 5.0 * np.sin(2 * np.pi * of_day) - 8.0 * (stamps.day_of_week >= 5) - temperature
    frame = pd.DataFrame(
        {
            "timestamp": stamps.strftime(
                "%Y-%m-%d" if case.frequency == "1d" else "%Y-%m-%dT%H:%M"
            ),
            "load": load + rng.normal(size=len(stamps)),
            "temperature": temperature,
        }
    )
    frame.to_csv(folder / "series.csv", index=False)
    stamp_zone = "" if case.frequency == "1d" else f'stamp_zone = "{case.zone}"\n'
    (folder / "series.toml").write_text(
        f'name = "series"\npath = "series.csv"\ntarget = "load"\nunit = "MW"\n'
        f'frequency = "{case.frequency}"\nzone = "{case.zone}"\n{stamp_zone}'
        '[covariates.temperature]\nrole = "forecast"\nunit = "°C"\n'
        f"[splits]\ntrain = {case.train}\nvalidation = {case.validation}\n",
        encoding="utf-8",
    )
    return folder / "series.toml"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("quarter hours", marks=pytest.mark.slow),
        "hours of Kathmandu",
        "days",
    ],
)
def test_a_series_goes_from_its_file_to_a_deployment(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    toml = write_case(tmp_path, case)
    study = paretocast.tune(
        toml,
        "NHITS_Q,RIDGE",
        trials=2,
        workspace=tmp_path / "hpo",
        threads=1,
        progress=False,
        training={"steps": 10, "batch_size": 32, "n_evaluations": 1},
        space={"NHITS_Q": {"layer_widths": {"values": [16]}, "num_stacks": {"values": [2]}}},
        recipe=(),
    )
    assert {record.state.value for record in study.records} == {"complete"}
    shape = StoredStudy.open(study.folder).settings.task.shape()
    assert shape.steps_per_day == case.steps_per_day
    models = [record.config["model"] for record in study.records]
    number = models.index("NHITS_Q")
    deployment = deploy(study.folder, tmp_path / "live", method=f"trial {number}", calibrator="pid")
    check_live(deployment, toml, case)


def check_live(deployment: Deployment, toml: Path, case: Case) -> None:
    """Three days issued, observed, replayed and drawn as a graph."""
    bundle = deployment.bundle
    assert bundle.verify() < 1e-4
    frame = pd.read_csv(toml.parent / "series.csv")
    inputs = bundle.contract.read(frame)
    series = load_dataset(toml).series
    last = series.index[-1] - 10 * pd.Timedelta(days=1)
    issued = issue_forecasts(deployment, inputs, last - pd.Timedelta(days=3), last)
    assert len(issued) in {3, 4}
    for forecast in issued:
        assert forecast.target_times.isin(series.index).all()
        assert (forecast.target_times[1:] - forecast.target_times[:-1] == series.step).all()
        assert forecast.rung == "full"
    assert len({forecast.issue_time for forecast in issued}) == len(issued)
    observe(deployment, inputs)
    again = Deployment.open(deployment.folder)
    assert audit(again).problems == ()
    observed = again.observations()
    assert pd.Timestamp(observed[-1].second, unit="s", tz="UTC") == series.index[-1]
    assert health_of(again, now=series.index[-1].floor("h")).checks
    window = inputs.cut(issued[-1].issue_time)
    columns = columns_of(bundle, window)
    from paretocast.models.forecast_graph import run_graph

    quantiles = run_graph(
        graph_of(bundle, columns, window), inputs_of(columns, window.series, window.position)
    )
    np.testing.assert_allclose(quantiles, issued[-1].raw, rtol=1e-3, atol=1e-3)
