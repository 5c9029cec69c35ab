"""Bootstrap, intervals and tests against hand-worked answers, slow twins and simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from paretocast.errors import DataError
from paretocast.metrics import uncertainty

Floats = NDArray[np.float64]
Hits = tuple[Floats, Floats, Floats]


def with_hits(hits: NDArray[np.int64], steps: int = 24) -> Hits:
    """Observations and bounds such that the first `hits[i]` steps of window i are inside."""
    observed = np.where(np.arange(steps) < hits[:, None], 0.0, 2.0)
    return observed, np.full(observed.shape, -1.0), np.ones(observed.shape)


def dependent_hits(rng: np.random.Generator, n: int, persistence: float) -> NDArray[np.int64]:
    """Hours per day inside a one-sided 80 % bound whose error has a persistent daily part."""
    daily = np.empty(n)
    daily[0] = rng.standard_normal()
    for i in range(1, n):
        shock = rng.standard_normal() * math.sqrt(1 - persistence**2)
        daily[i] = persistence * daily[i - 1] + shock
    hourly = rng.standard_normal((n, 24))
    error = math.sqrt(0.4) * daily[:, None] + math.sqrt(0.6) * hourly
    inside: NDArray[np.int64] = (error < scipy_stats.norm.ppf(0.8)).sum(axis=1)
    return inside


def confidence_below(hits: Hits, percent: float) -> float:
    """Confidence that the true coverage is at most so many percent: the score test turned round."""
    sample = uncertainty.effective_sample(*hits, rng=rng())
    share = percent / 100.0
    error = math.sqrt(share * (1.0 - share) / sample.size)
    return float(scipy_stats.t.cdf((share - sample.share) / error, sample.df))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_one_block_of_all_windows_is_the_original() -> None:
    ratios = uncertainty.block_bootstrap(
        np.array([10.0, 20.0, 60.0]), np.array([1.0, 1.0, 4.0]), block=3, n_resamples=50, rng=rng()
    )
    assert ratios.tolist() == pytest.approx([15.0] * 50)


def test_resamples_agree_with_a_slow_twin() -> None:
    numerators, denominators = rng(1).random(11), rng(2).integers(1, 5, 11).astype(float)
    fast = uncertainty.block_bootstrap(
        numerators, denominators, block=4, n_resamples=20, rng=rng(3)
    )
    starts = rng(3).integers(11, size=(20, 3))
    for row, ratio in zip(starts, fast, strict=True):
        days = [(start + k) % 11 for start in row for k in range(4)][:11]
        assert ratio == pytest.approx(numerators[days].sum() / denominators[days].sum())


def test_a_resample_can_be_shorter_than_the_original() -> None:
    values = rng(1).random(11)
    fast = uncertainty.block_bootstrap(
        values, np.ones(11), block=4, n_resamples=20, n_drawn=6, rng=rng(3)
    )
    starts = rng(3).integers(11, size=(20, 2))
    for row, mean in zip(starts, fast, strict=True):
        days = [(start + k) % 11 for start in row for k in range(4)][:6]
        assert mean == pytest.approx(values[days].mean())
    with pytest.raises(DataError, match="n_drawn is 3 windows, expected at least a block of 4"):
        uncertainty.block_bootstrap(
            values, np.ones(11), block=4, n_resamples=20, n_drawn=3, rng=rng(3)
        )


def test_blocks_of_one_are_the_ordinary_bootstrap() -> None:
    values = rng(1).random(400)
    error = uncertainty.standard_error(values, np.ones(400), block=1, n_resamples=4000, rng=rng())
    assert error == pytest.approx(values.std(ddof=1) / 20.0, rel=0.05)


def test_days_that_resemble_their_neighbours_have_a_larger_error() -> None:
    values = np.repeat(rng(1).random(40), 10)
    alone = uncertainty.standard_error(values, np.ones(400), block=1, rng=rng())
    in_blocks = uncertainty.standard_error(values, np.ones(400), block=40, rng=rng())
    assert in_blocks > 2.5 * alone


def test_a_window_without_an_observation_is_left_out() -> None:
    numerators, denominators = rng(1).random(20), np.ones(20)
    with_gaps = np.insert(numerators, [3, 9, 20], np.nan), np.insert(denominators, [3, 9, 20], 0.0)
    assert uncertainty.standard_error(*with_gaps, rng=rng()) == uncertainty.standard_error(
        numerators, denominators, rng=rng()
    )


def test_the_same_generator_gives_the_same_resamples() -> None:
    values = rng(1).random(50)
    first, again, other = (
        uncertainty.block_bootstrap(values, np.ones(50), block=5, n_resamples=10, rng=rng(seed))
        for seed in (0, 0, 1)
    )
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("block", [0, 4])
def test_a_block_longer_than_the_windows_or_empty_is_refused(block: int) -> None:
    with pytest.raises(DataError, match="expected 1 to 3"):
        uncertainty.block_bootstrap(np.ones(3), np.ones(3), block=block, n_resamples=5, rng=rng())


def test_broken_windows_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(3,\) and \(2,\)"):
        uncertainty.standard_error(np.ones(3), np.ones(2), rng=rng())
    with pytest.raises(DataError, match="numerator of window 1 is not finite"):
        uncertainty.standard_error(np.array([1.0, np.nan]), np.ones(2), rng=rng())
    with pytest.raises(DataError, match="denominator is negative"):
        uncertainty.standard_error(np.ones(2), np.array([1.0, -1.0]), rng=rng())
    with pytest.raises(DataError, match="no window holds"):
        uncertainty.standard_error(np.ones(2), np.zeros(2), rng=rng())
    with pytest.raises(DataError, match="no window holds"):
        uncertainty.standard_error(np.empty(0), np.empty(0), rng=rng())
    with pytest.raises(DataError, match="at least two"):
        uncertainty.standard_error(np.ones(1), np.ones(1), rng=rng())
    with pytest.raises(DataError, match="n_resamples is 1"):
        uncertainty.standard_error(np.ones(9), np.ones(9), n_resamples=1, rng=rng())
    with pytest.raises(DataError, match="block is 0"):
        uncertainty.standard_error(np.ones(9), np.ones(9), block=0, rng=rng())


def test_hours_as_good_as_independent_have_the_binomial_interval() -> None:
    hits = rng(1).binomial(24, 0.8, size=400)
    low, high = uncertainty.picp_interval(*with_hits(hits), rng=rng())
    share, n = hits.sum() / 9600, 9600
    t = scipy_stats.t.ppf(0.975, 39)
    half = 100 * t * math.sqrt(share * (1 - share) / n)
    assert (high + low) / 2 == pytest.approx(100 * share, abs=0.1)
    assert (high - low) / 2 == pytest.approx(half, rel=0.25)


@pytest.mark.parametrize(("hits", "low", "high"), [(24, 65.9, 100.0), (0, 0.0, 34.1)])
def test_all_or_nothing_covered_is_as_sure_as_the_number_of_blocks(
    hits: int, low: float, high: float
) -> None:
    # Wilson with n = 10 blocks and t = 2.262: n / (n + t^2) = 0.6615.
    interval = uncertainty.picp_interval(*with_hits(np.full(100, hits)), rng=rng())
    assert interval == pytest.approx((low, high), abs=0.35)


def test_days_that_are_all_alike_still_leave_an_interval() -> None:
    low, high = uncertainty.picp_interval(*with_hits(np.full(100, 18)), rng=rng())
    assert 70.0 < low < 75.0 < high < 80.0


@given(
    st.lists(st.integers(0, 24), min_size=1, max_size=40),
    st.integers(1, 30),
    st.floats(0.5, 0.99),
)
def test_the_interval_holds_the_measured_coverage_and_is_never_empty(
    hits: list[int], block: int, level: float
) -> None:
    low, high = uncertainty.picp_interval(
        *with_hits(np.array(hits)), block_days=block, level=level, n_resamples=50, rng=rng()
    )
    assert 0.0 <= low < high <= 100.0
    assert low - 1e-9 <= 100.0 * sum(hits) / (24 * len(hits)) <= high + 1e-9


def test_missing_observations_leave_the_interval_to_the_others() -> None:
    observed, lower, upper = with_hits(rng(1).integers(10, 24, 60))
    gaps = observed.copy()
    gaps[[5, 40]] = np.nan
    fewer = np.delete(observed, [5, 40], axis=0)
    assert uncertainty.picp_interval(gaps, lower, upper, rng=rng()) == uncertainty.picp_interval(
        fewer, lower[2:], upper[2:], rng=rng()
    )


def test_the_interval_holds_its_level_of_the_confidence_distribution_of_the_same_resamples() -> (
    None
):
    hits = with_hits(dependent_hits(rng(1), 100, 0.5))
    for level in (0.5, 0.95):
        low, high = uncertainty.picp_interval(*hits, level=level, rng=rng())
        within = confidence_below(hits, high) - confidence_below(hits, low)
        assert within == pytest.approx(level, abs=1e-6)


def test_full_coverage_of_many_days_is_not_taken_for_eighty_percent() -> None:
    hits = with_hits(np.full(300, 24))
    assert uncertainty.picp_interval(*hits, rng=rng())[0] > 85.0


def test_broken_intervals_are_refused() -> None:
    observed, lower, upper = with_hits(np.array([3, 9]))
    with pytest.raises(DataError, match=r"expected three times \(N, H\)"):
        uncertainty.picp_interval(observed, lower[:1], upper, rng=rng())
    with pytest.raises(DataError, match=r"expected three times \(N, H\)"):
        uncertainty.picp_interval(observed[0], lower[0], upper[0], rng=rng())
    with pytest.raises(DataError, match="not finite"):
        uncertainty.picp_interval(observed, np.full_like(lower, np.nan), upper, rng=rng())
    with pytest.raises(DataError, match="above upper"):
        uncertainty.picp_interval(observed, upper, lower, rng=rng())
    with pytest.raises(DataError, match="no window holds"):
        uncertainty.picp_interval(np.full_like(observed, np.nan), lower, upper, rng=rng())
    with pytest.raises(DataError, match="level of the interval is 95"):
        uncertainty.picp_interval(observed, lower, upper, level=95, rng=rng())


@pytest.mark.parametrize("persistence", [0.0, 0.5])
def test_ninety_five_percent_intervals_hold_the_true_coverage_as_often_as_they_say(
    persistence: float,
) -> None:
    # 300 repetitions have a standard error of 1.3 points.
    generator = rng(7)
    held = 0
    for _ in range(300):
        hits = with_hits(dependent_hits(generator, 100, persistence))
        low, high = uncertainty.picp_interval(*hits, n_resamples=200, rng=generator)
        held += low <= 80.0 <= high
    assert 0.90 <= held / 300 <= 0.99


def test_a_constant_advantage_is_found_whatever_the_level_of_the_losses() -> None:
    worse = rng(1).random(200) * 100
    better = worse - 1.0 + 0.01 * rng(2).standard_normal(200)
    difference = uncertainty.paired_difference(better, worse, rng=rng())
    assert difference.mean == pytest.approx(-1.0, abs=0.01)
    assert difference.low < difference.mean < difference.high < -0.9


def test_swapping_two_forecasts_flips_the_difference() -> None:
    a, b = rng(1).random(50), rng(2).random(50)
    first = uncertainty.paired_difference(a, b, rng=rng())
    second = uncertainty.paired_difference(b, a, rng=rng())
    assert (first.mean, first.low, first.high) == pytest.approx(
        (-second.mean, -second.high, -second.low)
    )


def test_a_window_missing_in_either_loss_is_left_out() -> None:
    a, b = np.array([1.0, np.nan, 3.0, 4.0]), np.array([0.0, 7.0, np.nan, 1.0])
    assert uncertainty.paired_difference(a, b, rng=rng()).mean == 2.0
    assert uncertainty.diebold_mariano(a, b, lags=0)[0] == pytest.approx(2.0)


def test_losses_that_never_differ_are_no_evidence() -> None:
    losses = rng(1).random(30)
    difference = uncertainty.paired_difference(losses, losses, rng=rng())
    assert (difference.mean, difference.low, difference.high) == (0.0, 0.0, 0.0)
    assert uncertainty.diebold_mariano(losses, losses, lags=3) == (0.0, 1.0)


def test_broken_pairs_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(3,\) and \(2,\)"):
        uncertainty.paired_difference(np.ones(3), np.ones(2), rng=rng())
    with pytest.raises(DataError, match="1 windows have both"):
        uncertainty.diebold_mariano(np.array([1.0, np.nan]), np.ones(2), lags=0)
    with pytest.raises(DataError, match="infinite"):
        uncertainty.diebold_mariano(np.array([1.0, np.inf]), np.ones(2), lags=0)
    with pytest.raises(DataError, match="no spread to test"):
        uncertainty.diebold_mariano(np.ones(4), np.zeros(4), lags=0)
    with pytest.raises(DataError, match="expected 0 to 2 with 4 windows"):
        uncertainty.diebold_mariano(rng().random(4), np.zeros(4), lags=3)
    with pytest.raises(DataError, match="level of the interval"):
        uncertainty.paired_difference(np.ones(4), np.ones(4), level=95, rng=rng())


def test_without_lags_the_statistic_is_the_paired_t_test() -> None:
    a, b = rng(1).random(40), rng(2).random(40) + 0.1
    theirs = scipy_stats.ttest_rel(a, b)
    statistic, p_value = uncertainty.diebold_mariano(a, b, lags=0)
    assert statistic == pytest.approx(theirs.statistic)
    assert p_value == pytest.approx(theirs.pvalue)


def test_the_variance_weighs_lags_like_newey_and_west() -> None:
    # Differences 0, 1, 3, 4: centred -2 -1 1 2, autocovariances 10/4 and 3/4, of weights 1 and 1/2.
    # Factor for two steps ahead: (5 - 4 + 2/4) / 4.
    statistic, _ = uncertainty.diebold_mariano(np.array([0.0, 1.0, 3.0, 4.0]), np.zeros(4), lags=1)
    assert statistic == pytest.approx(2.0 / math.sqrt((2.5 + 0.75) / 4) * math.sqrt(1.5 / 4))


def test_equal_forecasts_are_told_apart_in_one_of_twenty_tests() -> None:
    generator = rng(3)
    p_values = [
        uncertainty.diebold_mariano(generator.random(100), generator.random(100), lags=6)[1]
        for _ in range(600)
    ]
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.10
