import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from paretocast.halving import order_by_merit, plan_rungs, survives

points = arrays(
    np.float64, st.tuples(st.integers(1, 12), st.just(2)), elements=st.integers(0, 4).map(float)
)


@pytest.mark.parametrize(
    ("total", "n_rungs", "rungs"),
    [(900, 3, (100, 300, 900)), (1000, 3, (111, 333, 1000)), (50, 1, (50,)), (2, 4, (1, 2))],
)
def test_rungs_are_a_third_of_the_next_one(
    total: int, n_rungs: int, rungs: tuple[int, ...]
) -> None:
    assert plan_rungs(total, n_rungs=n_rungs) == rungs


def test_the_best_third_goes_on() -> None:
    before = np.array([[float(i), float(i)] for i in range(1, 6)])
    assert survives(before, np.array([1.5, 1.5]))
    assert not survives(before, np.array([2.5, 2.5]))


def test_a_third_is_rounded_up() -> None:
    before = np.array([[1.0, 1.0], [3.0, 3.0], [4.0, 4.0]])
    assert survives(before, np.array([2.0, 2.0]))
    assert not survives(before[:2], np.array([2.0, 2.0]))


def test_a_trial_that_holds_an_end_of_the_front_goes_before_one_in_its_middle() -> None:
    front = np.array([[1.0, 9.0], [9.0, 1.0], [4.0, 6.0], [6.0, 4.0], [5.0, 5.0]])
    assert set(order_by_merit(front)[:2]) == {0, 1}


def test_a_dominated_trial_never_goes_before_the_one_that_dominates_it() -> None:
    values = np.array([[3.0, 3.0], [1.0, 1.0], [2.0, 2.0]])
    assert order_by_merit(values).tolist() == [1, 2, 0]


def test_the_first_trial_goes_on() -> None:
    assert survives(np.empty((0, 2)), np.array([5.0, 5.0]))


@given(points)
def test_the_order_holds_every_trial_once(values: NDArray[np.float64]) -> None:
    assert sorted(order_by_merit(values).tolist()) == list(range(len(values)))


@given(points)
def test_a_trial_that_dominates_everybody_always_goes_on(values: NDArray[np.float64]) -> None:
    assert survives(values, values.min(axis=0) - 1.0)


def test_a_trial_that_meets_the_constraints_goes_before_better_ones_that_do_not() -> None:
    values = np.array([[1.0, 1.0], [9.0, 9.0], [2.0, 2.0]])
    assert order_by_merit(values, violations=[0.2, 0.0, 0.1]).tolist() == [1, 2, 0]
    assert not survives(values[1:], values[0], violations=[0.0, 0.1, 0.2])
    assert survives(values[[0, 2]], values[1], violations=[0.2, 0.1, 0.0])


@given(points)
def test_constraints_that_all_meet_change_nothing(values: NDArray[np.float64]) -> None:
    met = np.zeros(len(values))
    assert order_by_merit(values, violations=met).tolist() == order_by_merit(values).tolist()
