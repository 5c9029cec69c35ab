from __future__ import annotations

import csv
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from paretocast.cluster.script import SearchRequest
from paretocast.cluster.tracking import (
    ExperimentRow,
    Submission,
    SubmittedJob,
    load_rows,
    load_submission,
    new_submission,
    read_submissions,
    record_submissions,
    submission_path,
    submission_row,
    table_path,
    update_rows,
)
from paretocast.errors import StoreError
from paretocast.workspace.runs import RunDirectory

N_SUBMITTERS = 20


def make_submission(job_id: str = "812", *, stage: int | None = None) -> Submission:
    request = SearchRequest(
        model="NHITS_Q",
        dataset="heat",
        source="heat",
        trials=50,
        stage=stage,
        n_workers=2,
        options=("--seed", "3"),
        folder=Path('/data/it\'s, "mine"'),
        workspace=Path("hpo"),
    )
    logs = (("/l/0.log", "/l/0.err"), ("/l/1.log", "/l/1.err"))
    job = SubmittedJob(job_id, "2026-01-02T03:04:05+00:00", logs, after=("7",))
    return new_submission(request, profile={"time": "1", "extra": ["--x"]}, job=job)


def record(workspace: Path, number: int) -> None:
    record_submissions(workspace, [make_submission(str(number))])


def test_a_submission_is_read_as_it_was_written(tmp_path: Path) -> None:
    submission = make_submission(stage=1)
    record_submissions(tmp_path, [submission])
    path = submission_path(RunDirectory(tmp_path, "NHITS_Q", "heat", "812"))
    assert load_submission(path) == submission
    assert read_submissions(tmp_path) == ((submission,), ())


def test_a_submission_becomes_a_row(tmp_path: Path) -> None:
    record_submissions(tmp_path, [make_submission(stage=1)])
    with table_path(tmp_path).open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["id"] == "NHITS_Q_heat_812"
    assert (row["stage"], row["strategy"], row["workers"]) == ("1", "two-stage", "2")
    assert (row["submitted"], row["state"]) == ("2026-01-02T03:04:05+00:00", "submitted")


def test_a_second_job_keeps_the_experiment(tmp_path: Path) -> None:
    first = make_submission()
    second = replace(first, jobs=(*first.jobs, replace(first.jobs[0], job_id="900")))
    record_submissions(tmp_path, [first])
    record_submissions(tmp_path, [second])
    (row,) = load_rows(tmp_path).values()
    assert (row.id, row.job_ids) == ("NHITS_Q_heat_812", "812 900")


def test_twenty_submitters_at_once_lose_no_row(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    submitters = [context.Process(target=record, args=(tmp_path, i)) for i in range(N_SUBMITTERS)]
    for process in submitters:
        process.start()
    for process in submitters:
        process.join()
    assert [process.exitcode for process in submitters] == [0] * N_SUBMITTERS
    expected = {f"NHITS_Q_heat_{i}" for i in range(N_SUBMITTERS)}
    assert set(load_rows(tmp_path)) == expected
    assert {submission.id for submission in read_submissions(tmp_path)[0]} == expected


def test_a_failing_change_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    record_submissions(tmp_path, [make_submission()])
    before = table_path(tmp_path).read_bytes()

    def fail(rows: dict[str, ExperimentRow]) -> dict[str, ExperimentRow]:
        raise RuntimeError(str(len(rows)))

    with pytest.raises(RuntimeError, match="1"):
        update_rows(tmp_path, fail)
    assert table_path(tmp_path).read_bytes() == before
    update_rows(tmp_path, lambda rows: rows)  # the lock is free again


def test_odd_characters_survive_the_table(tmp_path: Path) -> None:
    row = replace(submission_row(make_submission()), log='/a "b", c\nd/ü.log')
    update_rows(tmp_path, lambda rows: {**rows, row.id: row})
    assert load_rows(tmp_path) == {row.id: row}


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\x00\x01"])
def test_a_damaged_table_says_how_it_is_repaired(tmp_path: Path, text: str) -> None:
    path = table_path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match="paretocast status --rebuild"):
        load_rows(tmp_path)
    row = submission_row(make_submission())
    update_rows(tmp_path, lambda rows: {**rows, row.id: row}, anew=True)
    assert list(load_rows(tmp_path)) == ["NHITS_Q_heat_812"]


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"schema_version": 1}', '{"schema_version": 1, "jobs": [1]}', "nonsense"]
)
def test_a_damaged_submission_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "submission_1.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=r"submission_1\.json is damaged"):
        load_submission(path)
