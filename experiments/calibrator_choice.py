"""What `auto` chooses, judged on a later period: coverage, Winkler score and MAE by series.

    python experiments/calibrator_choice.py --data-dir DATA

The hours before the test period of every named data set, with and without its weather, are divided
anew: half to learn from, a fifth for stop, tune and calibrate blocks, the last three tenths to
judge on. The test period is never read. The ridge baseline forecasts, once as it is and once with
intervals drawn together or apart by `--spread`. Calibrators are fitted on the calibrate blocks and
walk through the later period. *Lowest Winkler* is the rule that `auto` followed before: the lowest
score on the folds, whatever the coverage.

Ratios are to the forecast before calibration, the median and the worst over the series.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from harness import print_result, print_table, script_parser

from paretocast.calibration import choose_calibrator, fit_calibrator, score_interval, walk_forward
from paretocast.data import load_dataset
from paretocast.data.series import SplitDates
from paretocast.data.task import Task, plan_task
from paretocast.metrics.scores import mae
from paretocast.models.baselines.catalogue import fit_baseline
from paretocast.results.groups import forecast_of

if TYPE_CHECKING:
    from paretocast.calibration import Calibrator, CalibratorSelection
    from paretocast.metrics.forecast import Forecast

COVERAGE = 80.0
LEARN_SHARE, VALIDATE_SHARE = 0.5, 0.2
DATASETS = {
    "heat": ("temperature",),
    "water_centrum": ("temperature",),
    "water_tommerby": ("temperature",),
    **{f"bwdf_{zone}": ("temperature", "rain") for zone in "abcdfhi"},
}
COLUMNS = [
    "spread",
    "calibrator",
    "within 2 %",
    "within 5 %",
    "lowest PICP",
    "highest PICP",
    "mean distance",
    "Winkler",
    "worst",
    "MAE",
    "worst MAE",
]


class Judged(NamedTuple):
    """Scores of a forecast of the later period."""

    picp: float
    winkler: float
    mae: float


def earlier_task(name: str, covariates: tuple[str, ...], data_dir: Path | None) -> Task:
    """The hours before the test period of a data set, divided anew."""
    place = None if data_dir is None else str(data_dir)
    dataset = load_dataset(name, data_dir=place, covariates=covariates)
    series = dataset.series.before(dataset.dates.validation_to + dataset.series.step)
    first, hours = series.index[0], len(series)
    train_to = first + round(LEARN_SHARE * hours) * dataset.series.step
    validation_to = train_to + round(VALIDATE_SHARE * hours) * dataset.series.step
    dates = SplitDates(train_to, validation_to, test_to=series.index[-1])
    return plan_task(series, dates, with_test=True)


def stretched(forecast: Forecast, factor: float) -> Forecast:
    """The forecast with its quantiles moved to or from the median."""
    median = forecast.median[..., None]
    return forecast.with_quantiles(median + factor * (forecast.quantiles - median))


def judge(forecast: Forecast) -> Judged:
    """Scores of a forecast of the later period."""
    scores = score_interval("", forecast, coverage=COVERAGE)
    return Judged(scores.picp, scores.winkler, mae(forecast.observed, forecast.median))


def by_rule(fit: Forecast, choice: CalibratorSelection) -> dict[str, Calibrator]:
    """Calibrators to compare, by what they are called in the table."""
    lowest = min(choice.compared, key=lambda row: row.winkler).name
    fitted = {name: fit_calibrator(fit, name) for name in ("none", "cqr", "aci", "pid", lowest)}
    return {
        **{name: fitted[name] for name in ("none", "cqr", "aci", "pid")},
        "lowest Winkler": fitted[lowest],
        "auto": choice.calibrator,
    }


def row(spread: float, name: str, judged: list[Judged], before: list[Judged]) -> list[object]:
    """A row of the table."""
    after, raw = np.array(judged), np.array(before)
    away = np.abs(after[:, 0] - COVERAGE)
    ratios = after / raw
    return [
        spread,
        name,
        f"{(away <= 2.0).sum()} of {len(away)}",
        f"{(away <= 5.0).sum()} of {len(away)}",
        after[:, 0].min(),
        after[:, 0].max(),
        away.mean(),
        np.median(ratios[:, 1]),
        ratios[:, 1].max(),
        np.median(ratios[:, 2]),
        ratios[:, 2].max(),
    ]


def main() -> None:
    """Print a row per spread and calibrator."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--spread", type=float, action="append")
    parser.add_argument("--datasets", default=",".join(DATASETS))
    arguments = parser.parse_args()
    names = arguments.datasets.split(",")
    tasks = {
        (name, covariates): earlier_task(name, covariates, arguments.data_dir)
        for name in names
        for covariates in ((), DATASETS[name])
    }
    rows: list[list[object]] = []
    chosen: dict[str, dict[str, str]] = {}
    for spread in arguments.spread or [1.0, 0.6]:
        judged: dict[str, list[Judged]] = {}
        for (name, covariates), task in tasks.items():
            ridge = fit_baseline("ridge", task)
            fit, later = (
                stretched(
                    forecast_of(task, split, ridge.forecast(task, task.issues[split])), spread
                )
                for split in ("calibrate", "test")
            )
            choice = choose_calibrator(fit, coverage=COVERAGE)
            label = f"{name}{' with weather' * bool(covariates)}"
            chosen.setdefault(label, {})[f"{spread:g}"] = choice.reason
            for rule, calibrator in by_rule(fit, choice).items():
                judged.setdefault(rule, []).append(judge(walk_forward(calibrator, later).forecast))
        rows += [row(spread, rule, found, judged["none"]) for rule, found in judged.items()]
    print_table(COLUMNS, rows)
    print_result({"chosen": chosen})


if __name__ == "__main__":
    main()
