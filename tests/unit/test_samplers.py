"""Suggestions of real samplers on a cheap problem with a known front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from paretocast.errors import SettingsError
from paretocast.search.models import MODELS
from paretocast.search.pareto import hypervolume
from paretocast.search.samplers import (
    N_STARTUP_TRIALS,
    N_STARTUP_TRIALS_MFGP,
    Observation,
    Sampler,
    design_point,
    population_size,
)
from paretocast.search.space import SAMPLERS, Choice, Config, IntRange, Space
from spaces import SPACE


def evaluate(config: Config) -> tuple[float, float]:
    """Two objectives; the front is lr = 0.01, two layers, width 32 and any dropout."""
    miss = (
        abs(math.log10(float(config["lr"])) + 2.0)
        + abs(int(config["num_layers"]) - 2)
        + abs(math.log2(float(config["width"])) - 5.0)
    )
    dropout = float(config["dropout"])
    return dropout + miss, 1.0 - dropout + miss


def make_sampler(
    sampler: str, *, n_trials: int = 60, seed: int = 1, space: Space = SPACE
) -> Sampler:
    return Sampler(space, n_objectives=2, sampler=sampler, seed=seed, n_trials=n_trials)


def search(sampler: str, n_trials: int, *, seed: int = 1) -> list[Observation]:
    study_sampler = make_sampler(sampler, n_trials=n_trials, seed=seed)
    trials: list[Observation] = []
    for number in range(n_trials):
        config = study_sampler.suggest(number, trials)
        trials.append(Observation(number, config, evaluate(config)))
    return trials


def volume(trials: Sequence[Observation]) -> float:
    return hypervolume(np.array([trial.values for trial in trials]), [4.0, 4.0])


@pytest.mark.parametrize("sampler", ["mfgp", "tpe", "nsga2", "random", "qmc"])
def test_a_config_that_is_too_large_gives_way_and_no_other_does(sampler: str) -> None:
    limited = Sampler(
        SPACE,
        n_objectives=2,
        sampler=sampler,
        seed=1,
        n_trials=24,
        fits=lambda config: int(config["width"]) < 64,
    )
    free, n_large = make_sampler(sampler, n_trials=24), 0
    trials: list[Observation] = []
    for number in range(24):
        config, other = limited.suggest(number, trials), free.suggest(number, trials)
        assert int(config["width"]) < 64
        n_large += int(other["width"]) == 64
        assert config == other or int(other["width"]) == 64
        trials.append(Observation(number, config, evaluate(config)))
    assert n_large > 0
    assert len({str(trial.config) for trial in trials}) == 24


def test_a_space_in_which_nothing_fits_is_told() -> None:
    sampler = Sampler(SPACE, n_objectives=2, seed=1, n_trials=9, fits=lambda _: False)
    with pytest.raises(SettingsError, match=r"each of 64 configs .* too large.*max_weights"):
        sampler.suggest(0, [])


SLOW_GP = pytest.param("gp", marks=pytest.mark.slow)


@pytest.mark.parametrize("sampler", [SLOW_GP, *(s for s in SAMPLERS if s != "gp")])
def test_a_proposal_lies_in_the_space_and_depends_on_nothing_but_what_was_seen(
    sampler: str,
) -> None:
    trials = search("random", 20)
    first = make_sampler(sampler).suggest(20, trials)
    assert set(first) == set(SPACE)
    assert all(SPACE[name].holds(value) for name, value in first.items())
    assert make_sampler(sampler).suggest(20, list(reversed(trials))) == first
    assert make_sampler(sampler, seed=2).suggest(20, trials) != first
    assert make_sampler(sampler).suggest(21, trials) != first


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s != "random"])
def test_the_start_is_the_same_design_for_every_sampler(sampler: str) -> None:
    configs = [t.config for t in search(sampler, N_STARTUP_TRIALS_MFGP)]
    assert configs == [design_point(SPACE, i, seed=1) for i in range(N_STARTUP_TRIALS_MFGP)]


def test_the_design_fills_every_range_evenly() -> None:
    configs = [design_point(SPACE, i, seed=5) for i in range(16)]
    quarters = sorted(int(4 * float(c["dropout"])) for c in configs)
    assert quarters == sorted([0, 1, 2, 3] * 4)
    decades = sorted(math.floor(math.log10(float(c["lr"]))) for c in configs)
    assert decades == sorted([-4, -3, -2, -1] * 4)
    assert sorted(c["num_layers"] for c in configs) == sorted([1, 2, 3, 4] * 4)


def test_the_design_keeps_heads_that_divide_the_hidden_size() -> None:
    space = {**MODELS["TFT_Q"].space, "hidden_size": Choice((4, 6, 32))}
    space["num_attention_heads"] = Choice((2, 4, 8))
    configs = [design_point(space, i, seed=1) for i in range(32)]
    assert all(int(c["hidden_size"]) % int(c["num_attention_heads"]) == 0 for c in configs)
    assert {c["num_attention_heads"] for c in configs} == {2, 4, 8}


@pytest.mark.parametrize("sampler", ["mfgp", "tpe", SLOW_GP, "nsga2", "nsga3"])
def test_a_conditional_space_is_searched_too(sampler: str) -> None:
    space = {**MODELS["TFT_Q"].space, "hidden_size": Choice((4, 6, 32))}
    space["num_attention_heads"] = Choice((2, 4, 8))
    rng = np.random.default_rng(0)
    trials = [
        Observation(i, design_point(space, i, seed=2), tuple(rng.random(2).tolist()))
        for i in range(16)
    ]
    config = make_sampler(sampler, space=space, n_trials=16).suggest(16, trials)
    assert int(config["hidden_size"]) % int(config["num_attention_heads"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["mfgp", "tpe", "nsga2", "nsga3"])
def test_a_sampler_that_learns_finds_more_than_the_design(sampler: str) -> None:
    by_sampler, by_design = (
        [volume(search(name, 40, seed=seed)) for seed in range(2)] for name in (sampler, "qmc")
    )
    assert np.mean(by_sampler) > np.mean(by_design)


@pytest.mark.slow
def test_the_gaussian_process_finds_more_than_the_design() -> None:
    assert volume(search("gp", 20)) > volume(search("qmc", 20))


@pytest.mark.parametrize(
    ("sampler", "n_startup"), [("mfgp", N_STARTUP_TRIALS_MFGP), ("tpe", N_STARTUP_TRIALS)]
)
def test_a_sampler_starts_learning_after_its_design(sampler: str, n_startup: int) -> None:
    trials = search(sampler, 20)
    design = [design_point(SPACE, i, seed=1) for i in range(20)]
    same = [trial.config == point for trial, point in zip(trials, design, strict=True)]
    assert same == [True] * n_startup + [False] * (20 - n_startup)


def test_evolution_goes_through_several_generations_of_a_small_budget() -> None:
    # Optuna's default population of 50 would leave all 50 trials in the first generation.
    assert population_size(50) == 8
    trials = search("nsga2", 50)
    means = [
        np.mean([trial.values for trial in trials[first : first + 8]])
        for first in (0, 8, 16, 24, 32, 40)
    ]
    assert means[-1] < 0.6 * means[0]
    assert sum(later < earlier for earlier, later in pairwise(means)) >= 3


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
def test_a_child_comes_from_the_best_of_all_earlier_generations(sampler: str) -> None:
    # Two generations of six. The first holds every good trial; the second is worthless. Children
    # of the third must still come from the first: its genes are width 32, theirs is width 64.
    good = {"lr": 0.01, "dropout": 0.5, "num_layers": 2, "width": 32}
    trials = [
        Observation(i, {**good, "dropout": i / 10}, (i / 10, 1 - i / 10)) for i in range(6)
    ] + [Observation(6 + i, {**good, "width": 64}, (5.0 + i, 5.0 + i)) for i in range(6)]
    study_sampler = make_sampler(sampler, n_trials=30)
    assert population_size(30) == 6
    widths = [study_sampler.suggest(12 + i, trials)["width"] for i in range(20)]
    assert widths.count(32) > 12


@pytest.mark.parametrize("sampler", ["mfgp", "tpe", "nsga2", "nsga3"])
def test_no_config_is_tried_twice_while_there_are_others(sampler: str) -> None:
    configs = [tuple(trial.config.values()) for trial in search(sampler, 30)]
    rounded = {tuple(round(v, 6) if isinstance(v, float) else v for v in c) for c in configs}
    assert len(rounded) == 30


def test_an_exhausted_space_still_has_a_proposal() -> None:
    space: Space = {"width": Choice((16, 32)), "num_layers": IntRange(1, 2)}
    trials = [Observation(i, design_point(space, i, seed=1), (float(i), 1.0)) for i in range(12)]
    assert set(make_sampler("nsga2", n_trials=30, space=space).suggest(12, trials)) == set(space)


def test_a_queue_comes_first_and_the_design_still_comes_after_it() -> None:
    # Ten of the points that a study with the same seed began with.
    queue = [design_point(SPACE, i, seed=1) for i in range(10)]
    study_sampler = Sampler(SPACE, n_objectives=2, seed=1, n_trials=60, queue=queue)
    trials: list[Observation] = []
    for number in range(15):
        config = study_sampler.suggest(number, trials)
        trials.append(Observation(number, config, evaluate(config)))
    assert [t.config for t in trials[:10]] == queue
    after = [t.config for t in trials[10:]]
    assert not any(config in queue for config in after)
    # Two points of a design, in the two halves of each range; then the sampler.
    assert sorted(int(2 * float(c["dropout"])) for c in after[:2]) == [0, 1]
    assert sorted(int(c["num_layers"]) > 2 for c in after[:2]) == [False, True]


@pytest.mark.parametrize("sampler", ["mfgp", "tpe", SLOW_GP])
def test_workers_are_not_sent_to_the_same_place(sampler: str) -> None:
    trials = search("qmc", 12)
    first = make_sampler(sampler).suggest(12, trials)
    running = [*trials, Observation(12, first)]
    second = make_sampler(sampler).suggest(13, running)
    assert second != first


def test_while_nothing_has_ended_every_worker_gets_a_point_of_the_design() -> None:
    study_sampler = make_sampler("tpe")
    trials: list[Observation] = []
    for number in range(40):
        trials.append(Observation(number, study_sampler.suggest(number, trials)))
    assert len({tuple(t.config.values()) for t in trials}) == 40


@pytest.mark.parametrize(
    ("sampler", "n_trials", "n_seeds"),
    [("mfgp", 20, 1), ("tpe", 40, 2), ("nsga2", 40, 2), ("nsga3", 40, 2)],
)
def test_a_sampler_keeps_to_what_a_constraint_allows(
    sampler: str, n_trials: int, n_seeds: int
) -> None:
    def constrained(number: int, config: Config) -> Observation:
        # Both objectives pull the dropout to where it is forbidden.
        dropout = float(config["dropout"])
        values = (dropout + evaluate(config)[0], 2 * dropout + evaluate(config)[0])
        return Observation(number, config, values, ((0.5 - dropout) / 0.5,))

    allowed = []
    for seed in range(n_seeds):
        study_sampler = make_sampler(sampler, n_trials=n_trials, seed=seed)
        trials: list[Observation] = []
        for number in range(n_trials):
            trials.append(constrained(number, study_sampler.suggest(number, trials)))
        later = trials[n_trials // 2 :]
        allowed.append(np.mean([float(t.config["dropout"]) >= 0.5 for t in later]))
    assert np.mean(allowed) > 0.6


@pytest.mark.slow
def test_a_gaussian_process_takes_constraints() -> None:
    trials = [
        Observation(t.number, t.config, t.values, (0.5 - float(t.config["dropout"]),))
        for t in search("qmc", 12)
    ]
    config = make_sampler("gp").suggest(12, trials)
    assert set(config) == set(SPACE)


@pytest.mark.parametrize(("sampler", "n_trials"), [("mfgp", 24), ("tpe", 50)])
def test_a_failed_trial_is_kept_away_from(sampler: str, n_trials: int) -> None:
    # Everything with a high learning rate fails and has no values.
    def observe(number: int, config: Config) -> Observation:
        if float(config["lr"]) > 0.1:
            return Observation(number, config, failed=True)
        return Observation(number, config, evaluate(config))

    study_sampler = make_sampler(sampler)
    trials: list[Observation] = []
    for number in range(n_trials):
        trials.append(observe(number, study_sampler.suggest(number, trials)))
    assert sum(t.values is None for t in trials[2 * n_trials // 5 :]) <= n_trials // 16


def test_an_unknown_sampler_lists_the_known_ones() -> None:
    with pytest.raises(
        SettingsError, match="sampler 'grid' is unknown, expected one of mfgp, tpe, gp"
    ):
        make_sampler("grid")


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["mfgp", "tpe", "nsga2", "nsga3"])
def test_a_proposal_after_2000_trials_is_cheap(sampler: str) -> None:
    import time

    trials = [
        Observation(i, config := design_point(SPACE, i, seed=3), evaluate(config))
        for i in range(2000)
    ]
    study_sampler = make_sampler(sampler, n_trials=2100)
    study_sampler.suggest(1999, trials[:100])
    start = time.process_time()
    study_sampler.suggest(2000, trials)
    assert time.process_time() - start < 1.5  # 5 % of a trial of 30 s
