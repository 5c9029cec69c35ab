"""A model and a baseline of somebody else's, each registered by one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark_cases import Silent, write_dataset
from builders import make_task
from paretocast.benchmarking import find_config, plan_benchmark, run_benchmark
from paretocast.cluster.collect import collect_status
from paretocast.data import load_dataset
from paretocast.data.task import Task, plan_task
from paretocast.errors import SettingsError
from paretocast.models.base import Batch, QuantileModel, WindowShape
from paretocast.models.baselines.base import Baseline
from paretocast.models.baselines.catalogue import BASELINES, register_baseline
from paretocast.results.table import collect_runs
from paretocast.search.models import MODELS, ModelSpec, model_name, register_model
from paretocast.search.space import Choice, FloatRange
from paretocast.settings import TuneSettings, load_settings
from paretocast.study.study import Study
from paretocast.training.setup import TrainingSetup
from paretocast.workspace.runs import RunDirectory
from studies import Watch, optimise

MODEL, BASELINE = "Toy-Net", "yesterdays_mean"


class ToyNet(QuantileModel):
    """One hidden layer on the history."""

    def __init__(self, shape: WindowShape, *, width: int) -> None:
        super().__init__()
        self.shape = shape
        self.hidden = nn.Linear(shape.input_steps, width)
        self.output = nn.Linear(width, shape.horizon_steps * shape.n_levels)

    def forward(self, batch: Batch) -> Tensor:
        flat = self.output(torch.relu(self.hidden(batch.history)))
        forecast: Tensor = flat.view(-1, self.shape.horizon_steps, self.shape.n_levels)
        return forecast


def build_toy(
    shape: WindowShape, architecture: Mapping[str, Any], _train_history: NDArray[np.float32]
) -> ToyNet:
    return ToyNet(shape, **architecture)


@dataclass(frozen=True)
class YesterdaysMean(Baseline):
    """The mean of the last day at every step, three units to either side of it."""

    def forecast(self, task: Task, positions: NDArray[np.intp]) -> NDArray[np.float64]:
        mean = task.series.values[positions[:, None] - np.arange(1, 25)].mean(axis=1)
        offsets = 6.0 * (np.asarray(task.shape.levels) - 0.5)
        steps = np.zeros(task.shape.horizon_steps)
        forecast: NDArray[np.float64] = mean[:, None, None] + steps[:, None] + offsets
        return forecast


def make_spec(**changes: Any) -> ModelSpec:  # noqa: ANN401  (whatever a field takes)
    fields: dict[str, Any] = {
        "name": MODEL,
        "build": build_toy,
        "space": {"width": Choice((4, 8)), "lr": FloatRange(1e-4, 1e-2, log=True)},
        "default": {"width": 4, "lr": 1e-3},
        "batch_sizes": {"cpu": 16, "cuda": 64},
    }
    return ModelSpec(**(fields | changes))


@pytest.fixture(autouse=True)
def _extensions() -> Iterator[None]:
    register_model(make_spec())
    register_baseline(BASELINE, lambda _task, _until: YesterdaysMean(), cheap=True)
    yield
    del MODELS._entries[MODEL]
    del BASELINES._entries[BASELINE]


def toy_settings(**changes: object) -> TuneSettings:
    training = {"steps": 12, "n_evaluations": 3, "n_rungs": 3}
    return load_settings(
        None,
        {"model": MODEL.lower(), "trials": 3, "training": training, "device": "cpu", **changes},
    )


def tune_toy(workspace: Path, spec: Path) -> TuneSettings:
    settings = toy_settings(dataset=str(spec), task={"input_steps": 48})
    dataset = load_dataset(settings.dataset)
    task = plan_task(dataset.series, dataset.dates, shape=settings.task.shape())
    setup = TrainingSetup.from_settings(settings, task, device="cpu")
    run = RunDirectory(workspace, settings.model, "small", "1")
    result = optimise(Study(settings, run, setup), Watch())
    assert all(record.scores for record in result.records)
    return settings


def test_a_registered_model_has_all_that_the_shipped_ones_have() -> None:
    settings = toy_settings(space={MODEL: {"width": {"values": [8]}}})
    assert settings.model == model_name("TOY-NET") == MODEL
    assert settings.space_of_model()["width"] == Choice((8,))
    setup = TrainingSetup.from_settings(settings, make_task(), device="cpu")
    assert setup.batch_size == 16
    with pytest.raises(SettingsError, match=f"expected one of NHITS_Q, .*{MODEL}"):
        model_name("prophet")


def test_a_registered_model_and_baseline_are_studied_and_benchmarked(tmp_path: Path) -> None:
    workspace = tmp_path / "hpo"
    settings = tune_toy(workspace, write_dataset(tmp_path))

    rows, problems = collect_runs(workspace, model=MODEL.lower())
    assert [(row.model, row.dataset) for row in rows] == [(MODEL, "small")]
    assert not problems

    config = find_config(MODEL, "small", workspace=workspace, given=settings)
    assert (config.kind, config.study and config.study.run.model) == ("tuned", MODEL)
    plan = plan_benchmark(
        [config],
        groups=("tuned", "default", "references"),
        references=(BASELINE, "ridge"),
        calibrators=("none",),
    )
    result = run_benchmark(plan, kept_in=tmp_path / "kept", device="cpu", observer=Silent())
    methods = {row.entry.method for row in result.comparison.rows}
    assert {MODEL, BASELINE, "ridge"} <= methods
    assert not result.notes


def test_a_study_of_a_model_that_is_gone_is_still_listed(tmp_path: Path) -> None:
    workspace = tmp_path / "hpo"
    tune_toy(workspace, write_dataset(tmp_path))
    spec = MODELS._entries.pop(MODEL)
    try:
        rows, _ = collect_runs(workspace)
        assert [row.model for row in rows] == [MODEL]
        (status,) = collect_status(workspace, None, now=datetime.now(UTC)).experiments
        assert (status.row.model, status.row.dataset) == (MODEL, "small")
    finally:
        MODELS._entries[MODEL] = spec


def test_a_registered_baseline_is_scored_beside_every_study(tmp_path: Path) -> None:
    settings = toy_settings()
    setup = TrainingSetup.from_settings(settings, make_task(), device="cpu")
    result = optimise(Study(settings, RunDirectory(tmp_path, MODEL, "small", "1"), setup), Watch())
    assert result.outcome is not None
    assert BASELINE in result.outcome.baselines


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "model 'Toy-Net' exists already"),
        ({"name": "nhits_q"}, "model 'NHITS_Q' exists already"),
        ({"name": "a/b"}, "cannot be part of a file's name"),
        ({"name": "b", "space": {"width": Choice((4, 8))}}, "space of b has no parameter lr"),
        ({"name": "b", "default": {"width": 5, "lr": 1e-3}}, "default config of b is"),
    ],
)
def test_a_model_that_could_not_be_searched_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        register_model(make_spec(**changes))


def test_a_build_that_gives_no_quantile_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from paretocast.models.base import build_model

    spec = make_spec(build=lambda *_: nn.Linear(1, 1))
    monkeypatch.setitem(MODELS._entries, MODEL, spec)
    shape = WindowShape(48, 24, 0, 0, 3)
    with pytest.raises(SettingsError, match="Toy-Net builds a Linear, expected QuantileModel"):
        build_model(MODEL, shape, spec.default, train_history=np.zeros(0, dtype=np.float32))
