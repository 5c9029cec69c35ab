from __future__ import annotations

from collections.abc import Mapping

from outcomes import complete, failed, outcome_of
from paretocast.report.figures import tradeoff_figure
from paretocast.report.figures.style import Figure
from paretocast.search.objectives import parse_objectives

NAMES = {"unit": "kWh"}


TRIALS = (
    complete(0, 0.10, 80.0, mean_width=0.6, r2=0.9),
    complete(1, 0.12, 80.0, mean_width=0.4, r2=0.8),
    complete(2, 0.13, 80.0, mean_width=0.5, r2=0.7),
    complete(3, 0.20, 80.0, mean_width=0.7, r2=0.6),
    complete(4, 0.125, 80.0, mean_width=0.45, r2=0.75),
)
# Trial 2 is on the front and tied, trial 4 beside it.
PLACES = {0: 1.0, 1: 1.0, 2: 0.5, 4: 0.5}
GAP_ERRORS = {number: {"mae": 0.01, "mean_width": 0.02} for number in (1, 2, 3, 4)}


def draw(*objectives: str, references: Mapping[str, Mapping[str, float]] | None = None) -> Figure:
    outcome = outcome_of(
        TRIALS,
        front=(0, 1, 2),
        chosen=0,
        places=PLACES,
        gap_errors=GAP_ERRORS,
        references=references,
        objectives=objectives,
    )
    return tradeoff_figure(TRIALS, outcome, objectives=parse_objectives(objectives), **NAMES)


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


def test_the_interval_of_the_difference_to_the_chosen_trial_is_in_the_hover_text() -> None:
    sure = traces(draw("mae", "mean_width"), "front")[0]
    assert sure.error_x.array is None
    assert "MAE 0.12 kWh, +0.02 [+0.0004, +0.04] to the chosen" in sure.hovertext[0]
    assert "mean width 0.4 kWh, -0.2 [-0.24, -0.16] to the chosen" in sure.hovertext[0]
    star = traces(draw("mae", "r2"), "chosen")[0]
    assert "to the chosen" not in star.hovertext[0]
    assert "R² 0.9" in star.hovertext[0]


def test_every_legend_entry_stands_once() -> None:
    figure = draw("mae", "mean_width", "r2")
    shown = [t.name for t in figure.data if t.showlegend]
    assert len(shown) == len(set(shown))


def test_a_reference_within_reach_is_drawn() -> None:
    near, far = {"mae": 0.15, "mean_width": 0.5}, {"mae": 9.0, "mean_width": 9.0}
    figure = draw("mae", "mean_width", references={"ridge": near, "naive": far})
    assert [t.x for t in traces(figure, "references")] == [(0.15,)]


def test_without_a_scored_trial_it_is_said_in_words() -> None:
    figure = tradeoff_figure([failed(0)], None, objectives=parse_objectives(("mae", "r2")), **NAMES)
    assert figure.layout.annotations[0].text == "No trial has been scored yet."
