"""The anchor against the reference ridge, on the panel of series.

    python experiments/anchor.py --data-dir DATA [--series heat bwdf_b_12]

Both are fitted on the train split. Ratios are of mean absolute errors; the stop split has a say in
the anchor, tune and calibrate have none. The test split is not read.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import print_result, print_table, script_parser
from panel_series import DEFAULT_PANEL, panel_dataset

if TYPE_CHECKING:
    from paretocast.data.task import Task

SPLITS = ("stop", "tune", "calibrate")
QUICK_SERIES = 2


def compare(task: Task) -> list[Any]:
    """Form of the anchor, seconds of its fit, and its ratios on the splits."""
    from paretocast.models.anchor import fit_anchor
    from paretocast.models.baselines.base import train_scaling
    from paretocast.models.baselines.catalogue import fit_baseline

    scaling = train_scaling(task)
    started = time.perf_counter()
    anchor = fit_anchor(task, scaling)
    seconds = time.perf_counter() - started
    ridge = fit_baseline("ridge", task)
    median = task.shape.levels.index(0.5)
    ratios = []
    for split in SPLITS:
        positions, observed = task.issues[split], task.observed(split)
        errors = [
            np.nanmean(np.abs(points - observed))
            for points in (
                scaling.unscale(anchor.points[positions].astype(np.float64)),
                ridge.forecast(task, positions)[..., median],
            )
        ]
        ratios.append(float(errors[0] / errors[1]))
    return [anchor.model.label, seconds, *ratios]


def main() -> None:
    """Print a row for each series and the medians."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--series", nargs="+", default=list(DEFAULT_PANEL))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="the first two series: a rehearsal")
    arguments = parser.parse_args()

    from paretocast.data.task import plan_task
    from paretocast.training import use_threads

    use_threads(arguments.threads)
    rows: list[list[Any]] = []
    for name in arguments.series[: QUICK_SERIES if arguments.quick else None]:
        dataset = panel_dataset(name, arguments.data_dir)
        rows.append([name, *compare(plan_task(dataset.series, dataset.dates))])
    numbers = np.array([row[2:] for row in rows], dtype=np.float64)
    rows.append(["median", "", *np.median(numbers, axis=0).tolist()])
    rows.append(["worst", "", *numbers.max(axis=0).tolist()])
    print_table(["series", "form", "seconds", *(f"{split} MAE" for split in SPLITS)], rows)
    print_result({"rows": rows, "threads": arguments.threads})


if __name__ == "__main__":
    main()
