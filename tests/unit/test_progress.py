from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from paretocast.workspace.progress import check_result, first_line, last_lines

REQUIRED = json.loads(
    resources.files("paretocast").joinpath("best_params.schema.json").read_text("utf-8")
)["required"]


def make_record(state: str, *trainings: tuple[float, float]) -> dict[str, Any]:
    scores = [{"mae": mae, "picp": picp} for mae, picp in trainings]
    return {
        "state": state,
        "scores": scores[0],
        "trainings": [{"scores": training} for training in scores],
    }


RECORDS = {0: make_record("complete", (0.5, 80.0)), 1: make_record("pruned", (0.7, 60.0))}


def make_result(**changes: object) -> dict[str, Any]:
    result = dict.fromkeys(REQUIRED, None)
    values = {"best_trial_number": 0, "best_mae": 0.5, "best_picp": 80.0, "n_trials": 2}
    return {**result, **values, **changes}


def test_a_result_that_agrees_with_its_records_has_no_fault() -> None:
    assert check_result(make_result(), RECORDS) == ()


def test_a_result_may_be_the_mean_over_repeats() -> None:
    records = {**RECORDS, 0: make_record("complete", (0.5, 80.0), (0.6, 78.0))}
    assert check_result(make_result(best_mae=0.55, best_picp=79.0), records) == ()
    assert len(check_result(make_result(best_mae=0.61, best_picp=79.0), records)) == 1


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"best_trial_number": 7}, "names trial 7, which has no record"),
        ({"best_trial_number": 1, "best_mae": 0.7, "best_picp": 60.0}, "trial 1, which is pruned"),
        ({"best_mae": 0.4}, "gives trial 0 mae 0.4, its record says otherwise"),
        ({"n_trials": 3}, "counts 3 trials, of which 2 have a record"),
    ],
)
def test_a_result_that_contradicts_its_records_is_named(
    changes: dict[str, object], fault: str
) -> None:
    (message,) = check_result(make_result(**changes), RECORDS)
    assert fault in message


def test_the_end_of_a_log_is_what_a_person_would_see(tmp_path: Path) -> None:
    log = tmp_path / "x.err"
    log.write_bytes(b"x" * 100_000 + b"\nfirst\n\n10 %\r20 %\rdone\n\xff\n")
    assert last_lines(log, 3) == ("first", "done", "\ufffd")
    assert last_lines(tmp_path / "absent") == ()


def test_the_first_line_of_a_log_is_short(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"x" * 5000)
    assert len(first_line(log)) == 1000
    assert first_line(tmp_path / "absent") == ""
