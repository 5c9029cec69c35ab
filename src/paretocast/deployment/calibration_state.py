"""The calibration of a deployment: a pure function of bundle, issued forecasts and observations.

Online calibrators learn from each window once its last hour is past. Their state is not kept as a
truth of its own: it is the replay of the journal, and a file that saves the replay may be deleted.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.calibration import IssuedForecasts, OnlineCalibrator, load_calibrator
from paretocast.deployment.bundle import RUNGS
from paretocast.deployment.journal import Deployment, hour_of, latest_values
from paretocast.errors import StoreError
from paretocast.metrics.forecast import Forecast
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from paretocast.calibration import Calibrator
    from paretocast.deployment.bundle import Bundle
    from paretocast.deployment.issued import LiveForecast

CACHE = "state/calibration.json"


@dataclass(frozen=True)
class LearnedWindow:
    """A past window that a calibrator learns from.

    Attributes
    ----------
    values : tuple of float
        Observations of its hours, NaN where missing.
    """

    forecast: LiveForecast
    values: tuple[float, ...]

    @property
    def digest(self) -> str:
        """Hash of all that a calibrator learns from it."""
        text = json.dumps([self.forecast.forecast_id, [repr(value) for value in self.values]])
        return hashlib.sha256(text.encode()).hexdigest()


def past_windows(
    forecasts: Sequence[LiveForecast], observed: Mapping[int, float], at: pd.Timestamp, bundle: str
) -> list[LearnedWindow]:
    """Windows of a bundle whose last hour is past at a time, in order, with their observations."""
    now = hour_of(at)
    windows = []
    for forecast in forecasts:
        first = hour_of(forecast.issue_time)
        n_hours = len(forecast.raw)
        if forecast.bundle != bundle or first + n_hours > now or "off_schedule" in forecast.flags:
            continue
        values = tuple(observed.get(first + i, float("nan")) for i in range(n_hours))
        windows.append(LearnedWindow(forecast, values))
    return windows


def replay(
    bundle: Bundle,
    windows: Sequence[LearnedWindow],
    *,
    start: Mapping[str, Calibrator] | None = None,
) -> dict[str, Calibrator]:
    """Calibrators by rung after the windows, from those that were fitted or from others."""
    return _learn(bundle, dict(start or bundle.calibrators), windows)


def _learn(
    bundle: Bundle, calibrators: dict[str, Calibrator], windows: Sequence[LearnedWindow]
) -> dict[str, Calibrator]:
    for window in windows:
        rung = window.forecast.rung
        calibrator = calibrators[rung]
        if isinstance(calibrator, OnlineCalibrator):
            issued = IssuedForecasts(_as_forecast(bundle, window), window.forecast.quantiles[None])
            calibrators[rung] = calibrator.learn(issued)
    return calibrators


def _as_forecast(bundle: Bundle, window: LearnedWindow) -> Forecast:
    forecast = window.forecast
    local = forecast.target_times.tz_convert(forecast.zone)
    return Forecast(
        forecast.raw[None],
        forecast.levels,
        [window.values],
        issues=[hour_of(forecast.issue_time)],
        groups={
            "hour": local.hour.to_numpy()[None],
            "season": (local.month.to_numpy() % 12 // 3)[None],
        },
        lower_bound=bundle.manifest["lower_bound"],
    )


@dataclass
class CalibrationState:
    """Calibrators of a deployment as they are at one issue after the other.

    What was learned is kept, and used again as long as the windows begin alike: a correction in the
    past leads to a replay from the start.
    """

    deployment: Deployment
    digests: tuple[str, ...] = ()
    calibrators: dict[str, Calibrator] | None = None
    bundle: str = ""

    @classmethod
    def load(cls, deployment: Deployment) -> CalibrationState:
        """The state that was saved, if it can be read."""
        try:
            stored = files.load_json(deployment.folder / CACHE)
            calibrators = {rung: load_calibrator(stored["calibrators"][rung]) for rung in RUNGS}
            return cls(deployment, tuple(stored["digests"]), calibrators, stored["bundle"])
        except (StoreError, KeyError, TypeError, ValueError):
            return cls(deployment)

    def at(
        self,
        at: pd.Timestamp,
        forecasts: Sequence[LiveForecast],
        observed: Mapping[int, float],
    ) -> dict[str, Calibrator]:
        """Calibrators for the issue of a time."""
        bundle = self.deployment.bundle
        windows = past_windows(forecasts, observed, at, bundle.name)
        digests = tuple(window.digest for window in windows)
        n_known = len(self.digests)
        if self.bundle == bundle.name and self.calibrators and digests[:n_known] == self.digests:
            calibrators = _learn(bundle, dict(self.calibrators), windows[n_known:])
        else:
            calibrators = replay(bundle, windows)
        self.bundle, self.digests, self.calibrators = bundle.name, digests, calibrators
        return calibrators

    def save(self) -> None:
        """Write the state, to spare the next process a replay."""
        if self.calibrators is None:
            return
        content: dict[str, Any] = {
            "bundle": self.bundle,
            "digests": list(self.digests),
            "calibrators": {r: c.as_json() for r, c in self.calibrators.items()},
        }
        files.save_json(self.deployment.folder / CACHE, content, durable=False)


@dataclass(frozen=True)
class Audit:
    """What a replay of the journal has found.

    Attributes
    ----------
    n_forecasts, n_observations : int
        Looked at.
    problems : tuple of str
        Forecasts that the journal does not explain; empty if all is as it says.
    """

    n_forecasts: int
    n_observations: int
    problems: tuple[str, ...]


def audit(deployment: Deployment) -> Audit:
    """Replay the journal and compare every forecast with what it should have been.

    Each is calibrated again from its raw quantiles, by the state that earlier forecasts and the
    observations known then lead to.
    """
    rows = deployment.observations()
    issued = deployment.issued()
    problems = []
    for forecast in issued:
        bundle = deployment.bundle_named(forecast.bundle)
        known = latest_values(rows[: forecast.observations])
        counted = deployment.counted(forecast.number)
        earlier = [f for f in counted if f.issue_time < forecast.issue_time]
        windows = past_windows(earlier, known, forecast.issue_time, bundle.name)
        calibrator = replay(bundle, windows)[forecast.rung]
        learned = json.dumps(files.without_nan(calibrator.as_json()), sort_keys=True)
        name = f"{forecast.issue_time.isoformat()} revision {forecast.revision}"
        if hashlib.sha256(learned.encode()).hexdigest() != forecast.calibration:
            problems.append(f"{name}: the calibration is not what the journal leads to")
            continue
        own = LearnedWindow(forecast, (float("nan"),) * len(forecast.raw))
        again = calibrator.apply(_as_forecast(bundle, own)).quantiles[0]
        if not np.array_equal(again, forecast.quantiles):
            problems.append(f"{name}: the quantiles are not those of its calibration")
    return Audit(len(issued), len(rows), tuple(problems))
