"""Closed models of the files that are written into a workspace and read again.

Every such file is checked once, where it is read: types, ranges, shapes and its schema version. A
number is never a string, a truth value is no number, and no key is unknown. A file with a digest
must be as it was written, so that a flipped bit that makes one number another is found too. What
passes is used without further questions. Keys that earlier versions did not write have defaults.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from paretocast.errors import StoreError
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from paretocast.workspace.runs import RunDirectory

SHOWN_LETTERS = 60  # of a value in an error
PUT_BACK = "put the file back as it was or remove it"
REBUILD = "`paretocast consolidate` makes it anew from the trials"
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class StoredFile(BaseModel):
    """A file, or a part of one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DigestedFile(StoredFile):
    """A file with the digest of all else in it; earlier versions wrote none."""

    digest: Hash | None = None


class OpenPart(StoredFile):
    """A part with keys that this module does not know: others check them."""

    model_config = ConfigDict(extra="allow")


class OpenFile(DigestedFile, OpenPart):
    """A file with such keys."""


Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0.0)]
Percent = Annotated[float, Field(ge=0.0, le=100.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Text = Annotated[str, Field(min_length=1)]
# A part of a file's name.
Name = Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f]+$", max_length=200)]
Interval = Annotated[list[Percent], Field(min_length=2, max_length=2)]
Config = Annotated[dict[str, bool | int | float | str], Field(min_length=1)]
AnyConfig = dict[str, bool | int | float | str]  # a model without a parameter has an empty one
Scores = dict[str, float | None]
Version = Literal[1]
NEEDED_SCORES = ("mae", "rmse", "pinball", "crps", "winkler", "picp", "mean_width")


class RungPart(StoredFile):
    """Scores at a rung."""

    step: Count
    scores: Scores
    picp_interval: Interval


class RecordFile(DigestedFile):
    """`record.json`: a finished training."""

    schema_version: Version
    number: Count
    state: Literal["complete", "pruned", "failed"]
    config: AnyConfig
    seed: Count
    scores: Scores
    picp_interval: Interval | None
    standard_errors: dict[str, Amount | None] = {}
    seed_index: Count = 0
    n_seeds: Positive = 1
    rungs: list[RungPart]
    steps: Count
    best_step: Count
    stop_losses: list[Annotated[list[float], Field(min_length=2, max_length=2)]]
    fit_seconds: Amount
    anchor: str = ""
    correction_share: Share = 1.0
    peak_memory_mib: Amount = 0.0
    micro_batch: Positive | None = None
    reason: str = ""
    traceback: str = ""
    series_scores: dict[str, Scores] = {}
    worker: Count | None = None
    began: Amount | None = None
    ended: Amount | None = None

    @model_validator(mode="after")
    def _scored_unless_failed(self) -> Self:
        if self.state == "failed":
            return self
        lacking = [name for name in NEEDED_SCORES if self.scores.get(name) is None]
        if lacking or self.picp_interval is None:
            what = f"the scores {', '.join(lacking)}" if lacking else "picp_interval"
            raise ValueError(f"the trial is {self.state} and lacks {what}")
        return self


class ProposalFile(DigestedFile):
    """`proposal.json`: the config of a trial."""

    schema_version: Version
    number: Count
    config: AnyConfig


class RungsFile(DigestedFile):
    """`rungs.json`: scores of a training under way."""

    schema_version: Version
    rungs: list[RungPart]


class TaskPart(OpenPart):
    """The task of a study; `Task.manifest` says what else it holds."""

    periods: dict[str, Annotated[list[Text], Field(min_length=2, max_length=2)]]
    features: list[dict[str, Any]]

    @model_validator(mode="after")
    def _periods_are_all_there(self) -> Self:
        if lacking := [
            name for name in ("train", "validation", "test") if name not in self.periods
        ]:
            raise ValueError(f"periods lack {', '.join(lacking)}")
        if not all({"name", "role"} <= set(feature) for feature in self.features):
            raise ValueError("a feature lacks its name or role")
        return self


class ComparablePart(OpenPart):
    """Conditions that a continued study must share."""

    task: TaskPart
    target_coverage: Percent


class SettingsPart(OpenPart):
    """Settings of a study, which `TuneSettings` checks."""

    model: Name
    dataset: Text
    device: Text
    training: dict[str, Any]


class ManifestFile(DigestedFile):
    """`manifest_*.json`: the conditions of a study."""

    schema_version: Version
    manifest_hash: Hash
    comparable: ComparablePart
    day_marks: str = ""
    repairs: list[dict[str, Any]] = []
    queue: list[AnyConfig] = []
    settings: SettingsPart
    versions: dict[str, str]
    device: Text


class ObjectivePart(StoredFile):
    """An objective of a result."""

    name: Text
    unit: str
    direction: Literal["minimize", "maximize"]


class SelectionPart(StoredFile):
    """The rule by which the trial was chosen, and why."""

    policy: Text
    rule: Text
    reason: Text


class MemberPart(StoredFile):
    """A member of an average."""

    trial: Count
    weight: Share


Triple = Annotated[list[float], Field(min_length=3, max_length=3)]


class ChoicePart(StoredFile):
    """The recommended method."""

    method: str
    members: list[MemberPart]
    best_of_model: dict[str, Count]
    judged_on: list[str] = ["calibrate"]
    pinball_on_calibrate: dict[str, float]
    coverage_on_calibrate: dict[str, Triple] = {}


class MetricsPart(OpenPart):
    """Scores by name; those of plugins are among them."""

    mae: Amount
    rmse: Amount
    mape: Amount | None
    pinball: Amount
    crps: Amount
    winkler: Amount
    picp: Percent
    mean_width: Amount

    @model_validator(mode="after")
    def _others_are_numbers(self) -> Self:
        for name, value in (self.model_extra or {}).items():
            if isinstance(value, bool) or not isinstance(value, float | int | None):
                raise ValueError(f"{name} is no number")
        return self


class FrontTrialPart(StoredFile):
    """A trial on the front or tied with it."""

    trial: Count
    mae: Amount
    picp: Percent
    picp_interval: Interval
    picp_penalty: Percent
    mean_width: Amount = 0.0
    winkler: Amount = 0.0
    pinball: Amount = 0.0
    objectives: dict[str, float] = {}
    standard_errors: dict[str, Amount | None] = {}
    n_seeds: Positive = 1
    front_probability: Share = 0.0
    tied: bool = False
    params: AnyConfig


class ResultFile(DigestedFile):
    """`best_params_*.json`: the result of a study."""

    schema_version: Version
    model: Name
    dataset: Name
    job_id: Name
    optimization_date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")]
    strategy: Literal["single-stage", "two-stage"]
    objectives: Annotated[list[ObjectivePart], Field(min_length=1)]
    n_trials: Positive
    n_completed: Positive
    n_pruned: Count
    n_failed: Count
    constraints: list[Text]
    feasible: bool
    n_pareto_optimal: Positive
    best_trial_number: Count
    selection: SelectionPart
    best_mae: Amount
    best_picp: Percent
    best_picp_interval: Interval
    best_params: AnyConfig
    choice: ChoicePart | None = None
    validation_metrics: MetricsPart
    references: dict[str, MetricsPart]
    training_time_hours: Amount
    study_name: Name
    storage_path: Text
    manifest_hash: Hash
    all_pareto_trials: Annotated[list[FrontTrialPart], Field(min_length=1)]
    tied_trials: list[FrontTrialPart]


class FirstStageFile(ResultFile):
    """`stage1/*/best_params.json`: the result that the second stage reads."""

    stage: Literal[1]
    # Of the result in the workspace: stage 2 reads nothing outside it.
    source: Annotated[str, Field(pattern=r"^results/[^/\x00]+/best_params_[^/\x00]+\.json$")]


class LevelsFile(OpenFile):
    """`calibrated_quantiles.json` as far as a table of experiments shows it."""

    picp: Percent


class LevelScoresPart(OpenPart):
    """Scores of the interval between two levels."""

    picp: Percent
    mean_width: Amount


class IntervalLevelsPart(StoredFile):
    """The levels of an interval and its middle."""

    q_low: Share
    q_median: Share
    q_high: Share


class SecondStageFile(LevelsFile, LevelScoresPart):
    """`calibrated_quantiles.json`: the levels that the second stage has chosen."""

    study_name: Name
    trial: Count
    target_coverage: Annotated[float, Field(gt=0.0, lt=100.0)]
    levels: IntervalLevelsPart
    picp_interval: Interval
    fitted_on: Text
    judged_on: Text
    on_fitted: LevelScoresPart
    nominal: LevelScoresPart


class WorkerFile(StoredFile):
    """The report of a worker."""

    index: Count
    pid: Positive
    trial: Count | None
    step: Count
    total_steps: Count
    stop_loss: float | None
    updated: Amount


class ClaimFile(StoredFile):
    """A claim on a folder."""

    host: str
    machine: str
    pid: Count
    worker: Count
    started: Amount


class BackgroundJobFile(DigestedFile):
    """`job.json` of a background job."""

    job_id: Text
    host: str = ""
    folder: Text
    log: Text
    error_log: Text
    n_elements: Annotated[int, Field(ge=1, le=10_000)]
    n_at_once: Positive | None = None
    after: list[str]
    mark: str = ""


class JobPart(StoredFile):
    """A job of a submission."""

    job_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    submitted: Text
    logs: list[Annotated[list[Text], Field(min_length=2, max_length=2)]]
    after: list[Text]

    @model_validator(mode="after")
    def _submitted_with_a_zone(self) -> Self:
        if datetime.fromisoformat(self.submitted).tzinfo is None:
            raise ValueError(f"submitted is {self.submitted!r}, which has no zone")
        return self


class SubmissionFile(DigestedFile):
    """`submission_*.json`: what was asked of a cluster."""

    schema_version: Version
    model: Name
    dataset: Name
    study_id: Name
    source: Text
    trials: Positive
    stage: Literal[1, 2] | None
    n_workers: Positive
    options: list[str]
    folder: Text
    profile: dict[str, Any]
    jobs: Annotated[list[JobPart], Field(min_length=1)]


class CalibratorMemberPart(StoredFile):
    """A member of the forecast that a calibrator corrects."""

    model: Name
    trial: Count
    config: AnyConfig
    seed: Count
    weight: Share


class CalibratorFile(OpenFile):
    """`calibrator_*.json`: a fitted calibrator, which `load_calibrator` checks."""

    schema_version: Version
    study_name: Name
    members: Annotated[list[CalibratorMemberPart], Field(min_length=1)]
    target_coverage: Annotated[float, Field(gt=0.0, lt=100.0)]
    calibrator: dict[str, Any]


class BenchmarkRowPart(OpenPart):
    """A method in a benchmark."""

    method: Text
    parameters: Text
    calibrator: Text
    mae: Amount | None
    pinball: Amount | None
    winkler: Amount | None
    picp: Percent | None


class BenchmarkSourcePart(OpenPart):
    """A config in a benchmark, and its origin."""

    source: str


class BenchmarkFile(OpenFile):
    """`metrics.json` of a benchmark, as far as it is read again."""

    schema_version: Version
    dataset: Name
    unit: str
    created: Text
    chosen_on_validation: Text
    parameters: list[BenchmarkSourcePart]
    rows: list[BenchmarkRowPart]


class SeriesFile(OpenFile):
    """`series.json` of benchmarks side by side, as far as it is read again."""

    schema_version: Version
    rows: list[dict[str, Any]]


class BundleFile(OpenPart):
    """`bundle.json`, as far as a list of deployments shows it."""

    series: str
    method: str
    study: str
    learned_until: str


class HealthFile(OpenPart):
    """`health.json`, as far as a list of deployments shows it."""

    level: Text


def load_manifest(run: RunDirectory) -> dict[str, Any]:
    """The manifest of a study; errors as `load`."""
    return load(run.manifest, ManifestFile, advice="begin a new study with another --job-id")


def load_result(path: Path) -> dict[str, Any]:
    """The result of a study, or a copy of it; errors as `load`."""
    return load(path, ResultFile, advice=REBUILD)


def save(
    path: Path, content: Mapping[str, Any], *, durable: bool = True, private: bool = False
) -> None:
    """Write JSON with its digest; errors and the rest as `files.save_json`."""
    digested = {**content, "digest": digest_of(content)}
    files.save_json(path, digested, durable=durable, private=private)


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of JSON values, whatever the order of their keys, without the key `digest`."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(files.without_nan(rest), sort_keys=True).encode()).hexdigest()


def load(path: Path, model: type[StoredFile], *, advice: str = "") -> dict[str, Any]:
    """The content of a JSON file without its digest, if it is what its model says.

    Parameters
    ----------
    advice : str
        What to do about a file that is not, as a sentence's end.

    Raises
    ------
    StoreError
        That names file, field, what stands there and what to do.
    """
    text = files.load_text(path)
    try:
        content: dict[str, Any] = files.parse_json(text, path)
    except StoreError as error:
        raise StoreError(f"{error}; {advice or PUT_BACK}") from error
    check(content, model, origin=str(path), advice=advice)
    content.pop("digest", None)
    return content


def check(content: object, model: type[StoredFile], *, origin: str, advice: str = "") -> None:
    """Raise where a content is not what its model or its digest says.

    Raises
    ------
    StoreError
        As `load` does.
    """
    version = content.get("schema_version") if isinstance(content, dict) else None
    if "schema_version" in model.model_fields and isinstance(version, int) and version != 1:
        raise StoreError(
            f"{origin} is of another version: schema_version is {version}, expected 1; use the "
            "version of Paretocast that wrote it"
        )
    end = advice or PUT_BACK
    try:
        read = model.model_validate(content)
    except ValidationError as error:
        first, *others = error.errors(include_url=False)
        more = f" ({len(others)} more)" if others else ""
        raise StoreError(f"{origin} is damaged: {_explained(first)}{more}; {end}") from error
    if not isinstance(read, DigestedFile) or not isinstance(content, dict):
        return
    if read.digest not in {None, digest_of(content)}:
        raise StoreError(
            f"{origin} is damaged: it was changed after it was written, as its digest tells; {end}"
        )


def _explained(problem: ErrorDetails) -> str:
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "missing":
        return f"{where} is missing"
    if problem["type"] == "extra_forbidden":
        return f"{where} is unknown"
    message = problem["msg"].removeprefix("Value error, ")
    value = problem["input"]
    if isinstance(value, dict) and not where:
        return message
    text = repr(value)
    shown = text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}…"
    return f"{where or 'the file'} is {shown}; {message[:1].lower()}{message[1:]}"


def scores_with_nan(scores: Mapping[str, float | None]) -> dict[str, float]:
    """Scores as they were before JSON made null of NaN."""
    return {name: float("nan") if value is None else value for name, value in scores.items()}
