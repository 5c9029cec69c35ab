"""Files of a study that hold something else: told by name, and no other study is lost for it.

Each row damages one file of a small study and names the command that meets it. What it says names
the file, what stands there and what to do; nothing is half written, and the other study of the
workspace is shown as before.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import run_cli
from earlier import OVER_ALL, TwoStudies, row_of_other, two_studies
from paretocast.workspace import stored
from paretocast.workspace.files import UNFINISHED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60), pytest.mark.usefixtures("without_pages")]

BEST = "best_params_NHITS_Q_small_old.json"
MANIFEST = "manifest_old.json"
CHOSEN = "trials_old/0003"  # the trial that the study chose
RECORD, FORECASTS = f"{CHOSEN}/record.json", f"{CHOSEN}/forecasts.npz"
DATABASE = "study_NHITS_Q_small_old.db"
DEEP = "[" * 100_000 + "]" * 100_000

Damage = Callable[[Path], None]


def text(name: str, content: str) -> Damage:
    """Something else in place of a whole file."""

    def damage(run: Path) -> None:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text(content, encoding="utf-8")

    return damage


def fields(name: str, **values: Any) -> Damage:  # noqa: ANN401  (values of JSON)
    """Other values in a JSON file; the parts of a path are joined by two underscores."""

    def damage(content: Any) -> None:  # noqa: ANN401
        for key, value in values.items():
            put(content, key, value)

    return changed(name, damage)


def put(content: Any, path: str, value: object) -> None:  # noqa: ANN401
    *way, last = path.split("__")
    for step in way:
        content = content[step]
    content[last] = value


def without(name: str, field: str) -> Damage:
    """A JSON file that lacks a field."""
    return changed(name, lambda content: content.pop(field))


def changed(name: str, change: Callable[[Any], object]) -> Damage:
    def damage(run: Path) -> None:  # with the digest of what it holds then
        content = json.loads((run / name).read_text(encoding="utf-8"))
        change(content)
        stored.save(run / name, content)

    return damage


def arrays(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Damage:
    """Other arrays in the forecasts of the chosen trial."""

    def damage(run: Path) -> None:
        with np.load(run / FORECASTS) as archive:
            content = change(dict(archive))
        np.savez(run / FORECASTS, **content)

    return damage


def plain_array(run: Path) -> None:
    with (run / FORECASTS).open("wb") as file:
        np.save(file, np.zeros(3))


def sql(*statements: str) -> Damage:
    """A database of Optuna that another version has written."""

    def damage(run: Path) -> None:
        with sqlite3.connect(run / DATABASE) as database:
            for statement in statements:
                database.execute(statement)

    return damage


def odd_folder(run: Path) -> None:
    (run / "trials_old" / "99999999999999999999").mkdir()


def newer_data(run: Path) -> None:
    """Another value in the first month of the data."""
    path = run.parents[2] / "small.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    stamp, value, *more = lines[500].split(",")
    lines[500] = ",".join([stamp, f"{float(value) + 1.0:g}", *more])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Row:
    """A damage, a command, its exit code and what it says (a regular expression)."""

    id: str
    damage: Damage
    command: str
    says: str
    code: int = 1


NOT_A_RESULT = rf"{BEST} is damaged: the file is {{}}; input should be .*consolidate` makes it"
NESTED = rf"{BEST} is damaged: it is nested more than 32 deep; `paretocast consolidate` makes it"
NEWER = "{} is of another version: schema_version is 99, expected 1; use the version .* wrote it"
OF_RECORD = rf"{RECORD} is damaged: {{}}.*; put the file back as it was or remove it"
OF_MANIFEST = rf"{MANIFEST} is damaged: {{}}.*; begin a new study with another --job-id"
OF_FORECASTS = rf"{FORECASTS} is damaged: {{}}.*; train the trial again or leave it out"
NO_PART = "trial 3 had no part in the recommendation: .*" + OF_FORECASTS
NO_SCORES = "the trial is complete and lacks the scores mae"
FAULTY = r"NHITS_Q_small_old +faulty(?s:.*)"
REBUILT = r"NHITS_Q_small_old +rebuilt(?s:.*)"

no_calibrate = arrays(lambda content: {"tune": content["tune"]})
of_text = arrays(lambda content: {name: content[name].astype(str) for name in content})

ROWS = (
    *(
        Row(f"best_{name}/{command}", text(BEST, content), command, NOT_A_RESULT.format(shown))
        for name, content, shown in (
            ("list", "[]", r"\[\]"),
            ("null", "null", "None"),
            ("num", "5", "5"),
        )
        for command in ("calibrate", "diagnose")
    ),
    Row("best_deep/status", text(BEST, DEEP), "status", NESTED, 0),
    Row("best_deep/analyze", text(BEST, DEEP), "analyze", f"left out .*{NESTED}", 0),
    Row("best_deep/consolidate", text(BEST, DEEP), "consolidate", REBUILT + NESTED, 0),
    Row("best_deep/calibrate", text(BEST, DEEP), "calibrate", NESTED),
    Row("best_deep/diagnose", text(BEST, DEEP), "diagnose", NESTED),
    Row(
        "best_types/status",
        fields(BEST, best_mae="x", best_picp=None),
        "status",
        rf"{BEST} is damaged: best_mae is 'x'; input should be a valid number \(1 more\); "
        "`paretocast consolidate` makes it anew",
        0,
    ),
    Row(
        "best_num_type/diagnose",
        fields(BEST, best_trial_number="a"),
        "diagnose",
        f"{BEST} is damaged: best_trial_number is 'a'; input should be a valid integer; `pareto",
    ),
    Row(
        "man_nosettings/tune",
        without(MANIFEST, "settings"),
        "tune",
        OF_MANIFEST.format("settings is missing"),
    ),
    Row(
        "man_settings_str/tune",
        fields(MANIFEST, settings="x"),
        "tune",
        OF_MANIFEST.format("settings is 'x'"),
    ),
    Row(
        "man_nocomp/consolidate",
        without(MANIFEST, "comparable"),
        "consolidate",
        FAULTY + OF_MANIFEST.format("comparable is missing"),
        0,
    ),
    Row(
        "man_nocomp/calibrate",
        without(MANIFEST, "comparable"),
        "calibrate",
        OF_MANIFEST.format("comparable is missing"),
    ),
    *(
        Row(
            f"rec_{name}/{command}",
            damage,
            command,
            (FAULTY if command == "consolidate" else "") + OF_RECORD.format(told),
            0 if command in OVER_ALL else 1,
        )
        for name, damage, told, commands in (
            ("list", text(RECORD, "[]"), r"the file is \[\]", "consolidate calibrate tune"),
            ("state", fields(RECORD, state="exploded"), "state is 'exploded'", "consolidate tune"),
            ("noscores", fields(RECORD, scores={}), NO_SCORES, "consolidate calibrate"),
            ("missing", without(RECORD, "rungs"), "rungs is missing", "consolidate tune"),
            (
                "strscore",
                fields(RECORD, scores__mae="x"),
                "scores.mae is 'x'",
                "consolidate calibrate tune",
            ),
            (
                "null_mae",
                fields(RECORD, scores__mae=None),
                NO_SCORES,
                "status consolidate calibrate",
            ),
        )
        for command in commands.split()
    ),
    Row(
        "prop_list/tune",
        text("trials_old/0004/proposal.json", "[]"),
        "tune",
        r"0004/proposal.json is damaged: the file is \[\]; .*put the file back as it was",
    ),
    Row("odd_folder/tune", odd_folder, "tune", "trial 4 MAE .* 5/5", 0),
    Row(
        "npz_missing/calibrate",
        no_calibrate,
        "calibrate",
        OF_FORECASTS.format("it holds tune, expected tune and calibrate"),
    ),
    Row("npz_missing/tune", no_calibrate, "tune", NO_PART.format("it holds tune"), 0),
    Row("npz_str/diagnose", of_text, "diagnose", OF_FORECASTS.format("tune is of <U32")),
    Row("npz_npy/calibrate", plain_array, "calibrate", OF_FORECASTS.format("File is not a zip")),
    Row("npz_npy/tune", plain_array, "tune", NO_PART.format("File is not a zip file"), 0),
    # Optuna itself looks at the revision of the tables alone.
    Row("db_schema/tune", sql("UPDATE version_info SET schema_version = 99"), "tune", "5/5", 0),
    Row(
        "db_alembic/tune",
        sql("UPDATE alembic_version SET version_num = 'v99'"),
        "tune",
        f"study storage {DATABASE} fails: .*no longer compatible.*; .*remove it while nobody works "
        "on the study: it is made anew from the records",
    ),
    Row(
        "data_more/tune",
        newer_data,
        "tune",
        "NHITS_Q_small_old was made on other data .* Put the data back as they were, or choose "
        "another --job-id",
    ),
    *(
        Row(
            f"schema_ignored/{command}-{name.partition('_')[0]}",
            fields(name, schema_version=99),
            command,
            NEWER.format(name),
            0 if command in OVER_ALL else 1,
        )
        for name, commands in (
            (BEST, "status analyze consolidate calibrate diagnose"),
            (MANIFEST, "status consolidate calibrate diagnose tune"),
        )
        for command in commands.split()
    ),
)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> TwoStudies:
    return two_studies(tmp_path_factory.mktemp("studies"))


def words_of(studies: TwoStudies, command: str) -> list[str]:
    if command != "tune":
        return studies.command(command)
    options = ["--settings", str(studies.folder / "settings.toml"), "--job-id", "old", "--resume"]
    place = ["--dataset", str(studies.folder / "small.toml"), "--workspace", str(studies.workspace)]
    return ["tune", *options, *place, "--trials", "5"]


def content_of(folder: Path) -> dict[Path, bytes]:
    """What results are made from: not Optuna's copy, nor the manifest, which tells the last run."""
    paths = [path for path in folder.rglob("*") if path.suffix in {".json", ".npz"}]
    return {path: path.read_bytes() for path in paths if path.name != MANIFEST}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_damaged_file_is_told_and_hides_no_other_study(
    studies: TwoStudies, capsys: pytest.CaptureFixture[str], row: Row
) -> None:
    data = studies.folder / "small.csv"
    whole = data.read_bytes()
    studies.restore()
    expected = ""
    if row.command in OVER_ALL:
        expected = row_of_other(row.command, run_cli(capsys, *studies.command(row.command))[1])
        studies.restore()
    row.damage(studies.run)
    before = content_of(studies.run)
    other = content_of(studies.run.with_name("NHITS_Q_other"))
    try:
        code, out, err = run_cli(capsys, *words_of(studies, row.command))
    finally:
        data.write_bytes(whole)
    assert code == row.code, err
    assert re.search(row.says, out + err), out + err
    assert "Traceback" not in out + err
    assert not list(studies.workspace.rglob(f"*{UNFINISHED}"))
    if expected:
        assert row_of_other(row.command, out) == expected
    if code != 0:
        assert content_of(studies.run) == before
    if row.command != "consolidate":
        assert content_of(studies.run.with_name("NHITS_Q_other")) == other


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(
            lambda path: path.write_text(DEEP),
            "it is nested.*calibrate` writes it anew",
            id="cal_deep",
        ),
        pytest.param(
            lambda path: fields(path.name, calibrator=[])(path.parent),
            r"calibrator is \[\]; .*`paretocast calibrate` writes it anew",
            id="cal_callist",
        ),
        pytest.param(
            lambda path: fields(path.name, members=[])(path.parent),
            r"members is \[\]; .*`paretocast calibrate` writes it anew",
            id="cal_nomem",
        ),
    ],
)
def test_a_damaged_calibrator_is_told(
    studies: TwoStudies,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], object],
    says: str,
) -> None:
    studies.restore()
    path = studies.folder / "calibrator.json"
    words = ["calibrate", studies.run, "--calibrator", "cqr", "--output", path]
    assert run_cli(capsys, *words)[0] == 0
    diagnose = ["diagnose", studies.run, "--split", "tune", "--calibrator", path]
    assert run_cli(capsys, *diagnose)[0] == 0
    page = (studies.run / "diagnosis_old.html").stat().st_mtime_ns
    damage(path)
    code, out, err = run_cli(capsys, *diagnose)
    assert (code, out) == (1, "")
    assert re.fullmatch(rf"error: {path} is damaged: {says}\n", err)
    assert (studies.run / "diagnosis_old.html").stat().st_mtime_ns == page
