"""`paretocast export`: what is written forecasts as the bundle does, where the package is not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import run_cli
from paretocast.deployment import export as exporting
from paretocast.deployment.bundle import Bundle
from paretocast.errors import SettingsError, StoreError
from paretocast.results.stored_study import StoredStudy
from small_bundles import deploy_small, tune_with_weather, weather_table

ISSUE = pd.Timestamp("2021-03-28T22:00Z")  # midnight in Copenhagen, after a day of 23 hours
# A program as somebody would write it who has the file, its description, and no Paretocast.
PROGRAM = """
import csv, datetime as dt, json, sys
from zoneinfo import ZoneInfo

sys.modules["paretocast"] = sys.modules["torch"] = None
try:
    import paretocast
    raise SystemExit("it can be imported")
except ImportError:
    pass

import numpy as np
import onnxruntime

file, table, issue, out = sys.argv[1:]
text = json.load(open(file.removesuffix("onnx") + "json", encoding="utf-8"))
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
stored = session.get_modelmeta().custom_metadata_map["paretocast"]
assert json.loads(stored)["inputs"] == text["inputs"]

rows = {row["timestamp"]: row for row in csv.DictReader(open(table, encoding="utf-8"))}
first = dt.datetime.fromisoformat(issue)
n_history = text["inputs"]["history"]["shape"][1]
n_hours = text["inputs"]["calendar"]["shape"][1]
hours = [first + dt.timedelta(hours=i - n_history) for i in range(n_hours)]


def value(hour, column):
    read = rows[hour.strftime("%Y-%m-%dT%H:%M:%SZ")][column]
    return float(read) if read else float("nan")


def calendar(hour, column):
    local = hour.astimezone(ZoneInfo(text["zone"]))
    return {
        "hour": local.hour,
        "weekday": local.weekday(),
        "day_of_year": local.timetuple().tm_yday,
        "holiday": local.date() in {dt.date(2021, 1, 1), dt.date(2021, 4, 1), dt.date(2021, 4, 2)},
    }[column]


def columns(name, read):
    return [[[read(hour, c["name"]) for c in text["inputs"][name]["columns"]] for hour in hours]]


covariates = np.array(columns("covariates", value))
covariates[0, n_history:, 1] = np.nan  # pressure is of role past
inputs = {
    "history": np.array([[value(hour, "demand") for hour in hours[:n_history]]]),
    "calendar": np.array(columns("calendar", calendar), dtype=np.float64),
    "covariates": covariates,
    "month": np.array([first.month]),
}
np.save(out, session.run(["quantiles"], inputs)[0])

example = {
    name: np.array(values, dtype=np.int64 if name == "month" else np.float64)
    for name, values in text["example"].items()
}
again = session.run(["quantiles"], {name: example[name] for name in inputs})[0]
assert np.array_equal(again, example["quantiles"])
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StoredStudy:
    return tune_with_weather(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def bundle(study: StoredStudy, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return deploy_small(study, tmp_path_factory.mktemp("deployed") / "bundles")


def known_at_issue() -> pd.DataFrame:
    """The table without demand from the issue on."""
    table = weather_table()
    late = pd.to_datetime(table["timestamp"]) >= ISSUE
    table.loc[late, "demand"] = np.nan
    return table


@pytest.mark.slow
def test_an_onnx_file_forecasts_without_the_package(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    file, table, out = tmp_path / "small.onnx", tmp_path / "table.csv", tmp_path / "out.npy"
    code, printed, _ = run_cli(capsys, "export", bundle.folder, "--onnx", file)
    assert code == 0
    assert float(printed.split("\t")[1]) <= 1e-5
    known_at_issue().to_csv(table, index=False)
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, file, table, ISSUE.isoformat(), out],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    inputs = bundle.contract.read(known_at_issue())
    rung, expected, _ = bundle.raw_forecast(inputs.cut(ISSUE))
    assert rung == "full"
    width = np.mean(expected[:, -1] - expected[:, 0])
    assert np.abs(np.load(out)[0] - expected).max() <= 1e-5 * width


@pytest.mark.slow
def test_the_reference_ridge_has_a_graph(study: StoredStudy, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    bundle = deploy_small(study, tmp_path / "bundles", "ridge")
    assert exporting.export_onnx(bundle, tmp_path / "ridge.onnx") <= 1e-9


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow warns of type hints of its own
def test_a_model_of_mlflow_forecasts_what_the_bundle_does(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow = pytest.importorskip("mlflow")
    code, printed, _ = run_cli(capsys, "export", bundle.folder, "--mlflow", tmp_path / "made")
    assert (code, printed.split("\t")[1]) == (0, "0\n")
    shutil.move(tmp_path / "made", tmp_path / "moved")
    model = mlflow.pyfunc.load_model(str(tmp_path / "moved"))
    expected = bundle.forecast(known_at_issue(), at=ISSUE).frame
    given = model.predict(known_at_issue(), params={"at": ISSUE.isoformat()})
    pd.testing.assert_frame_equal(given, expected)
    pd.testing.assert_frame_equal(model.predict(known_at_issue()), expected)
    pickles = [p for p in (tmp_path / "moved").rglob("*") if p.suffix in {".pkl", ".pickle"}]
    assert pickles == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("option", ["onnx", "mlflow"])
def test_what_forecasts_differently_is_not_left_behind(
    bundle: Bundle, tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in {"onnx": ("onnxruntime", "onnxscript"), "mlflow": ("mlflow",)}[option]:
        pytest.importorskip(library)
    levels = len(bundle.levels)
    wrong = np.zeros((24, levels))
    monkeypatch.setattr("paretocast.models.forecast_graph.to_onnx", lambda *_: b"")
    monkeypatch.setattr(exporting, "_onnx_runner", lambda _: lambda _: wrong)
    monkeypatch.setattr(exporting, "predict_window", lambda *_: wrong)
    written = {"onnx": exporting.export_onnx, "mlflow": exporting.export_mlflow}[option]
    with pytest.raises(StoreError, match=r"differently from the bundle, by .* nothing was written"):
        written(bundle, tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_refused(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run_cli(capsys, "export", bundle.folder)
    assert (code, "give --onnx FILE" in err) == (2, True)
    code, _, err = run_cli(capsys, "export", bundle.folder, "--onnx", tmp_path / "small.bin")
    assert (code, "ends in .onnx" in err) == (2, True)
    code, _, err = run_cli(capsys, "export", bundle.folder, "--mlflow", tmp_path)
    assert (code, "which exists" in err) == (2, True)
    trees = {"kind": "boosted", "trained": "trial 7 LIGHTGBM"}
    manifest = {**bundle.manifest, "members": [*bundle.manifest["members"], trees]}
    with pytest.raises(SettingsError, match="trial 7 LIGHTGBM is made of boosted trees"):
        exporting.export_onnx(Bundle(bundle.folder, manifest, bundle.name), tmp_path / "a.onnx")


def test_a_missing_library_is_named(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "onnx", sys)
    with pytest.raises(SettingsError, match=r"needs onnxruntime, .* 'paretocast\[onnx\]'"):
        exporting.export_onnx(bundle, tmp_path / "a.onnx")
