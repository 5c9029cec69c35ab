"""Words, bars and tables of a search on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from paretocast.cli.console import stderr_console
from paretocast.formatting import count, duration
from paretocast.redaction import redacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from paretocast.data.pooled import PooledTask
    from paretocast.data.task import Task
    from paretocast.results.two_stage import SecondStage
    from paretocast.settings import TuneSettings
    from paretocast.study.parallel import WorkersObserver
    from paretocast.study.series_studies import SeriesResult
    from paretocast.study.study import StudyResult
    from paretocast.workspace.runs import RunDirectory


ENDED = {"request": "stopped by you", "time limit": "stopped at the time limit"}


def print_note(text: str, *, kind: str = "note") -> None:
    """Print a sentence on stderr, led by its kind in yellow."""
    lead = f"[yellow]{kind}[/yellow] " if kind else ""
    stderr_console().print(
        f"{lead}{escape(redacted(text))}", highlight=False, markup=True, soft_wrap=not kind
    )


def print_step(text: str) -> None:
    """Print on stderr what a command begins to do."""
    print_note(text, kind="now")


def print_notes(texts: Iterable[str]) -> None:
    """Print several notes on stderr."""
    for text in texts:
        print_note(text)


class ConsoleDisplay:
    """The display of a search on a terminal, or in a log where there is none."""

    def note(self, text: str, *, kind: str = "note") -> None:
        """Print a sentence."""
        print_note(text, kind=kind)

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Show a spinner on a terminal."""
        return stderr_console().status(text)

    def begin(self, settings: TuneSettings, run: RunDirectory, task: Task | PooledTask) -> None:
        """Print the heading of the search."""
        together = f", {len(settings.pool)} series together" if settings.pool else ""
        stderr_console().print(
            f"[bold]{settings.model}[/bold] on [bold]{run.dataset}[/bold]{together}, study "
            f"{run.job_id}: "
            f"{len(task.issues['train'])} training windows, "
            f"scored on {len(task.issues['tune'])} daily forecasts",
            highlight=False,
            markup=True,
        )

    def progress(
        self, *, n_trials: int, n_done: int, time_limit_seconds: float | None
    ) -> AbstractContextManager[WorkersObserver]:
        """Return the live bar, or lines per trial where stderr is no terminal."""
        from paretocast.cli.progress import StudyProgress

        return StudyProgress(
            n_trials=n_trials, n_done=n_done, time_limit_seconds=time_limit_seconds
        )

    def end(
        self,
        result: StudyResult,
        settings: TuneSettings,
        run: RunDirectory,
        *,
        unit: str,
        pages: Sequence[str],
    ) -> None:
        """Print front, choice and files, and how the search goes on."""
        from paretocast.cli.outcome import print_choice, print_default_gain, print_outcome
        from paretocast.cluster.commands import resume_command
        from paretocast.steps import noun
        from paretocast.workspace.progress import inspect_run

        console = stderr_console()
        if result.outcome is not None:
            step = noun(settings.task.steps_per_day)
            print_outcome(result.outcome, unit=unit, step=step)
            print_default_gain(result.outcome, settings.default_of(result.outcome.chosen.config))
            if result.choice is not None:
                print_choice(result.choice)
        console.print(f"\nresults in {run.folder}", highlight=False, soft_wrap=True)
        if result.outcome is not None:
            console.print(
                f"  best parameters  {run.best_params.name}", highlight=False, soft_wrap=True
            )
        console.print(f"  pages            {', '.join(pages)}", highlight=False, soft_wrap=True)
        console.print(
            f"all results in {run.workspace / 'index.html'}", highlight=False, soft_wrap=True
        )
        n_finished = len(result.records)
        spent = duration(sum(record.fit_seconds for record in result.records))
        memory = max((record.peak_memory_mib for record in result.records), default=0.0)
        n_paused = inspect_run(run).n_put_away
        paused = f", {n_paused} paused" if n_paused else ""
        console.print(
            f"{count(n_finished, 'trial')}{paused}, {spent} of training"
            + (f", at most {memory:.0f} MiB of memory" if memory else ""),
            highlight=False,
        )
        if result.ended_by == "patience":
            console.print(
                f"\nended by patience after {n_finished} of {settings.trials} trials: the last "
                f"{settings.patience} have not moved the front by {settings.patience_growth:g} %; "
                f"go on with a larger --patience:\n  {resume_command(run, settings.dataset)}",
                highlight=False,
                soft_wrap=True,
            )
        elif result.ended_by != "trials":
            left = ", repeats near the front are left" if n_finished >= settings.trials else ""
            console.print(
                f"\n{ENDED[result.ended_by]} after {n_finished} of {settings.trials} "
                f"trials{left}; continue with\n  {resume_command(run, settings.dataset)}",
                highlight=False,
                soft_wrap=True,
            )

    def series(self, found: Sequence[SeriesResult]) -> None:
        """Print what the search has found for each series."""
        from paretocast.cli.pooled import print_pooled

        print_pooled(found)

    def levels(self, second: SecondStage) -> None:
        """Print the levels that the second stage has found."""
        from paretocast.cli.outcome import print_levels

        print_levels(second)
