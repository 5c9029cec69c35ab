"""The public names: what a notebook or a script does with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import paretocast
from builders import make_series
from commands import exit_code
from paretocast.errors import DataError, SettingsError
from studies import SMALL_SPACE

pytestmark = pytest.mark.usefixtures("without_pages")
SMALL: dict[str, Any] = {
    "trials": 3,
    "seed": 1,
    "threads": 1,
    "device": "cpu",
    "task": {"input_steps": 48},
    "training": {"steps": 12, "batch_size": 32, "n_evaluations": 3, "n_rungs": 3},
    "space": SMALL_SPACE,
    "progress": False,
    "storage": "journal",
}
NAMES = {
    *("Dataset", "Forecast", "Study", "TuneSettings", "benchmark", "calibrate", "diagnose"),
    *("fetch_weather", "load_bundle", "load_dataset", "load_study", "tune"),
}


def small_frame(n_days: int = 130) -> pd.DataFrame:
    series = make_series(n_days)
    temperature = series.covariates[0].values
    return pd.DataFrame({"hour": series.index, "MW": series.values, "outdoor": temperature})


def small_dataset() -> paretocast.Dataset:
    return paretocast.Dataset.from_frame(
        small_frame(),
        target="MW",
        time="hour",
        unit="MW",
        covariates={"outdoor": {"role": "forecast", "unit": "°C"}},
        splits={"train": 0.45, "validation": 0.35},
        name="north",
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> paretocast.Study:
    folder = tmp_path_factory.mktemp("api")
    return paretocast.tune(small_dataset(), workspace=folder / "hpo", **SMALL)


def test_the_public_names_are_those_that_are_documented() -> None:
    assert set(paretocast.__all__) == NAMES
    documented = (Path(__file__).parents[2] / "docs" / "python.md").read_text("utf-8")
    for name in NAMES:
        assert callable(getattr(paretocast, name))
        assert f"`{name}" in documented or f"{name}." in documented, name
    with pytest.raises(AttributeError, match="has no attribute 'tuna'"):
        _ = paretocast.tuna


def test_no_module_bears_a_public_name() -> None:
    folder = Path(paretocast.__file__).parent
    assert not NAMES & {path.stem for path in folder.iterdir()}


def test_the_import_loads_nothing() -> None:
    program = "import json, sys; import paretocast; print(json.dumps(sorted(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(Path(paretocast.__file__).parents[1])}
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=environment)
    own = [name for name in json.loads(done.stdout) if name.startswith("paretocast")]
    assert own == ["paretocast"]


def test_a_study_from_a_frame_has_its_trials_and_its_front(study: paretocast.Study) -> None:
    assert list(study.trials.index) == [0, 1, 2]
    assert {"state", "on_front", "chosen", "mae", "picp", "lr"} <= set(study.trials.columns)
    assert study.front["on_front"].all()
    assert study.best.name == study.trials.index[study.trials["chosen"]][0]
    assert study.best["lr"] == study.best_params["lr"]
    assert "ridge" in study.baselines.index
    assert study.task.assumptions
    assert "3 trials" in repr(study)
    assert "<table" in study._repr_html_()


def test_its_forecasts_are_a_tidy_frame(study: paretocast.Study) -> None:
    frame = study.forecasts("tune")
    forecast = study.forecast("tune")
    assert len(frame) == forecast.quantiles.shape[0] * 24
    first = frame.iloc[0]
    assert first["step"] == 1
    assert first["target_time"] == first["issue_time"]
    assert (frame["q0.05"] <= frame["q0.95"]).all()
    series = small_frame().set_index("hour")["MW"]
    known = frame.dropna(subset="observed")
    np.testing.assert_allclose(series.loc[known["target_time"]], known["observed"])


def test_its_figures_show_its_trials_and_a_day(study: paretocast.Study) -> None:
    assert study.plot_pareto().data
    day = study.forecasts("tune")["issue_time"].iloc[0]
    assert [trace.name for trace in study.plot_forecast(f"{day:%Y-%m-%d}").data][-1] == "observed"
    with pytest.raises(DataError, match="no forecast of the tune split was issued on 1999"):
        study.plot_forecast("1999-01-01")


def test_a_study_is_the_same_when_it_is_loaded_again(study: paretocast.Study) -> None:
    again = paretocast.load_study(study.folder)
    pd.testing.assert_frame_equal(again.trials, study.trials)


def test_the_command_line_goes_on_with_a_study_from_a_frame(study: paretocast.Study) -> None:
    workspace = study.folder.parents[1]
    spec = next((workspace / "data").glob("north-*/north.toml"))
    arguments = ("--dataset", spec, "--workspace", workspace, "--resume", "--trials", 4)
    assert exit_code("tune", *arguments) == 0
    assert len(paretocast.load_study(study.folder).trials) == 4


def test_it_is_calibrated_diagnosed_and_benchmarked(study: paretocast.Study) -> None:
    calibration = paretocast.calibrate(study, "cqr")
    assert calibration.path.exists()
    assert calibration.calibrator.name == "cqr"
    assert {"name", "picp", "winkler"} <= set(calibration.table.columns)  # no rows: 14 windows
    assert calibration.forecast("tune").quantiles.shape == study.forecast("tune").quantiles.shape
    diagnosed = paretocast.diagnose(study)
    assert diagnosed.path.exists()
    assert "lead time" in set(diagnosed.table["grouping"])
    workspace = study.folder.parents[1]
    saved = paretocast.benchmark(
        next((workspace / "data").glob("north-*/north.toml")),
        ["NHITS_Q"],
        methods=["tuned", "ridge"],
        calibrators=["cqr"],
        workspace=workspace,
        threads=1,
        progress=False,
    )
    assert set(saved.table["method"]) == {"NHITS_Q", "ridge"}
    assert saved.table["chosen"].sum() == 1
    assert saved.verdicts


def test_bars_move_with_trials_and_trainings(
    study: paretocast.Study, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = study.folder.parents[1]
    spec = next((workspace / "data").glob("north-*/north.toml"))
    small = {key: SMALL[key] for key in ("seed", "threads", "device", "task", "training", "space")}
    paretocast.tune(spec, trials=1, workspace=workspace / "bars", study_id="bar", **small)
    paretocast.benchmark(
        spec, ["NHITS_Q"], methods=["tuned"], calibrators=["none"], workspace=workspace / "bars"
    )
    said = capsys.readouterr().err
    assert "trials: 100%" in said
    assert "best MAE" in said
    assert "benchmark: 100%" in said


def test_the_same_frame_is_written_once(tmp_path: Path) -> None:
    from paretocast.api.frames import save_dataset

    path = save_dataset(small_dataset(), tmp_path)
    assert save_dataset(small_dataset(), tmp_path) == path
    stored = paretocast.load_dataset(path)
    np.testing.assert_array_equal(stored.series.values, small_dataset().series.values)
    assert stored.dates == small_dataset().dates


def test_storing_a_set_of_the_users_own_files_leaves_them_as_they_are(tmp_path: Path) -> None:
    from paretocast.api.frames import save_dataset

    hours = pd.date_range("2022-01-01", periods=24 * 100, freq="h", tz="UTC")
    stamps = hours.strftime("%Y-%m-%dT%H:%M:%SZ")
    frame = pd.DataFrame({"timestamp": stamps, "note": "x"})
    frame["MW"] = 1.0 + hours.hour + np.arange(len(hours)) % 5
    frame["mast"] = np.arange(len(hours)) % 7 + 2.0
    frame.to_csv(tmp_path / "mine.csv", index=False)
    (tmp_path / "free.csv").write_text("start_date,end_date\n2022-02-07,2022-02-11\n")
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\npath = "mine.csv"\ntarget = "MW"\nunit = "MW"\n'
        'school_holidays = "free.csv"\n[splits]\ntrain = 0.6\nvalidation = 0.3\n'
        '[covariates.mast]\nrole = "past"\nkind = "wind"\nuse = false\n'
        '[covariates.note]\nrole = "past"\nuse = false\n'
    )
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    given = paretocast.load_dataset(tmp_path / "mine.toml", covariates=["mast"])
    stored = paretocast.load_dataset(save_dataset(given, tmp_path / "workspace"))
    assert before == {name: (tmp_path / name).read_bytes() for name in before}
    np.testing.assert_array_equal(stored.series.values, given.series.values)
    assert [covariate.name for covariate in stored.series.covariates] == ["wind_mast"]
    assert stored.series.calendar == given.series.calendar
    assert stored.series.calendar.school_holidays
    assert stored.dates == given.dates


def test_a_polars_frame_is_read_as_a_pandas_frame() -> None:
    polars = pytest.importorskip("polars")
    frame = small_frame()
    other = polars.DataFrame({name: frame[name].to_list() for name in frame})
    given: dict[str, Any] = {"target": "MW", "time": "hour", "name": "north"}
    read = paretocast.Dataset.from_frame(other, **given)
    expected = paretocast.Dataset.from_frame(frame, **given)
    np.testing.assert_array_equal(read.series.values, expected.series.values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "GW"}, "no column GW"),
        ({"covariates": {"outdoor": "future"}}, "covariates.outdoor.role"),
        ({"splits": {"train": 0.9, "validation": 0.2}}, "leave nothing"),
        ({"name": "../north"}, "name"),
    ],
)
def test_a_frame_that_is_described_wrongly_is_refused(
    changes: dict[str, object], message: str
) -> None:
    given: dict[str, object] = {"target": "MW", "time": "hour", **changes}
    with pytest.raises((SettingsError, DataError), match=message):
        paretocast.Dataset.from_frame(small_frame(), **given)  # type: ignore[arg-type]


def test_what_is_no_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is a list, expected a pandas or polars data frame"):
        paretocast.tune([1, 2], frame={"target": "MW"}, workspace=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="needs frame="):
        paretocast.tune(small_frame(), workspace=tmp_path)
    with pytest.raises(SettingsError, match="for a data frame only"):
        paretocast.tune("demo", frame={"target": "MW"}, workspace=tmp_path)
