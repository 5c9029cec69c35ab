"""A generated heat demand whose true conditional quantiles are known.

The demand of hour t is `mean[t] + spread[t] * noise[t]`. Mean and spread follow from weather and
local time; the noise is a Gaussian AR(1) of variance 1. Demand and weather up to the issue time
tell the noise there, so h hours ahead the demand is Gaussian around
`mean + spread * persistence**h * noise_at_issue` with standard deviation
`spread * sqrt(1 - persistence**(2 h))`: that is the best any forecaster can do. The sizes are
chosen so that a small network comes close within a thousand gradient steps; the last value alone
says little, so a method that carries it on does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.data.calendar import is_public_holiday, is_weekend
from paretocast.data.series import Calendar, Covariate, Role, Series
from paretocast.errors import DataError
from paretocast.steps import STEPS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DEFAULT_SEED = 7
FIRST_HOUR = pd.Timestamp("2021-01-01T00:00:00Z")
CALENDAR = Calendar(zone="Europe/Copenhagen", country="DK")
UNIT = "kWh per hour per meter"
DAYS_PER_YEAR = 365.2425

BASE_SPREAD = 0.11  # standard deviation over mean, in the warm and at night
NOISE_PERSISTENCE = 0.45  # of the demand's noise from one hour to the next
LAG_HOURS = 12.0  # time constant of the buildings
BASE_TEMPERATURE = 17.0  # °C; no heating above it
HEAT_PER_DEGREE = 0.10  # kWh per hour and degree below the base temperature
WEATHER_SPREAD = 2.0  # °C, standard deviation of the days around their season
WEATHER_PERSISTENCE = 0.985
WIND_CHILL = 0.12  # degrees per m/s above the usual wind
USUAL_WIND = 4.5  # m/s


@dataclass(frozen=True)
class DemoTruth:
    """Process behind the demo series.

    Attributes
    ----------
    mean, spread : ndarray of shape (T,)
        Mean and standard deviation of the demand given weather and time, in target units.
    noise : ndarray of shape (T,)
        State of the AR(1) noise, unitless, variance 1.
    persistence : float
        Correlation of the noise from one hour to the next.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    noise: NDArray[np.float64]
    persistence: float

    def quantiles(
        self, positions: NDArray[np.intp], *, horizon_steps: int, levels: Sequence[float]
    ) -> NDArray[np.float64]:
        """Conditional quantiles of the demand, given the past and the weather of the horizon.

        Parameters
        ----------
        positions : ndarray of int, shape (N,)
            Position of each window's first horizon hour; demand is known up to the hour before.
        levels : sequence of float, length Q
            Quantile levels, unitless, inside (0, 1).

        Returns
        -------
        ndarray of shape (N, H, Q)
            In target units.

        Raises
        ------
        DataError
            If a window has no hour before it or reaches beyond the series.
        """
        positions = np.asarray(positions, dtype=np.intp)
        last = len(self.mean) - horizon_steps
        if positions.size and (positions.min() < 1 or positions.max() > last):
            raise DataError(
                f"windows start at positions {positions.min()} to {positions.max()}, expected 1 to "
                f"{last} for a horizon of {horizon_steps} steps in {len(self.mean)} hours"
            )
        ahead = np.arange(1, horizon_steps + 1)
        hours = positions[:, None] + ahead - 1  # (N, H)
        decay = self.persistence**ahead  # (H,)
        center = self.mean[hours] + self.spread[hours] * decay * self.noise[positions - 1][:, None]
        deviation = self.spread[hours] * np.sqrt(1.0 - decay**2)
        scores = np.array([NormalDist().inv_cdf(level) for level in levels])
        quantiles: NDArray[np.float64] = center[:, :, None] + deviation[:, :, None] * scores
        return quantiles


def generate_demo(seed: int = DEFAULT_SEED, *, days: int = 1095) -> tuple[Series, DemoTruth]:
    """Hourly heat demand with temperature and wind, from 2021 on, and its truth.

    Parameters
    ----------
    days : int
        Length; 1095 days are three whole years.

    Returns
    -------
    series : Series
        Strictly positive and complete; both covariates have role `forecast`.
    truth : DemoTruth
        Its arrays belong to the hours of the series.
    """
    rng = np.random.default_rng(seed)
    index = pd.date_range(FIRST_HOUR, periods=days * STEPS_PER_DAY, freq="h", unit="ns")
    temperature = _draw_temperature(index, rng)
    wind = _draw_wind(len(index), rng)
    noise = _draw_autoregression(len(index), NOISE_PERSISTENCE, rng)
    mean = _heating(index, temperature, wind) + _hot_water(index)
    spread = mean * _relative_spread(index, temperature)
    series = Series(
        name="demo",
        values=mean + spread * noise,
        index=index,
        unit=UNIT,
        calendar=CALENDAR,
        covariates=(
            Covariate("temperature", temperature, Role.FORECAST, "°C"),
            Covariate("wind", wind, Role.FORECAST, "m/s"),
        ),
    )
    return series, DemoTruth(mean, spread, noise, NOISE_PERSISTENCE)


def _draw_temperature(index: pd.DatetimeIndex, rng: np.random.Generator) -> NDArray[np.float64]:
    """Outdoor temperature in °C: season, day cycle that is wider in summer, slow weather."""
    season = _season(index)
    hour = index.hour.to_numpy(np.float64)
    day_cycle = np.cos(2.0 * np.pi * (hour - 13.0) / STEPS_PER_DAY)  # warmest at 13 h UTC
    weather = _draw_autoregression(len(index), WEATHER_PERSISTENCE, rng)
    return 8.5 + 8.0 * season + (2.5 + 1.5 * season) * day_cycle + WEATHER_SPREAD * weather


def _draw_wind(n_hours: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Wind speed in m/s, skewed to the right."""
    wind: NDArray[np.float64] = USUAL_WIND * np.exp(
        0.4 * _draw_autoregression(n_hours, 0.95, rng) - 0.08
    )
    return wind


def _draw_autoregression(
    n_hours: int, persistence: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Stationary Gaussian AR(1) of variance 1."""
    drive = rng.standard_normal(n_hours)
    drive[1:] *= np.sqrt(1.0 - persistence**2)
    return _accumulate(drive, persistence)


def _accumulate(drive: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """`state[t] = decay * state[t-1] + drive[t]`."""
    states = []
    state = 0.0
    for push in drive.tolist():
        state = decay * state + push
        states.append(state)
    return np.array(states)


def _heating(
    index: pd.DatetimeIndex, temperature: NDArray[np.float64], wind: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Heat in kWh per hour: degree hours behind the buildings' inertia, with a night setback."""
    felt = temperature - WIND_CHILL * (wind - USUAL_WIND)
    decay = float(np.exp(-1.0 / LAG_HOURS))
    drive = (1.0 - decay) * felt
    drive[0] = felt[0]
    missing = BASE_TEMPERATURE - _accumulate(drive, decay)
    degrees = 2.0 * np.logaddexp(0.0, missing / 2.0)  # smooth around the base temperature
    hour = index.tz_convert(CALENDAR.zone).hour.to_numpy(np.float64)
    daily = (
        1.0 + 0.12 * _bump(hour, center=7.0, width=2.0) - 0.10 * _bump(hour, center=2.0, width=3.0)
    )
    return HEAT_PER_DEGREE * degrees * daily


def _hot_water(index: pd.DatetimeIndex) -> NDArray[np.float64]:
    """Hot water in kWh per hour: peaks in local time, the morning's later on days off."""
    hour = index.tz_convert(CALENDAR.zone).hour.to_numpy(np.float64)
    free = is_weekend(index, CALENDAR.zone) | is_public_holiday(index, CALENDAR)
    workday = 0.30 * _bump(hour, center=7.0, width=1.5)
    day_off = 0.25 * _bump(hour, center=9.5, width=2.2)
    evening = 0.22 * _bump(hour, center=19.0, width=2.5)
    return 0.45 + np.where(free, day_off, workday) + evening


def _relative_spread(
    index: pd.DatetimeIndex, temperature: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Standard deviation over mean, 0.11 to 0.15: larger in the cold and by day."""
    cold = 1.0 / (1.0 + np.exp((temperature - 4.0) / 3.0))
    hour = index.tz_convert(CALENDAR.zone).hour.to_numpy(np.float64)
    return BASE_SPREAD + 0.02 * cold + 0.02 * _bump(hour, center=14.0, width=4.0)


def _bump(hour: NDArray[np.float64], *, center: float, width: float) -> NDArray[np.float64]:
    """Bell of height 1 on the clock face, `width` hours from its top to its shoulder."""
    distance = (hour - center + 12.0) % STEPS_PER_DAY - 12.0
    bell: NDArray[np.float64] = np.exp(-0.5 * (distance / width) ** 2)
    return bell


def _season(index: pd.DatetimeIndex) -> NDArray[np.float64]:
    """-1 in late January, +1 in late July."""
    day = index.day_of_year.to_numpy(np.float64) - 1.0 + index.hour.to_numpy(np.float64) / 24.0
    season: NDArray[np.float64] = -np.cos(2.0 * np.pi * (day - 22.0) / DAYS_PER_YEAR)
    return season
