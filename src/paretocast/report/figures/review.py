"""Figures of a chosen trial seen closely: one day, coverage by hour and month, its errors."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from paretocast.report.figures import style
from paretocast.report.figures.demand import forecast_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from paretocast.metrics.diagnostics import CoverageGrid
    from paretocast.results.review import ReviewedDay

    Floats = NDArray[np.float64]

POINTS_AROUND_TARGET = 30.0  # that the colours of a coverage span, percent points
PALE = "#F1F3F5"


def day_figure(
    day: ReviewedDay, *, levels: Sequence[float], unit: str, step: pd.Timedelta
) -> style.Figure:
    """Fan of one window with its observations, to be shown in turn with others.

    Traces: bands from the outermost inwards, the median where there is one, the observations.
    """
    figure = forecast_figure(
        day.times[:1],
        np.array(style.rounded(day.quantiles))[None],
        observed=np.array(style.rounded(day.observed), dtype=np.float64)[None],
        levels=levels,
        unit=unit,
        model="",
        dataset="",
        step=step,
        titles=[""],
    )
    figure.update_layout(
        title_text="Forecast and observation", height=400, margin={"t": 100, "b": 44}
    )
    return figure.update_yaxes(title_text=escape(unit))


def coverage_grid_figure(grid: CoverageGrid, *, target: float) -> style.Figure:
    """Coverage of every pair of groups in colours: the target is pale, too little is orange.

    Parameters
    ----------
    target : float
        Percent.
    """
    figure = style.blank_figure(
        f"Coverage by {grid.row_name} and {grid.column_name}", height=180 + 24 * len(grid.columns)
    )
    low, high = target - POINTS_AROUND_TARGET, min(100.0, target + POINTS_AROUND_TARGET)
    middle = (target - low) / (high - low)
    figure.add_trace(
        go.Heatmap(
            x=[escape(label) for label in grid.rows],
            y=[escape(label) for label in grid.columns],
            z=style.rounded(grid.picp.T, digits=3),
            zmin=low,
            zmax=high,
            colorscale=[[0.0, style.VERMILION], [middle, PALE], [1.0, style.BLUE]],
            xgap=1,
            ygap=1,
            customdata=np.stack([grid.n.T, grid.n_windows.T], axis=-1).tolist(),
            hovertemplate=(
                "%{y}, %{x}: %{z:.0f} % of %{customdata[0]} values in %{customdata[1]} windows"
                "<extra></extra>"
            ),
            colorbar={"title": {"text": "%"}, "thickness": 12, "tickvals": [low, target, high]},
        )
    )
    figure.update_layout(margin={"t": 62})  # there is no legend
    figure.update_xaxes(title_text=escape(grid.row_name), type="category", showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    style.add_note(figure, f"orange: below the target of {target:g} %, blue: above")
    return figure


def error_figure(
    errors: Floats, *, levels: Sequence[float], unit: str, step_name: str
) -> style.Figure:
    """Quantiles of the observation minus the median by step ahead.

    Parameters
    ----------
    errors : ndarray of shape (H, L)
        Target units; `levels`, ascending and odd in number, belong to the columns.
    step_name : str
        Such as "hour".
    """
    figure = style.blank_figure("Errors by lead time", height=420)
    steps = np.arange(1, len(errors) + 1)
    known = ~np.isnan(errors).any(axis=1)
    steps, errors = steps[known].tolist(), errors[known]
    n_bands = len(levels) // 2
    for depth in range(n_bands):
        low, high = style.rounded(errors[:, depth]), style.rounded(errors[:, -1 - depth])
        figure.add_trace(
            go.Scatter(
                x=[*steps, *steps[::-1]],
                y=[*high, *low[::-1]],
                fill="toself",
                fillcolor=style.tint(depth, n_bands),
                line={"width": 0},
                mode="lines",
                name=f"{100 * levels[depth]:g} to {100 * levels[-1 - depth]:g} % of the errors",
                hoverinfo="skip",
            )
        )
    figure.add_trace(
        go.Scatter(
            x=steps,
            y=style.rounded(errors[:, n_bands]),
            mode="lines",
            name="median error",
            line={"color": style.BLUE, "width": 2},
            hovertemplate=f"{escape(step_name)} %{{x}}: %{{y:.4g}} {escape(unit)}<extra></extra>",
        )
    )
    figure.add_hline(y=0.0, line={"color": style.INK, "dash": "dash", "width": 1.2})
    figure.update_xaxes(title_text=f"{escape(step_name)}s ahead")
    figure.update_yaxes(title_text=style.axis_title("observed − median", unit))
    return figure


def agreement_figure(pairs: Floats, *, unit: str) -> style.Figure:
    """Observations over their median forecasts, with the line on which both agree.

    Parameters
    ----------
    pairs : ndarray of shape (P, 2)
        Median forecast and observation, target units.
    """
    figure = style.blank_figure("Forecast against observation", height=480)
    ends = style.rounded(style.padded(pairs.ravel().tolist()))
    figure.add_trace(
        go.Scatter(
            x=ends,
            y=ends,
            mode="lines",
            name="both agree",
            line={"color": style.GREY, "dash": "dash", "width": 1.5},
            hoverinfo="skip",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=style.rounded(pairs[:, 0]),
            y=style.rounded(pairs[:, 1]),
            mode="markers",
            name="target times",
            marker={"color": style.BLUE, "size": 5, "opacity": 0.35},
            hovertemplate=f"forecast %{{x:.4g}}, observed %{{y:.4g}} {escape(unit)}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text=style.axis_title("median forecast", unit), range=ends)
    figure.update_yaxes(title_text=style.axis_title("observed", unit), range=ends)
    return figure
