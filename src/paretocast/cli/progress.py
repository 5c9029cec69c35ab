"""Progress of a study or a benchmark: a live bar on a terminal, a line per training elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from paretocast.cli.console import stderr_console
from paretocast.formatting import duration, measured, percent
from paretocast.search.selection import TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from paretocast.study.outcome import Outcome
    from paretocast.study.worker_reports import WorkerReport
    from paretocast.training.trial import TrialRecord


WORKERS_SHOWN = 4


class LiveBar:
    """A bar on stderr while the context is open; it is drawn on a terminal only."""

    def __init__(
        self,
        *columns: ProgressColumn,
        total: float | None,
        texts: Sequence[str],
        completed: int = 0,
    ) -> None:
        self._console = stderr_console()
        self._live = self._console.is_terminal
        self._progress = Progress(*columns, console=self._console, disable=not self._live)
        fields: dict[str, Any] = dict.fromkeys(texts, "")  # of the columns
        self._bar = self._progress.add_task("", total=total, completed=completed, **fields)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last state of the bar on the terminal."""
        self._progress.stop()


def with_room(columns: Sequence[tuple[ProgressColumn, int]]) -> list[ProgressColumn]:
    """Return the columns whose least width of a terminal, beside them, this one has."""
    width = stderr_console().width
    return [column for column, least in columns if width >= least]


class StudyProgress(LiveBar):
    """Trial count, best MAE, its PICP and the time left, of one process or of several."""

    def __init__(self, *, n_trials: int, n_done: int, time_limit_seconds: float | None) -> None:
        columns: tuple[tuple[ProgressColumn, int], ...] = (
            (TextColumn("[bold]trials"), 0),
            (BarColumn(bar_width=24), 110),
            (MofNCompleteColumn(), 0),
            (TextColumn("{task.fields[best]}"), 80),
            (TextColumn("{task.fields[now]}", style="dim"), 140),
            (TimeElapsedColumn(), 0),
            (TextColumn("{task.fields[left]}"), 50),
        )
        super().__init__(
            *with_room(columns),
            total=n_trials,
            completed=n_done,
            texts=("best", "now", "left"),
        )
        self._n_trials = n_trials
        self._n_done = n_done
        self._limit = time_limit_seconds
        self._started = self._training_since = time.monotonic()
        self._n_here = 0
        self._workers_began = False

    def trial_started(self, number: int, config: dict[str, Any], *, resumed: bool) -> None:
        """Name the trial."""
        del config  # the line has no room for it
        verb = "continues" if resumed else "starts"
        self._progress.update(self._bar, now=f"trial {number} {verb}")
        if resumed:
            self._console.print(f"trial {number} continues from its checkpoint")

    def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
        """Show the step and refresh the estimate."""
        share = step / total_steps
        self._progress.update(
            self._bar,
            completed=self._n_done + min(share, 0.99),
            now=f"step {step}/{total_steps}, stop loss {stop_loss:.3f}",
            left=self._time_left(share),
        )

    def trial_ended(self, record: TrialRecord, outcome: Outcome | None) -> None:
        """Count the trial and show the best so far; a repeat is shown and not counted."""
        if record.seed_index == 0:
            self._n_done += 1
            self._n_here += 1
        best = _describe_best(outcome)
        self._progress.update(
            self._bar, completed=self._n_done, best=best, now="", left=self._time_left(0.0)
        )
        if not self._live:
            trained = f"trial {record.number}{_which_training(record)} {_describe_trial(record)}"
            parts = [trained, f"{self._n_done}/{self._n_trials}", best, self._time_left(0.0)]
            self.say(" | ".join(part for part in parts if part))
        elif record.reason:
            self.say(f"trial {record.number} failed: {record.reason}")

    def show_workers(self, reports: Sequence[WorkerReport]) -> None:
        """Show the trial of each worker; between two calls all may have moved."""
        busy = [report for report in reports if report.trial is not None]
        parts = [
            f"{report.index}: trial {report.trial} {percent(report.share)}"
            for report in busy[:WORKERS_SHOWN]
        ]
        if busy and not self._workers_began:  # what they took to load says nothing about the rest
            self._workers_began, self._training_since = True, time.monotonic()
        if len(busy) > WORKERS_SHOWN:
            parts.append(f"{len(busy) - WORKERS_SHOWN} more")
        share = sum(report.share for report in busy)
        self._progress.update(
            self._bar,
            completed=min(self._n_done + share, self._n_trials - 0.01)
            if self._n_done < self._n_trials
            else self._n_done,
            now=", ".join(parts) if busy else "workers get ready" if self._n_here == 0 else "",
            left=self._time_left(share),
        )

    def say(self, line: str) -> None:
        """A line above the bar, or in the log."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _time_left(self, share_of_running: float) -> str:
        done_here = self._n_here + share_of_running
        if done_here <= 0.0:
            return ""
        now = time.monotonic()
        per_trial = (now - self._training_since) / done_here
        left = per_trial * max(0.0, self._n_trials - self._n_done - share_of_running)
        if self._limit is not None:
            left = min(left, self._limit - (now - self._started))
        return f"about {duration(max(0.0, left))} left" if left > 0.0 else ""


class BenchmarkProgress(LiveBar):
    """One bar over the gradient steps of all trainings; a line for each elsewhere."""

    def __init__(self) -> None:
        columns: tuple[tuple[ProgressColumn, int], ...] = (
            (TextColumn("[bold]benchmark"), 0),
            (BarColumn(bar_width=24), 100),
            (TextColumn("{task.percentage:3.0f} %"), 0),
            (TextColumn("{task.fields[now]}", style="dim"), 60),
            (TimeElapsedColumn(), 0),
        )
        super().__init__(
            *with_room(columns),
            total=None,
            texts=("now",),
        )
        self._done = 0
        self._here = 0
        self._last_step = 0

    def planned(self, n_steps: int) -> None:
        """Know how much there is to do."""
        self._progress.update(self._bar, total=n_steps)

    def began(self, what: str) -> None:
        """Name what is trained."""
        self._here = self._last_step = 0
        self._progress.update(self._bar, now=what)
        if not self._live:
            self._console.print(what, highlight=False)

    def advanced(self, step: int) -> None:
        """Move the bar; a later training of the same config counts from 0 again."""
        if step < self._last_step:
            self._here += self._last_step
        self._last_step = step
        self._progress.update(self._bar, completed=self._done + self._here + step)

    def ended(self, what: str, *, n_steps: int, kept: bool) -> None:
        """Count a training."""
        self._done += n_steps
        self._progress.update(self._bar, completed=self._done, now="")
        if kept:
            self._console.print(f"{what}: its forecasts were kept", highlight=False)


def _describe_best(outcome: Outcome | None) -> str:
    if outcome is None:
        return "no trial complete yet"
    complete = (record for record in outcome.records if record.state is TrialState.COMPLETE)
    best = min(complete, key=lambda record: record.scores["mae"])
    return f"best MAE {measured(best.scores['mae'])}, PICP {best.scores['picp']:.1f} %"


def _which_training(record: TrialRecord) -> str:
    return f" again, seed {record.seed_index + 1}:" if record.seed_index > 0 else ""


def _describe_trial(record: TrialRecord) -> str:
    if not record.scores:
        return f"{record.state}: {record.reason}"
    pruned = f", pruned at step {record.steps}" if record.state is TrialState.PRUNED else ""
    parts = f", memory ran out: {record.micro_batch} windows at once" if record.micro_batch else ""
    return (
        f"MAE {measured(record.scores['mae'])}, PICP {record.scores['picp']:.1f} %, "
        f"{duration(record.fit_seconds)}{pruned}{parts}"
    )
