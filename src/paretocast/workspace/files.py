"""The workspace on disk: paths, schemas and atomic writes.

All that results are made from is written through this module. A file appears whole or not at all:
it is written beside its place, flushed, and moved there. What machines read is JSON with a schema
version. Written in other ways are lines that are added (`append_line`), locks and claims
(`claims`), logs of workers and jobs, the queue of background jobs, and Optuna's copy of a study.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import math
import os
import re
import stat
import tempfile
import time
import tokenize
import uuid
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.errors import SettingsError, StoreError
from paretocast.toml import nested_deeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from io import FileIO
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

RECORD_SCHEMA_VERSION = 1
SINGLE_STAGE, TWO_STAGE = "single-stage", "two-stage"  # strategies of a search
JOB_ID_VARIABLES = ("SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID")
TAIL_BYTES = 4096  # read at once, from the end of a file
UNFINISHED = ".part"  # suffix of a file that is being written
MOST_BYTES = 64 << 20  # of a text or JSON file
MOST_ARRAY_BYTES = 4 << 30
MOST_DEPTH = 32  # of JSON
MOST_DIGITS = 18  # of a whole number, so that 64 bits hold it
# Whatever zipfile, zlib and numpy raise over bytes that are not what they were.
_DAMAGED_ARRAYS = (
    *(EOFError, KeyError, MemoryError, NotImplementedError, OSError, OverflowError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def stated_job_id(given: str | None, environment: Mapping[str, str]) -> str | None:
    """The id of a study as given, else that of Slurm's job; None where neither says one.

    Raises
    ------
    SettingsError
        If it cannot be part of a file name.
    """
    if given is not None:
        return _checked_job_id(given, "job id")
    for variable in JOB_ID_VARIABLES:
        if environment.get(variable):
            return _checked_job_id(environment[variable], f"${variable}")
    return None


def claim_run(workspace: Path, model: str, dataset: str, *, now: datetime) -> RunDirectory:
    """The directory of a new study with a fresh id, which is no other process's.

    The folder of trials is what is claimed: only one process can make it.

    Raises
    ------
    StoreError
        If it cannot be made.
    """
    named = RunDirectory(workspace, model, dataset, f"local-{now:%Y%m%d-%H%M%S}")
    folder = claim_folder(named.trials_folder)
    return RunDirectory(workspace, model, dataset, folder.name.removeprefix("trials_"))


def claim_folder(path: Path) -> Path:
    """Make a folder that was not there, with -2, -3 … behind its name where it was.

    Raises
    ------
    StoreError
        If it cannot be made.
    """
    create_folder(path.parent)
    claimed = path
    for number in itertools.count(2):
        try:
            claimed.mkdir()
        except FileExistsError:
            claimed = path.with_name(f"{path.name}-{number}")
        except OSError as error:
            raise StoreError(f"folder {claimed} cannot be made: {error.strerror}") from error
        else:
            break
    return claimed


def remove_empty(*folders: Path) -> None:
    """Remove folders that hold nothing."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _checked_job_id(job_id: str, origin: str) -> str:
    if not _JOB_ID.fullmatch(job_id):
        raise SettingsError(
            f"{origin} {job_id!r} cannot be part of a file name, "
            "expected up to 64 letters, digits, '.', '_' or '-'"
        )
    return job_id


@dataclass(frozen=True)
class RunDirectory:
    """Paths of the files of one study.

    Attributes
    ----------
    workspace : Path
        Usually `./hpo`.
    """

    workspace: Path
    model: str
    dataset: str
    job_id: str

    @property
    def folder(self) -> Path:
        """All studies of one model and data set."""
        return self.workspace / "results" / f"{self.model}_{self.dataset}"

    @property
    def study_name(self) -> str:
        """The name of the study in its database."""
        return f"{self.model}_{self.dataset}_{self.job_id}"

    @property
    def study_database(self) -> Path:
        """SQLite file of the study."""
        return self.folder / f"study_{self.study_name}.db"

    @property
    def study_journal(self) -> Path:
        """Optuna journal of the study, where several processes share it."""
        return self.folder / f"study_{self.study_name}.journal"

    @property
    def best_params(self) -> Path:
        """The result that programs load."""
        return self.folder / f"best_params_{self.study_name}.json"

    @property
    def manifest(self) -> Path:
        """Task, splits, roles, data hash, versions, seeds."""
        return self.folder / f"manifest_{self.job_id}.json"

    def page(self, name: str) -> Path:
        """An HTML page: `pareto_front`, `mae_history`, `param_importance` or `diagnosis`."""
        return self.folder / f"{name}_{self.job_id}.html"

    def calibrator(self, number: int | None) -> Path:
        """Calibrator fitted to a trial by `paretocast calibrate`, or with None to the ensemble."""
        subject = "ensemble" if number is None else f"trial{number:04d}"
        return self.folder / f"calibrator_{self.study_name}_{subject}.json"

    @property
    def trials_folder(self) -> Path:
        """A folder for each trial; one that is there is a trial that was begun."""
        return self.folder / f"trials_{self.job_id}"

    @property
    def lock(self) -> Path:
        """File that processes of a study lock while they claim trainings."""
        return self.trials_folder / ".lock"

    def worker_report(self, index: int) -> Path:
        """State of a worker, for the display and for `status`."""
        return self.folder / f"workers_{self.job_id}" / f"{index:03d}.json"

    def worker_log(self, index: int) -> Path:
        """Output and errors of a worker of this machine."""
        return self.workspace / "logs" / f"hpo_{self.study_name}_worker{index}.err"

    def trial_folder(self, number: int, seed_index: int = 0) -> Path:
        """Record, forecasts and, while it runs, claim and checkpoint of one training.

        That of a trial, or inside it that of a repeat with another seed.
        """
        folder = self.trials_folder / f"{number:04d}"
        return folder / f"seed_{seed_index}" if seed_index > 0 else folder

    def proposal(self, number: int) -> Path:
        """The config of a trial, from the moment it is proposed."""
        return self.trial_folder(number) / "proposal.json"

    def rungs(self, number: int, seed_index: int = 0) -> Path:
        """Scores at the rungs of a training under way."""
        return self.trial_folder(number, seed_index) / "rungs.json"

    def record(self, number: int, seed_index: int = 0) -> Path:
        """Config, seed, state and scores of a finished training."""
        return self.trial_folder(number, seed_index) / "record.json"

    def forecasts(self, number: int, seed_index: int = 0) -> Path:
        """Dense forecasts of a training on the tune and calibrate splits."""
        return self.trial_folder(number, seed_index) / "forecasts.npz"

    def checkpoint(self, number: int, seed_index: int = 0) -> Path:
        """State of a training that was interrupted."""
        return self.trial_folder(number, seed_index) / "checkpoint.safetensors"


def stage_1_result(workspace: Path, model: str, dataset: str) -> Path:
    """Result of a finished stage 1 of the two-stage strategy, read by stage 2."""
    return workspace / "results" / "stage1" / f"{dataset}_{model}" / "best_params.json"


def stage_2_result(workspace: Path, model: str, dataset: str) -> Path:
    """Quantile levels that stage 2 has chosen."""
    return workspace / "results" / "stage2" / f"{dataset}_{model}" / "calibrated_quantiles.json"


def newest_job_id(workspace: Path, model: str, dataset: str) -> str:
    """Job id of the study that was written to last, of those that have begun a trial if any has.

    Raises
    ------
    StoreError
        If there is no study of that model and data set.
    """
    folder = RunDirectory(workspace, model, dataset, "").folder
    start = f"study_{model}_{dataset}_"
    touched = [
        (path.stat().st_mtime, path.stem.removeprefix(prefix))
        for prefix, pattern in (
            (start, f"{start}*.db"),
            (start, f"{start}*.journal"),
            ("manifest_", "manifest_*.json"),
        )
        for path in folder.glob(pattern)
    ]
    if not touched:
        raise StoreError(
            f"no study of {model} on {dataset} in {folder}, nothing to resume; "
            "start one without --resume"
        )

    def has_begun(job_id: str) -> bool:
        return bool(list_names(RunDirectory(workspace, model, dataset, job_id).trials_folder))

    return max((has_begun(job_id), changed, job_id) for changed, job_id in touched)[2]


def run_of_manifest(manifest: Path) -> RunDirectory:
    """The run that a manifest belongs to, from where it lies.

    The manifest says which part of the folder's name is the model's. Where it cannot be read,
    the model is taken to end in ``_Q``.

    Raises
    ------
    StoreError
        If it does not lie in a run.

    Examples
    --------
    >>> from pathlib import Path
    >>> run_of_manifest(Path("hpo/results/NHITS_Q_my_zone/manifest_7.json")).dataset
    'my_zone'
    """
    folder = manifest.parent
    model = _stored_model(manifest)
    if not model or not folder.name.startswith(f"{model}_"):
        before, separator, _ = folder.name.partition("_Q_")
        model = f"{before}_Q" if separator else ""
    dataset = folder.name.removeprefix(f"{model}_")
    if not model or folder.parent.name != "results" or not manifest.stem.startswith("manifest_"):
        raise StoreError(
            f"{manifest} is no manifest of a run, expected "
            "WORKSPACE/results/MODEL_DATASET/manifest_JOBID.json"
        )
    job_id = manifest.stem.removeprefix("manifest_")
    return RunDirectory(folder.parent.parent, model, dataset, job_id)


def _stored_model(manifest: Path) -> str:
    """The model that a manifest names; empty where it cannot be read."""
    try:
        return str(load_json(manifest)["settings"]["model"])
    except (StoreError, KeyError, TypeError):
        return ""


def find_runs(workspace: Path) -> list[RunDirectory]:
    """Every study of a workspace, by the name of its manifest."""
    return runs_of_manifests((workspace / "results").glob("*/manifest_*.json"))


def runs_of_manifests(manifests: Iterable[Path]) -> list[RunDirectory]:
    """The runs that manifests belong to, by name; those of folders that are not ours are left."""
    runs = []
    for manifest in sorted(manifests):
        with contextlib.suppress(StoreError):
            runs.append(run_of_manifest(manifest))
    return runs


def create_folder(path: Path) -> None:
    """Make a folder of the workspace and check that files can be written there.

    Raises
    ------
    StoreError
        If it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise StoreError(
            f"folder {path} cannot be written to: {error.strerror}; choose --workspace"
        ) from error


def list_names(folder: Path) -> list[str]:
    """Names of what is in a folder, hidden ones too; none if it does not exist.

    Raises
    ------
    StoreError
        If it cannot be read.
    """
    try:
        return os.listdir(folder)  # noqa: PTH208  (names are wanted, thousands of them)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{folder} cannot be read: {error.strerror}") from error


def exists(path: Path) -> bool:
    """Return whether a file exists.

    Raises
    ------
    StoreError
        If the file system does not say.
    """
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error


def save_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a text file atomically, UTF-8.

    Parameters
    ----------
    private : bool
        For the eyes of its owner alone: it may hold what a user would not show.
    """
    content = text.encode("utf-8")
    _write_atomically(path, lambda file: file.write(content), private=private)


def save_json(path: Path, value: object, *, durable: bool = True, private: bool = False) -> None:
    """Write JSON atomically; NaN becomes null.

    Parameters
    ----------
    durable : bool
        Whether the disk must hold it before this returns. Not worth the wait for what only a
        display reads.
    private : bool
        For the eyes of its owner alone.

    Raises
    ------
    StoreError
        If the value holds an infinity: a failure is not a number.
    """
    try:
        text = json.dumps(without_nan(value), indent=2, allow_nan=False, ensure_ascii=False)
    except ValueError as error:
        raise StoreError(f"{path.name} would hold a number that is not finite") from error
    content = (text + "\n").encode("utf-8")
    _write_atomically(path, lambda file: file.write(content), durable=durable, private=private)


def open_regular(path: Path) -> BinaryIO:
    """A file opened for reading, if it is one: no device, and no pipe that nobody writes to.

    Raises
    ------
    StoreError
        If it is none.
    OSError
        If it cannot be opened.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise StoreError(f"{path} is no regular file; remove it")
    return file


def load_bytes(path: Path, *, most: int = MOST_BYTES) -> bytes:
    """Read a regular file of at most so many bytes.

    Raises
    ------
    StoreError
        If it is missing, larger, no regular file, or cannot be read.
    """
    try:
        with open_regular(path) as file:
            content = file.read(most + 1)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise StoreError(f"{path} has more than {most >> 20} MiB, which no file of this kind has")
    return content


def load_text(path: Path, *, most: int = MOST_BYTES) -> str:
    """Read a text file in UTF-8; errors as `load_bytes`, and for other encodings."""
    try:
        return load_bytes(path, most=most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} is damaged: {error}") from error


def load_json(path: Path) -> Any:
    """Read JSON; what it holds is checked by `stored.load`.

    Raises
    ------
    StoreError
        If the file is missing or damaged, too large, nested too deep or holds no finite number.
    """
    text = load_text(path)
    try:
        value = json.loads(
            text, parse_constant=_refuse_constant, parse_int=_sane_int, parse_float=_finite
        )
    except RecursionError as error:
        raise StoreError(f"{path} is damaged: it is nested more than {MOST_DEPTH} deep") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}") from error
    if nested_deeper(value, MOST_DEPTH):
        raise StoreError(f"{path} is damaged: it is nested more than {MOST_DEPTH} deep")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _sane_int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write compressed arrays atomically."""
    _write_atomically(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read arrays that `save_arrays` wrote.

    Raises
    ------
    StoreError
        If the file is missing or damaged, or its arrays take more than `MOST_ARRAY_BYTES`.
    """
    content = load_bytes(path, most=MOST_ARRAY_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MOST_ARRAY_BYTES:
            raise StoreError(f"{path} would unpack to {size >> 20} MiB, which no such file does")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except _DAMAGED_ARRAYS as error:
        raise StoreError(f"{path} is damaged: {str(error) or type(error).__name__}") from error


def save_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    _write_atomically(path, lambda file: file.write(content))


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file at once, UTF-8; the disk holds it when this returns.

    A last line without its line feed, which a killed process has left, is cut off before. No other
    process may write the file meanwhile.

    Raises
    ------
    StoreError
        If the disk does not take the whole line; the file is then as it was.
    """
    content = f"{line}\n".encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            before = _end_of_lines(file)
            file.truncate(before)
            try:
                if file.write(content) != len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def _end_of_lines(file: FileIO) -> int:
    """Bytes up to the last line feed, that included."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - TAIL_BYTES)
        file.seek(start)
        found = (file.read(end - start) or b"").rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _write_atomically(
    path: Path,
    write: Callable[[BinaryIO], object],
    *,
    durable: bool = True,
    private: bool = False,
) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{UNFINISHED}")
        try:
            with temporary.open("wb") as file:
                if private:
                    os.fchmod(file.fileno(), stat.S_IRUSR | stat.S_IWUSR)
                write(file)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def move(path: Path, target: Path) -> None:
    """Move a file within its folder."""
    try:
        path.replace(target)
    except OSError as error:
        raise StoreError(f"{path} cannot be moved: {error.strerror}") from error


def remove_unfinished(folder: Path, *, older_than_seconds: float = 0.0) -> None:
    """Remove files that killed processes have left half written in a folder."""
    oldest = time.time() - older_than_seconds
    for path in folder.glob(f".*{UNFINISHED}"):
        with contextlib.suppress(OSError):  # another process may be as tidy
            if path.stat().st_mtime <= oldest:
                path.unlink()


def without_nan(value: object) -> object:
    """The value as JSON can hold it: NaN becomes None, numpy scalars and tuples become plain."""
    match value:
        case dict():
            return {str(key): without_nan(item) for key, item in value.items()}
        case list() | tuple():
            return [without_nan(item) for item in value]
        case np.generic():
            return without_nan(value.item())
        case float() if math.isnan(value):
            return None
        case _:
            return value
