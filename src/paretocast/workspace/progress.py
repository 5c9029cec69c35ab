"""Progress of a study and faults of its files, read from its folder.

Reads only. It loads neither Optuna nor torch, so a login node answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretocast.errors import StoreError
from paretocast.workspace import files, stored
from paretocast.workspace.claims import claim_owner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from paretocast.workspace.runs import RunDirectory

TAIL_BYTES = 16384


@dataclass(frozen=True)
class Progress:
    """Progress of one study.

    Attributes
    ----------
    n_complete, n_pruned, n_failed : int
        Trials with a record, by how they ended.
    n_running : int
        Trials, and repeats of trials with another seed, that a living process works on.
    n_put_away : int
        Trials that were begun and wait to be continued.
    best_mae, best_picp : float or None
        Of the chosen trial, target units and percent; None without a result.
    fit_seconds : float
        Training time of all trials with a record, their repeats included.
    problems : tuple of str
        Faults of the files, in sentences.
    """

    n_complete: int = 0
    n_pruned: int = 0
    n_failed: int = 0
    n_running: int = 0
    n_put_away: int = 0
    best_mae: float | None = None
    best_picp: float | None = None
    fit_seconds: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def n_ended(self) -> int:
        """Trials with a record."""
        return self.n_complete + self.n_pruned + self.n_failed


def is_under_way(run: RunDirectory) -> bool:
    """Return whether a living process works on a trial of the study, or on a repeat of one."""
    folders = run.trials_folder.glob("[0-9]*")
    return any(_is_at_work(path) for folder in folders for path in (folder, *folder.glob("seed_*")))


def inspect_run(run: RunDirectory) -> Progress:
    """Progress of a study and the faults of its files; nothing raises."""
    records: dict[int, dict[str, Any]] = {}
    problems = []
    n_running = n_put_away = 0
    try:
        names = sorted(files.list_names(run.trials_folder))
    except StoreError as error:
        names, problems = [], [str(error)]
    for name in names:
        folder = run.trials_folder / name
        if not (name.isdecimal() and len(name) < 10):
            continue
        try:
            if not folder.is_dir():
                continue
            repeats = sorted(folder.glob("seed_*"))
            n_running += sum(_is_at_work(path) for path in (folder, *repeats))
            trainings = _load_trainings(folder, repeats)
        except StoreError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{folder} cannot be read: {error.strerror}")
        else:
            if trainings:
                records[int(name)] = {**trainings[0], "trainings": trainings}
            elif not _is_at_work(folder):
                n_put_away += 1
    result, faults = _load_result(run, records)
    states = [record["state"] for record in records.values()]
    return Progress(
        n_complete=states.count("complete"),
        n_pruned=states.count("pruned"),
        n_failed=states.count("failed"),
        n_running=n_running,
        n_put_away=n_put_away,
        best_mae=result.get("best_mae"),
        best_picp=result.get("best_picp"),
        fit_seconds=sum(
            training["fit_seconds"]
            for record in records.values()
            for training in record["trainings"]
        ),
        problems=(*problems, *faults),
    )


def _load_trainings(folder: Path, repeats: Sequence[Path]) -> list[dict[str, Any]]:
    """The records of a trial and of its repeats; none while it has not ended."""
    paths = [path / "record.json" for path in (folder, *repeats)]
    if not files.exists(paths[0]):
        return []
    return [stored.load(path, stored.RecordFile) for path in paths if files.exists(path)]


def inspect_levels(path: Path, *, fresh: bool) -> Progress:
    """Coverage of the interval in `calibrated_quantiles.json` of stage 2.

    Parameters
    ----------
    fresh : bool
        False for a file that an earlier experiment has left.
    """
    try:
        if not fresh or not files.exists(path):
            return Progress()
        return Progress(best_picp=float(stored.load(path, stored.LevelsFile)["picp"]))
    except StoreError as error:
        return Progress(problems=(str(error),))


def check_result(
    result: Mapping[str, Any], records: Mapping[int, Mapping[str, Any]]
) -> tuple[str, ...]:
    """Faults of a `best_params_*.json`, compared with the records of the trials.

    Parameters
    ----------
    records : mapping of number to record
        `trainings` of each holds the records of its repeats too: scores are means over them.
    """
    number = result["best_trial_number"]
    record = records.get(number)
    if record is None:
        return (f"names trial {number}, which has no record",)
    faults = []
    if record["state"] != "complete":
        faults.append(f"names trial {number}, which is {record['state']}")
    faults += [
        f"gives trial {number} {name} {result[f'best_{name}']}, its record says otherwise"
        for name in ("mae", "picp")
        if not _is_between(result[f"best_{name}"], [t["scores"][name] for t in record["trainings"]])
    ]
    if result["n_trials"] > len(records):
        faults.append(f"counts {result['n_trials']} trials, of which {len(records)} have a record")
    return tuple(faults)


def last_lines(path: Path, n_lines: int = 12) -> tuple[str, ...]:
    """The end of a log, without empty lines; nothing if it cannot be read."""
    try:
        with files.open_regular(path) as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            text = file.read(TAIL_BYTES).decode("utf-8", errors="replace")
    except (OSError, StoreError, ValueError):  # the last one for a path that is none
        return ()
    # what a progress bar overwrote was never meant to stay
    lines = [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return tuple(line for line in lines if line)[-n_lines:]


def first_line(path: Path) -> str:
    """The start of a log; empty if it cannot be read."""
    try:
        with files.open_regular(path) as file:
            return file.readline(1000).decode("utf-8", errors="replace").strip()
    except (OSError, StoreError, ValueError):
        return ""


def _is_between(value: float, trainings: Sequence[float]) -> bool:
    """Return whether a mean over some of the trainings can be that value."""
    slack = 1e-9 * max(1.0, abs(value))
    return min(trainings) - slack <= value <= max(trainings) + slack


def _is_at_work(folder: Path) -> bool:
    """Return whether a living process works in the folder of a trial, as far as is known here."""
    try:
        return claim_owner(folder) is not None
    except OSError:  # somebody else's folder
        return False


def _load_result(
    run: RunDirectory, records: Mapping[int, Mapping[str, Any]]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The result file, empty where there is none, and its faults."""
    path = run.best_params
    try:
        if not files.exists(path):
            return {}, ()
        result = stored.load_result(path)
    except StoreError as error:
        return {}, (str(error),)
    return result, tuple(f"{path.name} {fault}" for fault in check_result(result, records))
