"""Tables of weather runs made of answers, and what was known of each value when.

A value counts from `issued_at` on. Open-Meteo names a run by its start; it can be had some hours
later, here after `delay_hours`. Fixed leads (`previous_day1` and so on) come from the last run that
began so many days before the stamp or earlier, so they can be had that delay after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.weather.open_meteo import HourlyAnswer
    from paretocast.weather.variables import WeatherColumn

HOUR = pd.Timedelta(hours=1)
RUN_HOURS = 48  # a day ahead from any hour before the next run, and what stands in for a late one


@dataclass(frozen=True)
class TableLayout:
    """Names of the columns of a weather table.

    Attributes
    ----------
    issued : str
        Time from which on a row was known.
    time : str
        Start of the hour that a row is for.
    columns : tuple of WeatherColumn
    """

    issued: str
    time: str
    columns: tuple[WeatherColumn, ...]

    @property
    def names(self) -> list[str]:
        """All of them, in the order of the file."""
        return [self.issued, self.time, *(column.column for column in self.columns)]

    @property
    def variables(self) -> list[str]:
        """Variables of Open-Meteo, each once."""
        return list(dict.fromkeys(column.variable for column in self.columns))


def check_units(answer: HourlyAnswer, layout: TableLayout) -> None:
    """Compare the units of an answer with those that the data set declares.

    Raises
    ------
    DataError
        If one differs: nothing is converted silently.
    """
    for column in layout.columns:
        units = answer.units
        unit = units.get(column.variable) or units[f"{column.variable}_previous_day1"]
        if column.unit and unit != column.unit:
            raise DataError(
                f"{column.variable} comes in {unit}, the data set declares {column.column} in "
                f"{column.unit}; bring its values to {unit} and declare them so"
            )


def by_hour(answer: HourlyAnswer, layout: TableLayout) -> pd.DataFrame:
    """Columns of the table by the start of the hour; rows without a value are left out."""
    values = {
        column.column: _at_start(answer.values[column.variable], column)
        for column in layout.columns
    }
    return pd.DataFrame(values).dropna(how="all")


def run_rows(hours: pd.DataFrame, issued: pd.Timestamp, layout: TableLayout) -> pd.DataFrame:
    """Rows of one run, from the hour of its issue on."""
    ahead = hours[hours.index >= issued.floor("h")]
    return (
        ahead.rename_axis(layout.time).reset_index().assign(**{layout.issued: issued})[layout.names]
    )


def longest_lead_days(delay_hours: int) -> int:
    """Days before that are needed for the last hour of a run."""
    return math.ceil((RUN_HOURS + delay_hours) / 24)


def lead_variables(variables: Sequence[str], delay_hours: int) -> list[str]:
    """Names of variables by their fixed leads, in days."""
    days = range(1, longest_lead_days(delay_hours) + 1)
    return [f"{variable}_previous_day{n}" for variable in variables for n in days]


def runs_of_leads(
    answer: HourlyAnswer,
    layout: TableLayout,
    issued: pd.DatetimeIndex,
    *,
    delay_hours: int,
) -> pd.DataFrame:
    """Runs put together from fixed leads: of every hour, the shortest lead known at the issue.

    The value of a stamp with a lead of n days can be had `delay_hours` after n days before it, so a
    run issued at r has it if stamp − 24 n + delay <= r.

    Parameters
    ----------
    answer : HourlyAnswer
        With the variables of `lead_variables`.
    issued : DatetimeIndex
        Full hours.
    """
    steps = np.arange(RUN_HOURS)
    hours = issued.repeat(RUN_HOURS) + pd.to_timedelta(np.tile(steps, len(issued)), unit="h")
    table = pd.DataFrame({layout.issued: issued.repeat(RUN_HOURS), layout.time: hours})
    for column in layout.columns:
        after = int(column.of_the_hour_before)
        lead_days = np.tile(np.ceil((steps + after + delay_hours) / 24).astype(int), len(issued))
        values = np.full(len(table), np.nan)
        for n in np.unique(lead_days):
            lead = _at_start(answer.values[f"{column.variable}_previous_day{n}"], column)
            rows = lead_days == n
            values[rows] = lead.reindex(hours[rows]).to_numpy()
        table[column.column] = values
    names = [column.column for column in layout.columns]
    return table.dropna(how="all", subset=names, ignore_index=True)


def check_filled(table: pd.DataFrame, layout: TableLayout) -> None:
    """Check that every column has values.

    Raises
    ------
    DataError
        Naming the variables that are missing from all rows.
    """
    empty = [c.variable for c in layout.columns if not table[c.column].notna().any()]
    if empty:
        raise DataError(
            f"there is no value of {', '.join(empty)} for this place and period; choose another "
            "--model, --variable or period"
        )


def _at_start(values: pd.Series[float], column: WeatherColumn) -> pd.Series[float]:
    """Values by the start of their hour."""
    if not column.of_the_hour_before:
        return values
    return values.set_axis(pd.DatetimeIndex(values.index) - HOUR)
