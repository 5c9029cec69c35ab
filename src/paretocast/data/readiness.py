"""Everything that a search, a calibration or a benchmark would stop at, before one begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretocast.data import reading
from paretocast.data.checks import Finding
from paretocast.data.parsing import by_severity
from paretocast.data.periods import check_windows
from paretocast.data.spec import find_spec
from paretocast.data.task import plan_task
from paretocast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from paretocast.data.reading import Dataset
    from paretocast.data.spec import DatasetSpec


def check_dataset(
    name_or_path: str | Path,
    *,
    data_dir: str | Path | None = None,
    covariates: Sequence[str] | None = None,
) -> tuple[Finding, ...]:
    """Every finding on a data set and on its splits, errors first.

    Arguments and refusals as of `reading.load_dataset`. The splits are those of a forecast of the
    usual shape.
    """
    return check_declared(find_spec(name_or_path), data_dir=data_dir, covariates=covariates)


def check_declared(
    spec: DatasetSpec,
    *,
    data_dir: str | Path | None = None,
    covariates: Sequence[str] | None = None,
) -> tuple[Finding, ...]:
    """Every finding on a declared set, as of `check_dataset`."""
    findings, dataset = reading.examine_declared(spec, data_dir=data_dir, covariates=covariates)
    if dataset is None:
        return findings
    return by_severity([*findings, *_check_splits(dataset)])


def _check_splits(dataset: Dataset) -> list[Finding]:
    try:
        task = plan_task(dataset.series, dataset.dates, with_test=True)
    except DataError as error:
        return [Finding("error", "splits", str(error))]
    return check_windows(
        task.series.index, task.series.values, task.issues, horizon_steps=task.shape.horizon_steps
    )
