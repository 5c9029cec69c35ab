"""A real search against the same search without rungs, for as many minutes.

    python experiments/with_and_without_rungs.py --data-dir DATA --minutes 15 --workers 2

Both are `paretocast tune` as a user starts it, one after the other, without an anchor; the second
has `n_rungs = 1`, so that every trial is trained to the end. The hypervolume is that of MAE and
|PICP - target| over the trials trained to the end, on the tune split, which the searches saw, and
on the calibrate split, which chose nothing. It is measured from the median of each objective over
all these trials, as a share of the box between there and the best of each: 1 is out of reach unless
one trial has both.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray

    from paretocast.study.trial_store import TrialStore
    from paretocast.workspace.runs import RunDirectory

JOB_ID = "rungs"
SEARCHES = {"with rungs": 2, "without rungs": 1}
SPLITS = ("tune", "calibrate")


def search(name: str, folder: Path, arguments: argparse.Namespace) -> RunDirectory:
    """Run one search to the end of its minutes."""
    from paretocast.workspace.runs import RunDirectory

    run = RunDirectory(folder, arguments.model, arguments.dataset, JOB_ID)
    if not arguments.minutes:
        return run
    words = [
        "tune",
        "--model",
        arguments.model,
        "--dataset",
        arguments.dataset,
        "--seed",
        str(arguments.seed),
    ]
    settings = folder / "settings.toml"
    training = f'[training]\nanchor = "{arguments.anchor}"\nn_rungs = {SEARCHES[name]}\n'
    settings.write_text(training, encoding="utf-8")
    words += ["--settings", str(settings)]
    if arguments.data_dir is not None:
        words += ["--data-dir", str(arguments.data_dir), "--covariates", "none"]
    words += ["--workers", str(arguments.workers), "--workspace", str(folder), "--job-id", JOB_ID]
    words += [
        "--trials",
        str(arguments.trials),
        "--time-limit",
        f"{round(60 * arguments.minutes)}s",
    ]
    command = [sys.executable, "-m", "paretocast", *words]
    subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ})
    return run


def objectives(run: RunDirectory, store: TrialStore) -> dict[str, NDArray[np.float64]]:
    """MAE and coverage error by split of every trial that was trained to the end, (n, 2) each."""
    import numpy as np

    from paretocast.metrics.score_table import score_forecast
    from paretocast.results.forecasts import open_trial
    from paretocast.search.selection import TrialState

    rows: dict[str, list[list[float]]] = {split: [] for split in SPLITS}
    for trial in store.trials:
        if trial.state is not TrialState.COMPLETE:
            continue
        opened = open_trial(run.folder, trial.number)
        for split, values in rows.items():
            scores = score_forecast(
                opened.task.observed(split),
                opened.forecasts[split],
                levels=opened.task.shape.levels,
                coverage=opened.settings.target_coverage,
            )
            values.append([scores["mae"], scores["coverage_error"]])
    return {split: np.array(values).reshape(-1, 2) for split, values in rows.items()}


def main() -> None:
    """Print a row for each search."""
    parser = script_parser(__doc__)
    parser.add_argument("--model", default="NHITS_Q")
    parser.add_argument("--dataset", default="heat")
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument(
        "--minutes", type=float, default=15.0, help="of each search; 0 judges a workspace"
    )
    parser.add_argument("--anchor", default="none", help="or ridge, whose networks need few steps")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trials", type=int, default=2000, help="at most, within the minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workspace", type=Path, default=None, help="keep the studies here")
    parser.add_argument("--quick", action="store_true", help="half a minute each: a rehearsal")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.minutes = 0.5

    import numpy as np

    from paretocast.search.pareto import hypervolume
    from paretocast.study.trial_store import TrialStore

    with tempfile.TemporaryDirectory() as temporary:
        workspace = arguments.workspace or Path(temporary)
        runs = {}
        for name in SEARCHES:
            folder = workspace / name.replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            runs[name] = search(name, folder, arguments)
        stores = {name: TrialStore(run) for name, run in runs.items()}
        for store in stores.values():
            store.refresh()
        values = {name: objectives(run, stores[name]) for name, run in runs.items()}
        ended = {name: len(store.trials) for name, store in stores.items()}
        steps = {name: sum(t.steps for t in store.trainings) for name, store in stores.items()}
    rows: list[list[Any]] = []
    for name in SEARCHES:
        row: list[Any] = [name, ended[name], len(values[name]["tune"]), steps[name]]
        for split in SPLITS:
            pooled = np.concatenate([values[other][split] for other in SEARCHES])
            corner, best = np.median(pooled, axis=0), pooled.min(axis=0)
            volume = hypervolume(values[name][split], corner)
            row += [
                volume / float(np.prod(corner - best)),
                float(values[name][split][:, 0].min(initial=np.inf)),
            ]
        rows.append(row)
    columns = ["search", "trials", "to the end", "steps"]
    columns += [
        f"{split} {measure}" for split in SPLITS for measure in ("hypervolume", "lowest MAE")
    ]
    print_table(columns, rows)
    print_result(
        {"rows": rows, "minutes": arguments.minutes, "workers": arguments.workers},
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
