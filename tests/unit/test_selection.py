import pytest

from paretocast.errors import SettingsError
from paretocast.selection import Candidate, front_numbers, select


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
    chosen = select(trials, policy="compatible-coverage", target=80.0)
    assert chosen.rule == "knee"
    assert "no trial's coverage is compatible with 75–85 %" in chosen.reason


def test_a_coverage_above_the_target_is_as_far_as_one_below_it() -> None:
    trials = [candidate(0, 0.2, 88.0), candidate(1, 0.2, 71.0)]
    assert select(trials, policy="closest-coverage", target=80.0).number == 0


def test_the_front_is_that_of_the_objectives_that_were_searched() -> None:
    narrow = Candidate(0, (0.2, 1.0), 0.2, 60.0, 59.0, 61.0)
    wide = Candidate(1, (0.1, 2.0), 0.1, 95.0, 94.0, 96.0)
    dominated = Candidate(2, (0.3, 3.0), 0.05, 80.0, 79.0, 81.0)
    assert front_numbers([narrow, wide, dominated]) == [1, 0]


def test_an_unknown_policy_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="compatible-coverage, min-mae, closest-coverage, knee"):
        select(TRIALS, policy="luck", target=80.0)
