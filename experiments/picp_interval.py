"""Share of series whose 95 % interval of a measured coverage holds the true one.

    python experiments/picp_interval.py [--quick]

Simulated daily forecasts of 24 hours whose errors resemble those of the day before: `--days` in a
row, or single weeks two weeks apart, as the tune split is laid out. A forecast is centred or
biased; its true coverage is known.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from harness import print_result, print_table, script_parser

from paretocast.metrics.uncertainty import picp_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOURS = 24
DAY_SHARE = 0.6  # of the error's variance that a whole day shares
HOURLY_PERSISTENCE = 0.8
COVERAGES = (0.8, 0.95)
PERSISTENCES = (0.0, 0.3, 0.6, 0.8)
BLOCKS = (1, 5, 10)


def draw_autoregression(
    rng: np.random.Generator, size: tuple[int, ...], persistence: float
) -> NDArray[np.float64]:
    """Stationary AR(1) of unit variance along the last axis."""
    noise = rng.standard_normal(size)
    for step in range(1, size[-1]):
        fresh = noise[..., step] * np.sqrt(1.0 - persistence**2)
        noise[..., step] = persistence * noise[..., step - 1] + fresh
    return noise


def draw_observed(
    rng: np.random.Generator,
    *,
    size: tuple[int, int],
    persistence: float,
    biased: bool,
    coverage: float,
) -> NDArray[np.float64]:
    """Observations (series, days, 24) that lie in [-1, 1] with probability `coverage`."""
    n_series, n_days = size
    days = draw_autoregression(rng, size, persistence)[:, :, None]
    hours = draw_autoregression(rng, (n_series, n_days * HOURS), HOURLY_PERSISTENCE)
    error = np.sqrt(DAY_SHARE) * days
    error = error + np.sqrt(1.0 - DAY_SHARE) * hours.reshape(n_series, n_days, HOURS)
    quantile = NormalDist().inv_cdf
    covered = error < quantile(coverage) if biased else np.abs(error) < quantile((1 + coverage) / 2)
    return np.where(covered, 0.0, 2.0)


def share_held(
    *, n_days: int, weekly: bool, persistence: float, block: int, n_series: int, seed: int
) -> list[float]:
    """Percent of series whose interval holds the truth: one entry per kind of forecast."""
    rng = np.random.default_rng(seed)
    size = (n_series, 3 * n_days if weekly else n_days)
    shares = []
    for coverage in COVERAGES:
        for biased in (False, True):
            drawn = draw_observed(
                rng, size=size, persistence=persistence, biased=biased, coverage=coverage
            )
            if weekly:
                drawn = drawn[:, np.arange(size[1]) // 7 % 3 == 0]
            held = 0
            for observed in drawn:
                bound = np.ones_like(observed)
                low, high = picp_interval(
                    observed, -bound, bound, block_days=block, n_resamples=400, rng=rng
                )
                held += low <= 100.0 * coverage <= high
            shares.append(100.0 * held / n_series)
    return shares


def main() -> None:
    """Print a row per layout, persistence and block length."""
    parser = script_parser(__doc__)
    parser.add_argument("--days", type=int, default=105)
    parser.add_argument("--series", type=int, default=400, help="simulated series per cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="60 series per cell")
    arguments = parser.parse_args()
    n_series = 60 if arguments.quick else arguments.series
    rows = []
    for weekly in (False, True):
        for persistence in PERSISTENCES:
            for block in BLOCKS:
                shares = share_held(
                    n_days=arguments.days,
                    weekly=weekly,
                    persistence=persistence,
                    block=block,
                    n_series=n_series,
                    seed=arguments.seed,
                )
                layout = "weeks apart" if weekly else "in a row"
                rows.append([layout, persistence, block, min(shares), max(shares)])
    columns = ["days", "persistence", "block", "held, lowest %", "held, highest %"]
    print_table(columns, rows)
    print_result({"columns": columns, "rows": rows}, seed=arguments.seed)


if __name__ == "__main__":
    main()
