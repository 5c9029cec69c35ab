"""What tuned models are worth on the test split, which nothing before has read.

`parameters` finds the configs, `ground` opens the task with its test period and refuses what was
tuned elsewhere, `plan` decides what is made; `training` retrains and forecasts, `walk` calibrates,
`comparison` scores and compares, `benchmark` goes through all of it; `files` and `history` keep it.

No choice depends on a test value: configs, members of the ensemble and calibrators come from splits
before it. A calibrator that goes on learning sees, at each issue, what had been observed by then.
"""

from __future__ import annotations

from paretocast.benchmark.comparison import Comparison, Difference, Entry, Row
from paretocast.benchmark.configs import Candidate, Parameters, find_parameters
from paretocast.benchmark.files import describe_proof, prediction_table, save_proof
from paretocast.benchmark.history import append_history, load_history
from paretocast.benchmark.plan import METHOD_GROUPS, Plan, plan_proof
from paretocast.benchmark.retraining import Stretch, plan_stretches, train_and_forecast
from paretocast.benchmark.run import Observer, Proof, prove

__all__ = [
    "METHOD_GROUPS",
    "Candidate",
    "Comparison",
    "Difference",
    "Entry",
    "Observer",
    "Parameters",
    "Plan",
    "Proof",
    "Row",
    "Stretch",
    "append_history",
    "describe_proof",
    "find_parameters",
    "load_history",
    "plan_proof",
    "plan_stretches",
    "prediction_table",
    "prove",
    "save_proof",
    "train_and_forecast",
]
