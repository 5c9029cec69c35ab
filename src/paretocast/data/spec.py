"""Data sets as TOML files: where a series lies, what it means, how it is split.

A named set is a TOML file shipped with the package; its paths are relative to the data directory.
The paths of a user's own TOML file are relative to that file.
"""

from __future__ import annotations

import datetime as dt
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, model_validator

from paretocast.data.collection import MARK, one_series, split_reference
from paretocast.data.dialect import TableSpec, Zone
from paretocast.data.gaps import LONGEST_DELAY_HOURS
from paretocast.data.series import DAY, Role, min_period_days
from paretocast.data.stamps import FIRST_YEAR, LAST_YEAR
from paretocast.errors import SettingsError
from paretocast.formatting import did_you_mean
from paretocast.steps import FREQUENCIES, STEPS_PER_DAY
from paretocast.toml import ClosedModel, parse_table, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PLAIN_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
DEFAULT_FILL_HOURS = 6
_NOTHING = pd.Timedelta(0)
HOUR = pd.Timedelta(hours=1)


def _read_stamp(value: object) -> pd.Timestamp:
    """A full minute in UTC from a TOML date-time or an ISO 8601 string with its zone."""
    if not isinstance(value, str | dt.datetime | pd.Timestamp):
        raise ValueError("expected a date and time such as 2020-11-13T23:00:00Z")
    try:
        stamp = pd.Timestamp(value)
    except ValueError:
        raise ValueError("expected a date and time such as 2020-11-13T23:00:00Z") from None
    if stamp.tzinfo is None:
        raise ValueError("names no time zone; end it with Z for UTC or with an offset")
    if not FIRST_YEAR < stamp.year < LAST_YEAR:
        raise ValueError(f"expected a year from {FIRST_YEAR + 1} to {LAST_YEAR - 1}")
    return stamp.tz_convert("UTC")


def known_subdivisions() -> dict[str, list[str]]:
    """States and regions by country, as the `holidays` package knows them."""
    import holidays  # 0.15 s, and not every set has a country

    return holidays.list_supported_countries()


def _known_country(code: str) -> str:
    if code not in known_subdivisions():
        raise ValueError("expected an ISO code that the holidays package knows, such as DK")
    return code


def _plain_name(name: str) -> str:
    if re.fullmatch(PLAIN_NAME, name) is None:
        raise ValueError("expected letters, digits, '_', '-' and '.' only")
    return name


def _known_frequency(frequency: str) -> str:
    if frequency not in FREQUENCIES:
        raise ValueError(
            f"allowed are {', '.join(FREQUENCIES)}; bring the data to one of these steps first"
        )
    return frequency


def on_step(stamp: pd.Timestamp, step: pd.Timedelta, zones: Iterable[str]) -> bool:
    """Return True if a time is a multiple of the step in UTC or on the clock of a zone."""
    return any(
        (clock.tz_localize(None) - clock.tz_localize(None).normalize()) % step == _NOTHING
        for clock in (stamp.tz_convert(zone) for zone in ("UTC", *zones))
    )


def _hours(delay: str) -> str:
    if re.fullmatch(r"\d{1,3}h", delay) is None or int(delay[:-1]) > LONGEST_DELAY_HOURS:
        raise ValueError(f"expected full hours such as 6h, up to {LONGEST_DELAY_HOURS}h")
    return delay


Frequency = Annotated[str, AfterValidator(_known_frequency)]
Stamp = Annotated[pd.Timestamp, BeforeValidator(_read_stamp)]
Country = Annotated[str, AfterValidator(_known_country)]
Name = Annotated[str, AfterValidator(_plain_name)]
Share = Annotated[float, Field(strict=True, gt=0.0, lt=1.0)]


class CovariateSpec(ClosedModel):
    """A column that accompanies the target.

    Attributes
    ----------
    column : str or None
        Its column in the file; the covariate's own name without it.
    source : {"weather"} or None
        "weather" for a column of the file of weather runs; without it, of the target's file.
    use : bool
        It is used unless the user names covariates.
    kind : {"temperature", "wind"} or None
        The kind of derived weather terms it enters. A covariate named so needs no kind.
    fill_hours : int
        Longest hole that is filled; a longer one is an error in the train and validation periods
        and a warning in the test period.
    """

    column: str | None = None
    role: Role
    unit: str = ""
    source: Literal["weather"] | None = None
    use: StrictBool = True
    kind: Literal["temperature", "wind"] | None = None
    fill_hours: int = Field(default=DEFAULT_FILL_HOURS, strict=True, ge=0)

    def series_name(self, name: str) -> str:
        """Name of the covariate in the series, led by its kind.

        >>> CovariateSpec(role=Role.FORECAST, kind="wind").series_name("mast")
        'wind_mast'
        """
        if self.kind is None or name == self.kind or name.startswith(f"{self.kind}_"):
            return name
        return f"{self.kind}_{name}"

    @model_validator(mode="after")
    def _runs_are_forecasts(self) -> CovariateSpec:
        if self.source is not None and self.role is not Role.FORECAST:
            raise ValueError(
                f"source weather goes with role forecast, not with {self.role}: runs say what was "
                "known ahead"
            )
        return self


class WeatherSpec(ClosedModel):
    """The file of weather runs: a row for each time of issue and hour.

    Attributes
    ----------
    path : Path
        Found as the path of the data set is.
    issued_column : str
        Time from which on a row was known.
    time_column : str
        Start of the hour that a row is for.
    """

    path: Path
    issued_column: str = "issued_at"
    time_column: str = "valid_at"


class SourceSpec(TableSpec):
    """Another file with covariates, on its own clock; it is joined by time.

    Attributes
    ----------
    columns : mapping of str to str or list of str
        Its columns, by the names that covariates give to their `column`; several are averaged.
    series_name : str, list of str or None
        Series of a long file, such as weather stations; several are averaged, all without it.
    """

    columns: dict[str, str | tuple[str, ...]]
    series_name: str | tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _series_have_a_column(self) -> SourceSpec:
        if self.series_name is not None and self.series_column is None:
            raise ValueError("series_name goes with series_column, the column that names them")
        return self


class LocationSpec(ClosedModel):
    """The place whose weather `paretocast weather` asks for, in degrees (WGS84)."""

    latitude: float = Field(ge=-90.0, le=90.0)
    longitude: float = Field(ge=-180.0, le=180.0)


class SplitSpec(ClosedModel):
    """The periods, by their last hours or by shares of the used range.

    Attributes
    ----------
    train_to, validation_to, test_to : Timestamp or None
        Last hours, included. `test_to` is the last used hour where it is not given.
    train, validation : float or None
        Shares of the used range, cut at midnight; the rest is the test period. 60 % and 20 %
        where nothing is given, and of a short range as much as the least periods need.
    """

    train_to: Stamp | None = None
    validation_to: Stamp | None = None
    test_to: Stamp | None = None
    train: Share | None = None
    validation: Share | None = None

    @model_validator(mode="after")
    def _one_way_only(self) -> SplitSpec:
        by_date = [self.train_to, self.validation_to]
        by_share = [self.train, self.validation]
        dated = all(v is not None for v in by_date) and by_share == [None, None]
        shared = all(v is not None for v in by_share) and [*by_date, self.test_to] == [None] * 3
        empty = [*by_date, *by_share, self.test_to] == [None] * 5
        if not (dated or shared or empty):
            raise ValueError(
                "expected either the dates train_to and validation_to (and test_to), "
                "or the shares train and validation, or nothing"
            )
        if (self.train or 0.0) + (self.validation or 0.0) >= 1.0:
            raise ValueError(
                f"train {self.train:g} and validation {self.validation:g} leave nothing "
                "for the test period; their sum must be below 1"
            )
        return self

    def last_hours(
        self,
        first: pd.Timestamp,
        last: pd.Timestamp,
        zone: str = "UTC",
        step: pd.Timedelta = HOUR,
    ) -> tuple[pd.Timestamp, pd.Timestamp, pd.Timestamp]:
        """Last steps of train, validation and test for a series from `first` to `last`.

        Shares end before the last midnight in `zone` that they reach.
        """
        if self.train_to is not None and self.validation_to is not None:
            return self.train_to, self.validation_to, self.test_to or last
        length = last + step - first
        if self.train is not None and self.validation is not None:
            spans = [length * self.train, length * (self.train + self.validation)]
        else:
            spans = list(_default_spans(length, round(DAY / step)))
        ends = []
        for span in spans:
            midnight = (
                (first + span)
                .tz_convert(zone)
                .floor("D", ambiguous=True, nonexistent="shift_forward")
            )
            # Midnight of a zone off by 30 minutes lies between two hours of a grid in UTC.
            n_steps = (midnight.tz_convert("UTC") - first) // step
            ends.append(first + (n_steps - 1) * step)
        return ends[0], ends[1], last


def _default_spans(
    length: pd.Timedelta, steps_per_day: int = STEPS_PER_DAY
) -> tuple[pd.Timedelta, pd.Timedelta]:
    """Time from the begin to the ends of train and validation.

    60 % and 20 %, but a validation period of its least length plus a day, of which the cut at
    midnight takes a part, and what remains divided three to one.

    >>> tuple(span.days for span in _default_spans(pd.Timedelta(days=200)))
    (120, 160)
    >>> tuple(span.days for span in _default_spans(pd.Timedelta(days=85)))
    (45, 70)
    """
    fewest = min_period_days(steps_per_day)
    validation = max(length * 0.2, (fewest["validation"] + 1) * DAY)
    train = max((length - validation) * 0.75, (fewest["train"] + 1) * DAY)
    return train, train + validation


class DatasetSpec(TableSpec):
    """One series as its TOML file declares it; all times are UTC unless a zone says otherwise.

    Attributes
    ----------
    path : Path
        Absolute, or relative to the data directory.
    series_name : str or None
        Series of a long file.
    zone : str
        IANA time zone where the demand lives, for calendar terms.
    frequency : str
        Step of the series: "5min", "10min", "15min", "30min", "1h" or "1d".
    use_from, use_to : Timestamp or None
        First and last used step, both included; the file's own without them.
    available_after : str
        Delay until a value of the target can be read, such as "6h", a week at most. No window sees
        a value before its issue that would not have been there, in training as when deployed.
    holiday_country : str or None
        ISO code that the `holidays` package knows.
    holiday_subdivision : str or None
        Code of a state or region whose holidays count too, such as "BY" of "DE".
    holidays : tuple of date
        Local dates of more holidays, or of all where there is no country.
    repair : {"auto"} or None
        With "auto", `repair` changes what it safely can; without it nothing is changed.
    school_holidays : Path or None
        CSV with start_date, end_date and description; found as `path` is.
    """

    name: Name
    target: str
    series_name: str | None = None
    unit: str = ""
    zone: Zone = "UTC"
    frequency: Frequency = "1h"
    use_from: Stamp | None = None
    use_to: Stamp | None = None
    available_after: Annotated[str, AfterValidator(_hours)] = "0h"
    holiday_country: Country | None = None
    holiday_subdivision: str | None = None
    holidays: tuple[dt.date, ...] = ()
    school_holidays: Path | None = None
    repair: Literal["auto"] | None = None
    weather: WeatherSpec | None = None
    sources: tuple[SourceSpec, ...] = ()
    location: LocationSpec | None = None
    covariates: dict[Name, CovariateSpec] = Field(default_factory=dict)
    splits: SplitSpec = Field(default_factory=SplitSpec)
    source: str = ""
    licence: str = ""
    note: str = ""

    @property
    def delay_hours(self) -> int:
        """`available_after` in hours."""
        return int(self.available_after.removesuffix("h"))

    def cut_after(self, until: pd.Timestamp) -> DatasetSpec:
        """The declaration without hours after `until`, which then ends the test period."""
        splits, use_to = self.splits, self.use_to
        if splits.test_to is not None and splits.test_to > until:
            splits = splits.model_copy(update={"test_to": None})
        use_to = until if use_to is None else min(use_to, until)
        return self.model_copy(update={"use_to": use_to, "splits": splits})

    @property
    def step(self) -> pd.Timedelta:
        """Time from one value to the next."""
        return DAY / self.steps_per_day

    @property
    def steps_per_day(self) -> int:
        """Number of steps in 24 hours."""
        return FREQUENCIES[self.frequency]

    @property
    def zones(self) -> tuple[str, ...]:
        """Zones on whose clock the steps may be full."""
        return (self.zone,) if self.stamp_zone is None else (self.zone, self.stamp_zone)

    @model_validator(mode="after")
    def _stamps_are_steps(self) -> DatasetSpec:
        splits = self.splits
        stamps = {"use_from": self.use_from, "use_to": self.use_to}
        ends = ("train_to", "validation_to", "test_to")
        stamps |= {f"splits.{name}": getattr(splits, name) for name in ends}
        for name, stamp in stamps.items():
            if stamp is not None and not on_step(stamp, self.step, self.zones):
                unit = {"1h": "a full hour", "1d": "a midnight"}.get(self.frequency)
                clock = "UTC" if self.zone == "UTC" else f"UTC or {self.zone}"
                raise ValueError(
                    f"{name}: got {stamp.isoformat()}; expected "
                    f"{unit or f'a multiple of {self.frequency}'} in {clock}"
                )
        return self

    @model_validator(mode="after")
    def _weather_is_by_the_hour(self) -> DatasetSpec:
        if self.weather is not None and self.steps_per_day == 1:
            raise ValueError(
                "section [weather] goes with series of an hour and less between two values; for a "
                "daily one put the means of the days into columns of the file itself"
            )
        return self

    @model_validator(mode="after")
    def _weather_is_used(self) -> DatasetSpec:
        sourced = [name for name, covariate in self.covariates.items() if covariate.source]
        if sourced and self.weather is None:
            raise ValueError(
                f"covariate {sourced[0]} has source weather, but no section [weather] names a file"
            )
        if self.weather is not None and not sourced:
            raise ValueError(
                "section [weather] names a file that no covariate reads; give one "
                'source = "weather"'
            )
        return self

    @model_validator(mode="after")
    def _sources_are_used(self) -> DatasetSpec:
        if (self.series_name is None) != (self.series_column is None):
            raise ValueError("series_column and series_name go together: which rows are meant")
        columns = {self.column_of(name) for name in self.covariates}
        offered = [name for source in self.sources for name in source.columns]
        for name in offered:
            if name not in columns:
                raise ValueError(
                    f"a section [[sources]] offers {name}, which is the column of no covariate; "
                    f"add [covariates.{name}]"
                )
            if offered.count(name) > 1:
                raise ValueError(f"two sections [[sources]] offer {name}")
        return self

    def last_hours(
        self, first: pd.Timestamp, last: pd.Timestamp
    ) -> tuple[pd.Timestamp, pd.Timestamp, pd.Timestamp]:
        """Last steps of train, validation and test for a series from `first` to `last`."""
        # The dates of a daily series stand at midnight UTC.
        zone = "UTC" if self.steps_per_day == 1 else self.zone
        return self.splits.last_hours(first, last, zone, self.step)

    def from_sources(self, covariates: Iterable[str]) -> tuple[str, ...]:
        """Those of some declared covariates that other files hold, without weather runs."""
        offered = {name for source in self.sources for name in source.columns}
        return tuple(name for name in covariates if self.column_of(name) in offered)

    def table_of(self, source: SourceSpec) -> DatasetSpec:
        """The declaration with the table of a source in place of its own."""
        keys = {key: getattr(source, key) for key in TableSpec.model_fields}
        return self.model_copy(update=keys)

    @model_validator(mode="after")
    def _subdivision_is_known(self) -> DatasetSpec:
        code = self.holiday_subdivision
        if code is None:
            return self
        if self.holiday_country is None:
            raise ValueError("holiday_subdivision needs a holiday_country")
        known = known_subdivisions()[self.holiday_country]
        if code not in known:
            raise ValueError(
                f"holiday_subdivision {code!r} is none of {self.holiday_country}, which has "
                f"{', '.join(known) or 'none'}"
            )
        return self

    def from_runs(self, covariates: Iterable[str]) -> tuple[str, ...]:
        """Those of some declared covariates that the file of weather runs holds."""
        return tuple(name for name in covariates if self.covariates[name].source is not None)

    def column_of(self, covariate: str) -> str:
        """The file's column of a declared covariate."""
        return self.covariates[covariate].column or covariate


def named_datasets() -> dict[str, Path]:
    """TOML files of the sets that come with the package, by name."""
    packaged = Path(str(resources.files("paretocast"))) / "named_datasets"
    folder = packaged if packaged.is_dir() else Path(__file__).parents[3] / "datasets"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_spec(name_or_path: str | Path) -> DatasetSpec:
    """Declaration of a named set (upper or lower case), or of a user's TOML file.

    Raises
    ------
    SettingsError
        If there is no such set or file, or if the file cannot be used.
    """
    path, series = split_reference(name_or_path)
    named = named_datasets()
    if own_file(name_or_path) is None:
        return read_spec(named[str(name_or_path).lower()])
    if path.suffix.lower() != ".toml":
        if path.is_file():
            raise SettingsError(
                f"{path} is no TOML file of a data set; write one with `paretocast data init "
                f"{path}`, or give the file as --data"
            )
        near = did_you_mean(str(name_or_path), named)
        if (declared := path.with_name(f"{path.name}.toml")).is_file():
            near = f"; did you mean {declared}?"
        raise SettingsError(
            f"no data set is called {str(name_or_path)!r}; there are {', '.join(named)}, "
            "or give the path of a TOML file that declares your own"
            f"{near}"
        )
    if not path.is_file():
        raise SettingsError(f"no file {path.absolute()}, expected a TOML file of a data set")
    spec = read_spec(path, series)
    folder = path.absolute().parent
    school, weather = spec.school_holidays, spec.weather
    return spec.model_copy(
        update={
            "path": folder / spec.path,
            "school_holidays": None if school is None else folder / school,
            "sources": tuple(
                source.model_copy(update={"path": folder / source.path}) for source in spec.sources
            ),
            "weather": None
            if weather is None
            else weather.model_copy(update={"path": folder / weather.path}),
        }
    )


def own_file(name_or_path: str | Path) -> Path | None:
    """The TOML file that a user means; None for a named set."""
    named = str(name_or_path).lower() in named_datasets()
    return None if named else split_reference(name_or_path)[0]


def absolute_reference(name_or_path: str | Path) -> str:
    """A data set that means the same from any folder: a name, or an absolute path."""
    file = own_file(name_or_path)
    return str(name_or_path) if file is None else moved_reference(name_or_path, file.absolute())


def moved_reference(name_or_path: str | Path, file: Path) -> str:
    """The same series of a file in another place."""
    _, series = split_reference(name_or_path)
    return str(file) if series is None else f"{file}{MARK}{series}"


def read_spec(path: Path, series: str | None = None) -> DatasetSpec:
    """Declaration in a TOML file, its paths as they are written there.

    Parameters
    ----------
    series : str, optional
        One of many that the file declares.

    Raises
    ------
    SettingsError
        Naming the file, the key, what came and what is allowed.
    """
    content = one_series(read_toml(path, "data set file"), series, origin=path)
    return declare_dataset(content, origin=f"{path} does not declare a data set")


def declare_dataset(content: Mapping[str, Any], *, origin: str) -> DatasetSpec:
    """Return the validated content of a declaration.

    Parameters
    ----------
    origin : str
        Source of the content; it opens the error.

    Raises
    ------
    SettingsError
        Naming the source, the key, what came and what is allowed.
    """
    return _on_dates(parse_table(DatasetSpec, content, origin=origin))


def date_of(stamp: pd.Timestamp, zone: str) -> pd.Timestamp:
    """Return the day that a midnight begins, in a zone or in UTC, at midnight UTC of its date.

    >>> str(date_of(pd.Timestamp("2020-11-13T23:00Z"), "Europe/Copenhagen"))
    '2020-11-14 00:00:00+00:00'
    """
    local = stamp.tz_convert(zone)
    day = local if local == local.normalize() else stamp.tz_convert("UTC")
    return pd.Timestamp(day.tz_localize(None).normalize(), tz="UTC")


def _on_dates(spec: DatasetSpec) -> DatasetSpec:
    """The declaration of a daily series with its times as dates; another one as it is."""
    if spec.steps_per_day != 1:
        return spec
    times = {
        name: date_of(stamp, spec.zone)
        for name in ("use_from", "use_to")
        if (stamp := getattr(spec, name)) is not None
    }
    ends = {
        name: date_of(stamp, spec.zone)
        for name in ("train_to", "validation_to", "test_to")
        if (stamp := getattr(spec.splits, name)) is not None
    }
    return spec.model_copy(update={**times, "splits": spec.splits.model_copy(update=ends)})
