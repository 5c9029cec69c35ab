import numpy as np
import pytest

from paretocast.calibration import fit_calibrator
from paretocast.calibration.ensemble import average_levels, choose_members, weigh_members
from paretocast.errors import DataError
from paretocast.metrics.scores import pinball
from samples import LEVELS, coverage, draw_sample


def test_the_average_of_equals_is_each_of_them() -> None:
    quantiles = draw_sample(np.random.default_rng(0), n_windows=3).quantiles
    assert average_levels([quantiles] * 3) == pytest.approx(quantiles)


def test_weights_are_scaled_to_add_up_to_one() -> None:
    low, high = np.zeros((1, 1, 2)), np.full((1, 1, 2), 6.0)
    assert average_levels([low, high], [4.0, 2.0]).tolist() == [[[2.0, 2.0]]]


def test_a_member_whose_quantiles_cross_is_sorted_first() -> None:
    crossing = np.array([[[3.0, 1.0]]])
    assert average_levels([crossing, np.zeros((1, 1, 2))]).tolist() == [[[0.5, 1.5]]]


def test_the_spread_is_the_mean_spread_whatever_the_distance_of_the_members() -> None:
    near = np.array([[[0.0, 1.0, 2.0]]])
    assert np.ptp(average_levels([near, near + 100.0]), axis=-1).item() == 2.0


def test_members_whose_errors_differ_are_better_together_and_can_be_calibrated() -> None:
    rng = np.random.default_rng(1)
    sample = draw_sample(rng, n_windows=200)
    members = [sample.quantiles + rng.normal(size=(200, 24, 1)) for _ in range(4)]
    together = average_levels(members)
    losses = [pinball(sample.observed, f, levels=LEVELS).mean() for f in (*members, together)]
    assert losses[-1] < min(losses[:-1])
    ensemble = sample.with_quantiles(together)
    calibrated = fit_calibrator(ensemble, "cqr").apply(ensemble)
    assert coverage(calibrated, 0.1, 0.9) == pytest.approx(80.0, abs=1.0)


@pytest.mark.parametrize(
    ("shapes", "weights", "message"),
    [
        ([], None, "no forecast"),
        ([(1, 2, 3), (1, 2, 4)], None, "expected one shape"),
        ([(1, 2, 3)], [1.0, 2.0], "2 weights for 1 forecasts"),
        ([(1, 2, 3)], [-1.0], "not negative"),
        ([(1, 2, 3)], [0.0], "not all 0"),
    ],
)
def test_what_cannot_be_averaged_is_refused(
    shapes: list[tuple[int, ...]], weights: list[float] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        average_levels([np.zeros(shape) for shape in shapes], weights)


def test_weights_are_shrunk_to_equal_ones_where_members_are_alike() -> None:
    rng = np.random.default_rng(3)
    sample = draw_sample(rng, n_windows=42)
    offers = [
        sample.with_quantiles(sample.quantiles + rng.normal(scale=0.5, size=(42, 24, 1)))
        for _ in range(4)
    ]
    members = weigh_members(offers, most=4)
    plain = choose_members(offers, most=4)
    assert sum(members.weights) == pytest.approx(1.0)
    assert np.ptp(members.weights) <= np.ptp(plain.weights)


def test_a_bad_member_gets_no_weight() -> None:
    rng = np.random.default_rng(4)
    sample = draw_sample(rng, n_windows=42)
    offers = [sample, sample.with_quantiles(sample.quantiles + 50.0)]
    assert weigh_members(offers, most=4).indices == (0,)
