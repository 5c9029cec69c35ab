"""What a search prints and writes when it ends: tables, pages, the result for the next stage."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from paretocast.cli.console import duration, stderr_console
from paretocast.cli.search import assumptions, load_task, work
from paretocast.errors import ParetocastError

if TYPE_CHECKING:
    from paretocast.data.task import Task
    from paretocast.settings import TuneSettings
    from paretocast.study.study import StudyResult
    from paretocast.workspace.files import RunDirectory

TWO_STAGE = "two-stage"
COMPLETE = frozenset({"trials", "patience"})  # ends after which nothing is left to do
PAGES = ("pareto_front", "mae_history", "param_importance")


def take_part(settings: TuneSettings, run: RunDirectory, *, index: int) -> bool:
    """Work beside others; whether this worker has left the result of a first stage.

    The first worker that finds all trials ended concludes the study as `tune` does. Under a parent
    on this machine none does: the parent will.

    Raises
    ------
    ParetocastError
        If all trials are done and none is complete.
    """
    from paretocast.cluster.local_workers import has_parent
    from paretocast.workspace.claims import StudyLock

    task = load_task(settings)
    result = work(settings, run, task, index=index)
    left = False
    if result.ended_by in COMPLETE and not has_parent(os.environ):
        with StudyLock(run.lock):
            if not _is_concluded(run, settings):
                report(result, settings, run, task)
                left = settings.strategy == TWO_STAGE and first_stage_finished(result, run)
        _refuse_if_all_failed(result, run)
    stderr_console().print(f"ended by {result.ended_by} at {len(result.records)} trials")
    return left


def _is_concluded(run: RunDirectory, settings: TuneSettings) -> bool:
    """Whether pages and result are there and know the last training."""
    from paretocast.results.two_stage import is_stage_1_of
    from paretocast.workspace import files

    paths = [run.page(name) for name in PAGES]
    if settings.strategy == TWO_STAGE:
        paths.append(files.stage_1_result(run.workspace, run.model, run.dataset))
        if not is_stage_1_of(run):
            return False
    if not all(path.exists() for path in paths):
        return False
    records = run.trials_folder.rglob("record.json")
    latest = max((path.stat().st_mtime_ns for path in records), default=0)
    return all(path.stat().st_mtime_ns >= latest for path in paths)


def first_stage_finished(result: StudyResult, run: RunDirectory) -> bool:
    """Whether the study is complete; its result then lies where stage 2 looks for it."""
    from paretocast.results.two_stage import finish_stage_1

    if result.outcome is None or result.ended_by not in COMPLETE:
        stderr_console().print("stage 2 waits until stage 1 has finished", highlight=False)
        return False
    stderr_console().print(f"stage 1 in {finish_stage_1(run)}", highlight=False, soft_wrap=True)
    return True


def report(result: StudyResult, settings: TuneSettings, run: RunDirectory, task: Task) -> None:
    """Print what a search has found, write its pages, and say how it goes on.

    Raises
    ------
    ParetocastError
        If all trials are done and none is complete.
    """
    from paretocast.cli.tables import print_outcome
    from paretocast.workspace.progress import inspect_run

    console = stderr_console()
    if result.outcome is not None:
        print_outcome(result.outcome, unit=task.series.unit)
    names = save_pages(result, settings, run, task)
    console.print(f"\nresults in {run.folder}", highlight=False)
    if result.outcome is not None:
        console.print(f"  best parameters  {run.best_params.name}", highlight=False)
    console.print(f"  pages            {', '.join(names)}", highlight=False)
    n_finished = len(result.records)
    spent = duration(sum(record.fit_seconds for record in result.records))
    memory = max((record.peak_memory_mib for record in result.records), default=0.0)
    put_away = inspect_run(run).n_put_away
    begun = f", {put_away} begun and put away" if put_away else ""
    console.print(
        f"{n_finished} trials{begun}, {spent} of training, at most {memory:.0f} MiB of memory",
        highlight=False,
    )
    if result.ended_by == "patience":
        console.print(
            f"\nended by patience after {n_finished} of {settings.trials} trials: the last "
            f"{settings.patience} have not moved the front by {settings.patience_growth:g} %; "
            f"go on with a larger --patience:\n  {_resume_command(settings, run)}",
            highlight=False,
            soft_wrap=True,
        )
    elif result.ended_by != "trials":
        left = ", repeats near the front are left" if n_finished >= settings.trials else ""
        console.print(
            f"\nended by {result.ended_by} after {n_finished} of {settings.trials} trials{left}; "
            f"continue with\n  {_resume_command(settings, run)}",
            highlight=False,
            soft_wrap=True,
        )
    _refuse_if_all_failed(result, run)


def _refuse_if_all_failed(result: StudyResult, run: RunDirectory) -> None:
    if result.ended_by == "trials" and result.outcome is None:
        last = result.records[-1]
        raise ParetocastError(
            f"all {len(result.records)} trials failed; the last one: {last.reason} "
            f"(traceback in {run.record(last.number)})"
        )


def save_pages(
    result: StudyResult, settings: TuneSettings, run: RunDirectory, task: Task
) -> list[str]:
    """Write the pages of a study and name their files."""
    from paretocast.report import StudyReport, study_pages
    from paretocast.results.assessment import assess_trial
    from paretocast.workspace import files

    assessment = (
        assess_trial(run, result.outcome.selection.number, settings=settings, task=task)
        if result.outcome
        else ""
    )
    study = StudyReport(
        result,
        settings,
        unit=task.series.unit,
        dataset=run.dataset,
        job_id=run.job_id,
        notes=tuple(assumptions(task)),
        assessment=assessment,
        folder=str(run.folder),
    )
    pages = study_pages(study)
    for name, html in pages.items():
        files.save_text(run.page(name), html)
    return [run.page(name).name for name in pages]


def _resume_command(settings: TuneSettings, run: RunDirectory) -> str:
    words = ["paretocast", "tune", "--model", settings.model, "--dataset", settings.dataset]
    words += ["--job-id", run.job_id, "--resume"]
    if run.workspace != Path("hpo"):
        words += ["--workspace", str(run.workspace)]
    return shlex.join(words)
