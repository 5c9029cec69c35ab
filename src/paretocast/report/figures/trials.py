"""Figures of the trials of a study: their training, their parameters, their time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from paretocast.formatting import same_decimals
from paretocast.report.figures import style
from paretocast.search.selection import TrialState
from paretocast.search.space import Choice, FloatRange, without_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paretocast.results.slices import Slice
    from paretocast.search.space import Parameter
    from paretocast.training.trial import TrialRecord

MOST_LINES = 120  # of trials across their parameters, the best ones
MOST_SLICES = 12
FEW_VALUES = 6  # of a range, that all have a tick
SHADES = ("#0B3C5D", "#2F74A8", "#6FA8CF", "#A9C6DC", "#D3DCE3")  # from the best fifth on
STATE_COLOURS = {
    TrialState.COMPLETE: style.BLUE,
    TrialState.PRUNED: style.GREY,
    TrialState.FAILED: style.VERMILION,
}


@dataclass(frozen=True)
class Curve:
    """Losses on the stop split during a training, and whether it is of the chosen trial."""

    label: str
    losses: Sequence[tuple[int, float]]
    best_step: int
    chosen: bool


def training_figure(curves: Sequence[Curve]) -> style.Figure:
    """Loss on the stop split by step; a dot stands where the weights were kept."""
    drawn = [curve for curve in curves if len(curve.losses) > 1]
    of_chosen = not drawn or any(curve.chosen for curve in drawn)
    title = f"Training of the {'chosen trial' if of_chosen else 'front'}"
    if not drawn:
        return style.message_figure(
            title, "The model is fitted at once, without steps.", height=300
        )
    figure = style.blank_figure(title, height=400)
    if not of_chosen:
        style.add_note(figure, "the chosen trial is fitted at once, without steps")
    for curve in sorted(drawn, key=lambda curve: curve.chosen):
        colour = style.VERMILION if curve.chosen else style.GREY
        losses = dict(curve.losses)
        figure.add_trace(
            go.Scatter(
                x=[*losses],
                y=style.rounded([*losses.values()]),
                mode="lines",
                name=escape(curve.label),
                line={"color": colour, "width": 2.2 if curve.chosen else 1.1},
                hovertemplate=f"{escape(curve.label)}, step %{{x}}: %{{y:.4g}}<extra></extra>",
            )
        )
        if curve.best_step in losses:
            figure.add_trace(
                go.Scatter(
                    x=[curve.best_step],
                    y=style.rounded([losses[curve.best_step]]),
                    mode="markers",
                    marker={"color": colour, "size": 9 if curve.chosen else 6},
                    name="weights kept",
                    showlegend=False,
                    hovertemplate=f"{escape(curve.label)}: kept at step %{{x}}<extra></extra>",
                )
            )
    ends = [curve.losses[-1][1] for curve in drawn]
    every = [loss for curve in drawn for _, loss in curve.losses]
    low, high = style.low_is_good_range(every, shown=ends)
    figure.update_xaxes(title_text="gradient steps", rangemode="tozero")
    figure.update_yaxes(title_text="loss on the stop split (scaled)", range=[low, high])
    return figure


def parallel_figure(
    records: Sequence[TrialRecord], space: Mapping[str, Parameter], *, chosen: int
) -> style.Figure:
    """Every trial as a line across its parameters, the better the darker; the chosen one in orange.

    Parameters
    ----------
    records : sequence of TrialRecord
        With an MAE, target units, and a config in the space.
    chosen : int
        Number of the chosen trial.
    """
    title = "Trials across their parameters"
    best = sorted(records, key=lambda record: record.scores["mae"])
    shown = best[:MOST_LINES]
    shown += [record for record in best[MOST_LINES:] if record.number == chosen]
    if len(shown) < 2:
        return style.message_figure(title, "Two scored trials make a picture.", height=300)
    names = [*space, "MAE"]
    errors = np.array([record.scores["mae"] for record in shown])
    low, high = style.low_is_good_range(errors.tolist(), shown=[errors.min()])
    figure = style.blank_figure(title, height=170 + 40 * len(names))
    lines: dict[str, list[tuple[float | None, int | None, int]]] = {}
    for rank, record in reversed([*enumerate(shown)]):
        config = without_model(record.config)
        shares = [parameter.share(config[name]) for name, parameter in space.items()]
        shares.append(float(np.clip((record.scores["mae"] - low) / (high - low), 0.0, 1.0)))
        shade = SHADES[min(len(SHADES) - 1, rank * len(SHADES) // len(shown))]
        line = lines.setdefault(style.VERMILION if record.number == chosen else shade, [])
        line += [(round(share, 3), row, record.number) for row, share in enumerate(shares)]
        line.append((None, None, record.number))
    for colour in (*reversed(SHADES), style.VERMILION):
        if colour not in lines:
            continue
        is_chosen = colour == style.VERMILION
        figure.add_trace(
            go.Scatter(
                x=[x for x, _, _ in lines[colour]],
                y=[y for _, y, _ in lines[colour]],
                customdata=[number for _, _, number in lines[colour]],
                mode="lines+markers" if is_chosen else "lines",
                line={"color": colour, "width": 3.0 if is_chosen else 1.2},
                marker={"size": 8},
                name=f"trial {chosen}, chosen" if is_chosen else _fifth(SHADES.index(colour)),
                showlegend=is_chosen or colour in (SHADES[0], SHADES[-1]),
                hovertemplate="trial %{customdata}<extra></extra>",
            )
        )
    ends = [range_ends(parameter) for parameter in space.values()]
    for row, (lowest, highest) in enumerate([*ends, _told_apart(low, high)]):
        label_ends(figure, row, (lowest, highest))
    figure.update_xaxes(range=[-0.42, 1.34], showticklabels=False, ticks="", showgrid=False)
    figure.update_xaxes(title_text="place in the range searched")
    return figure.update_yaxes(
        tickvals=[*range(len(names))],
        ticktext=[escape(name) for name in names],
        range=[len(names) - 0.5, -0.5],
    )


def _told_apart(low: float, high: float) -> list[str]:
    """The ends of an axis with as many digits as tell them apart, at least three."""
    return same_decimals([low, high], max(3, 2 + math.floor(math.log10(high / (high - low)))))


def slices_figure(slices: Sequence[Slice], *, unit: str) -> style.Figure:
    """Expected error along each parameter with its interval, in small panels on one scale."""
    title = "Error along each parameter"
    if not slices:
        return style.message_figure(title, "Too few complete trials for a curve.", height=300)
    shown = slices[:MOST_SLICES]
    n_rows = -(-len(shown) // 2)
    figure = make_subplots(
        rows=n_rows,
        cols=2,
        shared_yaxes="all",
        subplot_titles=[escape(of_one.name) for of_one in shown],
        vertical_spacing=0.36 / n_rows,
        horizontal_spacing=0.06,
    )
    figure.update_annotations(font={"size": 14, "color": style.MUTED})
    style.apply_style(figure, title, height=150 + 190 * n_rows)
    for i, of_one in enumerate(shown):
        row, column = divmod(i, 2)
        for trace in _slice_traces(of_one, in_legend=i == 0):
            figure.add_trace(trace, row=row + 1, col=column + 1)
        ticks = _ticks(of_one.parameter)
        figure.update_xaxes(
            tickvals=[share for share, _ in ticks],
            ticktext=[escape(text) for _, text in ticks],
            range=[-0.04, 1.04],
            tickangle=0,
            row=row + 1,
            col=column + 1,
        )
    errors = [error for _, error in shown[0].trials]
    means = [float(value) for of_one in shown for value in of_one.mean]
    figure.update_yaxes(range=style.low_is_good_range(errors, shown=means))
    figure.update_yaxes(title_text=style.axis_title("MAE", unit), col=1)
    return figure.update_layout(margin={"t": 118})


def timeline_figure(trainings: Sequence[TrialRecord]) -> style.Figure | None:
    """A bar for every training on the line of its worker; None where no record knows its time."""
    timed = [t for t in trainings if t.began is not None and t.ended is not None]
    if not timed:
        return None
    workers = sorted({t.worker or 0 for t in timed})
    figure = style.blank_figure("Work over time", height=210 + 34 * len(workers))
    for state, colour in STATE_COLOURS.items():
        bars = [t for t in timed if t.state is state]
        if not bars:
            continue
        figure.add_trace(
            go.Bar(
                base=[_moment(t.began) for t in bars],
                x=[round(1000.0 * ((t.ended or 0.0) - (t.began or 0.0))) for t in bars],
                y=[f"worker {t.worker or 0}" for t in bars],
                orientation="h",
                name=str(state),
                marker={"color": colour, "line": {"color": "white", "width": 1}},
                customdata=[
                    f"trial {t.number}{f', repeat {t.seed_index}' if t.seed_index else ''}: "
                    f"{(t.ended or 0.0) - (t.began or 0.0):.0f} s"
                    for t in bars
                ],
                hovertemplate=f"%{{customdata}}, {state}<extra></extra>",
            )
        )
    figure.update_layout(barmode="overlay", bargap=0.3)
    figure.update_xaxes(type="date", title_text="time (UTC)", nticks=5, tickangle=0)
    order = [f"worker {worker}" for worker in workers]
    return figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=order[::-1], showgrid=False, ticks=""
    )


def _slice_traces(of_one: Slice, *, in_legend: bool) -> list[go.Scatter]:
    x = style.rounded(of_one.positions, digits=3)
    low, high = style.rounded(of_one.low), style.rounded(of_one.high)
    nearest = int(np.argmin(np.abs(of_one.positions - of_one.chosen)))
    return [
        go.Scatter(
            x=[*x, *x[::-1]],
            y=[*high, *low[::-1]],
            fill="toself",
            fillcolor=style.tint(0, 2),
            line={"width": 0},
            mode="lines",
            name="95 % interval of the expectation",
            legendgroup="band",
            showlegend=in_legend,
            hoverinfo="skip",
        ),
        go.Scatter(
            x=style.rounded([share for share, _ in of_one.trials], digits=3),
            y=style.rounded([error for _, error in of_one.trials]),
            mode="markers",
            marker={"color": style.GREY, "size": 5, "opacity": 0.7},
            name="trials",
            legendgroup="trials",
            showlegend=in_legend,
            hovertemplate="MAE %{y:.4g}<extra></extra>",
        ),
        go.Scatter(
            x=x,
            y=style.rounded(of_one.mean),
            mode="lines",
            line={"color": style.BLUE, "width": 2},
            name="expected, the others as chosen",
            legendgroup="mean",
            showlegend=in_legend,
            hoverinfo="skip",
        ),
        go.Scatter(
            x=[x[nearest]],
            y=style.rounded([of_one.mean[nearest]]),
            mode="markers",
            marker={"color": style.VERMILION, "size": 13, "symbol": "star"},
            name="chosen",
            legendgroup="chosen",
            showlegend=in_legend,
            hovertemplate="chosen: expected MAE %{y:.4g}<extra></extra>",
        ),
    ]


def _ticks(parameter: Parameter) -> list[tuple[float, str]]:
    """A few positions on a range with their values."""
    if isinstance(parameter, Choice):
        values = [*parameter.values]
    elif isinstance(parameter, FloatRange):
        return [(share, f"{parameter.at(share):.3g}") for share in (0.0, 1.0)]
    else:
        values = [*range(parameter.low, parameter.high + 1)]
        if len(values) > FEW_VALUES:
            values = [parameter.low, (parameter.low + parameter.high) // 2, parameter.high]
    return [(parameter.share(value), str(value)) for value in values]


def range_ends(parameter: Parameter) -> tuple[str, str]:
    """The first and the last value of a range."""
    ticks = _ticks(parameter)
    return ticks[0][1], ticks[-1][1]


def label_ends(
    figure: style.Figure, row: int | str, ends: tuple[str, str], *, shift: int = 8
) -> None:
    """Write the first and the last value of a range beside its row, so many pixels away."""
    for x, text, anchor in ((0.0, ends[0], "right"), (1.0, ends[1], "left")):
        figure.add_annotation(
            x=x,
            y=row,
            text=escape(text),
            showarrow=False,
            xanchor=anchor,
            xshift=-shift if anchor == "right" else shift,
            font={"size": 12, "color": style.MUTED},
        )


def _fifth(index: int) -> str:
    return {0: "best fifth by MAE", len(SHADES) - 1: "worst fifth"}.get(index, "between")


def _moment(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds or 0.0, UTC).strftime("%Y-%m-%d %H:%M:%S")
