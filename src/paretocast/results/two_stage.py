"""The two-stage strategy: an architecture for the MAE first, then the levels of its interval.

Stage 1 is a study with one objective. Every model learns the whole grid of levels, 0.1, 0.5 and 0.9
among them, so stage 2 needs no training: it replays the forecasts of the chosen trial. It fits the
two levels on the tune split and judges them on the calibrate split.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.calibration.interval_levels import (
    IntervalLevels,
    best_levels,
    best_symmetric_levels,
    calibrated_quantiles,
    measure_levels,
)
from paretocast.errors import StoreError
from paretocast.results.forecasts import open_trial
from paretocast.results.level_search import search_levels
from paretocast.workspace import files

if TYPE_CHECKING:
    from pathlib import Path

    from paretocast.workspace.files import RunDirectory

FITTED_ON, JUDGED_ON = "tune", "calibrate"


@dataclass(frozen=True)
class SecondStage:
    """What stage 2 has found.

    Attributes
    ----------
    searched : IntervalLevels or None
        The best of Optuna's proposals on the same replay, if any were asked for.
    content : dict
        Of `calibrated_quantiles.json`.
    unit : str
        Of the target.
    """

    chosen: IntervalLevels
    searched: IntervalLevels | None
    content: dict[str, Any]
    path: Path
    unit: str


def finish_stage_1(run: RunDirectory) -> Path:
    """Leave the result of a finished study where stage 2 looks for it."""
    path = files.stage_1_result(run.workspace, run.model, run.dataset)
    content = files.load_json(run.best_params)
    files.save_json(path, {**content, "stage": 1, "source": _source(run)})
    return path


def is_stage_1_of(run: RunDirectory) -> bool:
    """Whether the result that stage 2 would find is this study's."""
    path = files.stage_1_result(run.workspace, run.model, run.dataset)
    if not path.exists():
        return False
    try:
        return bool(files.load_json(path)["source"] == _source(run))
    except (StoreError, KeyError, TypeError):
        return False  # damaged


def _source(run: RunDirectory) -> str:
    return str(run.best_params.relative_to(run.workspace))


def find_levels(
    workspace: Path,
    model: str,
    dataset: str,
    *,
    target_coverage: float | None = None,
    symmetric: bool = True,
    n_search_trials: int = 0,
    data_dir: Path | None = None,
    source: str | None = None,
) -> SecondStage:
    """Stage 2: the levels whose interval has the wanted coverage, from stored forecasts.

    Parameters
    ----------
    target_coverage : float, optional
        Percent; that of stage 1 if not given.
    n_search_trials : int
        Proposals of Optuna on the same replay, for comparison.
    source : str, optional
        The data set as the user names it, such as the path of a TOML file.

    Raises
    ------
    StoreError
        If stage 1 has not finished or its files are gone.
    """
    first_path = files.stage_1_result(workspace, model, dataset)
    if not first_path.exists():
        raise StoreError(
            f"stage 1 of {model} on {dataset} has not finished: {first_path} does not exist. Run "
            f"paretocast tune --strategy two-stage --stage 1 --model {model} "
            f"--dataset {shlex.quote(source or dataset)} --workspace "
            f"{shlex.quote(str(workspace))}, with --resume if it was begun"
        )
    first = files.load_json(first_path)
    opened = open_trial(
        workspace / first["source"], int(first["best_trial_number"]), data_dir=data_dir
    )
    target = opened.settings.target_coverage if target_coverage is None else target_coverage
    fitted = opened.forecast(FITTED_ON)
    measured = measure_levels(fitted, target=target)
    chosen = best_symmetric_levels(measured) if symmetric else best_levels(measured)
    seed = opened.settings.seed
    searched = None
    if n_search_trials:
        searched = search_levels(measured, n_trials=n_search_trials, seed=seed, symmetric=symmetric)
    content = {
        "model": model,
        "dataset": dataset,
        "study_name": opened.run.study_name,
        "trial": opened.number,
        "symmetric": symmetric,
        **calibrated_quantiles(
            chosen,
            fitted=fitted,
            scored=opened.forecast(JUDGED_ON),
            splits=(FITTED_ON, JUDGED_ON),
            target=target,
            rng=np.random.default_rng(seed),
        ),
        "searched": None if searched is None else {**vars(searched), "n_trials": n_search_trials},
    }
    path = files.stage_2_result(workspace, model, dataset)
    files.save_json(path, content)
    return SecondStage(chosen, searched, content, path, opened.unit)
