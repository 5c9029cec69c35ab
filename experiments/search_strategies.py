"""Search strategies compared on recorded learning curves, in seconds instead of hours.

    python experiments/search_strategies.py [--tables "NHITS_Q demo"] [--seeds 20] [--quick]

Every strategy searches every table with every seed until 20 full trials' worth of gradient steps is
spent. Measured is the hypervolume of MAE and |PICP - 80| of the trials trained to the end, against
a reference that is fixed per table: the medians of the recorded curves at the full budget. It is
divided by the box between the reference and the recorded best of each objective, so 1 would be one
trial that is best in both. It is printed as measured on the `tune` split, which the search sees,
and for the trials on that front scored where nothing was chosen: on the `calibrate` split, and by
their `worth`, which is what fresh trainings of their configs have on the tune split on average.

`reaches` is the share of the gradient steps of 50 full random trials after which a strategy has
the hypervolume that random search has at their end (medians over seeds), as measured and by worth;
"not" if it has it nowhere in its budget.

--lookup nearest    recorded curves of the nearest config instead of the surrogate
--ablation          variants of ours instead of other strategies
--rungs             how scores at the rungs agree with those at the end, and with schedules of
                    their own where these were recorded
--plot FILE         hypervolume against steps as a picture (needs the package kaleido)
--synetune PYTHON   an interpreter that imports syne_tune, for its MO-ASHA
"""

from __future__ import annotations

import itertools
import statistics
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from blackbox.curves import TABLES
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from blackbox.replay import Blackbox, Table
    from blackbox.search import History, Strategy
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Makers = dict[str, Callable[[Blackbox, int], Strategy]]

N_FULL_TRIALS = 20
N_RANDOM_TRIALS = 50
CHECKPOINTS = (5, 10, 20, 50)  # full trials' worth of steps
GOAL_SHARE = 0.2
SCORED_ON = ("tune", "calibrate", "worth")


def reference_point(table: Table) -> tuple[Floats, float]:
    """Worst values that count, and the volume of the box from there to the recorded best."""
    from blackbox.search import OBJECTIVES

    ends = np.array([table.objective("tune", name)[:, -1] for name in OBJECTIVES])
    reference = np.median(ends, axis=1)
    return reference, float(np.prod(reference - ends.min(axis=1)))


def search(
    make: Callable[[Blackbox, int], Strategy], blackbox: Blackbox, *, seeds: int, n_full: int
) -> list[History]:
    """One search per seed."""
    from blackbox.search import add_worth, replay

    budget = n_full * blackbox.rung_steps[-1]
    return [
        add_worth(replay(make(blackbox, seed), blackbox, seed=seed, budget_steps=budget), blackbox)
        for seed in range(seeds)
    ]


def measure(
    table: Table, blackbox: Blackbox, makers: Makers, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Hypervolumes of every strategy on one table."""
    from blackbox.search import hypervolumes, steps_to_reach

    reference, box = reference_point(table)
    full, n_full = blackbox.rung_steps[-1], arguments.full_trials
    grid = [round(full * n_full * share) for share in np.linspace(0.02, 1.0, 50)]
    at = [full * n for n in CHECKPOINTS if n <= n_full]
    rows: dict[str, Any] = {}
    histories = {}
    for name, make in makers.items():
        started = time.perf_counter()
        histories[name] = search(make, blackbox, seeds=arguments.seeds, n_full=n_full)
        volumes = {
            split: np.array(
                [
                    hypervolumes(h, at=[*at, *grid], split=split, reference=reference) / box
                    for h in histories[name]
                ]
            )
            for split in SCORED_ON
        }
        rows[name] = {
            **{
                split: {
                    str(n): statistics.median(values[:, i])
                    for i, n in enumerate(CHECKPOINTS[: len(at)])
                }
                for split, values in volumes.items()
            },
            "bands": np.quantile(volumes["tune"][:, len(at) :], (0.25, 0.5, 0.75), axis=0).tolist(),
            "trials": statistics.median(h.n_started for h in histories[name]),
            "complete": statistics.median(len(h.complete) for h in histories[name]),
            "seconds": (time.perf_counter() - started) / arguments.seeds,
        }
    targets = random_targets(blackbox, seeds=arguments.seeds, reference=reference)
    for (name, row), (split, target) in itertools.product(rows.items(), targets.items()):
        steps = [
            steps_to_reach(h, target, split=split, reference=reference) for h in histories[name]
        ]
        share = statistics.median(steps) / (N_RANDOM_TRIALS * full)
        row.setdefault("reaches", {})[split] = share if np.isfinite(share) else None
    return {
        "table": table.name,
        "curves": len(table.points),
        "configs": len(set(table.numbers.tolist())),
        "failed": table.n_failed,
        "reference": reference.tolist(),
        "targets": {split: target / box for split, target in targets.items()},
        "grid": [steps / full for steps in grid],
        "strategies": rows,
    }


def random_targets(blackbox: Blackbox, *, seeds: int, reference: Floats) -> dict[str, float]:
    """Median hypervolume of 50 full random trials, on the tune split and by worth."""
    from blackbox.search import WORTH, hypervolumes
    from blackbox.strategies import strategies

    make = strategies(N_RANDOM_TRIALS)["random"]
    histories = search(make, blackbox, seeds=seeds, n_full=N_RANDOM_TRIALS)
    return {
        split: statistics.median(
            float(hypervolumes(h, at=[h.steps], split=split, reference=reference)[0])
            for h in histories
        )
        for split in ("tune", WORTH)
    }


def print_measured(result: dict[str, Any]) -> None:
    """The table of one black box."""
    print(
        f"\n{result['table']}: {result['configs']} configs, {result['curves']} curves", flush=True
    )
    targets = " and ".join(f"{target:.4g} ({split})" for split, target in result["targets"].items())
    print(f"random search has {targets} after {N_RANDOM_TRIALS} full trials")
    rows = result["strategies"]
    checkpoints = list(next(iter(rows.values()))["tune"])
    columns = [f"{split[:5]} {n}" for split in SCORED_ON for n in checkpoints]
    print_table(
        ["strategy", "trials", "complete", *columns, "reaches %", "by worth %", "s"],
        [
            [
                name,
                row["trials"],
                row["complete"],
                *(row[split][n] for split in SCORED_ON for n in checkpoints),
                *("not" if s is None else 100.0 * s for s in row["reaches"].values()),
                row["seconds"],
            ]
            for name, row in rows.items()
        ],
    )


def agreement(table: Table, others: Mapping[str, Table]) -> list[dict[str, Any]]:
    """Agreement of the order of configs at each rung with that at the end, one row per rung.

    Parameters
    ----------
    others : mapping of schedule to Table
        The same configs under other schedules; where there are any, the configs that all have are
        compared. The end is always that of the product's schedule.
    """
    numbers = [set(source.numbers.tolist()) for source in (table, *others.values())]
    shared = set.intersection(*numbers)
    end = rung_values(table, first_curves(table, shared), -1)
    rows = []
    for schedule, source in {"budget": table, **others}.items():
        curves = first_curves(source, shared)
        for rung, step in enumerate(source.rung_steps):
            here = rung_values(source, curves, rung)
            measures = {name: rank_agreement(here[name], end[name]) for name in end}
            sizes = {"median mae": np.median(here["mae"]), "best mae": here["mae"].min()}
            named = {name: float(size) for name, size in sizes.items()}
            rows.append({"schedule": schedule, "step": step, "n": len(curves), **measures, **named})
    return rows


def rank_agreement(rung: Floats, end: Floats) -> dict[str, float]:
    """Rank correlations, and how many of the best tenth at the end are in the best third here."""
    from scipy.stats import kendalltau, spearmanr

    best = np.argsort(end, kind="stable")[: max(1, len(end) // 10)]
    third = np.argsort(rung, kind="stable")[: -(-len(rung) // 3)]
    return {
        "kendall": float(kendalltau(rung, end).statistic),
        "spearman": float(spearmanr(rung, end).statistic),
        "kept": float(np.isin(best, third).mean()),
    }


def rung_values(table: Table, curves: NDArray[np.intp], rung: int) -> dict[str, Floats]:
    """Objectives of some curves at a rung, and the rank of their front."""
    from paretocast.search.pareto import front_ranks

    names = ("mae", "coverage_error")
    named = {name: table.objective("tune", name)[curves, rung] for name in names}
    both = np.column_stack([named["mae"], named["coverage_error"]])
    return {**named, "front rank": front_ranks(both).astype(np.float64)}


def first_curves(table: Table, numbers: set[int]) -> NDArray[np.intp]:
    """Index of the first curve of each of the configs, in the order of their numbers."""
    curves = [int(np.flatnonzero(table.numbers == number)[0]) for number in sorted(numbers)]
    return np.array(curves, dtype=np.intp)


def print_agreement(name: str, rows: list[dict[str, Any]]) -> None:
    """Kendall's tau, the share of the best tenth that the best third holds, and sizes."""
    measured = [key for key, value in rows[0].items() if isinstance(value, dict)]
    sizes = [key for key in rows[0] if key.startswith(("median", "best"))]
    print(f"\n{name}: agreement of {rows[0]['n']} configs with the end of the budget", flush=True)
    print_table(
        [
            *("schedule", "step"),
            *(f"tau {key}" for key in measured),
            *(f"kept {key}" for key in measured),
            *sizes,
        ],
        [
            [
                row["schedule"],
                row["step"],
                *(row[key]["kendall"] for key in measured),
                *(row[key]["kept"] for key in measured),
                *(row[key] for key in sizes),
            ]
            for row in rows
        ],
    )


def recorded_tables(names: Sequence[str] | None) -> list[Table]:
    """The tables asked for, or all that hold enough curves."""
    from blackbox.curves import RECORDINGS
    from blackbox.replay import load_table

    from paretocast.errors import DataError

    tables = []
    for path in sorted(TABLES.glob("*.csv")):
        model = next((model for model in RECORDINGS if path.stem.startswith(model)), None)
        if model is None or path.stem.endswith(("_own_schedule", "_restarts")):
            continue
        dataset = path.stem.removeprefix(f"{model}_")
        if names is None or f"{model} {dataset}" in names:
            try:
                tables.append(load_table(model, dataset))
            except DataError as error:
                print(f"left out: {error}")
    return tables


def other_schedules(table: Table) -> dict[str, Table]:
    """Recordings of some of the configs with other learning-rate schedules."""
    from blackbox.replay import load_table
    from record_curves import KINDS

    from paretocast.errors import DataError

    tables: dict[str, Table] = {}
    model, dataset = table.name.split()
    for schedule in ("own", "restarts"):
        with suppress(DataError):
            tables[schedule] = load_table(model, dataset, kind=KINDS[schedule])
    return tables


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Hypervolume against compute: medians with the band between the quartiles."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    from paretocast.report.figures.style import PALETTE, apply_style

    figure = make_subplots(
        rows=-(-len(results) // 2), cols=2, subplot_titles=[r["table"] for r in results]
    )
    for panel, result in enumerate(results):
        row_number, column = panel // 2 + 1, panel % 2 + 1
        for i, (name, row) in enumerate(result["strategies"].items()):
            colour = PALETTE[i % len(PALETTE)]
            low, middle, high = row["bands"]
            band = go.Scatter(
                x=[*result["grid"], *result["grid"][::-1]],
                y=[*high, *low[::-1]],
                fill="toself",
                fillcolor=colour,
                opacity=0.15,
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
            )
            line = go.Scatter(
                x=result["grid"],
                y=middle,
                name=name,
                line={"color": colour, "width": 3 if name == "ours" else 1.5},
                showlegend=panel == 0,
            )
            figure.add_traces([band, line], rows=[row_number] * 2, cols=[column] * 2)
    height = 130 + 330 * -(-len(results) // 2)
    apply_style(figure, "Hypervolume of the front found, by gradient steps spent", height=height)
    figure.update_xaxes(title_text="full trials' worth of gradient steps")
    figure.update_yaxes(title_text="hypervolume")
    figure.write_image(path, width=1000, height=height, scale=1.5)


def main() -> None:
    """Print one table per black box."""
    parser = script_parser(__doc__)
    parser.add_argument("--tables", nargs="+", default=None, help='such as "NHITS_Q demo"')
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--full-trials", type=int, default=N_FULL_TRIALS, help="the budget")
    parser.add_argument("--lookup", choices=("surrogate", "nearest"), default="surrogate")
    parser.add_argument("--ablation", nargs="*", default=None, help="all variants, or some by name")
    parser.add_argument("--rungs", action="store_true")
    parser.add_argument("--plot", type=Path, default=None)
    parser.add_argument("--synetune", type=Path, default=None, metavar="PYTHON")
    parser.add_argument("--quick", action="store_true", help="few seeds and a small budget")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.full_trials = 3, 10
    tables = recorded_tables(arguments.tables)
    if arguments.rungs:
        agreements = {}
        for table in tables:
            agreements[table.name] = agreement(table, other_schedules(table))
            print_agreement(table.name, agreements[table.name])
        print_result({"rungs": agreements})
        return
    compare(tables, arguments)


def compare(tables: Sequence[Table], arguments: argparse.Namespace) -> None:
    """Measure, print and draw."""
    import optuna
    from blackbox.replay import Nearest, Surrogate, surrogate_errors
    from blackbox.strategies import strategies
    from blackbox.synetune import SyneTune
    from blackbox.variants import variants

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    makers = strategies(arguments.full_trials)
    if arguments.ablation is not None:
        changed = variants(arguments.full_trials)
        makers = {name: changed[name] for name in arguments.ablation or changed}
    synetune = SyneTune(arguments.synetune) if arguments.synetune else None
    if synetune is not None:
        makers[f"Syne Tune {synetune.version} MO-ASHA"] = synetune.search
    results = []
    for table in tables:
        blackbox = Surrogate(table) if arguments.lookup == "surrogate" else Nearest(table)
        results.append(measure(table, blackbox, makers, arguments))
        print_measured(results[-1])
        if not arguments.quick:
            errors = surrogate_errors(table)
            results[-1]["surrogate"] = {name: r2.tolist() for name, r2 in errors.items()}
            shares = "; ".join(
                f"{n} " + ", ".join(f"{v:.2f}" for v in r2) for n, r2 in errors.items()
            )
            print(f"share of variance the surrogate explains at each rung, 5 folds: {shares}")
    if synetune is not None:
        synetune.close()
    if arguments.plot is not None:
        draw(results, arguments.plot)
    for result in results:
        for row in result["strategies"].values():
            del row["bands"]
    print_result(
        {
            "results": results,
            "lookup": arguments.lookup,
            "full_trials": arguments.full_trials,
            "goal_share": GOAL_SHARE,
        },
        seed=arguments.seeds,
    )


if __name__ == "__main__":
    main()
