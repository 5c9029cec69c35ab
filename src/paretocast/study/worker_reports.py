"""Reports of workers on their progress, one small file each."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from paretocast.errors import StoreError
from paretocast.workspace import files
from paretocast.workspace.stored import WorkerFile, load

if TYPE_CHECKING:
    from paretocast.study.outcome import Outcome
    from paretocast.training.trial import TrialRecord
    from paretocast.workspace.runs import RunDirectory

SECONDS_BETWEEN_REPORTS = 0.5


@dataclass(frozen=True)
class WorkerReport:
    """The training that a worker is at.

    Attributes
    ----------
    trial : int or None
        Number of its trial; None between trials.
    updated : float
        Time of the report, seconds since 1970.
    """

    index: int
    pid: int
    trial: int | None = None
    step: int = 0
    total_steps: int = 0
    stop_loss: float | None = None
    updated: float = 0.0

    @property
    def share(self) -> float:
        """Share of its trial that is done, 0 to 1, as if it were trained to the end."""
        return self.step / self.total_steps if self.total_steps else 0.0


class Reporter:
    """An observer that keeps a worker's report up to date."""

    def __init__(self, run: RunDirectory, *, index: int, pid: int) -> None:
        self._path = run.worker_report(index)
        self._report = WorkerReport(index=index, pid=pid)
        self._written = 0.0

    def trial_started(self, number: int, config: dict[str, Any], *, resumed: bool) -> None:
        """Report the trial."""
        del config, resumed
        self._report = WorkerReport(self._report.index, self._report.pid, trial=number)
        self._write()

    def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
        """Report the step, not more than twice a second."""
        self._report = replace(
            self._report, step=step, total_steps=total_steps, stop_loss=stop_loss
        )
        if time.monotonic() - self._written >= SECONDS_BETWEEN_REPORTS:
            self._write()

    def trial_ended(self, record: TrialRecord, outcome: Outcome | None) -> None:
        """Report that no trial is under way; the trial's record says the rest."""
        del record, outcome
        self.leave()

    def leave(self) -> None:
        """Report that no trial is under way."""
        self._report = WorkerReport(self._report.index, self._report.pid)
        self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        with contextlib.suppress(StoreError):  # a report is not worth a trial
            files.save_json(
                self._path, asdict(replace(self._report, updated=time.time())), durable=False
            )


def load_report(run: RunDirectory, index: int) -> WorkerReport | None:
    """The last report of a worker; None before its first."""
    path = run.worker_report(index)
    if not path.exists():
        return None
    try:
        return WorkerReport(**load(path, WorkerFile))
    except StoreError:  # of another version, or being replaced
        return None
