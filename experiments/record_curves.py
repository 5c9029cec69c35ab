"""Record learning curves of many configs at every rung, for search strategies to be replayed on.

    python experiments/record_curves.py --model NHITS_Q --dataset demo --configs 150 [--seed 1]

Config 0 is the default one, the others are scrambled Sobol points of the space in
`blackbox/curves.py`. The training is the product's own, with patience beyond the budget, so that
every curve has all rungs; the weights scored at a rung are those that a trial is scored with.
Curves are appended to the table as they are made; what the table holds already is skipped.

`--schedule own` trains every rung but the last on its own, with a learning-rate cycle of that
length. `--schedule restarts` begins a new cycle after each rung, so that every rung ends one.
"""

from __future__ import annotations

import csv
import io
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from blackbox.curves import (
    ERRORS,
    RECORDINGS,
    SCORES,
    SPLITS,
    TABLES,
    TARGET_COVERAGE,
    Recording,
    columns,
    config_at,
    read_rows,
    table_path,
    whole_curves,
)
from harness import forecast_splits, print_result, print_table, script_parser

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from paretocast.data.task import Task
    from paretocast.search.space import Config, Space
    from paretocast.training import Training
    from paretocast.training.setup import TrainingSetup

KINDS = {"budget": "", "own": "_own_schedule", "restarts": "_restarts"}
DESIGN_SEED = 20
NEVER = 10_000  # patience, in evaluations
FIXED: dict[str, Config] = {"NHITS_Q": {"num_blocks": 1}, "TFT_Q": {}}


def design(space: Space, *, first: Config, n_configs: int) -> list[Config]:
    """The first config and scrambled Sobol points of the space."""
    from torch.quasirandom import SobolEngine

    sobol = SobolEngine(len(space), scramble=True, seed=DESIGN_SEED)  # type: ignore[no-untyped-call]
    points = sobol.draw(n_configs - 1).double().numpy()
    return [first, *(config_at(point, space) for point in points)]


def make_setup(task: Task, recording: Recording, *, steps: int, n_rungs: int) -> TrainingSetup:
    """A training set-up of the product with the recording's budget."""
    from paretocast.data.scaling import Transform
    from paretocast.settings import TrainingSettings, TuneSettings
    from paretocast.training.setup import TrainingSetup

    training = TrainingSettings(
        steps=steps,
        n_rungs=n_rungs,
        batch_size=recording.batch_size,
        patience=NEVER,
        transform=Transform.NONE,
        anchor="none",
    )
    settings = TuneSettings(
        model=recording.model, training=training, target_coverage=TARGET_COVERAGE
    )
    return TrainingSetup.from_settings(settings, task, device="cpu")


def record_curve(
    setup: TrainingSetup, config: Config, *, seed: int, restarts: bool = False
) -> list[dict[str, Any]]:
    """One row per rung; a single row without scores if the training fails."""
    from paretocast.errors import ForecastError
    from paretocast.training.setup import start_training

    training = start_training(setup, {**config, **FIXED[setup.model]}, seed=seed)
    rows: list[dict[str, Any]] = []
    cpu_seconds = 0.0
    for step in setup.rung_steps:
        started = time.process_time()
        if restarts:
            begin_cycle(training, to_step=step)
        try:
            training.advance(step)
            cpu_seconds += time.process_time() - started
            row: dict[str, Any] = {"step": step, "best_step": training.best_step}
            row["cpu_seconds"] = cpu_seconds
            for split, forecast in forecast_splits(training, setup, SPLITS).items():
                row |= score(setup, forecast, split, seed=seed)
        except ForecastError:
            return [{"step": training.step, "cpu_seconds": cpu_seconds}]
        rows.append(row)
    return rows


def begin_cycle(training: Training, *, to_step: int) -> None:
    """A learning-rate cycle and a weight average that end at `to_step`."""
    from torch.optim.lr_scheduler import OneCycleLR

    recipe = training.recipe
    training._schedule = OneCycleLR(  # noqa: SLF001 - no option of the product
        training._optimizer,  # noqa: SLF001
        max_lr=recipe.lr,
        total_steps=to_step - training.step,
        pct_start=recipe.warmup_share,
    )
    training.recipe = replace(recipe, steps=to_step)


def score(
    setup: TrainingSetup, forecast: NDArray[np.float64], split: str, *, seed: int
) -> dict[str, float]:
    """Scores of a forecast on a split, with block-bootstrap standard errors of two."""
    from paretocast.metrics.score_table import per_window, score_forecast
    from paretocast.metrics.uncertainty import standard_error

    observed, levels = setup.task.observed(split), setup.task.shape.levels
    scores = score_forecast(observed, forecast, levels=levels, coverage=TARGET_COVERAGE)
    windows = per_window(observed, forecast, levels=levels, coverage=TARGET_COVERAGE)
    row = {f"{split}_{name}": scores[name] for name in SCORES}
    for name in ERRORS:
        row[f"{split}_{name}_se"] = standard_error(
            windows[name] * windows["n"],
            windows["n"],
            n_resamples=500,
            rng=np.random.default_rng(seed),
        )
    return row


def append_rows(path: Path, names: list[str], rows: list[dict[str, Any]]) -> None:
    """Add rows to a table and have them on the disk before returning."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    if not path.exists() or path.stat().st_size == 0:
        writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})
    with path.open("a", encoding="utf-8") as file:
        file.write(text.getvalue())
        file.flush()
        os.fsync(file.fileno())


def keep_whole_curves(path: Path, names: list[str], *, n_rungs: int) -> set[tuple[int, int]]:
    """Configs and seeds that a table holds; rows of a torn curve are cut off first."""
    rows = read_rows(path)
    curves = whole_curves(rows, n_rungs=n_rungs)
    whole = [row for curve in curves for row in curve]
    if len(whole) < len(rows):
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        append_rows(part, names, whole)
        part.replace(path)
    return {(int(curve[0]["config"]), int(curve[0]["seed"])) for curve in curves}


def record(arguments: argparse.Namespace, task: Task, *, path: Path) -> list[dict[str, Any]]:
    """Record what is missing of the table; gives the rows at the full budget that are new."""
    from paretocast.training.trial import trial_seed

    recording, own_schedules = RECORDINGS[arguments.model], arguments.schedule == "own"
    restarts = arguments.schedule == "restarts"
    names = columns(recording.space)
    path.parent.mkdir(parents=True, exist_ok=True)
    done = keep_whole_curves(path, names, n_rungs=recording.n_rungs - own_schedules)
    full = make_setup(task, recording, steps=recording.steps, n_rungs=recording.n_rungs)
    setups = [full]
    if own_schedules:
        setups = [
            make_setup(task, recording, steps=step, n_rungs=1) for step in full.rung_steps[:-1]
        ]
    configs = design(recording.space, first=recording.first, n_configs=arguments.configs)
    last = []
    for number in range(0, len(configs), arguments.every):
        if (number, arguments.seed) in done:
            continue
        seed = trial_seed(arguments.seed, number)
        rows = [
            row
            for setup in setups
            for row in record_curve(setup, configs[number], seed=seed, restarts=restarts)
        ]
        identity = {"config": number, "seed": arguments.seed, **configs[number]}
        append_rows(path, names, [{**identity, **row} for row in rows])
        last.append({**identity, **rows[-1]})
        print(f"config {number}, seed {arguments.seed}: {rows[-1]}", flush=True)
    return last


def main() -> None:
    """Record, then print a summary."""
    parser = script_parser(__doc__)
    parser.add_argument("--model", choices=list(RECORDINGS), default="NHITS_Q")
    parser.add_argument("--dataset", default="demo")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--configs", type=int, default=150)
    parser.add_argument("--every", type=int, default=1, help="record every n-th of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schedule", choices=list(KINDS), default="budget")
    parser.add_argument("--folder", type=Path, default=TABLES, help="of the tables")
    parser.add_argument("--quick", action="store_true", help="two configs: a rehearsal")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.configs = 2
    from paretocast.data.task import Task
    from paretocast.settings import TuneSettings
    from paretocast.training import use_threads

    use_threads(1)
    settings = TuneSettings(dataset=arguments.dataset, data_dir=arguments.data_dir)
    task = Task.from_settings(settings)
    kind = KINDS[arguments.schedule]
    path = table_path(arguments.model, task.series.name, folder=arguments.folder, kind=kind)
    rows = record(arguments, task, path=path)
    seconds = [row["cpu_seconds"] for row in rows]
    failed = sum("tune_mae" not in row for row in rows)
    figures = {"table": path.name, "curves": len(rows), "failed": failed, "seconds": sum(seconds)}
    print_table(["table", "new curves", "failed", "CPU s"], [list(figures.values())])
    print_result(figures, seed=arguments.seed)


if __name__ == "__main__":
    main()
