"""False alarms of `monitor`, and its delay where there is a reason.

    python experiments/monitor_alarms.py [--years 200] [--quick] [--data-dir DATA]

Simulated years of daily forecasts of 24 hours. The error of an hour is an effect of its day plus a
first-order autoregression over the hours; an 80 % interval of the right width holds it. The first
105 days are the validation. Coverage is then what the first column says: for the whole year, or, in
the second table, from a random day between day 30 and day 200 on. Days are counted from that day,
which is 1, in years without an earlier alarm. The third table has losses whose ratio to the ridge's
varies by a fifth from day to day, of a forecaster that was 10 % better on validation. Where the
year ends before, days are nan.

With `--data-dir`, a last table replays the 80 % intervals of the ridge on the test splits of the
published data sets, corrected by a fixed calibrator (`cqr`) and by one that goes on learning
(`pid`); days are counted from the first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import print_result, print_table, script_parser
from picp_interval import draw_autoregression

from paretocast.benchmarking import calibrate_test
from paretocast.data.task import Task
from paretocast.deployment.health import (
    ALARM_EVIDENCE,
    IssueScores,
    Level,
    check_skill,
    coverage_evidence,
    usual_skill,
)
from paretocast.models.baselines.catalogue import fit_baseline
from paretocast.results.groups import issue_hours
from paretocast.settings import TuneSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DATASETS = ("heat", "water_centrum", "water_tommerby")
HOURS = 24
VALIDATION_DAYS = 105
YEAR = 365
TARGET = 80.0
TOLERANCES = (0.0, 2.0)
LOSSES = (10.0, 15.0, 20.0)
CHANGES = (30, 200)
RATIO_SPREAD = 0.2  # standard deviation of the logarithm of the daily ratio of two losses

ALARM_COLUMNS = [
    "coverage %",
    "dependence",
    "design effect",
    "day to day",
    "tolerance",
    "years with alarm %",
    "low",
    "high",
    "called wide %",
]
DELAY_COLUMNS = [
    "loss, points",
    "dependence",
    "tolerance",
    "years",
    "median days",
    "90 % days",
    "seen %",
]
REPLAY_COLUMNS = [
    "data set",
    "calibrator",
    "days",
    "coverage %",
    "design effect",
    "day to day",
    "tolerance",
    "alarm on day",
]
SKILL_COLUMNS = ["skill %", "years with alarm %", "median days", "weeks with watch %"]


@dataclass(frozen=True)
class Dependence:
    """Dependence of errors: share of variance of the day, persistence of days and of hours."""

    name: str
    day_share: float
    day_persistence: float
    hourly_persistence: float


PLAIN = Dependence("mild", 0.52, 0.3, 0.8)
DEPENDENCES = (
    PLAIN,
    Dependence("none between days", 0.52, 0.0, 0.0),
    Dependence("long within days", 0.3, 0.3, 0.9),
    Dependence("strong between days", 0.52, 0.6, 0.8),
)


def draw_errors(rng: np.random.Generator, n_years: int, dependence: Dependence) -> Floats:
    """Standard normal errors of validation and a year, (years, days, 24)."""
    size = (n_years, VALIDATION_DAYS + YEAR)
    days = draw_autoregression(rng, size, dependence.day_persistence)[:, :, None]
    hours = draw_autoregression(rng, (n_years, size[1] * HOURS), dependence.hourly_persistence)
    share = dependence.day_share
    errors: Floats = math.sqrt(share) * days + math.sqrt(1.0 - share) * hours.reshape(*size, HOURS)
    return errors


def scores_of(inside: NDArray[np.bool_], *, first_day: int = 0) -> IssueScores:
    """Scores of days (N, 24) of which all hours are observed; losses are left out."""
    issues = (first_day + np.arange(inside.shape[0])) * HOURS
    return scores_at(issues, inside, np.ones_like(inside))


def scores_at(
    issues: NDArray[np.integer], inside: NDArray[np.bool_], observed: NDArray[np.bool_]
) -> IssueScores:
    """Scores of issues without their losses."""
    hits, counted = (inside & observed).astype(np.float64), observed.astype(np.float64)
    unknown = np.full(issues.size, np.nan)
    return IssueScores(
        issues=issues,
        n_observed=counted.sum(axis=1),
        n_inside=hits.sum(axis=1),
        loss=unknown,
        reference_loss=unknown,
        step_inside=hits,
        step_observed=counted,
    )


def within(errors: Floats, coverage: float | Floats) -> NDArray[np.bool_]:
    """True for errors inside the central interval of a coverage in percent."""
    levels = np.atleast_1d(np.asarray(coverage)) / 200.0 + 0.5
    bounds = np.array([NormalDist().inv_cdf(level) for level in levels])
    held: NDArray[np.bool_] = np.abs(errors) < bounds[:, None]
    return held


def evidence_of(
    errors: Floats, coverage: float | Floats, tolerance: float
) -> tuple[Floats, Floats]:
    """Evidence of narrow and of wide intervals in a year of forecasts of a coverage by day."""
    validation = scores_of(within(errors[:VALIDATION_DAYS], TARGET))
    year = scores_of(within(errors[VALIDATION_DAYS:], coverage), first_day=VALIDATION_DAYS)
    evidence = coverage_evidence(year, validation, target=TARGET, tolerance=tolerance)
    return evidence.narrow, evidence.wide


def wilson(n_hits: int, n: int) -> tuple[float, float]:
    """95 % score interval of a share, percent (Wilson, 1927)."""
    z = NormalDist().inv_cdf(0.975)
    middle = (n_hits + z * z / 2.0) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(n_hits * (n - n_hits) / n + z * z / 4.0)
    return round(100.0 * (middle - half), 3), round(100.0 * (middle + half), 3)


def alarm_rows(rng: np.random.Generator, n_years: int) -> list[list[Any]]:
    """Share of years with an alarm: years as promised, and years somewhat off."""
    season = TARGET + 5.0 * np.cos(2.0 * np.pi * np.arange(YEAR) / YEAR)
    cases: list[tuple[str, Dependence, float | Floats]] = [
        *(("80", dependence, TARGET) for dependence in DEPENDENCES),
        ("78", PLAIN, 78.0),
        ("75 to 85 by season", PLAIN, season),
    ]
    rows: list[list[Any]] = []
    for label, dependence, coverage in cases:
        errors = draw_errors(rng, n_years, dependence)
        shares = within(errors, TARGET).mean(axis=2)
        effect, neighbours = dependence_of(shares)
        for tolerance in TOLERANCES if dependence is PLAIN else TOLERANCES[:1]:
            paths = [evidence_of(year, coverage, tolerance) for year in errors]
            alarms = sum(bool(narrow.max() >= ALARM_EVIDENCE) for narrow, _ in paths)
            watches = sum(bool(wide.max() >= ALARM_EVIDENCE) for _, wide in paths)
            low, high = wilson(alarms, n_years)
            share, wide = 100.0 * alarms / n_years, 100.0 * watches / n_years
            rows.append(
                [label, dependence.name, effect, neighbours, tolerance, share, low, high, wide]
            )
    return rows


def dependence_of(shares: Floats) -> tuple[float, float]:
    """Design effect of daily shares (years, days), and their correlation from day to day."""
    mean = shares.mean()
    correlation = np.corrcoef(shares[:, 1:].ravel(), shares[:, :-1].ravel())[0, 1]
    return float(shares.var() / (mean * (1.0 - mean)) * HOURS), float(correlation)


def delay_rows(rng: np.random.Generator, n_years: int) -> list[list[Any]]:
    """Days until a loss of coverage raises an alarm; NaN where the year ends before."""
    rows: list[list[Any]] = []
    for dependence in (PLAIN, *DEPENDENCES[2:]):
        errors = draw_errors(rng, n_years, dependence)
        changes = rng.integers(*CHANGES, size=n_years)
        for loss in LOSSES:
            for tolerance in TOLERANCES if dependence is PLAIN else TOLERANCES[:1]:
                delays = [
                    delay
                    for year, change in zip(errors, changes, strict=True)
                    if (delay := delay_of(year, int(change), loss, tolerance)) is not None
                ]
                median, late = (quantile_of(delays, level) for level in (0.5, 0.9))
                seen = 100.0 * float(np.isfinite(delays).mean())
                rows.append(
                    [
                        loss,
                        dependence.name,
                        tolerance,
                        len(delays),
                        float(median),
                        float(late),
                        seen,
                    ]
                )
    return rows


def delay_of(errors: Floats, change: int, loss: float, tolerance: float) -> float | None:
    """Days from a change until the alarm, the day of the change being 1; None if it came before."""
    coverage = np.where(np.arange(YEAR) >= change, TARGET - loss, TARGET)
    narrow, _ = evidence_of(errors, coverage, tolerance)
    alarms = np.flatnonzero(narrow >= ALARM_EVIDENCE)
    if not alarms.size:
        return math.inf
    return float(alarms[0] - change + 1) if alarms[0] >= change else None


def quantile_of(days: list[float], level: float) -> float:
    """Quantile of delays, of which some may be infinite; NaN where it is."""
    quantile = float(np.quantile(days, level, method="higher"))
    return quantile if math.isfinite(quantile) else math.nan


def skill_rows(rng: np.random.Generator, n_years: int) -> list[list[Any]]:
    """Share of years with an alarm, and of weeks with a watch, for forecasts of constant skill."""
    n_years = min(n_years, 50)  # where the skill is near 0, each week of each is a bootstrap
    rows: list[list[Any]] = []
    for skill in (0.1, 0.05, 0.0, -0.1, -0.2):
        years = [skill_levels(rng, skill) for _ in range(n_years)]
        days = [7.0 * len(levels) if levels[-1] == Level.ALARM else math.inf for levels in years]
        watched = float(np.mean([level == Level.WATCH for levels in years for level in levels]))
        share = float(np.isfinite(days).mean())
        median = quantile_of(days, 0.5)
        rows.append([100.0 * skill, 100.0 * share, median, 100.0 * watched])
    return rows


def skill_levels(rng: np.random.Generator, skill: float) -> list[Level]:
    """Levels of the check of skill, week by week until an alarm or the end of the year."""
    days = VALIDATION_DAYS + YEAR
    reference = np.exp(0.5 * draw_autoregression(rng, (days,), 0.5))
    skills = np.where(np.arange(days) < VALIDATION_DAYS, 0.1, skill)
    relative = np.exp(RATIO_SPREAD * draw_autoregression(rng, (days,), 0.3) - RATIO_SPREAD**2 / 2.0)
    scored = scores_of(np.ones((days, HOURS), dtype=bool))
    scored = replace(scored, loss=reference * (1.0 - skills) * relative, reference_loss=reference)
    usual = usual_skill(scored.until(VALIDATION_DAYS * HOURS), rng=rng)
    deployed = scored.since(VALIDATION_DAYS * HOURS)
    levels: list[Level] = []
    for end in range(VALIDATION_DAYS + 7, days + 1, 7):
        levels.append(check_skill(deployed.until(end * HOURS), usual=usual, rng=rng).level)
        if levels[-1] == Level.ALARM:
            break
    return levels


def replay_rows(dataset_name: str, data_dir: str) -> list[list[Any]]:
    """The intervals of the ridge on the test split of a data set, by calibrator and tolerance."""
    settings = TuneSettings(dataset=dataset_name, data_dir=data_dir, covariates=())
    task = Task.from_settings(settings, with_test=True)
    ridge = fit_baseline("ridge", task)
    splits = ("tune", "calibrate", "test")
    forecasts = {split: ridge.forecast(task, task.issues[split]) for split in splits}
    rows: list[list[Any]] = []
    for calibrator in ("cqr", "pid"):
        issued = calibrate_test(task, forecasts, calibrator, coverage=TARGET).forecast
        lower, upper = issued.interval(TARGET)
        inside = (lower <= issued.observed) & (issued.observed <= upper)
        scores = scores_at(issue_hours(task, "test"), inside, ~np.isnan(issued.observed))
        coverage = 100.0 * float(scores.n_inside.sum() / scores.n_observed.sum())
        shares = scores.shares[~np.isnan(scores.shares)]
        for tolerance in TOLERANCES:
            evidence = coverage_evidence(
                scores, scores.until(0), target=TARGET, tolerance=tolerance
            )
            alarms = np.flatnonzero(evidence.narrow >= ALARM_EVIDENCE)
            day = float(alarms[0] + 1) if alarms.size else math.nan
            dependence = dependence_of(shares[None])
            about = (dataset_name, calibrator, shares.size)
            rows.append([*about, coverage, *dependence, tolerance, day])
    return rows


def main() -> None:
    """Print the table of false alarms, that of delays and that of the skill."""
    parser = script_parser(__doc__)
    parser.add_argument("--years", type=int, default=200, help="simulated years per row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="40 years per row")
    parser.add_argument("--data-dir", default=None)
    arguments = parser.parse_args()
    n_years = 40 if arguments.quick else arguments.years
    rng = np.random.default_rng(arguments.seed)
    tables = {
        "alarms": (ALARM_COLUMNS, alarm_rows(rng, n_years)),
        "delays": (DELAY_COLUMNS, delay_rows(rng, n_years)),
        "skill": (SKILL_COLUMNS, skill_rows(rng, n_years)),
    }
    if arguments.data_dir:
        replayed = [row for name in DATASETS for row in replay_rows(name, arguments.data_dir)]
        tables["replay"] = (REPLAY_COLUMNS, replayed)
    for columns, rows in tables.values():
        print_table(columns, rows)
        print()
    print_result(
        {name: {"columns": columns, "rows": rows} for name, (columns, rows) in tables.items()},
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
