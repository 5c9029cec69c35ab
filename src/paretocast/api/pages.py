"""The page of a study, written beside its files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from paretocast.data.pooled import PooledTask
from paretocast.formatting import sentence

if TYPE_CHECKING:
    from paretocast.data.task import Task
    from paretocast.report.contents import StudyReport
    from paretocast.results.two_stage import SecondStage
    from paretocast.settings import TuneSettings
    from paretocast.study.outcome import Outcome
    from paretocast.study.study import StudyResult
    from paretocast.workspace.runs import RunDirectory


def save_pages(
    result: StudyResult, settings: TuneSettings, run: RunDirectory, task: Task | PooledTask
) -> list[str]:
    """Write the page of a study and return the names of the pages' files.

    The index of the workspace is for the caller, once all pages are there: `site.update_site`.
    """
    from paretocast.report import StudyReport, study_page
    from paretocast.report.site import save_page
    from paretocast.results.stored_study import StoredStudy

    report = StudyReport(
        result,
        settings,
        unit=unit_of(task),
        dataset=run.dataset,
        job_id=run.job_id,
        notes=task.assumptions,
        trainings=tuple(StoredStudy(run).records.values()),
        folder=str(run.folder),
        second_stage=_second_stage(run, settings, unit_of(task)),
    )
    if result.outcome is not None:
        report = _with_outcome(report, result.outcome, run, task)
    path = run.page("study")
    save_page(path, study_page(report), workspace=run.workspace)
    return [path.name]


def unit_of(task: Task | PooledTask) -> str:
    """Unit of the errors of a study."""
    return task.unit if isinstance(task, PooledTask) else task.series.unit


def _second_stage(run: RunDirectory, settings: TuneSettings, unit: str) -> SecondStage | str:
    from paretocast.errors import StoreError
    from paretocast.results.two_stage import SecondStage

    if not settings.two_stage:
        return ""
    try:
        second = SecondStage.of_study(run, unit=unit)
    except StoreError as error:
        return sentence(str(error))
    return second or "Stage 2, which finds the levels of the interval, has not run yet."


def _with_outcome(
    report: StudyReport, outcome: Outcome, run: RunDirectory, task: Task | PooledTask
) -> StudyReport:
    """The report with what a chosen trial tells; of many series each study has its own."""
    from paretocast.results.assessment import assess_trial
    from paretocast.results.review import review_study
    from paretocast.results.slices import parameter_slices
    from paretocast.search.space import space_of

    settings, config = report.settings, outcome.chosen.config
    space = space_of(settings.search_space(), config)
    slices = parameter_slices(report.records, config, space=space, model=settings.model)
    report = replace(report, space=space, slices=slices)
    if isinstance(task, PooledTask):
        elsewhere = (
            f"Held-out hours are judged series by series: see {run.series_table.name}, and the "
            "pages of each series."
        )
        return replace(report, assessment=elsewhere)
    number = outcome.selection.number
    return replace(
        report,
        assessment=assess_trial(run, number, settings=settings, task=task),
        review=review_study(run, outcome, settings=settings, task=task),
    )
