"""The pages of a study, written beside its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretocast.data.pooled import PooledTask
from paretocast.workspace import files

if TYPE_CHECKING:
    from paretocast.data.task import Task
    from paretocast.results.assessment import Assessment
    from paretocast.settings import TuneSettings
    from paretocast.study.study import StudyResult
    from paretocast.workspace.runs import RunDirectory


def save_pages(
    result: StudyResult, settings: TuneSettings, run: RunDirectory, task: Task | PooledTask
) -> list[str]:
    """Write the pages of a study and return the names of their files."""
    from paretocast.report import StudyReport, study_pages

    report = StudyReport(
        result,
        settings,
        unit=unit_of(task),
        dataset=run.dataset,
        job_id=run.job_id,
        notes=task.assumptions,
        assessment=_assessment(result, settings, run, task),
        folder=str(run.folder),
    )
    pages = study_pages(report)
    for name, html in pages.items():
        files.save_text(run.page(name), html)
    return [run.page(name).name for name in pages]


def unit_of(task: Task | PooledTask) -> str:
    """Unit of the errors of a study."""
    return task.unit if isinstance(task, PooledTask) else task.series.unit


def _assessment(
    result: StudyResult, settings: TuneSettings, run: RunDirectory, task: Task | PooledTask
) -> Assessment | str:
    """The assessment of the chosen trial; of many series each study has its own."""
    if result.outcome is None:
        return ""
    if isinstance(task, PooledTask):
        return (
            f"Held-out hours are judged series by series: see {run.series_table.name}, and the "
            "pages of each series."
        )
    from paretocast.results.assessment import assess_trial

    return assess_trial(run, result.outcome.selection.number, settings=settings, task=task)
