"""Tuned models retrained and scored on the test split, which nothing before has read.

`configs` finds the configs, `test_split` opens the task with its test period and refuses studies
that have seen it, `plan` decides what is made; `retraining` trains and forecasts, `comparison`
scores and compares, `relearning` says what learning again gains and `weather_error` what wrong
weather costs, `run` goes through all of it and calibrates; `files` keeps it. `across` puts many
series side by side.

No choice depends on a test value: configs, members of the ensemble and calibrators come from splits
before it. A calibrator that goes on learning sees, at each issue, what had been observed by then.
"""

from __future__ import annotations

from paretocast.benchmarking.across import AcrossSeries, across_series
from paretocast.benchmarking.comparison import Comparison, Difference, Entry, Row
from paretocast.benchmarking.configs import ModelConfig, TrainedConfig, find_config, find_contest
from paretocast.benchmarking.files import (
    append_history,
    describe_benchmark,
    load_history,
    prediction_table,
    save_benchmark,
)
from paretocast.benchmarking.plan import METHOD_GROUPS, BenchmarkPlan, plan_benchmark, split_methods
from paretocast.benchmarking.relearning import RelearningRow, compare_relearning
from paretocast.benchmarking.retraining import (
    RetrainingPeriod,
    Trained,
    plan_retraining,
    train_and_forecast,
    train_schedules,
)
from paretocast.benchmarking.run import BenchmarkResult, Observer, calibrate_test, run_benchmark
from paretocast.benchmarking.weather_error import WeatherErrorRow

__all__ = [
    "METHOD_GROUPS",
    "AcrossSeries",
    "BenchmarkPlan",
    "BenchmarkResult",
    "Comparison",
    "Difference",
    "Entry",
    "ModelConfig",
    "Observer",
    "RelearningRow",
    "RetrainingPeriod",
    "Row",
    "Trained",
    "TrainedConfig",
    "WeatherErrorRow",
    "across_series",
    "append_history",
    "calibrate_test",
    "compare_relearning",
    "describe_benchmark",
    "find_config",
    "find_contest",
    "load_history",
    "plan_benchmark",
    "plan_retraining",
    "prediction_table",
    "run_benchmark",
    "save_benchmark",
    "split_methods",
    "train_and_forecast",
    "train_schedules",
]
