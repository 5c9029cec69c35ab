"""Gains of a median that follows a drifted level, on the panel of series.

    python experiments/drifting_level.py --data-dir DATA [--series heat electricity_denmark]

Forecasts are those of the baselines `ridge` and `lightgbm`. Twice they go through an online
calibrator window by window: as it is, and with a median that no evidence moves. The table has the
ratios of both: on the calibrate split, by which thresholds were chosen (calibrators fitted on the
tune split, baselines on the train period), and on the test split (fitted on the calibrate split,
baselines on all before the test split).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
from harness import print_result, print_table, script_parser
from panel_series import DEFAULT_PANEL, panel_dataset

if TYPE_CHECKING:
    from paretocast.metrics.forecast import Forecast

BASELINES = ("ridge", "lightgbm")
CALIBRATORS = ("pid", "aci")
PERIODS = (("tune", "calibrate"), ("calibrate", "test"))  # fitted on, walked through
SCORES = ("mae", "pinball", "winkler")


def scores_of(calibrator: str, fit_on: Forecast, walk_through: Forecast) -> dict[str, float]:
    """Scores of what a calibrator issues, fitted on one forecast and walked through another."""
    from paretocast.calibration import fit_calibrator, walk_forward
    from paretocast.calibration.selection import score_interval

    issued = walk_forward(fit_calibrator(fit_on, calibrator), walk_through).forecast
    interval = score_interval(calibrator, issued, coverage=80.0)
    mae = float(np.nanmean(np.abs(issued.observed - issued.median)))
    return {"mae": mae, "pinball": interval.pinball, "winkler": interval.winkler}


def measure(name: str, data_dir: Path) -> list[dict[str, object]]:
    """Ratios of the scores with a median that moves to those with one that stays."""
    from paretocast.benchmarking.test_split import validation_stop
    from paretocast.calibration import moving_median
    from paretocast.data.task import plan_task
    from paretocast.models.baselines.catalogue import fit_baseline
    from paretocast.results.groups import forecast_of

    dataset = panel_dataset(name, data_dir)
    task = plan_task(dataset.series, dataset.dates, with_test=True)
    rows: list[dict[str, object]] = []
    for baseline in BASELINES:
        early = fit_baseline(baseline, task, until=task.train_stop)
        late = fit_baseline(baseline, task, until=validation_stop(task))
        forecasts = {
            split: forecast_of(
                task, split, (late if split == "test" else early).forecast(task, task.issues[split])
            )
            for split in ("tune", "calibrate", "test")
        }
        for calibrator in CALIBRATORS:
            for fit_on, walked in PERIODS:
                pair = forecasts[fit_on], forecasts[walked]
                moving = scores_of(calibrator, *pair)
                with patch.object(moving_median, "LEAST_T", math.inf):
                    still = scores_of(calibrator, *pair)
                ratios = {score: moving[score] / still[score] for score in SCORES}
                keys = {"series": name, "baseline": baseline, "calibrator": calibrator}
                rows.append({**keys, "period": walked, **ratios, "mae_now": moving["mae"]})
    return rows


def main() -> None:
    """Print medians and worst of the ratios over the series."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--series", nargs="+", default=DEFAULT_PANEL)
    arguments = parser.parse_args()
    rows = [row for name in arguments.series for row in measure(name, arguments.data_dir)]
    table = []
    for period in ("calibrate", "test"):
        for baseline in BASELINES:
            for calibrator in CALIBRATORS:
                keys = (period, baseline, calibrator)
                chosen = [r for r in rows if (r["period"], r["baseline"], r["calibrator"]) == keys]
                cells: list[float] = []
                for score in SCORES:
                    ratios = [float(row[score]) for row in chosen]  # type: ignore[arg-type]
                    cells += [float(np.mean(ratios)), max(ratios), min(ratios)]
                table.append([*keys, *(f"{cell:.3f}" for cell in cells)])
    columns = [f"{score} {which}" for score in SCORES for which in ("mean", "worst", "best")]
    print_table(["period", "baseline", "calibrator", *columns], table)
    print_result({"rows": rows})


if __name__ == "__main__":
    main()
