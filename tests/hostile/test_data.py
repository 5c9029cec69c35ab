"""Data sets that once came out wrong: each is refused in words that name it, or used as it should.

A case changes a clean series of 120 days or its declaration; the real command reads it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from commands import write_zone
from refusals import ask, ask_process, by_id, contents

pytestmark = pytest.mark.slow

HOURS = 120 * 24
PLAIN = "%Y-%m-%dT%H:%M:%SZ"
NAIVE = "%Y-%m-%d %H:%M"
IN_UTC = 'stamp_zone = "UTC"'
LOCAL = "Europe/Copenhagen"


@dataclass
class Zone:
    """A data set that a case changes before a command reads it.

    `name` is the TOML file's, `file` that of the rows.
    """

    folder: Path
    frame: pd.DataFrame
    declared: str
    name: str = "zone.toml"
    file: str = "my_zone.csv"
    command: list[str] = field(default_factory=lambda: ["data", "check"])
    options: list[str] = field(default_factory=list)

    def declare(self, old: str, new: str) -> None:
        """Put other text into the TOML file."""
        assert old in self.declared
        self.declared = self.declared.replace(old, new, 1)

    def key(self, *lines: str) -> None:
        """Put keys in front of the TOML file."""
        self.declared = "\n".join([*lines, self.declared])

    def covariate(self, name: str, *lines: str) -> None:
        """Declare one more covariate."""
        table = [f"[covariates.{name}]", 'role = "forecast"', *lines]
        self.declared += "\n".join(["", *table, ""])

    def stamps(self, form: str = PLAIN) -> pd.Series:
        """Times of the rows in another form."""
        return pd.to_datetime(self.frame["timestamp"]).dt.strftime(form)

    def write(self) -> None:
        """Write both files, but rows only where the case has written none."""
        path = self.folder / self.file
        if path.suffix == ".parquet":
            self.frame.to_parquet(path)
        elif not path.exists():
            self.frame.to_csv(path, index=False)
        if self.declared:
            (self.folder / self.name).write_text(self.declared, encoding="utf-8")


Change = Callable[[Zone], object]


class Case(NamedTuple):
    """A change of the clean data set, and words of what must be said about it."""

    id: str
    change: Change
    words: tuple[str, ...]
    code: int = 1


def every(*changes: Change) -> Change:
    return lambda zone: [change(zone) for change in changes]


def key(*lines: str) -> Change:
    return lambda zone: zone.key(*lines)


def declare(old: str, new: str) -> Change:
    return lambda zone: zone.declare(old, new)


def covariate(name: str, *lines: str) -> Change:
    return lambda zone: zone.covariate(name, *lines)


def target(values: Callable[[pd.Series], Any]) -> Change:
    return lambda zone: setattr(zone, "frame", zone.frame.assign(heat=values(zone.frame["heat"])))


def typed(values: pd.Series | pd.DatetimeIndex) -> Change:
    """A Parquet file, in which the target is not of numbers."""

    def change(zone: Zone) -> None:
        zone.frame = zone.frame.assign(heat=values)
        zone.file = "my_zone.parquet"
        zone.declare("my_zone.csv", zone.file)

    return change


def years(form: str, replaced: dict[int, str]) -> Change:
    """Times of rows, the first 0 and the last -1, in other years."""

    def change(zone: Zone) -> None:
        stamps = zone.stamps(form)
        for row, year in replaced.items():
            stamps.iloc[row] = stamps.iloc[row].replace("2021", year, 1)
        zone.frame["timestamp"] = stamps

    return change


def all_in_year(year: str) -> Change:
    def change(zone: Zone) -> None:
        zone.frame["timestamp"] = zone.stamps().str.replace("2021", year, n=1)

    return change


def local_labelled_utc(zone: Zone) -> None:
    local = pd.DatetimeIndex(zone.frame["timestamp"]).tz_convert(LOCAL)
    zone.frame["timestamp"] = local.strftime(PLAIN)


def twice_a_column(zone: Zone) -> None:
    text = zone.frame.assign(again=zone.frame["heat"] + 1.0).to_csv(index=False)
    (zone.folder / zone.file).write_text(text.replace("again", "heat", 1), encoding="utf-8")


def column(name: str) -> Change:
    return lambda zone: setattr(zone, "frame", zone.frame.rename(columns={"heat": name}))


def described(zone: Zone) -> None:
    zone.command = ["data", "describe"]


def split_dates(train_to: str) -> Change:
    dates = f'train_to = "{train_to}"\nvalidation_to = "2021-04-06T21:00:00Z"'
    return declare("train = 0.5\nvalidation = 0.3", dates)


def text(content: str) -> Change:
    return lambda zone: setattr(zone, "declared", content)


def hole_and_no_covariates(zone: Zone) -> None:
    zone.frame.loc[100:900, "temperature"] = np.nan
    zone.options += ["--covariates", "none"]


def name(name: str) -> Change:
    return lambda zone: setattr(zone, "name", name)


def name_alone(name: str) -> Change:
    return every(text(""), lambda zone: setattr(zone, "name", name))


YEARS_USED = "years from 1678 to 2261 can be used"
HOLIDAY_CODE = "expected an ISO code that the holidays package knows, such as DK"
LEAK = "with role forecast a forecast would read what it is to forecast; leave it out"
ANOTHER_NAME = "give that covariate another name"
FEW_WINDOWS = "has 7 observed windows; 14 are needed to compare calibrators"
DEEP = "is nested more than 32 deep"
CASES = [
    Case(
        "thousands_int",
        target(lambda heat: [f"{int(10_000 + 1000 * value):,}" for value in heat]),
        ("numbers such as 11,935 can be 11.935 or 11935", 'decimal = "." and thousands = ","'),
    ),
    Case("local_as_utc_spring", local_labelled_utc, (f'set stamp_zone = "{LOCAL}"',), 0),
    Case("dup_columns", twice_a_column, ("2 columns are called heat", "name of its own")),
    Case("post2262", all_in_year("2300"), (YEARS_USED, "'2300-01-01T00:00:00Z' in row 1")),
    Case(
        "y9999",
        years(PLAIN, {-1: "9999"}),
        (YEARS_USED, f"'9999-04-30T23:00:00Z' in row {HOURS}"),
    ),
    Case(
        "y9999_naive",
        every(years(NAIVE, {-1: "9999"}), key(IN_UTC)),
        (YEARS_USED, f"'9999-04-30 23:00' in row {HOURS}"),
    ),
    Case(
        "y9999_naive_nz",
        years(NAIVE, {-1: "9999"}),
        (YEARS_USED, f"'9999-04-30 23:00' in row {HOURS}"),
    ),
    Case("y9999_naive_nz_mem", years(NAIVE, {-1: "9999"}), (YEARS_USED, "1 error")),
    Case(
        "gap600y_naive",
        every(years(NAIVE, {0: "1680", -1: "2261"}), key(IN_UTC)),
        (f"from '1680-01-01 00:00' in row 1 to '2261-04-30 23:00' in row {HOURS}",),
    ),
    Case("pq_bool", typed(pd.Series(np.arange(HOURS) % 2 == 0)), ("heat holds truth values",)),
    Case(
        "pq_datetime_target",
        typed(pd.date_range("2021-01-01", periods=HOURS, freq="h")),
        ("heat holds dates, expected numbers",),
    ),
    Case(
        "pq_timedelta_target",
        typed(pd.Series(pd.to_timedelta(np.arange(HOURS), unit="h"))),
        ("heat holds durations, expected numbers",),
    ),
    Case(
        "typo_year_0203",
        years(PLAIN, {7: "0223"}),
        (YEARS_USED, "'0223-01-01T07:00:00Z' in row 8"),
    ),
    Case("markup_unit_describe", every(declare("kWh", "[/bold]"), described), ("[/bold]",), 0),
    Case("markup_unit2_describe", every(declare("kWh", "kWh [net]"), described), ("kWh [net]",), 0),
    Case(
        "markup_target_describe",
        every(column("[/]"), declare('"heat"', '"[/]"'), described),
        ("name [/]",),
        0,
    ),
    Case("ansi_header", column("\x1b[31mX\x1b[0m"), ("no column heat", r"\x1b[31mX\x1b[0m")),
    Case(
        "target_is_cov",
        covariate("leak", 'column = "heat"'),
        ("covariate leak is the target itself", LEAK),
    ),
    Case("target_is_cov_name", covariate("heat"), ("covariate heat is the target itself", LEAK)),
    Case(
        "cov_clash_kind",
        every(
            covariate("wind_mast", 'column = "wind"'),
            covariate("mast", 'column = "wind"', 'kind = "wind"'),
        ),
        ("two features are called wind_mast", ANOTHER_NAME),
    ),
    Case(
        "cov_clash_lag",
        covariate("lag_168", 'column = "wind"'),
        ("two features are called lag_168", ANOTHER_NAME),
    ),
    Case("hol_class", key('holiday_country = "HolidayBase"'), ("'HolidayBase'", HOLIDAY_CODE), 2),
    Case("hol_dunder", key('holiday_country = "__init__"'), ("'__init__'", HOLIDAY_CODE), 2),
    Case(
        "sp_y0001_off",
        split_dates("0001-01-01T00:00:00+02:00"),
        ("splits.train_to: got", "0001-01-01T00:00:00+02:00", "expected a year from 1679 to 2260"),
        2,
    ),
    Case(
        "sp_y9999_off",
        split_dates("9999-12-31T23:00:00-02:00"),
        ("splits.train_to: got", "9999-12-31T23:00:00-02:00", "expected a year from 1679 to 2260"),
        2,
    ),
    Case("toml_bigint", key(f"note = {'9' * 5000}"), ("zone.toml is not TOML", "5000 digits"), 2),
    Case("toml_deep", text(f"a = {'[' * 5000}{']' * 5000}"), (f"zone.toml {DEEP}",), 2),
    Case("toml_deep_table", text(f"{'.'.join(['a'] * 20_000)} = 1"), (f"zone.toml {DEEP}",), 2),
    Case("cov_arg_none", hole_and_no_covariates, ("0 errors", "it can be used"), 0),
    Case("toml_longpath", name_alone(f"{'x' * 5000}.toml"), ("File name too long",)),
    Case("markup_path2", name("x [draft].toml"), ("x [draft].toml: 0 errors",), 0),
]


def absurd_value(zone: Zone) -> None:
    zone.frame.loc[1000, "heat"] = 1.7e308


def eternal_school_holidays(zone: Zone) -> None:
    zone.key('school_holidays = "school.csv"')
    (zone.folder / "school.csv").write_text("start_date,end_date\n0001-01-01,9999-12-31\n")


def empty_stop_split(zone: Zone) -> None:
    zone.frame.loc[59 * 24 : 67 * 24, "heat"] = np.nan


SEARCHED = [
    Case(
        "zeros_tune",
        target(lambda heat: 0.0 * heat),
        ("target heat is 0 in every hour of the train period", "nothing to forecast"),
    ),
    Case("outlier_max_tune", absurd_value, ("finite number, the first is '1.7e+308' in row 1001",)),
    Case("leak_tune", covariate("leak", 'column = "heat"'), ("covariate leak is the target", LEAK)),
    Case(
        "clash_tune",
        covariate("hour_sin", 'column = "wind"'),
        ("two features are called hour_sin", ANOTHER_NAME),
    ),
    Case("gap_stop_silent", empty_stop_split, ("no value of the stop split is observed",)),
    Case("sch_huge_tune", eternal_school_holidays, (FEW_WINDOWS,), 0),
    Case("short_auto", lambda _: None, (FEW_WINDOWS,), 0),
]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the data set that the cases change."""
    return write_zone(tmp_path_factory.mktemp("clean"), days=120).parent


@pytest.fixture
def zone(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zone:
    """The clean data set, not written yet, in a folder where the command is given."""
    monkeypatch.chdir(tmp_path)
    declared = (clean / "zone.toml").read_text(encoding="utf-8")
    return Zone(tmp_path, pd.read_csv(clean / "my_zone.csv"), declared)


@by_id(CASES)
def test_a_data_set_is_refused_or_used(
    capsys: pytest.CaptureFixture[str], zone: Zone, case: Case
) -> None:
    case.change(zone)
    zone.write()
    before = contents(zone.folder)
    answer = ask(capsys, *zone.command, zone.name, *zone.options, gib=1.0)
    answer.must(case.code, *case.words)
    assert contents(zone.folder) == before


@pytest.mark.usefixtures("without_pages")
@by_id(SEARCHED)
def test_a_search_takes_what_the_check_takes(
    capsys: pytest.CaptureFixture[str], zone: Zone, case: Case
) -> None:
    case.change(zone)
    zone.write()
    before = contents(zone.folder)
    checked = ask(capsys, "data", "check", zone.name)
    place = ("--test", "--threads", 1, "--device", "cpu")
    searched = ask(capsys, "tune", "--dataset", zone.name, *place)
    for answer in (checked, searched):
        answer.must(case.code, *case.words)
        assert "school holidays" not in answer.text
    if case.code:
        assert contents(zone.folder) == before
        return
    ask(capsys, "calibrate", "hpo/test").must(0, "pid was taken without comparing")
    words = ("--models", "NHITS_Q", "--methods", "tuned", *place)
    ask(capsys, "benchmark", "--dataset", zone.name, *words).must(0, "NHITS_Q", "tuned", "pid")


def test_big5m_rows_of_six_centuries_are_refused(zone: Zone) -> None:
    hours = np.datetime64("1700-01-01T00", "h") + np.arange(4_891_000)
    rows = np.char.add(np.datetime_as_string(hours, unit="m"), "Z,1.5,1.5,1.5")
    text = "\n".join(["timestamp,heat,temperature,wind", *rows, ""])
    (zone.folder / zone.file).write_text(text)
    zone.write()
    answer = ask_process("data", "check", zone.name, folder=zone.folder, gib=3.0, seconds=60.0)
    answer.must(1, "from '1700-01-01T00:00Z' in row 1 to '2257-12-18T15:00Z' in row 4891000")


def test_bomb_line_a_cell_of_three_gigabytes_is_refused_in_eight(zone: Zone) -> None:
    zone.file = "my_zone.csv.gz"
    zone.declare("my_zone.csv", zone.file)
    begin = gzip.compress(b"timestamp,heat,temperature,wind\n2021-01-01T00:00:00Z,")
    (zone.folder / zone.file).write_bytes(begin + 48 * gzip.compress(b"1" * (64 << 20)))
    zone.write()
    answer = ask_process("data", "check", zone.name, folder=zone.folder, gib=8.0, seconds=90.0)
    answer.must(1, f"{zone.file} takes more memory than there is")
