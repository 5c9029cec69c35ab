"""A small deployment that tests share: a ridge on a synthetic series, by the commands' own path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from commands import no_pages
from paretocast.api.operations import deploy
from paretocast.deployment.journal import Deployment

N_DAYS = 190
FIRST = pd.Timestamp("2023-01-01", tz="UTC")
TEST_FROM = FIRST + pd.Timedelta(days=160)
TOML = """
name = "zone"
path = "zone.csv"
target = "load"
unit = "MW"
zone = "Europe/Copenhagen"
holiday_country = "DK"

[covariates.temperature]
role = "forecast"
unit = "°C"

[splits]
train_to = 2023-04-10T23:00:00Z
validation_to = 2023-06-09T23:00:00Z
test_to = 2023-07-09T23:00:00Z
"""


def make_frame(n_days: int = N_DAYS, *, seed: int = 0) -> pd.DataFrame:
    """Hourly load that follows hour, weekday and temperature."""
    rng = np.random.default_rng(seed)
    hours = pd.date_range(FIRST, periods=24 * n_days, freq="h")
    cold = np.convolve(rng.normal(size=len(hours) + 23), np.ones(24) / 5.0, mode="valid")
    temperature = 8.0 + 6.0 * np.sin(2.0 * np.pi * np.arange(len(hours)) / (24 * 60)) + cold
    daily = 4.0 * np.sin(2.0 * np.pi * hours.hour.to_numpy() / 24.0)
    weekend = -3.0 * (hours.day_of_week.to_numpy() >= 5)
    load = 40.0 - 0.8 * temperature + daily + weekend + rng.normal(size=len(hours))
    return pd.DataFrame({"timestamp": hours, "load": load, "temperature": temperature})


def write_dataset(folder: Path, frame: pd.DataFrame | None = None) -> Path:
    """The TOML file of the series, with its CSV beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = make_frame() if frame is None else frame
    frame.assign(timestamp=frame["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_csv(
        folder / "zone.csv", index=False
    )
    path = folder / "zone.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


def tuned_study(folder: Path, **settings: Any) -> Path:  # noqa: ANN401
    """Folder of a study of the series, its data beside it."""
    import paretocast

    options = {"workspace": folder / "hpo", "threads": 1, "progress": False, **settings}
    with no_pages():
        study = paretocast.tune(write_dataset(folder), "NHITS_Q", trials=2, **options)
    return study.folder


def make_deployment(study: Path, to: Path, *, method: str = "ridge") -> Deployment:
    """The deployment of a study, with a calibrator that goes on learning."""
    return deploy(study, to, method=method, calibrator="pid")


def until(frame: pd.DataFrame, at: pd.Timestamp) -> pd.DataFrame:
    """The rows that are there at an issue: the load before it, the weather of the next day."""
    known = frame[frame["timestamp"] < at + pd.Timedelta(days=1)].copy()
    known.loc[known["timestamp"] >= at, "load"] = np.nan
    return known
