"""A server on this machine that speaks as Open-Meteo does: FlatBuffers, and errors as JSON."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import flatbuffers
import numpy as np
import pandas as pd
from openmeteo_sdk.Unit import Unit

HOUR = pd.Timedelta(hours=1)
FORMULAS: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "temperature_2m": (Unit.celsius, lambda hours: hours % 24 + 0.5),
    "wind_speed_10m": (Unit.metre_per_second, lambda hours: hours % 7),
    "shortwave_radiation": (Unit.watt_per_square_metre, lambda hours: 10.0 * (hours % 24)),
}


@dataclass(frozen=True)
class Refusal:
    """An HTTP status with a body, to be answered instead of weather."""

    status: int
    body: bytes
    kind: str = "application/json"


def refuse(status: int, reason: str) -> Refusal:
    return Refusal(status, json.dumps({"error": True, "reason": reason}).encode())


@dataclass
class WeatherServer:
    """What was asked, and what is answered.

    Attributes
    ----------
    asked : list of dict
        Path and parameters of each request.
    values : callable
        Values of a variable at stamps (hours since 1970) for the parameters of a request.
    script : list
        Refusals of the next requests; None stands for weather.
    """

    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    script: list[Refusal | None] = field(default_factory=list)
    values: Callable[[str, np.ndarray, Mapping[str, str]], np.ndarray] | None = None
    now: pd.Timestamp = field(default_factory=lambda: pd.Timestamp("2026-03-10T14:20Z"))

    def answer(self, asked: dict[str, str]) -> Refusal | bytes:
        self.asked.append(asked)
        refusal = self.script.pop(0) if self.script else None
        if refusal is not None:
            return refusal
        names = asked["hourly"].split(",")
        unknown = [name for name in names if base_of(name) not in FORMULAS]
        if unknown:
            reason = f"Cannot initialize ForecastVariable from invalid String value {unknown[0]}."
            return refuse(400, reason)
        stamps = stamps_of(asked, self.now)
        hours = stamps.as_unit("ns").asi8 // HOUR.value
        columns = {}
        for name in names:
            unit, formula = FORMULAS[base_of(name)]
            if unit == Unit.metre_per_second and asked.get("wind_speed_unit") != "ms":
                unit = Unit.kilometres_per_hour
            values = formula(hours) if self.values is None else self.values(name, hours, asked)
            columns[name] = (unit, values)
        return encode(stamps[0], columns)


def base_of(name: str) -> str:
    return name.split("_previous_day", maxsplit=1)[0]


def stamps_of(asked: Mapping[str, str], now: pd.Timestamp) -> pd.DatetimeIndex:
    """Hours of the days that a request names."""
    if "start_date" in asked:
        first, last = (pd.Timestamp(asked[key], tz="UTC") for key in ("start_date", "end_date"))
        n_days = (last - first).days + 1
    else:
        run = pd.Timestamp(asked["run"], tz="UTC") if "run" in asked else now
        first, n_days = run.floor("D"), int(asked.get("forecast_days", 7))
    return pd.date_range(first, periods=24 * n_days, freq="h")


def encode(start: pd.Timestamp, columns: Mapping[str, tuple[int, np.ndarray]]) -> bytes:
    """A WeatherApiResponse with its size before it, by the slots of openmeteo_sdk's schema."""
    builder = flatbuffers.Builder(1024)
    tables, n_hours = [], 0
    for unit, values in columns.values():
        n_hours = len(values)
        vector = builder.CreateNumpyVector(np.asarray(values, dtype=np.float32))
        builder.StartObject(13)
        builder.PrependUint8Slot(1, unit, 0)
        builder.PrependUOffsetTRelativeSlot(3, vector, 0)
        tables.append(builder.EndObject())
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    variables = builder.EndVector()
    seconds = start.value // 10**9
    builder.StartObject(4)
    builder.PrependInt64Slot(0, seconds, 0)
    builder.PrependInt64Slot(1, seconds + 3600 * n_hours, 0)
    builder.PrependInt32Slot(2, 3600, 0)
    builder.PrependUOffsetTRelativeSlot(3, variables, 0)
    hourly = builder.EndObject()
    builder.StartObject(15)
    builder.PrependFloat32Slot(0, 55.5, 0.0)
    builder.PrependFloat32Slot(1, 9.75, 0.0)
    builder.PrependUOffsetTRelativeSlot(11, hourly, 0)
    builder.FinishSizePrefixed(builder.EndObject())
    return bytes(builder.Output())


@contextmanager
def running_server() -> Iterator[WeatherServer]:
    """The server, from whose `url` weather can be had."""
    server = WeatherServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            answer = server.answer({"path": address.path, **dict(parse_qsl(address.query))})
            if isinstance(answer, bytes):
                answer = Refusal(200, answer, "application/octet-stream")
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        http.shutdown()
        thread.join()
