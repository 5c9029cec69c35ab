"""Importance of parameters whose effect is known, and of parameters without any."""

from __future__ import annotations

import warnings

import numpy as np
import optuna
import pytest

from paretocast.search.space import Choice, FloatRange, IntRange, Space, config_at
from paretocast.study.importances import importance_of

SPACE: Space = {
    "lr": FloatRange(1e-5, 1e-2, log=True),
    "dropout": FloatRange(0.0, 0.4),
    "num_stacks": IntRange(2, 5),
    "layer_widths": Choice((256, 512, 1024)),
}


def draw_configs(n: int, seed: int) -> list[dict[str, int | float | str]]:
    rng = np.random.default_rng(seed)
    return [config_at(SPACE, rng.random(len(SPACE)).tolist()) for _ in range(n)]


def test_shares_are_those_of_optuna() -> None:
    configs = draw_configs(40, seed=0)
    values = np.array([float(c["dropout"]) + 0.1 * float(c["num_stacks"]) for c in configs])
    study = optuna.create_study()
    for config, value in zip(configs, values, strict=True):
        distributions = {name: parameter.distribution() for name, parameter in SPACE.items()}
        study.add_trial(
            optuna.trial.create_trial(params=config, distributions=distributions, value=value)
        )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=5 / 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = optuna.importance.get_param_importances(study, evaluator=evaluator)
    found = importance_of(configs, values, space=SPACE, n_shuffles=1)
    assert found.shares == pytest.approx(expected)


def test_noise_is_told_apart_from_chance_in_a_twentieth_of_studies() -> None:
    n_studies = 120
    told = 0
    for seed in range(n_studies):
        noise = np.random.default_rng([1, seed]).random(20)
        configs = draw_configs(20, seed=seed)
        told += bool(importance_of(configs, noise, space=SPACE, n_shuffles=39).told_apart)
    # Binomial with 120 and 1 / 20: within 0 and 14 with a chance of 99.9 %.
    assert told <= 14


def test_an_effect_is_told_apart_from_chance_and_the_rest_is_not() -> None:
    configs = draw_configs(60, seed=0)
    values = np.array([float(config["dropout"]) for config in configs])
    found = importance_of(configs, values, space=SPACE)
    assert found.told_apart == ("dropout",)
    assert sum(found.shares.values()) == pytest.approx(1.0)


def test_equal_results_tell_nothing() -> None:
    found = importance_of(draw_configs(12, seed=4), np.ones(12), space=SPACE)
    assert found.told_apart == ()
    assert set(found.shares.values()) == {0.25}


def test_two_effects_are_both_told_apart() -> None:
    configs = draw_configs(100, seed=6)
    values = np.array([float(c["dropout"]) + 0.2 * float(c["num_stacks"]) for c in configs])
    assert set(importance_of(configs, values, space=SPACE).told_apart) == {"dropout", "num_stacks"}


def test_a_parameter_that_cannot_vary_or_that_a_config_lacks_has_no_share() -> None:
    configs = draw_configs(12, seed=5)
    del configs[3]["lr"]
    space = {**SPACE, "num_stacks": IntRange(3, 3)}
    found = importance_of(configs, np.arange(12.0), space=space, n_shuffles=19)
    assert set(found.shares) == {"dropout", "layer_widths"}
