"""Finished studies on disk that tests share: real files and a real task, no training."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

import numpy as np

from commands import ZONE, write_demo_csv
from paretocast.data import load_dataset
from paretocast.data.task import Task, plan_task
from paretocast.search.selection import TrialState
from paretocast.settings import TuneSettings
from paretocast.training.trial import TrialRecord
from paretocast.workspace.files import (
    RECORD_SCHEMA_VERSION,
    RunDirectory,
    missing_fields,
    save_arrays,
    save_json,
)

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
        {"settings": settings.model_dump(mode="json"), "comparable": {"task": task.manifest()}},
    )
    save_json(
        run.best_params,
        {
            **dict.fromkeys(missing_fields({})),
            "model": run.model,
            "dataset": run.dataset,
            "job_id": run.job_id,
            "best_trial_number": 0,
            "best_mae": 1.0,
            "best_picp": 80.0,
            "n_trials": n_trials,
            "all_pareto_trials": [
                {"trial": number, "params": {"lr": 10.0**-number}} for number in range(n_trials)
            ],
            "tied_trials": [],
        },
    )
    for number in range(n_trials):
        record = TrialRecord(
            number,
            TrialState.COMPLETE,
            {"lr": 10.0**-number},
            seed=100 + number,
            scores={"mae": 1.0, "picp": 80.0},
        )
        save_json(run.record(number), {"schema_version": RECORD_SCHEMA_VERSION, **record.as_json()})
        save_arrays(run.forecasts(number), draw_forecasts(task, seed=number, spread=spread))
    return run.folder


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
