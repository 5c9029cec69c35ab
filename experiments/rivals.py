"""AutoGluon-TimeSeries and NeuralForecast's AutoNHITS on series of the panel, on the same windows.

    python experiments/rivals.py heat bwdf_a_weather_12 electricity_denmark \\
        --data-dir DATA --python RIVALS/bin/python --minutes 5

They run in an environment of their own, because AutoGluon 1.6 needs an older pandas. No GPU is
used; the constraint keeps CUDA away where the index has a CPU build of torch:

    python -m venv RIVALS
    echo 'torch==2.13.0+cpu' > cpu.txt
    RIVALS/bin/pip install -c cpu.txt --extra-index-url https://download.pytorch.org/whl/cpu \\
        autogluon.timeseries==1.6.3 neuralforecast==3.3.0

For each series FOLDER/NAME gets `series.csv` and `task.json`, what `rival_methods.py` reads, and
METHOD.npz, what it writes: forecasts for every daily issue of the test split. A rival learns from
the train and validation periods once, gets the covariates and calendar terms that our models get,
and the same quantile levels. Training stops at the limit, forecasting comes after it. A file that
is there already is not made again. The ridge stands beside them, fitted to the same hours. A time
limit means little on a machine that does other work: AutoNHITS then ends after some dozen steps.

Scores are of the test split, in target units. `pinball` is the mean over all levels, `pb` that of
0.1, 0.5 and 0.9. Quantiles that cross are sorted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from paretocast.data.task import Task

    Floats = NDArray[np.float64]

METHODS = ("autogluon_medium", "autogluon_high", "autonhits")
DEFAULT_METHODS = ("autogluon_medium", "autonhits")
WORKER = Path(__file__).with_name("rival_methods.py")
STAMP = "%Y-%m-%dT%H:%M:%SZ"


def load_task(name: str, data_dir: Path) -> Task:
    """The task of a series of the panel, test split included."""
    from panel_series import panel_dataset

    from paretocast.data.task import plan_task

    dataset = panel_dataset(name, data_dir)
    return plan_task(dataset.series, dataset.dates, with_test=True)


def export_task(task: Task, folder: Path) -> None:
    """Write what a rival needs to know of a task: `series.csv` and `task.json`.

    `series.csv` has a row for every hour: the target, empty where missing; the same with every gap
    filled from earlier hours; the features, each under its name.
    """
    import pandas as pd

    from paretocast.benchmarking.test_split import validation_stop
    from paretocast.data.gaps import fill_from_past

    values = task.series.values
    filled, _ = fill_from_past(values, longest_steps=len(values))
    features = pd.DataFrame(
        task.features.values, index=task.series.index, columns=list(task.features.names)
    )
    table = pd.concat(
        [pd.DataFrame({"target": values, "filled": filled}, index=task.series.index), features],
        axis=1,
    )
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "series.csv", index_label="timestamp", date_format=STAMP)
    stop = validation_stop(task)
    description = {
        "horizon_steps": task.shape.horizon_steps,
        "levels": list(task.shape.levels),
        "known": list(task.features.known.names),
        "past": list(task.features.past.names),
        "learn_stop": stop,  # rows from here on are the test period
        "validation_steps": stop - task.train_stop,
        "issues": task.issues["test"].tolist(),
    }
    (folder / "task.json").write_text(json.dumps(description, indent=1), encoding="utf-8")


def run_rival(method: str, folder: Path, arguments: argparse.Namespace) -> None:
    """Train a rival and let it forecast, in its own environment; its talk goes to stderr."""
    count = str(arguments.threads)
    environment = {
        **os.environ,
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count),
        # On a busy machine threads that spin at every barrier took five seconds a step.
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [str(arguments.python), str(WORKER), method, str(folder)]
    command += ["--seconds", str(60.0 * arguments.minutes), "--threads", count]
    command += ["--seed", str(arguments.seed)]
    log = folder / f"{method}.log"
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            command, check=False, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}; see {log}")


def score_file(path: Path, task: Task) -> dict[str, Any]:
    """Scores of the forecasts in an .npz file on the test split of a task.

    Parameters
    ----------
    path : Path
        Holds `issues` (N,), `levels` (Q,) and `forecast` (N, H, Q) in target units, and may hold
        `seconds` of training and `forecast_seconds`.

    Raises
    ------
    SystemExit
        If its windows or levels are not those of the task.
    """
    with np.load(path) as content:
        arrays = {name: content[name] for name in content.files}
    same_issues = np.array_equal(arrays["issues"], task.issues["test"])
    if not same_issues or not np.allclose(arrays["levels"], task.shape.levels):
        raise SystemExit(f"{path} was made for other windows or levels; remove it")
    seconds = {n: float(arrays[n]) for n in ("seconds", "forecast_seconds") if n in arrays}
    return {**score_quantiles(arrays["forecast"], task), **seconds}


def score_quantiles(forecast: Floats, task: Task) -> dict[str, float]:
    """Mean pinball loss over all levels, and others, of test forecasts of shape (N, H, Q)."""
    from paretocast.metrics.score_table import score_forecast
    from paretocast.metrics.scores import pinball

    observed, levels = task.observed("test"), task.shape.levels
    ascending = np.sort(forecast, axis=-1)
    scores = score_forecast(observed, ascending, levels=levels)
    return {
        "pinball": float(pinball(observed, ascending, levels=levels).mean()),
        "pb": scores["pinball"],
        **{name: scores[name] for name in ("mae", "picp", "mean_width", "winkler")},
        "crossed_percent": float(100.0 * (np.diff(forecast, axis=-1) < 0.0).any(axis=-1).mean()),
    }


def score_ridge(task: Task) -> dict[str, float]:
    """Scores of the ridge that learned from the same hours, without calibration."""
    from paretocast.benchmarking.test_split import validation_stop
    from paretocast.models.baselines.catalogue import fit_baseline

    fitted = fit_baseline("ridge", task, until=validation_stop(task))
    return score_quantiles(fitted.forecast(task, task.issues["test"]), task)


def compare(name: str, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Scores of every method on a series, by method."""
    task = load_task(name, arguments.data_dir)
    folder = arguments.folder.absolute() / name
    export_task(task, folder)
    scores = {"ridge": score_ridge(task)}
    for method in arguments.methods:
        path = folder / f"{method}.npz"
        if not path.exists():
            print(f"{name}: {method} for {arguments.minutes:g} minutes", file=sys.stderr)
            run_rival(method, folder, arguments)
        scores[method] = score_file(path, task)
    return scores


def main() -> None:
    """Print the scores of all rivals on the given series."""
    parser = script_parser(__doc__)
    parser.add_argument("series", nargs="+", help="names of the panel")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True, help="of the rivals' environment")
    parser.add_argument("--folder", type=Path, default=Path("rivals"), help="of what is exchanged")
    parser.add_argument("--methods", nargs="+", default=DEFAULT_METHODS, choices=METHODS)
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, for each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    results = {name: compare(name, arguments) for name in arguments.series}
    columns = ["pinball", "pb", "mae", "picp", "mean_width", "winkler", "crossed_percent"]
    columns += ["seconds", "forecast_seconds"]
    print_table(
        ["series", "method", *columns],
        [
            [name, method, *(row.get(column, "") for column in columns)]
            for name, scores in results.items()
            for method, row in sorted(scores.items(), key=lambda item: item[1]["pinball"])
        ],
    )
    print_result({"scores": results, "minutes": arguments.minutes}, seed=arguments.seed)


if __name__ == "__main__":
    main()
