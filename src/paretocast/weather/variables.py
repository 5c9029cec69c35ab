"""Covariates of a data set and the variables of Open-Meteo that they stand for, with their units.

A stamp of Open-Meteo is a moment. Sums, means and maxima belong to the hour that *ends* there, all
other variables to the moment itself. Here a stamp is the start of its hour (`data.series`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretocast.data.features import is_of_kind
from paretocast.data.reading import choose_covariates
from paretocast.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from paretocast.data.spec import DatasetSpec

VARIABLES = {
    "cloud_cover": "cloud_cover",
    "clouds": "cloud_cover",
    "dew_point": "dew_point_2m",
    "humidity": "relative_humidity_2m",
    "precipitation": "precipitation",
    "radiation": "shortwave_radiation",
    "rain": "precipitation",  # what a gauge collects; "rain" of Open-Meteo leaves showers out
    "relative_humidity": "relative_humidity_2m",
    "snowfall": "snowfall",
    "solar_radiation": "shortwave_radiation",
    "wind_direction": "wind_direction_10m",
    "wind_gusts": "wind_gusts_10m",
}
KINDS = {"temperature": "temperature_2m", "wind": "wind_speed_10m"}
# By https://open-meteo.com/en/docs these are "preceding hour" values.
OF_THE_HOUR_BEFORE = (
    "precipitation", "rain", "showers", "snowfall", "sunshine_duration", "wind_gusts",
    "shortwave_radiation", "direct_radiation", "direct_normal_irradiance", "diffuse_radiation",
    "global_tilted_irradiance", "terrestrial_radiation", "evapotranspiration",
    "et0_fao_evapotranspiration",
)  # fmt: skip
# The request converts these; others come in one unit.
UNIT_PARAMETERS = {
    "°C": ("temperature_unit", "celsius"),
    "°F": ("temperature_unit", "fahrenheit"),
    "m/s": ("wind_speed_unit", "ms"),
    "km/h": ("wind_speed_unit", "kmh"),
    "mph": ("wind_speed_unit", "mph"),
    "kn": ("wind_speed_unit", "kn"),
    "mm": ("precipitation_unit", "mm"),
    "inch": ("precipitation_unit", "inch"),
}


@dataclass(frozen=True)
class WeatherColumn:
    """A column of a weather table and the variable that fills it.

    Attributes
    ----------
    column : str
        Its name in the file.
    variable : str
        As Open-Meteo calls it, such as temperature_2m.
    unit : str
        As the data set declares it; empty if it declares none.
    """

    column: str
    variable: str
    unit: str

    @property
    def of_the_hour_before(self) -> bool:
        """True if a value belongs to the hour that ends at its stamp.

        >>> WeatherColumn("sun", "shortwave_radiation", "").of_the_hour_before
        True
        >>> WeatherColumn("sun", "shortwave_radiation_instant", "").of_the_hour_before
        False
        """
        return self.variable.startswith(OF_THE_HOUR_BEFORE) and "_instant" not in self.variable


def choose_columns(
    spec: DatasetSpec, needed: Iterable[str], given: Mapping[str, str]
) -> tuple[WeatherColumn, ...]:
    """The columns of a weather table for some covariates.

    Parameters
    ----------
    needed : iterable of str
        Declared names.
    given : mapping of declared name to variable
        Chosen by the user. Covariates named here belong to the table too.

    Raises
    ------
    SettingsError
        If there is none, one is not declared, or its variable is not known.
    """
    names = choose_covariates(spec, [*needed, *given])
    if not names:
        raise SettingsError(
            f"data set {spec.name} uses no covariate that is known ahead; name one, such as "
            "--variable temperature=temperature_2m"
        )
    return tuple(
        WeatherColumn(
            spec.column_of(name),
            given.get(name) or _variable_of(spec, name),
            spec.covariates[name].unit,
        )
        for name in names
    )


def unit_parameters(columns: Iterable[WeatherColumn]) -> dict[str, str]:
    """Parameters of a request that bring the declared units; wind comes in m/s otherwise.

    Raises
    ------
    SettingsError
        If two columns of one kind are declared in different units.

    Examples
    --------
    >>> unit_parameters([WeatherColumn("t", "temperature_2m", "°F")])
    {'temperature_unit': 'fahrenheit', 'wind_speed_unit': 'ms'}
    """
    asked: dict[str, str] = {}
    for column in columns:
        if column.unit not in UNIT_PARAMETERS:
            continue
        name, value = UNIT_PARAMETERS[column.unit]
        if asked.setdefault(name, value) != value:
            raise SettingsError(
                f"column {column.column} is declared in {column.unit} and another one in a "
                "different unit of the same kind; a request brings one of them, so declare both "
                "in the same"
            )
    return {**asked, "wind_speed_unit": asked.get("wind_speed_unit", "ms")}


def _variable_of(spec: DatasetSpec, name: str) -> str:
    """The variable that a covariate stands for by its name or kind."""
    known = name.lower()
    if known in VARIABLES:
        return VARIABLES[known]
    for kind, variable in KINDS.items():
        if is_of_kind(spec.covariates[name].series_name(name), kind):
            return variable
    raise SettingsError(
        f"no variable of Open-Meteo is known for covariate {name}; name it, such as "
        f"--variable {name}=temperature_2m (the variables are listed at "
        "https://open-meteo.com/en/docs)"
    )
