"""Searches on a real Slurm: submitted, followed, interrupted in every way, finished."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from clusters import Cluster, Place, make_place, running_cluster
from paretocast.data import generate_demo

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]
TINY = ("--", "--settings", "tiny.toml")
LONGER = ("--", "--settings", "longer.toml")
SIGNAL = ("scancel", "--signal=USR1", "--batch")  # as Slurm does before the time limit


@pytest.fixture
def place(tmp_path: Path, cluster: Cluster) -> Place:
    return make_place(tmp_path / "work", cluster)


@dataclass(frozen=True)
class Interrupted:
    """Two studies at once, each interrupted in its first trial."""

    place: Place
    signalled: str
    cancelled: str

    def end_of(self, job: str) -> dict[str, Any]:
        """The experiment of a job once nobody works on its study."""
        return self.place.wait_for(f"NHITS_Q_demo_{job}", "finished", "failed", "cancelled")


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Interrupted:
    place = make_place(tmp_path_factory.mktemp("interrupted") / "work", cluster)
    (signalled,) = place.submit("NHITS_Q", "demo", "1", *LONGER)
    (cancelled,) = place.submit("NHITS_Q", "demo", "1", *LONGER)
    ends = {
        (signalled, 0): (*SIGNAL, signalled),
        (cancelled, 0): ("scancel", cancelled),
    }
    while ends:
        job, worker = place.wait_for_worker(tuple(ends))
        cluster.run(*ends.pop((job, worker)))
    return Interrupted(place, signalled, cancelled)


@pytest.fixture(scope="module")
def plain_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, str, str]]:
    """A cluster without accounting, with a job that asked for a GPU and one that fails."""
    with running_cluster(accounting=False) as started:
        place = make_place(tmp_path_factory.mktemp("plain") / "work", started)
        (good,) = place.submit("NHITS_Q", "demo", "1", "--profile", "gpu", *TINY)
        (bad,) = place.submit("NHITS_Q", "demo", "1", "--", "--settings", "absent.toml")
        yield place, good, bad


def test_a_submission_that_is_killed_after_sbatch_is_found_and_not_repeated(
    tmp_path: Path, place: Place
) -> None:
    killing = tmp_path / "sbatch"
    killing.write_text(f'#!/bin/bash\n{shutil.which("sbatch")} "$@" && kill -9 $PPID\n')
    killing.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    killed = Place(place.folder, Cluster({**place.cluster.environment, **path}))
    words = ("NHITS_Q", "demo", "1", *LONGER)
    assert killed.paretocast("submit", *words, code=-signal.SIGKILL)[0] == ""
    assert not list(place.results.glob("*/submission_*"))
    (job,) = place.submit(*words)
    assert list(place.status()) == [f"NHITS_Q_demo_{job}"]
    killed.paretocast("submit", *words, "--seed", "3", code=-signal.SIGKILL)
    assert len(place.status()) == 2
    for name in place.status():
        place.paretocast("cancel", name)


def trial_states(place: Place, study: str) -> list[str]:
    folder = place.folder / "hpo" / "results" / "NHITS_Q_demo" / f"trials_{study}"
    texts = [path.read_text("utf-8") for path in sorted(folder.glob("*/record.json"))]
    return re.findall(r'"state": "(\w+)"', "".join(texts))


def test_two_workers_finish_a_study_and_status_is_right_on_the_way(place: Place) -> None:
    (job,) = place.submit("NHITS_Q", "demo", "6", "--workers", "2", *TINY)
    name = f"NHITS_Q_demo_{job}"
    before = place.experiment(name)
    assert before["state"] in {"queued", "running"}
    assert (before["trials"], before["n_completed"], before["best_mae"]) == (6, 0, None)
    place.wait_for_worker(((job, 0), (job, 1)))
    during = place.experiment(name)
    assert during["state"] == "running"
    out, _ = place.paretocast("status", "--watch", "--interval", "2")
    assert re.search(rf"{name} +– +running", out)
    assert re.search(rf"{name} +– +finished +6/6", out)
    after = place.experiment(name)
    assert after["state"] == "finished"
    assert after["n_completed"] + after["n_pruned"] == 6
    assert (after["n_failed"], after["n_running"], after["problems"]) == (0, 0, [])
    assert after["best_mae"] > 0.0
    assert sorted(set(trial_states(place, job)) - {"complete", "pruned"}) == []
    with (place.folder / "hpo" / "tracking" / "experiments.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["state"], row["job_ids"]) == (name, "finished", job)
    logs = {path.name for path in (place.folder / "hpo" / "logs").iterdir()}
    assert f"hpo_NHITS_Q_demo_{job}_1.log" in logs
    assert place.pages(job) == ["study"]
    assert place.logs().count("results in hpo/results/NHITS_Q_demo") == 1  # one worker wrote them
    assert place.logs().count("ended by trials at 6 trials") == 2


def test_status_is_right_without_accounting(plain_place: tuple[Place, str, str]) -> None:
    place, good, bad = plain_place
    failed = place.wait_for(f"NHITS_Q_demo_{bad}", "failed", "finished", "unfinished")
    assert failed["state"] == "failed"
    assert "absent.toml" in failed["detail"]
    assert any("absent.toml" in line for line in failed["last_lines"])
    assert place.wait_for(f"NHITS_Q_demo_{good}", "finished", "failed")["state"] == "finished"


def test_without_a_gpu_the_job_says_so_and_goes_on_when_allowed(
    plain_place: tuple[Place, str, str],
) -> None:
    place, good, _ = plain_place
    assert place.wait_for(f"NHITS_Q_demo_{good}", "finished", "failed")["state"] == "finished"
    assert re.search(r"CUDA_VISIBLE_DEVICES=\d", place.logs())
    assert "no NVIDIA GPU answers: the job goes on without" in place.logs()


def test_a_failing_stage_1_leaves_stage_2_unrun_and_explained(place: Place) -> None:
    words = ("--stage", "all", "--", "--settings", "absent.toml")
    first, second = place.submit("NHITS_Q", "demo", "2", *words)
    broken = place.wait_for(f"NHITS_Q_demo_{first}", "failed")
    unrun = place.wait_for(f"NHITS_Q_demo_{second}", "cancelled")
    assert broken["detail"]
    assert unrun["detail"] == f"never started: job {first}, which it follows, did not end well"
    log = place.folder / "hpo" / "logs" / f"hpo_NHITS_Q_demo_{second}.log"
    assert not log.exists()
    _, err = place.paretocast("status")
    assert f"paretocast resubmit NHITS_Q_demo_{first}" in err


def test_stage_2_waits_for_all_workers_of_stage_1_though_one_comes_back_late(place: Place) -> None:
    words = ("--stage", "all", "--workers", "2")
    first, second = place.submit("NHITS_Q", "demo", "2", *words, *LONGER)
    waiting = place.experiment(f"NHITS_Q_demo_{second}")
    assert (waiting["state"], waiting["stage"]) == ("queued", 2)
    assert waiting["detail"] == "waits for the job it follows"
    place.wait_for_worker(((first, 1),))
    place.cluster.run(*SIGNAL, f"{first}_1")
    done = place.wait_for(f"NHITS_Q_demo_{second}", "finished", "failed", "cancelled")
    assert done["state"] == "finished"
    experiment = place.experiment(f"NHITS_Q_demo_{first}")
    assert (experiment["state"], experiment["n_completed"] + experiment["n_pruned"]) == (
        "finished",
        2,
    )
    results = place.folder / "hpo" / "results"
    stage_1 = json.loads((results / "stage1/demo_NHITS_Q/best_params.json").read_text("utf-8"))
    assert stage_1["n_trials"] == 2
    assert (results / "stage2" / "demo_NHITS_Q" / "calibrated_quantiles.json").is_file()
    assert place.logs().count("stage 1 in hpo/results/stage1") == 1
    assert "restart 1" in place.log(f"{first}_1")
    assert "restart 1" not in place.log(f"{first}_0")  # an element comes back alone
    out, err = place.paretocast("submit", "NHITS_Q", "demo", "2", "--stage", "all")
    assert out == ""
    assert err.count("finished as") == 2


def test_a_cancelled_study_stays_cancelled_and_is_continued_by_resubmit(
    interrupted: Interrupted,
) -> None:
    place, job = interrupted.place, interrupted.cancelled
    assert interrupted.end_of(job)["state"] == "cancelled"
    assert "asking Slurm to start" not in place.log(job)
    out, _ = place.paretocast("resubmit", job)
    again = place.wait_for(f"NHITS_Q_demo_{job}", "finished", "failed")
    assert again["state"] == "finished"
    assert again["job_ids"] == [job, out.strip()]
    assert "continues from its checkpoint" in place.log(out.strip())
    assert len(trial_states(place, job)) == 1


def test_a_signalled_job_comes_back_and_goes_on_from_its_checkpoint(
    interrupted: Interrupted,
) -> None:
    job = interrupted.signalled
    assert interrupted.end_of(job)["state"] == "finished"
    log = interrupted.place.log(job)
    assert f"paused on USR1; asking Slurm to start job {job}" in log
    assert "continues from its checkpoint" in log
    assert "restart 1" in log
    assert len(trial_states(interrupted.place, job)) == 1


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_job_at_its_time_limit_is_put_away_comes_back_and_finishes(place: Place) -> None:
    (quick,) = place.submit("NHITS_Q", "demo", "1", *LONGER)
    place.wait_for(f"NHITS_Q_demo_{quick}", "finished", "failed")
    folder = place.folder / "hpo" / "results" / "NHITS_Q_demo"
    record = json.loads((folder / f"trials_{quick}" / "0000" / "record.json").read_text("utf-8"))
    steps = round(
        300.0 * record["steps"] / record["fit_seconds"]
    )  # beyond the limit on a faster day
    settings = place.folder / "longer.toml"
    settings.write_text(settings.read_text("utf-8").replace("steps = 300", f"steps = {steps}"))
    profiles = place.folder / "short.toml"
    profiles.write_text('[profiles.tiny]\ntime = "3"\nsignal_seconds = 60\n', encoding="utf-8")
    (job,) = place.submit("NHITS_Q", "demo", "1", "--profile-file", "short.toml", *LONGER)
    experiment = place.wait_for(
        f"NHITS_Q_demo_{job}", "finished", "failed", "cancelled", seconds=1200
    )
    assert experiment["state"] == "finished"
    assert "paused on USR1" in place.logs()
    assert "continues from its checkpoint" in place.logs()
    assert len(trial_states(place, job)) == 1


def test_a_study_survives_preemption_and_then_its_node(place: Place) -> None:
    (job,) = place.submit("NHITS_Q", "demo", "1", "--profile", "spare", *LONGER)
    name = f"NHITS_Q_demo_{job}"
    place.wait_for_worker(((job, 0),))
    everything = ("--partition=cpu", "--ntasks=16", "--mem=100M", "--time=1")
    place.cluster.run("sbatch", *everything, "--output=/dev/null", "--wrap=true")
    place.wait_until(lambda: "restart 1" in place.log(job))
    node = f"nodename={socket.gethostname().split('.')[0]}"
    place.cluster.run("scontrol", "update", node, "state=down", "reason=test")
    place.wait_until(lambda: place.experiment(name)["state"] == "queued")
    place.cluster.run("scontrol", "update", node, "state=resume", check=False)  # if it is not yet
    experiment = place.wait_for(name, "finished", "failed", "cancelled")
    assert experiment["state"] == "finished"
    assert "restart 2" in place.log(job)
    assert len(trial_states(place, job)) == 1


def test_many_series_are_an_array_each_element_of_which_finishes_a_study(place: Place) -> None:
    series, _ = generate_demo(days=150)
    table = pd.DataFrame({"timestamp": series.index.strftime("%Y-%m-%dT%H:%MZ")})
    for name, factor in (("north", 1.0), ("south", 2.0), ("west", 3.0)):
        table[name] = series.values * factor
    table.to_csv(place.folder / "zones.csv", index=False)
    lines = (
        'name = "zones"\npath = "zones.csv"\nunit = "MW"\nzone = "UTC"\n'
        '[series]\ntargets = ["north", "south", "west"]\n'
    )
    (place.folder / "zones.toml").write_text(lines, encoding="utf-8")
    place.cluster.run("scontrol", "update", "partitionname=cpu", "state=down")
    try:
        (array,) = place.submit("RIDGE", "zones.toml", "1", "--series", "all", *TINY)
        place.paretocast("cancel", f"RIDGE_zones_south_{array}")
        place.wait_for(f"RIDGE_zones_south_{array}", "cancelled")
        states = {name: each["state"] for name, each in place.status().items()}
        assert set(states) == {f"RIDGE_zones_{name}_{array}" for name in ("north", "south", "west")}
        assert sorted(states.values()) == ["cancelled", "queued", "queued"]
    finally:
        place.cluster.run("scontrol", "update", "partitionname=cpu", "state=up")
    for name in ("north", "west"):
        experiment = place.wait_for(f"RIDGE_zones_{name}_{array}", "finished", "failed")
        assert (experiment["state"], experiment["n_completed"]) == ("finished", 1)


def test_nothing_is_resubmitted_beside_a_job_that_runs(place: Place) -> None:
    (job,) = place.submit("NHITS_Q", "demo", "1", *LONGER)
    _, err = place.paretocast("resubmit", job, code=1)
    assert f"paretocast cancel NHITS_Q_demo_{job} first" in err.replace("\n", " ")
    place.paretocast("cancel", job)


def test_all_prints_nine_scripts_that_bash_and_slurm_accept(place: Place) -> None:
    out, _ = place.paretocast("submit", "--all", "--dry-run", "--profile", "a100")
    scripts = re.split(r"^(?=#!/bin/bash)", out, flags=re.MULTILINE)[1:]
    assert len(scripts) == 9
    (place.folder / "hpo" / "logs").mkdir()
    for script in scripts:
        path = place.folder / "script.sh"
        path.write_text(script, encoding="utf-8")
        subprocess.run(["bash", "-n", str(path)], check=True)
        place.cluster.run("sbatch", "--test-only", str(path))
    names = re.findall(r"--job-name=hpo_(\w+)", out)
    assert names[:4] == ["NHITS_Q_heat", "TFT_Q_heat", "TIMESNET_Q_heat", "NHITS_Q_water_centrum"]


def test_all_skips_what_is_queued(place: Place) -> None:
    place.cluster.run("scontrol", "update", "partitionname=cpu", "state=down")
    try:
        words = ("--all", "--priority", "--", "--data-dir", "/nowhere")
        jobs = place.submit(*words)
        assert len(jobs) == 9
        out, err = place.paretocast("submit", *words)
        assert out == ""
        assert err.count("skipped") == 9
        assert f"queued as NHITS_Q_heat_{jobs[0]} (job {jobs[0]})" in err
        nice = place.cluster.run("squeue", "--noheader", "--format=%i %y %j").split("\n")
        assert f"{jobs[8]} 800 hpo_TIMESNET_Q_water_tommerby" in nice
    finally:
        for job in jobs:
            place.cluster.run("scancel", job)
        place.cluster.run("scontrol", "update", "partitionname=cpu", "state=up")


def test_odd_folder_names_are_harmless(tmp_path: Path, cluster: Cluster) -> None:
    names = ("a b", "it's", 'a"b', "a$(touch pwned)b", "a;b", "50%j", "ä")
    jobs = {}
    for name in names:
        place = make_place(tmp_path / name, cluster)
        (jobs[name],) = submit_stub(place)
        assert {path.name for path in place.folder.iterdir()} == FILES_OF_A_PLACE
    for name, job in jobs.items():
        place = Place(tmp_path / name, cluster)
        place.wait_until(lambda: f"in {place.folder}" in place.log(job), seconds=60)  # noqa: B023
        assert {path.name for path in place.folder.iterdir()} == FILES_OF_A_PLACE
    assert {path.name for path in tmp_path.iterdir()} == set(names)


def test_the_environment_of_another_job_does_not_reach_the_new_one(place: Place) -> None:
    place.cluster.environment["SLURM_ARRAY_JOB_ID"] = "999"
    try:
        (job,) = submit_stub(place)
    finally:
        del place.cluster.environment["SLURM_ARRAY_JOB_ID"]
    place.wait_until(lambda: f"in {place.folder} as {job} of" in place.log(job), seconds=60)
    assert f"as {job} of none" in place.log(job)


FILES_OF_A_PLACE = {"hpo", "stub.toml", "tiny.toml", "longer.toml"}


def submit_stub(place: Place) -> list[str]:
    """Job ids of a submission whose search only says where it is."""
    say = "echo in $PWD as $SLURM_JOB_ID of ${SLURM_ARRAY_JOB_ID:-none}"
    program = f'program = ["bash", "-c", "{say}", "x"]'
    (place.folder / "stub.toml").write_text(f"[profiles.tiny]\n{program}\n", encoding="utf-8")
    return place.submit("NHITS_Q", "demo", "1", "--profile-file", "stub.toml")
