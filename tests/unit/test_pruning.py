import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from paretocast.search.pareto import front
from paretocast.search.pruning import order_by_merit, plan_rungs, promotes

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


def test_a_trial_that_more_than_a_third_of_the_others_dominate_is_stopped() -> None:
    before = np.array([[float(i), float(i)] for i in range(1, 7)])
    assert promotes(before, np.array([2.5, 2.5]))
    assert not promotes(before, np.array([3.5, 3.5]))


def test_a_trial_goes_on_that_is_behind_in_one_objective_alone() -> None:
    before = np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 4.0]])
    assert promotes(before, np.array([9.0, 1.0]))
    assert not promotes(before, np.array([9.0, 3.5]))


def test_a_trial_that_holds_an_end_of_the_front_goes_before_one_in_its_middle() -> None:
    front = np.array([[1.0, 9.0], [9.0, 1.0], [4.0, 6.0], [6.0, 4.0], [5.0, 5.0]])
    assert set(order_by_merit(front)[:2]) == {0, 1}


def test_a_dominated_trial_never_goes_before_the_one_that_dominates_it() -> None:
    values = np.array([[3.0, 3.0], [1.0, 1.0], [2.0, 2.0]])
    assert order_by_merit(values).tolist() == [1, 2, 0]


def test_the_first_trial_goes_on() -> None:
    assert promotes(np.empty((0, 2)), np.array([5.0, 5.0]))


@given(points)
def test_the_order_holds_every_trial_once(values: NDArray[np.float64]) -> None:
    assert sorted(order_by_merit(values).tolist()) == list(range(len(values)))


@given(points)
def test_nobody_on_the_front_is_stopped(values: NDArray[np.float64]) -> None:
    for i in front(values):
        assert promotes(np.delete(values, i, axis=0), values[i])


@given(points)
def test_a_copy_goes_on_if_the_one_it_copies_does(values: NDArray[np.float64]) -> None:
    alone = promotes(values[1:], values[0])
    assert promotes(values, values[0]) >= alone


def test_a_trial_that_meets_the_constraints_goes_before_better_ones_that_do_not() -> None:
    values = np.array([[1.0, 1.0], [9.0, 9.0], [2.0, 2.0]])
    assert order_by_merit(values, violations=[0.2, 0.0, 0.1]).tolist() == [1, 2, 0]
    assert not promotes(values[1:], values[0], violations=[0.0, 0.1, 0.2])
    assert promotes(values[[0, 2]], values[1], violations=[0.2, 0.1, 0.0])


@given(points)
def test_constraints_that_all_meet_change_nothing(values: NDArray[np.float64]) -> None:
    met = np.zeros(len(values))
    assert order_by_merit(values, violations=met).tolist() == order_by_merit(values).tolist()
