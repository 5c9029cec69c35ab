"""Methods of a benchmark side by side, and what a search has explored of its space."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from paretocast.report.figures import style

if TYPE_CHECKING:
    from collections.abc import Sequence

KIND_COLOURS = {"tuned": style.BLUE, "default": style.SKY, "none": style.GREEN}
KIND_NAMES = {"tuned": "tuned", "default": "default parameters", "none": "references"}
PIXELS_PER_METHOD = 34


@dataclass(frozen=True)
class MethodScore:
    """One method as a figure shows it.

    Attributes
    ----------
    kind : str
        "tuned", "default" or "none", for a reference.
    mae, pinball : float
        Target units; `low` and `high` bound the 95 % interval of the MAE.
    picp, picp_low, picp_high : float
        Percent.
    """

    label: str
    kind: str
    mae: float
    mae_low: float
    mae_high: float
    pinball: float
    picp: float
    picp_low: float
    picp_high: float


@dataclass(frozen=True)
class Explored:
    """One parameter as a search has explored it.

    Attributes
    ----------
    shares : tuple of float
        Where each trial lies in the range, 0 to 1 on its scale.
    losses : tuple of float
        MAE of the trials, target units; of a pruned one where it was stopped.
    winner : float
        Where the chosen trial lies.
    low, high : str
        What stands at the ends of the range.
    """

    name: str
    shares: tuple[float, ...]
    losses: tuple[float, ...]
    winner: float
    low: str
    high: str


def scores_figure(
    methods: Sequence[MethodScore], *, target_coverage: float, unit: str, dataset: str
) -> style.Figure:
    """MAE with its interval, mean pinball loss, and coverage of every method.

    Parameters
    ----------
    methods : sequence of MethodScore
        The first is drawn on top.
    target_coverage : float
        Percent, drawn as a line.
    """
    title = f"{dataset}: scores on the test split, in {unit}"
    if not methods:
        return style.message_figure(title, "No method was scored.", height=300)
    figure = make_subplots(rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.03)
    style.apply_style(figure, title, height=190 + PIXELS_PER_METHOD * len(methods))
    for kind, colour in KIND_COLOURS.items():
        own = [method for method in methods if method.kind == kind]
        if not own:
            continue
        labels = [escape(method.label) for method in own]
        for column, (values, bars) in enumerate(_panels(own), start=1):
            trace = go.Scatter(
                x=values,
                y=labels,
                error_x=None if bars is None else style.error_bars(bars, colour),
                mode="markers",
                marker={"size": 10, "color": colour},
                name=KIND_NAMES[kind],
                legendgroup=kind,
                showlegend=column == 1,
                hovertemplate="%{y}: %{x:.4g}<extra></extra>",
            )
            figure.add_trace(trace, row=1, col=column)
    figure.add_vline(
        x=target_coverage,
        line={"color": style.GREY, "dash": "dash", "width": 1.5},
        row=1,
        col=3,
    )
    for column, name in enumerate(("MAE", "mean pinball loss", "coverage (%)"), start=1):
        figure.update_xaxes(title_text=name, nticks=5, col=column)
    order = [escape(method.label) for method in reversed(methods)]
    figure.update_yaxes(categoryorder="array", categoryarray=order, type="category")
    style.add_note(figure, "bars: 95 % intervals from resampled days")
    return figure


def explored_figure(parameters: Sequence[Explored], *, subject: str, unit: str) -> style.Figure:
    """Where the trials lie in the range of each parameter, coloured by MAE, and the winner."""
    title = f"{subject}: what was explored"
    if not parameters:
        return style.message_figure(title, "No trial was judged.", height=300)
    figure = style.blank_figure(title, height=170 + 52 * len(parameters))
    losses = [loss for parameter in parameters for loss in parameter.losses]
    low, high = style.low_is_good_range(losses, shown=[min(losses)])
    names = [escape(parameter.name) for parameter in parameters]
    for i, (name, parameter) in enumerate(zip(names, parameters, strict=True)):
        figure.add_trace(
            go.Scatter(
                x=parameter.shares,
                y=[name] * len(parameter.shares),
                mode="markers",
                marker={
                    "size": 13,
                    "symbol": "line-ns",
                    "line": {
                        "width": 2.5,
                        "color": parameter.losses,
                        "colorscale": "Viridis",
                        "cmin": low,
                        "cmax": high,
                    },
                },
                customdata=parameter.losses,
                hovertemplate=f"MAE %{{customdata:.4g}} {escape(unit)}<extra>{name}</extra>",
                name="trials, the darker the better",
                showlegend=i == 0,
            )
        )
        for x, text, anchor in ((0.0, parameter.low, "right"), (1.0, parameter.high, "left")):
            figure.add_annotation(
                x=x,
                y=name,
                text=escape(text),
                showarrow=False,
                xanchor=anchor,
                xshift=-10 if anchor == "right" else 10,
                font={"size": 12, "color": style.MUTED},
            )
    figure.add_trace(
        go.Scatter(
            x=[parameter.winner for parameter in parameters],
            y=names,
            mode="markers",
            marker={"size": 16, "symbol": "star", "color": style.VERMILION},
            name="chosen",
            hovertemplate="chosen<extra>%{y}</extra>",
        )
    )
    figure.update_xaxes(range=[-0.16, 1.16], showticklabels=False, ticks="")
    figure.update_xaxes(title_text="range of the search, low to high")
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], type="category")
    return figure


def _panels(
    methods: Sequence[MethodScore],
) -> list[tuple[list[float], list[tuple[float, float | None, float | None]] | None]]:
    """Values and bars of the three panels."""
    return [
        ([m.mae for m in methods], [(m.mae, m.mae_low, m.mae_high) for m in methods]),
        ([m.pinball for m in methods], None),
        ([m.picp for m in methods], [(m.picp, m.picp_low, m.picp_high) for m in methods]),
    ]
