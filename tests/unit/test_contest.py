"""Models that share a study: whose turn it is, and what each sees of the others."""

from __future__ import annotations

import pytest

from paretocast.errors import SettingsError
from paretocast.search.models import MODELS, model_label, models_of
from paretocast.search.samplers import ContestSampler, Observation, Sampler
from paretocast.search.samplers.contest import next_model
from paretocast.search.space import MODEL, Contest, parameter_ranges, trial_parameters
from paretocast.settings import TuneSettings


def observed(number: int, model: str, loss: float | None = None) -> Observation:
    config = {MODEL: model, **MODELS[model].default}
    values = None if loss is None else (loss, 1.0)
    return Observation(number=number, config=config, values=values, running=loss is None)


def turns(losses: dict[str, float], n_trials: int) -> list[str]:
    """The models of a study whose every trial has the loss of its model."""
    trials: dict[str, list[Observation]] = {name: [] for name in losses}
    order = []
    for number in range(n_trials):
        name = next_model(trials, n_left=n_trials - number)
        trials[name].append(observed(number, name, losses[name]))
        order.append(name)
    return order


def test_cheap_models_come_first_and_expensive_ones_wait() -> None:
    order = turns(dict.fromkeys(MODELS, 1.0), 40)
    assert order[:3] == ["RIDGE", "LIGHTGBM", "NHITS_Q"]
    spent = sum(MODELS[name].cost for name in order[: order.index("TFT_Q")])
    assert spent >= 4.0 * MODELS["TFT_Q"].cost or order.index("TFT_Q") >= 38


def test_every_model_is_tried_before_a_study_ends() -> None:
    assert set(turns(dict.fromkeys(MODELS, 1.0), 8)) == set(MODELS)


def test_time_goes_to_what_promises_most() -> None:
    order = turns({"NHITS_Q": 1.0, "LIGHTGBM": 1.1}, 60)
    spent = {name: order.count(name) * MODELS[name].cost for name in ("NHITS_Q", "LIGHTGBM")}
    assert spent["NHITS_Q"] > 5.0 * spent["LIGHTGBM"] > 0.0


def test_a_failed_model_keeps_a_small_share() -> None:
    trials = {"NHITS_Q": [observed(0, "NHITS_Q", 1.0)] * 5, "RIDGE": [observed(1, "RIDGE")] * 5}
    assert next_model(trials, n_left=9) == "NHITS_Q"


def test_a_suggestion_is_a_function_of_the_trials_and_names_its_model() -> None:
    settings = TuneSettings(model="ridge,nhits_q", trials=30)
    space = settings.search_space()
    assert isinstance(space, Contest)
    samplers = {
        name: Sampler(own, n_objectives=2, seed=1, n_trials=30, queue=[MODELS[name].default])
        for name, own in space.spaces.items()
    }
    sampler = ContestSampler(samplers, n_trials=30)
    trials = [observed(0, "RIDGE", 1.0), observed(1, "NHITS_Q", 1.0), observed(2, "RIDGE", 1.0)]
    config = sampler.suggest(3, trials)
    assert config == sampler.suggest(3, trials[::-1])
    assert set(config) == {MODEL, *space.of(config)}


def test_parameters_of_two_models_have_names_of_their_own_for_optuna() -> None:
    space = TuneSettings(model="all", recipe=()).search_space()
    named = [
        trial_parameters({MODEL: name, **MODELS[name].default}, space)
        for name in ("NHITS_Q", "TFT_Q")
    ]
    assert set(named[0]) & set(named[1]) == {MODEL}
    for name, parameters in zip(("NHITS_Q", "TFT_Q"), named, strict=True):
        ranges = parameter_ranges(space, {MODEL: name, **MODELS[name].default})
        assert set(ranges) == set(parameters)
        assert all(ranges[key].holds(value) for key, value in parameters.items())


def test_a_label_names_models_in_the_order_of_the_registry() -> None:
    assert models_of(model_label("lightgbm, Nhits_q,LIGHTGBM")) == ("NHITS_Q", "LIGHTGBM")
    assert models_of(model_label("all")) == tuple(MODELS)
    with pytest.raises(SettingsError, match="did you mean"):
        model_label("NHITS_Q,RIGDE")
