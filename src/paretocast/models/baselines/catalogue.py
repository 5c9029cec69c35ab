"""The simple methods that every model has to beat, by name.

An entry imports what it needs when it is fitted, so that help texts can list the names at once.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from paretocast.errors import DataError
from paretocast.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from paretocast.data.task import Task
    from paretocast.models.baselines.base import Baseline

    Fit = Callable[[Task, int | None], Baseline]


@dataclass(frozen=True)
class BaselineSpec:
    """A baseline, not yet fitted.

    Attributes
    ----------
    fit : callable
        From a task and the position after the last hour to learn from, or None for the end of the
        train split. What is known of its errors comes from a fit on the train split either way.
    cheap : bool
        Takes seconds at most: every study is compared with it.
    library : str
        Module that has to be installed for it; empty for none.
    """

    fit: Fit
    cheap: bool = False
    library: str = ""

    @property
    def installed(self) -> bool:
        """True if its library can be imported; it is not imported to find out."""
        return not self.library or importlib.util.find_spec(self.library) is not None


BASELINES: Registry[BaselineSpec] = Registry("reference")


def register_baseline(name: str, fit: Fit, *, cheap: bool = False, library: str = "") -> None:
    """Make a baseline known to studies and benchmarks; see `BaselineSpec` for the parameters.

    Raises
    ------
    SettingsError
        If the name is taken.
    """
    BASELINES.add(name, BaselineSpec(fit, cheap, library))


def installed_baselines() -> tuple[str, ...]:
    """Names of the baselines that can be fitted here, from the simplest on."""
    return tuple(name for name, spec in BASELINES.items() if spec.installed)


def study_baselines() -> tuple[str, ...]:
    """Names of the baselines that every study is compared with."""
    return tuple(name for name, spec in BASELINES.items() if spec.cheap and spec.installed)


def fit_baseline(name: str, task: Task, *, until: int | None = None) -> Baseline:
    """A baseline, fitted on the train split and, for its errors, on the stop split.

    Parameters
    ----------
    until : int, optional
        Position after the last hour to learn from, for a fit that is as late as the issue allows.
        What is known of its errors still comes from a fit on the train split.

    Raises
    ------
    SettingsError
        If there is no such baseline, or the library it needs is not installed.
    DataError
        If there is too little to learn from.
    """
    return BASELINES[name].fit(task, until)


def forecast_baselines(
    task: Task, split: str, names: Sequence[str] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Forecasts of a split by name, (N, H, Q), not below the task's lower bound.

    A baseline that lacks history is left out; arguments as of `try_baselines`.
    """
    return try_baselines(task, split, names)[0]


def try_baselines(
    task: Task, split: str, names: Sequence[str] | None = None
) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    """Forecasts as of `forecast_baselines`, and by name why another one has none.

    Parameters
    ----------
    names : sequence of str, optional
        Those of `study_baselines` without it.
    """
    forecasts, reasons = {}, {}
    for name in study_baselines() if names is None else names:
        try:
            forecast = fit_baseline(name, task).forecast(task, task.issues[split])
        except DataError as error:
            reasons[name] = str(error)
            continue
        bound = task.lower_bound
        forecasts[name] = forecast if bound is None else forecast.clip(min=bound)
    return forecasts, reasons


def _fit_naive(name: str, _task: Task, _until: int | None) -> Baseline:
    from paretocast.models.baselines.naive import NaiveBaseline

    return NaiveBaseline(name)


def _fit_ridge(task: Task, until: int | None) -> Baseline:
    from paretocast.models.baselines.ridge import fit_ridge

    return fit_ridge(task, until)


def _fit_lightgbm(task: Task, until: int | None) -> Baseline:
    from paretocast.models.baselines.lightgbm import fit_trees

    return fit_trees(task, until)


def _fit_theta(task: Task, until: int | None) -> Baseline:
    from paretocast.models.baselines.theta import fit_statistical

    return fit_statistical(task, until)


for _name in ("seasonal_naive_24", "seasonal_naive_168", "weekday_hour_mean"):
    register_baseline(_name, partial(_fit_naive, _name), cheap=True)
register_baseline("ridge", _fit_ridge, cheap=True)
register_baseline("lightgbm", _fit_lightgbm)
register_baseline("theta", _fit_theta, library="statsforecast")
