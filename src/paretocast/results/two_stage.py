"""The two-stage strategy: an architecture for the MAE first, then the levels of its interval.

Stage 1 is a study with one objective. Every model learns the whole grid of levels, 0.1, 0.5 and 0.9
among them, so stage 2 needs no training: it reads the stored forecasts of the chosen trial. It fits
the two levels on the tune split and scores them on the calibrate split.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.calibration.interval_levels import (
    best_levels,
    best_symmetric_levels,
    calibrated_quantiles,
    measure_levels,
)
from paretocast.errors import StoreError
from paretocast.metrics.scores import central_levels
from paretocast.results.forecasts import open_trial
from paretocast.results.stored_study import StoredStudy
from paretocast.workspace.runs import RunDirectory, stage_1_result, stage_2_result
from paretocast.workspace.stored import (
    FirstStageFile,
    SecondStageFile,
    load,
    load_result,
    save,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FITTED_ON, JUDGED_ON = "tune", "calibrate"


@dataclass(frozen=True)
class LevelScores:
    """The interval between two levels on a split.

    Attributes
    ----------
    picp : float
        Percent.
    picp_interval : tuple of float, optional
        Its 95 % interval; None where it was not resampled.
    mean_width : float
        In target units.
    """

    label: str
    low: float
    high: float
    picp: float
    picp_interval: tuple[float, float] | None
    mean_width: float


@dataclass(frozen=True)
class SecondStage:
    """The levels that stage 2 has chosen, and its file.

    Attributes
    ----------
    run : RunDirectory
        Of the study of stage 1.
    content : dict
        Of `calibrated_quantiles.json`.
    unit : str
        Of the target.
    """

    run: RunDirectory
    content: dict[str, Any]
    unit: str

    @classmethod
    def of_study(cls, run: RunDirectory, *, unit: str) -> SecondStage | None:
        """The levels of a study; None before stage 2, and where the file is of another study.

        Raises
        ------
        StoreError
            If the file is damaged.
        """
        path = stage_2_result(run.workspace, run.model, run.dataset)
        if not path.exists():
            return None
        content = load(path, SecondStageFile, advice="run `paretocast tune --stage 2` again")
        return cls(run, content, unit) if content["study_name"] == run.study_name else None

    @property
    def path(self) -> Path:
        """The file."""
        return stage_2_result(self.run.workspace, self.run.model, self.run.dataset)

    def rows(self) -> tuple[LevelScores, LevelScores, LevelScores]:
        """The chosen levels where they were fitted and scored, and the nominal ones."""
        content = self.content
        chosen = (content["levels"]["q_low"], content["levels"]["q_high"])
        nominal = central_levels(content["target_coverage"])
        low, high = content["picp_interval"]
        fitted_on, judged_on = content["fitted_on"], content["judged_on"]
        return (
            _scores(f"fitted on {fitted_on}", chosen, content["on_fitted"], None),
            _scores(f"scored on {judged_on} ★", chosen, content, (low, high)),
            _scores(f"nominal levels on {judged_on}", nominal, content["nominal"], None),
        )


def _scores(
    label: str,
    levels: tuple[float, float],
    scores: Mapping[str, Any],
    interval: tuple[float, float] | None,
) -> LevelScores:
    return LevelScores(label, *levels, scores["picp"], interval, scores["mean_width"])


def finish_stage_1(run: RunDirectory) -> Path:
    """Copy the result of a finished study to the file that stage 2 reads."""
    path = stage_1_result(run.workspace, run.model, run.dataset)
    content = load_result(run.best_params)
    save(path, {**content, "stage": 1, "source": _source(run)})
    return path


def is_stage_1_of(run: RunDirectory) -> bool:
    """Return whether the result that stage 2 would read is of this study."""
    path = stage_1_result(run.workspace, run.model, run.dataset)
    if not path.exists():
        return False
    try:
        return bool(load(path, FirstStageFile)["source"] == _source(run))
    except StoreError:
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
    data_dir: Path | None = None,
    source: str | None = None,
) -> SecondStage:
    """Stage 2: the levels whose interval has the target coverage, from stored forecasts.

    Parameters
    ----------
    target_coverage : float, optional
        Percent; that of stage 1 if not given.
    source : str, optional
        The data set as the user names it, such as the path of a TOML file.

    Raises
    ------
    StoreError
        If stage 1 has not finished or its files are gone.
    """
    first_path = stage_1_result(workspace, model, dataset)
    if not first_path.exists():
        raise StoreError(
            f"stage 1 of {model} on {dataset} has not finished: {first_path} does not exist. Run "
            f"paretocast tune --strategy two-stage --stage 1 --model {model} "
            f"--dataset {shlex.quote(source or dataset)} --workspace "
            f"{shlex.quote(str(workspace))}, with --resume if it was begun"
        )
    first = load(first_path, FirstStageFile, advice="run stage 1 again with --resume")
    study = StoredStudy.open(workspace / first["source"])
    opened = open_trial(study, int(first["best_trial_number"]), data_dir=data_dir)
    target = opened.settings.target_coverage if target_coverage is None else target_coverage
    fitted = opened.forecast(FITTED_ON)
    measured = measure_levels(fitted, target=target)
    best = best_symmetric_levels(measured) if symmetric else best_levels(measured)
    content = {
        "model": model,
        "dataset": dataset,
        "study_name": opened.run.study_name,
        "trial": opened.number,
        "symmetric": symmetric,
        **calibrated_quantiles(
            best,
            fitted=fitted,
            scored=opened.forecast(JUDGED_ON),
            splits=(FITTED_ON, JUDGED_ON),
            target=target,
            rng=np.random.default_rng(opened.settings.seed),
        ),
    }
    run = RunDirectory(workspace, model, dataset, opened.run.job_id)  # as the user names it
    second = SecondStage(run, content, opened.unit)
    save(second.path, content)
    return second
