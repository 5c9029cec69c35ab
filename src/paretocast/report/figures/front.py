"""Figure of a study's Pareto front: error against the distance of the coverage from its target."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from paretocast.formatting import count
from paretocast.report.figures import style
from paretocast.report.figures.search import (
    STYLES,
    Scores,
    front_and_chosen,
    front_records,
    groups_of,
    hover_text,
    line_width,
    mae_range,
    named_references,
)
from paretocast.search.objectives import DEFAULT_OBJECTIVES
from paretocast.search.selection import TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paretocast.metrics.uncertainty import PairedDifference
    from paretocast.study.outcome import Outcome
    from paretocast.training.trial import TrialRecord

MOST_MISSED = 45.0  # points off the target that stretch the axis; trials beyond stand at its edge


def pareto_figure(
    records: Sequence[TrialRecord],
    outcome: Outcome | None,
    *,
    target_coverage: float,
    unit: str,
    gaps: Mapping[str, PairedDifference] | None = None,
    default_number: int | None = None,
) -> style.Figure:
    """MAE against the distance of the coverage from its target; best is the lower left corner.

    A triangle points up where the interval covers more than the target and down where it covers
    less. The step line bounds what the front dominates; of other objectives it would not be
    the edge, and is left out. A hollow mark of the front is a statistical tie. Bars are 95 %
    intervals: of the coverage of the chosen trial, and of the differences in MAE between it and
    the references; those of other trials stand in the hover text. Points far out are drawn at
    the edge, as arrows, and counted in a note.

    Parameters
    ----------
    records : sequence of TrialRecord
        As of a `StudyResult`. MAE is in target units, PICP in percent; a record without either is
        not drawn.
    outcome : Outcome or None
        Front, chosen trial and references.
    target_coverage : float
        In percent.
    unit : str
        Of the target.
    gaps : mapping of reference to PairedDifference, optional
        MAE of the chosen trial minus that of the reference, target units.
    default_number : int, optional
        Trial of the default config, which is labelled.

    Examples
    --------
    >>> from paretocast.search.objectives import DEFAULT_OBJECTIVES, parse_objectives
    >>> from paretocast.search.selection import TrialState
    >>> from paretocast.study.outcome import summarise
    >>> from paretocast.training.trial import TrialRecord
    >>> def trial(number, mae, picp):
    ...     scores = {"mae": mae, "picp": picp, "coverage_error": abs(picp - 80.0)}
    ...     interval = (picp - 2.0, picp + 2.0)
    ...     return TrialRecord(number, TrialState.COMPLETE, {}, 0, scores, interval)
    >>> records = [trial(0, 0.14, 72.0), trial(1, 0.15, 84.0), trial(2, 0.16, 90.0)]
    >>> outcome = summarise(
    ...     records,
    ...     objectives=parse_objectives(DEFAULT_OBJECTIVES),
    ...     policy="min-mae",
    ...     target_coverage=80.0,
    ...     baselines={"ridge": {"mae": 0.17, "picp": 78.0}},
    ... )
    >>> figure = pareto_figure(records, outcome, target_coverage=80.0, unit="kWh/h")
    >>> drawn = [trace for trace in figure.data if trace.y != (None,)]  # some stand in the legend
    >>> {trace.name: trace.y for trace in drawn if trace.name in ("chosen", "other trials")}
    {'other trials': (10.0,), 'chosen': (8.0,)}
    """
    title = "Error against coverage"
    groups = groups_of(records, outcome)
    scored = [record for group in groups.values() for record in group]
    if not scored:
        return style.message_figure(title, "No trial has been scored yet.", height=420)
    view = _View(
        target_coverage,
        style.Frame(
            mae_range(scored, front_and_chosen(outcome), named_references(outcome)),
            _miss_range(scored, outcome, target_coverage),
        ),
    )
    figure = style.blank_figure(title, height=560)
    _add_band(figure, target_coverage)
    if outcome and {o.name for o in outcome.objectives} == set(DEFAULT_OBJECTIVES):
        _add_front_line(figure, front_records(outcome), view)
    for name, group in groups.items():
        trace = view.markers(name, [record.scores for record in group])
        trace.update(hovertext=[hover_text(r, outcome, unit) for r in group])
        if name == "chosen":
            trace.update(error_y=style.error_bars(view.bars(group), STYLES[name][0]))
        figure.add_trace(trace)
    _add_references(figure, outcome, view, gaps=gaps or {}, unit=unit)
    _add_labels(figure, groups, outcome, view, gaps=gaps or {}, default_number=default_number)
    _add_legend(figure, scored, view)
    style.add_note(figure, _outside_note(scored, outcome, view))
    figure.update_xaxes(title_text=style.axis_title("mean absolute error", unit))
    figure.update_xaxes(range=view.frame.x_range)
    figure.update_yaxes(title_text=f"coverage off {target_coverage:g} % (points)")
    return figure.update_yaxes(range=view.frame.y_range)


class _View:
    """The plane of MAE and distance to the target coverage, and the part of it that is shown."""

    def __init__(self, target: float, frame: style.Frame) -> None:
        self.target, self.frame = target, frame

    def point(self, scores: Scores) -> tuple[float, float]:
        """MAE, and points off the target."""
        return scores["mae"], abs(scores["picp"] - self.target)

    def holds(self, scores: Scores) -> bool:
        """Return whether a point lies in the picture."""
        return self.frame.holds(*self.point(scores))

    def symbol(self, scores: Scores, kind: str) -> str:
        """A triangle to the side of the target, or an arrow to a point outside the picture."""
        side = "down" if scores["picp"] < self.target else "up"
        inside = kind.replace("circle", f"triangle-{side}")
        edge = self.frame.edge_symbol(*self.point(scores), inside="")
        return edge.replace("triangle", "arrow") or inside

    def markers(self, name: str, scores: Sequence[Scores]) -> go.Scatter:
        """Marks in the style of their group; the legend has marks of its own."""
        colour, symbol, size, opacity = STYLES[name]
        drawn = [self.frame.clamped(*self.point(s)) for s in scores]
        return go.Scatter(
            x=style.rounded([x for x, _ in drawn]),
            y=style.rounded([y for _, y in drawn]),
            mode="markers",
            name=name,
            legendgroup=name,
            showlegend=False,
            cliponaxis=False,
            marker={
                "color": colour,
                "size": size + (symbol.startswith("circle")),
                "opacity": opacity,
                "symbol": [self.symbol(s, symbol) for s in scores],
                "line": {"color": "white", "width": line_width(name, symbol)},
            },
            hovertemplate="%{hovertext}<extra></extra>",
        )

    def bars(self, group: Sequence[TrialRecord]) -> list[tuple[float, float | None, float | None]]:
        """Distances to the target with those of the ends of their interval."""
        bars: list[tuple[float, float | None, float | None]] = []
        for record in group:
            _, miss = self.point(record.scores)
            if record.picp_interval is None:
                bars.append((miss, None, None))
                continue
            low, high = record.picp_interval
            ends = [abs(low - self.target), abs(high - self.target)]
            nearest = 0.0 if low <= self.target <= high else min(ends)
            bars.append((miss, nearest, max(ends)))
        return bars


def _miss_range(
    scored: Sequence[TrialRecord], outcome: Outcome | None, target: float
) -> style.Range:
    """From the target on: always the front and the band, the rest unless it is far off."""
    misses = [abs(record.scores["picp"] - target) for record in scored]
    shown = [1.2 * TOLERANCE]
    shown += [abs(record.scores["picp"] - target) for record in front_and_chosen(outcome)]
    if outcome and outcome.chosen.picp_interval:
        shown += [abs(end - target) for end in outcome.chosen.picp_interval]
    near = [abs(s["picp"] - target) for s in named_references(outcome).values()]
    limit = max(*shown, min(MOST_MISSED, 2.5 * float(np.median(misses))))
    high = max(*shown, *(miss for miss in [*misses, *near] if miss <= limit))
    return -0.03 * high, (1.0 + style.MARGIN) * high


def _add_band(figure: style.Figure, target: float) -> None:
    figure.add_hrect(
        y0=0.0,
        y1=TOLERANCE,
        fillcolor=style.GREEN,
        opacity=0.13,
        line_width=0,
        name=f"within {TOLERANCE:g} points of {target:g} %",
        showlegend=True,
        layer="below",
        exclude_empty_subplots=False,
    )


def _add_front_line(figure: style.Figure, front: Sequence[TrialRecord], view: _View) -> None:
    """The boundary of what the front dominates, and a tint on its better side."""
    points = [view.point(record.scores) for record in front]
    misses = np.minimum.accumulate([miss for _, miss in points])
    right, top = view.frame.x_range[1], view.frame.y_range[1]
    figure.add_trace(
        go.Scatter(
            x=style.rounded([points[0][0], *(mae for mae, _ in points), right]),
            y=style.rounded([top, *misses, misses[-1]]),
            mode="lines",
            line={"shape": "hv", "color": style.BLUE, "width": 1.6},
            opacity=0.6,
            name="edge of the front",
            hoverinfo="skip",
        )
    )


def _add_references(
    figure: style.Figure,
    outcome: Outcome | None,
    view: _View,
    *,
    gaps: Mapping[str, PairedDifference],
    unit: str,
) -> None:
    """Diamonds with the interval of their distance to the chosen trial."""
    by_name = dict(outcome.baselines) if outcome else {}
    trace = view.markers("references", [*by_name.values()])
    bars: list[tuple[float, float | None, float | None]] = []
    hover = []
    for name, scores in by_name.items():
        bar: tuple[float, float | None, float | None] = (scores["mae"], None, None)
        lines = [
            f"<b>{escape(name.replace('_', ' '))}</b>",
            f"MAE {scores['mae']:.4g} {escape(unit)}",
            f"PICP {scores['picp']:.1f} %",
        ]
        if outcome and name in gaps:
            gap, chosen = gaps[name], outcome.chosen.scores["mae"]
            bar = (scores["mae"], chosen - gap.high, chosen - gap.low)
            lines.append(
                f"chosen minus it: {gap.mean:+.2g} [{gap.low:+.2g}, {gap.high:+.2g}] {escape(unit)}"
            )
        bars.append(bar if view.holds(scores) else (scores["mae"], None, None))
        hover.append("<br>".join(lines))
    trace.update(hovertext=hover, error_x=style.error_bars(bars, STYLES["references"][0]))
    figure.add_trace(trace)


def _add_labels(
    figure: style.Figure,
    groups: Mapping[str, Sequence[TrialRecord]],
    outcome: Outcome | None,
    view: _View,
    *,
    gaps: Mapping[str, PairedDifference],
    default_number: int | None,
) -> None:
    scored = [record for group in groups.values() for record in group]
    chosen = groups["chosen"]
    is_default = [r.number == default_number for r in chosen]
    named: list[tuple[str, Scores]] = [
        (f"trial {r.number}, chosen{' (default)' if d else ''}: {r.scores['picp']:.0f} %", r.scores)
        for r, d in zip(chosen, is_default, strict=True)
    ]
    colours = [style.VERMILION_TEXT] * len(named)
    for record in scored:
        if record.number == default_number and record not in chosen:
            named.append((f"trial {record.number}, default", record.scores))
            colours.append(style.INK)
    within = outcome.baselines.items() if outcome else ()
    references = {name: dict(scores) for name, scores in within if view.holds(scores)}
    named += [(name.replace("_", " "), scores) for name, scores in references.items()]
    colours += [style.DARK_GREEN] * len(references)
    texts = [(text, *view.frame.clamped(*view.point(scores))) for text, scores in named]
    obstacles = [view.frame.clamped(*view.point(record.scores)) for record in scored]
    obstacles += [view.frame.clamped(*view.point(scores)) for scores in references.values()]
    for name, scores in references.items():
        if (gap := gaps.get(name)) is not None and outcome:
            ends = outcome.chosen.scores["mae"] - np.linspace(gap.low, gap.high, 5)
            obstacles += [view.frame.clamped(x, view.point(scores)[1]) for x in ends.tolist()]
    for record, (_, low, high) in zip(chosen, view.bars(chosen), strict=True):
        if low is not None and high is not None:
            mae = record.scores["mae"]
            obstacles += [view.frame.clamped(mae, y) for y in np.linspace(low, high, 7).tolist()]
    labels = style.place_labels(texts, frame=view.frame, obstacles=obstacles)
    for label, colour in zip(labels, colours, strict=True):
        figure.add_annotation(
            name="label",
            text=escape(label.text),
            x=label.x,
            y=label.y,
            ax=label.x_shift,
            ay=label.y_shift,
            showarrow=True,
            arrowhead=0,
            arrowwidth=0.8,
            arrowcolor=colour,
            standoff=7,
            bgcolor="rgba(255,255,255,0.75)",
            font={"size": 13, "color": colour},
        )


def _add_legend(figure: style.Figure, scored: Sequence[TrialRecord], view: _View) -> None:
    """A mark for each group that is drawn, and the two sides of the target."""
    drawn = {trace.name for trace in figure.data if trace.name in STYLES and len(trace.x)}
    entries = [(name, *STYLES[name]) for name in STYLES if name in drawn]
    sides = {record.scores["picp"] < view.target for record in scored}
    entries += [
        (f"{'less' if below else 'more'} than {view.target:g} % covered", style.MUTED, symbol, 9, 1)
        for below, symbol in ((False, "triangle-up-open"), (True, "triangle-down-open"))
        if below in sides
    ]
    for name, colour, symbol, size, opacity in entries:
        figure.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                mode="markers",
                name=name,
                legendgroup=name,
                marker={
                    "color": colour,
                    "symbol": symbol,
                    "size": min(size, 14),
                    "opacity": opacity,
                    "line": {"color": "white", "width": line_width(name, symbol)},
                },
            )
        )


def _outside_note(scored: Sequence[TrialRecord], outcome: Outcome | None, view: _View) -> str:
    n_trials = sum(not view.holds(record.scores) for record in scored)
    n_references = sum(not view.holds(s) for s in named_references(outcome).values())
    counts = [count(n, noun) for n, noun in ((n_trials, "trial"), (n_references, "reference")) if n]
    if not counts:
        return ""
    if n_trials + n_references == 1:
        return f"{counts[0]} lies outside the picture: an arrow at its edge"
    return f"{' and '.join(counts)} lie outside the picture: arrows at its edge"
