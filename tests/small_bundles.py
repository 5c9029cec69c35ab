"""A small deployment that tests share: a data set with weather and holes, a study, a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from builders import make_dates, make_series
from paretocast.data import load_dataset
from paretocast.data.task import plan_task
from paretocast.deployment.build import build_bundle
from paretocast.deployment.bundle import Bundle
from paretocast.deployment.plan import plan_bundle
from paretocast.results.stored_study import StoredStudy
from studies import make_settings, make_study, optimise

SPEC = """name = "small"
path = "small.csv"
target = "demand"
unit = "m³/h"
zone = "Europe/Copenhagen"
holiday_country = "DK"

[covariates.temperature]
role = "forecast"
unit = "°C"

[covariates.pressure]
role = "past"
unit = "bar"

[splits]
train_to = {train_to}
validation_to = {validation_to}
test_to = {test_to}
"""


class Quiet:
    """An observer of a deployment that keeps to itself."""

    def began(self, what: str) -> None:
        pass


def weather_table() -> pd.DataFrame:
    """Demand, temperature and pressure by hour, with holes."""
    series = make_series()
    table = pd.DataFrame(
        {
            "timestamp": series.index.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "demand": series.values,
            **{covariate.name: covariate.values for covariate in series.covariates},
        }
    )
    table.loc[1800:1830, "demand"] = np.nan
    table.loc[2000:2003, "demand"] = np.nan
    table.loc[1900:1902, "temperature"] = np.nan
    return table


def tune_with_weather(folder: Path, *, available_after: str = "0h") -> StoredStudy:
    """A finished study of one N-HiTS that corrects a ridge, on `weather_table`."""
    folder.mkdir(parents=True, exist_ok=True)
    weather_table().to_csv(folder / "small.csv", index=False)
    dates = {
        name: f"{stamp:%Y-%m-%dT%H:%M:%SZ}"
        for name, stamp in vars(make_dates(make_series())).items()
    }
    spec = folder / "small.toml"
    declared = f'available_after = "{available_after}"\n{SPEC.format(**dates)}'
    spec.write_text(declared, encoding="utf-8")
    training = {"steps": 12, "batch_size": 32, "n_evaluations": 3, "anchor": "ridge"}
    settings = make_settings(1, dataset=str(spec), task={"input_steps": 48}, training=training)
    dataset = load_dataset(settings.dataset)
    task = plan_task(dataset.series, dataset.dates, shape=settings.task.shape())
    optimise(make_study(folder / "hpo", settings, task=task))
    return StoredStudy.open(next((folder / "hpo").rglob("best_params_*.json")))


def deploy_small(study: StoredStudy, bundles: Path, method: str = "trial 0") -> Bundle:
    """A bundle of a study's method."""
    plan = plan_bundle(study, method=method, calibrator="cqr")
    return build_bundle(plan, bundles, observer=Quiet())
