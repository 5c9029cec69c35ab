from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import write_demo_csv
from paretocast.data import (
    Dataset,
    describe_dataset,
    find_spec,
    list_datasets,
    load_dataset,
)
from paretocast.data.reading import load_school_holidays
from paretocast.data.series import Role
from paretocast.data.spec import SplitSpec, named_datasets, read_spec
from paretocast.data.tables import read_table
from paretocast.errors import DataError, SettingsError
from refusals import room_for

NAMED = ("heat", "water_centrum", "water_tommerby")
MINIMAL = """
name = "zone"
path = "zone.csv"
target = "heat"
unit = "kWh"
[splits]
train = 0.6
validation = 0.2
"""


def stamp(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def write_toml(folder: Path, *, top: str = "", bottom: str = "") -> Path:
    path = folder / "zone.toml"
    path.write_text(f"{top}\n{MINIMAL}\n{bottom}", encoding="utf-8")
    return path


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    """TOML file of a user's own set with 200 days of data beside it."""
    write_demo_csv(tmp_path / "zone.csv", days=200)
    return write_toml(
        tmp_path,
        bottom="""
        [covariates.temperature]
        role = "forecast"
        unit = "°C"
        [covariates.mast]
        column = "wind"
        role = "past"
        kind = "wind"
        use = false
        """,
    )


@pytest.mark.parametrize(
    ("name", "first", "train_to", "validation_to"),
    [
        ("heat", "2015-07-01", "2018-12-31 23:00", "2019-12-31 23:00"),
        ("water_centrum", "2018-04-01", "2019-12-04 23:00", "2020-05-06 23:00"),
        ("water_tommerby", "2018-04-01", "2019-12-04 23:00", "2020-05-06 23:00"),
    ],
)
def test_the_published_splits_are_declared(
    name: str, first: str, train_to: str, validation_to: str
) -> None:
    spec = find_spec(name)
    assert spec.use_from == stamp(first)
    assert spec.use_to == spec.splits.test_to == stamp("2020-11-13 23:00")
    assert spec.splits.train_to == stamp(train_to)
    assert spec.splits.validation_to == stamp(validation_to)
    assert not spec.covariates["temperature"].use


@pytest.mark.parametrize(("name", "n_hours"), [("heat", 7632), ("water_centrum", 4584)])
def test_real_series_have_the_published_test_hours(data_dir: Path, name: str, n_hours: int) -> None:
    dataset = load_dataset(name, data_dir=data_dir)
    test = dataset.series.index > dataset.dates.validation_to
    assert test.sum() == n_hours
    assert not np.isnan(dataset.series.values).any()


@pytest.mark.parametrize("name", NAMED)
def test_real_series_have_no_error_and_tell_their_known_problems(data_dir: Path, name: str) -> None:
    codes = {finding.code for finding in load_dataset(name, data_dir=data_dir).findings}
    assert codes == ({"outliers", "constant_runs"} if name == "heat" else {"outliers"})


def test_the_far_temperature_can_be_switched_on(data_dir: Path) -> None:
    dataset = load_dataset("heat", data_dir=data_dir, covariates=["temperature"])
    (temperature,) = dataset.series.covariates
    assert (temperature.name, temperature.role) == ("temperature", Role.FORECAST)
    assert [f.severity for f in dataset.findings if f.code == "covariate_holes"] == [
        "warning",
        "note",
    ]


def test_the_data_directory_may_come_from_the_environment(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARETOCAST_DATA", str(data_dir))
    present = {row.name for row in list_datasets() if row.present}
    assert {*NAMED, "demo"} <= present
    assert all(name.startswith("bwdf_") for name in present - {*NAMED, "demo"})


def test_names_may_be_written_in_upper_case() -> None:
    assert find_spec("HEAT") == find_spec("heat")


def test_an_unknown_name_is_answered_with_the_names() -> None:
    with pytest.raises(
        SettingsError, match=r"'heta'; there are .*, demo, heat, water_centrum, water_tommerby"
    ):
        find_spec("heta")


def test_an_absent_toml_file_is_named_with_its_whole_path(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"no file {tmp_path}/none.toml"):
        find_spec(tmp_path / "none.toml")


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zone.toml").write_text("name: zone", encoding="utf-8")
    with pytest.raises(SettingsError, match="is not TOML"):
        find_spec(tmp_path / "zone.toml")


@pytest.mark.parametrize(
    ("top", "bottom", "message"),
    [
        ("tagret = 'x'", "", r"tagret: unknown key; did you mean target\?"),
        ("zone = 'Mars'", "", "zone: time zone 'Mars' is unknown, expected an IANA name"),
        ("stamp_zone = 3", "", "stamp_zone: got 3; Input should be a valid string"),
        ("frequency = '7min'", "", "frequency: got '7min'; allowed are 5min, 10min, 15min"),
        ("holiday_country = 'XX'", "", "holiday_country: got 'XX'; expected an ISO code"),
        ("use_from = 2020-01-01", "", "use_from: got .*2020.*; expected a date and time"),
        ("use_from = 2020-01-01T00:00:00", "", "use_from: got .*; names no time zone"),
        ("use_to = 2020-01-01T00:30:00Z", "", "use_to: got .*; expected a full hour"),
        ("", "test = 0.2", r"splits\.test: unknown key; .*allowed: train_to, validation_to"),
        (
            "",
            "[covariates.rain]\nrole = 'weather'",
            r"covariates\.rain\.role: got 'weather'; Input should be 'calendar', 'forecast' or",
        ),
        ("", "[covariates.rain]\nuse = true", r"covariates\.rain\.role: this key is missing"),
        ("", "[covariates.rain]\nrole = 'past'\nuse = 1", r"covariates\.rain\.use: got 1"),
        ("", "[covariates.'a b']\nrole = 'past'", "'a b'; expected letters, digits"),
        ("", "test_to = 2020-01-01T00:00:00Z", "splits: expected either the dates"),
    ],
)
def test_a_wrong_key_is_named_with_what_is_allowed(
    tmp_path: Path, top: str, bottom: str, message: str
) -> None:
    path = write_toml(tmp_path, top=top, bottom=bottom)
    with pytest.raises(SettingsError, match=message) as caught:
        find_spec(path)
    assert str(path) in str(caught.value)


def test_every_wrong_key_is_told_at_once(tmp_path: Path) -> None:
    path = write_toml(tmp_path, top="zone = 'Mars'\nfrequency = '2d'")
    with pytest.raises(SettingsError, match=r"(?s)zone: .*frequency: "):
        find_spec(path)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "zone.toml").write_text('name = "zone"', encoding="utf-8")
    with pytest.raises(SettingsError, match="target: this key is missing"):
        find_spec(tmp_path / "zone.toml")


def test_shares_must_leave_a_test_period(tmp_path: Path) -> None:
    path = write_toml(tmp_path)
    text = path.read_text(encoding="utf-8").replace("0.2", "0.4")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"train 0\.6 and validation 0\.4 leave nothing"):
        find_spec(path)


def test_shares_end_at_midnight() -> None:
    # Of ten days, 0.55 and 0.2 end after 5.5 and 7.5 days: at the end of the fifth and the seventh.
    splits = SplitSpec(train=0.55, validation=0.2)
    first, last = stamp("2021-01-01 00:00"), stamp("2021-01-10 23:00")
    assert splits.last_hours(first, last) == (
        stamp("2021-01-05 23:00"),
        stamp("2021-01-07 23:00"),
        last,
    )


def test_a_test_period_without_its_date_ends_with_the_data() -> None:
    splits = SplitSpec(train_to=stamp("2021-01-05 23:00"), validation_to=stamp("2021-01-07 23:00"))
    last = stamp("2021-01-10 23:00")
    assert splits.last_hours(stamp("2021-01-01 00:00"), last)[2] == last


def test_an_offset_in_a_date_is_turned_into_utc(tmp_path: Path) -> None:
    path = write_toml(tmp_path, top="use_from = 2021-01-01T00:00:00+01:00")
    assert find_spec(path).use_from == stamp("2020-12-31 23:00")


def test_paths_of_a_users_set_are_relative_to_its_toml_file(
    zone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert find_spec(zone).path == zone.parent / "zone.csv"
    assert len(load_dataset(zone, data_dir=Path("/nowhere")).series) == 200 * 24


def test_paths_of_a_named_set_are_relative_to_the_data_directory() -> None:
    assert find_spec("heat").path == Path("heat.csv.gz")


def test_covariates_are_those_declared_in_use(zone: Path) -> None:
    assert [c.name for c in load_dataset(zone).series.covariates] == ["temperature"]


def test_covariates_can_be_named_and_left_out(zone: Path) -> None:
    named = load_dataset(zone, covariates=["mast"]).series.covariates
    assert [(c.name, c.role) for c in named] == [("wind_mast", Role.PAST)]
    assert load_dataset(zone, covariates=[]).series.covariates == ()


def test_an_undeclared_covariate_is_answered_with_the_declared_ones(zone: Path) -> None:
    with pytest.raises(
        SettingsError, match="zone declares no covariate rain; it declares temperature, mast"
    ):
        load_dataset(zone, covariates=["rain"])


def test_parquet_and_compressed_csv_read_as_csv_does(zone: Path) -> None:
    pytest.importorskip("pyarrow")
    csv = load_dataset(zone).series
    frame = pd.read_csv(zone.parent / "zone.csv", parse_dates=["timestamp"])
    frame.to_parquet(zone.parent / "zone.parquet")
    frame.set_index("timestamp").to_parquet(zone.parent / "indexed.parquet")
    (zone.parent / "zone.csv.gz").write_bytes(
        gzip.compress((zone.parent / "zone.csv").read_bytes())
    )
    text = zone.read_text(encoding="utf-8")
    for name in ("zone.parquet", "indexed.parquet", "zone.csv.gz"):
        zone.write_text(text.replace("zone.csv", name), encoding="utf-8")
        other = load_dataset(zone).series
        assert other.index.equals(csv.index)
        assert other.index.dtype == csv.index.dtype
        assert other.values == pytest.approx(csv.values, rel=1e-12)


def test_an_absent_file_of_a_named_set_tells_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PARETOCAST_DATA", raising=False)
    with pytest.raises(DataError, match=f"no file {tmp_path}/heat.csv.gz") as caught:
        load_dataset("heat", data_dir=tmp_path)
    for part in ("--data-dir", "PARETOCAST_DATA", "shubby1996/ExAI-Timeseries-Thesis", "17398331"):
        assert part in str(caught.value)
    with pytest.raises(DataError, match=r"no data directory is given: use --data-dir or set"):
        load_dataset("water_tommerby")


def test_an_absent_file_of_a_users_set_is_not_sought_in_the_data_directory(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no file {tmp_path}/zone.csv; correct path in"):
        load_dataset(write_toml(tmp_path), data_dir=Path("/nowhere"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("zone.csv", b"", "is empty, expected a header"),
        ("zone.csv", b"a,b\n\x81\xfe,1\n", "cannot be read: 'charmap' codec"),
        ("zone.csv.gz", b"no gzip", "cannot be read: Not a gzipped file"),
        ("zone.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-12], "cannot be read"),
        ("zone.parquet", b"no parquet", "cannot be read"),
        ("zone.xlsx", b"no sheet", "cannot be read"),
        ("zone.json", b"", r"of no known kind, expected \.csv, \.tsv or \.txt .* \.parquet or"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


def test_a_byte_order_mark_does_not_hide_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "zone.csv").write_bytes("timestamp,flow\n".encode("utf-8-sig"))
    assert list(read_table(tmp_path / "zone.csv").columns) == ["timestamp", "flow"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start_date,end\n", "has the columns start_date, end, expected start_date and end_date"),
        ("start_date,end_date\n2020-01-01,soon\n", "row 1: 2020-01-01 to soon, expected dates"),
        ("start_date,end_date\n2020-01-05,2020-01-01\n", "2020-01-01 ends before 2020-01-05"),
    ],
)
def test_wrong_school_holidays_are_shown(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "school.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_school_holidays(tmp_path / "school.csv")


def test_absent_school_holidays_are_an_error(zone: Path) -> None:
    text = zone.read_text(encoding="utf-8")
    zone.write_text(f'school_holidays = "school.csv"\n{text}', encoding="utf-8")
    with pytest.raises(DataError, match=f"no file {zone.parent}/school.csv with school holidays"):
        load_dataset(zone)


def test_years_without_school_holidays_are_a_warning(zone: Path) -> None:
    text = zone.read_text(encoding="utf-8")
    zone.write_text(f'school_holidays = "school.csv"\n{text}', encoding="utf-8")
    (zone.parent / "school.csv").write_text(
        "start_date,end_date\n2019-02-10,2019-02-18\n", encoding="utf-8"
    )
    (finding,) = load_dataset(zone).findings
    assert finding.severity == "warning"
    assert "the school holidays name no day in 2021" in finding.message


def test_school_holidays_of_many_years_name_days_in_each_of_them(zone: Path) -> None:
    text = zone.read_text(encoding="utf-8")
    zone.write_text(f'school_holidays = "school.csv"\n{text}', encoding="utf-8")
    (zone.parent / "school.csv").write_text("start_date,end_date\n0001-01-01,9999-12-31\n")
    assert load_dataset(zone).findings == ()


def test_a_file_that_does_not_fit_into_memory_is_named(tmp_path: Path) -> None:
    path = tmp_path / "zone.csv.gz"
    cell = 8 * gzip.compress(b"1" * (16 << 20))
    path.write_bytes(gzip.compress(b"timestamp,heat\n2021-01-01T00:00:00Z,") + cell)
    with (
        room_for(0.1),
        pytest.raises(DataError, match=r"zone\.csv\.gz takes more memory than there is"),
    ):
        read_table(path)


def test_loading_changes_and_adds_no_file(zone: Path) -> None:
    before = {path: path.read_bytes() for path in zone.parent.rglob("*")}
    load_dataset(zone)
    assert {path: path.read_bytes() for path in zone.parent.rglob("*")} == before


def test_every_shipped_declaration_can_be_read() -> None:
    for name, path in named_datasets().items():
        assert read_spec(path).name == name == path.stem


def test_the_list_says_whose_file_is_there(tmp_path: Path) -> None:
    (tmp_path / "heat.csv.gz").touch()
    rows = {row.name: row for row in list_datasets(tmp_path)}
    assert {name for name, row in rows.items() if row.present} == {"demo", "heat"}
    assert rows["heat"].train_to == "2018-12-31"
    assert rows["demo"].file == "generated"


def facts_of(dataset: Dataset) -> dict[tuple[str, str], str | int | float]:
    return {(fact.group, fact.name): fact.value for fact in describe_dataset(dataset)}


def test_the_description_holds_numbers_that_can_be_recomputed(zone: Path) -> None:
    dataset = load_dataset(zone)
    values = dataset.series.values
    facts = facts_of(dataset)
    assert facts["range", "hours"] == 200 * 24
    assert facts["target", "mean"] == pytest.approx(values.mean())
    assert facts["autocorrelation", "24 h"] == pytest.approx(
        np.corrcoef(values[24:], values[:-24])[0, 1]
    )
    assert facts["train", "hours"] == 120 * 24
    assert facts["test", "last hour"] == f"{dataset.series.index[-1]:%Y-%m-%d %H:%M}Z"
    correlation = facts["covariate temperature", "correlation"]
    assert isinstance(correlation, float)
    assert correlation < -0.5


def test_the_description_leaves_missing_hours_out(zone: Path) -> None:
    table = zone.parent / "zone.csv"
    frame = pd.read_csv(table)
    frame.loc[100:149, "heat"] = np.nan
    frame.to_csv(table, index=False)
    facts = facts_of(load_dataset(zone))
    assert facts["target", "missing"] == pytest.approx(100.0 * 50 / 4800)
    assert facts["target", "mean"] == pytest.approx(frame["heat"].mean())


@pytest.mark.parametrize(
    ("n_days", "train_days", "validation_days"),
    [(200, 120, 40), (100, 56, 25), (60, 29, 25)],
)
def test_periods_that_are_not_declared_are_as_long_as_they_have_to_be(
    n_days: int, train_days: int, validation_days: int
) -> None:
    first = stamp("2021-01-01 00:00")
    hour, day = pd.Timedelta(hours=1), pd.Timedelta(days=1)
    train_to, validation_to, test_to = SplitSpec().last_hours(first, first + n_days * day - hour)
    assert train_to == first + train_days * day - hour
    assert validation_to == train_to + validation_days * day
    assert test_to == first + n_days * day - hour


def test_shares_end_at_midnight_of_the_zone() -> None:
    first, last = stamp("2021-01-01 00:00"), stamp("2021-07-19 23:00")
    train_to, validation_to, _ = SplitSpec().last_hours(first, last, "Europe/Copenhagen")
    assert str(train_to) == "2021-04-30 21:00:00+00:00"  # summer time
    assert str(validation_to) == "2021-06-09 21:00:00+00:00"
    half_past = SplitSpec().last_hours(first, last, "Asia/Kolkata")
    assert str(half_past[0]) == "2021-04-30 17:00:00+00:00"  # midnight is at 18:30


def test_a_set_needs_no_splits(tmp_path: Path) -> None:
    write_demo_csv(tmp_path / "zone.csv", days=200)
    path = write_toml(tmp_path)
    path.write_text(MINIMAL.partition("[splits]")[0], encoding="utf-8")
    dataset = load_dataset(path)
    assert str(dataset.dates.train_to) == "2021-04-30 23:00:00+00:00"


def test_the_toml_file_of_a_name_is_suggested(zone: Path) -> None:
    with pytest.raises(SettingsError, match=rf"did you mean {re.escape(str(zone))}\?"):
        find_spec(zone.with_suffix(""))
