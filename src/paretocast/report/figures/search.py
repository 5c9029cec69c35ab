"""What a study found: the Pareto front and the history of the trials."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from paretocast.report.figures import style
from paretocast.search.objectives import DEFAULT_OBJECTIVES
from paretocast.search.selection import TOLERANCE, TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class TrialPoint:
    """One trial as figures and pages show it; None marks what was not measured.

    Attributes
    ----------
    mae : float or None
        In target units.
    picp, picp_low, picp_high : float or None
        Measured coverage of the interval and its 95 % interval, in percent.
    mean_width : float or None
        Of the interval, in target units.
    tied : bool
        Whether the front and this trial cannot be told apart: one of the front that another may
        well replace, or one beside it that no others beat significantly.
    front_probability : float or None
        Its chance to be on the front.
    scores, standard_errors : mapping of str to float
        By name, in the units of the scores.
    gap_errors : mapping of str to float
        Standard errors of the differences to the chosen trial.
    n_seeds : int
        Trainings that the scores are the mean of.
    params : mapping of str to value
        The config.
    reason : str
        Why a trial failed or was pruned.
    """

    number: int
    state: TrialState
    mae: float | None = None
    picp: float | None = None
    picp_low: float | None = None
    picp_high: float | None = None
    mean_width: float | None = None
    on_front: bool = False
    chosen: bool = False
    tied: bool = False
    front_probability: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    standard_errors: Mapping[str, float] = field(default_factory=dict)
    gap_errors: Mapping[str, float] = field(default_factory=dict)
    n_seeds: int = 1
    params: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class ReferencePoint:
    """A simple method beside the trials: MAE in target units, PICP in percent, all its scores."""

    name: str
    mae: float
    picp: float
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Judged:
    """A trial with its two measures known."""

    trial: TrialPoint
    mae: float
    picp: float


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
NORMAL_975 = 1.96


def pareto_figure(
    trials: Sequence[TrialPoint],
    references: Sequence[ReferencePoint],
    *,
    target_coverage: float,
    unit: str,
    model: str,
    dataset: str,
    objectives: Sequence[str] = DEFAULT_OBJECTIVES,
) -> style.Figure:
    """MAE against measured coverage: all trials, the front, the chosen one and the references.

    The step line bounds what the front dominates. It stands on both sides of the target, since a
    coverage above the target counts as much as one below; of other objectives it would not be the
    edge, and is left out. A trial of the front that is hollow is tied: another may belong in its
    place. Bars are 95 % intervals: upright of the coverage, across of the difference in MAE to the
    chosen trial. Points far out are drawn at the edge, as triangles, and counted in a note.

    Parameters
    ----------
    target_coverage : float
        In percent.
    objectives : sequence of str
        What the front is one of.
    """
    title = f"{model} on {dataset}: error against coverage"
    groups = _groups(trials)
    judged = [j for group in groups.values() for j in group]
    if not judged:
        return style.message_figure(title, "No trial has been judged yet.", height=420)
    front = sorted((j for j in judged if j.trial.on_front), key=lambda j: j.mae)
    frame = style.Frame(
        _mae_range(judged, references), _coverage_range(judged, references, target_coverage)
    )
    figure = style.blank_figure(title, height=580)
    _add_target(figure, target_coverage)
    if set(objectives) == set(DEFAULT_OBJECTIVES):
        _add_front_line(figure, front, frame=frame, target_coverage=target_coverage)
    for name, group in groups.items():
        _add_markers(figure, name, [(j.mae, j.picp) for j in group], frame=frame)
        figure.data[-1].update(hovertext=[hover_text(j.trial, unit) for j in group])
        if name in WITH_BARS:
            bars = [(j.picp, j.trial.picp_low, j.trial.picp_high) for j in group]
            across = [(j.mae, *score_interval(j.trial, "mae")) for j in group]
            figure.data[-1].update(
                error_y=style.error_bars(bars, STYLES[name][0]),
                error_x=style.error_bars(across, STYLES[name][0]),
            )
    _add_markers(figure, "references", [(r.mae, r.picp) for r in references], frame=frame)
    figure.data[-1].update(hovertext=[_reference_hover(r, unit) for r in references])
    _add_labels(figure, groups["chosen"], references, frame=frame, obstacles=judged)
    style.add_note(figure, _outside_note(judged, references, frame))
    figure.update_xaxes(title_text=style.axis_title("mean absolute error", unit))
    figure.update_xaxes(range=frame.x_range)
    figure.update_yaxes(title_text="coverage of the interval, PICP (%)", range=frame.y_range)
    return figure


def history_figure(
    trials: Sequence[TrialPoint], *, target_coverage: float, unit: str, model: str, dataset: str
) -> style.Figure:
    """MAE and coverage of each trial in the order they were made, with the best MAE so far.

    Failed trials are crosses at the bottom of the upper panel; the hover text gives the reason.
    """
    title = f"{model} on {dataset}: the trials in order"
    if not trials:
        return style.message_figure(title, "No trial has been made yet.", height=420)
    groups = _groups(trials)
    judged = [j for group in groups.values() for j in group]
    numbers = (min(t.number for t in trials) - 0.7, max(t.number for t in trials) + 0.7)
    upper = style.Frame(numbers, _mae_range(judged, ()))
    lower = style.Frame(numbers, _coverage_range(judged, (), target_coverage))
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06, row_heights=[0.58, 0.42]
    )
    style.apply_style(figure, title, height=660)
    _add_best_so_far(figure, judged, frame=upper)
    _add_target(figure, target_coverage, row=2)
    for name, group in groups.items():
        hover = [hover_text(j.trial, unit) for j in group]
        order = [float(j.trial.number) for j in group]
        maes, picps = [j.mae for j in group], [j.picp for j in group]
        for row, values, frame in ((1, maes, upper), (2, picps, lower)):
            _add_markers(figure, name, list(zip(order, values, strict=True)), frame=frame, row=row)
            figure.data[-1].update(hovertext=hover)
    failed = [t for t in trials if t.state is TrialState.FAILED]
    floor = [(float(t.number), upper.y_range[0]) for t in failed]
    _add_markers(figure, "failed", floor, frame=upper, row=1)
    figure.data[-1].update(hovertext=[hover_text(t, unit) for t in failed])
    style.add_note(figure, _above_note(judged, upper, unit))
    figure.update_yaxes(title_text=style.axis_title("MAE", unit), range=upper.y_range, row=1)
    figure.update_yaxes(title_text="PICP (%)", range=lower.y_range, row=2)
    figure.update_xaxes(range=numbers, tickformat="d", nticks=min(20, len(trials) + 1))
    figure.update_xaxes(title_text="trial", row=2)
    return figure


def _groups(trials: Sequence[TrialPoint]) -> dict[str, list[_Judged]]:
    """Trials whose measures are known, by how they are drawn; the last group is drawn on top."""
    groups: dict[str, list[_Judged]] = {name: [] for name in ("other trials", "pruned", *WITH_BARS)}
    for trial in trials:
        if trial.mae is not None and trial.picp is not None:
            groups[group_of(trial)].append(_Judged(trial, trial.mae, trial.picp))
    return groups


def group_of(trial: TrialPoint) -> str:
    """How a trial that was judged is drawn: its key in `STYLES`."""
    if trial.chosen:
        return "chosen"
    if trial.on_front:
        return "front, tied" if trial.tied else "front"
    if trial.tied:
        return "tied with the front"
    return "pruned" if trial.state is TrialState.PRUNED else "other trials"


def score_interval(trial: TrialPoint, score: str) -> tuple[float | None, float | None]:
    """The score plus and minus the 95 % half-width of its difference to the chosen trial.

    What days do to both is left out, or it would hide how sure their order is. (None, None) where
    it is unknown, and for the chosen trial itself.
    """
    value, error = trial.scores.get(score), trial.gap_errors.get(score)
    if value is None or error is None or not np.isfinite(error):
        return None, None
    return value - NORMAL_975 * error, value + NORMAL_975 * error


def _mae_range(judged: Sequence[_Judged], references: Sequence[ReferencePoint]) -> style.Range:
    """The front and the best reference; the rest unless it is far off."""
    good = [j.mae for j in judged if j.trial.on_front or j.trial.chosen]
    best = min((r.mae for r in references), default=np.inf)
    rival = [best] if good and best <= 1.8 * min(good) else []
    return style.low_is_good_range([j.mae for j in judged], shown=[*good, *rival])


def _coverage_range(
    judged: Sequence[_Judged], references: Sequence[ReferencePoint], target: float
) -> style.Range:
    """Always the target band and the front with its intervals; the rest unless it is far off."""
    shown = [target - 1.6 * TOLERANCE, target + 1.6 * TOLERANCE]
    for j in judged:
        if j.trial.on_front or j.trial.chosen:
            shown += [v for v in (j.picp, j.trial.picp_low, j.trial.picp_high) if v is not None]
    others = np.array([*(j.picp for j in judged), *(r.picp for r in references)])
    if others.size:
        low, high = np.quantile(others, [0.25, 0.75])
        reach = max(2.0 * (high - low), 12.0)
        shown += others[(others >= low - reach) & (others <= high + reach)].tolist()
    low, high = style.padded(shown)
    return max(low, -2.0), min(high, 102.0)


def _add_target(figure: style.Figure, target: float, *, row: int | None = None) -> None:
    place = {} if row is None else {"row": row, "col": 1}
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
        **place,
    )
    figure.add_hline(
        y=target,
        line={"color": style.GREEN, "width": 1.5, "dash": "dash"},
        layer="below",
        exclude_empty_subplots=False,
        **place,
    )


def _add_front_line(
    figure: style.Figure, front: Sequence[_Judged], *, frame: style.Frame, target_coverage: float
) -> None:
    """The boundary of what the front dominates, above and below the target."""
    if not front:
        return
    misses = np.minimum.accumulate([abs(j.picp - target_coverage) for j in front])
    maes = [*(j.mae for j in front), frame.x_range[1]]
    for side in (1.0, -1.0):
        edge = target_coverage + side * np.append(misses, misses[-1])
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
    place = {} if row is None else {"row": row, "col": 1}
    figure.add_trace(trace, **place)


def _line_width(name: str, symbol: str) -> int:
    """Of a marker's outline, in pixels; hollow marks of ties are drawn with a strong one."""
    if "tied" in name:
        return 2
    return 0 if symbol.endswith("open") else 1


def _add_labels(
    figure: style.Figure,
    chosen: Sequence[_Judged],
    references: Sequence[ReferencePoint],
    *,
    frame: style.Frame,
    obstacles: Sequence[_Judged],
) -> None:
    wanted = [(f"trial {j.trial.number}, chosen", *frame.clamped(j.mae, j.picp)) for j in chosen]
    wanted += [(r.name, *frame.clamped(r.mae, r.picp)) for r in references]
    points = [frame.clamped(j.mae, y) for j in obstacles for y in _bar_heights(j)]
    points += [frame.clamped(r.mae, r.picp) for r in references]
    colours = [style.VERMILION] * len(chosen) + [style.GREEN] * len(references)
    labels = style.place_labels(wanted, frame=frame, obstacles=points)
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


def _bar_heights(judged: _Judged) -> list[float]:
    """Where a trial's marker and its error bar stand, in percent."""
    trial = judged.trial
    if not (trial.on_front or trial.chosen) or trial.picp_low is None or trial.picp_high is None:
        return [judged.picp]
    return [judged.picp, *np.linspace(trial.picp_low, trial.picp_high, 7).tolist()]


def _add_best_so_far(
    figure: style.Figure, judged: Sequence[_Judged], *, frame: style.Frame
) -> None:
    """Over completed trials only: a pruned one was judged on less training."""
    done = sorted(
        (j for j in judged if j.trial.state is TrialState.COMPLETE), key=lambda j: j.trial.number
    )
    if not done:
        return
    best = np.minimum.accumulate([j.mae for j in done]).tolist()
    figure.add_trace(
        go.Scatter(
            x=[*(j.trial.number for j in done), frame.x_range[1]],
            y=[*best, best[-1]],
            mode="lines",
            line={"shape": "hv", "color": style.BLUE, "width": 1.6},
            name="best MAE so far",
            hoverinfo="skip",
        ),
        row=1,
        col=1,
    )


def hover_text(trial: TrialPoint, unit: str) -> str:
    """What a page says of a trial when the pointer is on it."""
    lines = [f"<b>trial {trial.number}</b>, {trial.state}"]
    if trial.mae is not None:
        lines.append(f"MAE {trial.mae:.4g} {escape(unit)}")
    if trial.picp is not None:
        interval = (
            ""
            if trial.picp_low is None or trial.picp_high is None
            else f" (95 % interval {trial.picp_low:.1f} to {trial.picp_high:.1f})"
        )
        lines.append(f"PICP {trial.picp:.1f} %{interval}")
    if trial.mean_width is not None:
        lines.append(f"mean width {trial.mean_width:.4g} {escape(unit)}")
    if trial.n_seeds > 1:
        lines.append(f"mean of {trial.n_seeds} trainings")
    if trial.front_probability is not None:
        lines.append(f"on the front with {100.0 * trial.front_probability:.0f} %")
    if trial.reason:
        lines.append(escape(trial.reason))
    lines += [
        escape(f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}")
        for name, value in trial.params.items()
    ]
    return "<br>".join(lines)


def _reference_hover(reference: ReferencePoint, unit: str) -> str:
    return (
        f"<b>{escape(reference.name)}</b><br>MAE {reference.mae:.4g} {escape(unit)}"
        f"<br>PICP {reference.picp:.1f} %"
    )


def _outside_note(
    judged: Sequence[_Judged], references: Sequence[ReferencePoint], frame: style.Frame
) -> str:
    n_trials = sum(not frame.holds(j.mae, j.picp) for j in judged)
    n_references = sum(not frame.holds(r.mae, r.picp) for r in references)
    counts = [
        f"{count} {noun if count == 1 else noun + 's'}"
        for count, noun in ((n_trials, "trial"), (n_references, "reference"))
        if count
    ]
    if not counts:
        return ""
    if n_trials + n_references == 1:
        return f"{counts[0]} lies outside the picture and stands at its edge as a triangle"
    return f"{' and '.join(counts)} lie outside the picture and stand at its edge as triangles"


def _above_note(judged: Sequence[_Judged], frame: style.Frame, unit: str) -> str:
    above = [j.mae for j in judged if j.mae > frame.y_range[1]]
    if not above:
        return ""
    count = "1 trial has" if len(above) == 1 else f"{len(above)} trials have"
    return f"{count} a larger MAE than the axis shows, up to {max(above):.4g} {unit}".strip()
