"""Damaged files of a real study through every function that reads them.

A reader gives a result or a `ParetocastError`; no other exception, no hang. `make test-fuzz` tries
many thousands; a few hundred belong to the fast tests. PARETOCAST_FUZZ is the number for each file.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mutations import damaged_bytes, damaged_json, quick
from paretocast.benchmarking import load_history
from paretocast.calibration import choose_by_name
from paretocast.cluster.background import BackgroundExecutor
from paretocast.cluster.collect import collect_status
from paretocast.cluster.profiles import load_profiles
from paretocast.cluster.tracking import load_rows, load_submission, read_submissions
from paretocast.errors import ParetocastError
from paretocast.metrics.forecast import Forecast
from paretocast.results.calibrator_file import load_fitted
from paretocast.results.repair import consolidate_run
from paretocast.results.stored_study import StoredStudy
from paretocast.results.table import collect_runs
from paretocast.results.two_stage import finish_stage_1, is_stage_1_of
from paretocast.settings import TuneSettings, continue_settings, load_settings
from paretocast.study.trial_store import TrialStore, load_record
from paretocast.study.warm_start import plan_warm_start
from paretocast.study.worker_reports import load_report
from paretocast.training.trial import load_forecasts
from paretocast.workspace import stored
from paretocast.workspace.claims import claim_owner
from paretocast.workspace.files import save_json
from paretocast.workspace.progress import inspect_levels, inspect_run
from paretocast.workspace.runs import RunDirectory

Result = TypeVar("Result")
EARLIER = Path(__file__).parents[1] / "data" / "earlier_study" / "hpo"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A study with a file of every kind; each test puts back what it damages."""
    workspace = tmp_path_factory.mktemp("fuzz") / "hpo"
    shutil.copytree(EARLIER, workspace)
    run = RunDirectory(workspace, "NHITS_Q", "small", "old")
    record = json.loads(run.record(0).read_text())
    rungs = {"schema_version": 1, "rungs": record["rungs"]}
    write(run.rungs(0), json.dumps(rungs).encode())
    report = {"index": 0, "pid": 1, "trial": 0, "step": 1, "total_steps": 9}
    write(run.worker_report(0), json.dumps({**report, "stop_loss": 0.1, "updated": 1.0}).encode())
    finish_stage_1(run)
    write(run.folder / "submission_old.json", json.dumps(SUBMISSION).encode())
    for name in CALIBRATORS:
        fitted = choose_by_name(synthetic(40), name, coverage=80.0).calibrator
        save_json(calibrator_file(run, name), {**CALIBRATOR, "calibrator": fitted.as_json()})
    write(workspace / "benchmarks" / "history.csv", HISTORY.encode())
    write(workspace / "tracking" / "experiments.csv", table_of(workspace).encode())
    write(workspace / "jobs" / "local-1" / "job.json", json.dumps(JOB).encode())
    write(run.trial_folder(9) / "claim.0", json.dumps(CLAIM).encode())
    write(workspace / "cluster.toml", b"[profiles.cpu]\ncpus = 2\n")
    write(workspace / "settings.toml", (EARLIER.parent / "settings.toml").read_bytes())
    write(workspace / "levels.json", b'{"picp": 80.0, "target": 80.0}')
    return run


JOB_PART = {"job_id": "7", "submitted": "2026-01-01T00:00:00+00:00", "after": []}
SUBMISSION = {
    "schema_version": 1,
    "model": "NHITS_Q",
    "dataset": "small",
    "study_id": "old",
    "source": "small",
    "trials": 4,
    "stage": None,
    "n_workers": 1,
    "options": ["--seed", "1"],
    "folder": "/tmp",
    "profile": {"cpus": 2, "partition": "p"},
    "jobs": [{**JOB_PART, "logs": [["/nowhere/a.log", "/nowhere/a.err"]]}],
}
LEVELS = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
CALIBRATOR = {
    "schema_version": 1,
    "study_name": "NHITS_Q_small_old",
    "trial": 3,
    "levels": LEVELS,
    "target_coverage": 80.0,
    "members": [{"model": "NHITS_Q", "trial": 3, "config": {"lr": 0.1}, "seed": 1, "weight": 1.0}],
}
CALIBRATORS = ("cqr", "isotonic", "aci", "pid")


def synthetic(n_windows: int) -> Forecast:
    rng = np.random.default_rng(1)
    quantiles = np.sort(rng.normal(size=(n_windows, 24, len(LEVELS))), axis=-1)
    hours = np.tile(np.arange(24), (n_windows, 1))
    return Forecast(
        quantiles,
        LEVELS,
        rng.normal(size=(n_windows, 24)),
        groups={"hour": hours},
        issues=24 * np.arange(n_windows),
    )


def calibrator_file(run: RunDirectory, name: str) -> Path:
    return run.folder / f"calibrator_{name}.json"


def apply_of(name: str) -> Callable[[RunDirectory], object]:
    def applied(run: RunDirectory) -> object:
        return load_fitted(calibrator_file(run, name)).calibrate(synthetic(3))

    return applied


HISTORY = (
    "created,folder,dataset,test_sha256,method,mae,pinball,winkler\n"
    "2026-01-01,a,small,abc,ridge,1.0,0.4,5.0\n"
)
JOB = {
    "job_id": "local-1",
    "host": "here",
    "folder": "/",
    "log": "/a",
    "error_log": "/b",
    "n_elements": 1,
    "after": [],
}
CLAIM = {"host": "here", "machine": "elsewhere", "pid": 1, "worker": 0, "started": 1.0}


def table_of(workspace: Path) -> str:
    from paretocast.cluster.tracking import COLUMNS

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerow(["NHITS_Q_small_old", *("" for _ in COLUMNS[1:])])
    return text.getvalue()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def status(run: RunDirectory) -> object:
    return collect_status(run.workspace, None, now=datetime.now(UTC))


def study_of(run: RunDirectory) -> object:
    study = StoredStudy.open(run.best_params)
    return study.outcome, study.tied_front, study.settings, study.task_manifest


def go_on(run: RunDirectory) -> object:
    remembered = stored.load_manifest(run)["settings"]
    return continue_settings(remembered, None, {"trials": 9}, origin=str(run.manifest))


def refreshed(run: RunDirectory) -> object:
    store = TrialStore(run)
    return store.refresh(), [store.config(0), store.rungs(0)]


def warm_start(run: RunDirectory) -> object:
    return plan_warm_start("NHITS_Q", SPACE, [run.best_params], n_trials=9)


SMALL = {"layer_widths": {"values": [16, 32]}}
SPACE = TuneSettings.model_validate({"space": {"NHITS_Q": SMALL}, "recipe": ()}).space_of_model(
    "NHITS_Q"
)
# Readers of a kind of file; `whole` may refuse it, `lenient` list it as damaged and go on.
KINDS: dict[str, tuple[str, list[Callable[[RunDirectory], object]]]] = {
    "record": (
        "results/NHITS_Q_small/trials_old/0000/record.json",
        [
            lambda run: load_record(run, 0),
            refreshed,
        ],
    ),
    "proposal": ("results/NHITS_Q_small/trials_old/0000/proposal.json", [refreshed]),
    "rungs": ("results/NHITS_Q_small/trials_old/0000/rungs.json", [refreshed]),
    "result": ("results/NHITS_Q_small/best_params_NHITS_Q_small_old.json", [study_of, warm_start]),
    "manifest": ("results/NHITS_Q_small/manifest_old.json", [study_of, go_on]),
    "worker": ("results/NHITS_Q_small/workers_old/000.json", [lambda run: load_report(run, 0)]),
    "first stage": ("results/stage1/small_NHITS_Q/best_params.json", [is_stage_1_of]),
    "submission": (
        "results/NHITS_Q_small/submission_old.json",
        [
            lambda run: load_submission(run.folder / "submission_old.json"),
        ],
    ),
    **{
        f"calibrator {name}": (f"results/NHITS_Q_small/calibrator_{name}.json", [apply_of(name)])
        for name in CALIBRATORS
    },
    "job": (
        "jobs/local-1/job.json",
        [
            lambda run: BackgroundExecutor(run.workspace / "jobs").poll(["local-1"]),
        ],
    ),
    "claim": (
        "results/NHITS_Q_small/trials_old/0009/claim.0",
        [
            lambda run: claim_owner(run.trial_folder(9)),
        ],
    ),
    "levels": (
        "levels.json",
        [
            lambda run: inspect_levels(run.workspace / "levels.json", fresh=True),
        ],
    ),
}
BINARY: dict[str, tuple[str, list[Callable[[RunDirectory], object]]]] = {
    "forecasts": (
        "results/NHITS_Q_small/trials_old/0000/forecasts.npz",
        [
            lambda run: load_forecasts(run.forecasts(0)),
        ],
    ),
    "history": (
        "benchmarks/history.csv",
        [
            lambda run: load_history(run.workspace / "benchmarks" / "history.csv"),
        ],
    ),
    "table": ("tracking/experiments.csv", [lambda run: load_rows(run.workspace), status]),
    "profiles": ("cluster.toml", [lambda run: load_profiles([run.workspace / "cluster.toml"])]),
    "settings": (
        "settings.toml",
        [
            lambda run: load_settings(run.workspace / "settings.toml", {}),
        ],
    ),
}
# Commands over the whole workspace: one damaged file hides nothing else, so they never raise.
LENIENT: tuple[Callable[[RunDirectory], object], ...] = (
    inspect_run,
    lambda run: collect_runs(run.workspace),
    lambda run: read_submissions(run.workspace),
    status,
    lambda run: consolidate_run(run, rebuild=False),
)
IN_THE_STUDY = ("record", "result", "manifest", "submission")
# Files that are written with a digest, and their models.
DIGESTED: dict[str, type[stored.DigestedFile]] = {
    "record": stored.RecordFile,
    "proposal": stored.ProposalFile,
    "rungs": stored.RungsFile,
    "result": stored.ResultFile,
    "manifest": stored.ManifestFile,
    "first stage": stored.FirstStageFile,
    "submission": stored.SubmissionFile,
    "calibrator cqr": stored.CalibratorFile,
    "job": stored.BackgroundJobFile,
    "levels": stored.LevelsFile,
}


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(whole)


def read_unless_refused(
    reader: Callable[[RunDirectory], Result], run: RunDirectory, path: Path
) -> Result | None:
    """The result of a reader; None if it refuses, which it has to do by the name of the file."""
    try:
        return reader(run)
    except ParetocastError as error:
        said = str(error)
    assert path.name in said
    return None


def survive(
    run: RunDirectory, name: str, content: bytes, readers: list[Callable[..., object]]
) -> None:
    path = run.workspace / name
    with replaced(path, content):
        for reader in readers:
            read_unless_refused(reader, run, path)


@pytest.mark.parametrize("kind", KINDS)
@quick
@given(data=st.data())
def test_a_damaged_json_file_is_read_or_refused(
    run: RunDirectory, kind: str, data: st.DataObject
) -> None:
    name, readers = KINDS[kind]
    text = (run.workspace / name).read_text(encoding="utf-8")
    survive(run, name, data.draw(damaged_json(text)), readers)


@pytest.mark.parametrize("kind", BINARY)
@quick
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(
    run: RunDirectory, kind: str, data: st.DataObject
) -> None:
    name, readers = BINARY[kind]
    survive(run, name, data.draw(damaged_bytes((run.workspace / name).read_bytes())), readers)


@quick
@given(data=st.data())
def test_damaged_forecasts_are_refused_or_the_same(run: RunDirectory, data: st.DataObject) -> None:
    path = run.forecasts(0)
    whole = load_forecasts(path)
    with replaced(path, data.draw(damaged_bytes(path.read_bytes()))):
        read = read_unless_refused(lambda _: load_forecasts(path), run, path)
    if read is None:
        return
    assert read.keys() == whole.keys()
    assert all(np.array_equal(read[split], whole[split]) for split in whole)


@pytest.mark.parametrize("kind", DIGESTED)
@quick
@given(data=st.data())
def test_a_damaged_file_with_a_digest_is_refused_or_the_same(
    run: RunDirectory, kind: str, data: st.DataObject
) -> None:
    path = run.workspace / KINDS[kind][0]
    whole = stored.load(path, DIGESTED[kind])
    with replaced(path, path.read_bytes()):
        stored.save(path, whole)
        path.write_bytes(data.draw(damaged_json(path.read_text(encoding="utf-8"))))
        assume(b'"digest"' in path.read_bytes())  # without it a file is of an earlier version
        read = read_unless_refused(lambda _: stored.load(path, DIGESTED[kind]), run, path)
        assert read is None or read == whole


@pytest.mark.parametrize("kind", IN_THE_STUDY)
@quick
@given(data=st.data())
def test_a_damaged_file_hides_no_other(run: RunDirectory, kind: str, data: st.DataObject) -> None:
    path = run.workspace / KINDS[kind][0]
    content = data.draw(damaged_json(path.read_text(encoding="utf-8")))
    with replaced(path, content):
        for reader in LENIENT:
            reader(run)
        rows, faults = collect_runs(run.workspace)
        assert len(rows) + len(faults) == 1


def test_every_file_of_the_study_is_read_while_it_is_whole(run: RunDirectory) -> None:
    for readers in (KINDS, BINARY):
        for _, functions in readers.values():
            for reader in functions:
                reader(run)
    assert inspect_run(run).problems == ()
    assert collect_runs(run.workspace)[1] == []
