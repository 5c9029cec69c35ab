"""Files of a bundle: members, calibrators, contract, scores of validation, golden windows, card."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import tomli_w
from safetensors.numpy import save as save_tensors

from paretocast.calibration import choose_by_name
from paretocast.calibration.ensemble import average_levels
from paretocast.data.features import build_features, weekly_lags
from paretocast.data.reading import choose_covariates
from paretocast.data.task import DAYS_PER_WEEK, Task, installed_versions
from paretocast.deployment.bundle import (
    CALIBRATORS,
    FALLBACK,
    MANIFEST,
    REFERENCE,
    SCHEMA_VERSION,
    VALIDATION,
    Bundle,
)
from paretocast.deployment.bundle_files import (
    CLIMATOLOGY,
    DATASET,
    FULL,
    GOLDEN,
    ISSUE_SECONDS,
    NO_WEATHER,
    load_contract,
)
from paretocast.deployment.card import write_card
from paretocast.deployment.climatology import WEEKS, forecast_climatology
from paretocast.deployment.inputs import LiveInputs, WeatherTable
from paretocast.deployment.issue_scores import score_issues
from paretocast.deployment.issued import hour_of, second_of
from paretocast.errors import StoreError
from paretocast.models.linear_table import degree_hours_of
from paretocast.results.groups import forecast_of
from paretocast.steps import STEPS_PER_DAY
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.calibration import CalibratorSelection
    from paretocast.data.spec import DatasetSpec
    from paretocast.deployment.plan import BundlePlan, Deployed, FittedModels, Observer

    Floats = NDArray[np.float64]

N_GOLDEN = 3
SECONDS_AN_HOUR = 3600
GOLDEN_LIKE_TRAINED = 1e-3  # of the width, between a forecast in a batch and a live one
# A hole at the start of the window is filled from what lies before it.
MARGIN_DAYS = 14 + 3
CLIMATOLOGY_DAYS = WEEKS * DAYS_PER_WEEK
# Of a study's settings, those that a training depends on; none holds a path or a secret.
RECIPE_SETTINGS = ("covariates", "seed", "target_coverage", "task", "training")


def write_files(plan: BundlePlan, models: FittedModels, folder: Path, observer: Observer) -> None:
    """Write all files of a bundle but its checksums."""
    task, origin = plan.task, plan.origin
    deployed, fallback, reference = models.deployed, models.fallback, models.reference
    observer.began("calibrators")
    members = [
        _write_member(folder, f"member_{i}", d) | {"weight": d.weight, "trained": d.trained}
        for i, d in enumerate(deployed)
    ]
    _write_dataset(origin.spec, folder)
    raw = average_levels([d.calibrate for d in deployed], [d.weight for d in deployed])
    choices = {
        FULL: _choose(plan, raw),
        NO_WEATHER: _choose(plan, fallback.calibrate),
        CLIMATOLOGY: _choose(plan, _climatology(task)),
    }
    files.save_json(
        folder / CALIBRATORS,
        {rung: choice.calibrator.as_json() for rung, choice in choices.items()},
    )
    _write_validation(plan, choices[FULL], raw, reference, folder)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "series": task.series.name,
        "unit": task.series.unit,
        "method": plan.method,
        "study": origin.study,
        "target_coverage": origin.settings.target_coverage,
        "lower_bound": task.lower_bound,
        "members": members,
        FALLBACK: _write_member(folder, FALLBACK, fallback),
        REFERENCE: _write_member(folder, REFERENCE, reference),
        "calibrators": {
            rung: {"name": choice.calibrator.name, "reason": choice.reason}
            for rung, choice in choices.items()
        },
        "learned_until": (plan.until or task.dates.train_to).isoformat(),
        "refit": plan.until is not None,
        "task": origin.task,
        "scores": origin.scores,
        "recipe": _recipe_json(plan),
        "assumptions": list(task.assumptions),
        "versions": installed_versions(),
        "input": _contract_json(plan, [*deployed, fallback, reference]),
    }
    files.save_json(folder / MANIFEST, manifest)
    constraints = [f"{name}=={version}" for name, version in installed_versions().items()]
    files.save_text(folder / "constraints.txt", "\n".join(constraints) + "\n")
    observer.began("golden windows")
    _write_golden(plan, raw, folder)
    write_card(folder, manifest)


def _choose(plan: BundlePlan, raw: Floats) -> CalibratorSelection:
    forecast = forecast_of(plan.task, "calibrate", raw)
    coverage = plan.origin.settings.target_coverage
    return choose_by_name(forecast, plan.calibrator, coverage=coverage)


def _write_member(folder: Path, name: str, deployed: Deployed) -> dict[str, Any]:
    """Write the arrays of a member and describe it."""
    member = deployed.member
    file = f"{name}.safetensors"
    arrays = {key: np.ascontiguousarray(array) for key, array in member.arrays().items()}
    files.save_bytes(folder / file, save_tensors(arrays))
    return {"kind": member.kind, "file": file, **member.as_json()}


def _write_dataset(spec: DatasetSpec, folder: Path) -> None:
    """Write the description of the data set; its files are named without their folders."""
    content = spec.model_dump(mode="json", exclude_none=True)
    for key in ("path", "school_holidays"):
        if getattr(spec, key) is not None:
            content[key] = getattr(spec, key).name
    if spec.weather is not None:
        content["weather"]["path"] = spec.weather.path.name
    sources = content.pop("sources")
    if sources:
        content["sources"] = [{**source, "path": Path(source["path"]).name} for source in sources]
    for stamp in ("use_from", "use_to"):
        if getattr(spec, stamp) is not None:
            content[stamp] = getattr(spec, stamp).isoformat()
    content["splits"] = {
        key: value.isoformat() if isinstance(value, pd.Timestamp) else value
        for key, value in spec.splits
        if value is not None
    }
    files.save_text(folder / DATASET, tomli_w.dumps(content))


def _climatology(task: Task) -> Floats:
    steps, levels = task.shape.horizon_steps, task.shape.levels
    return np.array(
        [
            forecast_climatology(task.series, position, horizon_steps=steps, levels=levels)
            for position in task.issues["calibrate"].tolist()
        ]
    )


def _contract_json(plan: BundlePlan, deployed: Sequence[Deployed]) -> dict[str, Any]:
    """The inputs that the models need, as the manifest holds them."""
    task, settings, spec = plan.task, plan.origin.settings, plan.origin.spec
    train = slice(0, task.train_stop)
    history = max(d.member.history_steps for d in deployed)
    declared = choose_covariates(spec, settings.covariates)
    columns = [
        {
            "name": covariate.name,
            "declared": name,
            "role": str(covariate.role),
            "unit": covariate.unit,
            "low": float(np.nanmin(covariate.values[train])),
            "high": float(np.nanmax(covariate.values[train])),
        }
        for name, covariate in zip(declared, task.series.covariates, strict=True)
    ]
    per_day = task.shape.steps_per_day
    shape = {**asdict(task.shape), "levels": list(task.shape.levels)}
    if per_day == STEPS_PER_DAY:
        del shape["steps_per_day"]  # older versions know hours only
    groups = settings.task.features
    return {
        "calendar": task.manifest()["calendar"],
        "columns": columns,
        "shape": shape,
        "feature_groups": None if groups is None else list(groups),
        "history_steps": max(history + MARGIN_DAYS * per_day, CLIMATOLOGY_DAYS * per_day),
        "window_steps": task.shape.input_steps,
        "low": float(np.nanmin(task.series.values[train])),
        "high": float(np.nanmax(task.series.values[train])),
        "delay_hours": spec.delay_hours,
        "standards": _standards(task),
    }


def _standards(task: Task) -> dict[str, list[float]]:
    """Mean, deviation and limits of every column that a member standardises."""
    lagged = task.features.joined(weekly_lags(task.series, task.shape.horizon_steps))
    calendar = build_features(task.series, groups=("calendar",))
    # In these arrays the ridge and the trees have them: another order of the sum changes the last
    # digit, and a tree may then turn elsewhere.
    parts = (task.features.known, task.features.past, degree_hours_of(task))
    standards: dict[str, list[float]] = {}
    for table in (calendar, lagged, *parts):
        own = task.standards_of(table)
        columns = np.stack([own.center, own.spread, own.low, own.high], axis=1)
        standards |= dict(zip(table.names, columns.tolist(), strict=True))
    return standards


def _recipe_json(plan: BundlePlan) -> dict[str, Any]:
    """Settings and configs that train the same models on other hours."""
    settings = plan.origin.settings.model_dump(mode="json", include=set(RECIPE_SETTINGS))
    configs = [
        {
            "model": trained.model,
            "config": trained.config,
            "study_seed": trained.study_seed,
            "number": trained.number,
            "weight": weight,
        }
        for trained, weight in plan.configs
    ]
    return {"settings": settings, "calibrator": plan.calibrator, "configs": configs}


def _write_validation(
    plan: BundlePlan, full: CalibratorSelection, raw: Floats, reference: Deployed, folder: Path
) -> None:
    """Write the scores of the calibrate split that a monitor compares with."""
    forecast = forecast_of(plan.task, "calibrate", raw)
    calibrated = full.calibrator.apply(forecast)
    lower, upper = calibrated.interval(plan.origin.settings.target_coverage)
    scores = score_issues(
        np.array([hour_of(issue) for issue in plan.task.issue_times("calibrate")]),
        forecast.observed,
        calibrated.quantiles,
        reference=reference.calibrate,
        interval=(lower, upper),
        levels=forecast.levels,
    )
    files.save_arrays(folder / VALIDATION, vars(scores))


def _write_golden(plan: BundlePlan, raw: Floats, folder: Path) -> None:
    """Write windows with their forecasts, made from the files; refuse if training forecasts others.

    The windows are of the calibrate split. With a refit the models are others than those whose
    forecasts are at hand, and there is nothing to compare with.
    """
    task = plan.task
    bundle = Bundle(folder, files.load_json(folder / MANIFEST), "")
    contract = load_contract(bundle.manifest["input"], folder / DATASET)
    runs = task.series.runs
    columns = {contract.spec.target: task.series.values}
    columns |= {
        covariate.name: covariate.values
        for covariate in task.series.covariates
        if runs is None or covariate.name not in runs.names
    }
    weather = None if runs is None else WeatherTable(None, runs, learned=True)
    inputs = LiveInputs(contract, pd.DataFrame(columns, index=task.series.index), None, weather)
    issues = task.issues["calibrate"]
    fits = np.flatnonzero(issues >= contract.history_steps)
    if not fits.size:
        raise StoreError(
            f"no calibrate issue has the {contract.history_steps} hours of history that the "
            "models read; deploy a trial with a shorter window"
        )
    chosen = fits[np.linspace(0, len(fits) - 1, N_GOLDEN).astype(int)]
    windows = [inputs.cut(pd.Timestamp(task.series.index[issues[i]])) for i in chosen]
    forecasts = [bundle.raw_forecast(window) for window in windows]
    if plan.until is None:
        for i, (rung, live, flags) in zip(chosen, forecasts, strict=True):
            _compare_with_training(live, raw[i], rung, flags)
    seconds = np.array([second_of(w.issue_time) for w in windows])
    files.save_arrays(
        folder / GOLDEN,
        {
            "issues": np.array([hour_of(w.issue_time) for w in windows]),
            **({ISSUE_SECONDS: seconds} if (seconds % SECONDS_AN_HOUR).any() else {}),
            "target": np.array([w.series.values for w in windows]),
            "covariates": np.array([[c.values for c in w.series.covariates] for w in windows]),
            "raw": np.array([live for _, live, _ in forecasts]),
        },
    )


def _compare_with_training(live: Floats, trained: Floats, rung: str, flags: Sequence[str]) -> None:
    width = float(np.mean(trained[:, -1] - trained[:, 0])) or 1.0
    difference = float(np.abs(live - trained).max()) / width
    if rung == FULL and difference > GOLDEN_LIKE_TRAINED:
        raise StoreError(
            f"the bundle forecasts a window of the calibrate split differently from the trained "
            f"model, by {difference:.2g} of its width ({', '.join(flags) or 'no flag'}); nothing "
            "was deployed"
        )
