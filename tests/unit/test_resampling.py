from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from paretocast.metrics.resampling import draw_scores, standard_errors
from paretocast.metrics.score_table import per_window, score_forecast
from paretocast.metrics.uncertainty import standard_error
from paretocast.search.pareto import front, front_probabilities, tied_front

LEVELS = np.array([0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95])

Floats = NDArray[np.float64]


def days(
    n: int = 105, *, seed: int = 0, missing: float = 0.1, spread: float = 1.0
) -> tuple[Floats, Floats]:
    """Observed days and a forecast of them; neighbours resemble each other."""
    rng = np.random.default_rng(seed)
    level = np.convolve(rng.normal(size=n + 4), np.ones(5) / 5, mode="valid")
    observed = 10.0 + 2.0 * level[:, None] + rng.normal(size=(n, 24))
    observed[rng.random(observed.shape) < missing] = np.nan
    quantiles = np.sort(rng.normal(size=4000))[(4000 * LEVELS).astype(int)]
    widths = spread * (0.8 + 0.4 * rng.random((n, 24, 1)))
    forecast = 10.0 + level[:, None, None] + widths * quantiles
    return observed, forecast


def normal_draws(
    values: Floats, errors: Floats, *, rng: np.random.Generator, n_resamples: int = 500
) -> Floats:
    """Draws, (R, n, m), of objectives and their standard errors, (n, m) each."""
    return values + errors * rng.standard_normal((n_resamples, *values.shape))


def draw(observed: Floats, forecast: Floats, *, seed: int = 0, n: int = 500) -> dict[str, Floats]:
    return draw_scores(
        observed,
        forecast,
        levels=LEVELS,
        coverage=80.0,
        seasonal_scale=2.0,
        rng=np.random.default_rng(seed),
        n_resamples=n,
    )


def test_the_draws_lie_around_the_scores_themselves() -> None:
    observed, forecast = days()
    scores = score_forecast(observed, forecast, levels=LEVELS, coverage=80.0, seasonal_scale=2.0)
    draws = draw(observed, forecast, n=4000)
    assert set(draws) == set(scores) - {"n"}
    for name in set(draws) - {"coverage_error"}:
        # A share of the days' spread is smaller on fewer distinct days, so r2 lies a bit lower.
        near = 0.5 if name == "r2" else 0.15
        assert draws[name].mean() == pytest.approx(scores[name], abs=near * draws[name].std())


def test_the_whole_sample_as_one_resample_gives_every_score_exactly() -> None:
    # 24 equal copies of one day: whatever is drawn is the sample itself.
    observed, forecast = days(1, missing=0.2)
    observed, forecast = np.repeat(observed, 24, axis=0), np.repeat(forecast, 24, axis=0)
    scores = score_forecast(observed, forecast, levels=LEVELS, coverage=80.0, seasonal_scale=2.0)
    for name, values in draw(observed, forecast).items():
        assert values == pytest.approx(np.full(500, scores[name]), rel=1e-9)


@pytest.mark.parametrize("score", ["mae", "pinball", "picp", "winkler", "mean_width"])
def test_the_error_of_a_mean_is_that_of_the_block_bootstrap(score: str) -> None:
    observed, forecast = days()
    windows = per_window(observed, forecast, levels=LEVELS)
    seen = windows["n"] > 0
    expected = standard_error(
        np.where(seen, windows[score] * windows["n"], 0.0),
        windows["n"],
        n_resamples=500,
        rng=np.random.default_rng(0),
    )
    errors = standard_errors(draw(observed, forecast))
    assert errors[score] == pytest.approx(expected, rel=1e-9)


def test_the_error_covers_what_other_days_would_have_given() -> None:
    # The error claimed from one sample against the spread of the score over many samples.
    claimed, scores = [], []
    for seed in range(60):
        observed, forecast = days(seed=seed)
        claimed.append(standard_errors(draw(observed, forecast, n=200))["mae"])
        scores.append(score_forecast(observed, forecast, levels=LEVELS)["mae"])
    assert np.mean(claimed) == pytest.approx(np.std(scores), rel=0.35)


def test_one_day_has_no_error_instead_of_none() -> None:
    observed, forecast = days(1)
    assert draw(observed, forecast) == {}
    assert standard_errors({}) == {}


def test_the_same_days_are_drawn_for_two_trials() -> None:
    observed, forecast = days()
    first, second = draw(observed, forecast), draw(observed, forecast + 0.01)
    alone = first["mae"].std()
    assert (first["mae"] - second["mae"]).std() < 0.1 * alone


def test_an_undefined_score_has_undefined_draws_and_no_infinity() -> None:
    observed, forecast = days(20, missing=0.0)
    draws = draw(np.zeros_like(observed), forecast)
    assert np.isnan(draws["mape"]).all()
    assert np.isnan(draws["r2"]).all()
    assert not any(np.isinf(values).any() for values in draws.values())


def test_a_trial_that_is_worse_on_all_days_has_no_chance() -> None:
    values = np.array([[1.0, 1.0], [2.0, 2.0]])
    draws = values + np.random.default_rng(0).normal(scale=0.1, size=(500, 1, 1))
    assert front_probabilities(draws).tolist() == [1.0, 0.0]


def test_what_many_rivals_share_out_no_single_one_has_to_win() -> None:
    # Trial 0 is far worse in the first objective and equal in the second. Against one rival it
    # would hold the front every second time; against thirty, hardly ever.
    values = np.vstack([[9.0, 1.0], np.column_stack([np.linspace(1, 2, 30), np.full(30, 1.0)])])
    draws = normal_draws(
        values, np.full_like(values, 0.1), rng=np.random.default_rng(0), n_resamples=2000
    )
    assert front_probabilities(draws)[0] == pytest.approx(1 / 31, abs=0.015)
    assert front_probabilities(draws[:, :2])[0] == pytest.approx(0.5, abs=0.05)
    assert 0 not in tied_front(values, draws)


def test_a_difference_within_the_noise_is_a_tie() -> None:
    values = np.array([[1.0, 1.0], [1.02, 1.02], [3.0, 3.0]])
    draws = normal_draws(values, np.full_like(values, 0.1), rng=np.random.default_rng(0))
    assert tied_front(values, draws).tolist() == [0, 1]


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 8), st.integers(1, 3))
def test_the_front_is_tied_with_itself_whatever_was_drawn(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4, size=(n, m)).astype(float)
    draws = normal_draws(values + rng.normal(size=values.shape), np.ones_like(values), rng=rng)
    assert set(front(values)) <= set(tied_front(values, draws))


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_without_noise_chances_are_the_front(seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 4, size=(7, 2)).astype(float)
    chances = front_probabilities(values[None])
    assert np.flatnonzero(chances == 1.0).tolist() == front(values).tolist()
    assert set(chances) <= {0.0, 1.0}
