"""Deployments of a folder in one process that answers requests: found by name, kept in memory.

What is in memory is a copy of what lies on disk, and looked up there before each use: a bundle as
long as the pointer names it, a journal as long as its files are the same. Any number of processes
may host a folder; writing goes through the journal's lock.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from paretocast.deployment.bundle import load_bundle
from paretocast.deployment.bundle_files import POINTER
from paretocast.deployment.calibration_state import CalibrationState
from paretocast.deployment.journal import Deployment, latest_values
from paretocast.deployment.run import preview_forecast
from paretocast.errors import SettingsError, StoreError
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from paretocast.calibration import Calibrator
    from paretocast.deployment.bundle import Bundle
    from paretocast.deployment.inputs import LiveInputs
    from paretocast.deployment.issued import LiveForecast

# First parts of the server's own paths; no deployment can have one of them as its name.
RESERVED = frozenset({"docs", "health", "metrics", "openapi.json"})
N_ISSUES_KEPT = 64  # issue times whose calibrators are kept


@dataclass(frozen=True)
class CoverageSoFar:
    """Observed hours of the issued forecasts, and those inside the interval."""

    n_hours: int
    n_inside: int

    @property
    def percent(self) -> float | None:
        """Share inside, None before the first observation."""
        return 100.0 * self.n_inside / self.n_hours if self.n_hours else None


@dataclass
class JournalSnapshot:
    """A journal and the bundle in use, read once and not changed.

    Attributes
    ----------
    deployment : Deployment
        Has read all its files; nothing is written through it.
    """

    deployment: Deployment
    _calibrators: OrderedDict[pd.Timestamp, dict[str, Calibrator]] = field(
        default_factory=OrderedDict
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.bundle = self.deployment.bundle
        self._state = CalibrationState.load(self.deployment)
        self.forecasts = self.deployment.counted()
        self.observed = latest_values(self.deployment.observations())

    def preview(self, inputs: LiveInputs, at: pd.Timestamp) -> LiveForecast:
        """The forecast of an issue that is not kept; see `preview_forecast`."""
        return preview_forecast(self.deployment, inputs, at, self._calibrators_at(at))

    def _calibrators_at(self, at: pd.Timestamp) -> Mapping[str, Calibrator]:
        with self._lock:
            if at not in self._calibrators:
                earlier = [f for f in self.forecasts if f.issue_time < at]
                self._calibrators[at] = self._state.at(at, earlier, self.observed)
            self._calibrators.move_to_end(at)
            if len(self._calibrators) > N_ISSUES_KEPT:
                self._calibrators.popitem(last=False)
            return self._calibrators[at]

    def coverage(self) -> CoverageSoFar:
        """Coverage of the forecasts that scores are of, over all their observed hours."""
        counts = [self.coverage_of(forecast) for forecast in self.forecasts]
        return CoverageSoFar(sum(c.n_hours for c in counts), sum(c.n_inside for c in counts))

    def coverage_of(self, forecast: LiveForecast) -> CoverageSoFar:
        """Coverage of one forecast over its observed hours."""
        values = self.observed_hours(forecast)
        inside = [
            low <= value <= high
            for low, value, high in zip(
                forecast.lower.tolist(), values, forecast.upper.tolist(), strict=True
            )
            if value is not None
        ]
        return CoverageSoFar(len(inside), sum(inside))

    def observed_hours(self, forecast: LiveForecast) -> list[float | None]:
        """Observations of the steps of a forecast, None where there is none."""
        return [self.observed.get(second) for second in forecast.seconds]


class HostedDeployment:
    """A deployment whose bundle and journal are kept in memory; threads may share it.

    Parameters
    ----------
    folder : Path
        With `current`, `bundles/` and `journal/`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._bundle: tuple[Path, Bundle] | None = None
        self._snapshot: tuple[object, JournalSnapshot] | None = None

    def deployment(self) -> Deployment:
        """The deployment as it is on disk now, for one request."""
        return Deployment(self.folder, load=self._load)

    def snapshot(self) -> JournalSnapshot:
        """The journal as it is on disk now.

        Raises
        ------
        StoreError
            If journal or bundle cannot be read.
        """
        stamp = self._stamp()
        with self._lock:
            kept = self._snapshot
        if kept is not None and kept[0] == stamp:
            return kept[1]
        # Two threads may read the same at once, which costs time only.
        deployment = self.deployment()
        snapshot = JournalSnapshot(deployment)
        with self._lock:
            self._snapshot = stamp, snapshot
        return snapshot

    def _stamp(self) -> object:
        """A value that changes with the pointer and the journal; taken before they are read."""
        journal = self.folder / "journal"
        paths = [self.folder / POINTER, journal / "events.jsonl", journal / "observed.csv"]
        issued = journal / "issued"
        # A forecast appears by a rename into the folder of its year, which changes its time.
        paths += [issued / name for name in sorted(files.list_names(issued))]
        return [_stamp_of(path) for path in paths]

    def _load(self, folder: Path) -> Bundle:
        """The bundle of a folder, checked; the last one is kept, as bundles never change."""
        with self._lock:
            kept = self._bundle
        if kept is not None and kept[0] == folder:
            return kept[1]
        bundle = load_bundle(folder)
        bundle.verify()
        _ = bundle.fallback, bundle.reference, bundle.calibrators  # not in the first request
        with self._lock:
            self._bundle = folder, bundle
        return bundle


class Hosting:
    """All deployments of a folder, or the one that it is, by name.

    Parameters
    ----------
    folder : Path
        A deployment, or a folder with deployments.

    Raises
    ------
    SettingsError
        If there is none, or one has a name that the server needs itself.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._hosted: dict[Path, HostedDeployment] = {}
        found = find_deployments(self.folder)
        if not found:
            raise SettingsError(
                f"nothing is deployed in {folder}; expected a folder that `paretocast deploy "
                "STUDY --to FOLDER` has made, or one with such folders in it"
            )
        if taken := sorted(RESERVED & set(found)):
            raise SettingsError(
                f"{found[taken[0]]} has the name of a page of the server; rename it, names that "
                f"cannot be used are {', '.join(sorted(RESERVED))}"
            )

    def names(self) -> list[str]:
        """Names of all deployments that there are now, sorted."""
        return sorted(set(find_deployments(self.folder)) - RESERVED)

    def get(self, name: str) -> HostedDeployment | None:
        """The deployment of a name, None where there is none.

        The name is compared with those of the folders that are there; no path is made of it.
        """
        folder = find_deployments(self.folder).get(name)
        if folder is None or name in RESERVED:
            return None
        return self._hosted.setdefault(folder, HostedDeployment(folder))


def find_deployments(folder: Path) -> dict[str, Path]:
    """Folders of deployments by name: the folder itself, or those in it."""
    if _is_deployment(folder):
        return {folder.name: folder}
    if not folder.is_dir():
        return {}
    paths = [folder / name for name in files.list_names(folder)]
    return {path.name: path for path in paths if _is_deployment(path)}


def _is_deployment(folder: Path) -> bool:
    """True for a folder with a pointer, and for one that nobody may look into."""
    try:
        return files.is_file(folder / POINTER)
    except StoreError:
        return folder.is_dir()


def _stamp_of(path: Path) -> tuple[str, int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return path.name, status.st_mtime_ns, status.st_size, status.st_ino
