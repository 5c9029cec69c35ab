"""The script for cron: which commands it runs with what, and how it ends."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "operations" / "daily.sh"
# It writes down how it was called, and ends as the test wants.
PROGRAM = """#!/bin/sh
echo "$*" >>"{log}"
case $1 in
{cases}
esac
exit 0
"""


def run_daily(
    folder: Path,
    *options: str,
    codes: Mapping[str, int] | None = None,
    learned_from_runs: bool = False,
) -> tuple[int, list[str], str]:
    """Exit code, commands and stderr of a day on which commands end with some codes."""
    programs, deployment, log = folder / "bin", folder / "heat", folder / "log"
    programs.mkdir()
    program = programs / "paretocast"
    cases = "\n".join(f"  {command}) exit {code} ;;" for command, code in (codes or {}).items())
    program.write_text(PROGRAM.format(log=log, cases=cases), encoding="utf-8")
    program.chmod(0o755)
    (deployment / "bundles" / "a1").mkdir(parents=True)
    (deployment / "current").write_text("a1\n", encoding="utf-8")
    section = "[weather]\n" if learned_from_runs else ""
    (deployment / "bundles/a1/dataset.toml").write_text(f'name = "heat"\n{section}', "utf-8")
    (folder / "nwp.csv").write_text("", encoding="utf-8")
    done = subprocess.run(
        ["sh", SCRIPT, "heat", "heat.csv", "out.csv", *options],
        cwd=folder,
        env={"PATH": f"{programs}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    calls = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return done.returncode, calls, done.stderr


def test_a_day_observes_forecasts_monitors_and_retrains(tmp_path: Path) -> None:
    code, calls, said = run_daily(tmp_path, codes={"retrain": 5})
    assert (code, said) == (0, "")
    assert calls == [
        "observe heat --data heat.csv",
        "forecast heat --data heat.csv --at daily --out out.csv",
        "monitor heat",
        "retrain heat --data heat.csv --if-older 30d --if-alarm",
    ]


@pytest.mark.parametrize("learned_from_runs", [False, True])
def test_weather_runs_reach_a_retraining_that_has_learned_from_them(
    tmp_path: Path, *, learned_from_runs: bool
) -> None:
    code, calls, _ = run_daily(
        tmp_path, "nwp.csv", codes={"weather": 1}, learned_from_runs=learned_from_runs
    )
    assert code == 0
    assert calls[0] == "weather heat --out nwp.csv --append"
    assert calls[2].startswith("forecast heat --data heat.csv --weather nwp.csv ")
    assert ("--weather nwp.csv" in calls[4]) == learned_from_runs


def test_options_behind_the_weather_go_to_forecast_and_retrain(tmp_path: Path) -> None:
    _, calls, _ = run_daily(tmp_path, "", "--source", "dwd.csv")
    assert [call.split()[0] for call in calls if "--source dwd.csv" in call] == [
        "forecast",
        "retrain",
    ]


@pytest.mark.parametrize(
    ("codes", "expected", "says"),
    [
        ({"forecast": 3}, 3, ""),
        ({"forecast": 1}, 1, ""),
        ({"monitor": 4}, 0, "alarm: see heat/health.html"),
        ({"monitor": 3}, 0, ""),
        ({"retrain": 1}, 0, "retrain failed: 1"),
    ],
)
def test_the_exit_code_is_that_of_the_forecast(
    tmp_path: Path, codes: dict[str, int], expected: int, says: str
) -> None:
    code, calls, said = run_daily(tmp_path, codes=codes)
    assert (code, said.strip(), len(calls)) == (expected, says, 4)


def test_data_that_cannot_be_read_end_the_day(tmp_path: Path) -> None:
    code, calls, _ = run_daily(tmp_path, codes={"observe": 1})
    assert (code, len(calls)) == (1, 1)


def test_a_program_that_is_not_found_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", SCRIPT, "heat", "heat.csv", "out.csv"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "paretocast is not on the PATH: /usr/bin:/bin" in done.stderr
