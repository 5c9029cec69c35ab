"""What a study has found, as a table of forecasts and as runs of MLflow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark_cases import tune_small, write_dataset
from commands import run_cli
from paretocast.api.study import Study
from paretocast.results.stored_study import StoredStudy


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small finished study."""
    folder = tmp_path_factory.mktemp("study_export")
    tune_small(folder / "hpo", write_dataset(folder))
    return folder / "hpo" / "results" / "NHITS_Q_small"


@pytest.mark.parametrize("name", ["trials.parquet", "trials.csv"])
def test_forecasts_of_all_trials_are_one_table(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path, name: str
) -> None:
    code, _, err = run_cli(capsys, "export", place, "--forecasts", tmp_path / name)
    assert code == 0, err
    read = pd.read_csv if name.endswith("csv") else pd.read_parquet
    table = read(tmp_path / name)
    study = Study(StoredStudy.open(place))
    assert set(table["trial"]) == set(study.trials.index)
    chosen = table[(table["trial"] == study.stored.chosen_number) & (table["split"] == "tune")]
    errors = np.abs(chosen["q0.5"] - chosen["observed"])
    assert errors.mean() == pytest.approx(study.best["mae"])
    ahead = pd.to_datetime(chosen["target_time"]) - pd.to_datetime(chosen["issue_time"])
    assert (ahead == pd.to_timedelta(chosen["step"] - 1, unit="h")).all()


@pytest.mark.filterwarnings("ignore:The ``noload`` loader")  # of MLflow itself
def test_every_trial_is_a_run_once_and_one_cut_short_is_logged_again(
    capsys: pytest.CaptureFixture[str],
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'runs.db'}"
    study = Study(StoredStudy.open(place))
    code, _, err = run_cli(capsys, "export", place, "--track", uri)
    assert code == 0, err
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("paretocast small").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert len(runs) == len(study.trials) + 1
    trial = study.stored.chosen_number
    run = runs[f"trial {trial}"]
    assert run.data.metrics["mae"] == pytest.approx(study.best["mae"])
    assert float(run.data.params["lr"]) == study.best_params["lr"]
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"forecasts.npz"}
    assert run.data.tags["mlflow.parentRunId"] == runs[study.stored.run.study_name].info.run_id
    assert "0 runs added" in run_cli(capsys, "export", place, "--track", uri)[2]
    client.set_terminated(run.info.run_id, status="RUNNING")
    assert "1 run added" in run_cli(capsys, "export", place, "--track", uri)[2]
    assert len(client.search_runs([experiment])) == len(runs)


@pytest.mark.parametrize(
    ("words", "expected", "told"),
    [
        (["--forecasts", "trials.xlsx"], 2, "expected a name with .parquet or .csv"),
        (["--track", "nothing://there"], 1, "cannot be logged to nothing://there"),
        (["--forecasts", "a.csv", "--onnx", "b.onnx"], 2, "give those of one kind"),
        ([], 2, "nothing to export"),
    ],
)
def test_what_cannot_be_exported_is_said(
    capsys: pytest.CaptureFixture[str], place: Path, words: list[str], expected: int, told: str
) -> None:
    code, _, err = run_cli(capsys, "export", place, *words)
    assert code == expected
    assert told in " ".join(err.split())
    assert "Traceback" not in err
