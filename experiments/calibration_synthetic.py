"""Coverage of calibrated intervals where theory promises it.

    python experiments/calibration_synthetic.py [--quick]

Exchangeable windows of 24 hours with normal errors whose spread changes from hour to hour. A
calibrator is fitted on `--windows` of them and applied to as many new ones; online calibrators walk
through the new ones. Forecasts are honest, too wide (a raw 80 % interval that covers 97 %), too
narrow, or biased; the hours of a window are independent or share most of their error. Coverages are
means over the repetitions.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from harness import print_result, print_table, script_parser

from paretocast.calibration import CALIBRATORS, fit_calibrator, score_interval, walk_forward
from paretocast.data.task import DENSE_LEVELS
from paretocast.metrics.forecast import Forecast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOURS = 24
TARGET = 80.0
NORMAL = np.array([NormalDist().inv_cdf(level) for level in DENSE_LEVELS])
# Spread of the forecast over that of demand, and its bias in spreads.
FORECASTS = {
    "honest": (1.0, 0.0),
    "covers 97 %": (NormalDist().inv_cdf(0.985) / NormalDist().inv_cdf(0.9), 0.0),
    "too narrow": (0.5, 0.0),
    "biased": (1.0, 0.7),
}
DAY_SHARES = (0.0, 0.7)  # of the error's variance that the hours of a window share


def draw_sample(
    rng: np.random.Generator, *, n_windows: int, day_share: float, spread: float, bias: float
) -> Forecast:
    """Windows of independent days with a forecast that is off by a factor and a bias."""
    shape = (n_windows, HOURS)
    scale = rng.uniform(0.5, 2.0, size=shape)
    error = np.sqrt(day_share) * rng.normal(size=(n_windows, 1))
    error = error + np.sqrt(1.0 - day_share) * rng.normal(size=shape)
    hours = HOURS * np.arange(n_windows)
    return Forecast(
        observed=scale * error,
        quantiles=scale[..., None] * (bias + spread * NORMAL),
        levels=DENSE_LEVELS,
        issues=hours,
        groups={
            "hour": np.broadcast_to(np.arange(HOURS), shape),
            "season": np.broadcast_to((np.arange(n_windows) % 4)[:, None], shape),
        },
    )


def coverages(
    names: list[str], *, n_windows: int, repetitions: int, seed: int
) -> Iterator[tuple[str, float, str, float, float, float]]:
    """Forecast, day share, method, mean coverage, its standard error, width over the raw width."""
    for forecast, (spread, bias) in FORECASTS.items():
        for day_share in DAY_SHARES:
            rng = np.random.default_rng(seed)
            reached: dict[str, list[float]] = {name: [] for name in names}
            widths: dict[str, list[float]] = {name: [] for name in names}
            for _ in range(repetitions):
                fit, new = (
                    draw_sample(
                        rng, n_windows=n_windows, day_share=day_share, spread=spread, bias=bias
                    )
                    for _ in range(2)
                )
                raw = score_interval("raw", new, coverage=TARGET).mean_width
                for name in names:
                    calibrated = walk_forward(fit_calibrator(fit, name), new).forecast
                    scores = score_interval(name, calibrated, coverage=TARGET)
                    reached[name].append(scores.picp)
                    widths[name].append(scores.mean_width / raw)
            for name in names:
                error = float(np.std(reached[name], ddof=1) / np.sqrt(repetitions))
                mean, width = float(np.mean(reached[name])), float(np.mean(widths[name]))
                yield forecast, day_share, name, mean, error, width


def pivoted(
    rows: Sequence[tuple[str, float, str, float, float, float]], column: int
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: a calibrator a row, a forecast and a day share a column."""
    cases = list(dict.fromkeys((row[0], row[1]) for row in rows))
    cells = {(row[2], row[0], row[1]): f"{row[column]:.2f}" for row in rows}
    names = list(dict.fromkeys(row[2] for row in rows))
    columns = ["calibrator", *(f"{forecast}, {share:g}" for forecast, share in cases)]
    return columns, [[name, *(cells[name, *case] for case in cases)] for name in names]


def main() -> None:
    """Print coverages and widths: a row per calibrator, a column per forecast and dependence."""
    parser = script_parser(__doc__)
    parser.add_argument("--windows", type=int, default=105)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--methods", default=",".join(CALIBRATORS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="5 repetitions")
    arguments = parser.parse_args()
    repetitions = 5 if arguments.quick else arguments.repetitions
    rows = list(
        coverages(
            arguments.methods.split(","),
            n_windows=arguments.windows,
            repetitions=repetitions,
            seed=arguments.seed,
        )
    )
    for title, column in (("PICP %", 3), ("width / raw", 5)):
        print(f"{title}, by forecast and day share")
        print_table(*pivoted(rows, column))
        print()
    print(f"largest standard error of a coverage: {max(row[4] for row in rows):.2f} points")
    promised = [row for row in rows if row[2] != "none"]
    farthest = max(promised, key=lambda row: abs(row[3] - TARGET))
    print(
        f"farthest from {TARGET:g} %: {farthest[2]} on a forecast that is {farthest[0]}, "
        f"day share {farthest[1]}: {farthest[3]:.2f} %"
    )
    print_result(
        {
            "columns": [
                "forecast",
                "day share",
                "calibrator",
                "PICP %",
                "standard error",
                "width / raw",
            ],
            "rows": [list(row) for row in rows],
            "windows": arguments.windows,
            "repetitions": repetitions,
            "farthest_points": abs(farthest[3] - TARGET),
        },
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
