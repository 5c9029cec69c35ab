"""From records to front, ties and choice, on forecasts that are really scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from paretocast.metrics.resampling import draw_scores, standard_errors
from paretocast.metrics.score_table import score_forecast
from paretocast.metrics.uncertainty import picp_interval
from paretocast.search.objectives import parse_constraints, parse_objectives
from paretocast.search.selection import TrialState
from paretocast.study.outcome import Outcome, best_params, summarise
from paretocast.training.trial import TrialRecord

LEVELS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
SHAPE = (60, 24)
IDENTITY = {
    "model": "NHITS_Q", "dataset": "demo", "job_id": "a1", "strategy": "single-stage",
    "study_name": "NHITS_Q_demo_a1", "storage_path": "s.db", "manifest_hash": "0f" * 32,
}  # fmt: skip

Floats = NDArray[np.float64]


def observed() -> Floats:
    return 10.0 + np.random.default_rng(0).normal(size=SHAPE)


def forecast(*, bias: float, width: float, seed: int = 0) -> Floats:
    """Five quantiles around the observed mean; `bias` and the seed's noise make them worse."""
    rng = np.random.default_rng([seed, 1])
    centre = 10.0 + bias + 0.05 * rng.normal(size=SHAPE)
    steps = width * np.array([-1.28, -0.52, 0.0, 0.52, 1.28])
    return centre[..., None] + steps


class Trainings:
    """Records with the draws of their forecasts."""

    def __init__(self) -> None:
        self.records: list[TrialRecord] = []
        self.asked: list[tuple[int, int]] = []
        self._draws: dict[tuple[int, int], Mapping[str, Floats]] = {}

    def add(self, number: int, *, bias: float, width: float, seed_index: int = 0) -> None:
        values, predicted = (
            observed(),
            forecast(bias=bias, width=width, seed=100 * number + seed_index),
        )
        draws = draw_scores(
            values,
            predicted,
            levels=LEVELS,
            coverage=80.0,
            seasonal_scale=1.0,
            rng=np.random.default_rng(0),
        )
        self._draws[number, seed_index] = draws
        self.records.append(
            TrialRecord(
                number=number,
                state=TrialState.COMPLETE,
                config={"lr": 0.001 * (1 + number)},
                seed=number,
                seed_index=seed_index,
                scores=score_forecast(values, predicted, levels=LEVELS, seasonal_scale=1.0),
                picp_interval=picp_interval(
                    values, predicted[..., 0], predicted[..., -1], rng=np.random.default_rng(0)
                ),
                standard_errors=standard_errors(draws),
                steps=900,
            )
        )

    def draws_of(self, record: TrialRecord) -> Mapping[str, Floats]:
        self.asked.append((record.number, record.seed_index))
        return self._draws[record.number, record.seed_index]

    def outcome(
        self,
        objectives: Sequence[str] = ("mae", "coverage_error"),
        *,
        require: Sequence[str] = (),
        policy: str = "compatible-coverage",
    ) -> Outcome:
        outcome = summarise(
            self.records,
            objectives=parse_objectives(objectives),
            policy=policy,
            target_coverage=80.0,
            baselines={},
            constraints=parse_constraints(require),
            draws_of=self.draws_of,
        )
        assert outcome is not None
        return outcome


@pytest.fixture
def trainings() -> Trainings:
    """Trial 0 and 1 are of one kind, 2 is clearly worse, 3 is as accurate and far too narrow."""
    made = Trainings()
    made.add(0, bias=0.0, width=1.0)
    made.add(1, bias=0.0, width=1.0)
    made.add(2, bias=1.0, width=1.0)
    made.add(3, bias=0.0, width=0.3)
    return made


def document(
    outcome: Outcome, objectives: Sequence[str] = ("mae", "coverage_error")
) -> dict[str, Any]:
    return best_params(
        outcome, identity=IDENTITY, objectives=objectives, optimization_date="2026-01-02T03:04:05Z"
    )


def test_trials_of_one_kind_are_tied_and_a_worse_one_is_not(trainings: Trainings) -> None:
    outcome = trainings.outcome()
    assert {0, 1} <= set(outcome.front_probability)
    assert 2 not in outcome.front_probability
    assert outcome.is_tied(0)


def test_every_trial_near_the_front_is_compared_once(trainings: Trainings) -> None:
    trainings.outcome()
    assert sorted(trainings.asked) == [(0, 0), (1, 0), (2, 0), (3, 0)]


def test_a_repeat_changes_the_scores_of_a_trial(trainings: Trainings) -> None:
    before = trainings.outcome().records[0].scores["mae"]
    trainings.add(0, bias=0.9, width=1.0, seed_index=1)
    averaged = trainings.outcome().records[0]
    repeat = trainings.records[-1].scores["mae"]
    assert averaged.scores["mae"] == pytest.approx((before + repeat) / 2)
    assert averaged.n_seeds == 2
    assert len(trainings.outcome().records) == 4


def test_what_is_written_says_how_sure_the_front_is(trainings: Trainings) -> None:
    trainings.add(0, bias=0.0, width=1.0, seed_index=1)
    outcome = trainings.outcome()
    content = document(outcome)
    written = content["all_pareto_trials"] + content["tied_trials"]
    assert {entry["trial"] for entry in written} == set(outcome.front_probability)
    assert [e["trial"] for e in content["tied_trials"]] == list(outcome.tied)
    zero = next(entry for entry in written if entry["trial"] == 0)
    assert zero["n_seeds"] == 2
    assert zero["tied"]
    assert 0.05 <= zero["front_probability"] < 0.95
    assert zero["standard_errors"].keys() == {"mae", "coverage_error"}
    assert 0.0 < zero["standard_errors"]["mae"] < zero["mae"]
    assert zero["objectives"]["mae"] == zero["mae"]


def test_a_difference_to_the_chosen_trial_is_surer_than_both_scores(trainings: Trainings) -> None:
    outcome = trainings.outcome()
    other = next(number for number in (0, 1) if number != outcome.selection.number)
    gap = outcome.gap_errors[other]["mae"]
    assert 0.0 < gap < 0.5 * outcome.records[other].standard_errors["mae"]
    assert outcome.selection.number not in outcome.gap_errors


def test_three_objectives_make_a_front_of_three(trainings: Trainings) -> None:
    names = ("mae", "coverage_error", "mean_width")
    outcome = trainings.outcome(names)
    assert 3 in outcome.front  # the narrowest
    content = document(outcome, names)
    assert [o["name"] for o in content["objectives"]] == list(names)
    assert all(e["objectives"].keys() == set(names) for e in content["all_pareto_trials"])
    assert outcome.selection.number in outcome.front_probability


def test_a_requirement_leaves_out_what_violates_it(trainings: Trainings) -> None:
    outcome = trainings.outcome(("mae", "mean_width"), require=["picp >= 60"])
    assert 3 not in outcome.front_probability
    assert outcome.feasible
    assert document(outcome, ("mae", "mean_width"))["constraints"] == ["picp >= 60"]


def test_where_no_trial_meets_the_requirements_the_front_is_the_nearest_and_says_so(
    trainings: Trainings,
) -> None:
    outcome = trainings.outcome(require=["picp >= 99.9"])
    content = document(outcome)
    assert not content["feasible"]
    nearest = max(trainings.records, key=lambda record: record.scores["picp"])
    assert outcome.front == (nearest.number,)
    assert outcome.selection.number == nearest.number


def test_without_draws_measured_differences_count(trainings: Trainings) -> None:
    outcome = summarise(
        trainings.records,
        objectives=parse_objectives(("mae", "coverage_error")),
        policy="min-mae",
        target_coverage=80.0,
        baselines={},
    )
    assert outcome is not None
    assert set(outcome.front_probability.values()) == {1.0}
    assert outcome.tied == ()
