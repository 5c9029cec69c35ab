"""Requests to Open-Meteo through its client library; no other module uses the network for weather.

Failed connections and errors of the server are tried again, refusals (a wrong variable, too many
requests) are not.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from paretocast.errors import DataError, SettingsError
from paretocast.weather.sources import HOSTS, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from niquests import Session

KEY_VARIABLE = "OPEN_METEO_API_KEY"
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 60.0
N_RETRIES = 2
LIMIT_WORDS = ("limit", "too many")  # the library does not tell HTTP status 429 from 400
SERVER_ERRORS = (500, 502, 503, 504)
SECONDS_PER_HOUR = 3600
DECIMALS = 4  # of values that come in single precision
# The library's names of units, as data sets write them.
UNITS = {
    "celsius": "°C", "fahrenheit": "°F", "kelvin": "K", "percentage": "%", "degree_direction": "°",
    "metre_per_second": "m/s", "metre_per_second_not_unit_converted": "m/s", "knots": "kn",
    "kilometres_per_hour": "km/h", "miles_per_hour": "mph", "millimetre": "mm", "inch": "inch",
    "centimetre": "cm", "metre": "m", "hectopascal": "hPa", "watt_per_square_metre": "W/m²",
}  # fmt: skip


class RefusedError(DataError):
    """Open-Meteo does not have what was asked for; other requests may be answered."""


@dataclass(frozen=True)
class HourlyAnswer:
    """Values of one place.

    Attributes
    ----------
    values : DataFrame of shape (T, V)
        By stamp, UTC, every hour; columns as they were asked for. NaN where missing.
    units : mapping of str to str
        Unit of each column.
    """

    values: pd.DataFrame
    units: Mapping[str, str]


@dataclass(frozen=True)
class OpenMeteo:
    """Open-Meteo's servers, those for customers if there is a key, or one of the user's.

    Attributes
    ----------
    url : str or None
        Address of the user's own server, without the path.
    key : str or None
        Never shown in an error.
    backoff_seconds : float
        Wait before the first retry; it doubles.
    """

    url: str | None = None
    key: str | None = field(default=None, repr=False)
    backoff_seconds: float = 1.0

    def address(self, source: Source) -> str:
        """Address of the requests of a source.

        >>> OpenMeteo().address(Source.FORECAST)
        'https://api.open-meteo.com/v1/forecast'
        """
        customer = "customer-" if self.key else ""
        base = self.url or f"https://{customer}{HOSTS[source]}.open-meteo.com"
        return f"{base.rstrip('/')}/v1/forecast"

    def fetch(
        self,
        source: Source,
        variables: Sequence[str],
        requests: Sequence[Mapping[str, Any]],
        *,
        refused: Callable[[int, RefusedError], None] | None = None,
    ) -> Iterator[tuple[int, HourlyAnswer]]:
        """Answers to requests that differ in some parameters, with their positions.

        Parameters
        ----------
        refused : callable, optional
            Told of a request whose answer Open-Meteo does not have, once another has been
            answered; without it, that is an error too.

        Raises
        ------
        SettingsError
            If the extra is not installed.
        DataError
            If Open-Meteo cannot be reached, refuses or answers something else.
        """
        answered = False
        with _open_session(self.backoff_seconds) as session:
            for i, parameters in enumerate(requests):
                try:
                    answer = self._ask(session, source, variables, parameters)
                except RefusedError as error:
                    if refused is None or not answered:
                        raise
                    refused(i, error)
                    continue
                answered = True
                yield i, answer

    def _ask(
        self,
        session: Session,
        source: Source,
        variables: Sequence[str],
        parameters: Mapping[str, Any],
    ) -> HourlyAnswer:
        from openmeteo_requests import Client, OpenMeteoRequestsError

        address = self.address(source)
        host = urlsplit(address).netloc
        asked = {**parameters, "hourly": ",".join(variables)}
        if self.key:
            asked["apikey"] = self.key
        try:
            (response,) = Client(session=session).weather_api(address, asked)
            return _read_hourly(response, variables)
        except OpenMeteoRequestsError as error:
            raise _explain(error, host) from error
        except (ValueError, IndexError, TypeError, AttributeError, struct.error) as error:
            raise DataError(
                f"{host} answered something that is no hourly weather of one place; check --url, "
                "or try again later"
            ) from error


def service_from(url: str | None) -> OpenMeteo:
    """The user's own server, or Open-Meteo's with the key in the environment.

    Raises
    ------
    SettingsError
        If the address is none.
    """
    if url is not None and not url.startswith(("http://", "https://")):
        raise SettingsError(f"--url is {url!r}, expected an address such as https://my.server")
    return OpenMeteo(url=url, key=os.environ.get(KEY_VARIABLE) if url is None else None)


def _open_session(backoff_seconds: float) -> Session:
    try:
        import openmeteo_requests  # noqa: F401  (it brings niquests)
        from niquests import RetryConfiguration, Session, TimeoutConfiguration
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is not installed; pip install 'paretocast[weather]' brings it"
        ) from error
    retries = RetryConfiguration(
        total=N_RETRIES,
        backoff_factor=backoff_seconds,
        status_forcelist=SERVER_ERRORS,
        raise_on_status=False,
        respect_retry_after_header=False,  # it may name tomorrow
    )
    timeout = TimeoutConfiguration(connect=CONNECT_SECONDS, read=ANSWER_SECONDS)
    return Session(retries=retries, timeout=timeout, disable_http3=True)


def _read_hourly(response: Any, variables: Sequence[str]) -> HourlyAnswer:  # noqa: ANN401
    """Values and units of an answer of the library, which has no types."""
    from openmeteo_sdk.Unit import Unit

    names = {number: name for name, number in vars(Unit).items() if isinstance(number, int)}
    hourly = response.Hourly()
    start, interval = hourly.Time(), hourly.Interval()
    n_hours = (hourly.TimeEnd() - start) // SECONDS_PER_HOUR
    if interval != SECONDS_PER_HOUR or hourly.VariablesLength() != len(variables):
        raise ValueError("another interval or other variables")
    index = pd.date_range(
        pd.Timestamp(start, unit="s", tz="UTC"), periods=n_hours, freq="h", unit="ns"
    )
    columns, units = {}, {}
    for i, variable in enumerate(variables):
        answered = hourly.Variables(i)
        values = np.asarray(answered.ValuesAsNumpy(), dtype=np.float64)
        columns[variable] = values.round(DECIMALS)
        unit = names.get(answered.Unit(), "undefined")
        units[variable] = UNITS.get(unit, unit)
    return HourlyAnswer(pd.DataFrame(columns, index=index), units)


def _explain(error: Exception, host: str) -> DataError:
    """The meaning of the library's error; its own text shows the address with the key."""
    from niquests import HTTPError, RequestException, Timeout
    from openmeteo_requests import OpenMeteoRequestsError

    match error.__cause__:
        case OpenMeteoRequestsError() as cause:
            said = cause.args[0]
            reason = said.get("reason", said) if isinstance(said, dict) else said
            text = f"{host} refuses the request: {reason}"
            if any(word in str(reason).lower() for word in LIMIT_WORDS):
                return DataError(
                    f"{text}; ask again later, for less with --from and --to, or set {KEY_VARIABLE}"
                )
            return RefusedError(f"{text}; check --variable, --model and the period")
        case HTTPError() as cause if cause.response is not None:
            status = cause.response.status_code
            return DataError(f"{host} answers with HTTP status {status}; try again later")
        case Timeout():
            return DataError(f"{host} has not answered within {ANSWER_SECONDS:.0f} s; try again")
        case RequestException():
            return DataError(f"{host} cannot be reached; check the network, or --url")
        case _:
            return DataError(f"{host} answered something that cannot be read; try again later")
