"""The text of job scripts, read by bash itself where it matters."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from paretocast.cluster.profiles import Profile
from paretocast.cluster.script import (
    SearchRequest,
    command_script,
    directive,
    job_script,
    series_script,
)
from paretocast.errors import SettingsError

ODD_NAMES = [
    "a b",
    "it's",
    'a"b',
    "$(touch pwned)",
    "`touch pwned`",
    "a;touch pwned",
    "a&b|c>d",
    "*",
    "-rf",
    "#x",
    "50%j",
    "über",
    "${HOME}",
    "!!",
]


def make_request(folder: Path = Path("/data/my"), *, source: str = "heat") -> SearchRequest:
    return SearchRequest(
        model="NHITS_Q",
        dataset="heat",
        source=source,
        trials=50,
        stage=None,
        n_workers=1,
        options=(),
        folder=folder,
        workspace=Path("hpo"),
    )


def script(
    request: SearchRequest | None = None, profile: Profile | None = None, **more: object
) -> str:
    text = job_script(
        request or make_request(),
        profile or Profile(),
        program=("paretocast",),
        **more,  # type: ignore[arg-type]
    ).script
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    return text


def directives(text: str) -> dict[str, str]:
    return dict(re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", text, re.MULTILINE))


def run_script(text: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a job would be, with stand-ins on PATH."""
    return subprocess.run(
        ["bash"],
        input=text,
        text=True,
        capture_output=True,
        cwd=folder,
        env={"PATH": f"{folder / 'bin'}:/usr/bin:/bin", **variables},
        timeout=30,
        check=False,
    )


def put(folder: Path, name: str, lines: str) -> None:
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{lines}\n", encoding="utf-8")
    path.chmod(0o755)


def test_a_script_asks_for_what_the_profile_says() -> None:
    profile = Profile(
        partition="a100",
        account="p1",
        gres="gpu:a100:1",
        time="12:00:00",
        cpus=8,
        memory="64G",
        extra=("--qos=long", "--exclusive"),
    )
    assert directives(script(profile=profile)) == {
        "job-name": "hpo_NHITS_Q_heat",
        "output": "/data/my/hpo/logs/hpo_NHITS_Q_heat_%j.log",
        "error": "/data/my/hpo/logs/hpo_NHITS_Q_heat_%j.err",
        "time": "12:00:00",
        "cpus-per-task": "8",
        "mem": "64G",
        "partition": "a100",
        "gres": "gpu:a100:1",
        "account": "p1",
        "signal": "B:USR1@300",
        "open-mode": "append",
        "requeue": "",
        "qos": "long",
        "exclusive": "",
    }


def test_many_workers_are_an_array_of_the_worker_command() -> None:
    text = script(replace(make_request(), n_workers=8))
    assert directives(text)["array"] == "0-7"
    assert directives(text)["output"].endswith("hpo_NHITS_Q_heat_%A_%a.log")
    assert "  paretocast worker\n" in text


def test_no_more_workers_run_at_once_than_the_profile_says() -> None:
    request = replace(make_request(), n_workers=40)
    assert "#SBATCH --array=0-39%8\n" in script(request, Profile(max_running=8))


def test_a_dependent_job_does_not_wait_for_ever() -> None:
    options = directives(script(after=("12", "13")))
    assert (options["dependency"], options["kill-on-invalid-dep"]) == ("afterok:12:13", "yes")


def test_a_stage_and_a_study_reach_the_command() -> None:
    text = script(replace(make_request(), stage=2), study_id="812")
    assert "  --strategy two-stage\n  --stage 2\n" in text
    assert "  --job-id 812\n" in text
    assert "--job-id" not in script()


def test_a_gpu_is_required_unless_the_profile_allows_to_do_without() -> None:
    assert "  --device cuda\n" in script(profile=Profile(gres="gpu:1"))
    assert "--device" not in script(profile=Profile(gres="gpu:1", allow_cpu=True))
    assert "nvidia" not in script()


def test_modules_and_set_up_lines_come_before_the_program() -> None:
    text = script(profile=Profile(modules=("cuda/12.4",), setup=("source env/bin/activate",)))
    assert text.startswith("#!/bin/bash -l\n")
    order = ["module load cuda/12.4", "source env/bin/activate", "program=("]
    assert sorted(order, key=text.index) == order


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_reach_the_program_as_they_are(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    put(tmp_path, "paretocast", 'pwd; printf "%s\\n" "$@"')
    request = replace(make_request(folder, source=f"{name}.toml"), options=("--settings", name))
    done = run_script(script(request), tmp_path)
    lines = done.stdout.splitlines()[1:]  # after the greeting
    assert done.returncode == 0, done.stderr
    assert lines[0] == str(folder)
    assert lines[lines.index("--dataset") + 1] == f"{name}.toml"
    assert lines[-1] == name
    assert not list(tmp_path.rglob("pwned"))


def test_set_up_lines_that_bash_cannot_read_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"setup of the profile is no bash: .*unexpected EOF"):
        script(profile=Profile(setup=("echo 'open",)))


@pytest.mark.parametrize(
    "profile",
    [
        Profile(setup=("export PGPASSWORD=geheim",)),
        Profile(setup=("export PARETOCAST_STORAGE=postgresql://me:ge/heim@db/hpo",)),
        Profile(program=("env", "TOKEN=geheim", "paretocast")),
        Profile(extra=("--export=PGPASSWORD=geheim",)),
    ],
)
def test_a_secret_of_the_profile_reaches_no_script(profile: Profile) -> None:
    with pytest.raises(
        SettingsError, match=r"of the profile holds a password.*~/\.pgpass"
    ) as error:
        script(profile=profile)
    assert "heim" not in str(error.value)


def test_a_shortened_option_of_the_script_is_refused() -> None:
    with pytest.raises(ValueError, match="--output is written by Paretocast"):
        Profile(extra=("--outpu=/etc/x",))


@pytest.mark.parametrize(
    "name", ["a\nb", "a\rb", "a\x00b", "a\x1b[0m", "a\u2028b", "x\n#SBATCH --uid=0"]
)
@pytest.mark.parametrize("where", ["folder", "source", "option", "after", "program"])
def test_a_line_break_is_refused_wherever_it_comes_from(name: str, where: str) -> None:
    request = make_request(Path("/data") / name if where == "folder" else Path("/data"))
    if where == "source":
        request = replace(request, source=name)
    if where == "option":
        request = replace(request, options=(name,))
    with pytest.raises(SettingsError, match="line break or another character"):
        job_script(
            request,
            Profile(),
            program=(name if where == "program" else "paretocast",),
            after=(name,) if where == "after" else (),
        )


@pytest.mark.parametrize("name", ODD_NAMES)
def test_directives_quote_what_sbatch_would_split(name: str) -> None:
    # sbatch takes double quotes and backslashes within them as a shell does
    line = directive("comment", name)
    text = line.removeprefix("#SBATCH --comment=")
    assert shlex.split(text) == [name]


def test_a_percent_sign_in_a_path_is_no_placeholder() -> None:
    assert "/50%%j/hpo/logs/hpo_" in directives(script(make_request(Path("/50%j"))))["output"]


def test_a_backslash_in_the_log_path_is_refused() -> None:
    with pytest.raises(SettingsError, match="holds a backslash"):
        script(make_request(Path("/a\\b")))


@pytest.mark.parametrize("odd", ODD_NAMES)
def test_a_command_reaches_its_program_word_by_word(tmp_path: Path, odd: str) -> None:
    folder = tmp_path / odd
    (folder / "bin").mkdir(parents=True)
    put(folder, "paretocast", "printf '%s\\n' \"$@\"; pwd; exit 5")
    job = command_script(
        ("paretocast", "retrain", odd), Profile(), name=odd, folder=folder, logs=folder / "jobs"
    )
    done = run_script(job.script, folder)
    assert done.returncode == 5, done.stderr
    assert done.stdout.splitlines()[-3:] == ["retrain", odd, str(folder)]
    assert "signal" not in directives(job.script)
    expected = str(folder / "jobs" / odd) + "_7.log"
    assert job.log_paths("7")[0][0] == expected


@pytest.mark.parametrize("code", [0, 1, 2, 137])
def test_the_exit_code_of_the_search_is_that_of_the_job(tmp_path: Path, code: int) -> None:
    put(tmp_path, "paretocast", f"exit {code}")
    assert run_script(script(make_request(tmp_path)), tmp_path).returncode == code


def test_a_failing_set_up_line_ends_the_job_before_the_search(tmp_path: Path) -> None:
    put(tmp_path, "paretocast", "touch started")
    text = script(make_request(tmp_path), Profile(setup=("false",)))
    assert run_script(text, tmp_path).returncode == 1
    assert not (tmp_path / "started").exists()


SEARCH = """\
trap 'echo put away; exit 0' TERM
[ -z "$SIGNAL" ] || kill -s "$SIGNAL" $PPID
for _ in $(seq 100); do sleep 0.05; done
"""


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A folder with a search that has its own job signalled, and with Slurm's commands."""
    put(tmp_path, "paretocast", SEARCH)
    put(tmp_path, "scontrol", f'echo "$@" >> {tmp_path}/asked')
    put(tmp_path, "squeue", 'echo "$STATE"')
    put(tmp_path, "sleep", '[ "$1" = 120 ] || exec /bin/sleep "$@"')  # Slurm ends the long one
    return tmp_path


def signalled(node: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return run_script(script(make_request(node), Profile(max_requeues=3)), node, **variables)


def asked(node: Path) -> str:
    return (node / "asked").read_text() if (node / "asked").exists() else ""


def test_before_the_time_limit_the_search_is_put_away_and_the_job_requeued(node: Path) -> None:
    done = signalled(node, SIGNAL="USR1", SLURM_JOB_ID="812")
    assert "put away\n" in done.stdout
    assert asked(node) == "requeue 812\n"


def test_an_array_element_requeues_itself_and_not_the_array(node: Path) -> None:
    ids = {"SLURM_JOB_ID": "812", "SLURM_ARRAY_JOB_ID": "812", "SLURM_ARRAY_TASK_ID": "3"}
    signalled(node, SIGNAL="USR1", **ids)
    assert asked(node) == "requeue 812_3\n"


def test_a_preempted_job_requeues_itself(node: Path) -> None:
    signalled(node, SIGNAL="TERM", STATE="RUNNING", SLURM_JOB_ID="812")
    assert asked(node) == "requeue 812\n"


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED", ""])
def test_a_cancelled_job_does_not_come_back(node: Path, state: str) -> None:
    done = signalled(node, SIGNAL="TERM", STATE=state, SLURM_JOB_ID="812")
    assert done.returncode == 143
    assert asked(node) == ""


def test_a_job_does_not_requeue_itself_for_ever(node: Path) -> None:
    done = signalled(node, SIGNAL="USR1", SLURM_JOB_ID="812", SLURM_RESTART_COUNT="3")
    assert done.returncode == 1
    assert "started 3 times again" in done.stderr
    assert asked(node) == ""


def test_a_job_that_cannot_be_requeued_fails_and_says_how_to_go_on(node: Path) -> None:
    put(node, "scontrol", "echo refused >&2; exit 1")
    done = signalled(node, SIGNAL="USR1", SLURM_JOB_ID="812")
    assert done.returncode == 1
    assert "paretocast resubmit" in done.stderr


def test_a_search_that_ends_by_itself_is_not_requeued(node: Path) -> None:
    put(node, "paretocast", "exit 0")
    assert signalled(node, SIGNAL="", SLURM_JOB_ID="812").returncode == 0
    assert asked(node) == ""


def test_elements_of_an_array_of_series_search_one_each(tmp_path: Path) -> None:
    put(tmp_path, "paretocast", "printf '%s\\n' \"$@\"")
    requests = [
        replace(make_request(tmp_path, source=f"{odd}.toml#a b"), dataset=f"zones_{i}")
        for i, odd in enumerate(ODD_NAMES)
    ]
    job = series_script(requests, Profile(), program=("paretocast",), n_at_once=3)
    assert directives(job.script)["array"] == f"0-{len(requests) - 1}%3"
    assert (job.n_elements, job.n_at_once) == (len(requests), 3)
    for element, request in enumerate(requests):
        done = run_script(job.script, tmp_path, SLURM_ARRAY_TASK_ID=str(element))
        words = done.stdout.splitlines()
        assert words[words.index("--dataset") + 1] == request.source
    assert not (tmp_path / "pwned").exists()
