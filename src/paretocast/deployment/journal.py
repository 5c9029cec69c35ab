"""A deployment on disk: a pointer to the bundle in use, and a journal that only grows.

The journal is the truth: forecasts as they were issued, observations as they arrived, events. Files
appear whole or not at all, and so do the lines of the events; an observation that changes becomes a
revision. A lock keeps the processes of a deployment apart.
"""

from __future__ import annotations

import csv
import io
import math
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from paretocast.deployment.bundle import Bundle, load_bundle
from paretocast.deployment.bundle_files import POINTER, read_pointer
from paretocast.deployment.events import EventLog
from paretocast.deployment.issued import LiveForecast, second_of
from paretocast.deployment.stored import moment
from paretocast.errors import StoreError
from paretocast.workspace import files
from paretocast.workspace.claims import StudyLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

MOST_BYTES = 1 << 30  # of the observations of a deployment
STAMP, MINUTE_STAMP = "%Y-%m-%dT%HZ", "%Y-%m-%dT%H%MZ"
OBSERVED_COLUMNS = ("target_time", "value", "known_at", "revision")


@dataclass(frozen=True)
class Observation:
    """A value of the target as it arrived.

    Attributes
    ----------
    second : int
        Start of its step, in seconds since 1970.
    known_at : str
        Issue or time of day at which it was known, ISO 8601.
    revision : int
        1 for the first value of the step.
    """

    second: int
    value: float
    known_at: str
    revision: int


class Deployment:
    """The folder of a deployed model.

    Parameters
    ----------
    folder : Path
        With `current`, `bundles/` and `journal/`.
    load : callable
        Gives the bundle of a folder; one that keeps bundles in memory spares reading them again.
    """

    def __init__(self, folder: Path, *, load: Callable[[Path], Bundle] = load_bundle) -> None:
        self.folder = folder
        self._load = load
        self._issued: list[LiveForecast] | None = None
        self._observations: list[Observation] | None = None
        self._events = EventLog(folder / "journal" / "events.jsonl")

    @classmethod
    def open(cls, folder: Path) -> Deployment:
        """A deployment that exists.

        Raises
        ------
        StoreError
            If nothing is deployed there.
        """
        if not files.is_file(folder / POINTER):
            raise StoreError(
                f"nothing is deployed in {folder}; `paretocast deploy STUDY --to {folder}` does it"
            )
        return cls(folder)

    @property
    def bundles(self) -> Path:
        """Folder of all bundles, one of them in use."""
        return self.folder / "bundles"

    @property
    def name(self) -> str:
        """Name of the deployment: that of its folder."""
        return self.folder.absolute().name

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle in use when it was first asked for."""
        return self._load(self.bundles / (self.current or ""))

    def bundle_named(self, name: str) -> Bundle:
        """Another bundle of the deployment."""
        return self.bundle if name == self.bundle.name else self._load(self.bundles / name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out; what they have written before is read anew."""
        files.create_folder(self.folder)
        with StudyLock(self.folder / ".lock"):
            self._issued = self._observations = None
            self.__dict__.pop("bundle", None)
            self._tidy()
            yield

    def _tidy(self) -> None:
        """Remove what killed processes have left half written; nobody else writes now."""
        journal = self.folder / "journal"
        for folder in (self.folder, self.folder / "state", journal, *self.issued_folder.glob("*")):
            files.remove_unfinished(folder)

    # The pointer

    def point_to(
        self,
        name: str,
        *,
        event: str,
        reason: str,
        **facts: Any,  # noqa: ANN401  (JSON values)
    ) -> None:
        """Put a bundle into use; the pointer changes at once or not at all."""
        before = self.current
        files.save_text(self.folder / POINTER, f"{name}\n")
        self.__dict__.pop("bundle", None)
        self.note(event, bundle=name, before=before, reason=reason, **facts)

    @property
    def current(self) -> str | None:
        """Name of the bundle in use."""
        path = self.folder / POINTER
        return read_pointer(path) if files.is_file(path) else None

    # Events

    def note(self, event: str, **facts: Any) -> None:  # noqa: ANN401  (JSON values)
        """Add an event, with the time of the clock."""
        self._events.add(event, facts)

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Events in their order, all or those of one kind.

        Raises
        ------
        StoreError
            If the file is damaged; a torn last line is passed over.
        """
        return [event for event in self._events.read() if kind in {None, event.get("event")}]

    # Observations

    @property
    def observed_path(self) -> Path:
        """File of the observations."""
        return self.folder / "journal" / "observed.csv"

    def observations(self) -> list[Observation]:
        """Observations in the order in which they arrived.

        Raises
        ------
        StoreError
            If the file is damaged.
        """
        if self._observations is None:
            self._observations = self._read_observations()
        return self._observations

    def _read_observations(self) -> list[Observation]:
        path = self.observed_path
        if not files.is_file(path):
            return []
        rows = csv.reader(io.StringIO(files.load_text(path, most=MOST_BYTES)))
        observations: list[Observation] = []
        revisions: dict[int, int] = {}
        try:
            if tuple(next(rows, ())) != OBSERVED_COLUMNS:
                raise ValueError(f"expected the columns {', '.join(OBSERVED_COLUMNS)}")
            for cells in rows:
                row = _observation(cells)
                if row.revision != revisions.get(row.second, 0) + 1:
                    raise ValueError(f"revision {row.revision} of {cells[0]} is out of its order")
                revisions[row.second] = row.revision
                observations.append(row)
        except (ValueError, csv.Error) as error:
            raise StoreError(
                f"line {rows.line_num} of {path} is damaged: {str(error)[:200]}; put the file "
                "back as it was"
            ) from error
        return observations

    def observe(self, target: pd.Series[Any], *, known_at: pd.Timestamp) -> tuple[int, int]:
        """Add values of the target; a value that is there already changes nothing.

        Parameters
        ----------
        target : Series
            By time, UTC; NaN is not observed.

        Returns
        -------
        tuple of (int, int)
            New steps and corrected ones.
        """
        rows = self.observations()
        latest = {row.second: row for row in rows}
        new, corrected = [], 0
        stamp = known_at.isoformat()
        observed = target.dropna()
        for time, value in zip(observed.index, observed.to_numpy(float).tolist(), strict=True):
            second = second_of(time)
            before = latest.get(second)
            if before is not None and before.value == value:
                continue
            revision = 1 if before is None else before.revision + 1
            corrected += before is not None
            new.append(Observation(second, value, stamp, revision))
        if new:
            self._write_observations([*rows, *new])
        return len(new) - corrected, corrected

    def _write_observations(self, rows: Sequence[Observation]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(OBSERVED_COLUMNS)
        for row in rows:
            time = pd.Timestamp(row.second, unit="s", tz="UTC").isoformat()
            writer.writerow([time, repr(row.value), row.known_at, row.revision])
        files.save_text(self.observed_path, text.getvalue())
        self._observations = list(rows)

    # Forecasts

    @property
    def issued_folder(self) -> Path:
        """Folder of the forecasts."""
        return self.folder / "journal" / "issued"

    def issued_path(self, issue: pd.Timestamp, revision: int) -> Path:
        """File of a forecast."""
        name = f"{issue.strftime(MINUTE_STAMP if issue.minute else STAMP)}.r{revision}.json"
        return self.issued_folder / f"{issue.year:04d}" / name

    def revisions(self, issue: pd.Timestamp) -> list[LiveForecast]:
        """Forecasts of one issue, the first one first."""
        return [forecast for forecast in self.issued() if forecast.issue_time == issue]

    def keep(self, forecast: LiveForecast, *, observations: int) -> LiveForecast:
        """Write a forecast as the next revision of its issue; the same one is kept once."""
        before = self.revisions(forecast.issue_time)
        for earlier in before:
            if earlier.forecast_id == forecast.forecast_id:
                return earlier
        kept = forecast.with_revision(
            len(before) + 1, number=len(self.issued()), observations=observations
        )
        files.save_bytes(self.issued_path(kept.issue_time, kept.revision), kept.content())
        if self._issued is not None:
            self._issued = sorted([*self._issued, kept], key=_order)
        self.note(
            "forecast",
            issue=kept.issue_time.isoformat(),
            revision=kept.revision,
            method=kept.rung,
            flags=list(kept.flags),
        )
        return kept

    def issued(self) -> list[LiveForecast]:
        """Every forecast, by issue and revision."""
        if self._issued is None:
            paths = self.issued_folder.glob("*/*.json")
            forecasts = list(map(self._restored, paths))
            self._issued = sorted(forecasts, key=_order)
        return self._issued

    def _restored(self, path: Path) -> LiveForecast:
        forecast = LiveForecast.restore(files.load_json(path), path)
        expected = self.issued_path(forecast.issue_time, forecast.revision)
        if path != expected:
            raise StoreError(
                f"{path} is damaged: it holds the forecast of {expected.name}; remove it"
            )
        return forecast

    def made_in_time(self) -> set[tuple[pd.Timestamp, int]]:
        """Issues and revisions from the second on that were made before their first hour."""
        made = {
            (event["issue"], event["revision"]): event["time"]
            for event in self.events("forecast")
            if event["revision"] > 1
        }
        return {
            (pd.Timestamp(issue), revision)
            for (issue, revision), time in made.items()
            if pd.Timestamp(time) <= pd.Timestamp(issue)
        }

    def counted(self) -> list[LiveForecast]:
        """The forecast of each issue that calibration learns from and scores are of.

        The last revision that was made before its first hour, so that a later one cannot flatter;
        the first one where all were made later, as in a backtest.
        """
        in_time = self.made_in_time()
        chosen: dict[pd.Timestamp, LiveForecast] = {}
        for forecast in self.issued():
            if forecast.revision == 1 or (forecast.issue_time, forecast.revision) in in_time:
                chosen[forecast.issue_time] = forecast
        return [chosen[issue] for issue in sorted(chosen)]


def _observation(cells: Sequence[str]) -> Observation:
    """The observation of a row of `observed.csv`."""
    if len(cells) != len(OBSERVED_COLUMNS):
        raise ValueError(f"it has {len(cells)} cells, expected {len(OBSERVED_COLUMNS)}")
    time, number, known_at, revision = cells
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"the value is {number}, expected a finite number")
    second = datetime.fromisoformat(moment(time)).timestamp()
    if not second.is_integer():
        raise ValueError(f"the time {time} is within a second")
    return Observation(int(second), value, moment(known_at), int(revision))


def latest_values(rows: Sequence[Observation]) -> Mapping[int, float]:
    """The value of every observed step after all revisions, by seconds since 1970."""
    return {row.second: row.value for row in rows}


def _order(forecast: LiveForecast) -> tuple[pd.Timestamp, int]:
    return forecast.issue_time, forecast.revision
