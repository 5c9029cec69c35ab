"""Files that a benchmark reads again and that hold something else.

The history of benchmarks is kept aside and begun anew, a training of an earlier benchmark is made
again, and parameters that cannot be used are told before anything is trained.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from commands import exit_code, run_cli
from earlier import STORED
from paretocast.workspace import stored

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60), pytest.mark.usefixtures("without_pages")]

BENCHMARK = (
    *("benchmark", "--dataset", "small.toml", "--models", "NHITS_Q", "--settings", "settings.toml"),
    *("--methods", "tuned,seasonal_naive_24", "--calibrator", "cqr", "--threads", "1"),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study and one benchmark of it."""
    folder = tmp_path_factory.mktemp("benchmarks") / "whole"
    shutil.copytree(STORED, folder)
    manifest = folder / "hpo" / "results" / "NHITS_Q_small" / "manifest_old.json"
    content = manifest.read_text(encoding="utf-8")
    manifest.write_text(content.replace("/data/small.toml", str(folder / "small.toml")))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert exit_code(*BENCHMARK) == 0
    return folder


@pytest.fixture
def place(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working directory."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


HISTORIES: dict[str, tuple[Callable[[str], str], str]] = {
    "bench/history_cols": (replaced("test_sha256", "x"), "it lacks the columns test_sha256"),
    "bench/history_str": (
        lambda text: re.sub(r",cqr,1,([0-9.]+),", r",cqr,1,\1x,", text, count=1),
        "could not convert string to float: '1.11522x' in line 2",
    ),
    "bench/history_long": (
        replaced("seasonal_naive_24", "x" * 200_000),
        r"field larger than field limit \(131072\) in line 3",
    ),
}


@pytest.mark.parametrize(("change", "says"), HISTORIES.values(), ids=HISTORIES)
def test_a_damaged_history_is_kept_aside(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[str], str],
    says: str,
) -> None:
    history = place / "hpo" / "benchmarks" / "history.csv"
    damaged = change(history.read_text(encoding="utf-8"))
    history.write_text(damaged, encoding="utf-8")
    code, _, err = run_cli(capsys, *BENCHMARK)
    assert code == 0, err
    told = rf"{history.relative_to(place)} is damaged: {says}; it is kept as (\S+), and a new table"
    assert (found := re.search(told, err)), err
    assert history.with_name(found[1]).read_text(encoding="utf-8") == damaged
    rows = list(csv.DictReader(history.read_text(encoding="utf-8").splitlines()))
    assert [row["method"] for row in rows] == ["NHITS_Q", "seasonal_naive_24"]


@pytest.mark.parametrize("kept", [True, False], ids=["whole", "bench/cache_other"])
def test_a_kept_training_without_a_split_is_made_again(
    place: Path, capsys: pytest.CaptureFixture[str], *, kept: bool
) -> None:
    (path,) = (place / "hpo" / "benchmarks" / "forecasts").glob("*.npz")
    with np.load(path) as archive:
        arrays = dict(archive)
    if not kept:
        np.savez(path, **{name: arrays[name] for name in arrays if name != "calibrate"})
    code, _, err = run_cli(capsys, *BENCHMARK)
    assert code == 0, err
    assert ("its forecasts were kept" in err) == kept
    with np.load(path) as archive:
        assert set(archive) == set(arrays)


GENERAL = {
    "bench/general_list": ("[]", r"the file is \[\]"),
    "bench/general_types": ('{"model":"NHITS_Q","best_params":{"lr":"x"}}', "is missing"),
    "bench/general_null": ("null", "the file is None"),
}


@pytest.mark.parametrize(("content", "says"), GENERAL.values(), ids=GENERAL)
def test_general_parameters_that_are_none_are_told(
    place: Path, capsys: pytest.CaptureFixture[str], content: str, says: str
) -> None:
    path = Path("hpo/results/best_params_NHITS_Q.json")
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    path.write_text(content, encoding="utf-8")
    before = {file: file.stat().st_mtime_ns for file in place.rglob("*")}
    code, out, err = run_cli(capsys, *BENCHMARK)
    assert (code, out) == (1, "")
    assert re.fullmatch(rf"error: {path} is damaged: .*{says}.*consolidate` makes it anew.*\n", err)
    assert {file: file.stat().st_mtime_ns for file in place.rglob("*")} == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lr": "x"}, "lr is 'x', expected such as 0.002"),
        ({"num_blocks": 1.5}, "num_blocks is 1.5, expected such as 1"),
        ({"num_layers": None}, "num_layers is missing"),
        ({"width": 1}, "width is no parameter of NHITS_Q"),
    ],
)
@pytest.mark.parametrize("general", [True, False], ids=["general", "of_study"])
def test_parameters_that_make_no_model_are_told(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    changes: dict[str, object],
    says: str,
    general: bool,
) -> None:
    """A result that is whole but for its parameters, as general ones and as those of the study."""
    (path,) = Path("hpo/results").glob("*/best_params_*.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    parameters = {**content["best_params"], **changes}
    content["best_params"] = {name: v for name, v in parameters.items() if v is not None}
    if general:
        shutil.rmtree("hpo/results")
        path = Path("hpo/results/best_params_NHITS_Q.json")
        path.parent.mkdir()
        content["dataset"] = "other"
    stored.save(path, content)
    code, out, err = run_cli(capsys, *BENCHMARK)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {path} is damaged: ")
    assert err.endswith(f"NHITS_Q, {says}; put the file back as it was or remove it\n")
