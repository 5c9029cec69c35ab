"""What tuned models are worth on the test split, which nothing before has read.

`parameters` finds the configs, `ground` opens the task with its test period and refuses what was
tuned elsewhere, `plan` decides what is made; `training` retrains and forecasts, `walk` calibrates,
`comparison` scores and compares, `benchmark` goes through all of it; `files` and `history` keep it.

No choice depends on a test value: configs, members of the ensemble and calibrators come from splits
before it. A calibrator that goes on learning sees, at each issue, what had been observed by then.
"""

from __future__ import annotations

from paretocast.benchmark.comparison import Comparison, Difference, Entry, Row
from paretocast.benchmark.configs import ModelConfig, TrainedConfig, find_config
from paretocast.benchmark.files import describe_benchmark, prediction_table, save_benchmark
from paretocast.benchmark.history import append_history, load_history
from paretocast.benchmark.plan import METHOD_GROUPS, BenchmarkPlan, plan_benchmark
from paretocast.benchmark.retraining import RetrainingPeriod, plan_retraining, train_and_forecast
from paretocast.benchmark.run import BenchmarkResult, Observer, run_benchmark

__all__ = [
    "METHOD_GROUPS",
    "BenchmarkPlan",
    "BenchmarkResult",
    "Comparison",
    "Difference",
    "Entry",
    "ModelConfig",
    "Observer",
    "RetrainingPeriod",
    "Row",
    "TrainedConfig",
    "append_history",
    "describe_benchmark",
    "find_config",
    "load_history",
    "plan_benchmark",
    "plan_retraining",
    "prediction_table",
    "run_benchmark",
    "save_benchmark",
    "train_and_forecast",
]
