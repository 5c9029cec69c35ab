"""A calibrator from outside the package: in `calibrate`, read back, and in a benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark_cases import Silent, small_plan, tune_small, write_dataset
from commands import exit_code
from paretocast.benchmarking import run_benchmark
from paretocast.calibration import CALIBRATORS, Calibrator, register_calibrator, walk_forward
from paretocast.errors import SettingsError
from paretocast.metrics.forecast import Forecast
from paretocast.results.calibrator_file import load_fitted
from paretocast.results.forecasts import open_trial
from paretocast.workspace.files import load_json
from runs import write_run

FACTOR = 1.5


@dataclass(frozen=True)
class Widening(Calibrator):
    """Quantiles moved away from the median by a factor."""

    kind = "widening"
    levels: tuple[float, ...]
    factor: float
    name: str = "widening"
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Widening:
        return cls(tuple(stored["levels"]), stored["factor"])

    def _state(self) -> dict[str, Any]:
        return {"factor": self.factor}

    def _correct(self, forecast: Forecast) -> NDArray[np.float64]:
        median = forecast.median[..., None]
        widened: NDArray[np.float64] = median + self.factor * (forecast.quantiles - median)
        return widened


@pytest.fixture
def widening() -> Iterator[None]:
    """The calibrator under its name, and gone afterwards."""
    register_calibrator(
        "widening",
        lambda forecast: Widening(forecast.levels, FACTOR),
        Widening,
        meaning="half as wide again",
    )
    yield
    del CALIBRATORS._entries["widening"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study whose intervals are too narrow by `FACTOR`."""
    return write_run(tmp_path_factory.mktemp("study"), n_trials=1, spread=1.0 / FACTOR)


@pytest.mark.usefixtures("widening")
def test_it_is_fitted_by_name_written_and_read_back(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "calibrator.json"
    named = ["--calibrator", "widening", "--output", str(path)]
    assert exit_code("calibrate", str(study), *named) == 0
    assert "widening: half as wide again" in capsys.readouterr().out
    assert [row["name"] for row in load_json(path)["compared"]] == ["none", "widening"]
    forecast = open_trial(study).forecast("tune")
    calibrated = walk_forward(load_fitted(path).calibrator, forecast).forecast
    widths = [np.subtract(*f.interval(80.0)[::-1]) for f in (forecast, calibrated)]
    assert widths[1] == pytest.approx(FACTOR * widths[0])


@pytest.mark.usefixtures("widening")
def test_auto_compares_it(study: Path, tmp_path: Path) -> None:
    path = tmp_path / "calibrator.json"
    assert exit_code("calibrate", str(study), "--static", "--output", str(path)) == 0
    assert "widening" in {row["name"] for row in load_json(path)["compared"]}


@pytest.mark.usefixtures("widening")
def test_a_benchmark_has_rows_under_it(tmp_path: Path) -> None:
    settings = tune_small(tmp_path / "hpo", write_dataset(tmp_path))
    plan = small_plan(
        tmp_path / "hpo", settings, groups=("references",), calibrators=("none", "widening")
    )
    result = run_benchmark(plan, kept_in=tmp_path / "kept", device="cpu", observer=Silent())
    rows = {(row.entry.method, row.entry.calibrator): row.scores for row in result.comparison.rows}
    for method in ("seasonal_naive_24", "ridge"):
        raw, widened = rows[method, "none"], rows[method, "widening"]
        assert widened["mean_width"] == pytest.approx(FACTOR * raw["mean_width"])
        assert widened["mae"] == pytest.approx(raw["mae"])


@pytest.mark.usefixtures("widening")
def test_a_name_is_given_once() -> None:
    with pytest.raises(SettingsError, match="calibrator 'widening' exists already"):
        register_calibrator("widening", lambda f: Widening(f.levels, FACTOR), Widening)


def test_a_method_can_stay_out_of_auto(study: Path, tmp_path: Path) -> None:
    register_calibrator(
        "aside", lambda f: Widening(f.levels, FACTOR, name="aside"), Widening, auto=False
    )
    try:
        path = tmp_path / "calibrator.json"
        assert exit_code("calibrate", str(study), "--static", "--output", str(path)) == 0
    finally:
        del CALIBRATORS._entries["aside"]
    assert "aside" not in {row["name"] for row in load_json(path)["compared"]}
