"""Data to Plotly figure, all in one style. No files are read or written here.

`search`, `tradeoffs` and `importance` draw a study, `benchmark` the scores of methods and the space
that trials covered, `demand` series and forecasts, `calibration` coverage and reliability,
`evidence` what a monitor has seen; `style` is what they share.
PICP is in percent and keeps its sign: it is drawn as measured, never as the distance to the target.
MAE is in target units. Names and reasons that users write are escaped, so that they read as text
wherever Plotly would see markup.
"""

from __future__ import annotations

from paretocast.report.figures.benchmark import explored_figure, scores_figure
from paretocast.report.figures.calibration import breakdown_figure, pit_figure, reliability_figure
from paretocast.report.figures.demand import SplitSpan, forecast_figure, series_figure
from paretocast.report.figures.embedding import EmbeddedFigure, embedded
from paretocast.report.figures.evidence import evidence_figure
from paretocast.report.figures.importance import MIN_TRIALS_FOR_IMPORTANCE, importance_figure
from paretocast.report.figures.search import history_figure, pareto_figure
from paretocast.report.figures.style import Figure, figure_html, plotly_javascript
from paretocast.report.figures.tradeoffs import tradeoff_figure

__all__ = [
    "MIN_TRIALS_FOR_IMPORTANCE",
    "EmbeddedFigure",
    "Figure",
    "SplitSpan",
    "breakdown_figure",
    "embedded",
    "evidence_figure",
    "explored_figure",
    "figure_html",
    "forecast_figure",
    "history_figure",
    "importance_figure",
    "pareto_figure",
    "pit_figure",
    "plotly_javascript",
    "reliability_figure",
    "scores_figure",
    "series_figure",
    "tradeoff_figure",
]
