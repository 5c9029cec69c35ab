"""A forecast that was issued: its quantiles, and what it was made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from paretocast import __version__
from paretocast.data.series import DAY
from paretocast.deployment.stored import IssuedFile
from paretocast.metrics.scores import central_levels
from paretocast.steps import FREQUENCIES, frequency_of
from paretocast.workspace.files import without_nan
from paretocast.workspace.stored import check, digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from paretocast.deployment.inputs import LiveWindow
    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]

SCHEMA_VERSION = 1
HOUR = pd.Timedelta(hours=1)
OFF_SCHEDULE = "off_schedule"  # a flag: issued for another hour than the daily one
DEGRADED_RUNGS = ("no_weather", "climatology")


@dataclass(frozen=True, eq=False)
class LiveForecast:
    """Quantiles of one issue, calibrated, with all that says how they came about.

    Attributes
    ----------
    issue_time : Timestamp
        First hour of the horizon, UTC.
    rung : str
        "full", "no_weather" or "climatology".
    raw, quantiles : ndarray of shape (H, Q)
        Before and after calibration, target units.
    reference : ndarray of shape (H, Q)
        What the ridge would have issued; of the ridge without covariates where these were missing.
    lower, upper : ndarray of shape (H,)
        The central interval of `coverage` percent.
    flags : tuple of str
        Shortcomings; empty where all was as in training.
    forecast_id : str
        Hash of bundle, issue, inputs and state of calibration: the same id, the same forecast.
    calibration : str
        Hash of the calibrator's state.
    revision : int
        1 for the first forecast of an issue.
    number : int
        Forecasts that the journal held before it.
    observations : int
        Rows of the journal's observations when it was issued.
    step : Timedelta
        Time from one target time to the next.
    """

    issue_time: pd.Timestamp
    rung: str
    levels: tuple[float, ...]
    raw: Floats
    quantiles: Floats
    reference: Floats
    lower: Floats
    upper: Floats
    coverage: float
    flags: tuple[str, ...]
    unit: str
    zone: str
    bundle: str
    data_hash: str
    weather_issue_time: str | None
    calibration: str
    forecast_id: str
    revision: int = 1
    number: int = 0
    observations: int = 0
    step: pd.Timedelta = HOUR

    @classmethod
    def of(
        cls,
        window: LiveWindow,
        *,
        bundle: str,
        coverage: float,
        rung: str,
        raw: Floats,
        reference: Floats,
        calibrated: Forecast,
        flags: tuple[str, ...],
        calibration: str,
    ) -> LiveForecast:
        """The forecast of a window by the bundle of a name."""
        lower, upper = calibrated.bounds(*central_levels(coverage))
        weather = None if window.weather is None else window.weather.issued
        data_hash = hashlib.sha256(window.content()).hexdigest()
        parts = (bundle, window.issue_time.isoformat(), data_hash, str(weather), calibration)
        return cls(
            issue_time=window.issue_time,
            rung=rung,
            levels=calibrated.levels,
            raw=raw,
            quantiles=calibrated.quantiles[0],
            reference=reference,
            lower=lower[0],
            upper=upper[0],
            coverage=coverage,
            flags=flags,
            unit=window.series.unit,
            zone=window.series.calendar.zone,
            bundle=bundle,
            data_hash=data_hash,
            weather_issue_time=None if weather is None else weather.isoformat(),
            calibration=calibration,
            forecast_id=hashlib.sha256("|".join(parts).encode()).hexdigest(),
            step=window.series.step,
        )

    @property
    def degraded(self) -> bool:
        """True if a lower rung had to do, or an older run of the weather."""
        return self.rung in DEGRADED_RUNGS or "previous_weather_run" in self.flags

    @property
    def target_times(self) -> pd.DatetimeIndex:
        """Times that are forecast, UTC."""
        return pd.date_range(self.issue_time, periods=len(self.raw), freq=self.step)

    @property
    def seconds(self) -> range:
        """Times that are forecast, in seconds since 1970."""
        first, step = second_of(self.issue_time), int(self.step.total_seconds())
        return range(first, first + step * len(self.raw), step)

    @property
    def median(self) -> Floats:
        """Quantile at the level nearest to 0.5, (H,)."""
        return np.asarray(self.quantiles[:, self._middle])

    @property
    def _middle(self) -> int:
        return int(np.argmin(np.abs(np.asarray(self.levels) - 0.5)))

    @property
    def frame(self) -> pd.DataFrame:
        """One row per step, as `rows`."""
        return pd.DataFrame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """Times in UTC and local, quantiles, interval, unit, rung and flags of every step."""
        names = [f"q{100.0 * level:g}".replace(".", "_") for level in self.levels]
        step = self.step.to_pytimedelta()
        zone, issue = ZoneInfo(self.zone), self.issue_time.to_pydatetime().astimezone(UTC)
        quantiles, medians = self.quantiles.tolist(), self.median.tolist()
        lower, upper = self.lower.tolist(), self.upper.tolist()
        rows = []
        for i, values in enumerate(quantiles):
            time = issue + i * step
            rows.append(
                {
                    "issue_time": issue.isoformat(),
                    "target_time": time.isoformat(),
                    "target_time_local": time.astimezone(zone).isoformat(),
                    "step": i + 1,
                    **dict(zip(names, values, strict=True)),
                    "median": medians[i],
                    "lower": lower[i],
                    "upper": upper[i],
                    "unit": self.unit,
                    "method": self.rung,
                    "flags": ";".join(self.flags),
                    "forecast_id": self.forecast_id[:16],
                    "revision": self.revision,
                }
            )
        return rows

    def with_revision(self, revision: int, *, number: int, observations: int) -> LiveForecast:
        """The forecast as the journal holds it."""
        return replace(self, revision=revision, number=number, observations=observations)

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON values; no time of a clock is among them."""
        return {
            "schema_version": SCHEMA_VERSION,
            "forecast_id": self.forecast_id,
            "revision": self.revision,
            "bundle": self.bundle,
            "paretocast": __version__,
            "issue_time": self.issue_time.isoformat(),
            "weather_issue_time": self.weather_issue_time,
            "method": self.rung,
            "flags": list(self.flags),
            "data_hash": self.data_hash,
            "calibration": self.calibration,
            "number": self.number,
            "observations": self.observations,
            "unit": self.unit,
            "zone": self.zone,
            "coverage": self.coverage,
            "levels": list(self.levels),
            "raw": self.raw.tolist(),
            "quantiles": self.quantiles.tolist(),
            "reference": self.reference.tolist(),
            "lower": self.lower.tolist(),
            "upper": self.upper.tolist(),
            **({} if self.step == HOUR else {"step": frequency_of(round(DAY / self.step))}),
        }

    def content(self) -> bytes:
        """The bytes of its file."""
        content = without_nan(self.as_json())
        assert isinstance(content, dict)
        content["digest"] = digest_of(content)
        return (json.dumps(content, indent=1) + "\n").encode()

    @classmethod
    def restore(cls, stored: Mapping[str, Any], origin: object) -> LiveForecast:
        """The forecast of a file.

        Raises
        ------
        StoreError
            If it is damaged or of another version.
        """
        advice = "put the file back as it was; without it calibrators forget that day"
        check(stored, IssuedFile, origin=str(origin), advice=advice)
        arrays: dict[str, Any] = {
            name: np.array(stored[name], dtype=np.float64)
            for name in ("raw", "quantiles", "reference", "lower", "upper")
        }
        plain: dict[str, Any] = {
            name: stored[name]
            for name in (
                *("forecast_id", "revision", "bundle", "weather_issue_time", "data_hash"),
                *("calibration", "number", "observations", "unit", "zone", "coverage"),
            )
        }
        return cls(
            issue_time=pd.Timestamp(stored["issue_time"]),
            rung=stored["method"],
            levels=tuple(stored["levels"]),
            flags=tuple(stored["flags"]),
            step=DAY / FREQUENCIES[stored.get("step", "1h")],
            **plain,
            **arrays,
        )


def second_of(time: pd.Timestamp) -> int:
    """Seconds since 1970: what observations are kept by."""
    return int(time.timestamp())


def hour_of(time: pd.Timestamp) -> int:
    """Hours since 1970, whole ones: what daily issues are numbered by."""
    return second_of(time) // 3600


def step_number(time: pd.Timestamp, step: pd.Timedelta) -> int:
    """Steps of a series since 1970, whole ones."""
    return second_of(time) // int(step.total_seconds())
