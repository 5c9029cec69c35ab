"""The progress of a study: a live bar on a terminal, a line per trial elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from paretocast.cli.console import duration, significant, talk_console
from paretocast.selection import TrialState

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from paretocast.results import Outcome
    from paretocast.trial import TrialRecord


class StudyProgress:
    """Trial count, best MAE, its PICP and the time left."""

    def __init__(self, *, n_trials: int, n_done: int, time_limit_seconds: float | None) -> None:
        self._console = talk_console()
        self._n_trials = n_trials
        self._n_done = n_done
        self._limit = time_limit_seconds
        self._started = time.monotonic()
        self._n_here = 0
        self._live = self._console.is_terminal
        self._progress = Progress(
            TextColumn("[bold]trials"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"),
            TextColumn("{task.fields[now]}", style="dim"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            disable=not self._live,
        )
        self._bar = self._progress.add_task(
            "trials", total=n_trials, completed=n_done, best="", now="", left=""
        )

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
        """Count the trial and show the best so far."""
        self._n_done += 1
        self._n_here += 1
        best = _describe_best(outcome)
        self._progress.update(
            self._bar, completed=self._n_done, best=best, now="", left=self._time_left(0.0)
        )
        if not self._live:
            line = (
                f"trial {record.number} {_describe_trial(record)} | {self._n_done}/{self._n_trials}"
            )
            self._console.print(
                f"{line} | {best} | {self._time_left(0.0)}", highlight=False, markup=False
            )
        elif record.reason:
            self._console.print(
                f"trial {record.number} failed: {record.reason}", highlight=False, markup=False
            )

    def _time_left(self, share_of_running: float) -> str:
        done_here = self._n_here + share_of_running
        if done_here <= 0.0:
            return ""
        elapsed = time.monotonic() - self._started
        left = elapsed / done_here * max(0.0, self._n_trials - self._n_done - share_of_running)
        if self._limit is not None:
            left = min(left, self._limit - elapsed)
        return f"about {duration(max(0.0, left))} left" if left > 0.0 else ""


def _describe_best(outcome: Outcome | None) -> str:
    if outcome is None:
        return "no trial complete yet"
    complete = (record for record in outcome.records if record.state is TrialState.COMPLETE)
    best = min(complete, key=lambda record: record.scores["mae"])
    return f"best MAE {significant(best.scores['mae'])}, its PICP {best.scores['picp']:.1f} %"


def _describe_trial(record: TrialRecord) -> str:
    if not record.scores:
        return f"{record.state}: {record.reason}"
    pruned = f", pruned at step {record.steps}" if record.state is TrialState.PRUNED else ""
    return (
        f"MAE {significant(record.scores['mae'])}, PICP {record.scores['picp']:.1f} %, "
        f"{duration(record.fit_seconds)}{pruned}"
    )
