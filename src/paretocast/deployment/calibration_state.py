"""The calibration of a deployment: a pure function of bundle, issued forecasts and observations.

Online calibrators learn from each window once its last hour is past. Their state is not kept as a
truth of its own: it is the replay of the journal, and a file that saves the replay may be deleted.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.calibration import OnlineCalibrator
from paretocast.deployment.bundle_files import load_calibrators
from paretocast.deployment.issued import OFF_SCHEDULE, second_of
from paretocast.deployment.stored import CalibrationFile
from paretocast.errors import StoreError
from paretocast.workspace.stored import load, save

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from paretocast.calibration import Calibrator
    from paretocast.deployment.bundle import Bundle
    from paretocast.deployment.issued import LiveForecast
    from paretocast.deployment.journal import Deployment

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
    contract = bundle.contract
    now = second_of(at - contract.delay_steps * contract.shape.step)
    windows = []
    for forecast in forecasts:
        is_past = forecast.seconds.stop <= now
        if forecast.bundle != bundle.name or not is_past or OFF_SCHEDULE in forecast.flags:
            continue
        values = tuple(observed.get(second, float("nan")) for second in forecast.seconds)
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
            with bundle.fitting():
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
        """The state that was saved, if it can be read and is whole."""
        path = deployment.folder / CACHE
        try:
            stored = load(path, CalibrationFile)
            levels = deployment.bundle.levels
            calibrators = load_calibrators(stored["calibrators"], levels=levels, origin=path)
        except StoreError:
            return cls(deployment)
        return cls(deployment, tuple(stored["digests"]), calibrators, stored["bundle"])

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
        content = {
            "bundle": self.bundle,
            "digests": list(self.digests),
            "calibrators": {rung: each.as_json() for rung, each in self.calibrators.items()},
        }
        save(self.deployment.folder / CACHE, content, durable=False)


def _n_settled(windows: Sequence[LearnedWindow]) -> int:
    """Number of the windows before the first of the newest ones that is not observed whole."""
    first = max(0, len(windows) - MOST_AWAITED)
    newest = enumerate(windows[first:], first)
    return next((i for i, window in newest if np.isnan(window.values).any()), len(windows))
