"""Figures of a study: its Pareto front and the history of its trials.

They are drawn from the records of the trials (`StudyResult.records`), each scored on the mean over
its seeds, and the `Outcome` made of them, None while no trial is complete.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from paretocast.formatting import count
from paretocast.report.figures import style
from paretocast.search.objectives import DEFAULT_OBJECTIVES
from paretocast.search.selection import TOLERANCE, TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paretocast.study.outcome import Outcome
    from paretocast.training.trial import TrialRecord

Scores: TypeAlias = "Mapping[str, float]"

_Styled: TypeAlias = tuple[str, str, int, float]  # colour, symbol, size, opacity
STYLES: Mapping[str, _Styled] = {
    "other trials": ("#7B8794", "circle", 8, 0.75),
    "pruned": ("#7B8794", "circle-open", 8, 0.9),
    "tied with the front": (style.SKY, "circle-open-dot", 11, 1.0),
    "front, tied": (style.BLUE, "circle-open", 11, 1.0),
    "front": (style.BLUE, "circle", 11, 1.0),
    "chosen": (style.VERMILION, "star", 20, 1.0),
    "failed": (style.INK, "x", 9, 0.9),
    "references": (style.GREEN, "diamond", 11, 1.0),
}
WITH_BARS = ("tied with the front", "front, tied", "front", "chosen")
HALF_WIDTH_95 = 1.96  # of a 95 % interval, in standard errors


def pareto_figure(
    records: Sequence[TrialRecord],
    outcome: Outcome | None,
    *,
    target_coverage: float,
    unit: str,
    model: str,
    dataset: str,
) -> style.Figure:
    """MAE against measured coverage: all trials, the front, the chosen one and the references.

    The step line bounds what the front dominates. It stands on both sides of the target, since a
    coverage above the target counts as much as one below; of other objectives it would not be the
    edge, and is left out. A trial of the front that is hollow is tied: another may belong in its
    place. Bars are 95 % intervals: upright of the coverage, across of the difference in MAE to the
    chosen trial. Points far out are drawn at the edge, as triangles, and counted in a note.

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
    model, dataset : str
        For the title.

    Examples
    --------
    >>> from paretocast.search.objectives import DEFAULT_OBJECTIVES, parse_objectives
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
    >>> figure = pareto_figure(
    ...     records, outcome, target_coverage=80.0, unit="kWh/h", model="NHITS_Q", dataset="heat"
    ... )
    >>> {trace.name: trace.x for trace in figure.data if trace.name in ("chosen", "other trials")}
    {'other trials': (0.16,), 'chosen': (0.14,)}
    """
    title = f"{model} on {dataset}: error against coverage"
    groups = _groups(records, outcome)
    scored = [record for group in groups.values() for record in group]
    if not scored:
        return style.message_figure(title, "No trial has been scored yet.", height=420)
    references = named_references(outcome)
    best = front_and_chosen(outcome)
    frame = style.Frame(
        _mae_range(scored, best, references),
        _coverage_range(scored, best, references, target=target_coverage),
    )
    figure = style.blank_figure(title, height=580)
    _add_target(figure, target_coverage)
    if outcome and {o.name for o in outcome.objectives} == set(DEFAULT_OBJECTIVES):
        _add_front_line(figure, front_records(outcome), frame=frame, target=target_coverage)
    for name, group in groups.items():
        _add_markers(figure, name, [_mae_and_picp(r.scores) for r in group], frame=frame)
        figure.data[-1].update(hovertext=[hover_text(r, outcome, unit) for r in group])
        if name in WITH_BARS:
            bars = [(r.scores["picp"], *(r.picp_interval or (None, None))) for r in group]
            across = [(r.scores["mae"], *score_interval(r, outcome, "mae")) for r in group]
            figure.data[-1].update(
                error_y=style.error_bars(bars, STYLES[name][0]),
                error_x=style.error_bars(across, STYLES[name][0]),
            )
    points = [_mae_and_picp(scores) for scores in references.values()]
    _add_markers(figure, "references", points, frame=frame)
    hover = [_reference_hover(name, scores, unit) for name, scores in references.items()]
    figure.data[-1].update(hovertext=hover)
    barred = {record.number for record in best}
    obstacles = [p for r in scored for p in _marker_and_bar(r, with_bar=r.number in barred)]
    _add_labels(figure, groups["chosen"], references, frame=frame, obstacles=obstacles)
    style.add_note(figure, _outside_note(scored, points, frame))
    figure.update_xaxes(title_text=style.axis_title("mean absolute error", unit))
    figure.update_xaxes(range=frame.x_range)
    figure.update_yaxes(title_text="coverage of the interval, PICP (%)", range=frame.y_range)
    return figure


def history_figure(
    records: Sequence[TrialRecord],
    outcome: Outcome | None,
    *,
    target_coverage: float,
    unit: str,
    model: str,
    dataset: str,
) -> style.Figure:
    """MAE and coverage of each trial in the order they were made, with the best MAE so far.

    Failed trials are crosses at the bottom of the upper panel; the hover text gives the reason.
    Parameters are those of `pareto_figure`.
    """
    title = f"{model} on {dataset}: the trials in order"
    if not records:
        return style.message_figure(title, "No trial has been made yet.", height=420)
    groups = _groups(records, outcome)
    scored = [record for group in groups.values() for record in group]
    best = front_and_chosen(outcome)
    numbers = (min(r.number for r in records) - 0.7, max(r.number for r in records) + 0.7)
    upper = style.Frame(numbers, _mae_range(scored, best, {}))
    lower = style.Frame(numbers, _coverage_range(scored, best, {}, target=target_coverage))
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06, row_heights=[0.58, 0.42]
    )
    style.apply_style(figure, title, height=660)
    _add_best_so_far(figure, scored, frame=upper)
    _add_target(figure, target_coverage, row=2)
    for name, group in groups.items():
        hover = [hover_text(r, outcome, unit) for r in group]
        for row, score, frame in ((1, "mae", upper), (2, "picp", lower)):
            points = [(float(r.number), r.scores[score]) for r in group]
            _add_markers(figure, name, points, frame=frame, row=row)
            figure.data[-1].update(hovertext=hover)
    failed = [r for r in records if r.state is TrialState.FAILED]
    floor = [(float(r.number), upper.y_range[0]) for r in failed]
    _add_markers(figure, "failed", floor, frame=upper, row=1)
    figure.data[-1].update(hovertext=[hover_text(r, outcome, unit) for r in failed])
    style.add_note(figure, _above_note(scored, upper, unit))
    figure.update_yaxes(title_text=style.axis_title("MAE", unit), range=upper.y_range, row=1)
    figure.update_yaxes(title_text="PICP (%)", range=lower.y_range, row=2)
    figure.update_xaxes(range=numbers, tickformat="d", nticks=min(20, len(records) + 1))
    figure.update_xaxes(title_text="trial", row=2)
    return figure


def front_records(outcome: Outcome) -> list[TrialRecord]:
    """The trials of the front in order of MAE."""
    by_number = {record.number: record for record in outcome.records}
    return [by_number[number] for number in outcome.front]


def front_and_chosen(outcome: Outcome | None) -> list[TrialRecord]:
    """The trials that a figure always shows."""
    return [*front_records(outcome), outcome.chosen] if outcome else []


def named_references(outcome: Outcome | None) -> dict[str, Scores]:
    """Scores of the references by the names that a reader sees."""
    scores_of = outcome.baselines if outcome else {}
    return {name.replace("_", " "): scores for name, scores in scores_of.items()}


def _mae_and_picp(scores: Scores) -> tuple[float, float]:
    return scores["mae"], scores["picp"]


def _groups(
    records: Sequence[TrialRecord], outcome: Outcome | None
) -> dict[str, list[TrialRecord]]:
    """Trials with an MAE and a PICP, by how they are drawn; the last group is drawn on top."""
    groups: dict[str, list[TrialRecord]] = {
        name: [] for name in ("other trials", "pruned", *WITH_BARS)
    }
    for record in records:
        if {"mae", "picp"} <= record.scores.keys():
            groups[group_of(record, outcome)].append(record)
    return groups


def group_of(record: TrialRecord, outcome: Outcome | None) -> str:
    """The key in `STYLES` of a trial that has scores."""
    number = record.number
    if outcome and number == outcome.selection.number:
        return "chosen"
    if outcome and number in outcome.front:
        return "front, tied" if outcome.is_tied(number) else "front"
    if outcome and number in outcome.front_probability:
        return "tied with the front"
    return "pruned" if record.state is TrialState.PRUNED else "other trials"


def score_interval(
    record: TrialRecord, outcome: Outcome | None, score: str
) -> tuple[float | None, float | None]:
    """The score plus and minus the 95 % half-width of its difference to the chosen trial.

    What days do to both is left out, or it would hide how sure their order is. (None, None) where
    it is unknown, and for the chosen trial itself.
    """
    value = record.scores.get(score)
    error = outcome.gap_errors.get(record.number, {}).get(score) if outcome else None
    if value is None or error is None or not np.isfinite(error):
        return None, None
    return value - HALF_WIDTH_95 * error, value + HALF_WIDTH_95 * error


def _mae_range(
    scored: Sequence[TrialRecord], best: Sequence[TrialRecord], references: Mapping[str, Scores]
) -> style.Range:
    """The front and the best reference; the rest unless it is far off."""
    good = [r.scores["mae"] for r in best]
    lowest = min((scores["mae"] for scores in references.values()), default=np.inf)
    near = [lowest] if good and lowest <= 1.8 * min(good) else []
    return style.low_is_good_range([r.scores["mae"] for r in scored], shown=[*good, *near])


def _coverage_range(
    scored: Sequence[TrialRecord],
    best: Sequence[TrialRecord],
    references: Mapping[str, Scores],
    *,
    target: float,
) -> style.Range:
    """Always the target band and the front with its intervals; the rest unless it is far off."""
    shown = [target - 1.6 * TOLERANCE, target + 1.6 * TOLERANCE]
    for record in best:
        shown += [record.scores["picp"], *(record.picp_interval or ())]
    others = np.array([s["picp"] for s in (*(r.scores for r in scored), *references.values())])
    if others.size:
        low, high = np.quantile(others, [0.25, 0.75])
        reach = max(2.0 * (high - low), 12.0)
        shown += others[(others >= low - reach) & (others <= high + reach)].tolist()
    low, high = style.padded(shown)
    return max(low, -2.0), min(high, 102.0)


def _add_target(figure: style.Figure, target: float, *, row: int | None = None) -> None:
    panel = {} if row is None else {"row": row, "col": 1}
    figure.add_hrect(
        y0=target - TOLERANCE,
        y1=target + TOLERANCE,
        fillcolor=style.GREEN,
        opacity=0.09,
        line_width=0,
        annotation_text=f"target {target:g} % ± {TOLERANCE:g}",
        annotation_position="inside top right",
        annotation_font={"size": 12, "color": style.GREEN},
        layer="below",
        exclude_empty_subplots=False,
        **panel,
    )
    figure.add_hline(
        y=target,
        line={"color": style.GREEN, "width": 1.5, "dash": "dash"},
        layer="below",
        exclude_empty_subplots=False,
        **panel,
    )


def _add_front_line(
    figure: style.Figure, front: Sequence[TrialRecord], *, frame: style.Frame, target: float
) -> None:
    """The boundary of what the front dominates, above and below the target."""
    misses = np.minimum.accumulate([abs(r.scores["picp"] - target) for r in front])
    maes = [*(r.scores["mae"] for r in front), frame.x_range[1]]
    for side in (1.0, -1.0):
        edge = target + side * np.append(misses, misses[-1])
        figure.add_trace(
            go.Scatter(
                x=maes,
                y=edge.tolist(),
                mode="lines",
                line={"shape": "hv", "color": style.BLUE, "width": 1.6},
                opacity=0.6,
                name="edge of the front",
                legendgroup="edge",
                showlegend=side > 0.0,
                hoverinfo="skip",
            )
        )


def _add_markers(
    figure: style.Figure,
    name: str,
    points: Sequence[tuple[float, float]],
    *,
    frame: style.Frame,
    row: int | None = None,
) -> None:
    """Markers in the style of their group; outside the frame, a triangle at its edge."""
    colour, symbol, size, opacity = STYLES[name]
    drawn = [frame.clamped(x, y) for x, y in points]
    trace = go.Scatter(
        x=[x for x, _ in drawn],
        y=[y for _, y in drawn],
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=bool(points) and row in (None, 1),
        cliponaxis=False,
        marker={
            "color": colour,
            "size": [size if frame.holds(x, y) else size + 3 for x, y in points],
            "opacity": opacity,
            "symbol": [frame.edge_symbol(x, y, inside=symbol) for x, y in points],
            "line": {"color": "white", "width": _line_width(name, symbol)},
        },
        hovertemplate="%{hovertext}<extra></extra>",
    )
    panel = {} if row is None else {"row": row, "col": 1}
    figure.add_trace(trace, **panel)


def _line_width(name: str, symbol: str) -> int:
    """Width of a marker's outline in pixels; hollow marks of ties have a strong one."""
    if "tied" in name:
        return 2
    return 0 if symbol.endswith("open") else 1


def _add_labels(
    figure: style.Figure,
    chosen: Sequence[TrialRecord],
    references: Mapping[str, Scores],
    *,
    frame: style.Frame,
    obstacles: Sequence[tuple[float, float]],
) -> None:
    named = [(f"trial {r.number}, chosen", r.scores) for r in chosen] + [*references.items()]
    texts = [(text, *frame.clamped(*_mae_and_picp(scores))) for text, scores in named]
    drawn = [frame.clamped(*point) for point in obstacles]
    drawn += [frame.clamped(*_mae_and_picp(scores)) for scores in references.values()]
    colours = [style.VERMILION] * len(chosen) + [style.GREEN] * len(references)
    labels = style.place_labels(texts, frame=frame, obstacles=drawn)
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


def _marker_and_bar(record: TrialRecord, *, with_bar: bool) -> list[tuple[float, float]]:
    """Points that a trial's marker and its error bar cover: MAE, and PICP in percent."""
    mae, picp = _mae_and_picp(record.scores)
    if not with_bar or record.picp_interval is None:
        return [(mae, picp)]
    return [(mae, y) for y in (picp, *np.linspace(*record.picp_interval, 7).tolist())]


def _add_best_so_far(
    figure: style.Figure, scored: Sequence[TrialRecord], *, frame: style.Frame
) -> None:
    """A line over completed trials only: a pruned one was scored after less training."""
    done = sorted(
        (r for r in scored if r.state is TrialState.COMPLETE), key=lambda record: record.number
    )
    if not done:
        return
    best = np.minimum.accumulate([r.scores["mae"] for r in done]).tolist()
    figure.add_trace(
        go.Scatter(
            x=[*(r.number for r in done), frame.x_range[1]],
            y=[*best, best[-1]],
            mode="lines",
            line={"shape": "hv", "color": style.BLUE, "width": 1.6},
            name="best MAE so far",
            hoverinfo="skip",
        ),
        row=1,
        col=1,
    )


def hover_text(record: TrialRecord, outcome: Outcome | None, unit: str) -> str:
    """A trial in a few lines, shown when the pointer is on it."""
    scores = record.scores
    lines = [f"<b>trial {record.number}</b>, {record.state}"]
    if "mae" in scores:
        lines.append(f"MAE {scores['mae']:.4g} {escape(unit)}")
    if "picp" in scores:
        low, high = record.picp_interval or (None, None)
        interval = "" if low is None else f" (95 % interval {low:.1f} to {high:.1f})"
        lines.append(f"PICP {scores['picp']:.1f} %{interval}")
    if "mean_width" in scores:
        lines.append(f"mean width {scores['mean_width']:.4g} {escape(unit)}")
    if record.n_seeds > 1:
        lines.append(f"mean of {record.n_seeds} trainings")
    if outcome and record.number in outcome.front_probability:
        lines.append(f"on the front with {100.0 * outcome.front_probability[record.number]:.0f} %")
    if record.reason:
        lines.append(escape(record.reason))
    lines += [
        escape(f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}")
        for name, value in record.config.items()
    ]
    return "<br>".join(lines)


def _reference_hover(name: str, scores: Scores, unit: str) -> str:
    return (
        f"<b>{escape(name)}</b><br>MAE {scores['mae']:.4g} {escape(unit)}"
        f"<br>PICP {scores['picp']:.1f} %"
    )


def _outside_note(
    scored: Sequence[TrialRecord], references: Sequence[tuple[float, float]], frame: style.Frame
) -> str:
    n_trials = sum(not frame.holds(*_mae_and_picp(r.scores)) for r in scored)
    n_references = sum(not frame.holds(*point) for point in references)
    counts = [count(n, noun) for n, noun in ((n_trials, "trial"), (n_references, "reference")) if n]
    if not counts:
        return ""
    if n_trials + n_references == 1:
        return f"{counts[0]} lies outside the picture and stands at its edge as a triangle"
    return f"{' and '.join(counts)} lie outside the picture and stand at its edge as triangles"


def _above_note(scored: Sequence[TrialRecord], frame: style.Frame, unit: str) -> str:
    above = [r.scores["mae"] for r in scored if r.scores["mae"] > frame.y_range[1]]
    if not above:
        return ""
    subject = "1 trial has" if len(above) == 1 else f"{len(above)} trials have"
    return f"{subject} a larger MAE than the axis shows, up to {max(above):.4g} {unit}".strip()
