"""Speed of rolling evaluation: every daily issue of a year, ours and the library's, in turns.

    python benchmarks/evaluate_throughput.py --data-dir DATA [--quick]

Ours is `forecast_positions` with its result in target units. The library forecasts in two ways,
both after a fit of one step that is not counted:

rolling  `NeuralForecast.cross_validation(n_windows=365, step_size=24, use_fitted=True)`, the
         library's own rolling prediction, which predicts without fitting again
loop     `NeuralForecast.predict(history, futr_df=...)` issue by issue, extrapolated from some

Both get the shortest history that will do. Where the weights can be shared (N-HiTS and TFT) the
largest difference between our forecast and the rolling one is shown, in scaled units.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from clocks import alternate, median_ratio
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    import argparse

    import pandas as pd
    from library_match import Match
    from neuralforecast import NeuralForecast
    from numpy.typing import NDArray

    from paretocast.data.task import Task
    from paretocast.models.base import QuantileModel
    from paretocast.training import WindowSource

MODELS = ("NHITS_Q", "TFT_Q", "TIMESNET_Q")
DAYS = 365
GOAL, AIM = 5.0, 20.0
KEYS = ("unique_id", "ds", "cutoff", "y")


def daily_issues(n_hours: int, *, n_days: int, horizon_steps: int) -> NDArray[np.intp]:
    """Positions of one issue a day, the last horizon ending with the series."""
    last = n_hours - horizon_steps
    positions: NDArray[np.intp] = np.arange(last - 24 * (n_days - 1), last + 1, 24)
    return positions


def share_weights(library: Any, model: QuantileModel) -> bool:  # noqa: ANN401 - not typed
    """Give our model the library's weights where both compute the same function."""
    from neuralforecast_conversion import load_neuralforecast

    from paretocast.models.nhits import NHITS
    from paretocast.models.tft import TFT

    if isinstance(model, NHITS | TFT):
        load_neuralforecast(model, library.state_dict())
    return isinstance(model, NHITS | TFT)


def forecast_rolling(
    library: NeuralForecast, frame: pd.DataFrame, n_days: int
) -> NDArray[np.float64]:
    """Forecasts (N, H, Q) of the library's rolling prediction, sorted over levels."""
    table = library.cross_validation(
        frame, n_windows=n_days, step_size=24, refit=False, use_fitted=True
    )
    values = table[[name for name in table if name not in KEYS]].to_numpy(dtype=np.float64)
    return np.sort(values.reshape(n_days, library.h, -1), axis=-1)


def forecast_loop(
    library: NeuralForecast, frame: pd.DataFrame, *, issues: NDArray[np.intp]
) -> None:
    """One call of `predict` per issue."""
    past_steps = library.models[0].input_size
    known_ahead = [name for name in frame if name not in {"y", "available_mask"}]
    for issue in issues:
        ahead = frame.iloc[issue : issue + library.h][known_ahead]
        library.predict(frame.iloc[issue - past_steps : issue], futr_df=ahead)


def measure(model: str, task: Task, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of every way to forecast a year, and the largest difference of the forecasts."""
    from library_match import config_with, library_frame, make_match, train_frame

    from paretocast.training import forecast_positions

    match = make_match(task, model, config_with(model), batch_size=32)
    library, _ = match.fit_library(train_frame(match.setup), steps=1)
    ours, source = match.start_ours().model, match.setup.source
    shared = share_weights(library.models[0], ours)
    frame, shape = library_frame(match.setup), task.shape
    year = daily_issues(len(frame), n_days=arguments.days, horizon_steps=shape.horizon_steps)
    recent = frame.iloc[year[0] - shape.input_steps :]
    sample = year[:: max(1, len(year) // arguments.loop_issues)][: arguments.loop_issues]

    def clocked_loop() -> float:
        started = time.perf_counter()
        forecast_loop(library, frame, issues=sample)
        return (time.perf_counter() - started) * len(year) / len(sample)

    measured = alternate(
        {
            "ours": lambda: clocked_ours(match, ours, source, year),
            "rolling": lambda: clocked_rolling(library, recent, len(year)),
            "loop": clocked_loop,
        },
        n_rounds=arguments.rounds,
    )
    difference = None
    if shared:
        rolling = forecast_rolling(library, recent, len(year))
        difference = float(np.abs(rolling - forecast_positions(ours, source, year)).max())
    return {
        "model": model,
        "n_issues": len(year),
        "seconds": {name: statistics.median(seconds) for name, seconds in measured.items()},
        "ratios": {
            f"{name}/ours": median_ratio(measured[name], measured["ours"])
            for name in ("rolling", "loop")
        },
        "largest_difference": difference,
        "rounds": measured,
    }


def clocked_ours(
    match: Match, model: QuantileModel, source: WindowSource, issues: NDArray[np.intp]
) -> float:
    """Seconds of our forecasts in target units."""
    from paretocast.training import forecast_positions

    started = time.perf_counter()
    match.setup.scaling.unscale(forecast_positions(model, source, issues))
    return time.perf_counter() - started


def clocked_rolling(library: NeuralForecast, frame: pd.DataFrame, n_days: int) -> float:
    """Seconds of the library's rolling prediction."""
    started = time.perf_counter()
    forecast_rolling(library, frame, n_days)
    return time.perf_counter() - started


def main() -> None:
    """Print one row per model."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, default=None, help="heat; else the demo series")
    parser.add_argument("--models", nargs="+", default=MODELS, help="some of the models")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--loop-issues", type=int, default=20, help="issues of the loop to measure")
    parser.add_argument("--quick", action="store_true", help="1 round, 5 issues of the loop")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.loop_issues = 1, 5
    from library_match import load_task, silence_library

    from paretocast.training import use_threads

    silence_library()
    use_threads(arguments.threads)
    task = load_task(arguments.data_dir)
    rows = [measure(name.upper(), task, arguments) for name in arguments.models]
    print_table(
        [
            *("model", "issues", "ours s", "rolling s", "loop s"),
            *("rolling/ours", "goal (aim)", "loop/ours", "difference"),
        ],
        [
            [
                row["model"],
                row["n_issues"],
                *row["seconds"].values(),
                row["ratios"]["rolling/ours"],
                f"{GOAL:g} ({AIM:g})",
                row["ratios"]["loop/ours"],
                "-" if row["largest_difference"] is None else row["largest_difference"],
            ]
            for row in rows
        ],
    )
    print_result(
        {"models": rows, "dataset": task.series.name, "threads": arguments.threads}, seed=1
    )


if __name__ == "__main__":
    main()
