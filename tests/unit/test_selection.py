from dataclasses import replace

import numpy as np
import pytest

from paretocast.errors import SettingsError
from paretocast.search.selection import (
    POLICIES,
    Candidate,
    Draws,
    front_numbers,
    front_probability,
    select,
)


def candidate(number: int, mae: float, picp: float, half: float = 1.0) -> Candidate:
    return Candidate(number, (mae, abs(picp - 80.0)), mae, picp, picp - half, picp + half)


# Trial 3 is the most accurate and far too narrow; 5 is compatible; 8 covers best; 9 is dominated.
TRIALS = [
    candidate(9, 0.30, 70.0),
    candidate(8, 0.25, 80.0),
    candidate(3, 0.10, 50.0),
    candidate(5, 0.15, 77.0),
]


def test_the_front_is_in_order_of_mae_and_without_the_dominated() -> None:
    assert front_numbers(TRIALS) == [3, 5, 8]


@pytest.mark.parametrize(
    ("policy", "number"), [("min-mae", 3), ("closest-coverage", 8), ("compatible-coverage", 5)]
)
def test_each_policy_chooses_by_its_rule(policy: str, number: int) -> None:
    assert select(TRIALS, policy=policy, target=80.0).number == number


def test_the_knee_is_where_one_objective_stops_paying_for_the_other() -> None:
    trials = [candidate(0, 1.0, 50.0), candidate(1, 1.1, 78.0), candidate(2, 2.0, 80.0)]
    assert select(trials, policy="knee", target=80.0).number == 1


def test_an_uncertain_coverage_is_compatible_when_its_interval_reaches_the_band() -> None:
    trials = [candidate(0, 0.1, 70.0, half=6.0), candidate(1, 0.2, 79.0)]
    assert select(trials, policy="compatible-coverage", target=80.0).number == 0


def test_without_a_compatible_trial_the_knee_is_chosen_and_the_reason_says_so() -> None:
    trials = [candidate(0, 0.1, 40.0), candidate(1, 0.2, 60.0)]
    selection = select(trials, policy="compatible-coverage", target=80.0)
    assert selection.rule == "knee"
    assert "no trial has a coverage in 75–85 %, uncertainty included" in selection.reason


def test_a_coverage_above_the_target_is_as_far_as_one_below_it() -> None:
    trials = [candidate(0, 0.2, 88.0), candidate(1, 0.2, 71.0)]
    assert select(trials, policy="closest-coverage", target=80.0).number == 0


def test_the_front_is_that_of_the_objectives_that_were_searched() -> None:
    narrow = Candidate(0, (0.2, 1.0), 0.2, 60.0, 59.0, 61.0)
    wide = Candidate(1, (0.1, 2.0), 0.1, 95.0, 94.0, 96.0)
    dominated = Candidate(2, (0.3, 3.0), 0.05, 80.0, 79.0, 81.0)
    assert front_numbers([narrow, wide, dominated]) == [1, 0]


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_places_that_are_known_already_change_no_choice(policy: str) -> None:
    chances = front_probability(TRIALS)
    assert select(TRIALS, policy=policy, target=80.0, tied=chances) == select(
        TRIALS, policy=policy, target=80.0
    )


def test_an_unknown_policy_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="compatible-coverage, min-mae, closest-coverage, knee"):
        select(TRIALS, policy="luck", target=80.0)


def noisy(
    number: int, mae: float, picp: float, *, mae_error: float, picp_error: float, n_seeds: int = 1
) -> Candidate:
    """A candidate whose errors are its own: nothing is shared with the others."""
    rng = np.random.default_rng(number)
    maes = mae + mae_error * rng.standard_normal(4000)
    picps = picp + picp_error * rng.standard_normal(4000)
    values = np.column_stack([maes, np.abs(picps - 80.0)])
    return replace(
        candidate(number, mae, picp, half=2.0 * picp_error),
        n_seeds=n_seeds,
        draws=Draws(values=values, mae=maes, picp=picps),
    )


def test_what_chance_may_have_put_behind_the_front_is_tied_with_it() -> None:
    best = noisy(0, 0.100, 80.0, mae_error=0.01, picp_error=1.0)
    near = noisy(1, 0.105, 81.0, mae_error=0.01, picp_error=1.0)
    far = noisy(2, 0.300, 60.0, mae_error=0.01, picp_error=1.0)
    assert front_numbers([best, near, far]) == [0]
    chances = front_probability([best, near, far])
    assert list(chances) == [0, 1]
    assert 0.5 < chances[0] < 1.0
    assert 0.05 < chances[1] < 1.0


def test_without_knowledge_of_chance_nothing_is_tied() -> None:
    assert front_probability(TRIALS) == {3: 1.0, 5: 1.0, 8: 1.0}


def test_among_ties_in_mae_the_surer_coverage_is_chosen() -> None:
    # Trial 0 has the lowest MAE by less than its noise and may well lie outside 75 to 85 %.
    lowest = noisy(0, 0.100, 74.0, mae_error=0.01, picp_error=3.0)
    surer = noisy(1, 0.101, 80.0, mae_error=0.01, picp_error=1.0)
    selection = select([lowest, surer], policy="compatible-coverage", target=80.0)
    assert selection.number == 1
    assert "MAE tied with the lowest, that of trial 0, and coverage most likely in 75–85 %" in (
        selection.reason
    )


def test_a_significantly_lower_mae_wins_whatever_its_coverage_within_the_band() -> None:
    lowest = noisy(0, 0.100, 76.0, mae_error=0.001, picp_error=1.0)
    surer = noisy(1, 0.120, 80.0, mae_error=0.001, picp_error=1.0)
    selection = select([lowest, surer], policy="compatible-coverage", target=80.0)
    assert selection.number == 0
    assert selection.reason.startswith("lowest MAE among trials")


def test_a_lucky_training_does_not_beat_the_mean_of_three_that_it_ties_with() -> None:
    lucky = noisy(0, 0.100, 70.0, mae_error=0.01, picp_error=1.0)
    proven = noisy(1, 0.101, 75.0, mae_error=0.01, picp_error=1.0, n_seeds=3)
    selection = select([lucky, proven], policy="min-mae", target=80.0)
    assert selection.number == 1
    assert "known from 3 trainings instead of 1" in selection.reason


def test_among_ties_in_coverage_the_lowest_mae_is_chosen() -> None:
    closest = noisy(0, 0.200, 80.0, mae_error=0.001, picp_error=3.0)
    better = noisy(1, 0.100, 78.5, mae_error=0.001, picp_error=3.0)
    off = noisy(2, 0.050, 40.0, mae_error=0.001, picp_error=3.0)
    assert select([closest, better, off], policy="closest-coverage", target=80.0).number == 1


def test_the_knee_is_a_point_of_the_front_itself() -> None:
    trials = [
        noisy(0, 0.10, 50.0, mae_error=0.02, picp_error=5.0),
        noisy(1, 0.11, 78.0, mae_error=0.02, picp_error=5.0),
        noisy(2, 0.112, 77.9, mae_error=0.02, picp_error=5.0),
        noisy(3, 0.20, 80.0, mae_error=0.02, picp_error=5.0),
    ]
    assert 2 in front_probability(trials)
    assert select(trials, policy="knee", target=80.0).number == 1


def test_a_trial_that_meets_the_requirements_goes_before_any_that_does_not() -> None:
    better = replace(candidate(0, 0.1, 80.0), violation=0.01)
    allowed = candidate(1, 0.3, 90.0)
    assert front_numbers([better, allowed]) == [1]
    assert select([better, allowed], policy="min-mae", target=80.0).number == 1


def test_where_none_meets_them_the_front_is_that_of_the_least_violation() -> None:
    trials = [
        replace(candidate(0, 0.1, 60.0), violation=0.3),
        replace(candidate(1, 0.2, 70.0), violation=0.1),
        replace(candidate(2, 0.4, 71.0), violation=0.1),
    ]
    assert front_numbers(trials) == [1, 2]
    assert set(front_probability(trials)) == {1, 2}


def test_probability_takes_the_lowest_mae_among_those_that_are_surely_near_the_target() -> None:
    spread = np.linspace(-1.0, 1.0, 101)

    def make(number: int, mae: float, picp: float, width: float) -> Candidate:
        draws = Draws(
            values=np.column_stack([mae + 0.0 * spread, np.abs(picp + width * spread - 80.0)]),
            mae=mae + 0.0 * spread,
            picp=picp + width * spread,
        )
        return Candidate(
            number, (mae, abs(picp - 80.0)), mae, picp, picp - width, picp + width, draws=draws
        )

    unsure, sure, dear = make(0, 1.0, 76.0, 4.0), make(1, 2.0, 78.0, 2.0), make(2, 3.0, 80.0, 1.0)
    selection = select([unsure, sure, dear], policy="probability", target=80.0)
    assert (selection.number, selection.rule) == (1, "probability")
    likeliest = select([unsure], policy="probability", target=80.0)
    assert (likeliest.number, likeliest.rule) == (0, "likeliest-coverage")
