"""Checks of a deployment against hand-worked answers, exact expectations and simulated years."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from monitor_alarms import PLAIN, VALIDATION_DAYS, draw_errors, scores_of, within
from numpy.typing import NDArray

from paretocast.deployment import health
from paretocast.deployment.evidence import (
    DAYS_A_YEAR,
    PERSISTENCE_BEFORE,
    excess_evidence,
    learned_persistence,
)
from paretocast.deployment.health import InputRange, IssueScores, Level
from paretocast.errors import DataError

Floats = NDArray[np.float64]
HOURS = 24


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def in_a_row(n: int) -> NDArray[np.bool_]:
    return np.arange(n) > 0


def nothing() -> IssueScores:
    return scores_of(np.zeros((0, HOURS), dtype=bool))


def with_hits(hits: list[int], *, first_day: int = 0) -> IssueScores:
    """Days of which the first so many hours are inside."""
    return scores_of(np.arange(HOURS) < np.array(hits)[:, None], first_day=first_day)


def with_losses(loss: Floats, reference: Floats) -> IssueScores:
    return replace(
        scores_of(np.ones((loss.size, HOURS), dtype=bool)), loss=loss, reference_loss=reference
    )


def simulated(coverage: Floats | float, seed: int) -> tuple[IssueScores, IssueScores]:
    """A year whose days hang together, and 105 days of validation before it."""
    (errors,) = draw_errors(rng(seed), 1, PLAIN)
    validation = scores_of(within(errors[:VALIDATION_DAYS], 80.0))
    year = scores_of(within(errors[VALIDATION_DAYS:], coverage), first_day=VALIDATION_DAYS)
    return year, validation


def expected_evidence(
    chance_of_one: Callable[[float], float], n_days: int, *, most: float, persistence: float
) -> float:
    """Mean of the last evidence over all sequences of days that are 0 or 1."""
    mean = 0.0
    for days in itertools.product((0.0, 1.0), repeat=n_days):
        chance = 1.0
        for i, day in enumerate(days):
            one = most if i == 0 else chance_of_one(days[i - 1])
            chance *= one if day else 1.0 - one
        path = excess_evidence(
            np.array(days),
            in_a_row(n_days),
            most=most,
            persistence=np.full(n_days, persistence),
        )
        mean += chance * path[-1]
    return mean


def test_independent_days_gain_nothing_on_average() -> None:
    mean = expected_evidence(lambda _: 0.2, 6, most=0.2, persistence=0.0)
    assert mean == pytest.approx(6 / DAYS_A_YEAR, rel=1e-12)


def test_days_that_resemble_the_day_before_gain_nothing_once_that_is_expected() -> None:
    def chance(yesterday: float) -> float:
        return 0.2 + 0.3 * (yesterday - 0.2)

    known = expected_evidence(chance, 6, most=0.2, persistence=0.3)
    ignored = expected_evidence(chance, 6, most=0.2, persistence=0.0)
    assert known == pytest.approx(6 / DAYS_A_YEAR, rel=1e-12)
    assert ignored > 1.5 * 6 / DAYS_A_YEAR


def test_better_days_than_promised_lose_on_average() -> None:
    mean = expected_evidence(lambda _: 0.1, 6, most=0.2, persistence=0.0)
    assert mean < 6 / DAYS_A_YEAR


def test_evidence_of_calibrated_days_is_at_most_one_on_average() -> None:
    final = []
    for seed in range(1500):
        shares = rng(seed).beta(0.46, 1.83, size=40)  # mean 0.2, design effect 8
        path = excess_evidence(shares, in_a_row(40), most=0.2, persistence=np.zeros(40))
        final.append(path[-1] + 1.0 - 40 / DAYS_A_YEAR)  # capital of those who have yet to start
    error = float(np.std(final) / math.sqrt(len(final)))
    assert np.mean(final) <= 1.0 + 3.0 * error


def test_a_day_without_observations_is_no_bet() -> None:
    shares = np.array([0.5, np.nan, 0.5])
    path = excess_evidence(shares, in_a_row(3), most=0.2, persistence=np.full(3, 0.4))
    closer = excess_evidence(
        shares[[0, 2]], np.zeros(2, dtype=bool), most=0.2, persistence=np.zeros(2)
    )
    assert path[1] == path[0]
    assert path[2] == closer[1]


def test_a_day_that_follows_a_gap_is_not_expected_to_resemble_the_last_one() -> None:
    shares, persistence = np.array([0.9, 0.5]), np.full(2, 0.4)
    apart = excess_evidence(shares, np.zeros(2, dtype=bool), most=0.2, persistence=persistence)
    in_turn = excess_evidence(shares, in_a_row(2), most=0.2, persistence=persistence)
    expected = 0.2 + 0.4 * (0.9 - 0.2)
    first = [1.0 + stake * 3.5 for stake in (0.6, 0.8)]
    second = [
        (capital + 1.0) * (1.0 + stake * (0.5 / expected - 1.0))
        for stake, capital in zip((0.6, 0.8), first, strict=True)
    ]
    assert in_turn[1] == pytest.approx(sum(second) / 2 / DAYS_A_YEAR)
    assert apart[1] > in_turn[1]


def test_years_of_wrong_intervals_stay_finite() -> None:
    path = excess_evidence(np.ones(3000), in_a_row(3000), most=0.2, persistence=np.zeros(3000))
    assert np.isfinite(path).all()
    assert path[-1] > 1e6


def test_persistence_is_learned_from_earlier_days_alone() -> None:
    shares = rng(3).random(60)
    shares[20] = np.nan
    path = learned_persistence(shares, in_a_row(60))
    assert path[0] == PERSISTENCE_BEFORE
    for day in (1, 7, 21, 22, 40, 59):
        changed = np.concatenate((shares[:day], rng(4).random(60 - day)))
        assert learned_persistence(changed, in_a_row(60))[day] == path[day]


def test_persistence_agrees_with_a_slow_twin() -> None:
    shares = rng(5).random(80)
    shares[[10, 11, 50]] = np.nan
    follows = in_a_row(80)
    follows[30] = False
    path = learned_persistence(shares, follows)
    for day in (5, 12, 31, 79):
        before = shares[:day]
        mean, variance = np.nanmean(before), np.nanvar(before)
        products = [
            (before[i - 1] - mean) * (before[i] - mean)
            for i in range(1, day)
            if follows[i] and not np.isnan(before[i - 1] + before[i])
        ]
        weighed = sum(products) / variance + 50 * PERSISTENCE_BEFORE
        assert path[day] == pytest.approx(max(0.0, weighed / (len(products) + 50)))


def test_persistence_of_days_that_stay_as_they_are_is_bounded() -> None:
    assert learned_persistence(np.repeat([0.2, 0.9], 200), in_a_row(400))[-1] == 0.5


def test_days_that_never_differ_say_nothing_of_persistence() -> None:
    path = learned_persistence(np.full(100, 0.8), in_a_row(100))
    assert path[-1] == pytest.approx(PERSISTENCE_BEFORE * 50 / (98 + 50))


@pytest.mark.parametrize("seed", range(5))
def test_a_calibrated_year_raises_no_alarm(seed: int) -> None:
    year, validation = simulated(80.0, seed)
    evidence = health.coverage_evidence(year, validation, target=80.0)
    check = health.check_coverage(year, evidence)
    assert check.level == Level.FINE, check.reason
    assert evidence.narrow.max() < health.ALARM_EVIDENCE


@pytest.mark.parametrize("seed", range(5))
def test_a_loss_of_twenty_points_is_seen_within_two_months(seed: int) -> None:
    year, validation = simulated(np.where(np.arange(365) < 150, 80.0, 60.0), seed)
    evidence = health.coverage_evidence(year, validation, target=80.0)
    (days,) = np.nonzero(evidence.narrow >= health.ALARM_EVIDENCE)
    assert 150 < days[0] < 210
    check = health.check_coverage(year, evidence)
    assert check.level == Level.ALARM
    assert "too narrow" in check.reason
    assert "80 % is the target" in check.reason


def test_an_alarm_stays_until_evidence_is_counted_anew() -> None:
    year = with_hits([4] * 9 + [23] * 40)
    evidence = health.coverage_evidence(year, nothing(), target=80.0)
    assert evidence.narrow[-1] < health.WATCH_EVIDENCE
    check = health.check_coverage(year, evidence)
    assert check.level == Level.ALARM
    assert "since 1970-01-" in check.reason
    anew = health.coverage_evidence(year, nothing(), target=80.0, since=9 * HOURS)
    assert anew.issues[0] == 9 * HOURS
    assert health.check_coverage(year, anew).level == Level.FINE


def test_an_alarm_without_recent_observations_names_no_share() -> None:
    year = with_hits([4] * 9 + [0] * 40)
    counted = np.repeat([24.0, 0.0], [9, 40])
    year = replace(year, n_observed=counted)
    check = health.check_coverage(year, health.coverage_evidence(year, nothing(), target=80.0))
    assert check.level == Level.ALARM
    assert "nan" not in check.reason


def test_wide_intervals_are_a_watch_and_no_alarm() -> None:
    year = with_hits([24] * 120)
    check = health.check_coverage(year, health.coverage_evidence(year, nothing(), target=80.0))
    assert check.level == Level.WATCH
    assert "wider" in check.reason
    assert check.figures["evidence_too_wide"] > health.ALARM_EVIDENCE


def test_a_tolerance_slows_evidence() -> None:
    year = with_hits([15] * 60)
    strict, lenient = (
        health.coverage_evidence(year, nothing(), target=80.0, tolerance=tolerance).narrow
        for tolerance in (0.0, 5.0)
    )
    assert (lenient < strict).all()


def test_evidence_of_a_day_does_not_know_the_days_after() -> None:
    year, validation = simulated(70.0, 1)
    whole = health.coverage_evidence(year, validation, target=80.0)
    part = health.coverage_evidence(year.until(int(year.issues[90])), validation, target=80.0)
    assert np.array_equal(part.narrow, whole.narrow[:90])
    assert np.array_equal(part.wide, whole.wide[:90])


def test_nothing_observed_is_fine_and_says_so() -> None:
    evidence = health.coverage_evidence(nothing(), nothing(), target=80.0)
    check = health.check_coverage(nothing(), evidence)
    assert evidence.narrow.shape == (0,)
    assert check.level == Level.FINE
    assert "observed yet" in check.reason
    assert math.isnan(check.figures["recent_coverage_percent"])
    skill = health.check_skill(nothing(), usual=float("nan"), rng=rng())
    assert skill.level == Level.FINE
    assert "too few" in skill.reason


def test_validation_has_to_come_before_deployment() -> None:
    with pytest.raises(DataError, match="not before the first deployed one"):
        health.coverage_evidence(with_hits([20]), with_hits([20]), target=80.0)


def test_a_target_in_shares_is_refused() -> None:
    with pytest.raises(DataError, match="no percentages"):
        health.coverage_evidence(nothing(), nothing(), target=80.0, tolerance=30.0)


def test_scores_of_unlike_shapes_are_refused() -> None:
    scores = with_hits([20, 20])
    with pytest.raises(DataError, match=r"loss has shape \(1,\), expected \(2,\)"):
        replace(scores, loss=np.ones(1))
    with pytest.raises(DataError, match=r"step_inside has shape \(2,\)"):
        replace(scores, step_inside=np.ones(2))
    with pytest.raises(DataError, match="ascending"):
        replace(scores, issues=np.array([24, 24]))
    with pytest.raises(DataError, match="more steps inside"):
        replace(scores, n_inside=np.array([25.0, 3.0]))


def test_recent_days_are_counted_from_the_last_issue() -> None:
    scores = with_hits([20] * 40)
    assert scores.recent().issues.tolist() == [day * HOURS for day in range(12, 40)]


def test_usual_skill_of_a_constant_ratio_is_known() -> None:
    reference = rng(1).random(60) + 0.5
    usual = health.usual_skill(with_losses(0.9 * reference, reference), rng=rng())
    assert usual == pytest.approx(0.1)


def test_usual_skill_leaves_one_stretch_in_twenty_below() -> None:
    generator = rng(2)
    ratios = np.exp(0.2 * generator.standard_normal(5000))
    usual = health.usual_skill(with_losses(ratios, np.ones(5000)), rng=rng())
    stretches = 1.0 - ratios[: 28 * 178].reshape(178, 28).mean(axis=1)
    assert np.mean(stretches < usual) == pytest.approx(0.05, abs=0.03)


def test_usual_skill_of_few_windows_is_unknown() -> None:
    assert math.isnan(health.usual_skill(with_losses(np.ones(13), np.ones(13)), rng=rng()))


def test_skill_is_a_ratio_of_sums_over_recent_days() -> None:
    loss = np.concatenate((np.full(30, 9.0), np.full(28, 1.0)))
    reference = np.concatenate((np.full(30, 1.0), np.repeat([1.0, 3.0], 14)))
    check = health.check_skill(with_losses(loss, reference), usual=0.4, rng=rng())
    assert check.figures["skill"] == pytest.approx(0.5)
    assert check.level == Level.FINE
    assert "50 % below" in check.reason


def test_a_day_of_few_observed_hours_weighs_less() -> None:
    scores = with_losses(np.array([1.0] * 14 + [2.0] * 14), np.full(28, 2.0))
    scores = replace(
        scores,
        n_observed=np.repeat([24.0, 8.0], 14),
        n_inside=np.repeat([20.0, 7.0], 14),
    )
    check = health.check_skill(scores, usual=0.0, rng=rng())
    assert check.figures["skill"] == pytest.approx(1.0 - (24 * 1 + 8 * 2) / (32 * 2))


def test_less_skill_than_usual_is_a_watch() -> None:
    scores = with_losses(0.98 + 0.1 * np.sin(np.arange(28.0)), np.ones(28))
    assert health.check_skill(scores, usual=0.05, rng=rng()).level == Level.WATCH
    assert health.check_skill(scores, usual=float("nan"), rng=rng()).level == Level.FINE


def test_a_ridge_that_is_better_beyond_chance_is_an_alarm() -> None:
    noise = 0.1 * rng(5).standard_normal(28)
    check = health.check_skill(with_losses(1.2 + noise, np.ones(28)), usual=0.05, rng=rng())
    assert check.level == Level.ALARM
    assert "worse than the ridge" in check.reason
    assert "above that of the ridge" in check.reason
    lucky = health.check_skill(with_losses(1.02 + noise, np.ones(28)), usual=0.05, rng=rng())
    assert lucky.level == Level.WATCH


def test_a_deployed_ridge_is_never_worse_than_itself() -> None:
    loss = rng(1).random(28)
    assert health.check_skill(with_losses(loss, loss), usual=0.0, rng=rng()).level == Level.FINE


def test_days_without_a_loss_do_not_count_for_skill() -> None:
    loss = np.where(np.arange(28) < 15, np.nan, 1.0)
    check = health.check_skill(with_losses(loss, np.ones(28)), usual=0.0, rng=rng())
    assert check.figures["days"] == 13
    assert check.level == Level.FINE


def test_coverage_by_step_counts_what_was_observed() -> None:
    scores = with_hits([24, 1, 1, 1])
    observed = np.ones((4, HOURS))
    observed[:, 5] = 0.0
    observed[0, 1] = 0.0
    scores = replace(scores, step_observed=observed, step_inside=scores.step_inside * observed)
    rows = health.count_by_step(scores)
    assert [row.group for row in rows] == list(range(1, 25))
    assert (rows[0].n_observed, rows[0].coverage) == (4, 100.0)
    assert (rows[1].n_observed, rows[1].coverage) == (3, 0.0)
    assert (rows[2].n_observed, rows[2].coverage) == (4, 25.0)
    assert rows[5].n_observed == 0
    assert math.isnan(rows[5].coverage)


def test_coverage_by_local_hour_follows_the_clock_and_not_the_step() -> None:
    scores = with_hits([1, 2])
    local = (np.arange(HOURS) + np.array([[23], [22]])) % 24  # summer time has ended in between
    rows = health.count_by_local_hour(scores, local)
    assert [(row.group, row.n_observed, row.coverage) for row in rows][22:] == [
        (22, 2, 50.0),
        (23, 2, 100.0),
    ]
    with pytest.raises(DataError, match="local_hours has shape"):
        health.count_by_local_hour(scores, local[:1])


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ([1.0, 2.0, 3.0, np.nan], Level.FINE),
        ([1.0, 1.5, 2.0, 2.5, 3.1, np.nan], Level.WATCH),
        ([0.9, 2.0, 3.1], Level.ALARM),
        ([np.nan], Level.FINE),
        ([], Level.FINE),
    ],
)
def test_values_outside_the_range_of_training_are_told(values: list[float], level: Level) -> None:
    check = health.check_range(InputRange("temperature", 1.0, 3.0), np.array(values))
    assert check.level == level


@pytest.mark.parametrize(
    ("last", "level"),
    [
        (94, Level.FINE),
        (93, Level.WATCH),
        (70, Level.WATCH),
        (69, Level.ALARM),
        (None, Level.ALARM),
    ],
)
def test_old_observations_are_told(last: int | None, level: Level) -> None:
    check = health.check_age("demand", last_observed_hour=last, now_hour=100, allowed_hours=6.0)
    assert check.level == level


@pytest.mark.parametrize(
    ("n_missing", "level"),
    [(2, Level.FINE), (3, Level.WATCH), (10, Level.WATCH), (11, Level.ALARM)],
)
def test_holes_in_the_input_window_are_told(n_missing: int, level: Level) -> None:
    window = np.where(np.arange(100) < n_missing, np.nan, 1.0)
    assert health.check_missing("demand", window, allowed=0.1).level == level


def test_an_empty_input_window_is_missing_altogether() -> None:
    assert health.check_missing("demand", np.empty(0), allowed=0.1).level == Level.ALARM


def test_a_weather_bias_that_has_always_been_is_fine() -> None:
    errors = 2.0 + rng(1).standard_normal((120, HOURS))
    check = health.check_weather_bias("temperature", errors, rng=rng())
    assert check.level == Level.FINE
    assert check.figures["recent_bias"] == pytest.approx(2.0, abs=0.15)


def test_a_weather_forecast_that_has_changed_is_a_watch() -> None:
    errors = rng(1).standard_normal((120, HOURS))
    errors[-28:] += 1.0
    errors[100] = np.nan
    check = health.check_weather_bias("temperature", errors, rng=rng())
    assert check.level == Level.WATCH
    assert check.figures["drift"] == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("n", [0, 1, 20, 41])
def test_few_days_of_weather_tell_no_drift(n: int) -> None:
    check = health.check_weather_bias("temperature", np.ones((n, HOURS)), rng=rng())
    assert check.level == Level.FINE
    assert "Too few" in check.reason


def test_the_report_is_as_bad_as_its_worst_check_and_is_json() -> None:
    year = with_hits([4] * 20 + [20] * 20)
    evidence = health.coverage_evidence(year, nothing(), target=80.0)
    checks = (
        health.check_coverage(year, evidence),
        health.check_skill(year, usual=float("nan"), rng=rng()),
        health.check_range(InputRange("temperature", 0.0, 1.0), np.array([np.nan])),
    )
    report = health.HealthReport(checks, evidence, health.count_by_step(year), ())
    assert report.level == Level.ALARM
    content = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert content["exit_code"] == 4
    assert [check["level"] for check in content["checks"]] == ["alarm", "fine", "fine"]
    assert content["checks"][1]["figures"]["skill"] is None
    assert len(content["evidence"]) == 40
    assert content["evidence"][1]["issue"] == "1970-01-02T00:00Z"
    assert health.HealthReport(checks[1:], evidence, (), ()).level == Level.FINE
