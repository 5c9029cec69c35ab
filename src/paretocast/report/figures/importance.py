"""Figure of the importance of each parameter."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from paretocast.report.figures import style

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paretocast.study.importances import Importance

MIN_TRIALS_FOR_IMPORTANCE = 10
PIXELS_PER_BAR = 26


def importance_figure(importances: Mapping[str, Importance], *, n_trials: int) -> style.Figure:
    """Share of each objective's variation that each parameter explains, one panel an objective.

    Behind each bar stands what chance may give; a bar that does not reach beyond it is grey.

    Parameters
    ----------
    importances : mapping of objective to Importance
        Shares are unitless and add up to 1 for each objective.
    n_trials : int
        Trials behind the shares. Below `MIN_TRIALS_FOR_IMPORTANCE` the figure says so
        and shows no bars, since they would rank noise.
    """
    title = "Importance of the parameters"
    if n_trials < MIN_TRIALS_FOR_IMPORTANCE:
        return style.message_figure(
            title,
            f"{n_trials} scored trials are too few to tell which parameters mattered.<br>"
            f"Bars appear from {MIN_TRIALS_FOR_IMPORTANCE} trials on.",
            height=360,
        )
    if not any(importance.shares for importance in importances.values()):
        return style.message_figure(title, "No parameter varied between the trials.", height=360)
    n_rows = [len(importance.shares) for importance in importances.values()]
    figure = make_subplots(
        rows=len(n_rows),
        cols=1,
        shared_xaxes=True,
        row_heights=[n + 1.0 for n in n_rows],
        vertical_spacing=0.16 / len(n_rows),
        subplot_titles=[escape(objective) for objective in importances],
    )
    figure.update_annotations(x=0.0, xanchor="left", font={"size": 14, "color": style.MUTED})
    style.apply_style(figure, title, height=206 + 60 * len(n_rows) + PIXELS_PER_BAR * sum(n_rows))
    for row, importance in enumerate(importances.values(), start=1):
        for trace in _bars(importance, in_legend=row == 1):
            figure.add_trace(trace, row=row, col=1)
    figure.update_layout(barmode="overlay")
    figure.update_layout(margin={"t": 128})
    style.add_note(figure, f"{n_trials} trials")
    figure.update_xaxes(range=[0.0, 108.0])
    figure.update_xaxes(title_text="share of the variation (%)", row=len(n_rows))
    figure.update_yaxes(showgrid=False, autorange="reversed", ticks="")
    return figure


def _bars(importance: Importance, *, in_legend: bool) -> list[go.Bar]:
    """Bars of the share that chance may give to each parameter, and of its own in front."""
    names = [escape(name) for name in importance.shares]
    chances = [100.0 * min(1.0, importance.chances[name]) for name in importance.shares]
    traces = [
        go.Bar(
            x=style.rounded(chances),
            y=names,
            orientation="h",
            name="what chance may give",
            legendgroup="chance",
            showlegend=in_legend,
            width=0.8,
            marker={"color": style.PALE},
            hovertemplate="%{y}: chance stays below %{x:.0f} %<extra></extra>",
        )
    ]
    told = set(importance.told_apart)
    for apart, colour, name in (
        (True, style.BLUE, "told apart from chance"),
        (False, style.GREY, "not told apart from chance"),
    ):
        shown = {n: 100.0 * share for n, share in importance.shares.items() if (n in told) is apart}
        traces.append(
            go.Bar(
                x=style.rounded([*shown.values()]),
                y=[escape(n) for n in shown],
                orientation="h",
                name=name,
                legendgroup=name,
                showlegend=in_legend,
                width=0.44,
                marker={"color": colour},
                text=[f"{value:.0f} %" for value in shown.values()],
                textposition="outside",
                cliponaxis=False,
                hovertemplate=f"%{{y}}: %{{x:.1f}} %, {name}<extra></extra>",
            )
        )
    return traces
