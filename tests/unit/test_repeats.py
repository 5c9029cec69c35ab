from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretocast.search.selection import TrialState
from paretocast.study.repeats import (
    FEWEST_FINISHED,
    RepeatCandidate,
    average_draws,
    average_over_seeds,
    next_repeat,
    plan_repeat,
    seed_spread,
)
from paretocast.training.trial import TrialRecord, trial_seed


def training(
    number: int,
    mae: float,
    picp: float = 80.0,
    *,
    seed_index: int = 0,
    state: TrialState = TrialState.COMPLETE,
) -> TrialRecord:
    """A record as a trial leaves it; the errors from the days are 0.03 and 3 points."""
    failed = state is TrialState.FAILED
    return TrialRecord(
        number=number,
        state=state,
        config={"lr": 0.001},
        seed=trial_seed(1, number, seed_index),
        seed_index=seed_index,
        scores={} if failed else {"mae": mae, "picp": picp},
        picp_interval=None if failed else (picp - 6.0, picp + 6.0),
        standard_errors={} if failed else {"mae": 0.03, "picp": 3.0},
        steps=900,
        fit_seconds=10.0,
    )


def candidate(
    number: int, n_seeds: int = 1, chance: float = 0.5, *, on_front: bool = True
) -> RepeatCandidate:
    return RepeatCandidate(number, n_seeds, chance, on_front=on_front)


RICH = {"n_finished": 20, "steps_of_trials": 100_000, "steps_of_repeats": 0, "steps_of_next": 900}


def test_the_trial_with_the_fewest_seeds_comes_first() -> None:
    assert next_repeat([candidate(1, 2), candidate(2, 1, 0.9)], **RICH) == (2, 1)


def test_of_equal_seeds_the_one_in_most_doubt_comes_first() -> None:
    assert next_repeat(
        [candidate(1, 1, 0.97), candidate(2, 1, 0.1), candidate(3, 1, 0.6)], **RICH
    ) == (3, 1)


def test_a_trial_is_trained_no_more_often_than_allowed() -> None:
    assert next_repeat([candidate(1, 3), candidate(2, 3)], **RICH) is None
    assert next_repeat([candidate(1, 3)], **RICH, max_seeds=4) == (1, 3)
    assert next_repeat([candidate(1, 1)], **RICH, max_seeds=1) is None


def test_no_trial_is_repeated_before_a_few_have_ended() -> None:
    early = {**RICH, "n_finished": FEWEST_FINISHED - 1}
    assert next_repeat([candidate(1)], **early) is None


@given(st.integers(0, 10_000), st.integers(0, 5_000), st.integers(1, 1_000), st.floats(0.0, 0.9))
def test_repeats_never_take_more_than_their_share(
    trials: int, repeats: int, cost: int, share: float
) -> None:
    repeat = next_repeat(
        [candidate(1)],
        n_finished=20,
        steps_of_trials=trials,
        steps_of_repeats=repeats,
        steps_of_next=cost,
        share=share,
    )
    spent = repeats + cost
    assert (repeat is not None) == (spent <= share * (trials + spent) + 0.5)


def test_a_study_spends_its_share_of_repeats_and_then_goes_on() -> None:
    # Thirty trials of 900 steps; a fifth of all steps are 7.5 repeats.
    records = [training(n, 1.0) for n in range(30)]
    chances, order = dict.fromkeys(range(5), 0.5), []
    while (
        repeat := plan_repeat(records, front_probability=chances, front=[0], steps_of_next=900)
    ) is not None:
        number, seed_index = repeat
        order.append(repeat)
        records.append(training(number, 1.0, seed_index=seed_index))
    assert order == [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (0, 2), (1, 2)]


def test_a_repeat_under_way_is_counted_and_not_started_twice() -> None:
    records = [training(n, 1.0) for n in range(30)]
    plan: dict[str, Any] = {
        "front_probability": {0: 0.5, 1: 0.5},
        "front": [0, 1],
        "steps_of_next": 900,
    }
    assert plan_repeat(records, **plan) == (0, 1)
    assert plan_repeat(records, **plan, under_way=[0]) == (1, 1)
    assert plan_repeat(records, **plan, under_way=[0, 0, 1, 1]) is None
    assert plan_repeat(records, **plan, under_way=[9] * 7) is None  # no steps left


def test_a_failed_repeat_is_not_tried_for_ever() -> None:
    records = [training(n, 1.0) for n in range(30)]
    records += [training(0, 0.0, seed_index=k, state=TrialState.FAILED) for k in (1, 2)]
    assert plan_repeat(records, front_probability={0: 0.5}, front=[0], steps_of_next=900) is None


def test_the_scores_of_a_trial_are_the_mean_over_its_seeds() -> None:
    records = [
        training(3, 1.3, 84.0, seed_index=2),
        training(3, 1.0, 78.0),
        training(7, 2.0),
        training(3, 1.0, 81.0, seed_index=1),
    ]
    averaged = average_over_seeds(records)
    assert [record.number for record in averaged] == [3, 7]
    assert averaged[0].scores == pytest.approx({"mae": 1.1, "picp": 81.0})
    assert (averaged[0].n_seeds, averaged[1].n_seeds) == (3, 1)
    assert (averaged[0].steps, averaged[0].fit_seconds) == (2700, 30.0)
    assert averaged[0].seed == records[1].seed


def test_the_error_of_a_mean_holds_days_and_seeds() -> None:
    # Seeds spread by a variance of 0.02: (0.9, 1.1) around 1. Days add 0.03, however many seeds.
    records = [training(0, 0.9), training(0, 1.1, seed_index=1), training(1, 2.0)]
    repeated, single = average_over_seeds(records)
    assert repeated.standard_errors["mae"] == pytest.approx(math.sqrt(0.03**2 + 0.02 / 2))
    assert single.standard_errors["mae"] == pytest.approx(math.sqrt(0.03**2 + 0.02))


def test_without_repeats_a_record_stays_as_it_is() -> None:
    records = [training(1, 2.0), training(0, 1.0, state=TrialState.FAILED)]
    assert average_over_seeds(records) == (records[1], records[0])


def test_a_failed_repeat_is_no_number() -> None:
    records = [training(0, 1.0), training(0, 0.0, seed_index=1, state=TrialState.FAILED)]
    (averaged,) = average_over_seeds(records)
    assert averaged.scores == records[0].scores
    assert averaged.n_seeds == 1


def test_the_interval_of_a_mean_coverage_is_widened_by_its_seeds() -> None:
    records = [training(0, 1.0, 76.0), training(0, 1.0, 84.0, seed_index=1)]
    (averaged,) = average_over_seeds(records)
    half = math.hypot(6.0, 1.959964 * math.sqrt(32.0 / 2))
    assert averaged.picp_interval == pytest.approx((80.0 - half, 80.0 + half))


def test_the_spread_between_seeds_is_pooled_over_trials() -> None:
    records = [
        training(0, 0.9), training(0, 1.1, seed_index=1),
        training(1, 2.0), training(1, 2.0, seed_index=1), training(1, 2.0, seed_index=2),
        training(2, 9.0),
    ]  # fmt: skip
    # Enlarged residuals: twice 0.02 and three times 0.
    assert seed_spread(records).variance("mae") == pytest.approx(0.04 / 5)
    assert seed_spread(records[5:]).variance("mae") == 0.0


def test_draws_of_a_mean_are_the_mean_of_the_draws_on_each_day() -> None:
    draws = [{"mae": np.array([1.0, 3.0])}, {"mae": np.array([2.0, 5.0])}]
    rng = np.random.default_rng(0)
    assert average_draws(draws, seed_spread([]), rng=rng)["mae"].tolist() == [1.5, 4.0]
    assert average_draws([draws[0], {}], seed_spread([]), rng=rng) == {}


def test_draws_carry_the_spread_between_seeds_of_all_scores_together() -> None:
    records = [training(0, 0.9, 76.0), training(0, 1.1, 84.0, seed_index=1)]
    zeros = {"mae": np.zeros(4000), "picp": np.zeros(4000)}
    draws = average_draws([zeros, zeros], seed_spread(records), rng=np.random.default_rng(0))
    assert draws["mae"].std() == pytest.approx(math.sqrt(0.02 / 2), rel=0.05)
    assert np.corrcoef(draws["mae"], draws["picp"])[0, 1] == pytest.approx(1.0)


def test_repeats_have_seeds_of_their_own_and_the_trial_keeps_its_own() -> None:
    seeds = {trial_seed(1, number, k) for number in range(50) for k in range(3)}
    assert len(seeds) == 150
    assert trial_seed(1, 7, 0) == trial_seed(1, 7)
