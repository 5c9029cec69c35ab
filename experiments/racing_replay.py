"""Gain of training again: searches with and without repeats at equal compute, replayed.

    python experiments/racing_replay.py [--tables "NHITS_Q demo"] [--seeds 24] [--quick]

The product's search on recorded learning curves (`blackbox/replay.py`), with several shares of the
gradient steps for repeats of trials near the front (`study.repeats.next_repeat`), 0 being a search
without them. A repeat costs its steps and draws a noise of its own; the sampler, the front and the
choice see the mean over a trial's trainings.

What a config is worth is known here: the expectation of its objectives over the noise that the
replay draws from. Printed are medians over seeds, on the tune split, after so many full trials'
worth of steps: the hypervolume of the true values of the trials that the search reports as its
front (as a share of the box that `search_strategies.py` uses), how many these are, and, of the
trial that the policy `compatible-coverage` chooses, the true MAE and coverage error, and by how
much both were measured better than they are. "gain" is the hypervolume less that without repeats
with the same seed, median and quartiles; "better" the share of seeds in which it is above 0.

The chances that decide whom to repeat need the error of a difference between two trials on the same
days, which the tables do not hold; it is taken from `docs/decisions/noise.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import print_result, print_table, script_parser

from paretocast.metrics.resampling import N_RESAMPLES
from paretocast.search.pareto import TIED_FROM, front, front_probabilities, hypervolume
from paretocast.search.selection import Candidate, Draws, select
from paretocast.study.repeats import MAX_SEEDS, RepeatCandidate, next_repeat
from paretocast.training.trial import trial_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blackbox.replay import Surrogate
    from blackbox.search import Ended, History
    from blackbox.strategies import Product
    from numpy.typing import NDArray

    from paretocast.search.samplers import Observation
    from paretocast.search.space import Config

    Floats = NDArray[np.float64]
    Values = tuple[float, ...]

SHARES = (0.0, 0.1, 0.2, 0.35)
CHECKPOINTS = (10, 20, 40)  # full trials' worth of steps
TARGET = 80.0
# Of one trial, so that two differ by noise.md's 0.0021 and 1.4 points on the same days.
DAY_ERRORS = (0.0015, 1.0)
# Half the width of the 95 % interval of a coverage there, points.
HALF_INTERVAL = 3.1


@dataclass
class Raced:
    """The product's search, repeats included.

    Attributes
    ----------
    trial_of : dict of number to number
        Every training under its own number, with the number of the trial that it is one of.
    at_end : dict of number to list
        Objectives of the trainings of each complete trial.
    """

    search: Product
    seed: int
    full_steps: int
    first_rung_steps: int
    share: float
    trial_of: dict[int, int] = field(default_factory=dict)
    at_end: dict[int, list[Values]] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)

    @property
    def rungs(self) -> Sequence[int]:
        return self.search.rungs

    def suggest(self, number: int) -> Config:
        repeated = self.next_repeat()
        if repeated is not None:
            self.trial_of[number] = repeated
            return self.search.configs[repeated]
        self.trial_of[number] = number
        self.search.configs[number] = self.search.sampler.suggest(number, self.observations())
        self.search.at_rungs[number] = []
        return self.search.configs[number]

    def goes_on(self, number: int, rung: int, values: Values) -> bool:
        if self.trial_of[number] != number:
            return True
        promoted = self.search.goes_on(number, rung, values)
        if not promoted:
            self.steps[number] = self.first_rung_steps
        return promoted

    def ended(self, number: int, values: Values) -> None:
        trial = self.trial_of[number]
        self.steps[number] = self.full_steps
        self.at_end.setdefault(trial, []).append(values)
        if trial == number:
            self.search.ended(number, values)

    def observations(self) -> list[Observation]:
        """The trials as the sampler sees them: complete ones with the mean of their trainings."""
        return [
            replace(trial, values=mean_of(self.at_end[trial.number]))
            if trial.number in self.at_end
            else trial
            for trial in self.search.observations()
        ]

    def next_repeat(self) -> int | None:
        """The trial to train again, if it is the turn of one."""
        if self.share == 0.0 or not self.at_end:
            return None
        chances = self.chances()
        candidates = [
            RepeatCandidate(number, len(self.at_end[number]), chance, on_front=member)
            for number, (chance, member) in chances.items()
        ]
        repeats = [steps for n, steps in self.steps.items() if self.trial_of[n] != n]
        repeat = next_repeat(
            candidates,
            n_finished=sum(self.trial_of[n] == n for n in self.steps),
            steps_of_trials=sum(self.steps.values()) - sum(repeats),
            steps_of_repeats=sum(repeats),
            steps_of_next=self.full_steps,
            max_seeds=MAX_SEEDS,
            share=self.share,
        )
        return None if repeat is None else repeat[0]

    def chances(self) -> dict[int, tuple[float, bool]]:
        """Chance to be on the front, and whether it is there as measured, near the front."""
        values = np.array([mean_of(trainings) for trainings in self.at_end.values()])
        draws = draw(
            values,
            [len(trainings) for trainings in self.at_end.values()],
            self.at_end,
            seed=self.seed,
        )
        chances = front_probabilities(draws)
        members = set(front(values).tolist())
        return {
            number: (float(chances[i]), i in members)
            for i, number in enumerate(self.at_end)
            if chances[i] >= TIED_FROM or i in members
        }


def mean_of(trainings: Sequence[Values]) -> Values:
    """Mean over the trainings of a trial, objective by objective."""
    return tuple(np.mean(trainings, axis=0).tolist())


def seed_variance(at_end: dict[int, list[Values]]) -> Floats:
    """Variance between trainings of one config, pooled over the repeated trials, (m,)."""
    repeated = [np.array(trainings) for trainings in at_end.values() if len(trainings) > 1]
    if not repeated:
        return np.zeros(len(DAY_ERRORS))
    away = np.concatenate([values - values.mean(axis=0) for values in repeated])
    variance: Floats = np.square(away).sum(axis=0) / (len(away) - len(repeated))
    return variance


def draw(
    values: Floats, n_seeds: Sequence[int], at_end: dict[int, list[Values]], *, seed: int
) -> Floats:
    """Objectives as other days and seeds might have made them, (R, n, m)."""
    variance = seed_variance(at_end) / np.array(n_seeds)[:, None]
    errors = np.sqrt(np.square(DAY_ERRORS) + variance)
    normal = np.random.default_rng(seed).standard_normal((N_RESAMPLES, *values.shape))
    drawn: Floats = values + errors * normal
    return drawn


def report(
    raced: Raced, history: History, blackbox: Surrogate, *, limit: int, reference: Floats
) -> dict[str, float]:
    """Front and choice of the search after so many steps, and what they are worth."""
    ended = [end for end in history.complete if end.steps <= limit]
    at_end: dict[int, list[Values]] = {}
    picps: dict[int, list[float]] = {}
    for end in ended:
        trial = raced.trial_of[end.number]
        at_end.setdefault(trial, []).append(end.values["tune"])
        picps.setdefault(trial, []).append(picp_of(end, raced, blackbox))
    if not at_end:
        return {}
    numbers = list(at_end)
    values = np.array([mean_of(at_end[n]) for n in numbers])
    true = np.array([blackbox.expected(raced.search.configs[n])["tune"] for n in numbers])
    members = front(values)
    chosen = numbers.index(choose(numbers, values, at_end, picps, seed=raced.seed))
    return {
        "hypervolume": hypervolume(true[members], reference),
        "front": float(len(members)),
        "repeats": float(len(ended) - len(numbers)),
        "complete": float(len(numbers)),
        "mae": float(true[chosen, 0]),
        "coverage_error": float(true[chosen, 1]),
        "mae_optimism": float(true[chosen, 0] - values[chosen, 0]),
        "coverage_optimism": float(true[chosen, 1] - values[chosen, 1]),
    }


def picp_of(end: Ended, raced: Raced, blackbox: Surrogate) -> float:
    """Measured coverage of a training, percent."""
    config = raced.search.configs[raced.trial_of[end.number]]
    curve = blackbox.curve(config, seed=trial_seed(raced.seed, end.number))
    return curve.scores["tune"][-1]["picp"]


def choose(
    numbers: Sequence[int],
    values: Floats,
    at_end: dict[int, list[Values]],
    picps: dict[int, list[float]],
    *,
    seed: int,
) -> int:
    """The number that the product's default policy chooses."""
    n_seeds = [len(at_end[n]) for n in numbers]
    draws = draw(values, n_seeds, at_end, seed=seed)
    rng = np.random.default_rng([seed, 1])
    candidates = []
    for i, number in enumerate(numbers):
        picp = float(np.mean(picps[number]))
        drawn = picp + DAY_ERRORS[1] * rng.standard_normal(len(draws))
        candidates.append(
            Candidate(
                number=number,
                values=tuple(values[i].tolist()),
                mae=float(values[i, 0]),
                picp=picp,
                picp_low=picp - HALF_INTERVAL,
                picp_high=picp + HALF_INTERVAL,
                n_seeds=n_seeds[i],
                draws=Draws(values=draws[:, i], mae=draws[:, i, 0], picp=drawn),
            )
        )
    return select(candidates, policy="compatible-coverage", target=TARGET).number


def measure(
    blackbox: Surrogate, *, shares: Sequence[float], seeds: int, n_full: int, seed: int
) -> list[dict[str, Any]]:
    """A row per share and checkpoint, medians over seeds."""
    from blackbox.search import replay
    from blackbox.strategies import make_product
    from search_strategies import reference_point

    reference, box = reference_point(blackbox.table)
    full = blackbox.rung_steps[-1]
    limits = [n for n in CHECKPOINTS if n <= n_full]
    reports: dict[tuple[float, int], list[dict[str, float]]] = {}
    for share in shares:
        for study_seed in range(seed, seed + seeds):
            search = make_product(blackbox, seed=study_seed, n_trials=n_full)
            raced = Raced(
                search,
                seed=study_seed,
                full_steps=full,
                first_rung_steps=blackbox.rung_steps[search.rungs[0]],
                share=share,
            )
            history = replay(raced, blackbox, seed=study_seed, budget_steps=n_full * full)
            for n in limits:
                figures = report(raced, history, blackbox, limit=n * full, reference=reference)
                figures["hypervolume"] /= box
                reports.setdefault((share, n), []).append(figures)
    rows = []
    for (share, n), searches in reports.items():
        pairs = zip(searches, reports[shares[0], n], strict=True)
        gains = [ours["hypervolume"] - without["hypervolume"] for ours, without in pairs]
        low, middle, high = np.quantile(gains, (0.25, 0.5, 0.75)).tolist()
        medians = {name: float(np.median([s[name] for s in searches])) for name in searches[0]}
        rows.append(
            {
                "full_trials": n,
                "share": share,
                **medians,
                "gain": middle,
                "gain_low": low,
                "gain_high": high,
                "better": float(np.mean(np.array(gains) > 0.0)),
            }
        )
    return sorted(rows, key=lambda row: (row["full_trials"], row["share"]))


def main() -> None:
    """Print a table per black box."""
    parser = script_parser(__doc__)
    parser.add_argument("--tables", nargs="+", default=["NHITS_Q demo", "NHITS_Q heat"])
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--full-trials", type=int, default=CHECKPOINTS[-1], help="the budget")
    parser.add_argument(
        "--shares", type=float, nargs="+", default=SHARES, help="the first: against"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first search")
    parser.add_argument("--quick", action="store_true", help="3 seeds, 10 full trials, 2 shares")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.full_trials, arguments.shares = 3, 10, (0.0, 0.2)

    import optuna
    from blackbox.replay import Surrogate
    from search_strategies import recorded_tables

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    results = {}
    for table in recorded_tables(arguments.tables):
        rows = measure(
            Surrogate(table),
            shares=arguments.shares,
            seeds=arguments.seeds,
            n_full=arguments.full_trials,
            seed=arguments.seed,
        )
        results[table.name] = {"configs": len(set(table.numbers.tolist())), "rows": rows}
        print(f"\n{table.name}: {results[table.name]['configs']} configs", flush=True)
        print_table(list(rows[0]), [list(row.values()) for row in rows])
    print_result({"results": results, "seeds": arguments.seeds}, seed=arguments.seed)


if __name__ == "__main__":
    main()
