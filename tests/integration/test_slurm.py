"""Searches on a real Slurm: submitted, followed, interrupted in every way, finished."""

from __future__ import annotations

import csv
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusters import Cluster, Place, make_place, running_cluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(400)]
TINY = ("--", "--settings", "tiny.toml")
LONGER = ("--", "--settings", "longer.toml")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster(accounting=True) as started:
        yield started


@pytest.fixture(scope="module")
def plain_cluster() -> Iterator[Cluster]:
    """One without accounting: sacct knows nothing."""
    with running_cluster(accounting=False) as started:
        yield started


@pytest.fixture
def place(tmp_path: Path, cluster: Cluster) -> Place:
    return make_place(tmp_path / "work", cluster)


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
    place.wait_for_trial(name)
    during = place.experiment(name)
    assert during["state"] == "running"
    after = place.wait_for(name, "finished", "failed", "unfinished")
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


def test_status_is_right_without_accounting(tmp_path: Path, plain_cluster: Cluster) -> None:
    place = make_place(tmp_path / "work", plain_cluster)
    (good,) = place.submit("NHITS_Q", "demo", "1", *TINY)
    (bad,) = place.submit("NHITS_Q", "demo", "1", "--", "--settings", "absent.toml")
    failed = place.wait_for(f"NHITS_Q_demo_{bad}", "failed", "finished", "unfinished")
    assert failed["state"] == "failed"
    assert "absent.toml" in failed["detail"]
    assert place.wait_for(f"NHITS_Q_demo_{good}", "finished", "failed")["state"] == "finished"


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


def test_stage_2_waits_for_stage_1_and_finishes(place: Place) -> None:
    first, second = place.submit("NHITS_Q", "demo", "2", "--stage", "all", *TINY)
    waiting = place.experiment(f"NHITS_Q_demo_{second}")
    assert (waiting["state"], waiting["stage"]) == ("queued", 2)
    assert waiting["detail"] == "waits for the job it follows"
    done = place.wait_for(f"NHITS_Q_demo_{second}", "finished", "failed", "cancelled")
    assert done["state"] == "finished"
    assert place.experiment(f"NHITS_Q_demo_{first}")["state"] == "finished"
    levels = place.folder / "hpo" / "results" / "stage2" / "demo_NHITS_Q"
    assert (levels / "calibrated_quantiles.json").is_file()
    out, err = place.paretocast("submit", "NHITS_Q", "demo", "2", "--stage", "all")
    assert out == ""
    assert err.count("finished as") == 2


def test_a_signalled_job_comes_back_and_goes_on_from_its_checkpoint(place: Place) -> None:
    (job,) = place.submit("NHITS_Q", "demo", "1", *LONGER)
    name = f"NHITS_Q_demo_{job}"
    place.wait_for_trial(name)
    place.cluster.run("scancel", "--signal=USR1", "--batch", job)  # as before the time limit
    place.wait_until(lambda: f"put away on USR1; asking Slurm to start job {job}" in place.logs())
    one = place.wait_for(name, "finished", "failed", "cancelled")
    assert one["state"] == "finished"
    assert "continues from its checkpoint" in place.logs()
    assert "restart 1" in place.logs()
    assert len(trial_states(place, job)) == 1


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_job_at_its_time_limit_is_put_away_comes_back_and_finishes(place: Place) -> None:
    (quick,) = place.submit("NHITS_Q", "demo", "1", *LONGER)
    place.wait_for(f"NHITS_Q_demo_{quick}", "finished", "failed")
    folder = place.folder / "hpo" / "results" / "NHITS_Q_demo"
    record = json.loads((folder / f"trials_{quick}" / "0000" / "record.json").read_text("utf-8"))
    steps = round(180.0 * record["steps"] / record["fit_seconds"])  # about as long as the limit
    settings = place.folder / "longer.toml"
    settings.write_text(settings.read_text("utf-8").replace("steps = 150", f"steps = {steps}"))
    profiles = place.folder / "short.toml"
    profiles.write_text('[profiles.tiny]\ntime = "3"\nsignal_seconds = 60\n', encoding="utf-8")
    (job,) = place.submit("NHITS_Q", "demo", "1", "--profile-file", "short.toml", *LONGER)
    one = place.wait_for(f"NHITS_Q_demo_{job}", "finished", "failed", "cancelled", seconds=1200)
    assert one["state"] == "finished"
    assert "put away on USR1" in place.logs()
    assert "continues from its checkpoint" in place.logs()
    assert len(trial_states(place, job)) == 1


def test_an_element_of_an_array_comes_back_alone(place: Place) -> None:
    (job,) = place.submit("NHITS_Q", "demo", "4", "--workers", "2", *LONGER)
    name = f"NHITS_Q_demo_{job}"
    place.wait_for_trial(name)
    place.cluster.run("scancel", "--signal=USR1", "--batch", f"{job}_1")
    one = place.wait_for(name, "finished", "failed", "cancelled")
    assert one["state"] == "finished"
    assert len(trial_states(place, job)) == 4
    logs = place.folder / "hpo" / "logs"
    assert "restart 1" in (logs / f"hpo_NHITS_Q_demo_{job}_1.log").read_text("utf-8")
    assert "restart 1" not in (logs / f"hpo_NHITS_Q_demo_{job}_0.log").read_text("utf-8")


def test_a_study_survives_its_node(place: Place) -> None:
    (job,) = place.submit("NHITS_Q", "demo", "1", *LONGER)
    name = f"NHITS_Q_demo_{job}"
    place.wait_for_trial(name)
    node = f"nodename={socket.gethostname().split('.')[0]}"
    place.cluster.run("scontrol", "update", node, "state=down", "reason=test")
    place.wait_until(lambda: place.experiment(name)["state"] == "queued")
    place.cluster.run("scontrol", "update", node, "state=resume", check=False)  # if it is not yet
    one = place.wait_for(name, "finished", "failed", "cancelled")
    assert one["state"] == "finished"
    assert len(trial_states(place, job)) == 1


def test_a_preempted_job_comes_back(place: Place) -> None:
    (job,) = place.submit("NHITS_Q", "demo", "1", "--profile", "spare", *LONGER)
    name = f"NHITS_Q_demo_{job}"
    place.wait_for_trial(name)
    everything = ("--partition=cpu", "--ntasks=16", "--mem=100M", "--time=1")
    place.cluster.run("sbatch", *everything, "--output=/dev/null", "--wrap=sleep 3")
    one = place.wait_for(name, "finished", "failed", "cancelled")
    assert one["state"] == "finished"
    assert "restart 1" in place.logs()
    assert len(trial_states(place, job)) == 1


def test_a_cancelled_study_stays_cancelled_and_is_continued_by_resubmit(place: Place) -> None:
    (job,) = place.submit("NHITS_Q", "demo", "1", *LONGER)
    name = f"NHITS_Q_demo_{job}"
    place.wait_for_trial(name)
    place.paretocast("cancel", name)
    assert place.wait_for(name, "cancelled", "finished")["state"] == "cancelled"
    assert "asking Slurm to start" not in place.logs()
    out, _ = place.paretocast("resubmit", name)
    again = place.wait_for(name, "finished", "failed")
    assert again["state"] == "finished"
    assert again["job_ids"] == [job, out.strip()]
    assert len(trial_states(place, job)) == 1


def test_nothing_is_resubmitted_beside_a_job_that_runs(place: Place) -> None:
    (job,) = place.submit("NHITS_Q", "demo", "1", *LONGER)
    _, err = place.paretocast("resubmit", job, code=1)
    assert f"paretocast cancel NHITS_Q_demo_{job} first" in err.replace("\n", " ")
    place.paretocast("cancel", job)


def test_without_a_gpu_the_job_says_so_and_goes_on_when_allowed(place: Place) -> None:
    (job,) = place.submit("NHITS_Q", "demo", "1", "--profile", "gpu", *TINY)
    assert place.wait_for(f"NHITS_Q_demo_{job}", "finished", "failed")["state"] == "finished"
    assert re.search(r"CUDA_VISIBLE_DEVICES=\d", place.logs())
    assert "no NVIDIA GPU answers: the search goes on without" in place.logs()


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


@pytest.mark.parametrize("name", ["a b", "it's", 'a"b', "a$(touch pwned)b", "a;b", "50%j", "ä"])
def test_odd_folder_names_are_harmless(tmp_path: Path, cluster: Cluster, name: str) -> None:
    place = make_place(tmp_path / name, cluster)
    profiles = place.folder / "stub.toml"
    stub = 'program = ["bash", "-c", "echo in $PWD", "x"]'
    profiles.write_text(f"[profiles.tiny]\n{stub}\n", encoding="utf-8")
    (job,) = place.submit("NHITS_Q", "demo", "1", "--profile-file", "stub.toml")
    place.wait_until(lambda: f"in {place.folder}" in place.logs(), seconds=60)
    assert {path.name for path in place.folder.iterdir()} == {
        "hpo",
        "stub.toml",
        "tiny.toml",
        "longer.toml",
    }
    assert (place.folder / "hpo" / "logs" / f"hpo_NHITS_Q_demo_{job}.log").is_file()


def test_a_dependent_environment_of_another_job_does_not_reach_the_new_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.cluster.environment["SLURM_ARRAY_JOB_ID"] = "999"
    try:
        (job,) = place.submit("NHITS_Q", "demo", "1", *TINY)
    finally:
        del place.cluster.environment["SLURM_ARRAY_JOB_ID"]
    assert place.wait_for(f"NHITS_Q_demo_{job}", "finished", "failed")["state"] == "finished"
    assert (place.folder / "hpo" / "results" / "NHITS_Q_demo" / f"trials_{job}").exists()
