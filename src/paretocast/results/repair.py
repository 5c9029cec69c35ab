"""Studies of a workspace read again: faults of their results, the best, the space explored.

The folders of trials are the truth about a study; its JSON and its database repeat them. A missing
or faulty JSON is made anew by the study itself, which needs the data set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretocast.errors import ParetocastError, StoreError
from paretocast.results.stored_study import StoredStudy
from paretocast.search.objectives import parse_constraints, parse_objectives
from paretocast.search.selection import Candidate, TrialState, select
from paretocast.search.space import Choice, FloatRange, IntRange, model_in, space_of
from paretocast.study.outcome import summarise
from paretocast.study.repeats import average_over_seeds
from paretocast.study.study import Study
from paretocast.training.pooling import setup_of
from paretocast.workspace.progress import inspect_run
from paretocast.workspace.stored import save

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from paretocast.data.task import Task
    from paretocast.search.space import Parameter, Value
    from paretocast.settings import TuneSettings
    from paretocast.study.study import StudyResult
    from paretocast.training.trial import TrialRecord
    from paretocast.workspace.runs import RunDirectory

EDGE_SHARE = 0.05  # of a range of real numbers: so close to its end counts as on it
N_TENTHS = 10
BEST_SHARE = 0.2  # of the complete trials, that are asked whether they sit on a bound too
RARELY = 0.01  # chance of so many on one bound, had they been drawn anywhere, that advice rests on
WIDER_LOG, WIDER_SHARE, WIDER_STEPS = 5.0, 0.25, 2


@dataclass(frozen=True)
class Exploration:
    """Exploration of one parameter of a space.

    Attributes
    ----------
    shares : tuple of float
        Positions of the trials with scores, 0 to 1 from one end of the range to the other.
    winner : float
        Position of the chosen trial.
    seen_percent : float
        Of the values of a list or of the tenths of a range, those that a trial has visited.
    advice : str
        A wider range where the winner sits on a bound and more of the best trials do than chance
        would put there; else empty.
    """

    name: str
    parameter: Parameter
    shares: tuple[float, ...]
    winner: float
    seen_percent: float
    advice: str


@dataclass(frozen=True)
class Rebuilt:
    """A study that was opened to write its result anew, with all that its pages take."""

    study: StudyResult
    settings: TuneSettings
    task: Task


@dataclass(frozen=True)
class Consolidated:
    """A study with what was found wrong in its files, and its exploration of the space.

    Attributes
    ----------
    state : str
        "complete", "rebuilt", "faulty", "empty" (no complete trial) or "under way".
    problems : tuple of str
        Faults that were found, repaired ones included, in sentences.
    losses : tuple of float
        MAE of the explored trials, complete and pruned, in the order of every `shares`.
    model : str
        Of the chosen trial: its trials with scores are the explored ones.
    rebuilt : Rebuilt or None
        Given where the result was made anew.
    """

    study: StoredStudy
    state: str
    problems: tuple[str, ...] = ()
    explorations: tuple[Exploration, ...] = ()
    losses: tuple[float, ...] = ()
    model: str = ""
    result: dict[str, Any] | None = None
    rebuilt: Rebuilt | None = None

    @property
    def run(self) -> RunDirectory:
        """Paths of the study."""
        return self.study.run


def consolidate_run(
    run: RunDirectory, *, data_dir: Path | None = None, rebuild: bool = True
) -> Consolidated:
    """Read a run again and put its result right.

    Parameters
    ----------
    rebuild : bool
        Make a missing or faulty result anew.
    """
    try:
        return _consolidated(run, data_dir=data_dir, rebuild=rebuild)
    except OSError as error:  # one that cannot be read hides no other
        return Consolidated(
            StoredStudy(run), "faulty", (f"{run.folder} cannot be read: {error.strerror}",)
        )


def _consolidated(run: RunDirectory, *, data_dir: Path | None, rebuild: bool) -> Consolidated:
    progress, study = inspect_run(run), StoredStudy(run)
    if progress.n_running:
        return Consolidated(study, "under way")
    try:
        settings, records = study.settings, list(study.records.values())
    except StoreError as error:
        return Consolidated(study, "faulty", (str(error),))
    if not any(record.state is TrialState.COMPLETE for record in records):
        return Consolidated(study, "empty", progress.problems)
    problems = [*progress.problems, *_disagreements(study)]
    state = "faulty" if problems else "complete"
    rebuilt = None
    if problems and rebuild:
        try:
            rebuilt = rebuild_result(study, data_dir=data_dir)
            state, study = "rebuilt", StoredStudy(run)
        except ParetocastError as error:
            problems.append(f"it cannot be made anew: {error}")
    if state == "faulty":
        return Consolidated(study, state, tuple(problems))
    result = study.result
    model = model_in(result["best_params"], run.model)
    trials = [
        record
        for record in average_over_seeds(records)
        if record.scores and model_in(record.config, run.model) == model
    ]
    return Consolidated(
        study,
        state,
        tuple(problems),
        explorations=explore(trials, settings, result["best_params"]),
        losses=tuple(record.scores["mae"] for record in trials),
        model=model,
        result=result,
        rebuilt=rebuilt,
    )


def rebuild_result(study: StoredStudy, *, data_dir: Path | None) -> Rebuilt:
    """Open the study as `tune --resume` does and have it write its result; nothing is trained.

    Raises
    ------
    ParetocastError
        If the data set is not there, or not the one that the study was made on.
    """
    settings, run, task = study.settings, study.run, study.task(data_dir)
    setup = setup_of(settings, task, device="cpu")
    shared = settings.workers > 1 or run.study_journal.exists()
    result = Study(settings, run, setup, shared=shared).conclude(asked=False)
    return Rebuilt(result, settings, task)


def save_best(studies: Sequence[Consolidated], workspace: Path) -> list[Path]:
    """Copy the best result of every model and data set, and of every model, to `results/`.

    Among studies of one model and data set that were scored on the same hours as the newest of
    them, the default policy chooses. A model's general parameters are those that undercut the best
    baseline of their data set most.
    """
    by_pair: dict[tuple[str, str], list[Consolidated]] = {}
    for study in studies:
        if study.result is not None:
            by_pair.setdefault((study.run.model, study.run.dataset), []).append(study)
    written = []
    by_model: dict[str, list[Consolidated]] = {}
    for (model, dataset), candidates in by_pair.items():
        best = _best_of(candidates)
        by_model.setdefault(model, []).append(best)
        path = workspace / "results" / f"best_params_{model}_{dataset}.json"
        save(path, best.result or {})
        written.append(path)
    for model, candidates in by_model.items():
        path = workspace / "results" / f"best_params_{model}.json"
        save(path, max(candidates, key=_baseline_gain).result or {})
        written.append(path)
    return written


def explore(
    trials: Sequence[TrialRecord], settings: TuneSettings, best_config: dict[str, Value]
) -> tuple[Exploration, ...]:
    """Exploration of every parameter by the trials of a model with scores, pruned ones too."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    ordered = sorted(complete, key=lambda record: record.scores["mae"])
    leaders = ordered[: max(1, round(BEST_SHARE * len(ordered)))]
    explorations = []
    for name, parameter in space_of(settings.search_space(), best_config).items():
        values = [best_config.get(name), *(trial.config.get(name) for trial in trials)]
        if any(value is None or not parameter.holds(value) for value in values):
            continue  # a study of an earlier version did not search it, or a file is damaged
        shares = tuple(position_in_range(parameter, trial.config[name]) for trial in trials)
        of_leaders = [leader.config[name] for leader in leaders]
        explorations.append(
            Exploration(
                name=name,
                parameter=parameter,
                shares=shares,
                winner=position_in_range(parameter, best_config[name]),
                seen_percent=_seen_percent(parameter, shares),
                advice=_advice(name, parameter, best_config[name], of_leaders),
            )
        )
    return tuple(explorations)


def position_in_range(parameter: Parameter, value: Value) -> float:
    """Distance of a value from the lower end of its range, 0 to 1 on its scale.

    Other than in `Parameter.share`, the first value of a list is at 0 and the last one at 1.

    Examples
    --------
    >>> position_in_range(FloatRange(1e-4, 1e-2, log=True), 1e-3)
    0.5
    >>> position_in_range(Choice((32, 64, 128)), 128)
    1.0
    """
    match parameter:
        case Choice(values):
            return values.index(value) / max(1, len(values) - 1)
        case IntRange(low, high):
            return (float(value) - low) / max(high - low, 1)
        case FloatRange(low, high) if low == high:
            return 0.0
        case FloatRange(log=True):
            return round(parameter.share(value), 9)
        case _:
            return parameter.share(value)


def _disagreements(study: StoredStudy) -> list[str]:
    """Differences between the stored result and the records, in sentences."""
    settings, name = study.settings, study.run.best_params.name
    if not study.run.best_params.exists():
        return [f"{name} is missing"]
    try:
        stored = study.result
        front = {int(trial["trial"]) for trial in stored["all_pareto_trials"]}
        outcome = summarise(
            list(study.records.values()),
            objectives=parse_objectives(settings.objectives),
            policy=settings.policy,
            target_coverage=settings.target_coverage,
            baselines={},
            constraints=parse_constraints(settings.require),
        )
    except StoreError:
        return []  # `inspect_run` has said what is wrong with it
    if outcome is None:
        return []
    n_trials = len(outcome.records)
    problems = []
    if stored.get("n_trials") != n_trials:
        problems.append(f"{name} counts {stored.get('n_trials')} trials, records {n_trials}")
    if front != set(outcome.front):
        problems.append(
            f"{name} has the front {sorted(front)}, the records give {sorted(outcome.front)}"
        )
    return problems


def _best_of(studies: Sequence[Consolidated]) -> Consolidated:
    """The study that the default policy would choose among the newest and those comparable."""
    newest = max(studies, key=_date)
    comparable = [study for study in studies if _scored_hours(study) == _scored_hours(newest)]
    results = [study.result or {} for study in comparable]
    candidates = [
        Candidate(
            number=i,
            values=(result["best_mae"], abs(result["best_picp"] - _target(study))),
            mae=result["best_mae"],
            picp=result["best_picp"],
            picp_low=result["best_picp_interval"][0],
            picp_high=result["best_picp_interval"][1],
        )
        for i, (study, result) in enumerate(zip(comparable, results, strict=True))
    ]
    return comparable[
        select(candidates, policy="compatible-coverage", target=_target(newest)).number
    ]


def _date(study: Consolidated) -> str:
    return str((study.result or {}).get("optimization_date", ""))


def _scored_hours(study: Consolidated) -> tuple[object, ...]:
    task = study.study.task_manifest
    return (task["blocks"], task["horizon_steps"], task["issue_hour"], task["issue_zone"])


def _target(study: Consolidated) -> float:
    return study.study.settings.target_coverage


def _baseline_gain(study: Consolidated) -> float:
    result = study.result or {}
    maes = [scores["mae"] for scores in result["references"].values() if scores["mae"]]
    return 1.0 - float(result["best_mae"]) / min(maes) if maes else -math.inf


def _seen_percent(parameter: Parameter, shares: Sequence[float]) -> float:
    if isinstance(parameter, FloatRange):
        visited = {min(N_TENTHS - 1, int(share * N_TENTHS)) for share in shares}
        return 100.0 * len(visited) / N_TENTHS
    n_values = _n_values(parameter)
    return 100.0 * len({round(share * (n_values - 1)) for share in shares}) / n_values


def _n_values(parameter: Choice | IntRange) -> int:
    if isinstance(parameter, Choice):
        return len(parameter.values)
    return parameter.high - parameter.low + 1


def _edge(parameter: Parameter, value: Value) -> int:
    """-1 or 1 where a value sits on the lower or upper bound, else 0."""
    if isinstance(parameter, Choice) and (len(parameter.values) < 3 or isinstance(value, str)):
        return 0
    if not isinstance(parameter, Choice) and parameter.low == parameter.high:
        return 0
    share = position_in_range(parameter, value)
    margin = EDGE_SHARE if isinstance(parameter, FloatRange) else 1e-9
    return -1 if share <= margin else int(share >= 1.0 - margin)


def _advice(name: str, parameter: Parameter, value: Value, of_leaders: Sequence[Value]) -> str:
    """A wider range where the winner and more of the best trials than by chance sit on a bound."""
    edge = _edge(parameter, value)
    if edge == 0:
        return ""
    side = "upper" if edge > 0 else "lower"
    wider = _wider(parameter, edge)
    if wider is None:
        return ""
    n_with_it = sum(_edge(parameter, other) == edge for other in of_leaders)
    at_random = EDGE_SHARE if isinstance(parameter, FloatRange) else 1.0 / _n_values(parameter)
    if _chance_of(n_with_it, len(of_leaders), at_random) > RARELY:
        return ""
    return (
        f"{name} {value:.4g} sits on the {side} bound, as {n_with_it} of the {len(of_leaders)} "
        f"trials of lowest MAE do; widen it: {name} = {wider}"
    )


def _chance_of(n_least: int, n: int, share: float) -> float:
    """Chance of at least so many out of n, each with the same chance (binomial)."""
    return sum(math.comb(n, k) * share**k * (1.0 - share) ** (n - k) for k in range(n_least, n + 1))


def _wider(parameter: Parameter, edge: int) -> str | None:
    """The range in TOML, longer at one end; None where there is nothing beyond."""
    match parameter:
        case Choice(values):
            numbers = [v for v in values if not isinstance(v, str)]
            more = max(numbers) * 2 if edge > 0 else min(numbers) // 2
            if more < 1 or more in numbers:
                return None
            listed = [*numbers, more] if edge > 0 else [more, *numbers]
            return f"{{values = [{', '.join(f'{v:g}' for v in listed)}]}}"
        case IntRange(low, high):
            first, last = (low, high + WIDER_STEPS) if edge > 0 else (max(1, low - 1), high)
            return None if (first, last) == (low, high) else f"{{low = {first}, high = {last}}}"
        case FloatRange(low, high, log):
            if log:
                ends = (low, high * WIDER_LOG) if edge > 0 else (low / WIDER_LOG, high)
            else:
                step = WIDER_SHARE * (high - low)
                ends = (low, high + step) if edge > 0 else (max(0.0, low - step), high)
            if ends == (low, high):
                return None
            scale = ", log = true" if log else ""
            return f"{{low = {ends[0]:.4g}, high = {ends[1]:.4g}{scale}}}"
