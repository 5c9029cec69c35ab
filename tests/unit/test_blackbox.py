"""Searches on recorded learning curves: the loop, the black boxes, and the tuner itself."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import optuna
import pytest
from blackbox.curves import RECORDINGS, TABLES, columns, config_at, point_of, read_rows
from blackbox.curves import whole_curves as whole
from blackbox.replay import COLUMNS, Curve, Nearest, Surrogate, Table, load_table
from blackbox.search import WORTH, Coordination, hypervolumes, replay, steps_to_reach
from blackbox.strategies import make_product, strategies
from racing_replay import Raced
from record_curves import append_rows, design, keep_whole_curves
from search_strategies import reference_point

from paretocast.errors import DataError
from paretocast.search.models import MODELS
from paretocast.search.space import Choice, Config, FloatRange, IntRange

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from blackbox.search import History

    from paretocast.search.space import Space

NHITS = RECORDINGS["NHITS_Q"]


@pytest.fixture(autouse=True)
def _quiet_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass
class Bowl:
    """A black box without noise: MAE is best at a learning rate of 1e-3, coverage at 80 %."""

    seconds: tuple[float, ...] = (1.0, 3.0)
    recording = NHITS
    rung_steps = (10, 30)

    @property
    def table(self) -> Table:
        raise NotImplementedError

    def curve(self, config: Config, *, seed: int) -> Curve:
        away = abs(np.log10(float(config["lr"])) + 3.0)
        at = [
            {"mae": 1.0 + away + late, "coverage_error": 20.0 * float(config["dropout"])}
            for late in (1.0, 0.0)
        ]
        return Curve({"tune": tuple(at), "calibrate": tuple(at)}, self.seconds)

    def expected(self, config: Config) -> dict[str, tuple[float, ...]]:
        end = self.curve(config, seed=0).scores["tune"][-1]
        return {"tune": (end["mae"], end["coverage_error"])}


@dataclass
class Script:
    """A strategy that stops the trials it was told to stop at the first rung."""

    stopped: frozenset[int] = frozenset()
    rungs: Sequence[int] = (0, 1)
    told: list[tuple[int, int]] = field(default_factory=list)

    def suggest(self, number: int) -> Config:
        return dict(NHITS.first)

    def goes_on(self, number: int, rung: int, values: tuple[float, ...]) -> bool:
        self.told.append((number, rung))
        return number not in self.stopped

    def ended(self, number: int, values: tuple[float, ...]) -> None:
        self.told.append((number, len(self.rungs) - 1))


def test_a_stopped_trial_costs_the_steps_to_its_rung() -> None:
    history = replay(Script(stopped=frozenset({1})), Bowl(), seed=0, n_trials=3)
    assert history.steps == 30 + 10 + 30
    assert [ended.steps for ended in history.complete] == [30, 70]
    assert history.ends == [3.0, 4.0, 7.0]


def test_a_budget_ends_before_the_rung_it_cannot_pay() -> None:
    history = replay(Script(), Bowl(), seed=0, budget_steps=59)
    assert history.steps == 40
    assert len(history.complete) == 1


def test_a_budget_of_seconds_ends_at_the_first_rung_beyond_it() -> None:
    history = replay(Script(), Bowl(), seed=0, budget_seconds=6.5)
    assert [ended.seconds for ended in history.complete] == [3.0, 6.0]


def test_two_workers_share_the_trials() -> None:
    strategy = Script()
    history = replay(strategy, Bowl(), seed=0, n_trials=4, n_workers=2)
    assert history.ends == [3.0, 3.0, 6.0, 6.0]
    assert strategy.told == [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (3, 0), (2, 1), (3, 1)]


def test_a_worker_waits_while_another_one_holds_the_lock() -> None:
    cost = Coordination(proposal=0.5, locked=0.25)
    history = replay(Script(rungs=(1,)), Bowl(), seed=0, n_trials=2, n_workers=2, coordination=cost)
    assert history.ends == [0.5 + 0.25 + 3.0, 0.5 + 0.25 + 0.25 + 3.0]
    assert history.waited_seconds == 0.25


def test_the_front_is_chosen_on_tune_and_judged_on_the_other_split() -> None:
    history = replay(Script(rungs=(1,)), Bowl(), seed=0, n_trials=2)
    first, second = history.complete
    better, worse = {"tune": (1.0, 1.0)}, {"tune": (2.0, 2.0)}
    # On the other split the trial that lost on tune is the better one: it must not count.
    history.complete = [
        type(first)(
            0, first.config, 30, 3.0, {**better, "calibrate": (3.0, 3.0), WORTH: (2.0, 2.0)}
        ),
        type(second)(
            1, second.config, 60, 9.0, {**worse, "calibrate": (1.0, 1.0), WORTH: (1.0, 1.0)}
        ),
    ]
    reference = np.array([4.0, 4.0])
    judged = hypervolumes(history, at=[29, 60], split="calibrate", reference=reference)
    assert judged.tolist() == [0.0, 1.0]
    by_clock = hypervolumes(
        history, at=[2.9, 9.0], split=WORTH, reference=reference, clock="seconds"
    )
    assert by_clock.tolist() == [0.0, 4.0]
    assert steps_to_reach(history, 9.0, split="tune", reference=reference) == 30.0
    assert steps_to_reach(history, 9.1, split="tune", reference=reference) == float("inf")


def smooth_table(n: int = 30, *, repeats: int = 1, noise: float = 0.0) -> Table:
    """Curves of one rung whose MAE follows the learning rate alone; all other scores are flat."""
    space = NHITS.space
    rng = np.random.default_rng(1)
    points = np.repeat(rng.random((n, len(space))), repeats, axis=0)
    values = np.full((len(points), 1, len(COLUMNS)), 50.0)
    lr = points[:, list(space).index("lr")]
    values[:, 0, COLUMNS.index("tune_mae")] = np.exp(
        (lr - 0.6) ** 2 + noise * rng.standard_normal(len(points))
    )
    return Table("smooth", NHITS, points, np.arange(len(points)) // repeats, (30,), values, 0)


def test_the_surrogate_finds_a_smooth_function_again_at_configs_it_has_not_seen() -> None:
    box = Surrogate(smooth_table())
    for lr in (1e-4, 1e-3, 5e-3):
        config = {**NHITS.first, "lr": lr}
        at = point_of(config, NHITS.space)[list(NHITS.space).index("lr")]
        mae = box.curve(config, seed=0).scores["tune"][0]["mae"]
        assert np.log(mae) == pytest.approx((at - 0.6) ** 2, abs=0.02)


def test_noise_has_the_size_of_the_repetitions_and_belongs_to_the_seed() -> None:
    box = Surrogate(smooth_table(12, repeats=3, noise=0.1))
    drawn = [box.curve(NHITS.first, seed=seed).scores["tune"][0]["mae"] for seed in range(200)]
    assert 0.05 < np.std(np.log(drawn)) < 0.2
    assert box.curve(NHITS.first, seed=7).scores["tune"][0]["mae"] == drawn[7]


def test_what_a_config_is_worth_is_the_mean_over_its_noise() -> None:
    box = Surrogate(smooth_table(12, repeats=3, noise=0.1))
    drawn = [box.curve(NHITS.first, seed=seed).scores["tune"][0]["mae"] for seed in range(600)]
    assert box.expected(NHITS.first)["tune"] == pytest.approx((np.mean(drawn), 30.0), rel=0.02)


def test_the_nearest_curve_is_returned_as_recorded() -> None:
    table = smooth_table(5)
    config = config_at(table.points[3], NHITS.space)
    scores = Nearest(table).curve(config, seed=0).scores["tune"][0]
    assert scores["mae"] == table.column("tune_mae")[3, 0]
    assert scores["coverage_error"] == 30.0


def test_a_config_keeps_its_place_in_the_cube() -> None:
    space: Space = {
        "n": IntRange(2, 5),
        "lr": FloatRange(1e-5, 1e-2, log=True),
        "w": Choice((64, 128)),
    }
    config = config_at(np.array([0.6, 0.25, 0.9]), space)
    assert config == {"n": 4, "lr": pytest.approx(10**-4.25, rel=1e-5), "w": 128}
    assert point_of(config, space) == pytest.approx([0.625, 0.25, 0.75], abs=1e-6)


def test_a_curve_torn_by_a_kill_is_recorded_anew(tmp_path: Path) -> None:
    path, names = tmp_path / "t.csv", columns(NHITS.space)
    row = {"seed": 1, "tune_mae": 1.0}
    append_rows(path, names, [{**row, "config": 0, "step": step} for step in (10, 30)])
    append_rows(path, names, [{**row, "config": 1, "step": 10}])
    with path.open("a", encoding="utf-8") as file:
        file.write("1,1,3")  # no end of line: the process died here
    assert keep_whole_curves(path, names, n_rungs=2) == {(0, 1)}
    assert [line["config"] for line in read_rows(path)] == ["0", "0"]


def test_a_failed_training_counts_as_recorded_and_is_in_no_array(tmp_path: Path) -> None:
    path = tmp_path / "NHITS_Q_x.csv"
    with pytest.raises(DataError, match="0 whole curves"):
        load_table("NHITS_Q", "x", folder=tmp_path)
    append_rows(path, columns(NHITS.space), [{"config": 4, "seed": 1, "step": 7}])
    assert len(whole(read_rows(path), n_rungs=NHITS.n_rungs)) == 1
    with pytest.raises(DataError, match="0 whole curves"):
        load_table("NHITS_Q", "x", folder=tmp_path)


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.csv")), ids=lambda path: path.stem)
def test_every_recorded_curve_is_whole_and_of_the_recorded_space(path: Path) -> None:
    recording = next(r for model, r in RECORDINGS.items() if path.stem.startswith(model))
    rows = read_rows(path)
    n_rungs = recording.n_rungs - path.stem.endswith("_own_schedule")
    assert sum(len(curve) for curve in whole(rows, n_rungs=n_rungs)) == len(rows)
    expected = [recording.steps // 3**down for down in reversed(range(recording.n_rungs))]
    assert {int(row["step"]) for row in rows} <= set(expected)
    configs = design(recording.space, first=recording.first, n_configs=150)
    for row in rows:
        written = {name: str(value) for name, value in configs[int(row["config"])].items()}
        for name, value in written.items():
            assert float(row[name]) == pytest.approx(float(value), rel=1e-4)
    assert set(recording.space) <= set(MODELS[recording.model].space)


@pytest.fixture(scope="module")
def demo() -> Surrogate:
    return Surrogate(load_table("NHITS_Q", "demo"))


def test_a_replayed_study_is_reproducible(demo: Surrogate) -> None:
    twice = [
        replay(make_product(demo, seed=3, n_trials=12), demo, seed=3, n_trials=12) for _ in range(2)
    ]
    assert twice[0] == twice[1]


def race(box: Surrogate, share: float) -> tuple[Raced, History]:
    """Ten full trials' worth of steps."""
    search = make_product(box, seed=3, n_trials=10)
    full = box.rung_steps[-1]
    raced = Raced(
        search,
        seed=3,
        full_steps=full,
        first_rung_steps=box.rung_steps[search.rungs[0]],
        share=share,
    )
    return raced, replay(raced, box, seed=3, budget_steps=10 * full)


def test_a_replay_without_repeats_is_that_of_the_search_alone(demo: Surrogate) -> None:
    alone = make_product(demo, seed=3, n_trials=10)
    budget = 10 * demo.rung_steps[-1]
    assert race(demo, 0.0)[1] == replay(alone, demo, seed=3, budget_steps=budget)


def test_repeats_keep_to_their_share_and_draw_other_noise(demo: Surrogate) -> None:
    raced, _ = race(demo, 0.3)
    repeats = [n for n, trial in raced.trial_of.items() if trial != n and n in raced.steps]
    assert repeats
    assert sum(raced.steps[n] for n in repeats) <= 0.3 * sum(raced.steps.values()) + 0.5
    assert all(len(set(known)) == len(known) for known in raced.at_end.values())


@pytest.mark.slow
def test_the_search_needs_three_tenths_of_the_steps_of_fifty_random_trials_at_most(
    demo: Surrogate,
) -> None:
    n_random, n_ours, seeds = 50, 20, range(7)
    full = demo.rung_steps[-1]
    reference, _ = reference_point(demo.table)
    make = strategies(n_random)["random"]
    random = [
        replay(make(demo, seed), demo, seed=seed, budget_steps=n_random * full) for seed in seeds
    ]
    target = statistics.median(
        hypervolumes(h, at=[n_random * full], split="tune", reference=reference)[0] for h in random
    )
    ours = [
        replay(
            make_product(demo, seed=seed, n_trials=n_random),
            demo,
            seed=seed,
            budget_steps=n_ours * full,
        )
        for seed in seeds
    ]
    steps = statistics.median(
        steps_to_reach(h, target, split="tune", reference=reference) for h in ours
    )
    assert steps <= 0.3 * n_random * full
