"""Finished studies on disk that tests share: real files and a real task, no training."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from commands import ZONE, write_demo_csv
from paretocast.data import load_dataset
from paretocast.data.task import Task, plan_task
from paretocast.search.selection import TrialState
from paretocast.settings import TuneSettings
from paretocast.training.trial import TrialRecord
from paretocast.workspace.files import RECORD_SCHEMA_VERSION, save_arrays, save_json
from paretocast.workspace.runs import RunDirectory

SCORES = {
    "mae": 1.0,
    "rmse": 1.0,
    "pinball": 0.4,
    "crps": 0.8,
    "winkler": 5.0,
    "picp": 80.0,
    "mean_width": 3.0,
}
ERROR = 0.05  # standard deviation of every trial's own error, target units: far from negative


def write_run(folder: Path, *, n_trials: int = 3, spread: float = 1.0, job_id: str = "a") -> Path:
    """The folder of a study on 250 days whose trials err independently, the later ones more.

    Trial 0 is the chosen one, all are on the front.

    Parameters
    ----------
    spread : float
        Of the forecasts over that of their errors.
    """
    write_demo_csv(folder / "my_zone.csv", days=250)
    (folder / "my_zone.toml").write_text(ZONE, encoding="utf-8")
    settings = TuneSettings(dataset=str(folder / "my_zone.toml"), data_dir=str(folder))
    dataset = load_dataset(settings.dataset, data_dir=folder)
    task = plan_task(
        dataset.series,
        dataset.dates,
        shape=settings.task.shape(),
        feature_groups=settings.task.features,
    )
    run = RunDirectory(folder / "hpo", "NHITS_Q", "my_zone", job_id)
    save_json(
        run.manifest,
        {
            "schema_version": 1,
            "manifest_hash": "0" * 64,
            "comparable": {"task": task.manifest(), "target_coverage": 80.0},
            "settings": settings.model_dump(mode="json"),
            "versions": {},
            "device": "cpu",
        },
    )
    save_json(run.best_params, result_content(run, n_trials=n_trials))
    for number in range(n_trials):
        record = TrialRecord(
            number,
            TrialState.COMPLETE,
            {"lr": 10.0**-number},
            seed=100 + number,
            scores=SCORES,
            picp_interval=(70.0, 90.0),
        )
        save_json(run.record(number), {"schema_version": RECORD_SCHEMA_VERSION, **record.as_json()})
        save_arrays(run.forecasts(number), draw_forecasts(task, seed=number, spread=spread))
    return run.folder


def result_content(run: RunDirectory, *, n_trials: int) -> dict[str, Any]:
    """The result of such a study."""
    front = [
        {
            "trial": number,
            "mae": 1.0,
            "picp": 80.0,
            "picp_interval": [70.0, 90.0],
            "picp_penalty": 0.0,
            "params": {"lr": 10.0**-number},
        }
        for number in range(n_trials)
    ]
    return {
        "schema_version": 1,
        "model": run.model,
        "dataset": run.dataset,
        "job_id": run.job_id,
        "optimization_date": "2026-01-01T00:00:00+00:00",
        "strategy": "single-stage",
        "objectives": [{"name": "mae", "unit": "target", "direction": "minimize"}],
        "n_trials": n_trials,
        "n_completed": n_trials,
        "n_pruned": 0,
        "n_failed": 0,
        "constraints": [],
        "feasible": True,
        "n_pareto_optimal": n_trials,
        "best_trial_number": 0,
        "selection": {"policy": "min-mae", "rule": "min-mae", "reason": "lowest MAE"},
        "best_mae": 1.0,
        "best_picp": 80.0,
        "best_picp_interval": [70.0, 90.0],
        "best_params": {"lr": 1.0},
        "validation_metrics": {**SCORES, "mape": None},
        "references": {},
        "training_time_hours": 0.0,
        "study_name": run.study_name,
        "storage_path": "x.db",
        "manifest_hash": "0" * 64,
        "all_pareto_trials": front,
        "tied_trials": [],
    }


def record_content(number: int, **changes: object) -> dict[str, object]:
    """The record of a complete trial."""
    record = TrialRecord(
        number, TrialState.COMPLETE, {"lr": 0.1}, 1, scores=SCORES, picp_interval=(70.0, 90.0)
    )
    return {"schema_version": RECORD_SCHEMA_VERSION, **record.as_json(), **changes}


def manifest_content(**settings: object) -> dict[str, object]:
    """A manifest with as much of a task as readers ask for."""
    day = ["2021-01-01T00:00:00+00:00", "2021-01-01T23:00:00+00:00"]
    task = {"periods": dict.fromkeys(("train", "validation", "test"), day), "features": []}
    stated = {"model": "NHITS_Q", "dataset": "x", "device": "cpu", "training": {}, **settings}
    return {
        "schema_version": 1,
        "manifest_hash": "0" * 64,
        "versions": {},
        "device": "cpu",
        "comparable": {"task": task, "target_coverage": 80.0},
        "settings": stated,
    }


def draw_forecasts(task: Task, *, seed: int, spread: float) -> dict[str, np.ndarray]:
    """Normal forecasts around what came, by split, as a trial keeps them."""
    rng = np.random.default_rng(seed)
    quantiles = np.array([NormalDist().inv_cdf(level) for level in task.shape.levels])
    forecasts = {}
    for split in ("tune", "calibrate"):
        observed = task.observed(split)
        error = (1.0 + 0.1 * seed) * ERROR * rng.normal(size=observed.shape)
        middle = np.where(np.isnan(observed), np.nanmean(observed), observed) + error
        forecast = middle[..., None] + spread * (1.0 + 0.1 * seed) * ERROR * quantiles
        forecasts[split] = forecast.astype(np.float32)
    return forecasts
