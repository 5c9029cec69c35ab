"""The objectives of a study against each other, one panel for each pair."""

from __future__ import annotations

from html import escape
from itertools import combinations
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from paretocast.report.figures import style
from paretocast.report.figures.search import STYLES, WITH_BARS, group_of, hover_text, score_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.report.figures.search import ReferencePoint, TrialPoint
    from paretocast.search.objectives import Objective


def tradeoff_figure(
    trials: Sequence[TrialPoint],
    references: Sequence[ReferencePoint],
    *,
    objectives: Sequence[Objective],
    unit: str,
    model: str,
    dataset: str,
) -> style.Figure:
    """What the search traded against what: trials, front and references in each pair of objectives.

    The front is non-dominated in all objectives together; in a single panel one of its members may
    lie behind another. Scores are drawn as they are, so that of one to be maximised more is better.
    Points far out are drawn at the edge, as triangles.

    Parameters
    ----------
    objectives : sequence of Objective
        Two or three.
    """
    title = f"{model} on {dataset}: the objectives against each other"
    judged = [t for t in trials if all(o.name in t.scores for o in objectives)]
    if not judged:
        return style.message_figure(title, "No trial has been judged yet.", height=420)
    pairs = list(combinations(objectives, 2))
    ranges = {o.name: _range(judged, references, o) for o in objectives}
    figure = make_subplots(rows=1, cols=len(pairs), horizontal_spacing=0.09)
    style.apply_style(figure, title, height=440)
    for column, (first, second) in enumerate(pairs, start=1):
        frame = style.Frame(ranges[first.name], ranges[second.name])
        for name in STYLES:
            group = [t for t in judged if group_of(t) == name]
            _add_trials(figure, name, group, pair=(first, second), frame=frame, column=column)
            figure.data[-1].update(hovertext=[hover_text(t, unit) for t in group])
        _add_references(figure, references, pair=(first, second), frame=frame, column=column)
        figure.update_xaxes(title_text=_axis(first, unit), range=frame.x_range, row=1, col=column)
        figure.update_yaxes(title_text=_axis(second, unit), range=frame.y_range, row=1, col=column)
    return figure


def _add_trials(
    figure: style.Figure,
    name: str,
    group: Sequence[TrialPoint],
    *,
    pair: tuple[Objective, Objective],
    frame: style.Frame,
    column: int,
) -> None:
    colour = STYLES[name][0]
    points = [(t.scores[pair[0].name], t.scores[pair[1].name]) for t in group]
    trace = _markers(name, points, frame=frame, in_legend=column == 1)
    if name in WITH_BARS:
        bars = [
            style.error_bars(
                [(t.scores[objective.name], *score_interval(t, objective.name)) for t in group],
                colour,
            )
            for objective in pair
        ]
        trace.update(error_x=bars[0], error_y=bars[1])
    figure.add_trace(trace, row=1, col=column)


def _add_references(
    figure: style.Figure,
    references: Sequence[ReferencePoint],
    *,
    pair: tuple[Objective, Objective],
    frame: style.Frame,
    column: int,
) -> None:
    """References inside the frame: far out they would only crowd its edge."""
    near = [
        (r, (r.scores[pair[0].name], r.scores[pair[1].name]))
        for r in references
        if pair[0].name in r.scores and pair[1].name in r.scores
    ]
    shown = [(r, point) for r, point in near if frame.holds(*point)]
    trace = _markers("references", [p for _, p in shown], frame=frame, in_legend=column == 1)
    trace.update(hovertext=[f"<b>{escape(r.name)}</b>" for r, _ in shown])
    figure.add_trace(trace, row=1, col=column)


def _markers(
    name: str, points: Sequence[tuple[float, float]], *, frame: style.Frame, in_legend: bool
) -> go.Scatter:
    colour, symbol, size, opacity = STYLES[name]
    drawn = [frame.clamped(x, y) for x, y in points]
    return go.Scatter(
        x=[x for x, _ in drawn],
        y=[y for _, y in drawn],
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=in_legend and bool(points),
        cliponaxis=False,
        marker={
            "color": colour,
            "size": size,
            "opacity": opacity,
            "symbol": [frame.edge_symbol(x, y, inside=symbol) for x, y in points],
            "line": {"color": "white", "width": 2 if "open" in symbol else 1},
        },
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _range(
    judged: Sequence[TrialPoint], references: Sequence[ReferencePoint], objective: Objective
) -> style.Range:
    """Axis range in which what is good is large, whichever way that is."""
    values = [objective.value(t.scores) for t in judged]
    shown = [objective.value(t.scores) for t in judged if t.on_front or t.chosen]
    reachable = [objective.value(r.scores) for r in references if objective.name in r.scores]
    low, high = style.low_is_good_range(values, shown=shown)
    high = max([high, *(v for v in reachable if v <= high + (high - low))])
    return (low, high) if objective.sign > 0 else (-high, -low)


def _axis(objective: Objective, unit: str) -> str:
    text = style.axis_title(objective.label, unit if objective.unit == "target" else objective.unit)
    return text if objective.sign > 0 else f"{text}, higher is better"
