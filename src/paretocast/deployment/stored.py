"""Closed models of the files of a deployment: what a bundle and its journal may hold.

As in `workspace.stored` every file is checked once, where it is read. Numbers of steps are bounded,
so that no file can ask for more memory than a forecast needs.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from paretocast.calibration.stored_state import Level  # noqa: TC001  (pydantic reads it)
from paretocast.data.dialect import Zone  # noqa: TC001  (pydantic reads it)
from paretocast.data.stamps import FIRST_YEAR, LAST_YEAR
from paretocast.steps import FREQUENCIES, STEPS_PER_DAY
from paretocast.workspace.stored import (
    Amount,
    AnyConfig,
    Config,
    Count,
    DigestedFile,
    Hash,
    Name,
    OpenPart,
    Positive,
    Share,
    StoredFile,
    TaskPart,
    Text,
    Version,
)

MOST_STEPS = 1_000_000  # of a window: ten years by five minutes
BUNDLE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$"


def moment(text: str) -> str:
    """The text, if it is a time with a zone that nanoseconds can count.

    Raises
    ------
    ValueError
        If it is not.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("expected a time with its zone")
    if not FIRST_YEAR <= time.year <= LAST_YEAR:
        raise ValueError(f"expected a year from {FIRST_YEAR} to {LAST_YEAR}")
    return text


def _day(text: str) -> str:
    return date.fromisoformat(text).isoformat()


def _frequency(text: str) -> str:
    if text not in FREQUENCIES:
        raise ValueError(f"expected one of {', '.join(FREQUENCIES)}")
    return text


def _steps_of_a_day(number: int) -> int:
    if number not in FREQUENCIES.values():
        raise ValueError(f"expected one of {', '.join(map(str, FREQUENCIES.values()))}")
    return number


Moment = Annotated[str, AfterValidator(moment)]
Day = Annotated[str, AfterValidator(_day)]
Frequency = Annotated[str, AfterValidator(_frequency)]
StepsPerDay = Annotated[int, AfterValidator(_steps_of_a_day)]
Steps = Annotated[int, Field(ge=1, le=MOST_STEPS)]
Columns = Annotated[int, Field(ge=0, le=MOST_STEPS)]
BundleName = Annotated[str, Field(pattern=BUNDLE_NAME)]
Coverage = Annotated[float, Field(gt=0.0, lt=100.0)]
AboveZero = Annotated[float, Field(gt=0.0)]
Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
Rung = Literal["full", "no_weather", "climatology"]


# Bundles


class ScalingPart(StoredFile):
    """The scaling of a target."""

    transform: Literal["none", "log1p"]
    offset: AboveZero
    center: float
    spread: AboveZero
    lower_bound: float | None = None
    limits: Pair | None = None


class FormPart(StoredFile):
    """The form of a regression."""

    blocks: Annotated[list[Text], Field(min_length=1)]
    level: bool
    penalty: Amount
    lags: Steps
    steps_per_day: StepsPerDay = STEPS_PER_DAY


class LinearPart(StoredFile):
    """A regression beside its weights."""

    form: FormPart
    first: Count
    last: Count


class AnchorPart(StoredFile):
    """A mean of regressions beside their weights."""

    members: Annotated[list[LinearPart], Field(min_length=1)]
    weights: list[Share]
    inflation: Amount

    @model_validator(mode="after")
    def _one_weight_a_member(self) -> Self:
        if len(self.weights) != len(self.members):
            raise ValueError(
                f"the anchor has {len(self.weights)} weights for {len(self.members)} regressions"
            )
        return self


class _MemberPart(StoredFile):
    """A fitted model beside its arrays; members of the deployed mean have a weight."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+\.safetensors$")]
    weight: Share | None = None
    trained: Text | None = None
    scaling: ScalingPart


class RidgePart(_MemberPart):
    """The reference ridge."""

    kind: Literal["ridge"]
    model: LinearPart


class LinearMemberPart(_MemberPart):
    """The model RIDGE."""

    kind: Literal["linear"]
    anchor: AnchorPart


class BoostedPart(_MemberPart):
    """The model LIGHTGBM."""

    kind: Literal["boosted"]
    weather: bool
    anchor: AnchorPart | None
    n_boosters: Annotated[int, Field(ge=1, le=1000)]
    steps_per_day: StepsPerDay = STEPS_PER_DAY


class DataPart(StoredFile):
    """Data that a network sees."""

    input_steps: Steps | None
    weather: bool
    weekly_lags: bool
    history_share: Share
    transform: str | None
    anchor: str | None


class NetworkPart(_MemberPart):
    """A network."""

    kind: Literal["network"]
    model: Name
    config: Config
    data: DataPart
    anchor: AnchorPart | None
    share: Share
    input_steps: Steps
    n_past: Columns
    n_known: Columns
    n_levels: Steps
    horizon_steps: Steps
    steps_per_hour: Steps = 1
    identity: Annotated[list[Share], Field(default_factory=list)]


MemberPart = Annotated[
    RidgePart | LinearMemberPart | BoostedPart | NetworkPart, Field(discriminator="kind")
]


class CalibratorPart(StoredFile):
    """The name of a calibrator, with the reason for it."""

    name: Text
    reason: str


class CalendarPart(StoredFile):
    """A calendar."""

    zone: Zone
    country: str | None
    school_holidays: list[Annotated[list[Day], Field(min_length=2, max_length=2)]]
    subdivision: str | None = None
    holidays: list[Day] = []  # noqa: RUF012  (pydantic copies it)


class ColumnPart(StoredFile):
    """A covariate that a bundle needs."""

    name: Name
    declared: Text
    role: Literal["calendar", "forecast", "past"]
    unit: str
    low: float
    high: float


class ShapePart(StoredFile):
    """The shape of a forecast."""

    input_steps: Steps
    horizon_steps: Steps
    issue_hour: Annotated[int, Field(ge=0, le=23)]
    issue_zone: Zone
    levels: Annotated[list[Level], Field(min_length=1)]
    steps_per_day: StepsPerDay = STEPS_PER_DAY

    @model_validator(mode="after")
    def _levels_are_in_order(self) -> Self:
        if any(a >= b for a, b in zip(self.levels, self.levels[1:], strict=False)):
            raise ValueError("levels are not in ascending order")
        return self


class InputPart(StoredFile):
    """The inputs that a bundle needs."""

    calendar: CalendarPart
    columns: list[ColumnPart]
    shape: ShapePart
    feature_groups: list[Text] | None
    history_steps: Steps
    window_steps: Steps
    low: float
    high: float
    delay_hours: Annotated[int, Field(ge=0, le=168)]
    # Mean, deviation and limits; an earlier version stored no limits.
    standards: dict[str, Annotated[list[float], Field(min_length=2, max_length=4)]]

    @model_validator(mode="after")
    def _standards_are_pairs(self) -> Self:
        for name, numbers in self.standards.items():
            if len(numbers) == 3 or numbers[1] < 0.0:
                raise ValueError(f"the standards of {name} are {numbers}")
        return self


class RecipeConfigPart(StoredFile):
    """A config with the seed and the weight of its model."""

    model: Name
    config: AnyConfig
    study_seed: Count
    number: Count
    weight: Share


class RecipePart(StoredFile):
    """Settings and configs that train the models again."""

    settings: dict[str, Any]  # `TuneSettings` checks them
    calibrator: Text
    configs: list[RecipeConfigPart]


class BundleTaskPart(TaskPart):
    """The task of a bundle."""

    @model_validator(mode="after")
    def _periods_are_times(self) -> Self:
        for name, period in self.periods.items():
            first, last = (datetime.fromisoformat(moment(time)) for time in period)
            if first > last:
                raise ValueError(f"the period {name} ends before it begins")
        return self


class ScoresPart(StoredFile):
    """Scores for the card."""

    validation: dict[str, Any]
    references: dict[str, Any]
    calibrate_pinball: dict[str, float] | None


class BundleFile(StoredFile):
    """`bundle.json`: models, inputs and origin of a bundle."""

    schema_version: Version
    series: Text
    unit: str
    method: Text
    study: str
    target_coverage: Coverage
    lower_bound: float | None
    members: Annotated[list[MemberPart], Field(min_length=1)]
    fallback: MemberPart
    reference: MemberPart
    calibrators: dict[Rung, CalibratorPart]
    learned_until: Moment
    refit: bool
    task: BundleTaskPart
    scores: ScoresPart
    recipe: RecipePart | None = None
    assumptions: list[str]
    versions: dict[str, str]
    input: InputPart

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> Self:
        if any(member.weight is None or member.trained is None for member in self.members):
            raise ValueError("a member lacks its weight or what it is")
        if not sum(member.weight or 0.0 for member in self.members) > 0.0:
            raise ValueError("all weights of members are 0")
        if lacking := {"full", "no_weather", "climatology"} - set(self.calibrators):
            raise ValueError(f"calibrators lack {', '.join(sorted(lacking))}")
        shape = self.input.shape
        for member in (*self.members, self.fallback, self.reference):
            if isinstance(member, NetworkPart):
                own = member.horizon_steps, member.n_levels
                if own != (shape.horizon_steps, len(shape.levels)):
                    raise ValueError(f"{member.file} forecasts (H, Q) = {own}, unlike input.shape")
        return self


class CalibratorsFile(StoredFile):
    """`calibrators.json`: a calibrator for each rung, whose content `load_calibrator` checks."""

    full: dict[str, Any]
    no_weather: dict[str, Any]
    climatology: dict[str, Any]


# Journals


class CalibrationFile(DigestedFile):
    """`state/calibration.json`: calibrators as the journal has led them, never without a digest."""

    bundle: str
    digests: list[Hash]
    calibrators: CalibratorsFile
    digest: Hash


class EventLine(OpenPart):
    """A line of `events.jsonl`; of what it holds, the keys that are read again are checked."""

    time: Moment
    event: Text
    issue: Moment | None = None
    revision: Positive | None = None
    bundle: BundleName | None = None
    before: BundleName | None = None
    state: Literal["fine", "watch", "alarm"] | None = None
    judged: BundleName | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.event == "forecast" and (self.issue is None or self.revision is None):
            raise ValueError("a forecast lacks its issue or its revision")
        if "before" in self.model_fields_set and self.bundle is None:
            raise ValueError("the event lacks its bundle")
        return self


Row = list[float]


class IssuedFile(DigestedFile):
    """`journal/issued/*/*.json`: an issued forecast."""

    schema_version: Version
    forecast_id: Hash
    revision: Positive
    bundle: BundleName
    paretocast: str
    issue_time: Moment
    weather_issue_time: Moment | None
    method: Rung
    flags: list[str]
    data_hash: Hash
    calibration: Hash
    number: Count
    observations: Count
    unit: str
    zone: Zone
    coverage: Coverage
    levels: Annotated[list[Level], Field(min_length=1)]
    raw: Annotated[list[Row], Field(min_length=1)]
    quantiles: list[Row]
    reference: list[list[float | None]]  # null where there was no ridge
    lower: Row
    upper: Row
    step: Frequency = "1h"

    @model_validator(mode="after")
    def _of_one_shape(self) -> Self:
        n_steps, n_levels = len(self.raw), len(self.levels)
        for name in ("raw", "quantiles", "reference"):
            if [len(row) for row in getattr(self, name)] != [n_levels] * n_steps:
                raise ValueError(f"{name} is not of shape (H, Q) = ({n_steps}, {n_levels})")
        for name in ("lower", "upper"):
            if len(getattr(self, name)) != n_steps:
                raise ValueError(f"{name} has not a number for each of {n_steps} steps")
        return self
