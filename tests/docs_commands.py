"""The shell commands of the README and the documents: found, compared with what there is, and run.

python tests/docs_commands.py                  run them in an empty folder, made small
python tests/docs_commands.py --fresh          in an environment that is made and filled first
python tests/docs_commands.py --list           say which are run and why others are not
python tests/docs_commands.py README.md        the commands of one document

Commands are made small (`SMALLER`: three trials of 20 steps on less than a year of data), but
otherwise pasted as they stand, in the order of the documents, as a reader would. What needs a
cluster, a network, or hours is in `ONLY_COMPARED` with its reason: its program, subcommand and
options must exist.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
PROGRAMS = ("paretocast ", "python ", "python3 ", "make ", "pip ", "curl ", "export ", ". ")
CALL = re.compile(r"(?<![\w.])paretocast [a-z][^`\"|#…'>]*")
# In this order a reader meets them: later ones use what earlier ones have left.
RUN_DOCUMENTS = (
    *("README.md", "docs/start.md", "docs/own_data.md", "docs/why.md", "docs/results.md"),
    # The page on data sets declares the same file anew, which begins other studies.
    *("docs/benchmarks.md", "docs/calibration.md", "docs/concepts/calibration.md"),
    *("docs/datasets.md", "docs/operations.md", "docs/export.md", "docs/weather.md"),
    *("docs/retraining.md", "docs/serving.md", "docs/clusters.md"),
)
ONLY_COMPARED = {
    r"make ": "installs into .venv of the repository; continuous integration runs it",
    r"(pip install|python3 -m venv|\. |export )": "sets up an environment: --fresh does it",
    r"python3? (experiments|benchmarks)/": "measures for minutes to hours",
    r"paretocast weather ": "asks a server on the internet; tests/weather_server.py stands for it",
    r"python -c 'import optuna; .*proxy": "needs PostgreSQL",
    r"curl ": "its body is shortened by …; tests/integration/test_serve.py sends whole ones",
    r"paretocast (tune|benchmark) .*(--dataset (heat|bwdf_a|water_centrum)|experiments/)": (
        "takes minutes on a real series"
    ),
    r"paretocast .*gb_load_half_hourly": "needs a file that experiments make; takes minutes",
}
# What a command is pasted as: the same command with less to do, or where it would change others.
SMALLER = (
    (r"--trials \d+ --time-limit \w+|--time-limit \w+|--trials \d+", "--trials 3"),
    (r"--resume --trials 3", "--resume --trials 4"),
    (r"--workers \d+", "--workers 2"),
    (r"^(paretocast tune .*--settings.*)$", r"\1 --steps 20 --trials 3"),
    (r"^(paretocast tune (?!.*--(trials|resume)).*)$", r"\1 --trials 3"),
    (r"^(paretocast tune (?!.*--(settings|resume)).*)$", r"\1 --settings small.toml"),
    (r"^(paretocast submit [^-]*)", r"\1--dry-run "),
    (
        r"^(paretocast (?:serve|view).*?)( --open| --port \d+)*$",
        r"timeout --preserve-status 20 \1 --port 0",
    ),
    (r"(\S*)study_ID\.html", r'"$(ls -t \1study_*.html | head -1)"'),
    (r"\bDIR\b|\bDATA\b", '"$PARETOCAST_DATA"'),
)
ALSO_FINE = {  # exit codes beside 0 that say something, by what a command holds
    r"paretocast monitor": (3, 4),  # watch, alarm
    r"paretocast forecast": (3,),  # degraded
    r"paretocast retrain": (5,),  # the bundle in use stays
    r"paretocast view": (130, 143),  # ended by a signal
    r"--ensemble": (1,),  # after so small a search there may be no two trials to average
}
MOST_SECONDS = 1800
ZONES = """
name = "zones"
path = "zones.csv"
time_column = "timestamp"
unit = "MW"
zone = "Europe/Copenhagen"
[series]
targets = ["north", "south"]
"""
SMALL = """
recipe = []
[training]
steps = 20
[space.NHITS_Q]
num_stacks = { values = [2] }
num_blocks = { values = [1] }
layer_widths = { values = [64] }
"""
HEAT = """
name = "heat"
path = "heat.csv"
time_column = "timestamp"
target = "heat"
unit = "kWh"
zone = "Europe/Copenhagen"
[covariates.temperature]
role = "forecast"
unit = "°C"
"""


@dataclass(frozen=True)
class Command:
    """A command as it stands in a document, without its comment."""

    document: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.text}"

    @property
    def reason(self) -> str | None:
        """Why it is not run, if it is not."""
        for pattern, reason in ONLY_COMPARED.items():
            if re.match(pattern, self.text):
                return reason
        return None

    @property
    def smaller(self) -> str:
        """The same with less to do."""
        text = self.text
        for pattern, replacement in SMALLER:
            text = re.sub(pattern, replacement, text)
        return text


def commands_of(path: Path) -> list[Command]:
    """Commands of the code blocks of a document that have no language or one of a shell."""
    document, found = str(path.relative_to(ROOT)), []
    lines = iter(enumerate(path.read_text("utf-8").splitlines(), start=1))
    language: str | None = None  # of the block that the line is in
    for number, line in lines:
        if line.startswith("```"):
            language = None if language is not None else line[3:].strip()
            continue
        shell = language in {"", "sh", "bash", "console"}
        indented = language is None and line.startswith("    ")
        text = line.strip().removeprefix("$ ")
        if (shell or indented) and text.startswith(PROGRAMS):
            found.append(Command(document, number, _whole(text, lines)))
    return found


def _whole(text: str, lines: Iterator[tuple[int, str]]) -> str:
    """A command up to the end of its quotes, without a comment behind it."""
    while text.count("'") % 2:
        text += "\n" + next(lines)[1]
    return re.sub(r"\s+# .*", "", text)


def mentions_of(path: Path) -> list[Command]:
    """Calls of `paretocast` in inline code or in code of any language, such as a line for cron."""
    document, found = str(path.relative_to(ROOT)), []
    inside = False
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        inside ^= line.startswith("```")
        code = [line] if inside or line.startswith("    ") else re.findall(r"`([^`]+)`", line)
        calls = (match for text in code for match in CALL.finditer(text))
        found += [Command(document, number, match[0].strip()) for match in calls]
    return found


def unknown_words(command: Command) -> list[str]:
    """Subcommands, options, scripts, targets and extras in a command that there are not."""
    words = shlex.split(command.text)
    if words[0] == "paretocast":
        return _unknown_options(words[1:])
    if words[0] in {"python", "python3"} and words[1].endswith(".py"):
        return _unknown_script_options(words[1], words[2:])
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.M)
        return [word for word in words[1:] if "=" not in word and word not in targets]
    if words[:2] == ["pip", "install"]:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        named = re.findall(r"[a-z]+", ",".join(re.findall(r"\[(.*?)\]", command.text)))
        return [extra for extra in named if extra not in project["optional-dependencies"]]
    return []


def _unknown_options(words: Sequence[str]) -> list[str]:
    """Of `paretocast`: the words of which its commands know nothing."""
    command: Any = _command_line()  # a group or a command, which have no common type
    rest = [*words]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in command.commands:
            return [name]
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    if "--" in rest:  # what follows goes to tune
        cut = rest.index("--")
        rest, passed = rest[:cut], rest[cut + 1 :]
        return [*_options_beside(rest, known), *_unknown_options(["tune", *passed])]
    return _options_beside(rest, known)


@cache
def _command_line() -> object:
    from typer.main import get_command

    from paretocast.cli import app

    return get_command(app)


def _options_beside(words: Sequence[str], known: set[str]) -> list[str]:
    given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return [option for option in given if option not in known]


def _unknown_script_options(script: str, words: Sequence[str]) -> list[str]:
    """Of a script of the repository: options that neither it nor what it imports beside it has."""
    path = ROOT / script
    if not path.is_file():
        return [script]
    text = path.read_text("utf-8")
    for name in re.findall(r"^(?:from|import) ([\w.]+)", text, re.M):
        beside = path.parent / f"{name.replace('.', '/')}.py"
        text += beside.read_text("utf-8") if beside.is_file() else ""
    options = [word.strip("[]") for word in words if word.strip("[").startswith("--")]
    return [option for option in options if f'"{option}"' not in text]


def prepare(folder: Path) -> None:
    """Write what a reader has: a series, the same as others name it, and two zones in a file."""
    from paretocast.data import generate_demo

    series, _ = generate_demo(days=340)
    frame = pd.DataFrame({"heat": series.values}, index=series.index)
    for covariate in series.covariates:
        frame[covariate.name] = covariate.values
    last = pd.Timestamp("2026-11-27T00:00Z")
    frame.index = (frame.index - frame.index[-1]).round("h") + last
    times = pd.DatetimeIndex(frame.index)
    frame.loc[times >= pd.Timestamp("2026-11-25T00:00Z"), "heat"] = float("nan")
    frame.insert(0, "timestamp", times.strftime("%Y-%m-%dT%H:%M:%SZ"))
    for name in ("my_zone.csv", "heat.csv"):
        frame.to_csv(folder / name, index=False)
    yesterday = pd.Timestamp("2026-11-24T00:00Z")
    frame.drop(columns="heat")[times >= yesterday].to_csv(folder / "nwp.csv", index=False)
    observed = frame[times < yesterday + pd.Timedelta(days=1)]
    zones = pd.DataFrame(
        {"timestamp": observed.timestamp, "north": observed.heat, "south": 2 * observed.heat}
    )
    zones.to_csv(folder / "zones.csv", index=False)
    (folder / "zones.toml").write_text(ZONES, encoding="utf-8")
    (folder / "small.toml").write_text(SMALL, encoding="utf-8")
    (folder / "heat.toml").write_text(HEAT, encoding="utf-8")
    (folder / "meters").mkdir()
    meter = HEAT.replace('"heat.csv"', '"../heat.csv"').replace('name = "heat"', 'name = "meter"')
    (folder / "meters" / "meter.toml").write_text(meter, encoding="utf-8")
    (folder / "examples").symlink_to(ROOT / "examples")


# What a document takes for granted, and the command that makes it where it is not there yet.
STUDY = "paretocast tune --model NHITS_Q --dataset {} --trials 3 --settings small.toml"
HEAT_STUDY = ("hpo/results/NHITS_Q_heat", STUDY.format("heat.toml"))
HEAT_DEPLOYED = ("deploy/heat", "paretocast deploy hpo/results/NHITS_Q_heat --to deploy/heat")
DEMO_DEPLOYED = ("deploy/demo", "paretocast deploy hpo/results/NHITS_Q_heat --to deploy/demo")
MY_ZONE = ("my_zone.toml", "paretocast data init my_zone.csv --zone Europe/Copenhagen")
BEFORE: dict[str, tuple[tuple[str, str], ...]] = {
    "docs/calibration.md": (("hpo/results/NHITS_Q_demo", STUDY.format("demo")),),
    "docs/concepts/calibration.md": (("hpo/results/NHITS_Q_demo", STUDY.format("demo")),),
    "docs/operations.md": (HEAT_STUDY,),
    "docs/export.md": (HEAT_STUDY, HEAT_DEPLOYED),
    "docs/weather.md": (HEAT_STUDY, HEAT_DEPLOYED),
    "docs/serving.md": (HEAT_STUDY, HEAT_DEPLOYED),
    "docs/datasets.md": (MY_ZONE,),
    "docs/benchmarks.md": (
        MY_ZONE,
        HEAT_STUDY,
        ("hpo/results/NHITS_Q_my_zone", STUDY.format("my_zone.toml")),
    ),
    "docs/retraining.md": (
        HEAT_STUDY,
        HEAT_DEPLOYED,
        DEMO_DEPLOYED,
        ("demo.csv", "cp heat.csv demo.csv"),
        # A second bundle, so that there is one to roll back to.
        (
            "deploy/.second",
            f"{HEAT_DEPLOYED[1]} --method ridge; mkdir deploy/.second",
        ),
    ),
}


def run_commands(
    commands: Sequence[Command], folder: Path, environment: Mapping[str, str]
) -> list[str]:
    """Run commands one after the other in a prepared folder; what failed, with its last lines."""
    failures: list[str] = []
    document = ""
    for command in commands:
        needed: tuple[tuple[str, str], ...] = ()
        if command.document != document:
            document = command.document
            needed = BEFORE.get(document, ())
        missing = (text for path, text in needed if not (folder / path).exists())
        for text in (*missing, command.smaller):
            if found := re.match(r"paretocast data init (\S+)\.\w+", text):
                (folder / f"{found[1]}.toml").unlink(missing_ok=True)
            if told := _run(text, folder, environment):
                failures.append(f"{command}\n{told}")
    return failures


def _run(text: str, folder: Path, environment: Mapping[str, str]) -> str | None:
    """Run a command; what it said if it failed."""
    begun = time.monotonic()
    try:
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=folder,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"LATE {time.monotonic() - begun:5.1f} s  {text}", flush=True)
        return f"  ran as: {text}\n  did not end in {MOST_SECONDS} s"
    also = [code for held, codes in ALSO_FINE.items() if re.search(held, text) for code in codes]
    fine = done.returncode in {0, *also}
    mark = "ok  " if fine else f"FAIL {done.returncode}"
    print(f"{mark} {time.monotonic() - begun:5.1f} s  {text}", flush=True)
    if fine:
        return None
    lines = (done.stdout + done.stderr).strip().splitlines()
    return "\n".join([f"  ran as: {text}", f"  exit code {done.returncode}", *lines[-8:]])


def environment_of(python: Path, folder: Path) -> dict[str, str]:
    """Environment in which `python` and `paretocast` are those of an interpreter."""
    folder.mkdir()
    for name in ("python", "python3"):
        (folder / name).write_text(f'#!/bin/sh\nexec {python} "$@"\n', encoding="utf-8")
    (folder / "paretocast").write_text(
        f'#!/bin/sh\nexec {python} -m paretocast "$@"\n', encoding="utf-8"
    )
    for path in folder.iterdir():
        path.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def make_fresh(folder: Path) -> Path:
    """Create a virtual environment, install the repository there, and return its interpreter."""
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    install = [*pip, "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*install, f"{ROOT}[mlflow,onnx,parquet,serve]"], check=True)
    return python


def runnable(documents: Sequence[str]) -> list[Command]:
    """Commands of documents that are run, in order."""
    found = [command for name in documents for command in commands_of(ROOT / name)]
    with_data = bool(os.environ.get("PARETOCAST_DATA"))
    return [
        command
        for command in found
        if command.reason is None and (with_data or not re.search(r"\b(DIR|DATA)\b", command.text))
    ]


def main() -> int:
    """Run or list the commands of the documents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("documents", nargs="*", default=RUN_DOCUMENTS)
    parser.add_argument("--fresh", action="store_true", help="install into a new environment")
    parser.add_argument("--list", action="store_true", help="say what is run, and run nothing")
    arguments = parser.parse_args()
    if arguments.list:
        for name in arguments.documents:
            for command in commands_of(ROOT / name):
                print(f"{command}\n    {command.reason or command.smaller}")
        return 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        python = make_fresh(folder / "venv") if arguments.fresh else Path(sys.executable)
        environment = environment_of(python, folder / "bin")
        (folder / "work").mkdir()
        prepare(folder / "work")
        failures = run_commands(runnable(arguments.documents), folder / "work", environment)
    print(*failures, sep="\n\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
