"""The config that a model of all rungs suggests, on problems whose front is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paretocast.search.pareto import hypervolume
from paretocast.search.samplers import Observation, design_point
from paretocast.search.samplers.mfgp import _expected_growth, _learn, learn_cost, suggest
from paretocast.search.space import Config, shares_of
from spaces import SPACE


def bowl(config: Config) -> tuple[float, float]:
    """Both objectives are best at a learning rate of 0.01 and disagree about the dropout."""
    away = abs(np.log10(float(config["lr"])) + 2.0)
    dropout = float(config["dropout"])
    return dropout + away, 1.0 - dropout + away


def scored_trials(n: int) -> list[Observation]:
    configs = [design_point(SPACE, i, seed=2) for i in range(n)]
    return [Observation(i, config, bowl(config)) for i, config in enumerate(configs)]


def suggest_from(trials: list[Observation], seed: int = 1) -> Config:
    return suggest(SPACE, trials, trials, seed=seed)


@pytest.mark.parametrize("n_objectives", [1, 2, 3])
def test_the_growth_of_certain_candidates_is_ordered_as_their_hypervolume(
    n_objectives: int,
) -> None:
    rng = np.random.default_rng(n_objectives)
    values = rng.random((6, n_objectives))
    candidates = 0.7 * rng.random((40, n_objectives))
    corner = np.ones(n_objectives)
    growth = _expected_growth(np.repeat(candidates[:, None], 4, axis=1), values, corner, rng)
    before = hypervolume(values, corner)
    exact = [
        hypervolume(np.vstack([values, candidate]), corner) - before for candidate in candidates
    ]
    assert np.corrcoef(growth, exact)[0, 1] > 0.97
    assert (growth[np.array(exact) == 0.0] < 1e-3 * growth.max()).all()


def test_it_goes_where_the_front_grows() -> None:
    configs = [suggest_from(scored_trials(12), seed) for seed in range(6)]
    away = [abs(np.log10(float(config["lr"])) + 2.0) for config in configs]
    assert np.median(away) < 0.3


def test_of_configs_that_promise_as_much_it_takes_the_cheaper() -> None:
    # Every dropout is on the front; a trial without it costs a twentieth of one with all of it.
    design = [design_point(SPACE, i, seed=9) for i in range(24)]
    log_cost = learn_cost(SPACE, design, [20.0 ** float(c["dropout"]) for c in design])
    trials = scored_trials(12)
    free = [float(suggest_from(trials, seed)["dropout"]) for seed in range(8)]
    paid = [
        float(suggest(SPACE, trials, trials, seed=seed, log_cost=log_cost)["dropout"])
        for seed in range(8)
    ]
    assert np.mean(paid) < np.mean(free) - 0.1


def test_unknown_costs_are_passed_over() -> None:
    design = [design_point(SPACE, i, seed=9) for i in range(24)]
    costs = [2.0 + float(c["dropout"]) for c in design]
    holes = [np.nan if i % 3 == 0 else cost for i, cost in enumerate(costs)]
    process = learn_cost(SPACE, design, holes)
    assert process is not None
    points = np.array([[*shares_of(SPACE, config), 0.0] for config in design])
    np.testing.assert_allclose(np.exp(process.predict(points)[0]), costs, rtol=0.05)
    assert learn_cost(SPACE, design, [np.nan] * 24) is None


def test_a_stopped_trial_teaches_what_it_would_have_come_to() -> None:
    # At the first rung everything is worse by 3, so a stopped trial looks worse than all that
    # ended; only stopped ones were tried near the best learning rate.
    trials = []
    for trial in scored_trials(40):
        near = abs(np.log10(float(trial.config["lr"])) + 2.0) < 1.0
        values = bowl(trial.config)
        early = tuple(value + 3.0 for value in values)
        if near:
            trials.append(Observation(trial.number, trial.config, early, share=1 / 3))
        else:
            trials.append(Observation(trial.number, trial.config, values, before=((1 / 3, early),)))
    away = [abs(np.log10(float(suggest_from(trials, seed)["lr"])) + 2.0) for seed in range(6)]
    assert np.median(away) < 0.5


def learnt_at(config: Config, trials: list[Observation]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of both objectives at a config, on the scale of the model."""
    mean, deviation = _learn(SPACE, trials).at_the_end(np.array([shares_of(SPACE, config)]))
    return mean[0], deviation[0]


def test_what_runs_counts_as_expected_and_what_failed_as_the_worst() -> None:
    trials = scored_trials(10)
    config = suggest_from(trials)
    early = tuple(value + 3.0 for value in bowl(config))
    mean, deviation = learnt_at(config, trials)
    running, sure = learnt_at(config, [*trials, Observation(10, config)])
    np.testing.assert_allclose(running, mean, atol=1e-6)
    assert (sure < 0.8 * deviation).all()
    failed, _ = learnt_at(config, [*trials, Observation(10, config, failed=True)])
    assert (failed > mean).all()
    # One that runs beyond its first rung is not one that was stopped there: it is sure as well.
    halfway = Observation(10, config, early, share=1 / 3, running=True)
    _, sure_halfway = learnt_at(config, [*trials, halfway])
    _, stopped = learnt_at(config, [*trials, replace(halfway, running=False)])
    assert (sure_halfway < stopped).all()


def test_failures_at_high_learning_rates_keep_the_search_away_from_there() -> None:
    failed = [
        Observation(20 + i, {**design_point(SPACE, 40 + i, seed=2), "lr": 0.3}, failed=True)
        for i in range(10)
    ]
    trials = [*scored_trials(10), *failed]
    assert all(float(suggest_from(trials, seed)["lr"]) < 0.2 for seed in range(6))


@pytest.mark.parametrize("share", [None, 1 / 3])
def test_workers_that_begin_one_after_the_other_spread(share: float | None) -> None:
    trials = scored_trials(12)
    for number in range(12, 20):
        config = suggest_from(trials)
        early = None if share is None else tuple(value + 3.0 for value in bowl(config))
        trials.append(Observation(number, config, early, share=share or 1.0, running=True))
    dropouts = sorted(float(trial.config["dropout"]) for trial in trials[12:])
    assert dropouts[-1] - dropouts[0] > 0.4


def test_a_requirement_keeps_it_to_one_side() -> None:
    trials = [
        Observation(t.number, t.config, t.values, violations=(0.5 - float(t.config["dropout"]),))
        for t in scored_trials(12)
    ]
    dropouts = [float(suggest_from(trials, seed)["dropout"]) for seed in range(6)]
    assert np.mean([dropout >= 0.5 for dropout in dropouts]) >= 5 / 6


def test_a_bound_far_from_everything_is_approached() -> None:
    # The violation follows the dropout, almost without noise, and nothing meets the bound.
    trials = [
        Observation(
            t.number, t.config, t.values, violations=(1.0 + 2.0 * float(t.config["dropout"]),)
        )
        for t in scored_trials(20)
    ]
    dropouts = [float(suggest_from(trials, seed)["dropout"]) for seed in range(5)]
    assert np.median(dropouts) < 0.2


def test_both_ends_of_a_front_that_is_nothing_but_a_tradeoff_are_searched() -> None:
    def tradeoff(config: Config) -> tuple[float, float]:
        away, dropout = abs(np.log10(float(config["lr"])) + 2.0), float(config["dropout"])
        return dropout + 0.05 * away, 1.0 - dropout + 0.05 * away

    trials = [Observation(t.number, t.config, tradeoff(t.config)) for t in scored_trials(4)]
    for number in range(4, 24):
        config = suggest_from(trials, number)
        trials.append(Observation(number, config, tradeoff(config)))
    dropouts = [float(trial.config["dropout"]) for trial in trials[4:]]
    assert min(dropouts) < 0.2
    assert max(dropouts) > 0.8
    assert np.quantile(dropouts, 0.75) - np.quantile(dropouts, 0.25) > 0.25


def test_one_trial_is_enough_to_begin_and_none_is_tried_twice() -> None:
    trials = scored_trials(1)
    for number in range(1, 12):
        config = suggest_from(trials)
        assert all(SPACE[name].holds(value) for name, value in config.items())
        assert config not in [trial.config for trial in trials]
        trials.append(Observation(number, config, bowl(config)))


def test_a_training_that_diverged_does_not_hide_the_others() -> None:
    worst = Observation(30, {**design_point(SPACE, 30, seed=2), "lr": 1.0}, (1e9, 1e9))
    away = [
        abs(np.log10(float(suggest_from([*scored_trials(12), worst], seed)["lr"])) + 2.0)
        for seed in range(6)
    ]
    assert np.median(away) < 0.4
