"""A search from its settings to its result, for notebooks, the command line and workers alike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretocast.data.spec import find_spec
from paretocast.errors import ParetocastError, SettingsError, StoreError
from paretocast.formatting import count
from paretocast.settings import TuneSettings, continue_settings, load_settings
from paretocast.study.interruption import StopRequest
from paretocast.workspace import files
from paretocast.workspace.claims import StudyLock
from paretocast.workspace.runs import (
    RunDirectory,
    claim_run,
    newest_job_id,
    stage_1_result,
    stated_job_id,
)
from paretocast.workspace.stored import load_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoDataFrame

    from paretocast.api.display import Display
    from paretocast.api.study import Study
    from paretocast.data import Dataset
    from paretocast.data.pooled import PooledTask
    from paretocast.data.task import Task
    from paretocast.study.study import StudyResult

COMPLETE = frozenset({"trials", "patience"})  # ends after which nothing is left to do
PAGES = ("study",)


def tune(
    dataset: str | Path | Dataset | IntoDataFrame = "demo",
    model: str | None = None,
    *,
    trials: int | None = None,
    time_limit: float | None = None,
    settings: str | Path | TuneSettings | None = None,
    workspace: str | Path = "hpo",
    study_id: str | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    covariates: Sequence[str] | Mapping[str, Any] | None = None,
    frame: Mapping[str, Any] | None = None,
    progress: bool = True,
    **changes: Any,  # noqa: ANN401  (validated as settings)
) -> Study:
    """Search the hyperparameters of a model for accuracy and coverage at once.

    Parameters
    ----------
    dataset : str, Path, Dataset or data frame
        Name of a data set, path of its TOML file, a `Dataset`, or a pandas or polars frame that
        `frame` describes. The rows of a frame are written into the workspace, so that the study can
        be continued from anywhere.
    model : str, optional
        "NHITS_Q" (the default), "TFT_Q", "TIMESNET_Q", "RIDGE", "LIGHTGBM" or a registered one;
        several joined by commas, or "all", share the study.
    trials : int, optional
        Total trials of the study, those of earlier calls included; 20 without it.
    time_limit : float, optional
        Seconds after which the search stops; a trial under way can be continued.
    settings : path or TuneSettings, optional
        A settings file or settings; everything given beside them goes first.
    workspace : path
        Where results are kept.
    study_id : str, optional
        Id of the study; an existing one is continued.
    resume : bool
        Continue the newest study of the model and data set, or the one of `study_id`.
    data_dir : path, optional
        Folder of the data files.
    covariates : sequence of str or mapping, optional
        Covariates to use; of a frame, a mapping of column to role.
    frame : mapping, optional
        Other arguments of `Dataset.from_frame`, such as ``{"target": "MW", "time": "hour"}``.
    progress : bool
        Whether there is a progress bar.
    **changes
        Other settings as a settings file names them, such as ``seed=2``,
        ``training={"steps": 600}`` or ``pool=["north", "south"]``, series of the data set's file
        that one network is trained on.

    Returns
    -------
    Study
        With front, chosen trial, forecasts and figures. Its files are those that ``paretocast
        tune`` leaves.

    Raises
    ------
    SettingsError
        If a setting or the name of a data set is wrong.
    DataError
        With every error that was found in the data.
    ParetocastError
        If all trials failed, or none was complete when the search ended.

    Examples
    --------
    >>> import paretocast
    >>> study = paretocast.tune("demo", trials=8, seed=1)  # doctest: +SKIP
    >>> study.front, study.best_params  # doctest: +SKIP
    """
    from paretocast.api.display import BarDisplay
    from paretocast.api.study import Study
    from paretocast.results.stored_study import StoredStudy

    place = Path(workspace)
    if not isinstance(dataset, str | Path):
        dataset = _write_frame(dataset, covariates, frame or {}, place)
        covariates = None
    elif frame is not None or isinstance(covariates, Mapping):
        raise SettingsError("frame and a mapping of covariates are for a data frame only")
    options: dict[str, Any] = {
        "model": model,
        "dataset": str(dataset),
        "trials": trials,
        "time_limit_seconds": time_limit,
        "data_dir": None if data_dir is None else str(data_dir),
        "covariates": None if covariates is None else tuple(covariates),
        **changes,
    }
    file = None
    if isinstance(settings, TuneSettings):
        stated = settings.model_dump(mode="json", exclude_unset=True)
        options = {**stated, **{name: v for name, v in options.items() if v is not None}}
    elif settings is not None:
        file = Path(settings)
    run, settled = open_run(options, file, workspace=place, study_id=study_id, resume=resume)
    result = conduct(settled, run, display=BarDisplay(visible=progress), stage="all")
    if result is None or result.outcome is None:
        raise ParetocastError(
            f"no trial of {run.study_name} is complete yet; go on with "
            f"tune(…, study_id={run.job_id!r})"
        )
    return Study(StoredStudy.open(run), data_dir=None if data_dir is None else Path(data_dir))


def open_run(
    options: Mapping[str, Any],
    file: Path | None = None,
    *,
    workspace: Path,
    study_id: str | None = None,
    resume: bool = False,
    stage: str = "all",
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
    stage : {"all", "1", "2"}
        As `conduct` is to be given it. The second stage alone begins no study: nothing is made on
        disk, and without an id that of the run is empty.

    Raises
    ------
    SettingsError
        If a setting is not allowed.
    StoreError
        If there is nothing to resume.
    """
    settings = load_settings(file, options)
    name = _name_of(settings, resume=resume)
    if resume and study_id is None:
        study_id = newest_job_id(workspace, settings.model, name)
    stated = stated_job_id(study_id, os.environ)
    if stated is None:
        _check_stage(settings, stage)
    if stated is None and _only_levels(settings, stage):
        return RunDirectory(workspace, settings.model, name, ""), settings
    if stated is None:
        return claim_run(workspace, settings.model, name, now=datetime.now(UTC)), settings
    run = RunDirectory(workspace, settings.model, name, stated)
    if files.exists(run.manifest):
        stored = load_manifest(run)["settings"]
        settings = continue_settings(stored, file, options, origin=str(run.manifest))
        _check_stage(settings, stage)
        return run, settings
    if resume:
        raise StoreError(
            f"study {run.study_name} does not exist in {run.folder}, nothing to resume"
        )
    _check_stage(settings, stage)
    return run, settings


def _name_of(settings: TuneSettings, *, resume: bool) -> str:
    """Name of the data set, or of all series of a file, as results are called after it.

    A study that is continued knows its series by itself.
    """
    from paretocast.data.pooled import collection_name, holds_many

    if settings.pool or (resume and holds_many(settings.dataset)):
        return collection_name(settings.dataset)
    return find_spec(settings.dataset).name


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
    result, known = None, None
    goes_on = settings.two_stage
    if not _only_levels(settings, stage):
        try:
            task = load_task(settings, run, display)
            result = search(settings, run, task, display=display)
        except BaseException:  # nothing may have been written into the claimed folder
            files.remove_empty(run.trials_folder, run.folder, run.folder.parent, run.workspace)
            raise
        conclude(result, settings, run, task, display=display)
        goes_on = goes_on and _finish_first_stage(result, run, display)
        known = (result, task)
    if goes_on and stage != "1":
        _find_levels(settings, run, display, levels, known=known)
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
    task = load_task(settings, run, display)
    with StopRequest(lambda text: display.note(text, kind="")) as stop:
        from paretocast.study import parallel

        result = parallel.work(settings, run, task, index=index, should_stop=stop)
    goes_on = False
    if result.ended_by in COMPLETE and not parallel.has_parent(os.environ):
        with StudyLock(run.lock):
            if not _is_concluded(run, settings):
                conclude(result, settings, run, task, display=display)
                goes_on = settings.two_stage and _finish_first_stage(result, run, display)
        _refuse_if_all_failed(result, run)
    display.note(f"ended by {result.ended_by} at {count(len(result.records), 'trial')}", kind="")
    if goes_on and stage != "1":
        _find_levels(settings, run, display, levels, known=(result, task))


def load_task(settings: TuneSettings, run: RunDirectory, display: Display) -> Task | PooledTask:
    """Load the data set and plan the task, with warnings and assumptions on the display.

    A study that exists keeps its periods, however many hours have come since. Of many series that
    share a network there is a task for each.

    Raises
    ------
    ParetocastError
        If the data cannot be used, or the study is one that a search over many series has left.
    """
    from paretocast.api.pooled import check_place
    from paretocast.data.pooled import PooledTask

    remembered = None
    if files.exists(run.manifest):
        remembered = load_manifest(run)["comparable"]["task"]
    task: Task | PooledTask
    if settings.pool:
        check_place(settings, run)
        tasks = {
            name: _load_series(settings.of_series(name), remembered, display, lead=f"{name}: ")
            for name in settings.pool
        }
        task = PooledTask(run.dataset, tasks)
    else:
        task = _load_series(settings, remembered, display)
    for sentence in (*task.notes, *task.assumptions):
        display.note(sentence)
    return task


def _load_series(
    settings: TuneSettings,
    remembered: Mapping[str, Any] | None,
    display: Display,
    *,
    lead: str = "",
) -> Task:
    from paretocast.data.task import Task, load_data

    dataset = load_data(settings, remembered)
    for finding in dataset.findings:
        if finding.severity == "warning":
            display.note(f"{lead}{finding}", kind="warning")
    return Task.from_settings(settings, dataset=dataset)


def search(
    settings: TuneSettings, run: RunDirectory, task: Task | PooledTask, *, display: Display
) -> StudyResult:
    """Run the trials of a study, alone or with `settings.workers` processes."""
    display.begin(settings, run, task)
    with StopRequest(lambda text: display.note(text, kind="")) as stop:
        with display.waiting("loading the model library, fitting the ridge that models correct"):
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
    result: StudyResult,
    settings: TuneSettings,
    run: RunDirectory,
    task: Task | PooledTask,
    *,
    display: Display,
) -> None:
    """Write the page of a study and show what it has found.

    Of a search over many series each has a study of its own, which comes first.

    Raises
    ------
    ParetocastError
        If all trials are done and none is complete.
    """
    from paretocast.api.pages import save_pages, unit_of
    from paretocast.api.pooled import conclude_series
    from paretocast.report.site import update_site

    series = conclude_series(result, settings, run, display) if settings.pool else ()
    pages = save_pages(result, settings, run, task)
    update_site(run.workspace)
    for note in result.notes:
        display.note(note)
    display.end(result, settings, run, unit=unit_of(task), pages=pages)
    if series:
        display.series(series)
    _refuse_if_all_failed(result, run)


def _write_frame(
    data: Dataset | IntoDataFrame,
    covariates: Sequence[str] | Mapping[str, Any] | None,
    described: Mapping[str, Any],
    workspace: Path,
) -> Path:
    """Write a data set or a frame into the workspace and return its TOML file."""
    from paretocast.api.frames import save_dataset
    from paretocast.data import Dataset

    if not isinstance(data, Dataset):
        if "target" not in described:
            raise SettingsError('a data frame needs frame={"target": COLUMN, …}')
        if covariates is not None and not isinstance(covariates, Mapping):
            raise SettingsError("covariates of a frame are a mapping of column to role")
        data = Dataset.from_frame(data, covariates=covariates, **described)
    return save_dataset(data, workspace)


def _check_stage(settings: TuneSettings, stage: str) -> None:
    """Refuse one stage of a study that has no stages.

    Raises
    ------
    SettingsError
        If so.
    """
    if stage != "all" and not settings.two_stage:
        raise SettingsError(
            f"--stage {stage} belongs to the two-stage strategy, and this study has one stage; "
            "add --strategy two-stage, or leave --stage out"
        )


def _only_levels(settings: TuneSettings, stage: str) -> bool:
    """Return whether the second stage alone is asked for, which trains nothing."""
    return settings.two_stage and stage == "2"


def _finish_first_stage(result: StudyResult, run: RunDirectory, display: Display) -> bool:
    """Leave a complete study where stage 2 looks for it; return False if it is not complete."""
    from paretocast.results.two_stage import finish_stage_1

    if result.outcome is None or result.ended_by not in COMPLETE:
        display.note("stage 2 waits until stage 1 has finished", kind="")
        return False
    display.note(f"stage 1 in {finish_stage_1(run)}", kind="")
    return True


def _find_levels(
    settings: TuneSettings,
    run: RunDirectory,
    display: Display,
    arguments: Mapping[str, Any],
    *,
    known: tuple[StudyResult, Task | PooledTask] | None,
) -> None:
    """Run stage 2, show its levels, and draw the page of the study again with them.

    Parameters
    ----------
    known : tuple of StudyResult and Task, optional
        The study of stage 1 where this process has it; else it is opened.
    """
    from paretocast.api.pages import save_pages
    from paretocast.report.site import update_site
    from paretocast.results.repair import rebuild_result
    from paretocast.results.stored_study import StoredStudy
    from paretocast.results.two_stage import find_levels

    place = (run.workspace, run.model, run.dataset)
    second = find_levels(*place, source=settings.dataset, **arguments)
    display.levels(second)
    if known is None:
        opened = rebuild_result(StoredStudy(second.run), data_dir=arguments.get("data_dir"))
        save_pages(opened.study, opened.settings, second.run, opened.task)
    else:
        save_pages(known[0], settings, run, known[1])
    update_site(run.workspace)


def _is_concluded(run: RunDirectory, settings: TuneSettings) -> bool:
    """Return whether pages and result are there and know the last training."""
    from paretocast.results.two_stage import is_stage_1_of

    paths = [run.page(name) for name in PAGES]
    if settings.two_stage:
        paths.append(stage_1_result(run.workspace, run.model, run.dataset))
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
            f"no trial was completed, {count(len(result.records), 'trial')} failed; the last one: "
            f"{last.reason} (traceback in {run.record(last.number)})"
        )
