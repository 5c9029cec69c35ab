"""Every malformed input, and the message about it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from paretocast.data import check_dataset, load_dataset
from paretocast.errors import DataError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from paretocast.data import Finding

N_HOURS = 120 * 24
SHARES = "train = 0.6\nvalidation = 0.25"


def make_frame(start: str = "2021-01-01", n_hours: int = N_HOURS) -> pd.DataFrame:
    """A clean table: a day cycle with a little noise, and one covariate."""
    rng = np.random.default_rng(0)
    index = pd.date_range(start, periods=n_hours, freq="h", tz="UTC")
    cycle = np.sin(2.0 * np.pi * index.hour.to_numpy() / 24.0)
    return pd.DataFrame(
        {
            "timestamp": index.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "flow": 10.0 + cycle + rng.normal(scale=0.3, size=n_hours),
            "temperature": 5.0 + rng.normal(size=n_hours),
        }
    )


def holed(first: int, last: int | None = None) -> pd.DataFrame:
    """The clean table without the covariate from one row to another, both included."""
    frame = make_frame()
    frame.loc[first:last, "temperature"] = np.nan
    return frame


def local_frame(start: str) -> pd.DataFrame:
    """The clean table with naive stamps in local time of Denmark."""
    frame = make_frame(start)
    local = pd.DatetimeIndex(frame["timestamp"]).tz_convert("Europe/Copenhagen")
    frame["timestamp"] = local.strftime("%Y-%m-%d %H:%M")
    return frame


class Zone:
    """A data set in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.toml = folder / "zone.toml"

    def write(self, frame: pd.DataFrame, keys: str = "", splits: str = SHARES) -> None:
        frame.to_csv(self.folder / "zone.csv", index=False)
        self.toml.write_text(
            f"""
name = "zone"
path = "zone.csv"
target = "flow"
unit = "m³/h"
zone = "Europe/Copenhagen"
{keys}
[covariates.temperature]
role = "forecast"
[splits]
{splits}
""",
            encoding="utf-8",
        )

    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.folder.rglob("*")
            if path.is_file()
        }

    def findings(self, code: str) -> list[Finding]:
        return [finding for finding in check_dataset(self.toml) if finding.code == code]

    def refusal(self) -> str:
        with pytest.raises(DataError, match=r"data set zone .* cannot be used") as caught:
            load_dataset(self.toml)
        return str(caught.value)


@pytest.fixture
def zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    """A zone whose folder must hold the two files of the test and nothing else at its end."""
    monkeypatch.chdir(tmp_path)
    made = Zone(tmp_path)
    written: dict[str, str] = {}
    original = made.write

    def write(frame: pd.DataFrame, keys: str = "", splits: str = SHARES) -> None:
        original(frame, keys, splits)
        written.update(made.files())

    monkeypatch.setattr(made, "write", write)
    yield made
    assert made.files() == written


def test_a_clean_series_has_no_finding(zone: Zone) -> None:
    zone.write(make_frame())
    assert [f.code for f in check_dataset(zone.toml)] == ["few_windows"]  # of a short series
    assert load_dataset(zone.toml).findings == ()


def test_missing_columns_are_listed_with_those_that_exist(zone: Zone) -> None:
    zone.write(make_frame().rename(columns={"flow": "inflow", "temperature": "temp"}))
    assert "no column flow, temperature; the file has timestamp, inflow, temp" in zone.refusal()


def test_a_file_without_an_encoding_or_empty_is_answered_with_what_to_do(zone: Zone) -> None:
    zone.write(make_frame())
    (zone.folder / "zone.csv").write_bytes(b"timestamp,flow,\x81\xff\n")
    with pytest.raises(DataError, match="save it as UTF-8 or give its encoding"):
        load_dataset(zone.toml)
    (zone.folder / "zone.csv").write_bytes(b"")
    with pytest.raises(DataError, match="is empty, expected a header and a row for each time"):
        load_dataset(zone.toml)
    zone.write(make_frame())


def test_a_file_with_semicolons_is_read_and_told(zone: Zone) -> None:
    zone.write(make_frame())
    frame = make_frame()
    joined = frame.astype(str).agg(";".join, axis=1).to_frame(";".join(frame.columns))
    zone.write(joined)
    (note,) = zone.findings("dialect")
    assert note.severity == "note"
    assert 'separator = ";"' in note.message
    assert load_dataset(zone.toml).series.values.tolist() == frame["flow"].tolist()


def test_an_unparsable_time_is_shown_with_its_row(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[4, "timestamp"] = "soon"
    frame.loc[9, "timestamp"] = None
    zone.write(frame)
    assert (
        "timestamp holds 2 values that cannot be read as a time, the first is 'soon' in row 5"
        in zone.refusal()
    )


def test_a_day_first_date_is_read_where_only_it_fits(zone: Zone) -> None:
    frame = make_frame()
    frame["timestamp"] = pd.DatetimeIndex(frame["timestamp"]).strftime("%d.%m.%Y %H:%M")
    zone.write(frame, 'stamp_zone = "UTC"')
    assert 'time_format = "%d.%m.%Y %H:%M"' in zone.findings("dialect")[0].message
    assert load_dataset(zone.toml).series.index[24 * 31] == pd.Timestamp("2021-02-01", tz="UTC")


def test_naive_times_need_a_zone(zone: Zone) -> None:
    frame = make_frame()
    frame["timestamp"] = frame["timestamp"].str.removesuffix("Z")
    zone.write(frame.iloc[: 60 * 24])
    message = zone.refusal()
    assert "the times carry no zone, as 2021-01-01T00:00:00 in row 1" in message
    assert 'stamp_zone = "UTC"' in message


def test_naive_times_with_a_declared_zone_are_read(zone: Zone) -> None:
    frame = make_frame()
    frame["timestamp"] = frame["timestamp"].str.removesuffix("Z")
    zone.write(frame, 'stamp_zone = "UTC"')
    assert str(load_dataset(zone.toml).series.index[0]) == "2021-01-01 00:00:00+00:00"


def test_times_with_and_without_a_zone_are_not_mixed(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[7, "timestamp"] = "2021-01-01T07:00:00"
    zone.write(frame)
    assert "1 of 2880 times carry no zone and the others do; the first without" in zone.refusal()


def test_offsets_are_understood(zone: Zone) -> None:
    frame = make_frame("2020-09-15")
    local = pd.DatetimeIndex(frame["timestamp"]).tz_convert("Europe/Copenhagen")
    frame["timestamp"] = [stamp.isoformat() for stamp in local]
    zone.write(frame)
    expected = pd.date_range("2020-09-15", periods=N_HOURS, freq="h", tz="UTC")
    assert (load_dataset(zone.toml).series.index == expected).all()


def test_a_doubled_autumn_hour_tells_that_the_times_are_local(zone: Zone) -> None:
    zone.write(local_frame("2020-09-15"))
    message = zone.refusal()
    assert "2020-10-25 02:00 appears twice" in message
    assert 'stamp_zone = "Europe/Copenhagen"' in message


def test_a_leapt_spring_hour_tells_that_the_times_are_local(zone: Zone) -> None:
    zone.write(local_frame("2021-02-01"))
    assert (
        "look like local time of Europe/Copenhagen: 2021-03-28 02:00 is missing" in zone.refusal()
    )


def test_local_times_labelled_as_utc_are_found_out(zone: Zone) -> None:
    frame = local_frame("2020-09-15")
    frame["timestamp"] += "Z"
    zone.write(frame)
    message = zone.refusal()
    assert "1 time in more than one row, the first is 2020-10-25 02:00Z" in message
    assert "local time of Europe/Copenhagen labelled as UTC" in message


@pytest.mark.parametrize("start", ["2020-09-15", "2021-02-01"])
def test_local_times_with_their_zone_lie_on_the_utc_grid(zone: Zone, start: str) -> None:
    zone.write(local_frame(start), 'stamp_zone = "Europe/Copenhagen"')
    dataset = load_dataset(zone.toml)
    expected = pd.date_range(start, periods=N_HOURS, freq="h", tz="UTC")
    assert (dataset.series.index == expected).all()
    assert dataset.series.values == pytest.approx(make_frame(start)["flow"].to_numpy())


def test_an_ambiguous_hour_that_stands_once_is_refused(zone: Zone) -> None:
    frame = local_frame("2020-09-15")
    zone.write(frame[~frame["timestamp"].duplicated()], 'stamp_zone = "Europe/Copenhagen"')
    assert "1 local times happen twice in Europe/Copenhagen" in zone.refusal()


def test_an_hour_that_never_was_is_refused(zone: Zone) -> None:
    frame = make_frame("2021-02-01")
    frame["timestamp"] = frame["timestamp"].str.removesuffix("Z")
    zone.write(frame, 'stamp_zone = "Europe/Copenhagen"')
    message = zone.refusal()
    assert "1 local times do not exist in Europe/Copenhagen" in message
    assert "2021-03-28 02:00" in message
    assert 'set stamp_zone = "Etc/GMT-1" if they are in winter time all year' in message
    zone.write(frame, 'stamp_zone = "Etc/GMT-1"')
    assert load_dataset(zone.toml).series.index[0] == pd.Timestamp("2021-01-31 23:00", tz="UTC")


def test_a_doubled_row_is_shown_and_not_dropped(zone: Zone) -> None:
    frame = make_frame()
    zone.write(pd.concat([frame.iloc[:100], frame.iloc[99:]]))
    assert "1 time in more than one row, the first is 2021-01-05 03:00Z in row 101" in (
        zone.refusal()
    )


def test_unsorted_rows_are_shown_and_not_sorted(zone: Zone) -> None:
    frame = make_frame()
    order = np.arange(len(frame))
    order[[10, 11]] = [11, 10]
    zone.write(frame.iloc[order])
    assert "2021-01-01 10:00Z in row 12 comes after 2021-01-01 11:00Z" in zone.refusal()


@pytest.mark.parametrize(("freq", "step"), [("15min", "15 min"), ("D", "24 h")])
def test_another_frequency_is_named(zone: Zone, freq: str, step: str) -> None:
    frame = make_frame()
    index = pd.date_range("2021-01-01", periods=len(frame), freq=freq, tz="UTC")
    frame["timestamp"] = index.strftime("%Y-%m-%dT%H:%M:%SZ")
    zone.write(frame)
    assert f"the median step between two times is {step}, expected 1 h" in zone.refusal()


def test_stamps_beside_the_full_hour_are_refused(zone: Zone) -> None:
    frame = make_frame()
    frame["timestamp"] = frame["timestamp"].str.replace(":00:00Z", ":30:00Z")
    zone.write(frame)
    assert "2880 of 2880 times are no full hours in UTC" in zone.refusal()


def test_few_gaps_are_a_warning_and_become_nan(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[200:209, "flow"] = np.nan
    zone.write(frame.drop(index=range(500, 503)).drop(index=800))
    dataset = load_dataset(zone.toml)
    assert np.flatnonzero(np.isnan(dataset.series.values)).tolist() == [
        *range(200, 210),
        *range(500, 503),
        800,
    ]
    (finding,) = (f for f in dataset.findings if f.code == "gaps")
    assert finding.severity == "warning"
    assert "14 hours of 2880 (0.49 %) are missing in 3 gaps" in finding.message
    assert "the longest is 10 h from 2021-01-09 08:00Z" in finding.message


def test_a_single_missing_hour_is_told_in_the_singular(zone: Zone) -> None:
    zone.write(make_frame().drop(index=800))
    (finding,) = (f for f in load_dataset(zone.toml).findings if f.code == "gaps")
    gap = "1 hour of 2880 (0.03 %) is missing in one gap from 2021-02-03 08:00Z"
    assert finding.message == gap


def test_a_gap_after_the_last_value_is_told_as_such(zone: Zone) -> None:
    """Rows that hold the weather of tomorrow alone."""
    frame = make_frame()
    frame.loc[len(frame) - 48 :, "flow"] = np.nan
    zone.write(frame)
    (finding,) = (f for f in load_dataset(zone.toml).findings if f.code == "gaps")
    assert finding.message.endswith("are missing in one gap from 2021-04-29 00:00Z to the end")


def test_many_gaps_are_an_error(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[frame.index % 4 == 1, "flow"] = np.nan
    zone.write(frame)
    message = zone.refusal()
    assert "720 hours of 2880 (25.00 %) are missing in 720 gaps" in message
    assert "more than 20 % is too much" in message


def test_a_long_gap_at_the_start_is_answered_with_the_first_observed_hour(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[:239, "flow"] = np.nan
    zone.write(frame)
    (finding,) = zone.findings("gaps")
    assert finding.advice == "set use_from = 2021-01-11T00:00:00Z, the first observed hour"


def test_a_period_without_observations_is_an_error(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[2500:, "flow"] = np.nan
    zone.write(frame)
    assert "only 12 % of the test period's hours are observed" in zone.refusal()


def test_a_day_of_one_value_is_a_warning_and_a_quarter_a_note(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[300:323, "flow"] = 9.5
    frame.loc[600:605, "flow"] = 8.5
    frame.loc[700:704, "flow"] = 7.5
    zone.write(frame)
    warning, note = zone.findings("constant_runs")
    assert (warning.severity, note.severity) == ("warning", "note")
    assert "1 run of one value over 24 h or more: 24 h of 9.5 from 2021-01-13 12:00Z" in (
        warning.message
    )
    assert "1 run of one value over 6 h or more: 6 h of 8.5" in note.message


def test_zeros_and_negatives_are_counted(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[[300, 500], "flow"] = 0.0
    frame.loc[[310, 700, 900], "flow"] = [-0.5, -0.25, -0.1]
    zone.write(frame)
    (zeros,) = zone.findings("zeros")
    (negatives,) = zone.findings("negatives")
    assert "2 values of exactly zero, the first at 2021-01-13 12:00Z" in zeros.message
    assert "3 values below zero, the lowest is -0.5 at 2021-01-13 22:00Z" in negatives.message
    assert load_dataset(zone.toml).series.values[310] == -0.5


def test_outliers_are_listed_with_the_worst_first(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[1000, "flow"] = 30.0
    frame.loc[1500, "flow"] = 99.0
    zone.write(frame)
    (finding,) = zone.findings("outliers")
    assert finding.severity == "warning"
    assert finding.message.index("99 at 2021-03-04 12:00Z") < finding.message.index("30 at")
    assert finding.message.startswith("2 hours more than 8 interquartile ranges")


def test_a_slow_season_is_no_outlier(zone: Zone) -> None:
    frame = make_frame()
    frame["flow"] += np.linspace(0.0, 20.0, len(frame))
    zone.write(frame)
    assert zone.findings("outliers") == []


def test_a_short_hole_of_a_covariate_is_a_note(zone: Zone) -> None:
    zone.write(holed(100, 105))
    (finding,) = load_dataset(zone.toml).findings
    assert finding.severity == "note"
    assert "covariate temperature has 1 hole of 6 h (up to 6 h each)" in finding.message


def test_a_hole_of_a_covariate_of_up_to_three_days_is_a_warning(zone: Zone) -> None:
    zone.write(holed(100, 171))
    (finding,) = load_dataset(zone.toml).findings
    assert finding.severity == "warning"
    assert "1 hole of 72 h (longer than 6 h)" in finding.message


def test_a_longer_hole_of_a_covariate_before_the_test_period_is_an_error(zone: Zone) -> None:
    zone.write(holed(100, 172))
    assert "the longest is 73 h from 2021-01-05 04:00Z" in zone.refusal()


def test_the_length_of_a_harmless_hole_can_be_declared(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[100:106, "temperature"] = np.nan
    zone.write(frame)
    declared = zone.toml.read_text(encoding="utf-8").replace(
        'role = "forecast"', 'role = "forecast"\nfill_hours = 7'
    )
    zone.toml.write_text(declared, encoding="utf-8")
    assert [finding.severity for finding in load_dataset(zone.toml).findings] == ["note"]
    zone.write(frame)


def test_a_long_hole_of_a_covariate_in_the_test_period_is_a_warning(zone: Zone) -> None:
    zone.write(holed(2700))
    (finding,) = load_dataset(zone.toml).findings
    assert finding.severity == "warning"
    assert "1 hole of 180 h" in finding.message


def test_a_covariate_that_begins_with_a_hole_is_an_error(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[0, "temperature"] = np.nan
    zone.write(frame)
    assert "begin later (use_from) = 2021-01-01T01:00:00Z" in zone.refusal()


def test_holes_of_a_covariate_that_is_not_used_do_not_matter(zone: Zone) -> None:
    zone.write(holed(100, 900))
    assert load_dataset(zone.toml, covariates=[]).findings == ()


@pytest.mark.parametrize(
    ("n_days", "splits", "message"),
    [
        (
            120,
            "train = 0.2\nvalidation = 0.3",
            "the train period lasts 24.0 days, expected at least 28",
        ),
        (90, "train = 0.6\nvalidation = 0.2", "the validation period lasts 18.0 days, expected at"),
    ],
)
def test_a_series_too_short_for_its_splits_is_refused(
    zone: Zone, n_days: int, splits: str, message: str
) -> None:
    zone.write(make_frame(n_hours=n_days * 24), splits=splits)
    assert message in zone.refusal()


def test_one_row_is_too_short(zone: Zone) -> None:
    zone.write(make_frame(n_hours=1))
    assert "the file holds 1 row" in zone.refusal()


def test_a_used_range_beside_the_data_is_refused(zone: Zone) -> None:
    zone.write(make_frame(), "use_from = 2022-01-01T00:00:00Z")
    message = zone.refusal()
    assert "use_from 2022-01-01 00:00Z" in message
    assert "the data run from 2021-01-01 00:00Z to 2021-04-30 23:00Z" in message


DATES = """
train_to = {}T23:00:00Z
validation_to = {}T23:00:00Z
test_to = {}T23:00:00Z
"""


@pytest.mark.parametrize(
    "dates",
    [("2021-02-15", "2021-03-31", "2021-05-01"), ("2020-12-31", "2021-03-31", "2021-04-30")],
)
def test_split_dates_outside_the_data_name_both_ranges(zone: Zone, dates: tuple[str, ...]) -> None:
    zone.write(make_frame(), splits=DATES.format(*dates))
    message = zone.refusal()
    assert f"from train_to {dates[0]} 23:00Z to test_to {dates[2]} 23:00Z" in message
    assert "data from 2021-01-01 00:00Z to 2021-04-30 23:00Z" in message


def test_split_dates_out_of_order_are_refused(zone: Zone) -> None:
    zone.write(make_frame(), splits=DATES.format("2021-03-31", "2021-02-15", "2021-04-30"))
    assert "expected train_to < validation_to < test_to" in zone.refusal()


def test_a_target_that_is_no_number_is_shown(zone: Zone) -> None:
    frame = make_frame().astype({"flow": object})
    frame.loc[12, "flow"] = "n/v"
    zone.write(frame)
    told = "column flow holds 1 value that cannot be read as a finite number, the first is 'n/v' in"
    assert f"{told} row 13" in zone.refusal()


def test_commas_in_one_column_and_points_in_another_are_not_guessed(zone: Zone) -> None:
    frame = make_frame()
    frame["flow"] = frame["flow"].map("{:.3f}".format).str.replace(".", ",")
    zone.write(frame)
    refusal = zone.refusal()
    assert "numbers such as 10,038 can be 10.038 or 10038, and no cell tells which" in refusal
    assert 'set decimal = "," in the TOML file, or decimal = "." and thousands = ","' in refusal
    zone.write(frame.drop(columns="temperature").assign(temperature="1,5"))
    assert load_dataset(zone.toml).series.values[0] == pytest.approx(10.038)


def test_an_infinite_value_is_no_measurement(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[12, "temperature"] = np.inf
    zone.write(frame)
    assert (
        "column temperature holds 1 value that cannot be read as a finite number" in zone.refusal()
    )


def test_a_number_whose_square_is_none_is_no_measurement(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[12, "flow"] = 1.7e308
    zone.write(frame)
    assert "the first is '1.7e+308' in row 13" in zone.refusal()


@pytest.mark.parametrize("year", ["0223", "1677", "2262", "9999"])
@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M"])
def test_a_year_that_cannot_be_counted_is_no_time(zone: Zone, year: str, form: str) -> None:
    frame = make_frame()
    stamps = pd.to_datetime(frame["timestamp"]).dt.strftime(form)
    stamps.iloc[-1] = stamps.iloc[-1].replace("2021", year, 1)
    zone.write(frame.assign(timestamp=stamps))
    message = zone.refusal()
    assert f"the first is '{stamps.iloc[-1]}' in row {len(frame)}" in message
    assert "years from 1678 to 2261 can be used" in message


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M"])
def test_times_of_many_centuries_are_told_by_the_rows_that_say_so(zone: Zone, form: str) -> None:
    frame = make_frame()
    stamps = pd.to_datetime(frame["timestamp"]).dt.strftime(form)
    stamps.iloc[3] = stamps.iloc[3].replace("2021", "1700", 1)
    stamps.iloc[5] = stamps.iloc[5].replace("2021", "2259", 1)
    zone.write(frame.assign(timestamp=stamps))
    message = zone.refusal()
    assert f"from '{stamps.iloc[3]}' in row 4 to '{stamps.iloc[5]}' in row 6" in message


def test_a_split_in_a_year_that_cannot_be_counted_is_refused(zone: Zone) -> None:
    zone.write(make_frame(), splits=DATES.format("0001-01-01", "2021-03-31", "9999-12-31"))
    with pytest.raises(SettingsError, match=r"splits\.train_to: got .*; expected a year from 1679"):
        check_dataset(zone.toml)


def test_a_file_of_very_many_columns_is_refused_at_once(zone: Zone) -> None:
    zone.write(make_frame())
    (zone.folder / "zone.csv").write_text(",".join(["a"] * 100_000) + "\n1\n")
    with pytest.raises(DataError, match="has more than 10000 columns in its first line"):
        check_dataset(zone.toml)
    zone.write(make_frame())


def test_a_missing_column_of_a_wide_file_is_told_briefly(zone: Zone) -> None:
    frame = make_frame().rename(columns={"flow": "x" * 500})
    zone.write(frame.join(pd.DataFrame(1.0, index=frame.index, columns=range(100))))
    message = zone.refusal()
    assert "no column flow; the file has timestamp, " in message
    assert f"{'x' * 60}…" in message
    assert "and 63 more" in message


def test_all_errors_are_told_at_once(zone: Zone) -> None:
    frame = make_frame().astype({"flow": object})
    frame.loc[12, "flow"] = "n/v"
    frame.loc[100:180, "temperature"] = np.nan
    frame = pd.concat([frame.iloc[:50], frame.iloc[[48]], frame.iloc[50:]])
    zone.write(frame, splits=DATES.format("2021-03-31", "2021-02-15", "2021-04-30"))
    codes = [f.code for f in check_dataset(zone.toml) if f.severity == "error"]
    assert codes == ["not_numeric", "duplicates", "unsorted", "split_order", "covariate_holes"]
    assert len(zone.refusal().splitlines()) == 1 + len(codes)


def test_rows_outside_the_used_range_do_not_matter(zone: Zone) -> None:
    frame = make_frame()
    frame = pd.concat([frame.iloc[:2], frame])
    zone.write(frame, "use_from = 2021-01-02T00:00:00Z")
    assert load_dataset(zone.toml).series.index[0] == pd.Timestamp("2021-01-02T00:00Z")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pd.Series(np.arange(N_HOURS) % 2 == 0), "truth values"),
        (pd.Series(pd.date_range("2021-01-01", periods=N_HOURS, freq="h")), "dates"),
        (pd.Series(pd.to_timedelta(np.arange(N_HOURS), unit="h")), "durations"),
    ],
)
def test_typed_columns_that_are_no_numbers_do_not_become_some(
    zone: Zone, values: pd.Series, kind: str
) -> None:
    zone.write(make_frame())
    parquet = zone.folder / "zone.parquet"
    make_frame().assign(flow=values).to_parquet(parquet)
    declared = zone.toml.read_text(encoding="utf-8")
    zone.toml.write_text(declared.replace("zone.csv", "zone.parquet"), encoding="utf-8")
    assert f"column flow holds {kind}, expected numbers" in zone.refusal()
    parquet.unlink()
    zone.write(make_frame())


def test_a_missing_column_does_not_hide_other_errors(zone: Zone) -> None:
    frame = make_frame().drop(columns="temperature")
    frame["timestamp"] = frame["timestamp"].str.removesuffix("Z")
    zone.write(frame, splits=DATES.format("2021-03-31", "2021-02-15", "2021-04-30"))
    codes = {f.code for f in check_dataset(zone.toml)}
    assert codes == {"missing_columns", "naive_times", "split_order"}


def test_gaps_where_the_clock_changes_are_told_apart_from_others(zone: Zone) -> None:
    frame = local_frame("2020-09-15").drop_duplicates("timestamp")
    long = pd.concat([frame, local_frame("2021-01-13").drop_duplicates("timestamp")])
    long["timestamp"] += "Z"
    zone.write(long.drop_duplicates("timestamp"))
    (finding,) = zone.findings("clock_gaps")
    assert "all gaps lie where the clock of Europe/Copenhagen changes" in finding.message
    assert "2021-03-28 02:00 is missing before 03:00" in finding.message
    assert 'stamp_zone = "Europe/Copenhagen"' in finding.advice


def test_values_far_beyond_the_train_period_are_told(zone: Zone) -> None:
    frame = make_frame()
    frame.loc[2800:, "flow"] *= 3.0
    zone.write(frame)
    (finding,) = zone.findings("clipped")
    assert "target flow lies far beyond the range of the train period in" in finding.message
