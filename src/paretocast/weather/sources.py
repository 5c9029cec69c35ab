"""The APIs of Open-Meteo that weather comes from."""

from __future__ import annotations

from enum import StrEnum


class Source(StrEnum):
    """An API of Open-Meteo, by what it says about the past."""

    FORECAST = "forecast"  # the newest run
    SINGLE_RUNS = "single-runs"  # any run of the archive, whole
    PREVIOUS_RUNS = "previous-runs"  # of each hour, what was forecast so many days before
    HISTORICAL = "historical-forecast"  # the first hours of all runs, one behind the other


HOSTS = {
    Source.FORECAST: "api",
    Source.SINGLE_RUNS: "single-runs-api",
    Source.PREVIOUS_RUNS: "previous-runs-api",
    Source.HISTORICAL: "historical-forecast-api",
}
