"""Named data sets as rows, and a data set as facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.checks import at
from paretocast.data.reading import DEMO_NAME, Dataset, data_folder
from paretocast.data.series import Series, step_of
from paretocast.data.spec import find_spec, named_datasets
from paretocast.steps import STEPS_PER_DAY, frequency_of, noun, steps_of

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

SEASONS = {"winter": (12, 1, 2), "spring": (3, 4, 5), "summer": (6, 7, 8), "autumn": (9, 10, 11)}
PERIODS = ("train", "validation", "test")


@dataclass(frozen=True)
class DatasetRow:
    """A named set in a list.

    Attributes
    ----------
    use_from, train_to, validation_to, test_to : str
        As ISO dates; empty where the file or the shares of the split decide.
    present : bool
        The file is there; always so for a generated series.
    """

    name: str
    target: str
    unit: str
    use_from: str
    train_to: str
    validation_to: str
    test_to: str
    file: str
    present: bool


@dataclass(frozen=True)
class Fact:
    """One number or date that describes a data set.

    Attributes
    ----------
    unit : str
        Empty for a text and for a unitless number.
    """

    group: str
    name: str
    value: str | int | float
    unit: str = ""


def list_datasets(data_dir: Path | None = None) -> tuple[DatasetRow, ...]:
    """The named sets and whether their files are there."""
    folder = data_folder(data_dir)
    rows = []
    for name in named_datasets():
        spec = find_spec(name)
        splits = spec.splits
        rows.append(
            DatasetRow(
                name=name,
                target=spec.target,
                unit=spec.unit,
                use_from=_day(spec.use_from),
                train_to=_day(splits.train_to),
                validation_to=_day(splits.validation_to),
                test_to=_day(splits.test_to or spec.use_to),
                file="generated" if name == DEMO_NAME else str(spec.path),
                present=name == DEMO_NAME
                or (folder is not None and (folder / spec.path).is_file()),
            )
        )
    return tuple(rows)


def describe_dataset(dataset: Dataset) -> tuple[Fact, ...]:
    """Range, target, seasons, autocorrelation, periods and covariates of a data set as facts."""
    series = dataset.series
    target, index, unit = series.values, series.index, series.unit
    hourly = series.steps_per_day == STEPS_PER_DAY
    count = f"{noun(series.steps_per_day)}s"
    month = index.tz_convert(series.calendar.zone).month.to_numpy()
    facts = [
        Fact("range", "first hour", at(index[0])),
        Fact("range", "last hour", at(index[-1])),
        Fact("range", count, len(index)),
        *(() if hourly else (Fact("range", "step", frequency_of(series.steps_per_day)),)),
        Fact("range", "time zone", series.calendar.zone),
        Fact("target", "name", dataset.spec.target),
        *([Fact("target", "available after", series.delay_hours, "h")] * (series.delay_hours > 0)),
        Fact("target", "missing", _percent_missing(target), "%"),
        *(Fact("target", name, value, unit) for name, value in _moments(target).items()),
    ]
    for season, months in SEASONS.items():
        in_season = target[np.isin(month, months)]
        if not np.isnan(in_season).all():
            moments = _moments(in_season)
            facts += [Fact(season, name, moments[name], unit) for name in ("mean", "sd")]
    for hours in (24, 168):
        name, steps = f"{hours} h", steps_of(hours, series.steps_per_day)
        facts.append(Fact("autocorrelation", name, _correlation(target[steps:], target[:-steps])))
    return (*facts, *_describe_periods(dataset), *_describe_covariates(series))


def _describe_periods(dataset: Dataset) -> list[Fact]:
    step = step_of(dataset.series.index)
    count = f"{noun(dataset.series.steps_per_day)}s"
    dates = dataset.dates
    ends = (dates.train_to, dates.validation_to, dates.test_to)
    starts = (dataset.series.index[0], ends[0] + step, ends[1] + step)
    facts = []
    for period, start, end in zip(PERIODS, starts, ends, strict=True):
        facts += [
            Fact(period, "first hour", at(start)),
            Fact(period, "last hour", at(end)),
            Fact(period, count, int((end - start) / step) + 1),
        ]
    return facts


def _describe_covariates(series: Series) -> list[Fact]:
    facts = []
    if series.runs is not None:
        facts += [
            Fact("weather runs", "covariates", ", ".join(series.runs.names)),
            Fact("weather runs", "runs", series.runs.n_runs),
            Fact("weather runs", "last issue", at(series.runs.issued[-1])),
        ]
    for covariate in series.covariates:
        group = f"covariate {covariate.name}"
        observed = ~np.isnan(covariate.values)
        facts += [
            Fact(group, "role", str(covariate.role)),
            Fact(group, "missing", _percent_missing(covariate.values), "%"),
            Fact(group, "last hour", at(series.index[np.flatnonzero(observed)[-1]])),
            Fact(group, "mean", float(covariate.values[observed].mean()), covariate.unit),
            Fact(group, "correlation", _correlation(covariate.values, series.values)),
        ]
    return facts


def _moments(values: NDArray[np.float64]) -> dict[str, float]:
    observed = values[~np.isnan(values)]
    return {
        "mean": float(observed.mean()),
        "sd": float(observed.std()),
        "min": float(observed.min()),
        "max": float(observed.max()),
    }


def _percent_missing(values: NDArray[np.float64]) -> float:
    return float(100.0 * np.isnan(values).mean())


def _correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Pearson's correlation over the hours where both are observed; NaN if either is constant."""
    both = ~np.isnan(left) & ~np.isnan(right)
    a, b = left[both], right[both]
    if len(a) < 2 or a.std() == 0.0 or b.std() == 0.0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _day(stamp: pd.Timestamp | None) -> str:
    return "" if stamp is None else f"{stamp:%Y-%m-%d}"
