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

from paretocast.calibration import OnlineCalibrator, load_calibrator
from paretocast.deployment.bundle import RUNGS, state_hash
from paretocast.deployment.issued import OFF_SCHEDULE, hour_of
from paretocast.deployment.journal import Deployment, latest_values
from paretocast.errors import StoreError
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from paretocast.calibration import Calibrator
    from paretocast.deployment.bundle import Bundle
    from paretocast.deployment.issued import LiveForecast

CACHE = "state/calibration.json"
MOST_AWAITED = 8  # newest windows that observations may still come for, without a replay of all


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
    forecasts: Sequence[LiveForecast],
    observed: Mapping[int, float],
    at: pd.Timestamp,
    bundle: Bundle,
) -> list[LearnedWindow]:
    """Windows of a bundle whose last hour is known at a time, in order, with their observations."""
    now = hour_of(at) - bundle.contract.delay_hours
    windows = []
    for forecast in forecasts:
        first = hour_of(forecast.issue_time)
        n_hours = len(forecast.raw)
        if (
            forecast.bundle != bundle.name
            or first + n_hours > now
            or OFF_SCHEDULE in forecast.flags
        ):
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
    calibrators = dict(start or bundle.calibrators)
    for window in windows:
        forecast = window.forecast
        calibrator = calibrators[forecast.rung]
        if isinstance(calibrator, OnlineCalibrator):
            raw = bundle.with_groups(forecast.issue_time, forecast.raw, window.values)
            calibrators[forecast.rung] = calibrator.learn(raw)
    return calibrators


@dataclass
class CalibrationState:
    """Calibrators of a deployment as they are at one issue after the other.

    What was learned is kept, and used again as long as the windows begin alike: a correction in the
    past leads to a replay from the start. The newest windows are kept only as far as they are
    observed whole, as what they lack may come late.
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
        windows = past_windows(forecasts, observed, at, bundle)
        digests = tuple(window.digest for window in windows)
        n_known, start = len(self.digests), self.calibrators
        if self.bundle != bundle.name or not start or digests[:n_known] != self.digests:
            n_known, start = 0, bundle.calibrators
        n_kept = max(n_known, _n_settled(windows))
        kept = replay(bundle, windows[n_known:n_kept], start=start)
        self.bundle, self.digests, self.calibrators = bundle.name, digests[:n_kept], kept
        return replay(bundle, windows[n_kept:], start=kept)

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


def _n_settled(windows: Sequence[LearnedWindow]) -> int:
    """Number of the windows before the first of the newest ones that is not observed whole."""
    first = max(0, len(windows) - MOST_AWAITED)
    newest = enumerate(windows[first:], first)
    return next((i for i, window in newest if np.isnan(window.values).any()), len(windows))


@dataclass(frozen=True)
class Audit:
    """The result of a replay of the journal.

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
        windows = past_windows(earlier, known, forecast.issue_time, bundle)
        calibrator = replay(bundle, windows)[forecast.rung]
        name = f"{forecast.issue_time.isoformat()} revision {forecast.revision}"
        if state_hash(calibrator) != forecast.calibration:
            problems.append(f"{name}: the calibration is not what the journal leads to")
            continue
        raw = bundle.with_groups(forecast.issue_time, forecast.raw)
        again = calibrator.apply(raw).quantiles[0]
        if not np.array_equal(again, forecast.quantiles):
            problems.append(f"{name}: the quantiles are not those of its calibration")
    return Audit(len(issued), len(rows), tuple(problems))
