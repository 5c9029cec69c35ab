"""`paretocast weather` against a server that answers as Open-Meteo does, by its own client."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from commands import run_cli
from paretocast.api.weather import fetch_weather, update_weather
from paretocast.data.run_parsing import check_reach, examine_runs
from paretocast.data.spec import DatasetSpec, find_spec
from paretocast.data.tables import read_table
from paretocast.data.weather_runs import WeatherRuns
from paretocast.errors import DataError, SettingsError

pytest.importorskip("openmeteo_requests")

from paretocast.weather import open_meteo
from paretocast.weather.open_meteo import OpenMeteo
from paretocast.weather.sources import Source
from weather_server import HOUR, Refusal, WeatherServer, refuse, running_server

SPEC = """name = "zone"
path = "zone.csv"
target = "load"
unit = "MW"
zone = "Europe/Copenhagen"

[covariates.temperature]
role = "forecast"
unit = "°C"
{source}
[covariates.sun]
role = "forecast"
column = "ghi"
unit = "W/m²"
{source}
[splits]
train = 0.5
validation = 0.3
"""
RUNS = '[weather]\npath = "nwp.csv"\n'
LOCATION = "[location]\nlatitude = 55.5\nlongitude = 9.75\n"
SUN = {"sun": "shortwave_radiation"}
NOW = pd.Timestamp("2026-03-10T14:20Z")


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    session = open_meteo._open_session
    monkeypatch.setattr(open_meteo, "_open_session", lambda _: session(0.0))


@pytest.fixture
def server() -> Iterator[WeatherServer]:
    with running_server() as started:
        yield started


def write_spec(folder: Path, *, runs: bool = True, location: bool = True) -> Path:
    source = 'source = "weather"' if runs else ""
    text = SPEC.format(source=source) + RUNS * runs + LOCATION * location
    path = folder / "zone.toml"
    path.write_text(text, encoding="utf-8")
    return path


def fetch(server: WeatherServer, spec: Path, **options: Any) -> pd.DataFrame:  # noqa: ANN401
    service = OpenMeteo(url=server.url, backoff_seconds=0.01)
    return fetch_weather(spec, variables=SUN, service=service, now=NOW, **options)


def read_runs(path: Path, spec: DatasetSpec) -> WeatherRuns:
    runs, findings = examine_runs(read_table(path), spec, covariates=("temperature", "sun"))
    assert not findings
    assert runs is not None
    return runs


def test_the_newest_run_is_issued_at_the_hour_of_the_request(
    server: WeatherServer, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path)
    said: list[str] = []
    table = fetch(server, spec, say=said.append)
    assert list(table.columns) == ["issued_at", "valid_at", "temperature", "ghi"]
    assert set(table["issued_at"]) == {pd.Timestamp("2026-03-10T14:00Z")}
    assert table["valid_at"].iloc[0] == pd.Timestamp("2026-03-10T14:00Z")
    assert table["valid_at"].iloc[-1] == pd.Timestamp("2026-03-13T23:00Z")
    assert any("hour of the request" in text for text in said)
    (asked,) = server.asked
    assert (asked["latitude"], asked["longitude"]) == ("55.5", "9.75")
    assert asked["format"] == "flatbuffers"
    assert asked["wind_speed_unit"] == "ms"


def test_a_sum_over_the_hour_before_is_moved_to_the_start_of_its_hour(
    server: WeatherServer, tmp_path: Path
) -> None:
    table = fetch(server, write_spec(tmp_path)).set_index("valid_at")
    noon = table.loc[pd.Timestamp("2026-03-11T12:00Z")]
    assert noon["temperature"] == 12.5  # the moment at its stamp
    assert noon["ghi"] == 130.0  # the hour until the stamp 13:00
    assert np.isnan(table["ghi"].iloc[-1])


def test_appended_runs_are_read_as_a_data_set_reads_them(
    server: WeatherServer, tmp_path: Path
) -> None:
    spec, path = write_spec(tmp_path), tmp_path / "nwp.csv"
    service = OpenMeteo(url=server.url)
    for now in ("2026-03-10T14:20Z", "2026-03-09T02:59Z", "2026-03-10T14:40Z"):
        server.now = pd.Timestamp(now)

        def ask(known: pd.DataFrame | None) -> pd.DataFrame:
            return fetch_weather(spec, variables=SUN, service=service, now=server.now, known=known)

        update_weather(path, ask, append=True)
    runs = read_runs(path, find_spec(spec))
    assert runs.n_runs == 2
    assert runs.issued[0] == pd.Timestamp("2026-03-09T02:00Z")
    lines = path.read_text("utf-8").splitlines()
    assert lines[1].startswith("2026-03-09T02:00:00Z,2026-03-09T02:00:00Z,2.5,30.0")
    assert len(set(lines)) == len(lines)


def test_rows_that_are_there_stay_as_they_were_written(
    server: WeatherServer, tmp_path: Path
) -> None:
    spec, path = write_spec(tmp_path), tmp_path / "nwp.csv"
    row = "2026-03-01T05:40:00+00:00,2026-03-01T06:00:00Z,3.10,\n"
    path.write_text("issued_at,valid_at,temperature,ghi\n" + row, encoding="utf-8")
    update_weather(path, lambda known: fetch(server, spec, known=known), append=True)
    assert row in path.read_text("utf-8")
    path.write_text("issued_at,valid_at,temperature\n", encoding="utf-8")
    with pytest.raises(DataError, match="has the columns issued_at, valid_at, temperature, and"):
        update_weather(path, lambda known: fetch(server, spec, known=known), append=True)
    assert path.read_text("utf-8") == "issued_at,valid_at,temperature\n"


NEW_YEAR = pd.Timestamp("2026-01-01T00:00Z")


def hours_of_the_year(stamps: pd.Series) -> np.ndarray:
    return np.asarray((stamps - NEW_YEAR) / HOUR)


@pytest.mark.parametrize("delay", [1, 6, 24])
def test_runs_of_fixed_leads_hold_nothing_that_was_not_known(
    server: WeatherServer, tmp_path: Path, delay: int
) -> None:
    def known_from(name: str, hours: np.ndarray, asked: Mapping[str, str]) -> np.ndarray:
        """The hour of the year from which on a value of a fixed lead can be had."""
        lead_days = int(name.rsplit("_previous_day", 1)[1])
        since_new_year = hours - NEW_YEAR.value // HOUR.value
        return np.asarray(since_new_year - 24 * lead_days + delay)

    server.values = known_from
    table = fetch(
        server,
        write_spec(tmp_path),
        source="previous-runs",
        first="2026-03-01",
        last="2026-03-05T11:00Z",
        delay_hours=delay,
    )
    issued = hours_of_the_year(table["issued_at"])
    assert (
        pd.DatetimeIndex(table["issued_at"])
        .unique()
        .equals(pd.date_range("2026-03-01", "2026-03-05T06:00", freq="6h", tz="UTC"))
    )
    for column in ("temperature", "ghi"):
        ages = issued - table[column].to_numpy()
        assert ages.min() >= 0.0  # known at the issue
        assert ages.max() < 24.0  # and no shorter lead was
    assert (table.groupby("issued_at").size() == 48).all()


def test_a_day_ahead_of_any_hour_is_in_runs_of_fixed_leads(
    server: WeatherServer, tmp_path: Path
) -> None:
    spec, path = write_spec(tmp_path), tmp_path / "nwp.csv"
    options = {"source": "previous-runs", "first": "2026-03-01", "last": "2026-03-05"}
    update_weather(path, lambda known: fetch(server, spec, known=known, **options))
    runs = read_runs(path, find_spec(spec))
    index = pd.date_range("2026-03-01", "2026-03-05T23:00", freq="h", tz="UTC", unit="ns")
    assert not check_reach(runs, index)


def test_archived_runs_count_from_their_delay_on(server: WeatherServer, tmp_path: Path) -> None:
    def run(name: str, hours: np.ndarray, asked: Mapping[str, str]) -> np.ndarray:
        return np.full(len(hours), float(pd.Timestamp(asked["run"]).day))

    server.values = run
    options = {"source": "single-runs", "first": "2026-03-01", "every_hours": 24, "delay_hours": 7}
    spec = write_spec(tmp_path)
    table = fetch(server, spec, last="2026-03-03", model="ecmwf_ifs", **options)
    assert [asked["run"] for asked in server.asked] == ["2026-03-01T00:00", "2026-03-02T00:00"]
    assert {asked["models"] for asked in server.asked} == {"ecmwf_ifs"}
    issued = table.groupby("issued_at")
    assert list(issued.groups) == [pd.Timestamp(f"2026-03-0{d}T07:00Z") for d in (1, 2)]
    assert list(issued["temperature"].max()) == [1.0, 2.0]
    assert (issued["valid_at"].min() == list(issued.groups)).all()
    server.asked.clear()
    more = fetch(server, spec, last="2026-03-04", known=as_text(table), **options)
    assert [asked["run"] for asked in server.asked] == ["2026-03-03T00:00"]
    assert set(more["temperature"]) == {3.0}
    assert not len(fetch(server, spec, last="2026-03-03", known=as_text(table), **options))


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype("str")


def test_a_run_that_the_archive_lacks_is_told_and_left_out(
    server: WeatherServer, tmp_path: Path
) -> None:
    said: list[str] = []
    spec = write_spec(tmp_path)
    options = {"source": "single-runs", "first": "2026-03-01", "last": "2026-03-01T23:00Z"}
    server.script = [None, refuse(400, "Run is not available")]
    table = fetch(server, spec, say=said.append, **options)
    assert table["issued_at"].nunique() == 3
    assert sum("Run is not available" in text for text in said) == 1
    server.script = [None, refuse(429, "Hourly API request limit exceeded.")]
    server.asked.clear()
    with pytest.raises(DataError, match="limit exceeded"):
        fetch(server, spec, **options)
    assert len(server.asked) == 2  # the rest would be refused too
    server.script = [refuse(400, "Run is not available")]
    with pytest.raises(DataError, match="Run is not available"):
        fetch(server, spec, **options)


def test_stitched_hours_have_no_time_of_issue(server: WeatherServer, tmp_path: Path) -> None:
    said: list[str] = []
    options = {"source": "historical-forecast", "first": "2026-03-01", "last": "2026-03-02T05:00Z"}
    table = fetch(server, write_spec(tmp_path, runs=False), say=said.append, **options)
    assert list(table.columns) == ["timestamp", "temperature", "ghi"]
    assert len(table) == 30
    assert table.notna().to_numpy().all()
    assert any("not what was known a day ahead" in text for text in said)
    with pytest.raises(SettingsError, match="does not say when a value was issued"):
        fetch(server, write_spec(tmp_path), **options)


def test_a_server_error_is_tried_again_and_a_refusal_is_not(
    server: WeatherServer, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path)
    server.script = [Refusal(503, b""), Refusal(502, b"")]
    assert len(fetch(server, spec))
    assert len(server.asked) == 3
    server.asked.clear()
    server.script = [Refusal(503, b"")] * 3
    with pytest.raises(DataError, match="answers with HTTP status 503"):
        fetch(server, spec)
    server.asked.clear()
    server.script = [refuse(429, "Daily API request limit exceeded. Please try again tomorrow.")]
    with pytest.raises(DataError, match=r"refuses the request: Daily API request limit.*ask again"):
        fetch(server, spec)
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", [b"<html>login</html>", b"\x10\x00\x00\x00nonsense", b""])
def test_an_answer_that_is_no_weather_is_an_error(
    server: WeatherServer, tmp_path: Path, body: bytes
) -> None:
    server.script = [Refusal(200, body, "text/html")]
    with pytest.raises(DataError, match="answered something that"):
        fetch(server, write_spec(tmp_path))


def test_a_unit_that_is_not_the_declared_one_is_an_error(
    server: WeatherServer, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path)
    spec.write_text(spec.read_text("utf-8").replace('unit = "°C"', 'unit = "K"'), encoding="utf-8")
    with pytest.raises(DataError, match="temperature_2m comes in °C, the data set declares"):
        fetch(server, spec)


def test_a_variable_without_values_is_an_error(server: WeatherServer, tmp_path: Path) -> None:
    def no_sun(name: str, hours: np.ndarray, asked: Mapping[str, str]) -> np.ndarray:
        return np.full(len(hours), np.nan if name.startswith("shortwave") else 1.0)

    server.values = no_sun
    with pytest.raises(DataError, match="no value of shortwave_radiation"):
        fetch(server, write_spec(tmp_path))


def command(server: WeatherServer, spec: Path, *more: object) -> list[object]:
    variable = "sun=shortwave_radiation"
    return ["weather", spec, "--url", server.url, "--variable", variable, *more]


def test_the_command_writes_a_file_that_its_data_set_reads(
    server: WeatherServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "nwp.csv"
    server.now = pd.Timestamp.now("UTC")
    code, stdout, stderr = run_cli(capsys, *command(server, spec, "--out", out))
    assert (code, stdout) == (0, "")
    assert "temperature is temperature_2m, ghi is shortwave_radiation" in stderr
    assert read_runs(out, find_spec(spec)).n_runs == 1
    before = out.read_bytes()
    code, _, stderr = run_cli(capsys, *command(server, spec, "--out", out))
    assert code == 2
    assert "--append" in stderr
    server.script = [refuse(429, "Minutely API request limit exceeded.")]
    code, _, stderr = run_cli(capsys, *command(server, spec, "--out", out, "--append"))
    assert code == 1
    assert "Minutely API request limit exceeded" in stderr
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nwp.csv", "zone.toml"]


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--variable", "temperature=temprature"], 1, "invalid String value temprature"),
        (["--variable", "rain=precipitation"], 2, "declares no covariate rain"),
        (["--variable", "rain"], 2, "expected a covariate and a variable"),
        (["--latitude", "55"], 2, "give --latitude and --longitude"),
        (["--latitude", "91", "--longitude", "9"], 2, "latitude"),
        (["--source", "single-runs"], 2, "needs --from"),
        (["--from", "2026-01-01"], 2, "gives the newest run"),
        (["--source", "single-runs", "--from", "2100-01-01"], 2, "before --from"),
        (["--source", "previous-runs", "--from", "2026-01-01", "--every", "5"], 2, "--every is 5"),
        (["--url", "ftp://x"], 2, "expected an address"),
        (["--url", "http://127.0.0.1:9"], 1, "127.0.0.1:9 cannot be reached"),
    ],
)
def test_a_wrong_call_is_one_line(  # noqa: PLR0917
    server: WeatherServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    said: str,
) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "nwp.csv"
    ended, _, stderr = run_cli(capsys, *command(server, spec, "--out", out, *more))
    (line,) = [text for text in stderr.splitlines() if text.startswith("error: ")]
    assert ended == code
    assert said in line
    assert not out.exists()


def test_a_set_without_a_place_says_so(
    server: WeatherServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(tmp_path, location=False)
    code, _, stderr = run_cli(capsys, *command(server, spec, "--out", tmp_path / "nwp.csv"))
    assert code == 2
    assert "[location]" in stderr
    assert not server.asked


def test_an_unknown_covariate_asks_for_its_variable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(tmp_path)
    code, _, stderr = run_cli(capsys, "weather", spec, "--out", tmp_path / "nwp.csv")
    assert code == 2
    assert "--variable sun=" in stderr


def test_without_the_extra_the_command_says_what_to_install(
    server: WeatherServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def absent(name: str, *arguments: Any) -> object:  # noqa: ANN401
        if name == "openmeteo_requests":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", absent)
    spec = write_spec(tmp_path)
    code, _, stderr = run_cli(capsys, *command(server, spec, "--out", tmp_path / "nwp.csv"))
    assert code == 2
    assert "pip install 'paretocast[weather]'" in stderr


def test_the_key_of_a_customer_stays_out_of_errors(server: WeatherServer, tmp_path: Path) -> None:
    service = OpenMeteo(url="http://127.0.0.1:9", key="secret", backoff_seconds=0.0)
    assert OpenMeteo(key="secret").address(Source.FORECAST).startswith("https://customer-api.")
    assert "secret" not in repr(service)
    with pytest.raises(DataError) as raised:
        fetch_weather(write_spec(tmp_path), variables=SUN, service=service, now=NOW)
    assert "secret" not in str(raised.value)
    service = OpenMeteo(url=server.url, key="secret")
    fetch_weather(write_spec(tmp_path), variables=SUN, service=service, now=NOW)
    assert server.asked[0]["apikey"] == "secret"
