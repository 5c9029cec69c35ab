"""Everything that a search, a calibration or a benchmark would stop at, before one begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretocast.data import reading
from paretocast.data.checks import Finding
from paretocast.data.parsing import by_severity
from paretocast.data.periods import check_windows
from paretocast.data.spec import find_spec
from paretocast.data.task import TaskShape, plan_splits, task_features
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
    shape = TaskShape.of_step(dataset.series.steps_per_day)
    try:
        series, _, issues = plan_splits(dataset.series, dataset.dates, shape=shape, with_test=True)
        # What keeps features from being made shows in their names and first values.
        task_features(series.before(series.index[shape.input_steps]), shape)
    except DataError as error:
        return [Finding("error", "splits", str(error))]
    return check_windows(series.index, series.values, issues, horizon_steps=shape.horizon_steps)
