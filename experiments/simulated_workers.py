"""1 to 256 workers on one study, simulated on a virtual clock over recorded learning curves.

    python experiments/simulated_workers.py [--table "NHITS_Q demo"] [--trials 2048] [--quick]

Every worker is as fast as the core of the recording, so what is measured is the search: workers
that wait for the study's lock or for the last trial, and proposals made while other trials run. The
recorded seconds are scaled so that a full trial takes --full-seconds on average. Before a trial its
worker is busy for the time that a proposal of the product takes here, measured on half as many
seen trials as the study has; for every trial and rung the study is locked for --locked seconds, and
all others who want it wait.

Time: --trials trials, configs drawn at random (who waits does not depend on them), pruned by the
product's rule at rungs. `efficiency` is the time of one worker to end them all, divided by the
number of workers and the time these take. `in flow` leaves the end out, where workers run out of
trials: what one worker needs for as many trials as had ended when the first worker found none to
begin, again divided by workers and their time.

Quality: --quality-trials trials of the whole product, whose sampler proposes without knowing
how the running trials end: hypervolume on the tune split, divided by one worker's (medians).
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    from blackbox.replay import Blackbox
    from blackbox.search import Coordination, History

WORKERS = (1, 4, 16, 64, 256)
GOAL = 0.9


def proposal_seconds(blackbox: Blackbox, *, n_trials: int) -> float:
    """Median time of a proposal of the product after so many trials."""
    from blackbox.search import OBJECTIVES
    from blackbox.strategies import make_product

    from paretocast.search.samplers import Observation, design_point

    observations = []
    for number in range(n_trials):
        config = design_point(blackbox.recording.space, number, seed=0)
        scores = blackbox.curve(config, seed=number).scores["tune"][-1]
        values = tuple(scores[name] for name in OBJECTIVES)
        observations.append(Observation(number, config, values))
    sampler = make_product(blackbox, seed=0, n_trials=n_trials).sampler
    seconds = []
    for number in range(n_trials, n_trials + 5):
        started = time.process_time()  # other processes may have the cores
        sampler.suggest(number, observations)
        seconds.append(time.process_time() - started)
    return statistics.median(seconds)


def run(
    blackbox: Blackbox,
    *,
    n_workers: int,
    n_trials: int,
    sampler: str,
    seed: int,
    coordination: Coordination,
    full_seconds: float,
) -> History:
    """One study of the product."""
    from blackbox.search import replay
    from blackbox.strategies import make_product

    middle = blackbox.curve(blackbox.recording.first, seed=0).seconds[-1]
    return replay(
        make_product(blackbox, seed=seed, n_trials=n_trials, sampler=sampler),
        blackbox,
        seed=seed,
        n_trials=n_trials,
        n_workers=n_workers,
        coordination=coordination,
        seconds_scale=full_seconds / middle,
    )


def time_rows(alone: History, histories: dict[int, History]) -> list[dict[str, Any]]:
    """Efficiency of each number of workers against one."""
    rows = []
    for n_workers, history in histories.items():
        flowing = history.ends[: len(history.ends) - n_workers]
        rows.append(
            {
                "workers": n_workers,
                "hours": history.seconds / 3600.0,
                "efficiency": alone.seconds / (n_workers * history.seconds),
                "in flow": alone.ends[len(flowing) - 1] / (n_workers * flowing[-1])
                if flowing
                else None,
                "waited %": 100.0 * history.waited_seconds / (n_workers * history.seconds),
            }
        )
    return rows


def quality(
    blackbox: Blackbox,
    *,
    workers: list[int],
    n_trials: int,
    seeds: int,
    coordination: Coordination,
    full_seconds: float,
) -> dict[int, float]:
    """Median hypervolume at the end, by number of workers."""
    from blackbox.search import hypervolumes
    from search_strategies import reference_point

    from paretocast.search.space import DEFAULT_SAMPLER

    reference, box = reference_point(blackbox.table)
    medians = {}
    for n_workers in workers:
        ends = []
        for seed in range(seeds):
            history = run(
                blackbox,
                n_workers=n_workers,
                n_trials=n_trials,
                sampler=DEFAULT_SAMPLER,
                seed=seed,
                coordination=coordination,
                full_seconds=full_seconds,
            )
            at = [history.steps]
            volumes = hypervolumes(history, at=at, split="tune", reference=reference)
            ends.append(float(volumes[0]) / box)
        medians[n_workers] = statistics.median(ends)
    return medians


def main() -> None:
    """Print one row per number of workers."""
    parser = script_parser(__doc__)
    parser.add_argument("--table", default="NHITS_Q demo", help="model and data set")
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS))
    parser.add_argument("--trials", type=int, default=2048)
    parser.add_argument("--quality-trials", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=5, help="of the quality")
    parser.add_argument("--full-seconds", type=float, default=30.0)
    parser.add_argument("--locked", type=float, default=0.05, help="seconds")
    parser.add_argument("--quick", action="store_true", help="fewer trials, workers and seeds")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.trials, arguments.quality_trials, arguments.seeds = 512, 48, 2
        arguments.workers = [1, 8]
    import optuna
    from blackbox.replay import Surrogate, load_table
    from blackbox.search import Coordination

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    model, dataset = arguments.table.split()
    blackbox = Surrogate(load_table(model, dataset))
    proposal = proposal_seconds(blackbox, n_trials=arguments.trials // 2)
    coordination = Coordination(proposal=proposal, locked=arguments.locked)
    full_seconds = arguments.full_seconds
    workers = sorted({1, *arguments.workers})
    histories = {
        n: run(
            blackbox,
            n_workers=n,
            n_trials=arguments.trials,
            sampler="random",
            seed=0,
            coordination=coordination,
            full_seconds=full_seconds,
        )
        for n in workers
    }
    rows = time_rows(histories[1], histories)
    few = [n for n in workers if n <= arguments.quality_trials // 4]
    volumes = quality(
        blackbox,
        workers=few,
        n_trials=arguments.quality_trials,
        seeds=arguments.seeds,
        coordination=coordination,
        full_seconds=full_seconds,
    )
    for row in rows:
        volume = volumes.get(row["workers"])
        row["hypervolume"] = None if volume is None else volume / volumes[1]
    print(f"a proposal takes {1e3 * proposal:.0f} ms, the study is locked {arguments.locked:g} s")
    print_table(list(rows[0]), [list(row.values()) for row in rows])
    print_result(
        {
            "rows": rows,
            "table": arguments.table,
            "trials": arguments.trials,
            "quality_trials": arguments.quality_trials,
            "full_seconds": arguments.full_seconds,
            "proposal_seconds": proposal,
            "locked_seconds": arguments.locked,
            "goal": GOAL,
        },
        seed=0,
    )


if __name__ == "__main__":
    main()
