from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from outcomes import complete, failed, outcome_of
from paretocast.metrics.diagnostics import CoverageByGroup, GroupCoverage, Share
from paretocast.metrics.uncertainty import PairedDifference
from paretocast.report.figures import (
    MIN_TRIALS_FOR_IMPORTANCE,
    Figure,
    SplitSpan,
    breakdown_figure,
    figure_html,
    forecast_figure,
    history_figure,
    importance_figure,
    pareto_figure,
    pit_figure,
    reliability_figure,
    series_figure,
)
from paretocast.report.figures.demand import thinned
from paretocast.report.figures.style import Frame, low_is_good_range, place_labels
from paretocast.search.selection import TrialState
from paretocast.study.importances import Importance
from paretocast.training.trial import TrialRecord

NAMES: dict[str, Any] = {
    "target_coverage": 80.0,
    "unit": "kWh/h",
}


# Below and above the target on the front, two dominated ones beside them.
TRIALS = (
    complete(0, 0.14, 72.0),
    replace(complete(1, 0.15, 84.0), config={"lr": 0.0012345}),
    complete(2, 0.16, 90.0),
    complete(3, 0.17, 60.0),
)
REFERENCES = {"seasonal_naive_24": {"mae": 0.193, "picp": 75.3}}


def draw(
    *others: TrialRecord,
    front: tuple[int, ...] = (0, 1),
    references: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """The front of `TRIALS` and some more."""
    records = (*TRIALS, *others)
    outcome = outcome_of(records, front=front, chosen=1, references=references)
    return pareto_figure(records, outcome, **NAMES)


def trace(figure: Figure, name: str) -> Figure:
    found = [t for t in figure.data if t.name == name]
    assert found, [t.name for t in figure.data]
    return found[0]


def notes(figure: Figure) -> list[str]:
    return [a.text for a in figure.layout.annotations if a.name == "note"]


def labels(figure: Figure) -> list[str]:
    return [a.text for a in figure.layout.annotations if a.name == "label"]


def test_the_star_stands_at_the_chosen_trial_and_is_labelled() -> None:
    figure = draw(references=REFERENCES)
    star = trace(figure, "chosen")
    assert (star.x, star.y, star.marker.symbol) == ((0.15,), (4.0,), ("star",))
    assert "trial 1, chosen: 84 %" in labels(figure)


def test_coverage_is_drawn_as_its_distance_to_the_target_with_its_side() -> None:
    figure = draw()
    assert trace(figure, "front").y == (8.0,)
    assert trace(figure, "front").marker.symbol == ("triangle-down",)
    assert trace(figure, "other trials").y == (10.0, 20.0)
    assert trace(figure, "other trials").marker.symbol == ("triangle-up", "triangle-down")


def test_the_edge_of_the_front_falls_from_the_top_and_ends_on_the_right() -> None:
    figure = draw()
    edge = trace(figure, "edge of the front")
    top, right = figure.layout.yaxis.range[1], figure.layout.xaxis.range[1]
    assert edge.y == pytest.approx((top, 8.0, 4.0, 4.0), rel=1e-3)
    assert edge.x == pytest.approx((0.14, 0.14, 0.15, right), rel=1e-3)


def test_the_chosen_trial_alone_has_bars_of_its_coverage() -> None:
    figure = draw()
    assert trace(figure, "front").error_y.array is None
    bars = trace(figure, "chosen").error_y
    assert (bars.array, bars.arrayminus) == ((2.0,), (2.0,))


def test_a_bar_over_the_target_ends_on_it() -> None:
    near = replace(TRIALS[1], scores={"mae": 0.15, "picp": 81.0}, picp_interval=(78.0, 84.0))
    figure = pareto_figure([near], outcome_of([near], front=[1], chosen=1), **NAMES)
    bars = trace(figure, "chosen").error_y
    assert (bars.array, bars.arrayminus) == ((3.0,), (1.0,))


def test_the_difference_to_a_reference_has_its_interval_there() -> None:
    outcome = outcome_of(
        TRIALS, front=(0, 1), chosen=1, references={"ridge": {"mae": 0.152, "picp": 78.0}}
    )
    gaps = {"ridge": PairedDifference(-0.002, -0.005, 0.001)}
    bars = trace(pareto_figure(TRIALS, outcome, gaps=gaps, **NAMES), "references").error_x
    # The chosen trial has 0.15: the reference would lie between 0.149 and 0.155.
    assert bars.array == pytest.approx((0.003,))
    assert bars.arrayminus == pytest.approx((0.003,))


def test_the_default_configuration_is_labelled() -> None:
    outcome = outcome_of(TRIALS, front=(0, 1), chosen=1)
    figure = pareto_figure(TRIALS, outcome, default_number=2, **NAMES)
    assert "trial 2, default" in labels(figure)


def test_references_are_labelled_diamonds() -> None:
    figure = draw(references=REFERENCES)
    assert trace(figure, "references").marker.symbol == ("diamond",)
    assert "seasonal naive 24" in labels(figure)


def test_the_axes_name_their_units() -> None:
    figure = draw()
    assert figure.layout.xaxis.title.text == "mean absolute error (kWh/h)"
    assert figure.layout.yaxis.title.text == "coverage off 80 % (points)"


def test_a_diverged_trial_does_not_squash_the_others_and_is_counted() -> None:
    figure = draw(complete(4, 900.0, 1.0))
    low, high = figure.layout.xaxis.range
    assert high - low < 0.1
    assert notes(figure) == ["1 trial lies outside the picture: an arrow at its edge"]
    others = trace(figure, "other trials")
    assert others.marker.symbol[-1] == "arrow-right"
    assert others.x[-1] == pytest.approx(high, rel=1e-3)
    assert "MAE 900" in others.hovertext[-1]


def test_without_outliers_there_is_no_note() -> None:
    assert notes(draw(references=REFERENCES)) == []


def test_every_trial_of_the_front_is_inside_the_picture() -> None:
    figure = draw(complete(5, 3.0, 80.0), front=(0, 1, 5))
    assert figure.layout.xaxis.range[1] > 3.0


def test_markup_in_a_name_is_shown_and_not_obeyed() -> None:
    nasty = "<script>alert(1)</script>"
    named = replace(TRIALS[1], config={nasty: nasty}, reason=nasty)
    references = {nasty: {"mae": 0.2, "picp": 75.0}}
    outcome = outcome_of([named], front=[1], chosen=1, references=references)
    figure = pareto_figure([named], outcome, **{**NAMES, "unit": nasty})
    html = figure_html(figure, element_id="f")
    assert nasty not in html
    assert "<script>alert" not in figure.to_json()
    assert "&lt;script&gt;" in figure.layout.xaxis.title.text


def test_the_page_offers_no_upload_of_the_figure() -> None:
    html = figure_html(draw(), element_id="f")
    assert '"showSendToCloud": false' in html
    assert '"modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]]' in html


@pytest.mark.parametrize(
    "figure", [pareto_figure([], None, **NAMES), history_figure([], None, **NAMES)]
)
def test_no_trial_is_said_in_words(figure: Figure) -> None:
    assert len(figure.data) == 0
    assert figure.layout.annotations[0].text.startswith("No trial has been")


def test_a_study_of_failures_still_has_a_history() -> None:
    figure = history_figure([failed(0, reason="loss <not> finite")], None, **NAMES)
    crosses = trace(figure, "failed")
    assert crosses.x == (0.0,)
    assert "loss &lt;not&gt; finite" in crosses.hovertext[0]


def test_failed_trials_lie_at_the_bottom_of_the_errors() -> None:
    figure = history_figure((*TRIALS, failed(4, reason="why")), None, **NAMES)
    crosses = trace(figure, "failed")
    assert crosses.y == pytest.approx((figure.layout.yaxis.range[0],))
    assert "why" in crosses.hovertext[0]


def test_the_best_so_far_never_rises_and_takes_no_pruned_trial() -> None:
    pruned = replace(complete(9, 0.01, 80.0), state=TrialState.PRUNED)
    trials = (complete(2, 0.13, 80.0), complete(0, 0.15, 80.0), complete(1, 0.2, 80.0), pruned)
    best = trace(history_figure(trials, None, **NAMES), "best MAE so far")
    assert best.x[:3] == (0, 1, 2)
    assert best.y == (0.15, 0.15, 0.13, 0.13)


def test_the_history_has_a_panel_for_the_coverage() -> None:
    outcome = outcome_of(TRIALS, front=(0, 1), chosen=1)
    figure = history_figure(TRIALS, outcome, **NAMES)
    below = [t for t in figure.data if t.name == "other trials" and t.yaxis == "y2"]
    assert below[0].y == (90.0, 60.0)
    assert any("target 80 %" in a.text for a in figure.layout.annotations)


def draw_importances() -> Figure:
    chances = {"a": 0.6, "b": 0.5}
    importances = {
        "MAE": Importance({"b": 0.75, "a": 0.25}, chances),
        "coverage": Importance({"a": 0.55, "b": 0.45}, chances),
    }
    return importance_figure(importances, n_trials=20)


def test_importances_are_percent_in_a_panel_for_each_objective() -> None:
    bars = [(t.y, t.x) for t in draw_importances().data if t.name == "not told apart from chance"]
    assert bars == [(("a",), (25.0,)), (("a", "b"), (55.0, 45.0))]


def test_a_bar_beyond_chance_has_a_colour_of_its_own_and_chance_stands_behind_it() -> None:
    figure = draw_importances()
    apart = trace(figure, "told apart from chance")
    assert (apart.y, apart.x) == (("b",), (75.0,))
    assert trace(figure, "what chance may give").x == (50.0, 60.0)


def test_markup_in_the_name_of_an_objective_or_parameter_is_shown_and_not_obeyed() -> None:
    nasty = "<script>alert(1)</script>"
    importances = {nasty: Importance({nasty: 1.0}, {nasty: 0.5})}
    figure = importance_figure(importances, n_trials=20)
    assert "<script>alert" not in figure.to_json()


def test_too_few_trials_give_words_instead_of_bars() -> None:
    n_trials = MIN_TRIALS_FOR_IMPORTANCE - 1
    figure = importance_figure({}, n_trials=n_trials)
    assert len(figure.data) == 0
    assert f"{n_trials} scored trials are too few" in figure.layout.annotations[0].text


def draw_day(levels: tuple[float, ...], *, unit: str = "") -> Figure:
    middle = np.arange(3.0)
    quantiles = middle[:, None] + np.array([-2.0, -1.0, 0.0, 1.0, 3.0])
    return forecast_figure(
        pd.DatetimeIndex(["2020-01-01"], tz="Europe/Copenhagen"),
        quantiles[None],
        observed=np.array([[0.5, np.nan, 2.5]]),
        levels=levels,
        unit=unit,
        model="M",
        dataset="d",
    )


def test_a_fan_pairs_the_outermost_levels_first() -> None:
    figure = draw_day((0.05, 0.1, 0.5, 0.9, 0.95), unit="kWh")
    assert [t.name for t in figure.data] == ["5 to 95 %", "10 to 90 %", "median", "observed"]
    assert figure.data[0].y == (3.0, 4.0, 5.0, 0.0, -1.0, -2.0)  # up along 95 %, back along 5 %
    assert figure.data[2].y.tolist() == [0.0, 1.0, 2.0]
    assert np.isnan(figure.data[3].y[1])


def test_a_forecast_is_drawn_in_local_time() -> None:
    figure = draw_day((0.1, 0.3, 0.5, 0.7, 0.9))
    assert pd.Timestamp(figure.data[-1].x[0]) == pd.Timestamp("2020-01-01 00:00")


def test_each_hour_of_a_series_has_the_colour_of_its_split() -> None:
    index = pd.date_range("2020-01-01", periods=6, freq="h", tz="UTC")
    spans = [SplitSpan("train", index[0], index[2]), SplitSpan("test", index[4], index[5])]
    figure = series_figure(index, np.arange(6.0), spans=spans, name="s", unit="m")
    assert trace(figure, "train").y.tolist()[:2] == [0.0, 1.0]
    drawn = {t.name: t.y[~np.isnan(t.y)].tolist() for t in figure.data}
    assert drawn == {"train": [0.0, 1.0], "test": [4.0], "unused": [2.0, 3.0, 5.0]}


def test_a_thinned_series_keeps_its_extremes_and_its_gaps() -> None:
    values = np.sin(np.arange(10_000.0))
    values[1234] = 99.0
    values[5000:6000] = np.nan
    kept = thinned(values, n_buckets=100)
    assert kept.size <= 200
    assert (np.diff(kept) > 0).all()
    assert 1234 in kept
    assert np.isnan(values[kept]).sum() >= 9


def test_reliability_points_stand_over_their_level() -> None:
    figure = reliability_figure(
        [Share(10.0, 14.0, 11.0, 18.0)], n_observed=240, model="M", dataset="d"
    )
    points = figure.data[1]
    assert (points.x, points.y) == ((10.0,), (14.0,))
    assert (points.error_y.array, points.error_y.arrayminus) == ((4.0,), (3.0,))
    assert notes(figure) == ["M on d, 240 observed values"]


def test_a_group_shows_its_coverage_its_interval_and_its_width() -> None:
    group = GroupCoverage("07", 72.0, 65.0, 80.0, mean_width=0.3, winkler=0.5, n=90, n_windows=90)
    figure = breakdown_figure(CoverageByGroup("local <hour>", (group,)), target=80.0, unit="kWh")
    points, bars = figure.data
    assert (points.x, points.y) == (("07",), (72.0,))
    assert (points.error_y.array, points.error_y.arrayminus) == ((8.0,), (7.0,))
    assert bars.y == (0.3,)
    assert figure.layout.shapes[0].y0 == 80.0
    assert "local &lt;hour&gt;" in figure_html(figure, element_id="f")


def test_a_grouping_without_a_group_says_so() -> None:
    figure = breakdown_figure(CoverageByGroup("temperature", ()), target=80.0, unit="kWh")
    assert "No target time" in figure.layout.annotations[0].text


def test_a_bin_of_the_pit_histogram_stands_in_the_middle_of_its_levels() -> None:
    figure = pit_figure([Share(30.0, 12.0, 9.0, 16.0)], n_observed=240)
    assert (figure.data[0].x, figure.data[0].y) == ((35.0,), (12.0,))


def test_equal_values_still_have_a_range() -> None:
    low, high = low_is_good_range([2.0, 2.0], shown=[])
    assert low < 2.0 < high


def test_labels_of_points_on_one_spot_do_not_overlap() -> None:
    frame = Frame((0.0, 1.0), (0.0, 1.0))
    placed = place_labels([("one label", 0.5, 0.5)] * 3, frame=frame, obstacles=[(0.5, 0.5)])
    centres = {(label.x_shift, label.y_shift) for label in placed}
    assert len(centres) == 3
    rows = sorted(label.y_shift for label in placed)
    columns = {label.x_shift for label in placed}
    assert len(columns) == 3 or min(np.diff(rows)) >= 18.0


def test_a_label_at_the_edge_stays_inside() -> None:
    frame = Frame((0.0, 1.0), (0.0, 1.0))
    (label,) = place_labels([("a rather long label", 1.0, 0.5)], frame=frame, obstacles=[])
    assert label.x_shift < 0.0
