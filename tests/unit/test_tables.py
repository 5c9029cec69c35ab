"""Tables of files: fields, columns, signs within numbers, forms of time, other files."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import run_cli
from paretocast.api.files import declare_file
from paretocast.data import check_dataset, load_dataset
from paretocast.data.dialect import NumberSigns, TableSpec, find_separator, find_signs
from paretocast.data.proposal import propose_dataset
from paretocast.data.stamps import read_date_and_hour, read_times
from paretocast.data.tables import read_rows, read_table
from paretocast.errors import DataError, ParetocastError, SettingsError

INDEX = pd.date_range("2021-01-01", periods=120 * 24, freq="h", tz="UTC")
LOAD = np.round(
    np.random.default_rng(0).normal(10.0, 0.3, len(INDEX)) + np.sin(np.arange(len(INDEX)) / 3.82), 3
)
SET = 'name = "zone"\npath = "zone.csv"\ntarget = "load"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def write_zone(folder: Path, keys: str = "", **columns: np.ndarray) -> Path:
    frame = pd.DataFrame({"timestamp": INDEX, "load": LOAD, **columns})
    frame.to_csv(folder / "zone.csv", index=False)
    path = folder / "zone.toml"
    path.write_text(SET + keys, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("time,load\n2021-01-01,94.3\n", ","),
        ("time;load, MW\n2021-01-01;94,3\n2021-01-02;95,1\n", ";"),
        ("load,time\n94,33,2021-01-01\n95,12,2021-01-02\n", ","),  # decimal commas, no semicolon
        ("time\tload\n2021-01-01\t94.3\n", "\t"),
        ("time|load\n2021-01-01|94.3\n", "|"),
        ('time,"load; all"\n2021-01-01,94.3\n', ","),
        ("load\n94\n", ","),
    ],
)
def test_the_separator_divides_the_rows_as_the_header(text: str, separator: str) -> None:
    assert find_separator(text) == separator


def test_a_row_with_more_fields_than_the_header_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "load,time\n94,2021-01-01\n95,12,2021-01-02\n")
    with pytest.raises(DataError, match=r"1 row of 2 have more fields than the 2 .* is row 2"):
        read_table(path)
    path = write(tmp_path, "load,time\n94,2021-01-01\n95,12,2021,01\n")
    with pytest.raises(DataError, match="line 3 has 4 fields, the header has 2"):
        read_table(path)


def test_a_separator_behind_every_row_adds_no_column(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "a;b\n1;2;\n3;4;\n"))
    assert list(frame.columns) == ["a", "b"]
    assert frame["b"].tolist() == ["2", "4"]


def test_two_columns_of_one_name_are_an_error_where_they_are_read(tmp_path: Path) -> None:
    path = write_zone(tmp_path, spare=LOAD)
    text = (tmp_path / "zone.csv").read_text(encoding="utf-8")
    (tmp_path / "zone.csv").write_text(text.replace("spare", "load", 1), encoding="utf-8")
    (error,) = [f for f in check_dataset(path) if f.severity == "error"]
    assert error.message == "2 columns are called load"
    (tmp_path / "zone.csv").write_text("x,x," + text.replace("\n", "\n1,2,")[:-5], encoding="utf-8")
    assert load_dataset(path).series.values.tolist() == LOAD.tolist()


@pytest.mark.parametrize("mark", ["-", "n/e", ""])
def test_marks_of_a_missing_value_are_gaps(tmp_path: Path, mark: str) -> None:
    assert read_table(write(tmp_path, f"a,b\n1,{mark}\n"))["b"].isna().all()


def test_an_encoding_is_found_or_declared(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("Zeit;Wärme\n1;2\n".encode("cp1252"))
    frame, (note,) = read_rows(path)
    assert list(frame.columns) == ["Zeit", "Wärme"]
    assert 'encoding = "cp1252" and separator = ";"' in note.message
    path.write_bytes(codecs.BOM_UTF16_LE + "a\tb\n1\t2\n".encode("utf-16-le"))
    assert read_table(path)["b"].tolist() == ["2"]
    path.write_bytes("a,ї\n1,2\n".encode("cp1251"))
    assert list(read_table(path, TableSpec(path=path, encoding="cp1251")).columns) == ["a", "ї"]


@pytest.mark.parametrize(
    ("cells", "readings"),
    [
        (["1,5", "2"], [NumberSigns(",")]),
        (["1.234,5", "12,3"], [NumberSigns(",", ".")]),
        (["1,234.5", "1,234"], [NumberSigns(".", ",")]),
        (["1 234,5", "3"], [NumberSigns(",", " ")]),
        (["1,234", "0,5"], [NumberSigns(",")]),
        (["1,234", "1234"], [NumberSigns(",")]),  # a thousand without its sign
        (["1,234", "987"], [NumberSigns(","), NumberSigns(".", ",")]),
        (["1.234", "94,3"], [NumberSigns("."), NumberSigns(",", ".")]),
    ],
)
def test_signs_within_numbers_are_found_or_open(
    cells: list[str], readings: list[NumberSigns]
) -> None:
    assert list(find_signs([pd.Series(cells)])) == readings


def test_declared_signs_decide(tmp_path: Path) -> None:
    path = write_zone(tmp_path)
    text = (tmp_path / "zone.csv").read_text(encoding="utf-8").replace(",", ";").replace(".", ",")
    (tmp_path / "zone.csv").write_text(text.replace("load\n", "load\n", 1), encoding="utf-8")
    notes = [f.message for f in check_dataset(path) if f.code == "dialect"]
    assert ['separator = ";"' in note for note in notes] == [True, False]
    path.write_text(SET + 'separator = ";"\ndecimal = ","\n', encoding="utf-8")
    assert not [f for f in check_dataset(path) if f.code == "dialect"]
    assert load_dataset(path).series.values.tolist() == LOAD.tolist()


def test_one_sign_cannot_be_both() -> None:
    with pytest.raises(ValueError, match="decimal and thousands are both"):
        TableSpec(path=Path("x"), decimal=",", thousands=",")


@pytest.mark.parametrize(
    ("first", "last", "day"),
    [
        ("03.04.2021 00:00", "13.04.2021 00:00", "2021-04-03"),
        ("4/3/2021 12:00 AM", "4/13/2021 12:00 AM", "2021-04-03"),
        ("03/04/2021 00:00", "13/04/2021 00:00", "2021-04-03"),
        ("202104030000", "202104130000", "2021-04-03"),
        ("3-Apr-2021", "13-Apr-2021", "2021-04-03"),
        ("03.04.2021 00:00 - 03.04.2021 01:00", "13.04.2021 00:00 - 01:00", "2021-04-03"),
        ("2021-04-03 00:00 UTC", "2021-04-13 00:00 UTC", "2021-04-03"),
    ],
)
def test_national_forms_of_time_are_found(first: str, last: str, day: str) -> None:
    stamps = read_times(pd.Series([first, last])).stamps
    assert stamps.tz_localize(None).tolist() == [pd.Timestamp(day), pd.Timestamp("2021-04-13")]


def test_a_form_that_can_be_read_in_two_ways_is_not_guessed() -> None:
    assert read_times(pd.Series(["01/02/2021", "02/01/2021"])).stamps.isna().all()


@pytest.mark.parametrize(
    ("hours", "starts", "at_end"),
    [
        (["0", "1", "23"], [0.0, 1.0, 23.0], False),
        (["1", "2", "24"], [0.0, 1.0, 23.0], False),
        (["0", "30", "2330"], [0.0, 0.5, 23.5], False),
        (["01:00", "02:00", "24:00"], [1.0, 2.0, 24.0], True),
    ],
)
def test_hours_of_a_day_stand_in_many_forms(
    hours: list[str], starts: list[float], *, at_end: bool
) -> None:
    frame = pd.DataFrame({"date": ["2021-01-01"] * 3, "hour": hours})
    times = read_date_and_hour(frame, TableSpec(path=Path("x"), time_columns=("date", "hour")))
    elapsed = (times.stamps.tz_localize(None) - pd.Timestamp("2021-01-01")) / pd.Timedelta(hours=1)
    assert elapsed.tolist() == starts
    assert times.at_end == at_end


SOURCE = """
[[sources]]
path = "weather.csv"
time_column = "time"
columns = {{ temperature = {columns} }}
{keys}
[covariates.temperature]
role = "forecast"
"""


def write_weather(folder: Path, frame: pd.DataFrame, keys: str = "", columns: str = '"t"') -> Path:
    frame.to_csv(folder / "weather.csv", index=False)
    return write_zone(folder, SOURCE.format(keys=keys, columns=columns))


def temperature_of(path: Path) -> np.ndarray:
    (covariate,) = load_dataset(path).series.covariates
    return covariate.values


def test_another_file_is_joined_by_time_on_its_own_clock(tmp_path: Path) -> None:
    values = np.arange(len(INDEX), dtype=float)
    local = INDEX.tz_convert("Europe/Berlin").strftime("%d.%m.%Y %H:%M")
    frame = pd.DataFrame({"time": local, "t": values})[::-1]  # newest first
    path = write_weather(tmp_path, frame, 'stamp_zone = "Europe/Berlin"\nseparator = ","')
    assert temperature_of(path).tolist() == values.tolist()


def test_finer_values_are_averaged_and_coarser_ones_hold(tmp_path: Path) -> None:
    half_hours = pd.date_range(INDEX[0], INDEX[-1] + pd.Timedelta(minutes=30), freq="30min")
    fine = pd.DataFrame({"time": half_hours, "t": np.arange(len(half_hours), dtype=float)})
    path = write_weather(tmp_path, fine)
    assert temperature_of(path)[:3].tolist() == [0.5, 2.5, 4.5]
    coarse = pd.DataFrame({"time": INDEX[::3], "t": np.arange(len(INDEX) // 3, dtype=float)})
    path = write_weather(tmp_path, coarse)
    assert temperature_of(path)[:7].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0]


def test_stations_are_averaged_or_chosen(tmp_path: Path) -> None:
    parts = [
        pd.DataFrame({"time": INDEX, "station": name, "t": value})
        for name, value in (("a", 1.0), ("b", 4.0), ("c", 7.0))
    ]
    frame = pd.concat(parts)
    path = write_weather(tmp_path, frame, 'series_column = "station"')
    assert set(temperature_of(path)) == {4.0}
    path = write_weather(tmp_path, frame, 'series_column = "station"\nseries_name = ["a", "b"]')
    assert set(temperature_of(path)) == {2.5}
    path = write_weather(tmp_path, frame, 'series_column = "station"\nseries_name = "c"')
    assert set(temperature_of(path)) == {7.0}
    path = write_weather(tmp_path, frame)
    with pytest.raises(DataError, match=r"weather.csv: 5760 times in more than one row"):
        load_dataset(path)


def test_columns_of_stations_are_averaged(tmp_path: Path) -> None:
    frame = pd.DataFrame({"time": INDEX, "north": 1.0, "south": 4.0})
    frame.loc[5, "south"] = np.nan
    path = write_weather(tmp_path, frame, columns='["north", "south"]')
    assert temperature_of(path)[[4, 5]].tolist() == [2.5, 1.0]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            "[[sources]]\npath = 'w.csv'\ncolumns = {t = 't'}",
            r"offers t, which is the column of no",
        ),
        ("[[sources]]\npath = 'w.csv'", r"sources\.0\.columns: this key is missing"),
        ("series_column = 'zone'", "series_column and series_name go together"),
        ("separator = ';;'", "separator: got ';;'"),
        ("time_format = 'iso'", r"time_format: got 'iso'; expected a pattern such as"),
        ("encoding = 'x'", "encoding: got 'x'; expected a text encoding"),
    ],
)
def test_a_wrong_key_of_a_table_is_named(tmp_path: Path, keys: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_dataset(write_zone(tmp_path, keys))


def test_init_writes_what_it_believes_and_replaces_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_zone(tmp_path).unlink()
    monkeypatch.chdir(tmp_path)
    code, out, err = run_cli(capsys, "data", "init", "zone.csv")
    assert code == 0
    assert "whole days run from 00:00 to 23:00" in out
    assert "zone.toml is written" in err
    text = (tmp_path / "zone.toml").read_text(encoding="utf-8")
    assert 'zone = "UTC"  # nothing tells where the demand lives; give --zone' in text
    assert run_cli(capsys, "data", "check", "zone.toml")[0] == 0
    code, _, err = run_cli(capsys, "data", "init", "zone.csv", "--zone", "Europe/Berlin")
    assert code == 2
    assert "zone.toml exists" in err
    assert (tmp_path / "zone.toml").read_text(encoding="utf-8") == text
    assert run_cli(capsys, "data", "init", "zone.csv", "--force")[0] == 0


def test_a_file_is_declared_in_the_workspace_once(tmp_path: Path) -> None:
    write_zone(tmp_path).unlink()
    file, workspace = tmp_path / "zone.csv", tmp_path / "hpo"
    declaration, proposal = declare_file(file, workspace=workspace, target="load")
    assert declaration.is_relative_to(workspace / "data")
    assert "target load" in proposal.line()
    assert load_dataset(declaration).series.values.tolist() == LOAD.tolist()
    text = declaration.read_text(encoding="utf-8")
    assert declare_file(file, workspace=workspace, target="load")[0] == declaration
    other, _ = declare_file(file, workspace=workspace, zone="Europe/Berlin")
    assert other != declaration
    assert declaration.read_text(encoding="utf-8") == text
    file.write_text("time,load\n2021-01-01,1\n2021-01-02,2\n", encoding="utf-8")
    with pytest.raises(ParetocastError, match=r"cannot be used|holds what no data set can be"):
        declare_file(file, workspace=workspace)


def test_doubled_columns_and_those_of_a_very_wide_file_are_left_out(tmp_path: Path) -> None:
    load = LOAD[: 24 * 30]
    frame = pd.DataFrame({"timestamp": INDEX[: len(load)], "load": load, "x": 1.0, "y": 2.0})
    meters = pd.DataFrame({f"m{number}": load for number in range(400)})
    meters.insert(200, "t2m", np.random.default_rng(2).normal(size=len(load)))
    frame = pd.concat([frame, meters], axis=1)
    frame = frame.rename(columns={"y": "x"})
    frame.to_csv(tmp_path / "wide.csv", index=False)
    proposal = propose_dataset(tmp_path / "wide.csv", target="m399")
    left_out = [belief.value for belief in proposal.beliefs if belief.name == "left out"]
    assert left_out == ["x", "103 columns"]
    assert proposal.spec.target == "m399"
    assert len(proposal.spec.covariates) == 12
    assert [n for n, covariate in proposal.spec.covariates.items() if covariate.use] == ["t2m"]


def test_init_leaves_covariates_that_the_check_refuses_unused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    holes, late = rng.normal(size=(2, len(INDEX)))
    holes[500:620] = np.nan
    late[:10] = np.nan
    write_zone(tmp_path, humidity=holes, temperature=late, wind=2.0 * LOAD).unlink()
    code, out, _ = run_cli(capsys, "data", "init", tmp_path / "zone.csv")
    assert code == 0
    assert out.count("the check refuses it") == 2  # a leak and a hole of five days
    dataset = load_dataset(tmp_path / "zone.toml")
    assert [covariate.name for covariate in dataset.series.covariates] == ["temperature"]
    assert dataset.series.index[0] == INDEX[10]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "none.csv"], "no file"),
        (["--data", "zone.csv", "--target", "heat"], "has no column of numbers called heat"),
        (["--data", "zone.csv", "--zone", "Mars"], "time zone 'Mars' is unknown"),
        (["--data", "zone.csv", "--dataset", "demo"], "--data and --dataset are both given"),
        (["--target", "load"], "describe the file of --data, which is absent"),
        (["--dataset", "zone.csv"], "paretocast data init zone.csv"),
    ],
)
def test_a_data_file_that_cannot_be_meant_is_wrong_usage(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    write_zone(tmp_path)
    monkeypatch.chdir(tmp_path)
    code, _, err = run_cli(capsys, "tune", *arguments)
    assert code == 2
    assert message in " ".join(err.split())
