"""Page of a benchmark: scores of tuned models and baselines, and pictures of their forecasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.formatting import count, joined, same_decimals, unit_name
from paretocast.metrics.diagnostics import diagnose, windows_by_error
from paretocast.report.figures import (
    forecast_figure,
    reliability_figure,
    scores_figure,
)
from paretocast.report.page import (
    MISSING,
    bullets,
    document,
    fact_boxes,
    figure_box,
    folded,
    for_screens,
    number,
    section,
    table,
    warning,
)
from paretocast.report.trials import with_unit
from paretocast.results.groups import task_groupings
from paretocast.steps import hours_in, noun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.benchmarking import (
        BenchmarkResult,
        Comparison,
        RelearningRow,
        Row,
        WeatherErrorRow,
    )
    from paretocast.data.task import Task
    from paretocast.metrics.forecast import Forecast
    from paretocast.report.figures import Figure

DAY_SHARES = (0.1, 0.5, 0.9, 1.0)  # of the days from the easiest to the hardest


def benchmark_page(
    benchmark: BenchmarkResult, *, verdicts: Sequence[str], notes: Sequence[str]
) -> str:
    """A benchmark as one page.

    Parameters
    ----------
    verdicts : sequence of str
        What the chosen method gains, a sentence each.
    notes : sequence of str
        Assumptions under which the scores hold.
    """
    plan, comparison, task = benchmark.plan, benchmark.comparison, benchmark.plan.task
    unit, dataset = task.series.unit, task.series.name
    shown = comparison.rows[comparison.chosen]
    body = [
        _facts(benchmark, shown),
        *(warning(note) for note in (*notes, *benchmark.notes)),
        bullets("Conclusions", verdicts) if verdicts else "",
        figure_box(
            scores_figure(
                comparison.rows,
                chosen=comparison.chosen,
                target_coverage=plan.coverage,
                unit=unit,
                dataset=dataset,
            ),
            element_id="scores",
        ),
        _score_table(comparison, unit),
        _differences(comparison, unit),
        _relearning(benchmark.relearning, unit),
        _weather_error(benchmark.weather_error, plan.weather_error, unit),
        figure_box(_days_figure(task, shown), element_id="days"),
        for_screens(
            figure_box(_reliability(task, shown, target=plan.coverage), element_id="reliability")
        ),
        _provenance(comparison),
    ]
    first, last = task.issue_times("test")[[0, -1]]
    return document(
        f"{dataset}: benchmark",
        eyebrow=f"{dataset} · test split · {first:%Y-%m-%d} to {last:%Y-%m-%d}",
        heading="Tuned models on the test split",
        lede=(
            "Forecasts of hours that were not used for training, selection or calibration, each "
            f"issued {hours_in(task.shape.horizon_steps, task.shape.steps_per_day)} hours ahead "
            "with what was known by then."
        ),
        body=body,
        footer=f"target coverage {plan.coverage:g} %; scores in {unit_name(unit)}",
    )


def _facts(benchmark: BenchmarkResult, shown: Row) -> str:
    task, plan = benchmark.plan.task, benchmark.plan
    unit = task.series.unit
    best = benchmark.comparison.best_reference("mae", shown.entry.wanted)
    facts = [
        ("Method", shown.entry.method, f"{shown.entry.parameters}, {shown.entry.calibrator}"),
        ("MAE", number(shown.scores["mae"]), unit),
        (
            f"Coverage of the {plan.coverage:g} % interval",
            f"{shown.scores['picp']:.1f} %",
            f"{shown.picp_low:.1f} to {shown.picp_high:.1f} with 95 % confidence",
        ),
        (
            "Issues",
            str(len(task.issues["test"])),
            f"{shown.scores['n']:.0f} observed {noun(task.shape.steps_per_day)}s",
        ),
    ]
    if best is not None:
        detail = joined(best.entry.method, unit, by=", ")
        facts.insert(2, ("Lowest MAE of a reference", number(best.scores["mae"]), detail))
    return fact_boxes(facts)


def _score_table(comparison: Comparison, unit: str) -> str:
    shown = comparison.rows
    seeds = [number(row.spread.get("mae"), digits=2) for row in shown]
    several = any(text != MISSING for text in seeds)
    header = (
        "method",
        "calibrator",
        with_unit("MAE", unit),
        *(("± seeds",) if several else ()),
        "RMSE",
        "MASE",
        "pinball",
        "CRPS",
        "PICP (%)",
        "95 % interval",
        "width",
        "Winkler",
    )
    columns = (
        [_method(row) for row in shown],
        [row.entry.calibrator for row in shown],
        _score_column(shown, "mae"),
        *((seeds,) if several else ()),
        *(_score_column(shown, name) for name in ("rmse", "mase", "pinball", "crps")),
        [f"{row.scores['picp']:.1f}" for row in shown],
        [f"{row.picp_low:.1f} to {row.picp_high:.1f}" for row in shown],
        *(_score_column(shown, name) for name in ("mean_width", "winkler")),
    )
    rows = [*zip(*columns, strict=True)]
    return section("Scores") + table(
        header, rows, marked=frozenset({comparison.chosen}), caption="Scores on the test split"
    )


def _method(row: Row) -> str:
    parameters = row.entry.parameters
    return row.entry.method if parameters == "none" else f"{row.entry.method} {parameters}"


def _score_column(rows: Sequence[Row | RelearningRow | WeatherErrorRow], score: str) -> list[str]:
    """A score of every row, with decimals that they share."""
    return same_decimals([row.scores[score] for row in rows])


def _differences(comparison: Comparison, unit: str) -> str:
    if not comparison.differences:
        return ""
    rows = [
        (
            gap.method,
            gap.other,
            gap.score,
            number(gap.mean, digits=3),
            f"{number(gap.low, digits=3)} to {number(gap.high, digits=3)}",
            gap.p_text,
            gap.verdict,
        )
        for gap in comparison.differences
    ]
    header = ("method", "against", "score", with_unit("difference", unit), "95 % interval", "p", "")
    text = section(
        "Is the difference more than chance?",
        "Differences of the mean loss by issue, below 0 where the method is better. Intervals are "
        "paired and from resampled blocks of days; p is of a two-sided Diebold-Mariano test whose "
        "variance allows for a week of correlated days. Many comparisons stand here: a few are "
        "expected to look significant by chance.",
    )
    return text + folded(
        count(len(rows), "difference"),
        table(header, rows, caption="Differences between methods on the test split"),
    )


def _weather_error(rows: Sequence[WeatherErrorRow], error: float | None, unit: str) -> str:
    if not rows:
        return ""
    header = ("method", with_unit("MAE", unit), "against measured", "pinball", "against measured")
    shown = (_score_column(rows, score) for score in ("mae", "pinball"))
    cells = [
        (row.method, mae, row.change_text("mae"), pinball, row.change_text("pinball"))
        for row, mae, pinball in zip(rows, *shown, strict=True)
    ]
    text = section(
        "What an error of the weather costs",
        "The scores above take measured temperatures for their own forecast. Here those of every "
        f"horizon are in error by a standard deviation of {error:g} of their unit, from hour to "
        "hour much alike; calibrators were fitted without it. The intervals are 95 % ones over "
        "blocks of days.",
    )
    return text + table(header, cells, caption="What an error of the weather costs")


def _relearning(rows: Sequence[RelearningRow], unit: str) -> str:
    if not rows:
        return ""
    first = rows[0].every
    header = (
        "method",
        "every",
        with_unit("MAE", unit),
        f"against {first}",
        "pinball",
        f"against {first}",
        "seconds",
    )
    shown = (_score_column(rows, score) for score in ("mae", "pinball"))
    cells = [
        (
            row.method,
            row.every,
            mae,
            row.change_text("mae"),
            pinball,
            row.change_text("pinball"),
            f"{row.seconds:.0f}",
        )
        for row, mae, pinball in zip(rows, *shown, strict=True)
    ]
    text = section(
        "What learning again is worth",
        "A model that learns again starts from its last weights and takes few steps on all hours "
        "up to that day. Changes are below 0 where it helps, with 95 % intervals, paired and from "
        "resampled blocks of days; seconds are those of all learning after the first.",
    )
    return text + table(header, cells, caption="What learning again is worth")


def _days_figure(task: Task, row: Row) -> Figure:
    forecast = row.entry.forecasts[0]
    days = example_days(forecast)
    issue_times = task.issue_times("test")[list(days)]
    return forecast_figure(
        issue_times.tz_convert(task.series.calendar.zone),
        forecast.quantiles[list(days)],
        observed=forecast.observed[list(days)],
        levels=np.array(task.shape.levels),
        titles=[
            f"{t:%Y-%m-%d}, {name} day" for t, name in zip(issue_times, days.values(), strict=True)
        ],
        unit=task.series.unit,
        model=row.entry.label,
        dataset=task.series.name,
        step=task.shape.step,
    )


def example_days(forecast: Forecast) -> dict[int, str]:
    """A few windows from easy to the hardest, by the mean absolute error of their median.

    Windows with a missing observation are left out.

    Returns
    -------
    dict of int to str
        Position of the window among the test issues, and how hard it is, such as "a usual".
    """
    order, _ = windows_by_error(forecast)
    if not order.size:
        return {}
    picked = dict.fromkeys(int(order[round(share * (order.size - 1))]) for share in DAY_SHARES)
    return dict(zip(picked, ("an easy", "a usual", "a hard", "the hardest"), strict=False))


def _reliability(task: Task, row: Row, *, target: float) -> Figure:
    forecast = row.entry.forecasts[0]
    groupings = task_groupings(task, "test", forecast)[:1]
    diagnosis = diagnose(forecast, groupings, target=target)
    return reliability_figure(
        diagnosis.reliability,
        n_observed=diagnosis.overall.n,
        model=row.entry.label,
        dataset=task.series.name,
    )


def _provenance(comparison: Comparison) -> str:
    items = [f"{row.entry.label}: {row.entry.source}" for row in comparison.rows]
    return bullets("Where parameters and calibrators come from", items)
