from __future__ import annotations

from dataclasses import replace

from paretocast.report.figures import ReferencePoint, TrialPoint, tradeoff_figure
from paretocast.report.figures.style import Figure
from paretocast.search.objectives import parse_objectives
from paretocast.search.selection import TrialState

NAMES = {"unit": "kWh", "model": "NHITS_Q", "dataset": "heat"}


def trial(number: int, mae: float, width: float, r2: float, *, on_front: bool) -> TrialPoint:
    return TrialPoint(
        number,
        TrialState.COMPLETE,
        mae=mae,
        picp=80.0,
        on_front=on_front,
        scores={"mae": mae, "mean_width": width, "r2": r2},
        gap_errors={"mae": 0.01, "mean_width": 0.02},
    )


TRIALS = (
    replace(trial(0, 0.10, 0.6, 0.9, on_front=True), chosen=True, gap_errors={}),
    trial(1, 0.12, 0.4, 0.8, on_front=True),
    replace(trial(2, 0.13, 0.5, 0.7, on_front=True), tied=True),
    trial(3, 0.20, 0.7, 0.6, on_front=False),
    replace(trial(4, 0.125, 0.45, 0.75, on_front=False), tied=True),
)


def draw(*objectives: str, references: tuple[ReferencePoint, ...] = ()) -> Figure:
    return tradeoff_figure(TRIALS, references, objectives=parse_objectives(objectives), **NAMES)


def traces(figure: Figure, name: str) -> list[Figure]:
    return [t for t in figure.data if t.name == name and len(t.x or ())]


def test_three_objectives_have_a_panel_for_each_pair() -> None:
    figure = draw("mae", "mean_width", "r2")
    titles = [(figure.layout[f"xaxis{i}"].title.text, figure.layout[f"yaxis{i}"].title.text)
              for i in ("", 2, 3)]  # fmt: skip
    assert titles == [
        ("MAE (kWh)", "mean width (kWh)"),
        ("MAE (kWh)", "R², higher is better"),
        ("mean width (kWh)", "R², higher is better"),
    ]
    stars = traces(figure, "chosen")
    assert [(t.x, t.y) for t in stars] == [
        ((0.10,), (0.6,)), ((0.10,), (0.9,)), ((0.6,), (0.9,)),
    ]  # fmt: skip


def test_ties_are_hollow_and_the_sure_ones_are_not() -> None:
    figure = draw("mae", "mean_width")
    assert traces(figure, "front")[0].marker.symbol == ("circle",)
    assert traces(figure, "front, tied")[0].marker.symbol == ("circle-open",)
    assert traces(figure, "tied with the front")[0].x == (0.125,)


def test_bars_are_95_percent_intervals_of_the_difference_to_the_chosen_trial() -> None:
    sure = traces(draw("mae", "r2"), "front")[0]
    assert abs(sure.error_x.array[0] - 0.0196) < 1e-12
    assert sure.error_y.array == (0.0,)
    star = traces(draw("mae", "r2"), "chosen")[0]
    assert star.error_x.array == (0.0,)


def test_every_legend_entry_stands_once() -> None:
    figure = draw("mae", "mean_width", "r2")
    shown = [t.name for t in figure.data if t.showlegend]
    assert len(shown) == len(set(shown))


def test_a_reference_within_reach_is_drawn() -> None:
    near = ReferencePoint("ridge", 0.15, 80.0, {"mae": 0.15, "mean_width": 0.5})
    far = ReferencePoint("naive", 9.0, 80.0, {"mae": 9.0, "mean_width": 9.0})
    figure = draw("mae", "mean_width", references=(near, far))
    assert [t.x for t in traces(figure, "references")] == [(0.15,)]


def test_without_a_judged_trial_it_is_said_in_words() -> None:
    failed = TrialPoint(0, TrialState.FAILED)
    figure = tradeoff_figure([failed], [], objectives=parse_objectives(("mae", "r2")), **NAMES)
    assert figure.layout.annotations[0].text == "No trial has been judged yet."
