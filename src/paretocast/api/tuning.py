"""A search from its settings to its result, for notebooks, the command line and workers alike."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretocast.cluster.local_workers import has_parent
from paretocast.data.spec import find_spec
from paretocast.errors import ParetocastError, StoreError
from paretocast.settings import TWO_STAGE, continue_settings, load_settings
from paretocast.study.interruption import StopRequest
from paretocast.workspace import files
from paretocast.workspace.claims import StudyLock
from paretocast.workspace.files import RunDirectory, newest_job_id, resolve_job_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paretocast.api.display import Display
    from paretocast.data.task import Task
    from paretocast.settings import TuneSettings
    from paretocast.study.study import StudyResult

COMPLETE = frozenset({"trials", "patience"})  # ends after which nothing is left to do
PAGES = ("pareto_front", "mae_history", "param_importance")


def open_run(
    options: Mapping[str, Any],
    file: Path | None = None,
    *,
    workspace: Path,
    study_id: str | None = None,
    resume: bool = False,
) -> tuple[RunDirectory, TuneSettings]:
    """Find the folder and the settings of a new study, or of the one to continue.

    Parameters
    ----------
    options : mapping
        Settings as a TOML file would hold them, nested tables as mappings; they go before those of
        `file`. None means "not given".
    study_id : str, optional
        Id of the study; with `resume` the newest one of the model and data set without it,
        otherwise a fresh one, taken from Slurm's job if there is one.
    resume : bool
        Refuse to begin a new study.

    Raises
    ------
    SettingsError
        If a setting is not allowed.
    StoreError
        If there is nothing to resume.
    """
    settings = load_settings(file, options)
    name = find_spec(settings.dataset).name
    if resume and study_id is None:
        study_id = newest_job_id(workspace, settings.model, name)
    resolved = resolve_job_id(study_id, os.environ, datetime.now(UTC))
    run = RunDirectory(workspace, settings.model, name, resolved)
    if run.manifest.exists():
        stored = files.load_json(run.manifest)["settings"]
        return run, continue_settings(stored, file, options)
    if resume:
        raise StoreError(
            f"study {run.study_name} does not exist in {run.folder}, nothing to resume"
        )
    return run, settings


def conduct(
    settings: TuneSettings,
    run: RunDirectory,
    *,
    display: Display,
    stage: str = "all",
    **levels: Any,  # noqa: ANN401  (passed through to `find_levels`)
) -> StudyResult | None:
    """Run a study, write its pages, and go on with the second stage where there is one.

    Parameters
    ----------
    stage : {"all", "1", "2"}
        Part of the two-stage strategy.
    **levels
        Arguments of `find_levels`.

    Returns
    -------
    StudyResult or None
        None if only the second stage was run.

    Raises
    ------
    ParetocastError
        If all trials failed, or as the steps on the way say.
    """
    result = None
    goes_on = settings.strategy == TWO_STAGE
    if not (goes_on and stage == "2"):
        task = load_task(settings, display)
        result = search(settings, run, task, display=display)
        conclude(result, settings, run, task, display=display)
        goes_on = goes_on and _finish_first_stage(result, run, display)
    if goes_on and stage != "1":
        _show_levels(settings, run, display, levels)
    return result


def work(
    settings: TuneSettings,
    run: RunDirectory,
    *,
    index: int,
    display: Display,
    stage: str = "all",
    **levels: Any,  # noqa: ANN401  (passed through to `find_levels`)
) -> None:
    """Take part in a study that several processes share, as number `index` among them.

    The first worker that finds all trials ended concludes the study as `conduct` does. Under a
    parent on this machine none does: the parent will.

    Raises
    ------
    ParetocastError
        If all trials are done and none is complete.
    """
    task = load_task(settings, display)
    with StopRequest(lambda text: display.note(text, kind="")) as stop:
        from paretocast.study import parallel

        result = parallel.work(settings, run, task, index=index, should_stop=stop)
    goes_on = False
    if result.ended_by in COMPLETE and not has_parent(os.environ):
        with StudyLock(run.lock):
            if not _is_concluded(run, settings):
                conclude(result, settings, run, task, display=display)
                goes_on = settings.strategy == TWO_STAGE and _finish_first_stage(
                    result, run, display
                )
        _refuse_if_all_failed(result, run)
    display.note(f"ended by {result.ended_by} at {len(result.records)} trials", kind="")
    if goes_on and stage != "1":
        _show_levels(settings, run, display, levels)


def load_task(settings: TuneSettings, display: Display) -> Task:
    """Load the data set and plan the task, with warnings and assumptions on the display."""
    from paretocast.data import load_dataset
    from paretocast.data.task import Task

    dataset = load_dataset(
        settings.dataset,
        data_dir=None if settings.data_dir is None else Path(settings.data_dir),
        covariates=settings.covariates,
    )
    for finding in dataset.findings:
        if finding.severity == "warning":
            display.note(str(finding), kind="warning")
    task = Task.from_settings(settings, dataset=dataset)
    for assumption in task.assumptions:
        display.note(assumption)
    return task


def search(
    settings: TuneSettings, run: RunDirectory, task: Task, *, display: Display
) -> StudyResult:
    """Run the trials of a study, alone or with `settings.workers` processes."""
    display.begin(settings, run, task)
    with StopRequest(lambda text: display.note(text, kind="")) as stop:
        with display.waiting("loading the model library"):
            from paretocast.study import parallel

            study = parallel.open_study(settings, run, task, shared=settings.workers > 1)
        for note in study.notes:
            display.note(note)
        with display.progress(
            n_trials=settings.trials,
            n_done=len(study.records),
            time_limit_seconds=settings.time_limit_seconds,
        ) as observer:
            return parallel.optimise(study, settings, run, observer=observer, should_stop=stop)


def conclude(
    result: StudyResult, settings: TuneSettings, run: RunDirectory, task: Task, *, display: Display
) -> None:
    """Write the pages of a study and show what it has found.

    Raises
    ------
    ParetocastError
        If all trials are done and none is complete.
    """
    pages = save_pages(result, settings, run, task)
    display.end(result, settings, run, unit=task.series.unit, pages=pages)
    _refuse_if_all_failed(result, run)


def save_pages(
    result: StudyResult, settings: TuneSettings, run: RunDirectory, task: Task
) -> list[str]:
    """Write the pages of a study and return the names of their files."""
    from paretocast.report import study_pages
    from paretocast.results.assessment import assess_trial

    assessment = (
        assess_trial(run, result.outcome.selection.number, settings=settings, task=task)
        if result.outcome
        else ""
    )
    pages = study_pages(
        result,
        settings=settings,
        unit=task.series.unit,
        dataset=run.dataset,
        job_id=run.job_id,
        notes=task.assumptions,
        honesty=assessment,
        folder=str(run.folder),
    )
    for name, html in pages.items():
        files.save_text(run.page(name), html)
    return [run.page(name).name for name in pages]


def _finish_first_stage(result: StudyResult, run: RunDirectory, display: Display) -> bool:
    """Leave a complete study where stage 2 looks for it; return False if it is not complete."""
    from paretocast.results.two_stage import finish_stage_1

    if result.outcome is None or result.ended_by not in COMPLETE:
        display.note("stage 2 waits until stage 1 has finished", kind="")
        return False
    display.note(f"stage 1 in {finish_stage_1(run)}", kind="")
    return True


def _show_levels(
    settings: TuneSettings, run: RunDirectory, display: Display, arguments: Mapping[str, Any]
) -> None:
    from paretocast.results.two_stage import find_levels

    place = (run.workspace, run.model, run.dataset)
    display.levels(find_levels(*place, source=settings.dataset, **arguments))


def _is_concluded(run: RunDirectory, settings: TuneSettings) -> bool:
    """Return whether pages and result are there and know the last training."""
    from paretocast.results.two_stage import is_stage_1_of

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


def _refuse_if_all_failed(result: StudyResult, run: RunDirectory) -> None:
    if result.ended_by == "trials" and result.outcome is None:
        last = result.records[-1]
        raise ParetocastError(
            f"all {len(result.records)} trials failed; the last one: {last.reason} "
            f"(traceback in {run.record(last.number)})"
        )
