"""The bundle: everything that a forecast needs, in one immutable folder.

Files are JSON, TOML and safetensors, paths are relative, nothing is pickled. The name of the folder
is the hash of its checksums. A bundle is read once and then only computes: it holds no state, and
threads may share it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from paretocast.calibration import load_calibrator
from paretocast.calibration.ensemble import average_levels
from paretocast.data.series import Calendar
from paretocast.data.spec import read_spec
from paretocast.data.task import TaskShape
from paretocast.deployment.climatology import forecast_climatology
from paretocast.deployment.inputs import InputColumn, InputContract
from paretocast.deployment.issued import LiveForecast, hour_of
from paretocast.deployment.members import restore_member
from paretocast.errors import DataError, ForecastError, StoreError
from paretocast.metrics.forecast import Forecast
from paretocast.results.groups import clock_groups
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.calibration import Calibrator
    from paretocast.deployment.inputs import LiveInputs, LiveWindow
    from paretocast.deployment.members import Member

    Floats = NDArray[np.float64]

SCHEMA_VERSION = 1
MANIFEST = "bundle.json"
SUMS = "SHA256SUMS"
DATASET = "dataset.toml"
GOLDEN = "golden.npz"
CALIBRATORS = "calibrators.json"
NAME_LENGTH = 12
# The rungs of degradation, best first.
FULL, NO_WEATHER, CLIMATOLOGY = "full", "no_weather", "climatology"
RUNGS = (FULL, NO_WEATHER, CLIMATOLOGY)
FALLBACK = "fallback"  # member of the second rung
RIDGE = "ridge"  # the method that is its own reference
REFERENCE = "reference"  # the ridge that skill is measured against
VALIDATION = "validation.npz"
AT_MOST = 1e-4  # of the interval's width that a golden window may differ by
TOO_OLD_HOURS = 24  # without an observation for so long, only the climatology is left


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
        stored = files.load_json(self.folder / CALIBRATORS)
        return {rung: load_calibrator(content) for rung, content in stored.items()}

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
        times = pd.date_range(issue, periods=len(raw), freq="h")
        groups = clock_groups(times.tz_convert(self.contract.spec.zone))
        return Forecast(
            raw[None],
            self.levels,
            None if observed is None else [observed],
            issues=[hour_of(issue)],
            groups={name: members[None] for name, members in groups.items()},
            lower_bound=self.manifest["lower_bound"],
        )

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
        try:
            arrays = load_tensors(path.read_bytes())
        except (OSError, SafetensorError) as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
        return restore_member(stored, arrays)

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
        golden = files.load_arrays(self.folder / GOLDEN)
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
        If there is none, or it is of a later version.
    """
    from pathlib import Path

    folder = Path(path)
    pointer = folder / "current"
    if pointer.is_file():
        folder = folder / "bundles" / pointer.read_text(encoding="utf-8").strip()
    manifest = files.load_json(folder / MANIFEST)
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{folder / MANIFEST} has schema version {version}, this version reads "
            f"{SCHEMA_VERSION}; use the paretocast that made it, or deploy again"
        )
    return Bundle(folder, manifest, hash_of_sums(folder)[:NAME_LENGTH])


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


def load_contract(stored: Mapping[str, Any], dataset: Path) -> InputContract:
    """The inputs that a manifest describes."""
    import datetime as dt

    spec = read_spec(dataset).model_copy(update={"use_from": None, "use_to": None})
    calendar = stored["calendar"]
    school = tuple(
        (dt.date.fromisoformat(first), dt.date.fromisoformat(last))
        for first, last in calendar["school_holidays"]
    )
    groups = stored["feature_groups"]
    return InputContract(
        spec=spec,
        calendar=Calendar(
            calendar["zone"],
            calendar["country"],
            school,
            calendar.get("subdivision"),
            tuple(dt.date.fromisoformat(day) for day in calendar.get("holidays", ())),
        ),
        columns=tuple(InputColumn(**column) for column in stored["columns"]),
        shape=TaskShape(**{**stored["shape"], "levels": tuple(stored["shape"]["levels"])}),
        feature_groups=None if groups is None else tuple(groups),
        history_steps=stored["history_steps"],
        window_steps=stored["window_steps"],
        low=stored["low"],
        high=stored["high"],
        delay_hours=stored["delay_hours"],
        standards={name: _standards(own) for name, own in stored["standards"].items()},
    )


def _standards(stored: Sequence[float]) -> tuple[float, float, float, float]:
    """Standards of a column; an earlier version stored no limits, and clipped nothing."""
    center, spread, *limits = stored
    low, high = limits or (-np.inf, np.inf)
    return center, spread, low, high


def golden_window(
    contract: InputContract, golden: Mapping[str, NDArray[Any]], index: int
) -> LiveWindow:
    """One of the windows that a bundle was checked with."""
    first = pd.Timestamp(int(golden["issues"][index]), unit="h", tz="UTC")
    covariates = list(golden["covariates"][index])
    return contract.window(first, golden["target"][index], covariates)


def write_sums(folder: Path) -> str:
    """Write the checksums of a folder's files and return the hash of the list."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != SUMS
    ]
    files.save_text(folder / SUMS, "\n".join(lines) + "\n")
    return hash_of_sums(folder)


def hash_of_sums(folder: Path) -> str:
    """SHA-256 of a bundle's list of checksums."""
    try:
        return hashlib.sha256((folder / SUMS).read_bytes()).hexdigest()
    except OSError as error:
        raise StoreError(f"{folder / SUMS} cannot be read: {error.strerror}") from error


def check_sums(folder: Path) -> None:
    """Refuse a bundle whose files are not those it was made with.

    Raises
    ------
    StoreError
        Naming the first file that was changed or is missing.
    """
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file():
            raise StoreError(f"{path} is missing; the bundle is not whole, deploy again")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise StoreError(f"{path} was changed after the bundle was made; deploy again")
