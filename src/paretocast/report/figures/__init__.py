"""Data to Plotly figure, all in one style. No files are read or written here.

`front`, `search`, `trials`, `tradeoffs` and `importance` draw a study, `review` the forecasts of
its chosen trial, `benchmark` the scores of methods and the space that trials covered, `demand`
series and forecasts, `calibration` coverage and reliability, `evidence` what a monitor has seen;
`style` is what they share. MAE is in target units, PICP in percent, its distance to the target in
points. Names and reasons that users write are escaped, so that they read as text wherever Plotly
would see markup; numbers have four significant digits.
"""

from __future__ import annotations

from paretocast.report.figures.benchmark import explored_figure, scores_figure
from paretocast.report.figures.calibration import breakdown_figure, pit_figure, reliability_figure
from paretocast.report.figures.demand import SplitSpan, forecast_figure, series_figure
from paretocast.report.figures.embedding import EmbeddedFigure, embedded
from paretocast.report.figures.evidence import evidence_figure
from paretocast.report.figures.front import pareto_figure
from paretocast.report.figures.importance import MIN_TRIALS_FOR_IMPORTANCE, importance_figure
from paretocast.report.figures.review import (
    agreement_figure,
    coverage_grid_figure,
    day_figure,
    error_figure,
)
from paretocast.report.figures.search import history_figure
from paretocast.report.figures.style import Figure, figure_html, plotly_javascript
from paretocast.report.figures.tradeoffs import tradeoff_figure
from paretocast.report.figures.trials import (
    Curve,
    parallel_figure,
    slices_figure,
    timeline_figure,
    training_figure,
)

__all__ = [
    "MIN_TRIALS_FOR_IMPORTANCE",
    "Curve",
    "EmbeddedFigure",
    "Figure",
    "SplitSpan",
    "agreement_figure",
    "breakdown_figure",
    "coverage_grid_figure",
    "day_figure",
    "embedded",
    "error_figure",
    "evidence_figure",
    "explored_figure",
    "figure_html",
    "forecast_figure",
    "history_figure",
    "importance_figure",
    "parallel_figure",
    "pareto_figure",
    "pit_figure",
    "plotly_javascript",
    "reliability_figure",
    "scores_figure",
    "series_figure",
    "slices_figure",
    "timeline_figure",
    "tradeoff_figure",
    "training_figure",
]
