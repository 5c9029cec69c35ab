"""Data to Plotly figure, in one shared look. No files are read or written here.

`search` draws what a study found, `demand` draws series and forecasts, `look` is what they share.
PICP is in percent and keeps its sign: it is drawn as measured, never as the distance to the target.
MAE is in target units. Names and reasons that users write are escaped, so that they read as text
wherever Plotly would see markup.
"""

from __future__ import annotations

from paretocast.figures.demand import (
    ForecastDay,
    ReliabilityPoint,
    SplitSpan,
    forecast_figure,
    reliability_figure,
    series_figure,
)
from paretocast.figures.look import Figure, figure_html, plotly_javascript
from paretocast.figures.search import (
    MIN_TRIALS_FOR_IMPORTANCE,
    ReferencePoint,
    TrialPoint,
    history_figure,
    importance_figure,
    pareto_figure,
)

__all__ = [
    "MIN_TRIALS_FOR_IMPORTANCE",
    "Figure",
    "ForecastDay",
    "ReferencePoint",
    "ReliabilityPoint",
    "SplitSpan",
    "TrialPoint",
    "figure_html",
    "forecast_figure",
    "history_figure",
    "importance_figure",
    "pareto_figure",
    "plotly_javascript",
    "reliability_figure",
    "series_figure",
]
