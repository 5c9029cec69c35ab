"""Gain of a search that knows that its configs differ in cost, on recorded curves.

    python experiments/config_cost.py [--tables "NHITS_Q demo"] [--seeds 20] [--quick]

First printed is with which power of the number of weights the recorded seconds grow, and how close
that is: least squares over logarithms, a curve a point.

Then searches are compared on the clock of the recorded trainings; its unit is the mean time of a
curve. The product divides what it expects of a config by such a power
(`training.size.TIME_BY_WEIGHTS`), which is what `paretocast tune` does on a CPU; without it, all
configs cost the same. Both search with the rung of the product and without it. Hypervolumes are
those of `search_strategies.py`: on the tune split, on the calibrate split and by worth, medians
over seeds.
"""

from __future__ import annotations

import itertools
import statistics
from typing import TYPE_CHECKING, Any

from harness import print_result, print_table, script_parser
from search_strategies import SCORED_ON, recorded_tables, reference_point

from paretocast.search.space import config_at

if TYPE_CHECKING:
    from blackbox.replay import Blackbox, Table

    from paretocast.search.space import Config

CHECKPOINTS = (3, 5, 10, 15)  # mean trainings' worth of seconds
N_TRIALS = 20
N_KNOWN = {"demo": 15, "heat": 11}  # columns known ahead when the curves were recorded


def weights_of(table: Table, config: Config) -> int:
    """Weights of a recorded config's model."""
    import numpy as np
    from record_curves import FIXED

    from paretocast.models.base import WindowShape, build_model, count_weights

    model, dataset = table.name.split()
    shape = WindowShape(
        input_steps=168, horizon_steps=24, n_past=0, n_known=N_KNOWN[dataset], n_levels=11
    )
    full = {**config, **FIXED[model]}
    no_history = np.zeros(0, dtype=np.float32)  # TimesNet's periods alone need one
    return count_weights(lambda: build_model(model, shape, full, train_history=no_history))


def growth(table: Table) -> dict[str, Any]:
    """The power of the weights with which seconds grow, and the correlation of the logarithms."""
    import numpy as np

    space = table.recording.space
    configs = [config_at(space, point) for point in table.points.tolist()]
    weights = np.log([weights_of(table, config) for config in configs])
    seconds = np.log(table.column("cpu_seconds")[:, -1])
    power, _ = np.polyfit(weights, seconds, 1)
    agreement = np.corrcoef(weights, seconds)[0, 1]
    return {"table": table.name, "power": float(power), "correlation": float(agreement)}


def measure(table: Table, blackbox: Blackbox, *, seeds: int) -> list[dict[str, Any]]:
    """A row for each search."""
    from blackbox.search import add_worth, hypervolumes, replay
    from blackbox.strategies import N_RUNGS, make_product

    from paretocast.training.size import TIME_BY_WEIGHTS

    reference, box = reference_point(table)
    mean_seconds = float(table.column("cpu_seconds")[:, -1].mean())
    at = [n * mean_seconds for n in CHECKPOINTS]
    costs = {"by weights": lambda c: weights_of(table, c) ** TIME_BY_WEIGHTS, "the same": None}
    rows = []
    for n_rungs, (name, cost) in itertools.product((N_RUNGS, 1), costs.items()):
        histories = []
        for seed in range(seeds):
            search = make_product(
                blackbox, seed=seed, n_trials=N_TRIALS, n_rungs=n_rungs, cost=cost
            )
            history = replay(search, blackbox, seed=seed, budget_seconds=at[-1])
            histories.append(add_worth(history, blackbox))
        volumes = {
            split: [
                hypervolumes(h, at=at, split=split, reference=reference, clock="seconds") / box
                for h in histories
            ]
            for split in SCORED_ON
        }
        rows.append(
            {
                "table": table.name,
                "rungs": n_rungs,
                "cost": name,
                "trials": statistics.median(h.n_started for h in histories),
                **{
                    f"{split} {n}": float(statistics.median(v[i] for v in values))
                    for split, values in volumes.items()
                    for i, n in enumerate(CHECKPOINTS)
                },
            }
        )
    return rows


def main() -> None:
    """Print four rows per table."""
    parser = script_parser(__doc__)
    parser.add_argument("--tables", nargs="+", default=None, help='such as "NHITS_Q demo"')
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="three seeds")
    arguments = parser.parse_args()

    import optuna
    from blackbox.replay import Surrogate

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds = 3 if arguments.quick else arguments.seeds
    tables = recorded_tables(arguments.tables)
    grows = [growth(table) for table in tables]
    print_table(list(grows[0]), [list(row.values()) for row in grows])
    rows = []
    for table in tables:
        rows += measure(table, Surrogate(table), seeds=seeds)
    print_table(list(rows[0]), [list(row.values()) for row in rows])
    print_result({"growth": grows, "rows": rows}, seed=seeds)


if __name__ == "__main__":
    main()
