"""What has no percentage is told without one."""

from __future__ import annotations

import numpy as np

from paretocast.benchmarking.comparison import Difference, _change
from paretocast.benchmarking.relearning import percent_changes
from paretocast.metrics.scores import percent_above
from paretocast.study.choice import Choice


def test_a_percentage_needs_a_base() -> None:
    assert percent_above(3.0, 2.0) == 50.0
    assert percent_above(0.0, 2.0) == -100.0
    assert percent_above(1.0, 0.0) is None
    assert percent_above(0.0, 0.0) is None


def test_a_choice_without_loss_lists_the_losses_of_the_others() -> None:
    losses = {"seasonal_naive_24": 0.0, "trial 0": 2.0, "ridge": 1.0}
    choice = Choice("seasonal_naive_24", (), {}, losses, {}, {}, 80.0)
    assert choice.others() == [("ridge", 1.0, None), ("trial 0", 2.0, None)]
    other = Choice("ridge", (), {}, {"ridge": 1.0, "trial 0": 2.0}, {}, {}, 80.0)
    assert other.others() == [("trial 0", 2.0, 100.0)]


def test_a_difference_from_nothing_is_told_in_target_units() -> None:
    gap = Difference("a", "b", "mae", mean=0.5, low=-1.0, high=2.0, p_value=0.3)
    assert _change(gap, 0.0) == "+0.5 [-1, +2]"
    assert _change(gap, 2.0) == "+25.0 % [-50.0, +100.0]"


def test_changes_of_a_score_that_was_zero_are_left_out() -> None:
    n_points = np.full(20, 24.0)
    zero = {"mae": np.zeros(20), "pinball": np.ones(20), "n": n_points}
    own = {"mae": np.ones(20), "pinball": np.full(20, 2.0), "n": n_points}
    changes = percent_changes(own, zero)
    assert set(changes) == {"pinball"}
    assert changes["pinball"].mean == 100.0
