"""The objectives of a study against each other, one panel for each pair."""

from __future__ import annotations

from html import escape
from itertools import combinations
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from paretocast.report.figures import style
from paretocast.report.figures.search import (
    STYLES,
    front_and_chosen,
    group_of,
    hover_text,
    named_references,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paretocast.report.figures.search import Scores
    from paretocast.search.objectives import Objective
    from paretocast.study.outcome import Outcome
    from paretocast.training.trial import TrialRecord


def tradeoff_figure(
    records: Sequence[TrialRecord],
    outcome: Outcome | None,
    *,
    objectives: Sequence[Objective],
    unit: str,
) -> style.Figure:
    """Trials, front and references in each pair of objectives.

    The front is non-dominated in all objectives together; in a single panel one of its members may
    lie behind another. Scores are drawn as they are, so that of one to be maximised more is better.
    Points far out are drawn at the edge, as triangles.

    Parameters
    ----------
    records, outcome
        As of `pareto_figure`; a record without a score for each objective is not drawn.
    objectives : sequence of Objective
        Two or three.
    """
    title = "Objectives against each other"
    scored = [r for r in records if all(o.name in r.scores for o in objectives)]
    if not scored:
        return style.message_figure(title, "No trial has been scored yet.", height=420)
    pairs = list(combinations(objectives, 2))
    ranges = {o.name: _range(scored, outcome, o) for o in objectives}
    figure = make_subplots(rows=1, cols=len(pairs), horizontal_spacing=0.09)
    style.apply_style(figure, title, height=440)
    for column, (first, second) in enumerate(pairs, start=1):
        frame = style.Frame(ranges[first.name], ranges[second.name])
        for name in STYLES:
            group = [r for r in scored if group_of(r, outcome) == name]
            points = [(r.scores[first.name], r.scores[second.name]) for r in group]
            trace = _markers(name, points, frame=frame, in_legend=column == 1)
            trace.update(hovertext=[hover_text(r, outcome, unit) for r in group])
            figure.add_trace(trace, row=1, col=column)
        _add_references(
            figure, named_references(outcome), pair=(first, second), frame=frame, column=column
        )
        figure.update_xaxes(title_text=_axis(first, unit), range=frame.x_range, row=1, col=column)
        figure.update_yaxes(title_text=_axis(second, unit), range=frame.y_range, row=1, col=column)
    return figure


def _add_references(
    figure: style.Figure,
    references: Mapping[str, Scores],
    *,
    pair: tuple[Objective, Objective],
    frame: style.Frame,
    column: int,
) -> None:
    """References inside the frame: far out they would only crowd its edge."""
    x, y = (objective.name for objective in pair)
    points = {name: (s[x], s[y]) for name, s in references.items() if x in s and y in s}
    shown = {name: point for name, point in points.items() if frame.holds(*point)}
    trace = _markers("references", [*shown.values()], frame=frame, in_legend=column == 1)
    trace.update(hovertext=[f"<b>{escape(name)}</b>" for name in shown])
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
    scored: Sequence[TrialRecord], outcome: Outcome | None, objective: Objective
) -> style.Range:
    """Axis range in which what is good is large, whichever way that is."""
    values = [objective.value(r.scores) for r in scored]
    shown = [objective.value(r.scores) for r in front_and_chosen(outcome)]
    references = named_references(outcome).values()
    reachable = [objective.value(scores) for scores in references if objective.name in scores]
    low, high = style.low_is_good_range(values, shown=shown)
    high = max([high, *(v for v in reachable if v <= high + (high - low))])
    return (low, high) if objective.sign > 0 else (-high, -low)


def _axis(objective: Objective, unit: str) -> str:
    text = style.axis_title(objective.label, unit if objective.unit == "target" else objective.unit)
    return text if objective.sign > 0 else f"{text}, higher is better"
