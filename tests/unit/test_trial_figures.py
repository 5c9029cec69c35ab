"""Figures of trials, and the error along a parameter whose effect is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from outcomes import complete, failed
from paretocast.report.figures import (
    Curve,
    parallel_figure,
    slices_figure,
    timeline_figure,
    training_figure,
)
from paretocast.results.slices import parameter_slices
from paretocast.search.space import Choice, FloatRange, IntRange, Space, config_at
from paretocast.training.trial import TrialRecord

SPACE: Space = {
    "lr": FloatRange(1e-5, 1e-1, log=True),
    "num_stacks": IntRange(2, 4),
    "layer_widths": Choice((256, 512, 1024)),
}


def draw_trials(n: int, *, most: float = 1.0) -> list[TrialRecord]:
    """Trials whose MAE depends on the learning rate alone, lowest at 1e-3."""
    rng = np.random.default_rng(0)
    trials = []
    for number in range(n):
        shares = rng.random(3) * (most, 1.0, 1.0)
        mae = 1.0 + 4.0 * (shares[0] - 0.5) ** 2 + 0.01 * rng.normal()
        config = config_at(SPACE, shares.tolist())
        trials.append(replace(complete(number, mae, 80.0), config=config))
    return trials


def test_a_slice_finds_the_lowest_error_and_the_parameter_that_matters() -> None:
    trials = draw_trials(30)
    slices = parameter_slices(trials, trials[0].config, space=SPACE, model="M")
    assert slices[0].name == "lr"
    lowest = slices[0].positions[slices[0].mean.argmin()]
    assert abs(lowest - 0.5) < 0.1
    assert slices[0].effect > 5.0 * max(other.effect for other in slices[1:])


def test_a_slice_is_unsure_where_no_trial_is_near() -> None:
    trials = draw_trials(20, most=0.5)
    of_lr = parameter_slices(trials, trials[0].config, space=SPACE, model="M")
    (slice_,) = (one for one in of_lr if one.name == "lr")
    width = slice_.high - slice_.low
    assert width[-1] > 3.0 * width[len(width) // 4]


def test_few_trials_have_no_slices_and_a_figure_that_says_so() -> None:
    trials = [*draw_trials(9), failed(9)]
    slices = parameter_slices(trials, trials[0].config, space=SPACE, model="M")
    assert slices == ()
    assert "Too few" in slices_figure(slices, unit="kWh").layout.annotations[0].text


def test_a_value_of_a_list_has_its_own_tick() -> None:
    trials = draw_trials(12)
    figure = slices_figure(
        parameter_slices(trials, trials[0].config, space=SPACE, model="M"), unit="kWh"
    )
    ticks = {axis.ticktext for axis in figure.select_xaxes()}
    assert ("256", "512", "1024") in ticks
    assert ("1e-05", "0.1") in ticks


def test_each_trial_is_a_line_across_its_parameters_and_the_chosen_one_is_on_top() -> None:
    trials = draw_trials(10)
    figure = parallel_figure(trials, SPACE, chosen=4)
    top = figure.data[-1]
    assert top.name == "trial 4, chosen"
    assert top.y[:4] == (0, 1, 2, 3)
    assert top.x[0] == round(SPACE["lr"].share(trials[4].config["lr"]), 3)
    lines = sum(t.x.count(None) for t in figure.data)
    assert lines == 10
    assert figure.layout.yaxis.ticktext == ("lr", "num_stacks", "layer_widths", "MAE")


def test_the_weights_that_were_kept_have_a_dot_on_the_curve() -> None:
    losses = ((10, 0.5), (20, 0.3), (30, 0.4))
    figure = training_figure(
        [Curve("trial 3", losses, 20, chosen=True), Curve("trial 1", losses, 30, chosen=False)]
    )
    dots = [(t.x, t.y) for t in figure.data if t.name == "weights kept"]
    assert dots == [((30,), (0.4,)), ((20,), (0.3,))]
    assert figure.data[-2].name == "trial 3"  # in front of the others


def test_a_model_without_steps_has_no_curve() -> None:
    figure = training_figure([Curve("trial 0", (), 0, chosen=True)])
    assert "without steps" in figure.layout.annotations[0].text


def test_curves_are_of_the_front_where_the_chosen_trial_has_none() -> None:
    curves = [Curve("trial 1", ((10, 0.5), (20, 0.3)), 20, chosen=False)]
    figure = training_figure([Curve("trial 0", (), 0, chosen=True), *curves])
    assert figure.layout.title.text == "Training of the front"
    assert "fitted at once, without steps" in figure.layout.annotations[0].text
    of_chosen = [replace(curve, chosen=True) for curve in curves]
    assert training_figure(of_chosen).layout.title.text == "Training of the chosen trial"


def test_trainings_lie_on_the_line_of_their_worker() -> None:
    begun = [
        replace(trial, worker=i % 2, began=1000.0 * i, ended=1000.0 * i + 60.0)
        for i, trial in enumerate(draw_trials(4))
    ]
    figure = timeline_figure([*begun, replace(failed(9), worker=1, began=0.0, ended=1.0)])
    assert figure is not None
    done, crashed = figure.data
    assert done.y == ("worker 0", "worker 1", "worker 0", "worker 1")
    assert done.x == (60_000,) * 4
    assert done.base[1] == "1970-01-01 00:16:40"
    assert (crashed.name, crashed.y) == ("failed", ("worker 1",))


def test_records_of_earlier_versions_have_no_timeline() -> None:
    assert timeline_figure(draw_trials(3)) is None
