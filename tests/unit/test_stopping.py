from __future__ import annotations

import pytest

from paretocast.study.stopping import has_stalled, worst_corner

CORNER = (10.0, 10.0)


def stalled(*values: tuple[float, ...] | None, patience: int = 2, growth: float = 1.0) -> bool:
    return has_stalled(values, patience=patience, growth_percent=growth, corner=CORNER)


def test_a_front_that_has_not_moved_for_as_long_as_patience_lasts_has_stalled() -> None:
    assert stalled((5.0, 5.0), (6.0, 6.0), (7.0, 7.0))


def test_too_few_trials_have_not_stalled() -> None:
    assert not stalled((5.0, 5.0), (6.0, 6.0))


def test_a_trial_that_moves_the_front_renews_patience() -> None:
    assert not stalled((5.0, 5.0), (4.0, 5.0), (7.0, 7.0))


def test_growth_is_in_percent_of_the_hypervolume() -> None:
    # From 5 x 5 = 25 to 6 x 5 = 30 is 20 %.
    values = (5.0, 5.0), (4.0, 5.0), (7.0, 7.0)
    assert not stalled(*values, growth=19.0)
    assert stalled(*values, growth=21.0)


def test_pruned_and_failed_trials_use_up_patience() -> None:
    assert stalled((5.0, 5.0), None, None)


def test_a_search_without_a_complete_trial_goes_on() -> None:
    assert not stalled(None, None, None)


def test_the_corner_is_that_of_the_references_and_the_first_complete_trial() -> None:
    values = [None, (3.0, 1.0), (99.0, 99.0)]
    assert worst_corner([(1.0, 2.0)], values) == pytest.approx((3.03, 2.02))
    assert worst_corner([(1.0, 2.0)], [None]) is None


def test_a_front_at_the_corner_itself_still_has_a_volume() -> None:
    corner = worst_corner([], [(2.0, 2.0)])
    assert corner is not None
    assert has_stalled([(2.0, 2.0), None], patience=1, growth_percent=1.0, corner=corner)
