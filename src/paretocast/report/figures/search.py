"""Figure of the history of a study's trials, and what figures of trials share.

They are drawn from the records of the trials (`StudyResult.records`), each scored on the mean over
its seeds, and the `Outcome` made of them, None while no trial is complete.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from paretocast.report.figures import style
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
TOLD_SCORES = ("mae", "picp", "coverage_error", "mean_width")  # of every trial, in its hover text
HALF_WIDTH_95 = 1.96  # of a 95 % interval, in standard errors


def history_figure(
    records: Sequence[TrialRecord],
    outcome: Outcome | None,
    *,
    target_coverage: float,
    unit: str,
) -> style.Figure:
    """MAE and coverage of each trial in the order they were made, with the best MAE so far.

    Failed trials are crosses at the bottom of the upper panel; the hover text gives the reason.

    Parameters
    ----------
    records : sequence of TrialRecord
        As of a `StudyResult`. MAE is in target units, PICP in percent.
    outcome : Outcome or None
        Front and chosen trial.
    target_coverage : float
        In percent.
    unit : str
        Of the target.
    """
    title = "Trials in order"
    if not records:
        return style.message_figure(title, "No trial has been made yet.", height=420)
    groups = groups_of(records, outcome)
    scored = [record for group in groups.values() for record in group]
    best = front_and_chosen(outcome)
    numbers = (min(r.number for r in records) - 0.7, max(r.number for r in records) + 0.7)
    upper = style.Frame(numbers, mae_range(scored, best, {}))
    lower = style.Frame(numbers, _coverage_range(scored, best, target=target_coverage))
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


def groups_of(
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


def mae_range(
    scored: Sequence[TrialRecord], best: Sequence[TrialRecord], references: Mapping[str, Scores]
) -> style.Range:
    """Range of the axis: the front and the best reference, the rest unless it is far off."""
    good = [r.scores["mae"] for r in best]
    lowest = min((scores["mae"] for scores in references.values()), default=np.inf)
    near = [lowest] if good and lowest <= 1.8 * min(good) else []
    return style.low_is_good_range([r.scores["mae"] for r in scored], shown=[*good, *near])


def _coverage_range(
    scored: Sequence[TrialRecord],
    best: Sequence[TrialRecord],
    *,
    target: float,
) -> style.Range:
    """Always the target band and the front with its intervals; the rest unless it is far off."""
    shown = [target - 1.6 * TOLERANCE, target + 1.6 * TOLERANCE]
    for record in best:
        shown += [record.scores["picp"], *(record.picp_interval or ())]
    others = np.array([r.scores["picp"] for r in scored])
    if others.size:
        low, high = np.quantile(others, [0.25, 0.75])
        reach = max(2.0 * (high - low), 12.0)
        shown += others[(others >= low - reach) & (others <= high + reach)].tolist()
    low, high = style.padded(shown)
    return max(low, -2.0), min(high, 102.0)


def _add_target(figure: style.Figure, target: float, *, row: int) -> None:
    figure.add_hrect(
        y0=target - TOLERANCE,
        y1=target + TOLERANCE,
        fillcolor=style.GREEN,
        opacity=0.09,
        line_width=0,
        annotation_text=f"target {target:g} % ± {TOLERANCE:g}",
        annotation_position="inside top right",
        annotation_font={"size": 12, "color": style.DARK_GREEN},
        layer="below",
        exclude_empty_subplots=False,
        row=row,
        col=1,
    )
    figure.add_hline(
        y=target,
        line={"color": style.GREEN, "width": 1.5, "dash": "dash"},
        layer="below",
        exclude_empty_subplots=False,
        row=row,
        col=1,
    )


def _add_markers(
    figure: style.Figure,
    name: str,
    points: Sequence[tuple[float, float]],
    *,
    frame: style.Frame,
    row: int,
) -> None:
    """Markers in the style of their group; outside the frame, a triangle at its edge."""
    colour, symbol, size, opacity = STYLES[name]
    drawn = [frame.clamped(x, y) for x, y in points]
    trace = go.Scatter(
        x=[x for x, _ in drawn],
        y=style.rounded([y for _, y in drawn]),
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=bool(points) and row == 1,
        cliponaxis=False,
        marker={
            "color": colour,
            "size": [size if frame.holds(x, y) else size + 3 for x, y in points],
            "opacity": opacity,
            "symbol": [frame.edge_symbol(x, y, inside=symbol) for x, y in points],
            "line": {"color": "white", "width": line_width(name, symbol)},
        },
        hovertemplate="%{hovertext}<extra></extra>",
    )
    figure.add_trace(trace, row=row, col=1)


def line_width(name: str, symbol: str) -> int:
    """Width of a marker's outline in pixels; hollow marks of ties have a strong one."""
    if "tied" in name:
        return 2
    return 0 if symbol.endswith("open") else 1


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
            y=style.rounded([*best, best[-1]]),
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
        lines.append(f"MAE {scores['mae']:.4g} {escape(unit)}{_gap_text(record, outcome, 'mae')}")
    if "picp" in scores:
        low, high = record.picp_interval or (None, None)
        interval = "" if low is None else f" (95 % interval {low:.1f} to {high:.1f})"
        lines.append(f"PICP {scores['picp']:.1f} %{interval}")
    if "mean_width" in scores:
        gap = _gap_text(record, outcome, "mean_width")
        lines.append(f"mean width {scores['mean_width']:.4g} {escape(unit)}{gap}")
    for objective in outcome.objectives if outcome else ():
        if objective.name in scores and objective.name not in TOLD_SCORES:
            gap = _gap_text(record, outcome, objective.name)
            lines.append(f"{escape(objective.label)} {scores[objective.name]:.4g}{gap}")
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


def _gap_text(record: TrialRecord, outcome: Outcome | None, score: str) -> str:
    """The difference of a score to that of the chosen trial with its interval, if it is known."""
    low, high = score_interval(record, outcome, score)
    if outcome is None or low is None or high is None:
        return ""
    chosen = outcome.chosen.scores[score]
    gap = record.scores[score] - chosen
    return f", {gap:+.2g} [{low - chosen:+.2g}, {high - chosen:+.2g}] to the chosen"


def _above_note(scored: Sequence[TrialRecord], frame: style.Frame, unit: str) -> str:
    above = [r.scores["mae"] for r in scored if r.scores["mae"] > frame.y_range[1]]
    if not above:
        return ""
    subject = "1 trial has" if len(above) == 1 else f"{len(above)} trials have"
    return f"{subject} a larger MAE than the axis shows, up to {max(above):.4g} {unit}".strip()
