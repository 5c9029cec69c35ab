"""Figure of the importance of each parameter."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from paretocast.report.figures import style

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_TRIALS_FOR_IMPORTANCE = 10


def importance_figure(
    importances: Mapping[str, Mapping[str, float]], *, n_trials: int, model: str, dataset: str
) -> style.Figure:
    """Share of each objective's variation that each parameter explains, as grouped bars.

    Parameters
    ----------
    importances : mapping of objective to mapping of parameter to share
        Shares are unitless and add up to 1 for each objective.
    n_trials : int
        Trials behind the shares. Below `MIN_TRIALS_FOR_IMPORTANCE` the figure says so
        and shows no bars, since they would rank noise.
    """
    title = f"{model} on {dataset}: which parameters mattered"
    if n_trials < MIN_TRIALS_FOR_IMPORTANCE:
        return style.message_figure(
            title,
            f"{n_trials} scored trials are too few to tell which parameters mattered.<br>"
            f"Bars appear from {MIN_TRIALS_FOR_IMPORTANCE} trials on.",
            height=360,
        )
    names = _by_mean_share(importances)
    if not names:
        return style.message_figure(title, "No parameter varied between the trials.", height=360)
    figure = style.blank_figure(title, height=200 + (12 + 22 * len(importances)) * len(names))
    for position, (objective, shares) in enumerate(importances.items()):
        percent = [100.0 * shares.get(name, 0.0) for name in names]
        figure.add_trace(
            go.Bar(
                x=percent,
                y=[escape(name) for name in names],
                orientation="h",
                name=escape(objective),
                marker={"color": style.PALETTE[position % len(style.PALETTE)]},
                text=[f"{value:.0f} %" for value in percent],
                textposition="outside",
                cliponaxis=False,
                hovertemplate="%{y}: %{x:.1f} %<extra>%{fullData.name}</extra>",
            )
        )
    figure.update_layout(barmode="group", bargap=0.28, bargroupgap=0.06)
    figure.update_xaxes(title_text=f"share of the variation between {n_trials} trials (%)")
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(showgrid=False, autorange="reversed", ticks="")
    return figure


def _by_mean_share(importances: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Parameter names, the most important on average first."""
    names = list(dict.fromkeys(name for shares in importances.values() for name in shares))
    return sorted(names, key=lambda n: -sum(s.get(n, 0.0) for s in importances.values()))
