"""Words and progress of a long call: as a bar for scripts and notebooks; `cli` has its own."""

from __future__ import annotations

import importlib.util
import warnings
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from tqdm import TqdmWarning, tqdm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from paretocast.data.pooled import PooledTask
    from paretocast.data.task import Task
    from paretocast.results.two_stage import SecondStage
    from paretocast.settings import TuneSettings
    from paretocast.study.outcome import Outcome
    from paretocast.study.parallel import WorkersObserver
    from paretocast.study.series_studies import SeriesResult
    from paretocast.study.study import StudyResult
    from paretocast.study.worker_reports import WorkerReport
    from paretocast.training.trial import TrialRecord
    from paretocast.workspace.runs import RunDirectory


class Display(Protocol):
    """Receiver of everything that `conduct` has to say while it works."""

    def note(self, text: str, *, kind: str = "note") -> None:
        """Take a sentence; its kind is "note", "warning" or "" for plain news."""

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Show what takes some seconds while the `with` block lasts."""

    def begin(self, settings: TuneSettings, run: RunDirectory, task: Task | PooledTask) -> None:
        """Take the task before the first trial."""

    def progress(
        self, *, n_trials: int, n_done: int, time_limit_seconds: float | None
    ) -> AbstractContextManager[WorkersObserver]:
        """Return the observer of the trials, shown while its `with` block lasts."""

    def end(
        self,
        result: StudyResult,
        settings: TuneSettings,
        run: RunDirectory,
        *,
        unit: str,
        pages: Sequence[str],
    ) -> None:
        """Take what a study has found and the names of its pages."""

    def series(self, found: Sequence[SeriesResult]) -> None:
        """Take what a search over many series has found for each of them."""

    def levels(self, second: SecondStage) -> None:
        """Take the levels that a second stage has found."""


class BarDisplay:
    """A progress bar, in a notebook as in a terminal; warnings go to Python's `warnings`.

    Parameters
    ----------
    visible : bool
        Whether there is a bar at all.
    """

    def __init__(self, *, visible: bool = True) -> None:
        self._visible = visible

    def note(self, text: str, *, kind: str = "note") -> None:
        """Raise a Python warning for a warning; leave the rest unsaid."""
        if kind == "warning":
            warnings.warn(text, UserWarning, stacklevel=4)

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Show nothing: the bar comes soon."""
        del text
        return nullcontext()

    def begin(self, settings: TuneSettings, run: RunDirectory, task: Task | PooledTask) -> None:
        """Leave the heading unsaid: the bar names the study."""

    @contextmanager
    def progress(
        self, *, n_trials: int, n_done: int, time_limit_seconds: float | None
    ) -> Iterator[WorkersObserver]:
        """Return a bar over the trials of a study."""
        del time_limit_seconds
        bar_class = _bar_class()
        with bar_class(
            total=n_trials, initial=n_done, desc="trials", unit="trial", disable=not self._visible
        ) as bar:
            yield TrialBar(bar, n_done)

    def end(
        self,
        result: StudyResult,
        settings: TuneSettings,
        run: RunDirectory,
        *,
        unit: str,
        pages: Sequence[str],
    ) -> None:
        """Leave the result unsaid: the call returns it."""

    def series(self, found: Sequence[SeriesResult]) -> None:
        """Leave the series unsaid: their studies are on disk."""

    def levels(self, second: SecondStage) -> None:
        """Leave the levels unsaid: the call returns them."""


class TrialBar:
    """An observer that moves a bar, one unit a trial, and shows the best MAE beside it."""

    def __init__(self, bar: tqdm[Any], n_done: int) -> None:
        self._bar = bar
        self._n_ended = float(n_done)

    def trial_started(self, number: int, config: dict[str, Any], *, resumed: bool) -> None:
        """Leave the bar where it is."""

    def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
        """Move the bar by the share of the trial that is trained."""
        del stop_loss
        self._move_to(self._n_ended + 0.99 * step / total_steps)

    def trial_ended(self, record: TrialRecord, outcome: Outcome | None) -> None:
        """Count the trial and show the lowest MAE so far; a repeat is not counted."""
        if record.seed_index == 0:
            self._n_ended += 1.0
        self._move_to(self._n_ended)
        if outcome is not None:
            best = min(outcome.records, key=lambda trial: trial.scores.get("mae", float("inf")))
            self._bar.set_postfix_str(f"best MAE {best.scores['mae']:.4g}")

    def show_workers(self, reports: Sequence[WorkerReport]) -> None:
        """Move the bar by what all workers have trained."""
        self._move_to(self._n_ended + 0.99 * sum(report.share for report in reports))

    def say(self, line: str) -> None:
        """Write a line beside the bar."""
        self._bar.write(line)

    def _move_to(self, n_trials: float) -> None:
        self._bar.n = round(min(n_trials, self._bar.total or n_trials), 2)
        self._bar.refresh()


class TrainingBar:
    """An observer of a benchmark that moves a bar over the gradient steps of all trainings."""

    def __init__(self, *, visible: bool) -> None:
        self._bar = _bar_class()(desc="benchmark", unit="step", disable=not visible)
        self._n_before = self._n_of_config = self._last_step = 0

    def planned(self, n_steps: int) -> None:
        """Take the number of steps of all trainings."""
        self._bar.total = n_steps

    def began(self, what: str) -> None:
        """Name the training."""
        self._n_of_config = self._last_step = 0
        self._bar.set_postfix_str(what)

    def advanced(self, step: int) -> None:
        """Move the bar; a later training of the same config counts from 0 again."""
        if step < self._last_step:
            self._n_of_config += self._last_step
        self._last_step = step
        self._move_to(self._n_before + self._n_of_config + step)

    def ended(self, what: str, *, n_steps: int, kept: bool) -> None:
        """Count the training."""
        del what, kept
        self._n_before += n_steps
        self._move_to(self._n_before)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def _move_to(self, n_steps: int) -> None:
        self._bar.n = n_steps
        self._bar.refresh()


def _bar_class() -> type[tqdm[Any]]:
    """Return the bar with widgets in a notebook that has them, the one in text elsewhere."""
    if importlib.util.find_spec("ipywidgets") is None:
        return tqdm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)
        from tqdm.auto import tqdm as automatic
    return automatic
