"""Page of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.task import TaskShape, plan_blocks
from paretocast.errors import DataError
from paretocast.formatting import joined
from paretocast.report.figures import SplitSpan, series_figure
from paretocast.report.page import MISSING, document, fact_boxes, figure_box, warning
from paretocast.steps import hours_in, noun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.data import Dataset


def series_page(dataset: Dataset) -> str:
    """A figure of a data set, coloured by the splits of a day-ahead task."""
    series, index = dataset.series, dataset.series.index
    shape = TaskShape.of_step(series.steps_per_day)
    steps = f"{noun(series.steps_per_day)}s"
    ahead = f"{hours_in(shape.horizon_steps, series.steps_per_day)} hours"
    n_missing = int(np.isnan(series.values).sum())
    covariates = ", ".join(covariate.name for covariate in series.covariates)
    body = [
        fact_boxes(
            [
                (
                    steps.capitalize(),
                    str(len(series)),
                    f"{index[0]:%Y-%m-%d} to {index[-1]:%Y-%m-%d}, UTC",
                ),
                (
                    "Missing",
                    str(n_missing),
                    f"{100.0 * n_missing / len(series):.2f} % of the {steps}",
                ),
                ("Covariates", str(len(series.covariates)), covariates or MISSING),
            ]
        )
    ]
    try:
        spans = plan_spans(dataset)
    except DataError as error:
        spans = []
        body.append(warning(f"The series cannot be divided: {error}"))
    figure = series_figure(index, series.values, spans=spans, name=series.name, unit=series.unit)
    return document(
        f"{series.name}: series and splits",
        eyebrow=joined(series.name, series.unit, series.calendar.zone),
        heading="The series and its splits",
        lede=(
            "Train comes first and test last. Between them stop, tune and calibrate share the time "
            "in alternating blocks of whole weeks with a day between them, so that each sees every "
            "season. Hours that serve no split are pale."
        ),
        body=[*body, figure_box(figure)],
        footer=f"splits as for {ahead} ahead",
    )


def plan_spans(dataset: Dataset) -> Sequence[SplitSpan]:
    """The time span of each split, for a day-ahead task.

    Raises
    ------
    DataError
        If the validation period is too short for its blocks.
    """
    index, dates = dataset.series.index, dataset.dates
    shape = TaskShape.of_step(dataset.series.steps_per_day)
    step = shape.step
    return [
        SplitSpan("train", index[0], dates.train_to + step),
        *(
            SplitSpan(block.split, index[block.start], index[block.stop - 1] + step)
            for block in plan_blocks(index, dates, shape)
        ),
        SplitSpan("test", dates.validation_to + step, dates.test_to + step),
    ]
