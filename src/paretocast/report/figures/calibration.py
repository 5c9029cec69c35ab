"""Figures of a diagnosis: coverage by group, reliability of the levels, PIT histogram."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from paretocast.report.figures import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.metrics.diagnostics import CoverageByGroup, Share

PIT_BIN_PERCENT = 10.0
ROOM_PERCENT = 20.0  # below the target, that a figure of coverages always shows


def breakdown_figure(breakdown: CoverageByGroup, *, target: float, unit: str) -> style.Figure:
    """Coverage of each group with its interval, above the mean width of its intervals.

    Parameters
    ----------
    target : float
        Target coverage, percent, drawn as a line.
    unit : str
        Of the target.
    """
    title = f"Coverage by {breakdown.name}"
    groups = breakdown.groups
    if not groups:
        return style.message_figure(title, "No target time belongs to a group.", height=300)
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        row_heights=[0.64, 0.36],
        vertical_spacing=0.14,
        subplot_titles=("coverage (%)", style.axis_title("mean width", unit)),
    )
    figure.update_annotations(
        x=0.0, xanchor="left", yshift=4, font={"size": 13, "color": style.MUTED}
    )
    style.apply_style(figure, title, height=450)
    figure.update_layout(margin={"t": 78, "l": 52, "b": 70})
    labels = [escape(group.label) for group in groups]
    figure.add_trace(
        go.Scatter(
            x=labels,
            y=[group.picp for group in groups],
            error_y=style.error_bars(
                [(group.picp, group.low, group.high) for group in groups], style.BLUE
            ),
            mode="markers",
            marker={"size": 9, "color": style.BLUE},
            customdata=[(group.low, group.high, group.n, group.n_windows) for group in groups],
            hovertemplate=(
                "%{x}: %{y:.1f} % [%{customdata[0]:.1f}, %{customdata[1]:.1f}]<br>"
                "%{customdata[2]} values in %{customdata[3]} windows<extra></extra>"
            ),
            showlegend=False,
        ),
        row=1,
        col=1,
    )
    figure.add_hline(
        y=target, line={"color": style.GREY, "dash": "dash", "width": 1.5}, row=1, col=1
    )
    figure.add_trace(
        go.Bar(
            x=labels,
            y=[group.mean_width for group in groups],
            marker={"color": style.SKY},
            hovertemplate=f"%{{x}}: %{{y:.4g}} {escape(unit)}<extra></extra>",
            showlegend=False,
        ),
        row=2,
        col=1,
    )
    lowest = min(target - ROOM_PERCENT, *(group.low for group in groups))
    figure.update_yaxes(range=[max(0.0, lowest - 3.0), 103], row=1, col=1)
    figure.update_yaxes(rangemode="tozero", row=2, col=1)
    figure.update_xaxes(type="category")
    figure.update_xaxes(title_text=escape(breakdown.name), row=2, col=1)
    return figure


def reliability_figure(
    shares: Sequence[Share], *, n_observed: int, model: str, dataset: str
) -> style.Figure:
    """Nominal quantile levels against how often the observation fell below them.

    On the diagonal a quantile is calibrated; above it, the forecast is too high.
    """
    figure = style.blank_figure("Reliability of the quantiles", height=560)
    figure.add_trace(
        go.Scatter(
            x=[0, 100],
            y=[0, 100],
            mode="lines",
            name="perfectly reliable",
            line={"color": style.GREY, "dash": "dash", "width": 1.5},
            hoverinfo="skip",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[share.at for share in shares],
            y=[share.observed for share in shares],
            error_y=style.error_bars([(s.observed, s.low, s.high) for s in shares], style.BLUE),
            mode="lines+markers",
            name="observed, with its 95 % interval",
            line={"color": style.BLUE, "width": 2},
            marker={"size": 8},
            hovertemplate="level %{x:.0f} %: observed below it in %{y:.1f} %<extra></extra>",
        )
    )
    style.add_note(figure, f"{model} on {dataset}, {n_observed} observed values")
    figure.update_xaxes(title_text="nominal level (%)", range=[-2, 102], dtick=20, tickangle=0)
    figure.update_yaxes(title_text="observations below the quantile (%)")
    figure.update_yaxes(range=[-2, 102], dtick=10)
    return figure


def pit_figure(shares: Sequence[Share], *, n_observed: int) -> style.Figure:
    """Histogram of the probability integral transform, in bins of equal probability.

    A flat histogram is a calibrated forecast; a U is one that is too narrow, a hump one too wide.
    """
    figure = style.blank_figure("Where the observations lie in their forecasts", height=420)
    figure.add_trace(
        go.Bar(
            x=[share.at + PIT_BIN_PERCENT / 2.0 for share in shares],
            y=[share.observed for share in shares],
            error_y=style.error_bars([(s.observed, s.low, s.high) for s in shares], style.INK),
            marker={"color": style.SKY},
            hovertemplate="%{y:.1f} % of the observations<extra></extra>",
            showlegend=False,
        )
    )
    figure.add_hline(y=PIT_BIN_PERCENT, line={"color": style.GREY, "dash": "dash", "width": 1.5})
    style.add_note(figure, f"{n_observed} observed values, bars with their 95 % intervals")
    figure.update_xaxes(title_text="level of the observation (%)", range=[0, 100], dtick=20)
    figure.update_yaxes(title_text="observations (%)", rangemode="tozero")
    figure.update_layout(bargap=0.05)
    return figure
