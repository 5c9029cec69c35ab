"""Peak memory of a trial: the largest config of every space on a year of hours with 30 covariates.

    python benchmarks/peak_memory.py [--models TFT_Q] [--steps 6]

Each model trains a few steps in a process of its own, is scored on the stop split and forecasts the
tune and calibrate splits, as a trial does. The figure is the largest resident memory of that
process, libraries included. Beside it stands what weights, gradients and the optimizer's two
moments alone take, which no batch size changes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    from paretocast.data.task import Task
    from paretocast.search.space import Config

MOST_MIB = 1536
N_COVARIATES = 30
LARGEST: dict[str, Config] = {
    "NHITS_Q": {
        "num_stacks": 5,
        "num_blocks": 3,
        "num_layers": 4,
        "layer_widths": 1024,
        "dropout": 0.1,
    },
    "TFT_Q": {"hidden_size": 256, "lstm_layers": 3, "num_attention_heads": 8, "dropout": 0.1},
    "TIMESNET_Q": {"hidden_size": 256, "conv_hidden_size": 128, "top_k": 5, "dropout": 0.1},
}


def make_year(n_covariates: int) -> Task:
    """A year of training hours with that many columns beside the target, calendar included."""
    import pandas as pd

    from paretocast.data.series import Calendar, Covariate, Role, Series, SplitDates
    from paretocast.data.task import plan_task

    rng = np.random.default_rng(1)
    index = pd.date_range("2021-01-01", periods=24 * 500, freq="h", tz="UTC")

    def plan(n_columns: int) -> Task:
        covariates = tuple(
            Covariate(f"column_{i}", rng.normal(size=len(index)), Role.FORECAST)
            for i in range(n_columns)
        )
        values = 10.0 + np.sin(np.arange(len(index)) * 2 * np.pi / 24) + rng.normal(size=len(index))
        series = Series("year", values, index, "kW", Calendar(), covariates)
        dates = SplitDates(index[24 * 365 - 1], index[24 * 465 - 1], index[-1])
        return plan_task(series, dates)

    n_calendar = len(plan(0).features.names)
    return plan(n_covariates - n_calendar)


def measure(model: str, n_steps: int) -> dict[str, Any]:
    """Memory of one model in this process."""
    from paretocast.data.scaling import Transform
    from paretocast.settings import TrainingSettings, TuneSettings
    from paretocast.training import use_threads
    from paretocast.training.memory import peak_memory_mib
    from paretocast.training.setup import TrainingSetup, start_training
    from paretocast.training.trial import run_trial

    use_threads(1)
    training = TrainingSettings(
        steps=n_steps, n_evaluations=1, n_rungs=1, transform=Transform.NONE, anchor="none"
    )
    settings = TuneSettings(model=model, training=training, device="cpu")
    setup = TrainingSetup.from_settings(settings, make_year(N_COVARIATES))
    config = LARGEST[model] | {"lr": 1e-4}
    shape = setup.source.shape(len(setup.task.shape.levels))
    weights = start_training(setup, config, seed=1).model.parameters()
    n_weights = sum(weight.numel() for weight in weights)
    record = run_trial(setup, config, number=0, seed=1)
    return {
        "model": model,
        "columns": shape.n_known + shape.n_past,
        "batch_size": setup.batch_size,
        "weights_millions": n_weights / 1e6,
        "weights_gradients_moments_mib": 4 * 4 * n_weights / 2**20,
        "peak_mib": peak_memory_mib(),
        "trial": record.state.value,
        "reason": record.reason,
    }


def main() -> None:
    """Print one row per model."""
    parser = script_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=list(LARGEST), help="some of the models")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--quick", action="store_true", help="one step each")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    n_steps = 1 if arguments.quick else arguments.steps
    if arguments.child:
        print(json.dumps(measure(arguments.child, n_steps)))
        return
    rows = []
    for model in arguments.models:
        command = [sys.executable, __file__, "--child", model, "--steps", str(n_steps)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    columns = ["model", "columns", "batch_size", "weights_millions"]
    columns += ["weights_gradients_moments_mib", "peak_mib", "trial"]
    print_table(
        [*columns, "at most"], [[*(row[name] for name in columns), MOST_MIB] for row in rows]
    )
    print_result({"models": rows}, seed=1)


if __name__ == "__main__":
    main()
