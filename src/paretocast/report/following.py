"""A study under way: what its files say now, as JSON values, and the page that follows them.

Records, claims, reports of workers and logs are enough, so that a study of another machine or of a
cluster is followed as well, wherever its workspace is shared.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.cluster.tracking import load_submission, submission_path
from paretocast.errors import ParetocastError, StoreError
from paretocast.redaction import redacted
from paretocast.report.index import LIVE_POLICY
from paretocast.report.page import asset, document
from paretocast.search.objectives import parse_objectives
from paretocast.search.pareto import hypervolume
from paretocast.study.stopping import worst_corner
from paretocast.workspace import stored
from paretocast.workspace.claims import claim_owner
from paretocast.workspace.files import without_nan
from paretocast.workspace.progress import last_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from paretocast.search.objectives import Objective
    from paretocast.workspace.runs import RunDirectory

    Record = Mapping[str, Any]

LOG_LINES = 14
MOST_LOGS = 3
QUIET_SECONDS = 90.0  # without a report: the worker is at other work, or gone


@dataclass(frozen=True)
class _Conditions:
    """Conditions of a study, from its manifest."""

    objectives: tuple[Objective, ...]
    n_trials: int | None
    target: float
    unit: str


def study_snapshot(run: RunDirectory) -> dict[str, Any]:
    """Everything that a display of a study shows, as JSON values; nothing raises.

    Returns
    -------
    dict
        `trials`: number, state, MAE in target units, PICP in percent, seconds of training and
        config, in the order in which they ended; `hypervolume`: that of the front after each of
        them, relative to the last, None before one is complete; `running` and `workers`: who is at
        what; `logs`: the ends of the newest ones; `problems`: faults in sentences.
    """
    problems: list[str] = []
    conditions = _conditions(run, problems)
    ended, running = _trials(run, problems)
    workers = list(_workers(run))
    return {
        "name": run.study_name,
        "n_trials": conditions.n_trials if conditions else None,
        "target": conditions.target if conditions else None,
        "unit": conditions.unit if conditions else "",
        "best": _best(run, problems),
        "trials": without_nan([_trial(record, ended_at) for ended_at, record in ended]),
        "hypervolume": _growth(run, [r for _, r in ended], conditions) if conditions else [],
        "running": [{**training, **_progress_of(training, workers)} for training in running],
        "workers": workers,
        "logs": _logs(run),
        "problems": problems,
    }


def follow_page(run: RunDirectory) -> str:
    """The page that shows snapshots of a study as they come; served beside `NAME.json`."""
    return document(
        f"{run.study_name}: live",
        eyebrow=f"{run.model} · {run.dataset} · {run.job_id}",
        heading="The study as it runs",
        lede="Read from its files every two seconds; nothing here changes the study.",
        body=[asset("follow.html")],
        footer=f"study {run.study_name}",
        script=asset("follow.js"),
        policy=LIVE_POLICY,
    )


def _conditions(run: RunDirectory, problems: list[str]) -> _Conditions | None:
    try:
        manifest = stored.load_manifest(run)
        settings, comparable = manifest["settings"], manifest["comparable"]
        objectives = parse_objectives(settings.get("objectives", ()))
    except (ParetocastError, TypeError) as error:
        problems.append(str(error))
        return None
    trials, unit = settings.get("trials"), comparable["task"].get("unit")
    return _Conditions(
        objectives,
        trials if isinstance(trials, int) else None,
        float(comparable["target_coverage"]),
        unit if isinstance(unit, str) else "",
    )


def _trials(
    run: RunDirectory, problems: list[str]
) -> tuple[list[tuple[float, Record]], list[dict[str, Any]]]:
    """Trials that have ended, by the time of their record, and trainings at work."""
    ended: list[tuple[float, Record]] = []
    running: list[dict[str, Any]] = []
    for folder in sorted(run.trials_folder.glob("[0-9]*")):
        if not (folder.name.isdecimal() and len(folder.name) < 10 and folder.is_dir()):
            continue
        number = int(folder.name)
        path = run.record(number)
        try:
            if path.exists():
                ended.append((path.stat().st_mtime, stored.load(path, stored.RecordFile)))
        except (OSError, StoreError) as error:
            problems.append(str(error))
        for index, place in enumerate((folder, *sorted(folder.glob("seed_*")))):
            if (owner := _owner(place)) is not None:
                running.append({"trial": number, "repeat": index, **owner, **_rung(place)})
    return sorted(ended, key=lambda pair: (pair[0], pair[1]["number"])), running


def _owner(folder: Path) -> dict[str, Any] | None:
    """The process at work in a folder, and for how many seconds; None if there is none."""
    try:
        owner = claim_owner(folder)
    except OSError:  # somebody else's folder
        return None
    if owner is None:
        return None
    since = max(0.0, time.time() - owner["started"])
    return {"host": owner["host"], "worker": owner["worker"], "pid": owner["pid"], "since": since}


def _rung(folder: Path) -> dict[str, Any]:
    """Step and MAE at the last rung of a training; nothing before the first."""
    try:
        rungs = stored.load(folder / "rungs.json", stored.RungsFile)["rungs"]
    except StoreError:
        return {}
    return {"rung": rungs[-1]["step"], "mae": rungs[-1]["scores"].get("mae")} if rungs else {}


def _workers(run: RunDirectory) -> Iterator[dict[str, Any]]:
    for path in sorted(run.worker_report(0).parent.glob("*.json")):
        try:
            report = stored.load(path, stored.WorkerFile)
        except StoreError:
            continue  # of another version, or being replaced
        age = max(0.0, time.time() - report.pop("updated"))
        yield {**report, "age": age, "quiet": age > QUIET_SECONDS}


def _progress_of(
    training: Mapping[str, Any], workers: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Step of a training, from the report of the worker that is at it."""
    for worker in workers:
        if (worker["trial"], worker["pid"]) == (training["trial"], training["pid"]):
            return {key: worker[key] for key in ("step", "total_steps", "stop_loss")}
    return {}


def _trial(record: Record, ended_at: float) -> dict[str, Any]:
    scores = record["scores"]
    return {
        "number": record["number"],
        "state": record["state"],
        "mae": scores.get("mae"),
        "picp": scores.get("picp"),
        "seconds": record["fit_seconds"],
        "ended": ended_at,
        "reason": record["reason"],
        "config": record["config"],
    }


def _growth(
    run: RunDirectory, records: Sequence[Record], conditions: _Conditions
) -> list[float | None]:
    """Hypervolume of the front after each trial over that after the last."""
    objectives = conditions.objectives
    values = [_values(record, objectives) for record in records]
    try:
        references = stored.load_result(run.best_params)["references"].values()
    except StoreError:
        references = ()
    names = [objective.name for objective in objectives]
    known = [s for s in references if all(isinstance(s.get(name), float) for name in names)]
    corner = worst_corner([[o.value(s) for o in objectives] for s in known], values)
    if corner is None:
        return [None] * len(values)
    volumes: list[float] = []
    for n_ended in range(1, len(values) + 1):
        points = [point for point in values[:n_ended] if point is not None]
        shaped = np.reshape(np.array(points, dtype=np.float64), (len(points), len(corner)))
        volumes.append(hypervolume(shaped, corner))
    return [volume / volumes[-1] if volumes[-1] > 0.0 else None for volume in volumes]


def _values(record: Record, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """Objectives of a complete trial; None for another one."""
    scores = record["scores"]
    if record["state"] != "complete" or any(scores.get(o.name) is None for o in objectives):
        return None
    return tuple(objective.value(scores) for objective in objectives)


def _best(run: RunDirectory, problems: list[str]) -> dict[str, Any] | None:
    if not run.best_params.exists():
        return None
    try:
        result = stored.load_result(run.best_params)
    except StoreError as error:
        problems.append(str(error))
        return None
    names = ("best_trial_number", "best_mae", "best_picp", "n_pareto_optimal")
    return {name.removeprefix("best_"): result[name] for name in names}


def _logs(run: RunDirectory) -> list[dict[str, Any]]:
    """Ends of the logs that were written last; only those that lie in the workspace."""
    places = {run.worker_log(0).parent / name for name in _names_of_logs(run)}
    inside = run.workspace.resolve()
    found = [p for p in places if p.resolve().is_relative_to(inside) and p.is_file()]
    newest = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[:MOST_LOGS]
    return [
        {"name": path.name, "lines": [redacted(line) for line in last_lines(path, LOG_LINES)]}
        for path in sorted(newest)
    ]


def _names_of_logs(run: RunDirectory) -> Iterator[str]:
    """Names of a study's logs: of its workers here, and of its jobs on a cluster."""
    for path in run.worker_log(0).parent.glob("*"):
        if path.name.startswith(f"hpo_{run.study_name}_"):
            yield path.name
    try:
        jobs = load_submission(submission_path(run)).jobs
    except (ParetocastError, OSError):
        return
    for log in (log for job in jobs for pair in job.logs for log in pair):
        yield log.rpartition("/")[2]
