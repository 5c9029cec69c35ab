"""The text of a job script: directives for Slurm, then bash that a person can read and edit.

Two parsers read it. Bash gets every word through `shlex.quote`; sbatch reads the directives by its
own rules, see `directive`. Nothing with a line break gets past either.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretocast.cluster.base import Job
from paretocast.cluster.profiles import plain_text
from paretocast.errors import SettingsError
from paretocast.formatting import count
from paretocast.redaction import holds_secret, redacted
from paretocast.workspace.runs import TWO_STAGE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from paretocast.cluster.profiles import Profile

ELEMENT = "SLURM_ARRAY_TASK_ID"  # of an array job, set for each of its elements
_SAFE_VALUE = re.compile(r"[A-Za-z0-9_@+=:,./%-]+")


@dataclass(frozen=True)
class SearchRequest:
    """One search to be run as a job.

    Attributes
    ----------
    dataset, source : str
        Name of the data set, and what the user called it: the name or the path of its file.
    stage : int or None
        1 or 2 of the two-stage strategy; None searches in a single stage.
    n_workers : int
        Above 1, an array job of so many workers on one study.
    options : tuple of str
        Further options of `paretocast tune`, one word each.
    folder : Path
        The folder in which the job runs: absolute, all relative paths start there.
    workspace : Path
        As the user gave it.
    """

    model: str
    dataset: str
    source: str
    trials: int
    stage: int | None
    n_workers: int
    options: tuple[str, ...]
    folder: Path
    workspace: Path

    @property
    def title(self) -> str:
        """The search in words."""
        stage = "" if self.stage is None else f", stage {self.stage}"
        return f"{self.model} on {self.dataset}{stage}"

    @property
    def logs(self) -> Path:
        """Folder of the job's output, absolute."""
        return self.folder / self.workspace / "logs"


def job_script(
    request: SearchRequest,
    profile: Profile,
    *,
    program: tuple[str, ...],
    study_id: str | None = None,
    after: tuple[str, ...] = (),
) -> Job:
    """Return the job that runs a search until its trials are done.

    Parameters
    ----------
    program : tuple of str
        Words that start Paretocast on the node.
    study_id : str or None
        Id of the study to continue. None: the search takes it from the scheduler's job id, which
        stays the same when the job is requeued.
    after : tuple of str
        Ids of jobs that must have completed first.

    Raises
    ------
    SettingsError
        If a name or path cannot stand in a job script.
    """
    command = _command(
        request, profile, program=program, source=_quoted(request.source), study_id=study_id
    )
    return _search_job(
        request,
        profile,
        name=f"hpo_{request.model}_{request.dataset}",
        title=request.title,
        command=command,
        n_elements=request.n_workers,
        n_at_once=profile.max_running,
        after=after,
    )


def series_script(
    requests: Sequence[SearchRequest],
    profile: Profile,
    *,
    program: tuple[str, ...],
    n_at_once: int | None = None,
) -> Job:
    """Return the array job of which each element runs one of the searches.

    Parameters
    ----------
    requests : sequence of SearchRequest
        Alike but for the data set. The study of each has the id that Slurm gives the array.
    program : tuple of str
        Words that start Paretocast on the node.
    n_at_once : int or None
        Elements that may run at the same time; None for all.

    Raises
    ------
    SettingsError
        If a name or path cannot stand in a job script.
    """
    first = requests[0]
    others = f"_and_{len(requests) - 1}_more"
    datasets = ["datasets=(", *(f"  {_quoted(request.source)}" for request in requests), ")"]
    source = f'"${{datasets[{ELEMENT}]}}"'
    return _search_job(
        first,
        profile,
        name=f"hpo_{first.model}_{first.dataset}{others}",
        title=f"{first.title}, and {len(requests) - 1} more series",
        before=datasets,
        command=_command(first, profile, program=program, source=source, study_id=None),
        n_elements=len(requests),
        n_at_once=n_at_once,
    )


def _search_job(
    request: SearchRequest,
    profile: Profile,
    *,
    name: str,
    title: str,
    command: Sequence[str],
    n_elements: int,
    n_at_once: int | None,
    before: Sequence[str] = (),
    after: tuple[str, ...] = (),
) -> Job:
    _check_words(profile, request.options)
    log = _log_pattern(request.logs / name, "%A_%a" if n_elements > 1 else "%j")
    lines = [
        "#!/bin/bash -l" if profile.modules else "#!/bin/bash",
        *_directives(
            profile,
            name=name,
            log=log,
            array=_array(n_elements, n_at_once),
            signal=f"B:USR1@{profile.lead_seconds}",
            after=after,
        ),
        "",
        f"# {title}, {count(request.trials, 'trial')}. Written by paretocast submit; edit it and",
        "# give it to sbatch as you like. The folder of the logs has to exist beforehand.",
        "",
        *_environment(request.folder, profile),
        *before,
        "program=(",
        *(f"  {line}" for line in command),
        ")",
        f"most_restarts={profile.max_requeues}",
        "",
        _RUN,
    ]
    return Job(
        name=name,
        script="\n".join(lines),
        folder=request.folder,
        log=f"{log}.log",
        error_log=f"{log}.err",
        n_elements=n_elements,
        after=after,
        n_at_once=n_at_once if n_elements > 1 else None,
    )


def command_script(
    words: tuple[str, ...], profile: Profile, *, name: str, folder: Path, logs: Path
) -> Job:
    """Return the job that runs one command; taken off its node, it runs it anew.

    Parameters
    ----------
    words : tuple of str
        The command.
    folder : Path
        The folder in which it runs, absolute.
    logs : Path
        Folder of its output, absolute.

    Raises
    ------
    SettingsError
        If a name or path cannot stand in a job script.
    """
    _check_words(profile, words)
    log = _log_pattern(logs / name, "%j")
    lines = [
        "#!/bin/bash -l" if profile.modules else "#!/bin/bash",
        *_directives(profile, name=name, log=log),
        "",
        *_environment(folder, profile),
        " ".join(("exec", *(_quoted(word) for word in words))),
    ]
    script = "\n".join(lines) + "\n"
    return Job(name=name, script=script, folder=folder, log=f"{log}.log", error_log=f"{log}.err")


def directive(option: str, value: str) -> str:
    r"""Return the line that sets an option of sbatch.

    sbatch splits the line at blanks and ends it at `#`, but takes what stands in double quotes as
    it is, save that a backslash makes the next character plain.

    Raises
    ------
    SettingsError
        If the value holds a line break or another control character.

    Examples
    --------
    >>> directive("output", '/data/my "best" runs/%j.log')
    '#SBATCH --output="/data/my \\"best\\" runs/%j.log"'
    """
    value = _printable(value)
    if not _SAFE_VALUE.fullmatch(value):
        value = '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
    return f"#SBATCH --{option}={value}"


def _array(n_elements: int, n_at_once: int | None) -> str | None:
    """Elements of an array job, with the number that may run at once."""
    if n_elements == 1:
        return None
    return f"0-{n_elements - 1}" if n_at_once is None else f"0-{n_elements - 1}%{n_at_once}"


def _directives(
    profile: Profile,
    *,
    name: str,
    log: str,
    array: str | None = None,
    signal: str | None = None,
    after: tuple[str, ...] = (),
) -> list[str]:
    options = {
        "job-name": name,
        "output": f"{log}.log",
        "error": f"{log}.err",
        "time": profile.time,
        "cpus-per-task": str(profile.cpus),
        "mem": profile.memory,
        "partition": profile.partition,
        "gres": profile.gres,
        "account": profile.account,
        "array": array,
        "signal": signal,
        "open-mode": "append",
    }
    lines = [directive(option, value) for option, value in options.items() if value is not None]
    lines.append("#SBATCH --requeue")
    if after:
        lines.append(directive("dependency", f"afterok:{':'.join(after)}"))
        lines.append(directive("kill-on-invalid-dep", "yes"))
    for extra in profile.extra:
        option, equals, value = extra.removeprefix("--").partition("=")
        lines.append(directive(option, value) if equals else f"#SBATCH --{option}")
    return lines


def _environment(folder: Path, profile: Profile) -> list[str]:
    lines = [f"cd -- {_quoted(str(folder))} || exit 1"]
    lines += [f"module load {_quoted(module)} || exit 1" for module in profile.modules]
    if profile.setup:
        lines += ["set -e", *profile.setup, "set +e"]
    lines.append(_GREETING)
    if profile.wants_gpu:
        otherwise = "the job goes on without" if profile.allow_cpu else "the job needs one"
        lines.append(_GPU.replace("OTHERWISE", otherwise))
    return lines


def _command(
    request: SearchRequest,
    profile: Profile,
    *,
    program: tuple[str, ...],
    source: str,
    study_id: str | None,
) -> list[str]:
    """Lines of quoted words; the data set comes as bash is to read it."""
    options = {"--trials": str(request.trials), "--workspace": str(request.workspace)}
    if request.stage is not None:
        options |= {"--strategy": TWO_STAGE, "--stage": str(request.stage)}
    if study_id is not None:
        options["--job-id"] = study_id
    if profile.wants_gpu and not profile.allow_cpu:
        options["--device"] = "cuda"
    subcommand = "worker" if request.n_workers > 1 else "tune"
    lines = [" ".join(_quoted(word) for word in (*program, subcommand))]
    lines += [f"--model {_quoted(request.model)}", f"--dataset {source}"]
    lines += [f"{option} {_quoted(value)}" for option, value in options.items()]
    lines.append(f'--threads "${{SLURM_CPUS_PER_TASK:-{profile.cpus}}}"')
    if request.options:
        lines.append(" ".join(_quoted(word) for word in request.options))
    return lines


def _check_words(profile: Profile, words: tuple[str, ...]) -> None:
    """Refuse what others could read in the script and must not, and set-up lines that bash cannot.

    Raises
    ------
    SettingsError
        If a text holds a password or token, or the set-up lines are no bash.
    """
    places = {
        "an option": words,
        "setup of the profile": profile.setup,
        "program of the profile": profile.program,
        "extra of the profile": profile.extra,
    }
    for place, texts in places.items():
        if secret := next(filter(holds_secret, texts), None):
            raise SettingsError(
                f"{place} holds a password or token ({redacted(secret)}), which would stand in the "
                "job script for others to read; export it before you submit, or put it into "
                "~/.pgpass or another file that the job reads"
            )
    if profile.setup and (bash := shutil.which("bash")):
        lines = "\n".join(profile.setup)
        read = subprocess.run(
            [bash, "-n"], input=lines, text=True, capture_output=True, check=False
        )
        if read.returncode != 0:
            reason = read.stderr.strip().partition("\n")[0]
            raise SettingsError(f"setup of the profile is no bash: {reason}")


def _log_pattern(path: Path, job: str) -> str:
    """Path of the logs without its ending, with the scheduler's placeholders."""
    return f"{_without_backslash(str(path)).replace('%', '%%')}_{job}"


def _without_backslash(folder: str) -> str:
    if "\\" in folder:
        raise SettingsError(
            f"the folder {folder!r} holds a backslash, which Slurm does not take in the path of a "
            "log; choose another one"
        )
    return folder


def _quoted(word: str) -> str:
    return shlex.quote(_printable(word))


def _printable(text: str) -> str:
    try:
        return plain_text(text)
    except ValueError as error:
        raise SettingsError(str(error)) from error


_GREETING = """\
# An array element has a job id of its own, but the one that equals the id of the array means all.
job=${SLURM_JOB_ID:-none}
[ -z "${SLURM_ARRAY_JOB_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}
say() { echo "$(date -Is) $*"; }
say "job $job on $(hostname), restart ${SLURM_RESTART_COUNT:-0}"
"""
_GPU = """\
say "CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:-}"
nvidia-smi -L || say "no NVIDIA GPU answers: OTHERWISE"
"""
_RUN = """\
# Slurm signals this shell before the time limit (USR1), and all processes of a job that it takes
# off the node (TERM). The search puts its trial away on TERM. Bash hears only while it waits.
asked=
put_away() {
  asked=$1
  [ -z "${search:-}" ] || kill -TERM "$search" 2>/dev/null
}
trap 'put_away USR1' USR1
trap 'put_away TERM' TERM
"${program[@]}" &
search=$!
[ -z "$asked" ] || kill -TERM "$search"
wait "$search"
status=$?
[ -n "$asked" ] || exit "$status"  # it ended by itself
while kill -0 "$search" 2>/dev/null; do sleep 0.5; done

# A job that somebody cancelled must not come back; one that Slurm preempts is still running here.
state=$(squeue --noheader --jobs="$job" --format=%T 2>/dev/null)
if [ "$asked" = TERM ] && [ "$state" != RUNNING ]; then
  say "taken off the node; unless Slurm starts it again, paretocast resubmit continues the study"
  exit 143
fi
if [ "${SLURM_RESTART_COUNT:-0}" -ge "$most_restarts" ]; then
  say "started $most_restarts times again, the most that the profile allows" >&2
  exit 1
fi
say "paused on $asked; asking Slurm to start job $job again"
if ! scontrol requeue "$job"; then
  say "job $job cannot be started again; continue its study with paretocast resubmit" >&2
  exit 1
fi
exec sleep 120  # Slurm ends it in the meantime
"""
