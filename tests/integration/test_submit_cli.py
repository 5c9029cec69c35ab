"""submit, status, resubmit and cancel as a user meets them, with stand-ins for Slurm's commands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import run_cli, write_zone
from paretocast.cluster.tracking import load_rows

pytestmark = pytest.mark.usefixtures("without_pages")
# A queue of one file per job, with the state in it; job ids count up from 812.
SBATCH = """\
cat > "$QUEUE/script"
n=$(ls "$QUEUE" | grep -c '^[0-9]')
echo PENDING > "$QUEUE/$((812 + n))"
echo $((812 + n))
"""
SQUEUE = 'cd "$QUEUE"; for job in [0-9]*; do echo "$job|$(cat "$job")|0:00|Priority"; done'
SCANCEL = 'for job in "$@"; do echo CANCELLED > "$QUEUE/$job"; done'
DENY = "echo 'accounting storage is disabled' >&2; exit 1"


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, and the queue of its cluster."""
    commands = {
        "sbatch": SBATCH,
        "squeue": SQUEUE,
        "scancel": SCANCEL,
        "sacct": DENY,
        "scontrol": DENY,
    }
    (tmp_path / "bin").mkdir()
    for name, lines in commands.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/bash\n{lines}\n", encoding="utf-8")
        path.chmod(0o755)
    (tmp_path / "queue").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("QUEUE", str(tmp_path / "queue"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("PARETOCAST_DATA", raising=False)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "queue"


def state_of(capsys: pytest.CaptureFixture[str], name: str) -> str:
    experiments = json.loads(run_cli(capsys, "status", "--json")[1])["experiments"]
    return {str(row["id"]): str(row["state"]) for row in experiments}[name]


def command_of(script: str) -> str:
    return " ".join(re.split(r"^program=\(|^\)", script, flags=re.MULTILINE)[1].split())


def test_submit_prints_the_job_id_and_where_to_look(
    capsys: pytest.CaptureFixture[str], queue: Path
) -> None:
    code, out, err = run_cli(capsys, "submit", "nhits_q", "demo", "50")
    assert (code, out) == (0, "812\n")
    folder = Path.cwd() / "hpo"
    assert f"log      {folder}/logs/hpo_NHITS_Q_demo_812.log" in err
    assert "results  hpo/results/NHITS_Q_demo/best_params_NHITS_Q_demo_812.json" in err
    assert "paretocast status --model NHITS_Q --dataset demo --watch" in err
    assert "squeue --jobs 812" in err
    assert "paretocast cancel NHITS_Q_demo_812" in err
    assert (folder / "logs" / "hpo_NHITS_Q_demo_812.sh").read_text() == (
        queue / "script"
    ).read_text()


def test_options_say_the_same_as_places(capsys: pytest.CaptureFixture[str], queue: Path) -> None:
    by_place = run_cli(capsys, "submit", "NHITS_Q", "demo", "7", "--dry-run", "--", "--seed", "3")
    options = ("--model", "NHITS_Q", "--dataset", "demo", "--trials", "7")
    by_option = run_cli(capsys, "submit", *options, "--dry-run", "--", "--seed", "3")
    assert by_place == by_option
    assert command_of(by_place[1]).endswith(
        "-m paretocast tune --model NHITS_Q --dataset demo --trials 7 --workspace hpo "
        '--threads "${SLURM_CPUS_PER_TASK:-4}" --seed 3'
    )


def test_several_models_are_one_job(capsys: pytest.CaptureFixture[str], queue: Path) -> None:
    code, out, _ = run_cli(capsys, "submit", "ridge,nhits_q", "demo", "7", "--dry-run")
    assert code == 0
    assert "--job-name=hpo_NHITS_Q+RIDGE_demo" in out
    assert re.search(r"--model NHITS_Q\+RIDGE\b", out)


def test_a_dry_run_touches_nothing(capsys: pytest.CaptureFixture[str], queue: Path) -> None:
    code, out, _ = run_cli(capsys, "submit", "NHITS_Q", "demo", "--dry-run")
    assert code == 0
    assert out.startswith("#!/bin/bash\n")
    assert list(Path.cwd().iterdir()) == []
    assert list(queue.iterdir()) == []


def test_the_data_folder_is_written_into_the_script(
    capsys: pytest.CaptureFixture[str], queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARETOCAST_DATA", "/data/my series")
    _, out, _ = run_cli(capsys, "submit", "NHITS_Q", "demo", "--dry-run")
    assert "--data-dir '/data/my series'" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "expected a model and a data set"),
        (("NHITS_Q",), 2, "expected a model and a data set"),
        (("PROPHET", "demo"), 2, "expected one of NHITS_Q, TFT_Q, TIMESNET_Q"),
        (("NHITS_Q", "haet"), 2, "heat"),
        (("NHITS_Q", "demo", "many"), 2, "number of trials 'many' is not understood"),
        (("NHITS_Q", "demo", "0"), 2, "number of trials '0'"),
        (("NHITS_Q", "demo", "5", "6"), 2, "expected MODEL DATASET TRIALS, got"),
        (("NHITS_Q", "demo", "5", "--trials", "6"), 2, "trials given twice"),
        (("--all", "NHITS_Q"), 2, "--all names the models and data sets itself"),
        (("NHITS_Q", "demo", "--profile", "h100"), 2, "profile 'h100' is unknown"),
        (("NHITS_Q", "demo", "--", "--sed", "3"), 2, "options of tune: No such option: --sed"),
        (("NHITS_Q", "demo", "--", "--trials", "3"), 2, "--trials behind --"),
        (("NHITS_Q", "demo", "--", "--job-id", "3"), 2, "--job-id behind --"),
        (("NHITS_Q", "demo", "--workers", "2", "--stage", "2"), 2, "one worker is all"),
        (("NHITS_Q", "demo", "--stage", "2"), 1, "its stage 1 neither finished nor runs"),
        (
            ("NHITS_Q", "demo", "--", "--storage", "postgresql://me:geheim@db/hpo"),
            2,
            "put it into ~/.pgpass",
        ),
    ],
)
def test_a_refusal_is_one_message_and_submits_nothing(
    capsys: pytest.CaptureFixture[str],
    queue: Path,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    ended, out, err = run_cli(capsys, "submit", *arguments)
    assert (ended, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    assert "geheim" not in err
    assert list(queue.iterdir()) == []


def test_without_a_cluster_submit_says_so(
    capsys: pytest.CaptureFixture[str], queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/sbin")
    code, _, err = run_cli(capsys, "submit", "NHITS_Q", "demo")
    assert code == 1
    assert "sbatch is not there: is this machine part of a Slurm cluster" in err


def test_all_are_nine_jobs_in_order_and_once(
    capsys: pytest.CaptureFixture[str], queue: Path
) -> None:
    code, out, err = run_cli(capsys, "submit", "--all", "--trials", "3")
    assert (code, out.split()) == (0, [str(812 + i) for i in range(9)])
    titles = re.findall(r"^submitted (\w+) on (\w+)", err, re.MULTILINE)
    models = ("NHITS_Q", "TFT_Q", "TIMESNET_Q")
    datasets = ("heat", "water_centrum", "water_tommerby")
    assert titles == [(model, dataset) for dataset in datasets for model in models]
    code, out, err = run_cli(capsys, "submit", "--all", "--trials", "3")
    assert (code, out) == (0, "")
    assert err.count("skipped") == 9
    assert "skipped TFT_Q on heat: queued as TFT_Q_heat_813 (job 813)" in err


ZONES = """
name = "zones"
path = "zones.csv"
unit = "MW"
zone = "UTC"
[series]
targets = ["north", "south", "west"]
"""


def test_many_series_are_one_array_of_an_experiment_each(
    capsys: pytest.CaptureFixture[str], queue: Path
) -> None:
    Path("zones.toml").write_text(ZONES, encoding="utf-8")
    words = ("submit", "RIDGE", "zones.toml", "3", "--series", "all")
    dry = run_cli(capsys, *words, "--dry-run")
    assert list(queue.iterdir()) == []
    code, out, err = run_cli(capsys, *words)
    assert (code, out) == (0, "812\n")
    assert "submitted RIDGE on 3 series, zones_north to zones_west" in err
    script = (queue / "script").read_text()
    assert script.strip() == dry[1].strip()
    assert "#SBATCH --array=0-2\n" in script
    assert "  'zones.toml#south'\n" in script
    assert '--dataset "${datasets[SLURM_ARRAY_TASK_ID]}"' in script
    (queue / "812").unlink()
    for element, state in enumerate(("RUNNING", "PENDING", "FAILED")):
        (queue / f"812_{element}").write_text(state)
    for series, state in (("north", "running"), ("south", "queued"), ("west", "failed")):
        assert state_of(capsys, f"RIDGE_zones_{series}_812") == state
    code, _, err = run_cli(capsys, "resubmit", "812")
    assert (code, "812 is an array of 3 experiments" in err) == (1, True)
    code, _, err = run_cli(capsys, "cancel", "812")
    assert (queue / "812_1").read_text() == "CANCELLED\n"
    assert "RIDGE_zones_west_812: no job of it waits or runs" in err
    code, out, _ = run_cli(capsys, "resubmit", "RIDGE_zones_south_812")
    assert code == 0
    assert "--dataset 'zones.toml#south'" in (script := (queue / "script").read_text())
    assert "--job-id 812" in script


def test_one_network_for_many_series_is_one_job(
    capsys: pytest.CaptureFixture[str], queue: Path
) -> None:
    Path("zones.toml").write_text(ZONES, encoding="utf-8")
    words = ("zones.toml", "3", "--series", "north,west", "--pool")
    code, out, _ = run_cli(capsys, "submit", "nhits_q", *words)
    assert (code, out) == (0, "812\n")
    command = command_of((queue / "script").read_text())
    assert "--dataset zones.toml --trials 3" in command
    assert command.endswith("--series north,west --pool")
    assert state_of(capsys, "NHITS_Q_zones_812") == "queued"
    code, _, err = run_cli(capsys, "submit", "RIDGE", *words)
    assert (code, "--pool is for networks, got model RIDGE" in err) == (2, True)


def test_both_stages_are_submitted_one_behind_the_other(
    capsys: pytest.CaptureFixture[str], queue: Path
) -> None:
    code, out, err = run_cli(capsys, "submit", "NHITS_Q", "demo", "--stage", "all")
    assert (code, out) == (0, "812\n813\n")
    assert "--dependency=afterok:812\n" in (queue / "script").read_text()
    assert "job 813 after 812" in err


def test_status_cancel_and_resubmit_tell_one_story(
    capsys: pytest.CaptureFixture[str], queue: Path
) -> None:
    run_cli(capsys, "submit", "NHITS_Q", "demo", "5")
    code, out, err = run_cli(capsys, "status")
    assert code == 0
    assert re.search(r"NHITS_Q_demo_812 +– +queued +0/5", out)
    assert "waits behind jobs of higher priority" in out
    assert "paretocast status --watch" in err
    assert run_cli(capsys, "resubmit", "812")[0] == 1
    assert "ended 812" in run_cli(capsys, "cancel", "NHITS_Q_demo_812")[2]
    code, out, err = run_cli(capsys, "status", "--json")
    (experiment,) = json.loads(out)["experiments"]
    assert (experiment["state"], experiment["job_ids"]) == ("cancelled", ["812"])
    assert "paretocast resubmit NHITS_Q_demo_812" in json.loads(out)["next"][0]
    code, out, err = run_cli(capsys, "resubmit", "NHITS_Q_demo_812", "--trials", "9")
    assert (code, out) == (0, "813\n")
    assert "--trials 9 --workspace hpo --job-id 812" in command_of((queue / "script").read_text())
    row = load_rows(Path("hpo"))["NHITS_Q_demo_812"]
    assert (row.job_ids, row.trials) == ("812 813", "9")


def test_status_watches_until_nothing_waits_or_runs(
    capsys: pytest.CaptureFixture[str], queue: Path
) -> None:
    run_cli(capsys, "submit", "NHITS_Q", "demo", "5")
    script = Path(shutil.which("squeue") or "")
    ends = 'n=$(cat "$QUEUE"/../looks); echo $((n + 1)) > "$QUEUE"/../looks\n'
    ends += '[ "$n" -lt 1 ] || echo FAILED > "$QUEUE"/812\n'
    script.write_text(script.read_text().replace("cd ", f"{ends}cd ", 1), encoding="utf-8")
    (queue.parent / "looks").write_text("0", encoding="utf-8")
    code, out, _ = run_cli(capsys, "status", "--watch", "--interval", "1", "--json")
    assert code == 0
    states = re.findall(r'^ +"state": "(\w+)"', out, re.MULTILINE)
    assert states == ["queued", "failed"]
    (queue.parent / "looks").write_text("0", encoding="utf-8")
    (queue / "812").write_text("RUNNING", encoding="utf-8")
    out = run_cli(capsys, "status", "--watch", "--interval", "1")[1]
    assert re.findall(r"NHITS_Q_demo_812 +– +(\w+)", out) == ["running", "failed"]


def test_status_filters(capsys: pytest.CaptureFixture[str], queue: Path) -> None:
    run_cli(capsys, "submit", "NHITS_Q", "demo")
    run_cli(capsys, "submit", "TFT_Q", "demo", "--stage", "1")
    for words, ids in (
        (("--model", "tft_q"), ["TFT_Q_demo_813"]),
        (("--stage", "1"), ["TFT_Q_demo_813"]),
        (("--dataset", "heat"), []),
        ((), ["NHITS_Q_demo_812", "TFT_Q_demo_813"]),
    ):
        out = run_cli(capsys, "status", "--json", *words)[1]
        assert [row["id"] for row in json.loads(out)["experiments"]] == ids
    _, out, err = run_cli(capsys, "status", "--dataset", "heat")
    assert not out
    assert "no experiment of this choice; hpo holds NHITS_Q on demo, TFT_Q on demo stage 1" in err


def test_a_study_that_was_not_submitted_cannot_be_cancelled(
    capsys: pytest.CaptureFixture[str], queue: Path
) -> None:
    search = ("--model", "RIDGE", "--trials", "1", "--repeats", "1", "--threads", "1")
    zone = write_zone(Path.cwd(), days=150)
    assert run_cli(capsys, "tune", *search, "--dataset", zone, "--job-id", "mine")[0] == 0
    code, _, err = run_cli(capsys, "cancel", "RIDGE_my_zone_mine")
    assert code == 1
    assert "RIDGE_my_zone_mine in hpo was not submitted but started by" in " ".join(err.split())


def test_a_lost_table_is_rebuilt(capsys: pytest.CaptureFixture[str], queue: Path) -> None:
    run_cli(capsys, "submit", "NHITS_Q", "demo")
    run_cli(capsys, "status")
    before = load_rows(Path("hpo"))
    shutil.rmtree("hpo/tracking")
    run_cli(capsys, "status", "--rebuild")
    assert load_rows(Path("hpo")) == before


def test_a_damaged_table_is_a_note_whatever_its_path(
    capsys: pytest.CaptureFixture[str], queue: Path
) -> None:
    place = ("--workspace", "odd[/red]")  # which a note must not take for the end of a colour
    run_cli(capsys, "submit", "NHITS_Q", "demo", *place)
    Path("odd[/red]/tracking/experiments.csv").write_text("no table")
    code, out, err = run_cli(capsys, "status", *place)
    assert code == 0
    assert "NHITS_Q_demo_812" in out
    assert "odd[/red]/tracking/experiments.csv" in err


def test_status_still_reads_the_files_when_slurm_is_silent(
    capsys: pytest.CaptureFixture[str], queue: Path
) -> None:
    run_cli(capsys, "submit", "NHITS_Q", "demo")
    (queue / "813").write_text("")  # a line without a state
    for path in queue.glob("8*"):
        path.rename(queue / f"x{path.name}")
    code, out, err = run_cli(capsys, "status")
    assert code == 0
    assert "NHITS_Q_demo_812" in out
    assert "the scheduler was not asked: squeue answered what is not understood" in err


def test_a_failed_job_shows_its_last_lines_and_the_cause(
    capsys: pytest.CaptureFixture[str], queue: Path
) -> None:
    run_cli(capsys, "submit", "NHITS_Q", "demo")
    (queue / "812").write_text("FAILED")
    Path("hpo/logs/hpo_NHITS_Q_demo_812.err").write_text(
        "Traceback (most recent call last):\n  here\nValueError: odd\n", encoding="utf-8"
    )
    out = run_cli(capsys, "status")[1]
    assert "NHITS_Q_demo_812 is failed: Python error: ValueError: odd" in out
    assert "Traceback (most recent call last):" in out


def test_without_a_cluster_a_job_runs_in_the_background(
    capsys: pytest.CaptureFixture[str], queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # no Slurm
    program = 'program = ["bash", "-c", "echo at work; exec sleep 60"]'
    Path("p.toml").write_text(f"[profiles.here]\n{program}\n", encoding="utf-8")
    words = ("--profile", "here", "--profile-file", "p.toml")
    code, out, _ = run_cli(capsys, "submit", "NHITS_Q", "demo", *words)
    assert code == 0
    name = f"NHITS_Q_demo_{out.strip()}"
    log = Path("hpo/logs") / f"hpo_{name}.log"
    while not log.exists() or "at work" not in log.read_text():
        time.sleep(0.05)
    assert state_of(capsys, name) == "running"
    run_cli(capsys, "cancel", name)
    while (state := state_of(capsys, name)) == "running":
        time.sleep(0.05)
    assert state == "cancelled"


def test_status_of_an_empty_place_says_how_to_begin(
    capsys: pytest.CaptureFixture[str], queue: Path
) -> None:
    code, _, err = run_cli(capsys, "status")
    assert code == 1
    assert "no experiment in hpo" in err


def test_status_needs_no_heavy_library(queue: Path) -> None:
    code = (
        "import sys\nsys.argv = ['paretocast', 'status']\n"
        "from paretocast.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'optuna', 'pandas', 'plotly', 'neuralforecast'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    Path("hpo/results").mkdir(parents=True)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
