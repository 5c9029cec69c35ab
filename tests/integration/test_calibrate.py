"""`calibrate` and `diagnose` on finished studies, of single trials and of the ensemble."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

from commands import exit_code
from paretocast.calibration import CALIBRATORS, choose_calibrator, load_calibrator, walk_forward
from paretocast.calibration.ensemble import average_levels
from paretocast.cli.calibrate import calibrate
from paretocast.errors import StoreError
from paretocast.report.assessment import HEADING, assessment_section
from paretocast.results.assessment import assess, assess_trial
from paretocast.results.calibrator_file import load_fitted
from paretocast.results.forecasts import open_ensemble, open_members, open_trial
from paretocast.results.stored_study import StoredStudy
from paretocast.workspace.claims import Claim
from paretocast.workspace.files import load_json, save_json
from runs import write_run


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of three trials."""
    return write_run(tmp_path_factory.mktemp("study"))


@pytest.fixture
def own_study(study: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    folder = tmp_path / "hpo" / "results" / study.name
    shutil.copytree(study, folder)
    return folder


@pytest.fixture
def pageless(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of something else than the page of a diagnosis."""
    monkeypatch.setattr("paretocast.api.intervals.diagnosis_page", lambda *_, **__: "<html>")


def test_the_best_calibrator_is_written_with_what_it_was_compared_with(
    study: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "calibrator.json"
    assert exit_code("calibrate", str(study), "--output", str(path)) == 0
    out = capsys.readouterr().out
    assert "in 4-fold cross-validation on the calibrate split" in out
    assert "★" in out
    stored = load_json(path)
    assert stored["fitted_on"] == "calibrate"
    assert [row["name"] for row in stored["compared"]] == list(CALIBRATORS)
    fitted = load_calibrator(stored["calibrator"])
    assert fitted.name == "pid"
    assert "agrees with the target of 80 %" in stored["reason"]
    forecast = open_trial(study).forecast("tune")
    calibrated = walk_forward(fitted, forecast).forecast
    assert (np.diff(calibrated.quantiles, axis=-1) >= 0.0).all()


def test_a_named_calibrator_stands_beside_none(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("calibrate", str(study), "--calibrator", "cqr", "--trial", "1") == 0
    out = capsys.readouterr().out
    assert "cqr was named" in out
    assert "isotonic" not in out
    stored = load_json(next(study.glob("calibrator_*_trial0001.json")))
    assert (stored["trial"], stored["calibrator"]["name"]) == (1, "cqr")


def test_static_leaves_out_what_goes_on_learning(
    study: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "calibrator.json"
    assert exit_code("calibrate", str(study), "--static", "--output", str(path)) == 0
    names = {row["name"] for row in load_json(path)["compared"]}
    assert "cqr" in names
    assert not {"aci", "pid"} & names
    capsys.readouterr()


def test_diagnose_prints_the_groups_and_writes_its_page(
    study: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert exit_code("diagnose", str(study), "--page", str(page)) == 0
    out, err = capsys.readouterr()
    perfect = "temperature: observed values stand in for forecasts over the horizon"
    assert perfect in err
    assert perfect in page.read_text("utf-8")
    for name in ("lead time", "local hour", "weekday", "month", "demand decile", "temperature"):
        assert f"by {name}" in out
    assert "widened for so many groups" in out
    assert "Coverage of the intervals by group" in page.read_text("utf-8")


def test_a_study_under_way_may_still_choose_another_trial(
    own_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = Claim.take(own_study / "trials_a" / "0007", worker=0)
    assert claim is not None
    try:
        assert exit_code("calibrate", str(own_study), "--calibrator", "cqr") == 0
    finally:
        claim.release()
    said = " ".join(capsys.readouterr().err.split())
    assert "is under way: it may still choose another trial" in said
    assert "temperature: observed values stand in for forecasts" in said


@pytest.mark.usefixtures("pageless")
def test_diagnose_shows_what_a_calibrator_changes(
    study: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calibrator, page = tmp_path / "calibrator.json", tmp_path / "page.html"
    named = ["--calibrator", "cqr", "--output", str(calibrator)]
    assert exit_code("calibrate", str(study), *named) == 0
    options = ["--split", "tune", "--calibrator", str(calibrator), "--page", str(page)]
    assert exit_code("diagnose", str(study), *options) == 0
    assert "tune split, calibrated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["calibrate", "{study}", "--calibrator", "magic"],
            "unknown, expected auto or one of none",
        ),
        (["calibrate", "{study}", "--trial", "7"], "trials with forecasts: 0, 1, 2"),
        (["diagnose", "{study}/trials_a"], "holds no best_params_"),
        (["diagnose", "{study}", "--split", "test"], "expected tune or calibrate"),
        (["diagnose", "{study}/manifest_a.json"], "is damaged: model is missing"),
        (
            ["diagnose", "{study}", "--calibrator", "{study}/manifest_a.json"],
            "is damaged: study_name is missing",
        ),
        (["diagnose", "{study}", "--target-coverage", "100"], "expected between 1 and 100"),
        (["calibrate", "{study}", "--trial", "1", "--ensemble"], "exclude each other"),
        (["calibrate", "{study}", "--members", "3"], "--members is for --ensemble"),
    ],
)
def test_what_cannot_be_answered_says_why(
    study: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert exit_code(*(part.format(study=study) for part in arguments)) in {1, 2}
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_a_folder_of_two_studies_asks_which(own_study: Path) -> None:
    result = own_study / "best_params_NHITS_Q_my_zone_a.json"
    shutil.copy(result, own_study / "best_params_NHITS_Q_my_zone_b.json")
    with pytest.raises(StoreError, match="holds 2 studies; name one of"):
        StoredStudy.open(own_study)
    assert StoredStudy.open(result).run.job_id == "a"


@pytest.mark.usefixtures("pageless")
def test_the_newest_finished_study_is_taken_from_a_folder_a_workspace_or_the_default(
    own_study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for job_id, day in (("a", 1), ("b", 3), ("c", 5)):
        for kind in ("manifest", "best_params_NHITS_Q_my_zone"):
            content = load_json(own_study / f"{kind}_a.json")
            dated = {"job_id": job_id, "optimization_date": f"2026-01-0{day}T00:00:00+00:00"}
            if kind == "manifest":
                dated = {}
            save_json(own_study / f"{kind}_{job_id}.json", content | dated)
        if job_id != "a":
            shutil.copytree(own_study / "trials_a", own_study / f"trials_{job_id}")
    claim = Claim.take(own_study / "trials_c" / "0007", worker=0)
    assert claim is not None
    monkeypatch.chdir(own_study.parents[2])
    try:
        for place in ([own_study], [own_study.parent], [own_study.parents[1]], []):
            assert exit_code("calibrate", *place, "--calibrator", "cqr") == 0
            said = capsys.readouterr().err
            assert "the newest finished study of 3: NHITS_Q_my_zone_b" in said
            assert "calibrator_NHITS_Q_my_zone_b" in said
            assert "under way" not in said
    finally:
        claim.release()
    assert exit_code("diagnose", "--page", own_study / "page.html") == 0
    assert "the newest finished study of 3: NHITS_Q_my_zone_c" in capsys.readouterr().err


def test_a_place_without_a_study_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code("calibrate") == 1
    assert (
        "no study in hpo: there is no such folder; paretocast tune makes one"
        in capsys.readouterr().err
    )
    assert exit_code("diagnose", str(tmp_path)) == 1
    assert "holds no best_params_*.json" in capsys.readouterr().err


def test_other_data_than_the_study_was_made_on_are_refused(own_study: Path) -> None:
    manifest = json.loads((own_study / "manifest_a.json").read_text("utf-8"))
    manifest["comparable"]["task"]["data_sha256"] = "0" * 64
    save_json(own_study / "manifest_a.json", manifest)
    with pytest.raises(StoreError, match=r"not what .* was made on: data_sha256"):
        open_trial(own_study)


@pytest.mark.usefixtures("pageless")
def test_another_coverage_is_judged_and_stored(
    study: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path, page = tmp_path / "calibrator.json", tmp_path / "page.html"
    options = ["--calibrator", "cqr", "--target-coverage", "90", "--output", str(path)]
    assert exit_code("calibrate", str(study), *options) == 0
    assert load_json(path)["target_coverage"] == 90.0
    assert "90 % interval" in capsys.readouterr().out
    options = ["--calibrator", str(path), "--split", "tune", "--page", str(page)]
    assert exit_code("diagnose", str(study), *options) == 0
    assert "the 90 % interval" in capsys.readouterr().out


@pytest.mark.usefixtures("pageless")
def test_an_interval_beyond_the_stored_levels_is_read_from_their_tails_and_said(
    study: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ["--target-coverage", "99", "--page", str(tmp_path / "page.html")]
    assert exit_code("diagnose", str(study), *options) == 0
    said = capsys.readouterr()
    assert "99 % interval lies beyond the stored levels, 0.05 to 0.95" in said.err
    assert "the 99 % interval" in said.out


def test_the_ensemble_is_the_average_of_its_members(study: Path) -> None:
    opened = open_ensemble(study)
    assert sum(member.weight for member in opened.members) == pytest.approx(1.0)
    assert opened.subject == f"ensemble of {len(opened.members)} trials"
    each = [opened.study.forecasts(member.number) for member in opened.members]
    weights = [member.weight for member in opened.members]
    for split, forecast in opened.forecasts.items():
        expected = average_levels([forecasts[split] for forecasts in each], weights)
        assert forecast == pytest.approx(expected)


def test_trials_that_err_independently_are_better_together_than_the_chosen_one(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("calibrate", str(study), "--ensemble", "--members", "2") == 0
    out = capsys.readouterr().out
    assert "ensemble of 2 trials" in out
    assert "lower" in out
    assert "beyond chance" in out
    stored = load_json(StoredStudy.open(study).run.calibrator(None))
    trial, together = stored["against_trial"]["rows"]
    assert together["winkler"] < trial["winkler"]
    assert stored["against_trial"]["pinball_difference"]["high"] < 0.0
    assert [member["seed"] for member in stored["members"]] == [
        100 + member["trial"] for member in stored["members"]
    ]


@pytest.mark.usefixtures("pageless")
def test_the_file_of_an_ensemble_is_enough_to_make_its_forecast_again(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, page = tmp_path / "calibrator.json", tmp_path / "page.html"
    named = ["--calibrator", "cqr-hour", "--output", str(path)]
    assert exit_code("calibrate", str(study), "--ensemble", *named) == 0
    stored = load_fitted(path)
    opened = open_members(study, stored.members)
    again = walk_forward(stored.calibrator, opened.forecast("tune")).forecast
    direct = open_ensemble(study).forecast("tune")
    assert direct.quantiles == pytest.approx(opened.forecasts["tune"])
    expected = walk_forward(stored.calibrator, direct).forecast
    assert again.quantiles == pytest.approx(expected.quantiles)
    options = ["--split", "tune", "--calibrator", str(path), "--page", str(page)]
    capsys.readouterr()
    assert exit_code("diagnose", str(study), *options) == 0
    assert "trials, tune split, calibrated by cqr-hour" in capsys.readouterr().out
    assert exit_code("diagnose", str(study), *options, "--trial", "0") == 2
    assert "belongs to ensemble of" in capsys.readouterr().err


def test_an_ensemble_takes_two_trials_with_forecasts(own_study: Path) -> None:
    for number in (1, 2):
        StoredStudy.open(own_study).run.forecasts(number).unlink()
    with pytest.raises(StoreError, match=r"1 of 3 trials .* an ensemble takes two"):
        open_ensemble(own_study)


def test_an_ensemble_that_would_not_help_is_refused(own_study: Path) -> None:
    run = StoredStudy.open(own_study).run
    for number in (1, 2):
        shutil.copy(run.forecasts(0), run.forecasts(number))
    with pytest.raises(StoreError, match="trial 0 alone is better on the tune split"):
        open_ensemble(own_study)


def test_without_the_chosen_trial_there_is_an_ensemble_and_nothing_to_compare_with(
    own_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    StoredStudy.open(own_study).run.forecasts(0).unlink()
    assert exit_code("calibrate", str(own_study), "--ensemble", "--calibrator", "cqr") == 0
    assert "nothing to compare with" in capsys.readouterr().out
    assert load_json(StoredStudy.open(own_study).run.calibrator(None))["against_trial"] is None


def test_the_honesty_of_a_trial_is_that_of_its_calibrate_split(study: Path) -> None:
    opened = open_trial(study)
    found = assess(opened)
    forecast = opened.forecast("calibrate")
    inside = (forecast.quantiles[..., 1] <= forecast.observed) & (
        forecast.observed <= forecast.quantiles[..., 9]
    )
    assert found.diagnosis.overall.picp == pytest.approx(100.0 * inside.mean())
    choice = choose_calibrator(forecast, coverage=80.0)
    assert (found.best, found.compared) == (choice.calibrator.name, choice.compared)


def test_the_part_of_the_page_shows_coverage_where_it_fails_and_what_calibration_does(
    study: Path,
) -> None:
    found = assess(open_trial(study))
    part = assessment_section(found, model="NHITS_Q", dataset="<zone>", folder="runs/<a>")
    for text in (
        HEADING,
        "Coverage by lead time",
        "Coverage by month",
        "widened for so many groups",
    ):
        assert text in part
    assert "4-fold cross-validation on 21 windows" in part
    assert f"{found.best} ★" in part
    assert "paretocast calibrate runs/&lt;a&gt;" in part
    assert "<zone>" not in part


def test_a_repeated_trial_is_shown_in_its_first_training_and_said_so(own_study: Path) -> None:
    opened = open_trial(own_study)
    save_json(opened.run.record(0, 1), {"seed": 7})
    part = assessment_section(assess(opened), model="m", dataset="d", folder="f")
    assert "Of its trainings with different seeds it is the first." in part


def test_removed_forecasts_leave_a_sentence(own_study: Path) -> None:
    opened = open_trial(own_study)
    opened.run.forecasts(0).unlink()
    found = assess_trial(opened.run, 0, settings=opened.settings, task=opened.task)
    assert isinstance(found, str)
    assert found.startswith("The stored forecasts of trial 0 were removed")
    part = assessment_section(found, model="m", dataset="d", folder="f")
    assert HEADING in part
    assert found in part
    assert assessment_section("", model="m", dataset="d", folder="f") == ""


def test_damaged_forecasts_leave_a_sentence(own_study: Path) -> None:
    opened = open_trial(own_study)
    opened.run.forecasts(0).write_bytes(b"PK")
    found = assess_trial(opened.run, 0, settings=opened.settings, task=opened.task)
    assert isinstance(found, str)
    assert "is not known" in found


def test_too_few_windows_to_compare_are_said_on_the_page(study: Path) -> None:
    opened = open_trial(study)
    task = opened.task
    short = {**task.issues, "calibrate": task.issues["calibrate"][:9]}
    forecasts = {**opened.forecasts, "calibrate": opened.forecasts["calibrate"][:9]}
    few = replace(opened, task=replace(task, issues=short), forecasts=forecasts)
    found = assess(few)
    assert (found.compared, found.best) == ((), "")
    part = assessment_section(found, model="m", dataset="d", folder="f")
    assert "9 windows of the calibrate split were observed, 14 are needed" in part


def test_the_help_names_every_calibrator_of_the_package() -> None:
    option = get_type_hints(calibrate, include_extras=True)["calibrator"].__metadata__[0]
    names = option.help.rstrip(".").replace(" or ", ", ").replace("; else ", ", ").split(", ")
    assert set(CALIBRATORS) <= set(names)
