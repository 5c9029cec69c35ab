"""Figures of the methods of a benchmark, and of the values that trials took in a space."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from paretocast.formatting import unit_name
from paretocast.report.figures import style
from paretocast.report.figures.trials import SHADES, label_ends, range_ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.benchmarking import Row
    from paretocast.results.repair import Exploration

KIND_COLOURS = {"tuned": style.BLUE, "default": style.SKY, "none": style.GREEN}
KIND_NAMES = {"tuned": "tuned", "default": "default parameters", "none": "references"}
PIXELS_PER_METHOD = 34


def scores_figure(
    rows: Sequence[Row], *, chosen: int, target_coverage: float, unit: str, dataset: str
) -> style.Figure:
    """MAE with its interval, mean pinball loss, and coverage of every method.

    Parameters
    ----------
    rows : sequence of Row
        Scores in target units, coverage in percent. The first row is drawn on top.
    chosen : int
        Position of the row whose name gets a star.
    target_coverage : float
        Percent, drawn as a line.
    """
    title = f"{dataset}: scores on the test split, in {unit_name(unit)}"
    if not rows:
        return style.message_figure(title, "No method was scored.", height=300)
    figure = make_subplots(rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.03)
    style.apply_style(figure, title, height=190 + PIXELS_PER_METHOD * len(rows))
    names = [f"{'★ ' if i == chosen else ''}{row.entry.label}" for i, row in enumerate(rows)]
    for kind, colour in KIND_COLOURS.items():
        places = [i for i, row in enumerate(rows) if row.entry.parameters == kind]
        if not places:
            continue
        of_kind = [rows[i] for i in places]
        labels = [escape(names[i]) for i in places]
        for column, (values, bars) in enumerate(_panels(of_kind), start=1):
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
    order = [escape(name) for name in reversed(names)]
    figure.update_yaxes(categoryorder="array", categoryarray=order, type="category")
    style.add_note(figure, "bars: 95 % intervals from resampled days")
    return figure


def explored_figure(
    parameters: Sequence[Exploration], *, losses: Sequence[float], subject: str, unit: str
) -> style.Figure:
    """Positions of the trials in the range of each parameter, coloured by MAE, and the winner.

    Parameters
    ----------
    losses : sequence of float
        MAE of the trials in the order of every parameter's `shares`, target units; of a pruned
        trial where it was stopped.
    """
    title = f"{subject}: what was explored"
    if not parameters:
        return style.message_figure(title, "No trial was scored.", height=300)
    figure = style.blank_figure(title, height=170 + 52 * len(parameters))
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
                        "color": losses,
                        "colorscale": [*SHADES[:-1]],
                        "cmin": low,
                        "cmax": high,
                    },
                },
                customdata=losses,
                hovertemplate=f"MAE %{{customdata:.4g}} {escape(unit)}<extra>{name}</extra>",
                name="trials, the stronger the better",
                showlegend=i == 0,
            )
        )
        label_ends(figure, name, range_ends(parameter.parameter), shift=14)
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
    figure.update_xaxes(title_text="place in the range searched")
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], type="category")
    return figure


def _panels(
    rows: Sequence[Row],
) -> list[tuple[list[float], list[tuple[float, float | None, float | None]] | None]]:
    """Values and bars of the three panels."""
    mae, pinball, picp = ([row.scores[name] for row in rows] for name in ("mae", "pinball", "picp"))
    return [
        (mae, [(row.scores["mae"], row.mae_low, row.mae_high) for row in rows]),
        (pinball, None),
        (picp, [(row.scores["picp"], row.picp_low, row.picp_high) for row in rows]),
    ]
