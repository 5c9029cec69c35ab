"""A search over many series that share a network, around the search itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from paretocast.api.pages import save_pages
from paretocast.data.collection import split_reference
from paretocast.errors import SettingsError
from paretocast.study.series_studies import refuse_other_studies, write_series_studies
from paretocast.training.pooling import PooledSetup
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.api.display import Display
    from paretocast.settings import TuneSettings
    from paretocast.study.series_studies import SeriesResult
    from paretocast.study.study import StudyResult
    from paretocast.workspace.runs import RunDirectory


def check_place(settings: TuneSettings, run: RunDirectory) -> None:
    """Refuse to search where a search over many series must not.

    Raises
    ------
    SettingsError
        If the study is that of one of the series, which only a search over all continues.
    StoreError
        If a series has a study of its own under the same id.
    """
    file, series = split_reference(settings.dataset)
    if series is not None:
        raise SettingsError(
            f"{run.study_name} was left by a search over the series {', '.join(settings.pool)} "
            f"together; continue that one with --dataset {file} --series "
            f"{','.join(settings.pool)} --pool --job-id {run.job_id} --resume"
        )
    refuse_other_studies(run, settings)


def conclude_series(
    result: StudyResult, settings: TuneSettings, run: RunDirectory, display: Display
) -> tuple[SeriesResult, ...]:
    """Write the studies and pages of the series that share a network, and a table of them.

    None where the user waits for the search to stop, or no trial is complete.
    """
    if not isinstance(result.setup, PooledSetup):
        return ()
    if result.outcome is None or result.ended_by == "request":
        return ()
    chosen = result.outcome.selection.number
    with display.waiting("judging the trials for each series"):
        found = write_series_studies(result.setup, settings, run, chosen=chosen)
        for series in found:
            save_pages(series.result, series.settings, series.run, series.setup.base_task)
    files.save_text(run.series_table, _series_table(found).to_csv(index=False, float_format="%.6g"))
    return found


def _series_table(found: Sequence[SeriesResult]) -> pd.DataFrame:
    """A row for each series."""
    return pd.DataFrame(
        [
            {
                "series": series.run.dataset,
                "pinball": series.loss,
                "to_ridge": series.to_ridge,
                "picp": None if series.interval is None else series.interval.picp,
                "picp_low": None if series.interval is None else series.interval.low,
                "picp_high": None if series.interval is None else series.interval.high,
                "recommended": series.recommended,
                "recommended_to_ridge": series.recommended_to_ridge,
            }
            for series in found
        ]
    )
