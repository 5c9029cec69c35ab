"""The Battle of Water Demand Forecasting: four weeks of 168 hours in seven zones, against 31 teams.

    python experiments/bwdf.py --data-dir DATA [--models NHITS_Q,TFT_Q] [--seeds 3]

PI1 is the MAE of the first day, PI2 its largest error, PI3 the MAE of the other six days, in L/s;
a team's figure is the sum over zones and weeks. Models learn from what lies before the first week
and, with `--relearn`, again before every later one, as the teams could. Parameters are those of the
newest finished study of a zone in the workspace, else the defaults. Intervals are calibrated on the
calibrate split, and what is best in a zone is decided there; no week that is scored has a say in
it. Weather is not used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    import argparse

    import pandas as pd
    from numpy.typing import NDArray

    from paretocast.benchmarking import ModelConfig
    from paretocast.data.task import Task
    from paretocast.settings import TuneSettings

    Floats = NDArray[np.float64]

ZONES = ("a", "b", "c", "d", "f", "h", "i")
SETTINGS = Path(__file__).with_name("bwdf.toml")
NAIVE_RANK = 0
DAY_STEPS = 24
COVERAGE = 80.0
PERFORMANCE = ("PI1", "PI2", "PI3")
REFERENCES = ("seasonal_naive_168", "weekday_hour_mean", "ridge", "lightgbm")
QUICK_ZONES, QUICK_STEPS = ("a",), 20


@dataclass(frozen=True)
class Method:
    """Forecasts of a method for the calibrate split and for the four weeks, (N, 168, Q)."""

    name: str
    calibrate: Floats
    weeks: Floats


def week_starts(scores: pd.DataFrame) -> pd.DatetimeIndex:
    """First hours of the four weeks, UTC."""
    import pandas as pd

    return pd.DatetimeIndex(sorted(pd.to_datetime(scores["week_start_utc"], utc=True).unique()))


def performance(observed: Floats, point: Floats) -> dict[str, Floats]:
    """PI1, PI2 and PI3 of each week, each of shape (4,), in units of the target."""
    errors = np.abs(observed - point)
    return {
        "PI1": np.nanmean(errors[:, :DAY_STEPS], axis=1),
        "PI2": np.nanmax(errors[:, :DAY_STEPS], axis=1),
        "PI3": np.nanmean(errors[:, DAY_STEPS:], axis=1),
    }


def open_weeks(settings: TuneSettings, starts: pd.DatetimeIndex) -> Task:
    """The task of a zone whose test split is the four weeks."""
    from paretocast.benchmarking.test_split import load_test_task

    task = load_test_task(settings)
    weeks = task.series.index.get_indexer(starts)
    if (weeks < 0).any():
        raise SystemExit(f"{task.series.name} lacks one of the weeks {list(starts)}")
    return replace(task, issues={**task.issues, "test": weeks})


def train_models(
    configs: list[ModelConfig], starts: pd.DatetimeIndex, arguments: argparse.Namespace
) -> list[Method]:
    """Every model, mean of the quantiles over its seeds; last, the mean over all models."""
    from paretocast.benchmarking import RetrainingPeriod, train_and_forecast
    from paretocast.calibration.ensemble import average_levels
    from paretocast.training.setup import TrainingSetup

    methods = []
    for config in configs:
        task = open_weeks(config.settings, starts)
        weeks = task.issues["test"]
        periods = [RetrainingPeriod(weeks, int(weeks[0]))]
        if arguments.relearn:
            periods = [
                RetrainingPeriod(weeks[i : i + 1], int(week)) for i, week in enumerate(weeks)
            ]
        training = config.settings.training
        if arguments.steps is not None:
            training = training.model_copy(update={"steps": arguments.steps, "epochs": None})
        settings = config.settings.model_copy(
            update={"training": training, "target_coverage": COVERAGE}
        )
        setup = TrainingSetup.from_settings(settings, task, device="auto")
        forecasts = [
            train_and_forecast(
                setup, config.chosen.config, seed=config.chosen.seed(index), periods=periods
            )
            for index in range(arguments.seeds)
        ]
        split = {name: average_levels([f[name] for f in forecasts]) for name in forecasts[0]}
        methods.append(Method(f"{config.model} {config.kind}", split["calibrate"], split["test"]))
    if len(methods) > 1:
        methods.append(mean_of("ensemble", methods))
    return methods


def mean_of(name: str, methods: list[Method]) -> Method:
    """The mean of the quantiles of several methods, level by level."""
    from paretocast.calibration.ensemble import average_levels

    return Method(
        name,
        average_levels([method.calibrate for method in methods]),
        average_levels([method.weeks for method in methods]),
    )


def fit_baselines(task: Task, arguments: argparse.Namespace) -> list[Method]:
    """The baselines that can be fitted here."""
    from paretocast.models.baselines.catalogue import fit_baseline, installed_baselines

    weeks, methods = task.issues["test"], []
    relearn = arguments.relearn
    for name in (name for name in arguments.references if name in installed_baselines()):
        trained = fit_baseline(name, task)
        until = [int(week) if relearn else int(weeks[0]) for week in weeks]
        late = {stop: fit_baseline(name, task, until=stop) for stop in sorted(set(until))}
        parts = [late[stop].forecast(task, weeks[i : i + 1]) for i, stop in enumerate(until)]
        calibrate = trained.forecast(task, task.issues["calibrate"])
        methods.append(Method(name, calibrate, np.concatenate(parts)))
    return methods


def score_methods(task: Task, methods: list[Method], calibrator: str) -> dict[str, dict[str, Any]]:
    """Performance and coverage of every method in one zone, and which one validation chose."""
    from paretocast.benchmarking import calibrate_test
    from paretocast.metrics.scores import interval, pinball

    observed, levels = task.observed("test"), task.shape.levels
    median = list(levels).index(0.5)
    scores = {}
    for method in methods:
        splits = {"calibrate": method.calibrate, "test": method.weeks}
        forecast = calibrate_test(task, splits, calibrator, coverage=COVERAGE).forecast.quantiles
        lower, upper = interval(forecast, levels, COVERAGE)
        present = ~np.isnan(observed)
        inside = (lower <= observed) & (observed <= upper)
        loss = pinball(task.observed("calibrate"), method.calibrate, levels=levels).mean()
        scores[method.name] = {
            **{
                key: values.tolist()
                for key, values in performance(observed, forecast[:, :, median]).items()
            },
            "inside": int(inside[present].sum()),
            "observed": int(present.sum()),
            "inside_day_1": int(inside[:, :DAY_STEPS][present[:, :DAY_STEPS]].sum()),
            "observed_day_1": int(present[:, :DAY_STEPS].sum()),
            "mean_width": float((upper - lower)[present].mean()),
            "validation_pinball": float(loss),
        }
    return scores


def add_choice(zone: dict[str, dict[str, Any]]) -> None:
    """A method that is, in every zone, the one with the lowest loss on the calibrate split."""
    best = min(zone, key=lambda name: zone[name]["validation_pinball"])
    zone["chosen on validation"] = {**zone[best], "is": best}


def teams_of(scores: pd.DataFrame, zones: tuple[str, ...]) -> dict[int, dict[str, float]]:
    """Sums over weeks and zones by official rank; teams that left a week out are dropped."""
    of_zones = scores[scores["dma"].str.lower().isin(zones)]
    whole = of_zones.groupby("official_rank")[list(PERFORMANCE)].agg(["sum", "count"])
    n_expected = 4 * len(zones)
    return {
        rank: {name: float(row[name, "sum"]) for name in PERFORMANCE}
        for rank, (_, row) in zip(whole.index.tolist(), whole.iterrows(), strict=True)
        if all(row[name, "count"] == n_expected for name in PERFORMANCE)
    }


def total(zones: dict[str, dict[str, dict[str, Any]]], method: str) -> dict[str, float]:
    """Sums over zones and weeks, and the coverage over all their hours."""
    by_zone = [zone[method] for zone in zones.values()]
    sums = {name: float(sum(sum(zone[name]) for zone in by_zone)) for name in PERFORMANCE}
    count = {
        key: sum(zone[key] for zone in by_zone)
        for key in ("inside", "observed", "inside_day_1", "observed_day_1")
    }
    return {
        **sums,
        "picp": 100.0 * count["inside"] / count["observed"],
        "picp_day_1": 100.0 * count["inside_day_1"] / count["observed_day_1"],
    }


def benchmark_zone(
    zone: str, arguments: argparse.Namespace, starts: pd.DatetimeIndex
) -> dict[str, dict[str, Any]]:
    """All methods in one zone."""
    from paretocast.benchmarking import find_config
    from paretocast.benchmarking.test_split import load_test_task, refuse_seen_test
    from paretocast.settings import load_settings

    settings = load_settings(
        SETTINGS, {"dataset": f"bwdf_{zone}", "data_dir": str(arguments.data_dir)}
    )
    names = [name.strip() for name in arguments.models.split(",") if name.strip()]
    configs = [
        find_config(name, f"bwdf_{zone}", workspace=arguments.workspace, given=settings)
        for name in names
    ]
    for config in configs:
        refuse_seen_test(config, load_test_task(config.settings))
        print(f"# {zone.upper()} {config.model}: {config.source}", flush=True)
    task = open_weeks(configs[0].settings if configs else settings, starts)
    methods = fit_baselines(task, arguments)
    methods += train_models(configs, starts, arguments)
    ridge = next((method for method in methods if method.name == "ridge"), None)
    if configs and ridge is not None:
        methods.append(mean_of(f"{methods[-1].name} and ridge", [methods[-1], ridge]))
    scores = score_methods(task, methods, arguments.calibrator)
    add_choice(scores)
    return scores


def main() -> None:
    """Print the sums of every method beside the teams', then those of each zone."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--workspace", type=Path, default=Path("hpo"))
    parser.add_argument("--models", default="NHITS_Q", help="joined by commas; empty for none")
    parser.add_argument("--references", nargs="*", default=list(REFERENCES))
    parser.add_argument("--zones", nargs="+", default=list(ZONES), choices=ZONES)
    parser.add_argument("--seeds", type=int, default=1, help="their quantiles are averaged")
    parser.add_argument("--steps", type=int, default=None, help="gradient steps of a training")
    parser.add_argument("--calibrator", default="cqr-relative")
    parser.add_argument("--relearn", action="store_true", help="before every week, not only W1")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one zone, a few steps: a rehearsal")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.zones, arguments.steps = list(QUICK_ZONES), QUICK_STEPS
    import pandas as pd

    from paretocast.training import use_threads

    use_threads(arguments.threads)
    scores = pd.read_csv(arguments.data_dir / "bwdf" / "competitor_scores.csv.gz")
    starts = week_starts(scores)
    zones = {zone: benchmark_zone(zone, arguments, starts) for zone in arguments.zones}
    methods = list(next(iter(zones.values())))
    totals = {method: total(zones, method) for method in methods}
    teams = teams_of(scores, tuple(zones))
    naive = teams.pop(NAIVE_RANK)
    print_table(
        ["method", *PERFORMANCE, "PICP %", "PICP day 1 %", "teams with lower PI1"],
        [
            *(
                [
                    method,
                    *(figures[name] for name in PERFORMANCE),
                    figures["picp"],
                    figures["picp_day_1"],
                    sum(team["PI1"] < figures["PI1"] for team in teams.values()),
                ]
                for method, figures in totals.items()
            ),
            *(
                [f"lowest {name} of {len(teams)} whole teams", *best.values(), "-", "-", "-"]
                for name, best in best_teams(teams).items()
            ),
            ["previous week, as published", *naive.values(), "-", "-", "-"],
        ],
    )
    print_table(
        ["zone", *methods],
        [[z.upper(), *(sum(zones[z][m]["PI1"]) for m in methods)] for z in zones],
    )
    print_result(
        {
            "totals": totals,
            "zones": zones,
            "naive_published": naive,
            "best_teams": best_teams(teams),
            "n_teams": len(teams),
            "calibrator": arguments.calibrator,
        },
        seed=1,
    )


def best_teams(teams: dict[int, dict[str, float]]) -> dict[str, dict[str, float]]:
    """For each figure the team that has the lowest."""
    return {name: min(teams.values(), key=lambda team: team[name]) for name in PERFORMANCE}


if __name__ == "__main__":
    main()
