"""Fronts, hypervolume, knee and crowding against hand-worked answers and slow twins."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from paretocast.errors import DataError
from paretocast.search.pareto import crowding_distance, front, front_ranks, hypervolume, knee

if TYPE_CHECKING:
    import random as rnd
    from collections.abc import Callable

Floats = NDArray[np.float64]
points = arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(1, 3)),
    elements=st.integers(0, 5).map(float),
)
pairs = arrays(
    np.float64, st.tuples(st.integers(1, 12), st.just(2)), elements=st.integers(0, 5).map(float)
)
FUNCTIONS: list[Callable[[Floats], object]] = [
    front_ranks,
    front,
    lambda v: hypervolume(v, [9.0, 9.0]),
    knee,
    crowding_distance,
]


def slow_hypervolume(values: Floats, reference: list[float]) -> float:
    """Inclusion and exclusion over all subsets of boxes."""
    boxes = [np.array(reference) - point for point in values if (point < reference).all()]
    return float(
        sum(
            (-1) ** (size + 1) * np.prod(np.min(subset, axis=0))
            for size in range(1, len(boxes) + 1)
            for subset in itertools.combinations(boxes, size)
        )
    )


def shuffled(n: int, random: rnd.Random) -> list[int]:
    order = list(range(n))
    random.shuffle(order)
    return order


def test_a_chain_is_ranked_in_the_order_of_its_values() -> None:
    # Middle, worst, best: an ordering of the points would be [2, 0, 1], and wrong.
    assert front_ranks(np.array([[2.0, 2.0], [3.0, 3.0], [1.0, 1.0]])).tolist() == [1, 2, 0]


@given(points, st.randoms())
def test_ranks_follow_the_points_when_they_are_shuffled(values: Floats, random: rnd.Random) -> None:
    order = shuffled(len(values), random)
    assert front_ranks(values[order]).tolist() == front_ranks(values)[order].tolist()


@given(points)
def test_ranks_agree_with_peeling_fronts_one_by_one(values: Floats) -> None:
    ranks, rank = [-1] * len(values), 0
    while -1 in ranks:
        left = [i for i, r in enumerate(ranks) if r < 0]
        for i in left:
            others = [values[j] for j in left if j != i]
            if not any((o <= values[i]).all() and (o < values[i]).any() for o in others):
                ranks[i] = -rank - 2
        ranks = [-r - 2 if r < -1 else r for r in ranks]
        rank += 1
    assert front_ranks(values).tolist() == ranks


@given(points)
def test_the_front_is_rank_zero(values: Floats) -> None:
    assert front(values).tolist() == np.flatnonzero(front_ranks(values) == 0).tolist()


def test_copies_of_a_front_point_are_all_on_the_front() -> None:
    assert front(np.array([[1.0, 1.0], [2.0, 2.0], [1.0, 1.0]])).tolist() == [0, 2]


def test_no_points_have_an_empty_front_without_volume() -> None:
    nothing = np.empty((0, 2))
    assert front_ranks(nothing).tolist() == front(nothing).tolist() == []
    assert crowding_distance(nothing).tolist() == []
    assert hypervolume(nothing, [1.0, 1.0]) == 0.0


def test_hypervolume_of_three_overlapping_boxes() -> None:
    # Boxes 3x1x1, 1x3x1, 1x1x3 from the reference share one unit cube: 3 + 3 + 3 - 2.
    values = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 0.0]])
    assert hypervolume(values, [3.0, 3.0, 3.0]) == 7.0


def test_hypervolume_of_one_objective_is_the_best_gain() -> None:
    assert hypervolume(np.array([[4.0], [1.0], [9.0]]), [5.0]) == 4.0


def test_a_point_that_only_reaches_the_reference_adds_nothing() -> None:
    values = np.array([[1.0, 3.0], [0.0, 7.0], [2.0, 2.0]])
    assert hypervolume(values, [3.0, 3.0]) == 1.0


@given(points)
def test_hypervolume_agrees_with_inclusion_and_exclusion(values: Floats) -> None:
    reference = [4.0, 5.0, 4.5][: values.shape[1]]
    assert hypervolume(values, reference) == pytest.approx(slow_hypervolume(values, reference))


@pytest.mark.parametrize("m", [2, 3])
def test_hypervolume_agrees_with_optuna(m: int) -> None:
    wfg = pytest.importorskip("optuna._hypervolume")
    values = np.random.default_rng(0).random((60, m))
    theirs = wfg.compute_hypervolume(values[(values < 0.9).all(axis=1)], np.full(m, 0.9))
    assert hypervolume(values, np.full(m, 0.9)) == pytest.approx(theirs)


@given(points, st.randoms())
def test_hypervolume_knows_no_order_and_no_dominated_point(
    values: Floats, random: rnd.Random
) -> None:
    reference = np.full(values.shape[1], 5.0)
    whole = hypervolume(values, reference)
    assert hypervolume(values[shuffled(len(values), random)], reference) == pytest.approx(whole)
    assert hypervolume(values[front(values)], reference) == pytest.approx(whole)


@given(points, points)
def test_a_further_point_never_shrinks_the_hypervolume(values: Floats, more: Floats) -> None:
    reference = np.full(values.shape[1], 5.0)
    added = np.vstack([values, np.resize(more, (len(more), values.shape[1]))])
    assert hypervolume(added, reference) >= hypervolume(values, reference) - 1e-12


def test_the_knee_lies_farthest_below_the_line_between_the_ends() -> None:
    # Scaled sums: 1, 0.1 + 0.5, 0.3 + 0.2, 0.8 + 0.1, 1; the worst point is dominated.
    values = np.array([[0.0, 10], [1, 5], [3, 2], [8, 1], [10, 0], [90, 90]], dtype=float)
    assert knee(values) == 2


@given(pairs)
def test_the_knee_agrees_with_the_distance_from_the_line(values: Floats) -> None:
    members = front(values)
    ends = values[members][np.lexsort((values[members, 1], values[members, 0]))[[0, -1]]]
    span = np.ptp(ends, axis=0)
    index = knee(values)
    assert index in members
    if (span > 0).all():
        scaled = (values - ends.min(axis=0)) / span
        below = (1.0 - scaled.sum(axis=1)) / math.sqrt(2.0)
        assert below[index] == pytest.approx(below[members].max())


@given(points, st.randoms())
def test_the_knee_does_not_depend_on_units_or_order(values: Floats, random: rnd.Random) -> None:
    order = shuffled(len(values), random)
    rescaled = values[order] * np.array([1000.0, 0.25, 3.0])[: values.shape[1]] - 7.0
    assert values[order][knee(rescaled)].tolist() == values[knee(values)].tolist()


def test_on_a_straight_front_the_balanced_point_is_the_knee() -> None:
    values = np.array([[0.0, 1.0], [0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
    assert knee(values) == 2


def test_a_front_that_bulges_outwards_has_an_end_for_its_knee() -> None:
    assert knee(np.array([[1.0, 0.0], [0.9, 0.9], [0.0, 1.0]])) == 2


def test_one_point_and_copies_of_it_have_the_first_as_knee() -> None:
    assert knee(np.array([[5.0, 5.0]])) == 0
    assert knee(np.array([[9.0, 9.0], [5.0, 5.0], [5.0, 5.0]])) == 1


def test_ends_that_tie_are_told_apart_by_the_first_objectives() -> None:
    assert knee(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])) == 2


def test_an_objective_that_does_not_vary_does_not_move_the_knee() -> None:
    values = np.array([[0.0, 7.0, 10.0], [1.0, 7.0, 2.0], [10.0, 7.0, 0.0]])
    assert knee(values) == 1


def test_no_points_have_no_knee() -> None:
    with pytest.raises(DataError, match="no point"):
        knee(np.empty((0, 2)))


def test_crowding_distance_is_the_scaled_gap_between_neighbours() -> None:
    # Gaps of the second point: (3 - 0) / 10 and (10 - 2) / 10; of the third: 9 / 10 and 5 / 10.
    values = np.array([[0.0, 10.0], [1.0, 5.0], [3.0, 2.0], [10.0, 0.0]])
    assert crowding_distance(values).tolist() == pytest.approx([math.inf, 1.1, 1.4, math.inf])


def test_further_copies_of_a_point_have_no_room() -> None:
    values = np.array([[1.0, 1.0], [0.0, 4.0], [1.0, 1.0], [4.0, 0.0], [4.0, 0.0]])
    assert crowding_distance(values).tolist() == [2.0, math.inf, 0.0, math.inf, 0.0]


def test_two_distinct_points_are_both_ends() -> None:
    assert crowding_distance(np.array([[0.0, 1.0], [1.0, 0.0]])).tolist() == [math.inf, math.inf]


@given(points, st.randoms())
def test_crowding_follows_the_points_when_they_are_shuffled(
    values: Floats, random: rnd.Random
) -> None:
    distinct = np.unique(values, axis=0)
    order = shuffled(len(distinct), random)
    distances = crowding_distance(distinct[order])
    assert distances.tolist() == crowding_distance(distinct)[order].tolist()


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused(
    function: Callable[[Floats], object], bad: float
) -> None:
    with pytest.raises(DataError, match=r"\(point, objective\) = \(1, 0\)"):
        function(np.array([[1.0, 1.0], [bad, 1.0]]))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_values_without_an_axis_of_objectives_are_refused(
    function: Callable[[Floats], object],
) -> None:
    with pytest.raises(DataError, match=r"expected \(points, objectives\)"):
        function(np.ones(3))


def test_a_reference_of_another_length_and_four_objectives_are_refused() -> None:
    with pytest.raises(DataError, match="expected 2 finite numbers"):
        hypervolume(np.ones((1, 2)), [1.0])
    with pytest.raises(DataError, match="expected 2 finite numbers"):
        hypervolume(np.ones((1, 2)), [2.0, math.nan])
    with pytest.raises(DataError, match="4 objectives"):
        hypervolume(np.zeros((1, 4)), [1.0] * 4)
