"""Comparison, members and history on arrays whose answers can be worked out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paretocast.benchmarking.comparison import Comparison, Entry, compare
from paretocast.calibration.ensemble import choose_members
from paretocast.metrics.forecast import Forecast
from paretocast.metrics.interval_quality import IntervalQuality, coverage_first, measure_interval
from samples import LEVELS, NORMAL

RNG_SEED = 3
N_DAYS, N_HOURS = 60, 24


def observations() -> np.ndarray:
    return np.random.default_rng(RNG_SEED).normal(size=(N_DAYS, N_HOURS))


def calibrated(bias: float = 0.0, spread: float = 1.0) -> np.ndarray:
    """Quantiles of what `observations` are drawn from, shifted and stretched."""
    quantiles: np.ndarray = np.broadcast_to(
        bias + spread * NORMAL, (N_DAYS, N_HOURS, len(LEVELS))
    ).copy()
    return quantiles


def offered(*biases: float) -> list[Forecast]:
    return [Forecast(calibrated(bias), LEVELS, observations()) for bias in biases]


def entry(
    method: str, parameters: str, *forecasts: np.ndarray, pinball: float = 1.0, wanted: str = "cqr"
) -> Entry:
    return Entry(
        method=method,
        parameters=parameters,
        wanted=wanted,
        calibrator=wanted,
        forecasts=tuple(Forecast(q, LEVELS, observations()) for q in forecasts),
        validation_losses=np.full(28, pinball),
        validation={"mae": 1.0, "pinball": pinball, "winkler": 1.0, "picp": 80.0},
        validation_interval=quality(80.0),
        source="",
    )


def quality(picp: float, *, winkler: float = 1.0, spread: float = 0.0) -> IntervalQuality:
    """An interval whose coverage is known to 2 points."""
    noise = np.random.default_rng(int(picp)).normal(scale=spread, size=60) if spread else 0.0
    return IntervalQuality(picp, picp - 2.0, picp + 2.0, np.full(60, winkler) + noise)


def compared(*entries: Entry) -> Comparison:
    return compare(entries, coverage=80.0, seasonal_scale=1.0)


def test_a_worse_method_is_called_worse_and_a_better_one_better() -> None:
    comparison = compared(
        entry("A", "tuned", calibrated()),
        entry("B", "tuned", calibrated(bias=2.0)),
        entry("ridge", "none", calibrated(bias=1.0)),
    )
    verdicts = {(d.method, d.score): d.verdict for d in comparison.differences}
    assert verdicts["A tuned, cqr", "mae"] == "better"
    assert verdicts["B tuned, cqr", "mae"] == "worse"
    p_values = {d.method: d.p_value for d in comparison.differences if d.score == "mae"}
    assert max(p_values.values()) < 0.001


def test_equal_forecasts_are_not_distinguishable_and_have_nothing_to_test() -> None:
    comparison = compared(entry("A", "tuned", calibrated()), entry("ridge", "none", calibrated()))
    difference = comparison.differences[0]
    assert (difference.mean, difference.verdict) == (0.0, "not distinguishable")
    assert np.isnan(difference.p_value)


def test_a_row_is_the_mean_over_seeds_with_their_spread() -> None:
    first, second = calibrated(), calibrated(bias=1.0)
    both = compared(entry("A", "tuned", first, second)).rows[0]
    each = [
        compared(entry("A", "tuned", forecast)).rows[0].scores["mae"]
        for forecast in (first, second)
    ]
    assert both.scores["mae"] == pytest.approx(np.mean(each))
    assert both.spread["mae"] == pytest.approx(np.std(each, ddof=1))


def test_the_choice_follows_validation_and_not_the_test_score() -> None:
    comparison = compared(
        entry("A", "tuned", calibrated(bias=3.0), pinball=0.1),
        entry("B", "tuned", calibrated(), pinball=0.2),
        entry("C", "default", calibrated(), pinball=0.3),
    )
    assert comparison.chosen == 0


def test_a_choice_whose_coverage_excludes_the_target_says_so_and_another_one_does_not() -> None:
    said = [
        [line for line in comparison.warnings() if "lies outside" in line]
        for comparison in (
            compared(entry("A", "tuned", calibrated(spread=spread))) for spread in (0.7, 1.0)
        )
    ]
    assert [len(lines) for lines in said] == [1, 0]
    assert said[0][0].startswith("the coverage of A tuned, cqr on the test split is 6")
    assert said[0][0].endswith(
        "the target of 80 % lies outside; no method with a Winkler score as low holds it"
    )


def test_a_choice_that_misses_on_the_test_split_names_the_row_that_does_not() -> None:
    comparison = compared(
        entry("A", "tuned", calibrated(spread=0.85), pinball=0.1),
        entry("B", "tuned", calibrated(), pinball=0.2),
    )
    assert comparison.chosen == 0
    (said,) = comparison.warnings()
    assert "; B tuned, cqr holds it with 8" in said


def test_a_row_that_misses_the_target_gives_way_to_one_as_sharp_that_holds_it() -> None:
    missing = quality(72.0, winkler=1.0, spread=0.1)
    first = replace(entry("A", "tuned", calibrated(), pinball=0.1), validation_interval=missing)

    def chosen(*others: IntervalQuality) -> int:
        rows = [
            replace(entry(f"B{i}", "tuned", calibrated(), pinball=0.2), validation_interval=found)
            for i, found in enumerate(others)
        ]
        return compared(first, *rows).chosen

    assert chosen(quality(80.0, winkler=1.01, spread=0.1)) == 1
    assert chosen(quality(80.0, winkler=1.5, spread=0.1)) == 0
    assert chosen(quality(79.0, winkler=1.01, spread=0.1), quality(81.0, winkler=0.9)) == 2
    assert chosen(quality(75.0, winkler=0.5)) == 0


def test_a_row_that_holds_the_target_stays_whatever_others_do() -> None:
    wide = [quality(81.5, winkler=1.0), quality(80.0, winkler=0.5)]
    assert coverage_first(0, wide, 80.0) == 0


def test_where_every_row_misses_the_target_it_is_said() -> None:
    comparison = compared(
        *(
            replace(entry(name, "tuned", calibrated()), validation_interval=quality(72.0))
            for name in "AB"
        )
    )
    (said,) = comparison.warnings()
    assert said.startswith("no method holds the target of 80 % on the calibrate split; A tuned,")
    assert said.endswith("covers 72.0 % there")


def test_the_quality_of_an_interval_is_that_of_its_scores() -> None:
    forecast = Forecast(calibrated(), LEVELS, observations())
    found = measure_interval(forecast, 80.0)
    scores = compared(entry("A", "tuned", calibrated())).rows[0].scores
    assert found.picp == pytest.approx(scores["picp"])
    assert found.low < found.picp < found.high
    assert np.mean(found.winkler) == pytest.approx(scores["winkler"])


def test_an_average_stays_unless_something_is_better_beyond_chance() -> None:
    average = entry("ensemble", "tuned", calibrated(), pinball=0.2)
    near = replace(entry("A", "tuned", calibrated(), pinball=0.199))
    noise = np.random.default_rng(0).normal(scale=0.1, size=28)
    near = replace(near, validation_losses=near.validation_losses + noise - noise.mean())
    assert compared(near, average).chosen == 1
    better = replace(near, validation_losses=near.validation_losses - 0.15)
    better = replace(better, validation={**better.validation, "pinball": 0.049})
    assert compared(better, average).chosen == 0


def test_default_parameters_and_baselines_can_be_chosen_too() -> None:
    tuned = entry("A", "tuned", calibrated(), pinball=0.2)
    for other in ("default", "none"):
        better = entry("B", other, calibrated(bias=3.0), pinball=0.1)
        assert compared(tuned, better).chosen == 1


def test_methods_with_different_calibrators_are_not_compared() -> None:
    comparison = compared(
        entry("A", "tuned", calibrated(), wanted="cqr"),
        entry("ridge", "none", calibrated(bias=1.0), wanted="isotonic"),
    )
    assert not comparison.differences


def test_the_best_reference_is_one_under_the_same_calibrator() -> None:
    comparison = compared(
        entry("ridge", "none", calibrated(bias=1.0), wanted="cqr"),
        entry("naive", "none", calibrated(bias=2.0), wanted="cqr"),
        entry("ridge", "none", calibrated(), wanted="none"),
    )
    best = comparison.best_reference("mae", "cqr")
    assert best is comparison.rows[0]


def test_a_day_without_observations_is_left_out() -> None:
    observed = observations()
    observed[5] = np.nan
    entries = [entry("A", "tuned", calibrated()), entry("ridge", "none", calibrated(bias=1.0))]
    holed = [
        replace(e, forecasts=tuple(replace(f, observed=observed) for f in e.forecasts))
        for e in entries
    ]
    comparison = compared(*holed)
    assert comparison.rows[0].scores["n"] == (N_DAYS - 1) * N_HOURS
    assert all(np.isfinite(d.mean) for d in comparison.differences)


def test_an_ensemble_is_made_of_forecasts_that_err_to_both_sides() -> None:
    members = choose_members(offered(5.0, 1.0, -1.0), most=3)
    assert set(members.indices) == {1, 2}
    assert sum(members.weights) == pytest.approx(1.0)
    assert all(weight == pytest.approx(0.5, abs=0.1) for weight in members.weights)


def test_an_ensemble_has_no_more_members_than_allowed() -> None:
    rng = np.random.default_rng(0)
    members = choose_members(offered(*rng.normal(size=8)), most=2)
    assert len(members.indices) <= 2


def test_a_forecast_that_nothing_improves_stays_alone() -> None:
    members = choose_members(offered(4.0, 0.0, 6.0), most=3)
    assert members.indices == (1,)
    assert members.weights == (1.0,)
