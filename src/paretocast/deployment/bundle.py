"""The bundle: everything that a forecast needs, in one immutable folder.

Files are JSON, TOML and safetensors, paths are relative, nothing is pickled. The name of the folder
is the hash of its checksums. A bundle is read once and then only computes: it holds no state, and
threads may share it.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from paretocast.calibration.ensemble import average_levels
from paretocast.deployment.bundle_files import (
    CLIMATOLOGY,
    DATASET,
    DEPLOY_AGAIN,
    FULL,
    NO_WEATHER,
    POINTER,
    RUNGS,
    SUMS,
    check_sums,
    golden_window,
    hash_of_sums,
    load_calibrators,
    load_contract,
    load_golden,
    read_pointer,
)
from paretocast.deployment.climatology import forecast_climatology
from paretocast.deployment.issued import LiveForecast, step_number
from paretocast.deployment.members import restore_member
from paretocast.deployment.stored import BundleFile, CalibratorsFile
from paretocast.errors import DataError, ForecastError, ParetocastError, StoreError
from paretocast.metrics.forecast import Forecast
from paretocast.results.groups import clock_groups
from paretocast.workspace import files
from paretocast.workspace.stored import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.calibration import Calibrator
    from paretocast.deployment.inputs import InputContract, LiveInputs, LiveWindow
    from paretocast.deployment.members import Member

    Floats = NDArray[np.float64]

SCHEMA_VERSION = 1
MANIFEST = "bundle.json"
CALIBRATORS = "calibrators.json"
NAME_LENGTH = 12
FALLBACK = "fallback"  # member of the second rung
RIDGE = "ridge"  # the method that is its own reference
REFERENCE = "reference"  # the ridge that skill is measured against
VALIDATION = "validation.npz"
AT_MOST = 1e-4  # of the interval's width that a golden window may differ by
TOO_OLD_HOURS = 24  # without an observation for so long, only the climatology is left
# What numpy, torch and LightGBM raise where files of a bundle do not fit each other.
DEFECTS = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError),
    *(TypeError, ValueError),
)


@dataclass(frozen=True)
class Bundle:
    """A deployed model; `load_bundle` reads it.

    Attributes
    ----------
    folder : Path
        Where it lies.
    manifest : dict
        Content of `bundle.json`.
    name : str
        First hex digits of the hash of its checksums.
    """

    folder: Path
    manifest: Mapping[str, Any]
    name: str

    @property
    def levels(self) -> tuple[float, ...]:
        """Quantile levels of its forecasts, ascending."""
        return self.contract.shape.levels

    @property
    def coverage(self) -> float:
        """Coverage of its interval, percent."""
        return float(self.manifest["target_coverage"])

    @cached_property
    def contract(self) -> InputContract:
        """Inputs that it needs."""
        return load_contract(self.manifest["input"], self.folder / DATASET)

    @cached_property
    def members(self) -> tuple[tuple[Member, float], ...]:
        """Models whose quantiles are averaged, with their weights."""
        return tuple((self._member(s), float(s["weight"])) for s in self.manifest["members"])

    @cached_property
    def fallback(self) -> Member:
        """The ridge without covariates."""
        return self._member(self.manifest[FALLBACK])

    @cached_property
    def reference(self) -> Member:
        """The reference ridge."""
        return self._member(self.manifest[REFERENCE])

    @cached_property
    def calibrators(self) -> dict[str, Calibrator]:
        """Calibrators by rung, as they were fitted before the first issue."""
        path = self.folder / CALIBRATORS
        stored = load(path, CalibratorsFile, advice=DEPLOY_AGAIN)
        return load_calibrators(stored, levels=self.levels, origin=path)

    def forecast(
        self,
        history: pd.DataFrame,
        weather: pd.DataFrame | None = None,
        *,
        at: pd.Timestamp | str | None = None,
        calibrators: Mapping[str, Calibrator] | None = None,
    ) -> LiveForecast:
        """The forecast issued at a time.

        Parameters
        ----------
        history : DataFrame
            Target and covariates as the data set declares them; rows after the issue may follow.
        weather : DataFrame, optional
            Covariates of the horizon, with `issued_at` if there are several runs.
        at : Timestamp or str, optional
            The first hour that is forecast, with its zone; without it the first one at which the
            last value of the target is there.
        calibrators : mapping of rung to Calibrator, optional
            In the state they have reached; as fitted without it.

        Raises
        ------
        DataError
            If the inputs cannot be read.
        ForecastError
            If nothing is left to forecast from.
        """
        inputs = self.contract.read(history, weather)
        return self.forecast_from(inputs, issue_time(at, inputs), calibrators=calibrators)

    def forecast_from(
        self,
        inputs: LiveInputs,
        at: pd.Timestamp,
        *,
        calibrators: Mapping[str, Calibrator] | None = None,
    ) -> LiveForecast:
        """The same from tables that have been read; see `forecast`."""
        window = inputs.cut(at)
        rung, raw, reasons = self.raw_forecast(window)
        calibrator = (calibrators or self.calibrators)[rung]
        forecast = self.with_groups(window.issue_time, raw)
        with self.fitting():
            calibrated = calibrator.apply(forecast)
        return LiveForecast.of(
            window,
            bundle=self.name,
            coverage=self.coverage,
            rung=rung,
            raw=forecast.quantiles[0],
            reference=self.reference_forecast(window),
            calibrated=calibrated,
            flags=(*window.flags(), *reasons),
            calibration=state_hash(calibrator),
        )

    def raw_forecast(self, window: LiveWindow) -> tuple[str, Floats, tuple[str, ...]]:
        """Rung, quantiles (H, Q) before calibration, and flags of the rungs that failed."""
        flags: list[str] = []
        too_old = TOO_OLD_HOURS + self.contract.delay_hours
        for rung in RUNGS:
            if rung == FULL and window.lacks_weather:
                continue
            if rung != CLIMATOLOGY and window.hours_since_observed >= too_old:
                continue
            try:
                with self.fitting():
                    quantiles = self._on_rung(rung, window)
            except (DataError, ForecastError) as error:
                flags.append(f"{rung}_failed: {error}")
                continue
            if np.isfinite(quantiles).all():
                if rung != FULL:
                    flags.append(f"fallback:{rung}")
                return rung, quantiles, tuple(flags)
            flags.append(f"{rung}_failed: not finite")
        raise ForecastError(
            f"no forecast for {window.issue_time}: {'; '.join(flags) or 'no data'}. The data hold "
            f"no value of the target in the {window.contract.history_steps} hours before"
        )

    def reference_forecast(self, window: LiveWindow) -> Floats:
        """Quantiles (H, Q) of the ridge for the same window; NaN where it has nothing to go by."""
        try:
            with self.fitting():
                if window.lacks_weather:
                    return self.fallback.forecast(window.task(weather=False), window.position)
                return self.reference.forecast(window.task(), window.position)
        except DataError:
            shape = (self.contract.shape.horizon_steps, len(self.levels))
            return np.full(shape, np.nan)

    def with_groups(
        self, issue: pd.Timestamp, raw: Floats, observed: Sequence[float] | None = None
    ) -> Forecast:
        """Quantiles (H, Q) of an issue with the groups that calibrators go by.

        Parameters
        ----------
        observed : sequence of float of length H, optional
            NaN where missing; nothing is observed without it.
        """
        shape, zone = self.contract.shape, self.contract.calendar.zone
        return Forecast(
            raw[None],
            self.levels,
            None if observed is None else [observed],
            issues=[step_number(issue, shape.step)],
            groups=_groups_of(issue, len(raw), shape.step, zone),
            lower_bound=self.manifest["lower_bound"],
        )

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Name the bundle where its files do not fit each other, in the lines within.

        Raises
        ------
        StoreError
            In place of what numpy or torch raise.
        """
        try:
            yield
        except ParetocastError:
            raise
        except DEFECTS as error:
            raise StoreError(
                f"{self.folder} cannot forecast, its files do not fit each other: "
                f"{str(error)[:200]}; {DEPLOY_AGAIN}"
            ) from error

    def _on_rung(self, rung: str, window: LiveWindow) -> Floats:
        if rung == CLIMATOLOGY:
            return forecast_climatology(
                window.series,
                window.position,
                horizon_steps=self.contract.shape.horizon_steps,
                levels=self.levels,
            )
        if rung == NO_WEATHER:
            return self.fallback.forecast(window.task(weather=False), window.position)
        task = window.task()
        forecasts = [member.forecast(task, window.position) for member, _ in self.members]
        if len(forecasts) == 1:
            return forecasts[0]
        return average_levels(forecasts, [weight for _, weight in self.members])

    def _member(self, stored: Mapping[str, Any]) -> Member:
        path = self.folder / stored["file"]
        content = files.load_bytes(path, most=files.MOST_ARRAY_BYTES)
        try:
            arrays = load_tensors(content)
        except (SafetensorError, *DEFECTS) as error:
            raise StoreError(f"{path} is damaged: {error}; {DEPLOY_AGAIN}") from error
        return restore_member(stored, arrays, origin=path)

    def verify(self) -> float:
        """Check files and golden windows; the largest difference as a share of the width.

        Raises
        ------
        StoreError
            If a file was changed or is missing, or a golden window is forecast differently: by more
            than 1e-4 of the width of its interval.
        """
        check_sums(self.folder)
        return self.check_golden()

    def check_golden(self) -> float:
        """Largest difference of a golden window as a share of its width; see `verify`."""
        golden = load_golden(self.folder, self.contract)
        worst = 0.0
        for i in range(len(golden["issues"])):
            window = golden_window(self.contract, golden, i)
            _, raw, _ = self.raw_forecast(window)
            expected = golden["raw"][i]
            width = float(np.mean(expected[:, -1] - expected[:, 0])) or 1.0
            worst = max(worst, float(np.abs(raw - expected).max()) / width)
        if worst > AT_MOST:
            raise StoreError(
                f"{self.folder} forecasts its golden windows differently here, by {worst:.2g} of "
                f"the interval's width, expected at most {AT_MOST:g}; install the versions of its "
                "constraints.txt"
            )
        return worst


def load_bundle(path: str | Path) -> Bundle:
    """A bundle, or the one that a deployment points to.

    Raises
    ------
    StoreError
        If there is none, or it is of a later version or not what it was made as.
    """
    from pathlib import Path

    folder = Path(path)
    if files.is_file(folder / POINTER):
        folder = folder / "bundles" / read_pointer(folder / POINTER)
    manifest = load(folder / MANIFEST, BundleFile, advice=DEPLOY_AGAIN)
    check_sums(folder)
    name = hash_of_sums(folder)[:NAME_LENGTH]
    if re.fullmatch(r"[0-9a-f]{12}", folder.name) and folder.name != name:
        raise StoreError(
            f"{folder / SUMS} was changed after the bundle was made: its files are those of a "
            f"bundle {name}; {DEPLOY_AGAIN}"
        )
    return Bundle(folder, manifest, name)


@lru_cache(maxsize=1024)
def _groups_of(
    issue: pd.Timestamp, n_steps: int, step: pd.Timedelta, zone: str
) -> Mapping[str, NDArray[np.integer]]:
    """Groups of the target times of an issue, each (1, H); see `clock_groups`."""
    times = pd.date_range(issue, periods=n_steps, freq=step)
    groups = clock_groups(times.tz_convert(zone))
    return MappingProxyType({name: members[None] for name, members in groups.items()})


def issue_time(at: pd.Timestamp | str | None, inputs: LiveInputs) -> pd.Timestamp:
    """The first hour to forecast, UTC.

    Raises
    ------
    DataError
        If a time has no zone or is none.
    """
    if at is None:
        return inputs.known_from
    try:
        stamp = pd.Timestamp(at)
        if stamp.tzinfo is None:  # of NaT too
            raise DataError(f"--at is {at!r}, which names no zone; end it with Z or an offset")
        return stamp.tz_convert("UTC").as_unit("ns")
    except (ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"--at is {at!r}, expected a time such as 2026-11-25T00:00Z") from error


def state_hash(calibrator: Calibrator) -> str:
    """SHA-256 of everything that a calibrator has learned."""
    learned = json.dumps(files.without_nan(calibrator.as_json()), sort_keys=True)
    return hashlib.sha256(learned.encode()).hexdigest()
