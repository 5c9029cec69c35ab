"""Tuning of probabilistic day-ahead demand forecasters for accuracy and honest intervals.

The public names are loaded when they are first used, so that the import costs nothing.

Examples
--------
>>> import paretocast
>>> study = paretocast.tune("demo", trials=8)  # doctest: +SKIP
>>> study.front  # doctest: +SKIP
>>> study.plot_forecast()  # doctest: +SKIP
"""

from __future__ import annotations

import importlib

# As in `typing`, which takes time to load: a Ctrl-C is told in a traceback until the command line
# listens, and this module comes before it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from paretocast.api.evaluation import benchmark
    from paretocast.api.intervals import calibrate, diagnose
    from paretocast.api.study import Study, load_study
    from paretocast.api.tuning import tune
    from paretocast.api.weather import fetch_weather
    from paretocast.data.reading import Dataset, load_dataset
    from paretocast.deployment.bundle import load_bundle
    from paretocast.metrics.forecast import Forecast
    from paretocast.settings import TuneSettings

__version__ = "0.2.0"

_HOMES = {
    "Dataset": "data.reading",
    "Forecast": "metrics.forecast",
    "Study": "api.study",
    "TuneSettings": "settings",
    "benchmark": "api.evaluation",
    "calibrate": "api.intervals",
    "diagnose": "api.intervals",
    "fetch_weather": "api.weather",
    "load_dataset": "data.reading",
    "load_bundle": "deployment.bundle",
    "load_study": "api.study",
    "tune": "api.tuning",
}

__all__ = [
    "Dataset",
    "Forecast",
    "Study",
    "TuneSettings",
    "benchmark",
    "calibrate",
    "diagnose",
    "fetch_weather",
    "load_bundle",
    "load_dataset",
    "load_study",
    "tune",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
