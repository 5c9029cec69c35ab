"""The search for interval levels by trial and error: what the exact optimum is compared with.

Optuna draws the levels, stored forecasts answer; no model is trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import optuna

from paretocast.calibration.interval_levels import HIGH_BOUNDS, LOW_BOUNDS, IntervalLevels

if TYPE_CHECKING:
    from paretocast.calibration.interval_levels import LevelCoverage


def search_levels(
    measured: LevelCoverage, *, n_trials: int, seed: int, symmetric: bool = True
) -> IntervalLevels:
    """The best of so many proposals of Optuna's TPE sampler."""

    def cost(trial: optuna.Trial) -> float:
        low = trial.suggest_float("q_low", *LOW_BOUNDS)
        high = 1.0 - low if symmetric else trial.suggest_float("q_high", *HIGH_BOUNDS)
        return measured.cost(low, high)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(cost, n_trials=n_trials)
    low = study.best_params["q_low"]
    high = study.best_params.get("q_high", 1.0 - low)
    return IntervalLevels(
        low=low,
        high=high,
        cost=study.best_value,
        coverage=measured.coverage(low, high),
        width=measured.width(low, high),
    )
