"""The audit of a journal: as a slow twin has it, and in one pass."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from builders import make_series
from paretocast.deployment import audit as auditing
from paretocast.deployment.audit import audit
from paretocast.deployment.bundle import state_hash
from paretocast.deployment.calibration_state import past_windows, replay
from paretocast.deployment.journal import Deployment, latest_values
from paretocast.deployment.run import issue_forecast, issue_forecasts, observe
from retrained import TRAIN_DAYS, VALIDATION_DAYS, deploy, make_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.deployment.bundle import Bundle
    from paretocast.deployment.calibration_state import LearnedWindow

FIRST = TRAIN_DAYS + VALIDATION_DAYS + 2
N_DAYS = FIRST + 30
DAY = pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return make_table(make_series(N_DAYS))


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame) -> Path:
    """A journal with all that can happen: read by each test, and copied before it is changed."""
    folder = tmp_path_factory.mktemp("journal") / "small"
    series = make_series(N_DAYS)
    opened = deploy(folder, series, calibrator="pid")
    at = series.index[24 * FIRST]
    issue_days(opened, table, at + 2 * DAY, at + 6 * DAY)
    issue_days(opened, table, at, at)  # a day before all others, issued after them
    late = table.assign(demand=table["demand"].where(table.index != 24 * (FIRST + 8) + 5))
    issue_days(opened, late, at + 7 * DAY, at + 10 * DAY)
    issue_days(opened, table, at + 11 * DAY, at + 12 * DAY)
    corrected = table.assign(demand=table["demand"] + 0.5 * (table.index == 24 * (FIRST + 3)))
    observe(opened, opened.bundle.contract.read(corrected))
    warmer = table.assign(temperature=table["temperature"] + 1.0)
    issue_days(opened, warmer, at + 11 * DAY, at + 11 * DAY)
    count_in_time(folder, at + 11 * DAY)
    issue_days(opened, warmer, at + 12 * DAY, at + 12 * DAY)
    issue_forecast(opened, opened.bundle.contract.read(table), at + 13 * DAY + DAY / 2)
    issue_days(opened, table, at + 13 * DAY, at + 15 * DAY)
    opened = deploy(folder, series, calibrator="aci")
    issue_days(opened, table, at + 12 * DAY, at + 18 * DAY)
    return folder


def issue_days(
    opened: Deployment, rows: pd.DataFrame, first: pd.Timestamp, last: pd.Timestamp
) -> None:
    issue_forecasts(opened, opened.bundle.contract.read(rows), first, last)


def count_in_time(folder: Path, issue: pd.Timestamp) -> None:
    """Let the second revision of an issue have been made before its first hour."""
    path = folder / "journal" / "events.jsonl"
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    (event,) = (e for e in events if e.get("issue") == issue.isoformat() and e.get("revision") == 2)
    event["time"] = (issue - pd.Timedelta(hours=1)).isoformat()
    path.write_text("".join(f"{json.dumps(event)}\n" for event in events), encoding="utf-8")


def slow_calibrations(opened: Deployment) -> list[str]:
    """The state that each forecast should have, by a replay of all that was before it."""
    rows, in_time = opened.observations(), opened.made_in_time()
    states = []
    for forecast in opened.issued():
        bundle = opened.bundle_named(forecast.bundle)
        counted = {}
        for earlier in opened.issued():
            if earlier.number < forecast.number and (
                earlier.revision == 1 or (earlier.issue_time, earlier.revision) in in_time
            ):
                counted[earlier.issue_time] = earlier
        before = [counted[issue] for issue in sorted(counted) if issue < forecast.issue_time]
        known = latest_values(rows[: forecast.observations])
        windows = past_windows(before, known, forecast.issue_time, bundle)
        states.append(state_hash(replay(bundle, windows)[forecast.rung]))
    return states


def disputed(opened: Deployment) -> list[str]:
    """Forecasts that the slow twin does not explain."""
    pairs = zip(opened.issued(), slow_calibrations(opened), strict=True)
    return [
        f"{forecast.issue_time.isoformat()} revision {forecast.revision}"
        for forecast, state in pairs
        if state != forecast.calibration
    ]


def test_a_journal_of_all_kinds_explains_its_forecasts(journal: Path) -> None:
    opened = Deployment.open(journal)
    revisions = [forecast.revision for forecast in opened.issued()]
    assert max(revisions) >= 2
    assert len(opened.made_in_time()) == 1
    assert len({forecast.bundle for forecast in opened.issued()}) == 2
    assert disputed(opened) == []
    assert audit(opened).problems == ()


@pytest.mark.parametrize("day", [3, 12])
def test_a_journal_that_was_changed_is_disputed_as_by_the_slow_twin(
    journal: Path, tmp_path: Path, day: int
) -> None:
    copy = Path(shutil.copytree(journal, tmp_path / "copy"))
    path = copy / "journal" / "observed.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    hour = make_series(N_DAYS).index[24 * (FIRST + day) + 4].isoformat()
    (place,) = (i for i, line in enumerate(lines) if line.startswith(f"{hour},"))
    cells = lines[place].split(",")
    lines[place] = ",".join([cells[0], repr(float(cells[1]) + 2.0), *cells[2:]])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    opened = Deployment.open(copy)
    expected = disputed(opened)
    assert expected
    found = audit(opened).problems
    assert [problem.partition(": ")[0] for problem in found] == expected


def test_an_audit_learns_from_each_window_once(
    journal: Path, tmp_path: Path, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(journal, tmp_path / "copy"))
    shutil.rmtree(copy / "journal")
    opened = Deployment.open(copy)
    at = make_series(N_DAYS).index[24 * FIRST]
    issue_days(opened, table, at, at + 11 * DAY)
    learned: list[int] = []

    def counting(
        bundle: Bundle, windows: Sequence[LearnedWindow], **how: object
    ) -> dict[str, object]:
        learned.append(len(windows))
        return replay(bundle, windows, **how)  # type: ignore[arg-type, return-value]

    monkeypatch.setattr(auditing, "replay", counting)
    assert audit(opened).n_forecasts == 12
    assert sum(learned) == 11
