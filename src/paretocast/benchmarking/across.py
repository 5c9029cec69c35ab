"""Benchmarks of many series side by side, and the forecast of their total."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.calibration.total import sum_of_quantiles, total_forecast
from paretocast.errors import DataError
from paretocast.metrics.score_table import score_forecast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.benchmarking.comparison import Comparison, Row
    from paretocast.benchmarking.run import BenchmarkResult
    from paretocast.metrics.forecast import Forecast

REFERENCE = "ridge"
TOTAL, SUMMED = "total from joint errors", "sums of quantiles"


@dataclass(frozen=True)
class SeriesRow:
    """The chosen method of one series on its test split.

    Attributes
    ----------
    scores : dict of str to float
        `score_table.score_forecast`.
    against : float or None
        Mean pinball loss over that of the reference, under its own calibrator; None without one.
    gap_low, gap_high : float or None
        95 % paired interval of the difference of both losses, target units.
    """

    series: str
    unit: str
    method: str
    scores: dict[str, float]
    picp_low: float
    picp_high: float
    against: float | None
    gap_low: float | None
    gap_high: float | None

    def as_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        return dict(vars(self))


@dataclass(frozen=True)
class TotalRow:
    """Scores of a forecast of the sum of all series."""

    method: str
    n_windows: int
    scores: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        return dict(vars(self))


@dataclass(frozen=True)
class AcrossSeries:
    """Benchmarks of many series.

    Attributes
    ----------
    rows : tuple of SeriesRow
        In the order in which they were asked for.
    total : tuple of TotalRow
        The total from joint errors, and what added quantiles would do. Empty where series have
        different units or too few windows in common; `note` says so.
    """

    rows: tuple[SeriesRow, ...]
    total: tuple[TotalRow, ...]
    note: str

    def ratios(self) -> list[float]:
        """Losses of the series over those of the reference, where there is one."""
        return [row.against for row in self.rows if row.against is not None]

    def summary(self) -> str:
        """Median and worst of the ratios in words; empty without a reference."""
        ratios = self.ratios()
        if not ratios:
            return ""
        worst = max(
            (row for row in self.rows if row.against is not None), key=lambda row: row.against or 0
        )
        return (
            f"pinball loss against {REFERENCE}: median {np.median(ratios):.3f}, worst "
            f"{max(ratios):.3f} ({worst.series}), over {len(ratios)} series"
        )

    def as_json(self) -> dict[str, Any]:
        """Rows, total and summary as JSON values."""
        return {
            "rows": [row.as_json() for row in self.rows],
            "total": [row.as_json() for row in self.total],
            "summary": self.summary(),
            "note": self.note,
        }


def across_series(results: Sequence[BenchmarkResult]) -> AcrossSeries:
    """The chosen rows of benchmarks, and the total of the series where they can be added up."""
    rows = tuple(_row(result) for result in results)
    total, note = _total(results)
    return AcrossSeries(rows, total, note)


def _row(result: BenchmarkResult) -> SeriesRow:
    comparison, series = result.comparison, result.plan.task.series
    chosen = comparison.rows[comparison.chosen]
    reference = _reference(comparison, chosen)
    gap = None if reference is None else comparison.against(chosen, reference, "pinball")
    return SeriesRow(
        series=series.name,
        unit=series.unit,
        method=chosen.entry.label,
        scores=chosen.scores,
        picp_low=chosen.picp_low,
        picp_high=chosen.picp_high,
        against=None
        if reference is None
        else _share(chosen.scores["pinball"], reference.scores["pinball"]),
        gap_low=None if gap is None else gap.low,
        gap_high=None if gap is None else gap.high,
    )


def _reference(comparison: Comparison, chosen: Row) -> Row | None:
    same = [row for row in comparison.rows if row.entry.method == REFERENCE]
    alike = [row for row in same if row.entry.wanted == chosen.entry.wanted]
    return next(iter([*alike, *same]), None)


def _share(value: float, of: float) -> float | None:
    return value / of if of > 0.0 else None


def _total(results: Sequence[BenchmarkResult]) -> tuple[tuple[TotalRow, ...], str]:
    """Scores of the total of the chosen forecasts, or why there are none."""
    units = {result.plan.task.series.unit for result in results}
    if len(results) < 2:
        return (), ""
    if len(units) > 1:
        return (), f"no total: the series have different units, {', '.join(sorted(units))}"
    chosen = [r.comparison.rows[r.comparison.chosen].entry.forecasts[0] for r in results]
    try:
        total = total_forecast(chosen)
        summed = sum_of_quantiles(chosen, total.issues)
    except DataError as error:
        return (), f"no total: {error}"
    coverage = results[0].comparison.coverage
    pair: tuple[tuple[str, Forecast], ...] = ((TOTAL, total), (SUMMED, summed))
    return tuple(
        TotalRow(name, forecast.n_windows, _scores(forecast, coverage)) for name, forecast in pair
    ), ""


def _scores(forecast: Forecast, coverage: float) -> dict[str, float]:
    return score_forecast(
        forecast.observed, forecast.quantiles, levels=forecast.levels, coverage=coverage
    )
