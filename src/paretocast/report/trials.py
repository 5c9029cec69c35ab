"""Trials as the rows of a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from paretocast.report.page import MISSING, number, table
from paretocast.search.selection import TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.report.figures import TrialPoint
    from paretocast.search.objectives import Objective

# What a row shows of every trial; other objectives get a column of their own.
SHOWN_SCORES = ("mae", "coverage_error", "mean_width")


def trial_table(trials: Sequence[TrialPoint], *, unit: str, objectives: Sequence[Objective]) -> str:
    """A row for each trial: scores, what is known of their chance, the config."""
    names = list(dict.fromkeys(name for t in trials for name in t.params))
    others = [o for o in objectives if o.name not in SHOWN_SCORES]
    repeated = any(t.n_seeds > 1 for t in trials)
    placed = any(t.front_probability is not None for t in trials)
    header = (
        "trial",
        with_unit("MAE", unit),
        "PICP (%)",
        "95 % interval",
        with_unit("mean width", unit),
        *(with_unit(o.label, unit if o.unit == "target" else o.unit) for o in others),
        *(("trainings",) if repeated else ()),
        *(("on the front (%)",) if placed else ()),
        *names,
    )
    rows = [
        (
            f"{t.number}{_mark(t)}",
            _with_error(t, "mae", t.mae),
            MISSING if t.picp is None else f"{t.picp:.1f}",
            coverage_interval(t),
            number(t.mean_width),
            *(_with_error(t, o.name, t.scores.get(o.name)) for o in others),
            *((str(t.n_seeds),) if repeated else ()),
            *((_chance(t),) if placed else ()),
            *(number(t.params.get(name), digits=3) for name in names),
        )
        for t in trials
    ]
    return table(header, rows, marked=frozenset(i for i, t in enumerate(trials) if t.chosen))


def _with_error(trial: TrialPoint, score: str, value: float | None) -> str:
    """A score with its standard error, where it is known."""
    error = trial.standard_errors.get(score)
    if value is None or error is None or math.isnan(error):
        return number(value)
    return f"{number(value)} ± {number(error, digits=2)}"


def _chance(trial: TrialPoint) -> str:
    if trial.front_probability is None:
        return MISSING
    return f"{100.0 * trial.front_probability:.0f}"


def _mark(trial: TrialPoint) -> str:
    if trial.chosen:
        return " ★ chosen"
    return "" if trial.state is TrialState.COMPLETE else f" {trial.state}"


def config_text(trial: TrialPoint) -> str:
    """The config in one line."""
    return ", ".join(f"{name} {number(v, digits=3)}" for name, v in trial.params.items()) or MISSING


def coverage_interval(trial: TrialPoint) -> str:
    """The 95 % interval of the coverage, in percent."""
    if trial.picp_low is None or trial.picp_high is None:
        return MISSING
    return f"{trial.picp_low:.1f} to {trial.picp_high:.1f}"


def with_unit(quantity: str, unit: str) -> str:
    """A quantity with its unit, where it has one."""
    return f"{quantity} ({unit})" if unit else quantity
