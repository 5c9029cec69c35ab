"""The runs of a workspace read again: are their results whole, which is best, what was explored?

The folders of trials are the truth about a study; its JSON and its database repeat them. A missing
or faulty JSON is made anew by the study itself, which needs the data set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretocast.errors import ParetocastError, StoreError
from paretocast.results.forecasts import load_task, stored_settings
from paretocast.search.objectives import parse_constraints, parse_objectives
from paretocast.search.selection import Candidate, TrialState, select
from paretocast.search.space import Choice, FloatRange, IntRange
from paretocast.study.outcome import summarise
from paretocast.study.repeats import average_over_seeds
from paretocast.study.study import Study
from paretocast.study.trial_store import TrialStore
from paretocast.training.setup import TrainingSetup
from paretocast.workspace import files
from paretocast.workspace.progress import inspect_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from paretocast.data.task import Task
    from paretocast.search.space import Parameter, Value
    from paretocast.settings import TuneSettings
    from paretocast.study.study import StudyResult
    from paretocast.training.trial import TrialRecord
    from paretocast.workspace.files import RunDirectory

EDGE_SHARE = 0.05  # of a range of real numbers: so close to its end counts as on it
N_TENTHS = 10
BEST_SHARE = 0.2  # of the complete trials, that are asked whether they sit on a bound too
WIDER_LOG, WIDER_SHARE, WIDER_STEPS = 5.0, 0.25, 2


@dataclass(frozen=True)
class Coverage:
    """How one parameter of a space was explored.

    Attributes
    ----------
    shares : tuple of float
        Where judged trials lie, 0 to 1 from one end of the range to the other.
    winner : float
        Where the chosen trial lies.
    seen_percent : float
        Of the values of a list or of the tenths of a range, those that a trial has visited.
    advice : str
        What to widen where the winner sits on a bound; empty where it does not.
    """

    name: str
    parameter: Parameter
    shares: tuple[float, ...]
    winner: float
    seen_percent: float
    advice: str


@dataclass(frozen=True)
class Rebuilt:
    """A study that was opened to write its result anew: what its pages are made from."""

    study: StudyResult
    settings: TuneSettings
    task: Task


@dataclass(frozen=True)
class Consolidated:
    """A run as it was found.

    Attributes
    ----------
    state : str
        "whole", "rebuilt", "faulty", "empty" (no complete trial) or "under way".
    problems : tuple of str
        What is or was wrong, in sentences.
    losses : tuple of float
        MAE of the judged trials, complete and pruned, in the order of every coverage's shares.
    rebuilt : Rebuilt or None
        Where the result was made anew.
    """

    run: RunDirectory
    state: str
    problems: tuple[str, ...] = ()
    coverages: tuple[Coverage, ...] = ()
    losses: tuple[float, ...] = ()
    result: dict[str, Any] | None = None
    rebuilt: Rebuilt | None = None


def consolidate_run(
    run: RunDirectory, *, data_dir: Path | None = None, rebuild: bool = True
) -> Consolidated:
    """Read a run again and put its result right.

    Parameters
    ----------
    rebuild : bool
        Make a missing or faulty result anew.
    """
    progress = inspect_run(run)
    if progress.n_running:
        return Consolidated(run, "under way")
    try:
        settings = stored_settings(run)
        trial_store = TrialStore(run)
        trial_store.refresh()
    except StoreError as error:
        return Consolidated(run, "faulty", (str(error),))
    records = trial_store.trainings
    if not any(record.state is TrialState.COMPLETE for record in records):
        return Consolidated(run, "empty", progress.problems)
    problems = [*progress.problems, *_disagreements(run, settings, records)]
    state = "faulty" if problems else "whole"
    rebuilt = None
    if problems and rebuild:
        try:
            rebuilt = rebuild_result(run, settings, data_dir=data_dir)
            state = "rebuilt"
        except ParetocastError as error:
            problems.append(f"it cannot be made anew: {error}")
    if state == "faulty":
        return Consolidated(run, state, tuple(problems))
    result = files.load_json(run.best_params)
    trials = [record for record in average_over_seeds(records) if record.scores]
    return Consolidated(
        run,
        state,
        tuple(problems),
        coverages=explore(trials, settings, result["best_params"]),
        losses=tuple(record.scores["mae"] for record in trials),
        result=result,
        rebuilt=rebuilt,
    )


def rebuild_result(run: RunDirectory, settings: TuneSettings, *, data_dir: Path | None) -> Rebuilt:
    """Open the study as `tune --resume` does and have it write its result; nothing is trained.

    Raises
    ------
    ParetocastError
        If the data set is not there, or not the one that the study was made on.
    """
    task = load_task(run, settings, data_dir=data_dir)
    setup = TrainingSetup.from_settings(settings, task, device="cpu")
    shared = settings.workers > 1 or run.study_journal.exists()
    result = Study(settings, run, setup, shared=shared).conclude(asked=False)
    return Rebuilt(result, settings, task)


def save_best(found: Sequence[Consolidated], workspace: Path) -> list[Path]:
    """Copy the best result of every model and data set, and of every model, to `results/`.

    Among studies of one model and data set that were judged on the same hours as the newest of
    them, the default policy chooses. A model's general parameters are those that undercut the best
    reference of their data set most.
    """
    whole = [one for one in found if one.result is not None]
    written = []
    best: dict[str, list[Consolidated]] = {}
    for model, dataset in dict.fromkeys((one.run.model, one.run.dataset) for one in whole):
        own = [one for one in whole if (one.run.model, one.run.dataset) == (model, dataset)]
        chosen = _best_of(own)
        best.setdefault(model, []).append(chosen)
        path = workspace / "results" / f"best_params_{model}_{dataset}.json"
        files.save_json(path, chosen.result)
        written.append(path)
    for model, candidates in best.items():
        path = workspace / "results" / f"best_params_{model}.json"
        files.save_json(path, max(candidates, key=_reference_gain).result)
        written.append(path)
    return written


def explore(
    trials: Sequence[TrialRecord], settings: TuneSettings, chosen: dict[str, Value]
) -> tuple[Coverage, ...]:
    """How the space of a study was explored by its judged trials, complete and pruned."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    ordered = sorted(complete, key=lambda record: record.scores["mae"])
    leaders = ordered[: max(1, round(BEST_SHARE * len(ordered)))]
    found = []
    for name, parameter in settings.search_space().items():
        shares = tuple(share_of(parameter, trial.config[name]) for trial in trials)
        winner = share_of(parameter, chosen[name])
        found.append(
            Coverage(
                name=name,
                parameter=parameter,
                shares=shares,
                winner=winner,
                seen_percent=_seen_percent(parameter, shares),
                advice=_advice(
                    name, parameter, chosen[name], [leader.config[name] for leader in leaders]
                ),
            )
        )
    return tuple(found)


def share_of(parameter: Parameter, value: Value) -> float:
    """Where a value lies between the ends of its range, 0 to 1 on its scale.

    Examples
    --------
    >>> share_of(FloatRange(1e-4, 1e-2, log=True), 1e-3)
    0.5
    """
    match parameter:
        case Choice(values):
            return values.index(value) / max(1, len(values) - 1)
        case FloatRange(low, high, log=True):
            return round(math.log(float(value) / low) / math.log(high / low), 9)
        case _:
            return (float(value) - parameter.low) / max(parameter.high - parameter.low, 1e-12)


def _disagreements(
    run: RunDirectory, settings: TuneSettings, records: Sequence[TrialRecord]
) -> list[str]:
    """Where the stored result is not what the records say."""
    if not run.best_params.exists():
        return [f"{run.best_params.name} is missing"]
    try:
        stored = files.load_json(run.best_params)
        front = {int(trial["trial"]) for trial in stored["all_pareto_trials"]}
        outcome = summarise(
            records,
            objectives=parse_objectives(settings.objectives),
            policy=settings.policy,
            target_coverage=settings.target_coverage,
            references={},
            constraints=parse_constraints(settings.require),
        )
    except (StoreError, KeyError, TypeError, ValueError):
        return []  # `inspect_run` has said what is wrong with it
    if outcome is None:
        return []
    name, n_trials = run.best_params.name, len(outcome.records)
    problems = []
    if stored.get("n_trials") != n_trials:
        problems.append(f"{name} counts {stored.get('n_trials')} trials, records {n_trials}")
    if front != set(outcome.front):
        problems.append(
            f"{name} has the front {sorted(front)}, the records give {sorted(outcome.front)}"
        )
    return problems


def _best_of(own: Sequence[Consolidated]) -> Consolidated:
    """The study that the default policy would choose among the newest and its like."""
    newest = max(own, key=_date)
    like = [one for one in own if _judged_hours(one) == _judged_hours(newest)]
    results = [one.result or {} for one in like]
    candidates = [
        Candidate(
            number=i,
            values=(result["best_mae"], abs(result["best_picp"] - _target(one))),
            mae=result["best_mae"],
            picp=result["best_picp"],
            picp_low=result["best_picp_interval"][0],
            picp_high=result["best_picp_interval"][1],
        )
        for i, (one, result) in enumerate(zip(like, results, strict=True))
    ]
    return like[select(candidates, policy="compatible-coverage", target=_target(newest)).number]


def _date(one: Consolidated) -> str:
    return str((one.result or {}).get("optimization_date", ""))


def _judged_hours(one: Consolidated) -> tuple[object, ...]:
    task = files.load_json(one.run.manifest)["comparable"]["task"]
    return (task["blocks"], task["horizon_steps"], task["issue_hour"], task["issue_zone"])


def _target(one: Consolidated) -> float:
    return float(files.load_json(one.run.manifest)["comparable"]["target_coverage"])


def _reference_gain(one: Consolidated) -> float:
    result = one.result or {}
    known = [scores["mae"] for scores in result["references"].values() if scores["mae"]]
    return 1.0 - float(result["best_mae"]) / min(known) if known else -math.inf


def _seen_percent(parameter: Parameter, shares: Sequence[float]) -> float:
    match parameter:
        case Choice(values):
            n_places = len(values)
        case IntRange(low, high):
            n_places = high - low + 1
        case _:
            n_places = N_TENTHS
    if isinstance(parameter, FloatRange):
        places = {min(n_places - 1, int(share * n_places)) for share in shares}
    else:
        places = {round(share * (n_places - 1)) for share in shares}
    return 100.0 * len(places) / n_places


def _edge(parameter: Parameter, value: Value) -> int:
    """-1 or 1 where a value sits on the lower or upper bound, else 0."""
    if isinstance(parameter, Choice) and (len(parameter.values) < 3 or isinstance(value, str)):
        return 0
    if not isinstance(parameter, Choice) and parameter.low == parameter.high:
        return 0
    share = share_of(parameter, value)
    margin = EDGE_SHARE if isinstance(parameter, FloatRange) else 1e-9
    return -1 if share <= margin else int(share >= 1.0 - margin)


def _advice(name: str, parameter: Parameter, value: Value, of_leaders: Sequence[Value]) -> str:
    edge = _edge(parameter, value)
    if edge == 0:
        return ""
    side = "upper" if edge > 0 else "lower"
    wider = _wider(parameter, edge)
    if wider is None:
        return ""
    n_with_it = sum(_edge(parameter, other) == edge for other in of_leaders)
    return (
        f"{name} {value:.4g} sits on the {side} bound, as {n_with_it} of the {len(of_leaders)} "
        f"trials of lowest MAE do; widen it: {name} = {wider}"
    )


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
