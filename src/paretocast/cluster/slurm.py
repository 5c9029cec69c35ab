"""Jobs on a Slurm cluster, through its own commands.

Every command gets a time limit, and an answer that cannot be read is an error that quotes it. Which
command knows a job differs between clusters: `squeue` knows what waits and runs, `sacct` what ended
if there is accounting, and `scontrol` what ended in the last minutes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from paretocast.cluster.base import (
    ElementReport,
    Executor,
    Job,
    JobReport,
    JobState,
    NoAnswerError,
)
from paretocast.errors import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

ANSWER_SECONDS = 60.0
KEPT_VARIABLES = frozenset({"SLURM_CONF", "SLURM_CLUSTERS"})
STATES = {
    "PENDING": JobState.PENDING,
    "CONFIGURING": JobState.PENDING,
    "REQUEUED": JobState.PENDING,
    "REQUEUE_FED": JobState.PENDING,
    "REQUEUE_HOLD": JobState.PENDING,
    "SPECIAL_EXIT": JobState.PENDING,
    "RESV_DEL_HOLD": JobState.PENDING,
    "RUNNING": JobState.RUNNING,
    "COMPLETING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "STAGE_OUT": JobState.RUNNING,
    "SUSPENDED": JobState.RUNNING,
    "STOPPED": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "COMPLETED": JobState.COMPLETED,
    "FAILED": JobState.FAILED,
    "BOOT_FAIL": JobState.NODE_FAIL,
    "NODE_FAIL": JobState.NODE_FAIL,
    "CANCELLED": JobState.CANCELLED,
    "PREEMPTED": JobState.CANCELLED,
    "REVOKED": JobState.CANCELLED,
    "TIMEOUT": JobState.TIMEOUT,
    "DEADLINE": JobState.TIMEOUT,
    "OUT_OF_MEMORY": JobState.OUT_OF_MEMORY,
}
_SUBMITTED = re.compile(r"^(\d+)(?:;\S+)?$", re.MULTILINE)
_FIELD = re.compile(r"(?:^|\s)([A-Z][A-Za-z/:]*)=(\S*)")
_ID = re.compile(r"\d+(_\d+)?")
_MOST_ELEMENTS = re.compile(r"^MaxArraySize\s*=\s*(\d+)", re.MULTILINE)
_ARRAY = re.compile(r"^(#SBATCH --array=)0-\d+", re.MULTILINE)
_PARTITION = re.compile(r"^#SBATCH --partition=([A-Za-z0-9_.,-]+)$", re.MULTILINE)
_COMMENT = re.compile(r"^#SBATCH --comment\b", re.MULTILINE)
_NODES = re.compile(r"^(\S+?)\*? (\d+)\+? (\d+)\+?$", re.MULTILINE)
_NO_ANSWER = re.compile("timed out|[Cc]ommunication connection failure")
_TOO_MUCH = re.compile(
    "CPU count per node|node configuration is not available|Memory specification|partition config",
    re.IGNORECASE,
)
_ELEMENTS = re.compile(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]")  # of an array that has not started


class SlurmExecutor(Executor):
    """The cluster that the commands on PATH belong to.

    Parameters
    ----------
    environment : mapping or None
        For the commands; that of this process if None.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str] | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._environment = clean_environment(os.environ if environment is None else environment)
        self._seconds = answer_seconds

    def most_elements(self) -> int | None:
        """Return the elements that an array job may have; None where the cluster does not say."""
        try:
            found = _MOST_ELEMENTS.search(self._ask(["scontrol", "show", "config"]))
        except ExecutionError:
            return None  # sbatch will say what it does not take
        return int(found[1]) if found is not None and int(found[1]) > 1 else None

    def fitted(self, job: Job) -> Job:
        """Return the job with no more elements than an array may have on this cluster.

        They work on one study, so fewer of them do the same work.
        """
        most = self.most_elements() if job.n_elements > 1 else None
        if most is None or most >= job.n_elements:
            return job
        script = _ARRAY.sub(rf"\g<1>0-{most - 1}", job.script, count=1)
        return replace(job, script=script, n_elements=most)

    def submit(self, job: Job) -> str:
        """Hand a job over and return its id."""
        for pattern in (job.log, job.error_log):
            if "\\" in pattern:
                raise ExecutionError(f"{pattern!r} holds a backslash, which Slurm does not take")
        unsure = (
            f"the job may be in the queue: look with squeue --me --name={shlex.quote(job.name)} "
            "before you submit it again"
        )
        # A comment of the user's own stays; the job is not found by its mark then.
        marked = job.mark and not _COMMENT.search(job.script)
        words = ["sbatch", "--parsable", *([f"--comment={job.mark}"] if marked else [])]
        try:
            answer = self._ask(words, text=job.script, folder=job.folder, if_silent=unsure)
        except ExecutionError as error:
            if _NO_ANSWER.search(str(error)):
                raise NoAnswerError(f"{error}; {unsure}") from error
            if _TOO_MUCH.search(str(error)):
                raise ExecutionError(f"{error}; {self._advice(job)}") from error
            raise
        job_ids = _SUBMITTED.findall(answer)
        if not job_ids:
            raise NoAnswerError(f"sbatch gave no job id but {_quoted(answer)}; {unsure}")
        return str(job_ids[-1])

    def find(self, marks: Sequence[str]) -> Mapping[str, str]:
        """Return the ids of jobs by their marks, from the queue or else the accounting."""
        found = _marked(self._ask(_SQUEUE_MARKS), marks)
        if len(found) < len(marks):
            with contextlib.suppress(ExecutionError):  # no accounting here, or it is down
                found = {**_marked(self._ask(_SACCT_MARKS), marks), **found}
        return found

    def poll(self, job_ids: Sequence[str]) -> Mapping[str, JobReport]:
        """Return a report for each id, one without elements for a job that Slurm has forgotten."""
        if not job_ids:
            return {}
        live = _grouped(_read(self._ask(_SQUEUE), "squeue", _squeue_line), job_ids)
        ended = [job_id for job_id in job_ids if not live[job_id].state.active]
        return {**live, **self._with_ends({job_id: live[job_id] for job_id in ended})}

    def cancel(self, job_ids: Sequence[str]) -> None:
        """End jobs, waiting or running."""
        for job_id in job_ids:
            _check_id(job_id)
        if job_ids:
            self._ask(["scancel", *job_ids])

    def _advice(self, job: Job) -> str:
        """Nodes of a job's partition, and the keys of the profile to change."""
        partition = _PARTITION.search(job.script)
        words = ["sinfo", "--noheader", "--format=%P %c %m"]
        words += [f"--partition={partition[1]}"] if partition else []
        try:
            nodes = _NODES.findall(self._ask(words))
        except ExecutionError:
            nodes = []
        have = "".join(
            f"{name} has nodes of {cpus} processors and {memory} MB, "
            for name, cpus, memory in nodes
        )
        return f"{have}lower cpus or memory of the profile, or name another partition"

    def _with_ends(self, reports: Mapping[str, JobReport]) -> dict[str, JobReport]:
        """Reports of jobs that squeue does not call active, with how they ended.

        squeue shows that for some minutes too, but no exit code. The accounting may lag behind it:
        still call a job running, or know one record of an array and not yet its elements.
        """
        complete = dict(reports)
        if not complete:
            return complete
        try:
            bases = dict.fromkeys(map(_base, complete))
            words = [*_SACCT, "--jobs", ",".join(bases)]
            ended = _read(self._ask(words), "sacct", _sacct_line)
            ends = _grouped(_with_removed(ended, complete), tuple(complete))
            complete = {
                job_id: _joined(report, ends[job_id]) for job_id, report in complete.items()
            }
        except ExecutionError:
            pass  # no accounting here, or it is down
        unsure: dict[str, list[str]] = {}
        for job_id, report in complete.items():
            if not report.elements or any(e.exit_code is None for e in report.elements):
                unsure.setdefault(_base(job_id), []).append(job_id)
        for base, job_ids in unsure.items():
            try:
                answer = self._ask(["scontrol", "--oneliner", "show", "job", base])
                ends = _grouped(_read(answer, "scontrol", _scontrol_line), job_ids)
            except ExecutionError:
                continue  # forgotten
            complete |= {job_id: _joined(complete[job_id], ends[job_id]) for job_id in job_ids}
        return complete

    def _ask(
        self,
        words: Sequence[str],
        *,
        text: str | None = None,
        folder: Path | None = None,
        if_silent: str = "is the cluster busy or down?",
    ) -> str:
        """The answer of a command."""
        try:
            done = subprocess.run(
                words,
                input=text,
                stdin=subprocess.DEVNULL if text is None else None,
                capture_output=True,
                cwd=folder,
                env=self._environment,
                timeout=self._seconds,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except FileNotFoundError as error:
            raise ExecutionError(
                f"{error.filename} is not there: is this machine part of a Slurm cluster, "
                "and are its commands on PATH?"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise NoAnswerError(
                f"{words[0]} gave no answer within {self._seconds:g} s; {if_silent}"
            ) from error
        except OSError as error:
            raise ExecutionError(f"{words[0]} cannot be run: {error.strerror}") from error
        if done.returncode != 0:
            answer = _quoted(done.stderr or done.stdout)
            raise ExecutionError(f"{words[0]} failed with exit code {done.returncode}: {answer}")
        return done.stdout


_SQUEUE = (
    "squeue",
    f"--user={os.getuid()}",
    "--all",
    "--array",
    "--noheader",
    "--states=all",
    "--format=%i|%T|%M|%r",
)
_SACCT = (
    "sacct",
    "--noheader",
    "--parsable2",
    "--allocations",
    "--format=JobID,State,ExitCode,ElapsedRaw",
)

_SQUEUE_MARKS = (
    "squeue",
    f"--user={os.getuid()}",
    "--all",
    "--noheader",
    "--states=all",
    "--format=%F|%k",
)
_SACCT_MARKS = (
    "sacct",
    "--noheader",
    "--parsable2",
    "--allocations",
    "--starttime=now-7days",
    "--format=JobID,Comment",
)


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what another job or the user's taste in tables left in it.

    A job submitted from inside a job would inherit that one's SLURM_ARRAY_JOB_ID and take it for
    its own.
    """
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("SLURM_", "SQUEUE_", "SACCT_")) or name in KEPT_VARIABLES
    } | {"LC_ALL": "C.UTF-8"}


def parse_state(text: str) -> JobState:
    """Return the state behind Slurm's word for it.

    >>> parse_state("CANCELLED by 1000")
    <JobState.CANCELLED: 'cancelled'>
    """
    word = text.split(maxsplit=1)[0].rstrip("+") if text.strip() else ""
    return STATES.get(word, JobState.UNKNOWN)


def parse_elapsed(text: str) -> float | None:
    """Return seconds of days-hours:minutes:seconds; None if it is nothing of the kind.

    >>> parse_elapsed("1-02:03:04")
    93784.0
    """
    days, dash, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or not 1 < len(parts) <= 3:
        return None
    if dash and not days.isdigit():
        return None
    seconds = 0.0
    for part in parts:
        seconds = 60.0 * seconds + int(part)
    return seconds + 86400.0 * int(days or 0)


def _read(
    answer: str, command: str, read_line: Callable[[str], ElementReport]
) -> list[ElementReport]:
    """Reports of all elements in an answer, a line of which may stand for several or for none.

    An answer without a single one is empty or not understood.
    """
    lines = [read_line(line) for line in answer.splitlines()]
    reports = [
        replace(line, job_id=element) for line in lines for element in _element_ids(line.job_id)
    ]
    if not reports and answer.strip():
        raise ExecutionError(f"{command} answered what is not understood: {_quoted(answer)}")
    return reports


def _marked(answer: str, marks: Sequence[str]) -> dict[str, str]:
    """Ids of jobs by those of the marks that stand in lines `ID|comment`."""
    lines = (line.partition("|") for line in answer.splitlines())
    found = {comment.strip(): _base(job_id.strip()) for job_id, _, comment in lines}
    return {mark: found[mark] for mark in marks if mark in found}


def _squeue_line(line: str) -> ElementReport:
    job_id, state, elapsed, reason = (*line.split("|", 3), "", "", "")[:4]
    return ElementReport(
        job_id.strip(),
        parse_state(state),
        reason=_reason(reason),
        elapsed_seconds=parse_elapsed(elapsed.strip()),
    )


def _sacct_line(line: str) -> ElementReport:
    job_id, state, exit_code, elapsed = (*line.split("|"), "", "", "")[:4]
    return ElementReport(
        job_id,
        parse_state(state),
        reason="preempted" if state.startswith("PREEMPTED") else "",
        exit_code=_exit_code(exit_code),
        elapsed_seconds=float(elapsed) if elapsed.isdigit() else None,
    )


def _scontrol_line(line: str) -> ElementReport:
    fields = dict(_FIELD.findall(line))
    job_id = fields.get("JobId", "")
    if "ArrayTaskId" in fields:
        tasks = fields["ArrayTaskId"]
        job_id = f"{fields.get('ArrayJobId')}_{tasks if tasks.isdigit() else f'[{tasks}]'}"
    return ElementReport(
        job_id,
        parse_state(fields.get("JobState", "")),
        reason=_reason(fields.get("Reason", "")),
        exit_code=_exit_code(fields.get("ExitCode", "")),
        elapsed_seconds=parse_elapsed(fields.get("RunTime", "")),
    )


def _element_ids(job_id: str) -> list[str]:
    """Ids in what Slurm calls a job: one, those of a range such as `812_[0-2,5%4]`, or none."""
    if _ID.fullmatch(job_id):
        return [job_id]
    match = _ELEMENTS.fullmatch(job_id)
    if match is None:
        return []
    elements: list[str] = []
    for part in match[2].split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            numbers = range(int(first), int(last or first) + 1)
            elements += [f"{match[1]}_{number}" for number in numbers]
    return elements


def _grouped(reports: Iterable[ElementReport], job_ids: Sequence[str]) -> dict[str, JobReport]:
    """Elements by the job that was asked for, which may be one element itself."""
    elements: dict[str, dict[str, ElementReport]] = {job_id: {} for job_id in job_ids}
    for report in reports:
        for job_id in {report.job_id, _base(report.job_id)} & elements.keys():
            elements[job_id][report.job_id] = report
    return {job_id: JobReport(tuple(parts.values())) for job_id, parts in elements.items()}


def _with_removed(
    ended: Sequence[ElementReport], reports: Mapping[str, JobReport]
) -> list[ElementReport]:
    """Reports of the accounting, with those of elements that were removed before they started.

    These leave no trace: their array is known, and they are not.
    """
    known, arrays = {e.job_id for e in ended}, {_base(e.job_id) for e in ended}
    removed = [
        job_id
        for job_id, report in reports.items()
        if "_" in job_id and not report.elements and job_id not in known and _base(job_id) in arrays
    ]
    return [*ended, *(ElementReport(job_id, JobState.CANCELLED) for job_id in removed)]


def _joined(report: JobReport, later: JobReport) -> JobReport:
    """A report with what a second source says of its elements, or of elements it lacks."""
    elements = {element.job_id: element for element in report.elements}
    for element in later.elements:
        if element.job_id not in elements or not element.state.active:
            elements[element.job_id] = element
    if any("_" in job_id for job_id in elements):  # the record of the array itself is none of them
        elements = {job_id: element for job_id, element in elements.items() if "_" in job_id}
    return JobReport(tuple(elements.values()))


def _base(job_id: str) -> str:
    """The id without its element."""
    return job_id.partition("_")[0]


def _check_id(job_id: str) -> None:
    if not _ID.fullmatch(job_id):
        raise ExecutionError(f"{job_id!r} is no job id of Slurm, expected e.g. 812 or 812_3")


def _reason(text: str) -> str:
    reason = text.strip().strip("()")
    return "" if reason in {"None", "N/A"} else reason


def _exit_code(text: str) -> int | None:
    """Of the script; one that a signal ended has 128 and the signal's number, as in a shell."""
    code, colon, number = text.partition(":")
    if not colon or not code.isdigit() or not number.isdigit():
        return None
    return int(code) or (128 + int(number) if int(number) else 0)


def _quoted(answer: str) -> str:
    text = " ".join(answer.split())
    if not text:
        return "nothing"
    return repr(text if len(text) <= 300 else f"{text[:300]}…")
