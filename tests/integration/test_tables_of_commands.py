"""Every table of every command at terminals of 40 to 140 columns: no figure is cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import cast

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len

import paretocast
from benchmark_cases import tune_small, write_dataset
from commands import exit_code, write_demo_csv
from paretocast.benchmarking import AcrossSeries, WeatherErrorRow
from paretocast.benchmarking.across import SeriesRow, TotalRow
from paretocast.cli.analyze import print_runs
from paretocast.cli.benchmark import print_benchmark, print_weather_error
from paretocast.cli.calibrate import print_comparison, print_ensemble
from paretocast.cli.consolidate import print_studies
from paretocast.cli.diagnose import print_diagnosis
from paretocast.cli.forecast import print_forecast
from paretocast.cli.outcome import print_levels, print_outcome
from paretocast.cli.pooled import print_pooled
from paretocast.cli.series import print_across, print_series
from paretocast.cli.status import print_experiments
from paretocast.cli.tables import TerminalTable
from paretocast.cluster.base import JobReport
from paretocast.cluster.status import Evidence, experiment_status
from paretocast.cluster.tracking import ExperimentRow
from paretocast.deployment.issued import LiveForecast
from paretocast.metrics.interval_quality import IntervalQuality
from paretocast.metrics.uncertainty import PairedDifference
from paretocast.results.repair import consolidate_run
from paretocast.results.stored_study import StoredStudy
from paretocast.results.table import collect_runs
from paretocast.results.two_stage import SecondStage
from paretocast.study.choice import Choice
from paretocast.study.series_studies import SeriesResult
from paretocast.workspace.progress import Progress
from paretocast.workspace.runs import RunDirectory
from runs import write_run
from studies import make_run

pytestmark = pytest.mark.usefixtures("without_pages")
WIDTHS = (40, 60, 80, 100, 120, 140)
ANSI = re.compile(r"\x1b\[[0-9;]*m")
LEFT_OUT = "not shown for lack of width: "
SCORES = {"picp": 78.94, "mean_width": 0.4976}


def levels() -> SecondStage:
    content = {
        "levels": {"q_low": 0.0931, "q_median": 0.5, "q_high": 0.9069},
        "target_coverage": 80.0,
        "trial": 3,
        "fitted_on": "tune",
        "judged_on": "calibrate",
        "picp_interval": (75.1, 82.6),
        "on_fitted": SCORES,
        "nominal": SCORES,
        **SCORES,
    }
    run = RunDirectory(Path("hpo"), "NHITS_Q", "heat", "a")
    return SecondStage(run, content, "kWh per hour per meter")


def live_forecast() -> LiveForecast:
    hours = np.linspace(90.0, 110.0, 24)
    quantiles = np.stack([hours - 9.75, hours, hours + 12.5], axis=-1)
    return LiveForecast(
        issue_time=pd.Timestamp("2026-03-29", tz="UTC"),
        rung="full",
        levels=(0.1, 0.5, 0.9),
        raw=quantiles,
        quantiles=quantiles,
        reference=quantiles,
        lower=quantiles[:, 0],
        upper=quantiles[:, 2],
        coverage=80.0,
        flags=(),
        unit="MW",
        zone="Europe/Copenhagen",
        bundle="b",
        data_hash="",
        weather_issue_time=None,
        calibration="",
        forecast_id="",
    )


def erring() -> list[WeatherErrorRow]:
    change = PairedDifference(mean=-0.001, low=-1.25, high=1.25)
    changes = {"mae": change, "pinball": change}
    scores = {"mae": 0.1527, "pinball": 0.0486}
    return [WeatherErrorRow("NHITS_Q tuned, isotonic", scores, changes)]


def recommended() -> Choice:
    quality = IntervalQuality(79.9, 77.0, 82.5, np.ones(3))
    return Choice(
        method="ensemble",
        members=((0, 0.5), (12, 0.5)),
        best_of_model={"NHITS_Q": 0, "RIDGE": 12},
        losses={"ensemble": 0.04607, "ridge": 0.0481},
        models={0: "NHITS_Q", 12: "RIDGE"},
        intervals={"ensemble": quality, "ridge": quality},
        target_coverage=80.0,
    )


@dataclass(frozen=True)
class Pooled:
    """What the table of a pooled search reads of a series."""

    name: str
    run: RunDirectory
    loss: float | None = 0.04607
    interval: IntervalQuality | None = None
    to_ridge: float | None = 0.9579
    recommended: str = "the average 0.50 × trial 0 NHITS_Q + 0.50 × trial 12 RIDGE"
    recommended_to_ridge: float | None = 0.9512


def pooled() -> list[SeriesResult]:
    north, south = (RunDirectory(Path("hpo"), "NHITS_Q", name, "7") for name in ("north", "south"))
    quality = IntervalQuality(79.9, 77.0, 82.5, np.ones(3))
    found = [Pooled("north", north, interval=quality), Pooled("south", south, loss=12.3456)]
    return cast("list[SeriesResult]", found)


def across() -> AcrossSeries:
    scores = {"mae": 0.15274, "pinball": 0.0486, "picp": 79.95}
    north = SeriesRow("north", "MW", "NHITS_Q tuned, pid", scores, 77.1, 82.6, 0.951, -0.01, 0.002)
    south = replace(north, series="south", scores={**scores, "mae": 12.3456})
    return AcrossSeries((north, south), (TotalRow("sums of quantiles", 90, scores),), "")


def show_status() -> None:
    experiments = []
    for number, job in (("812", None), ("8121234", JobReport())):
        row = ExperimentRow(
            id=f"NHITS_Q+RIDGE+LIGHTGBM_heat_{number}",
            job_ids=number,
            model="NHITS_Q+RIDGE+LIGHTGBM",
            dataset="heat",
            stage="1",
            strategy="two-stage",
            trials="500",
            workers="1",
            submitted="",
            started="2026-01-01T12:00:00+00:00",
        )
        progress = Progress(
            n_complete=123, n_running=1, best_mae=0.15274, best_picp=80.04, fit_seconds=5e4
        )
        evidence = Evidence(row=row, report=job, progress=progress, has_result=True)
        experiments.append(experiment_status(evidence, now=datetime(2026, 1, 2, 13, 0, tzinfo=UTC)))
    print_experiments(experiments)


@pytest.fixture(scope="module")
def printers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Callable[[], object]]:
    """Functions that print the tables of each command, from small studies on disk."""
    folder = tmp_path_factory.mktemp("small")
    spec = write_dataset(folder)
    tune_small(folder / "hpo", spec)
    run = make_run(folder / "hpo")
    saved = paretocast.benchmark(
        spec,
        ["NHITS_Q"],
        methods=("tuned", "ridge", "seasonal_naive_24"),
        seeds=2,
        retrain_days=(None, 7),
        calibrators=("none", "cqr"),
        workspace=folder / "hpo",
        threads=1,
        progress=False,
    )
    table = folder / "my_zone.csv"
    write_demo_csv(table, days=200)
    larger = write_run(tmp_path_factory.mktemp("larger"))
    calibrated = paretocast.calibrate(larger, "cqr", ensemble=True)
    diagnosed = paretocast.diagnose(larger)
    assessed = calibrated.saved.ensemble
    assert assessed is not None
    return {
        "tune": lambda: print_outcome(StoredStudy(run).outcome, unit="m³/h"),
        "tune, stage 2": lambda: print_levels(levels()),
        "status": show_status,
        "analyze": lambda: print_runs(collect_runs(folder / "hpo")[0]),
        "data list": lambda: exit_code("data", "list"),
        "data describe": lambda: exit_code("data", "describe", "demo"),
        "calibrate": lambda: print_comparison(
            calibrated.saved.selection.compared, selected="cqr", opened=calibrated.opened
        ),
        "calibrate --ensemble": lambda: print_ensemble(calibrated.opened, assessed),
        "diagnose": lambda: print_diagnosis(diagnosed.diagnosis, unit="kWh", subject="trial 0"),
        "consolidate": lambda: print_studies([consolidate_run(run, rebuild=False)]),
        "benchmark": lambda: print_benchmark(saved),
        "benchmark --weather-error": lambda: print_weather_error(erring(), error=1.5, unit="m³/h"),
        "tune, many series": lambda: print_series({"north": recommended(), "south": recommended()}),
        "tune --pool": lambda: print_pooled(pooled()),
        "benchmark, many series": lambda: print_across(across(), Path("benchmarks")),
        "data init": lambda: exit_code("data", "init", table, "--force"),
        "forecast": lambda: print_forecast(live_forecast()),
    }


def once(place: str) -> Callable[..., object]:
    """A function that returns what it returned at first: the data is the same at every width."""
    function = resolve_name(place)
    made: list[object] = []

    def again(*arguments: object, **options: object) -> object:
        if not made:
            made.append(function(*arguments, **options))
        return made[0]

    return again


READERS = {
    place: once(place)
    for place in (
        *("paretocast.data.load_dataset", "paretocast.data.list_datasets"),
        "paretocast.api.files.init_dataset",
    )
}


def on_terminal(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    show: Callable[[], object],
    width: int | None,
) -> tuple[list[TerminalTable], list[str]]:
    """The tables that are printed, and each with what follows it; a pipe has no width."""
    tables: list[TerminalTable] = []
    parts: list[str] = []
    draw = TerminalTable.print

    def record(table: TerminalTable) -> None:
        capsys.readouterr()
        draw(table)
        tables.append(table)
        parts.append(ANSI.sub("", capsys.readouterr().out))

    with monkeypatch.context() as patch:
        patch.setattr(TerminalTable, "print", record)
        for place, read in READERS.items():
            patch.setattr(place, read)
        for name in ("COLUMNS", "FORCE_COLOR"):
            patch.delenv(name, raising=False)
        if width is not None:
            patch.setenv("FORCE_COLOR", "1")
            patch.setenv("COLUMNS", str(width))
        show()
    return tables, parts


COMMANDS = (
    *("tune", "tune, stage 2", "status", "analyze", "data list", "data describe", "calibrate"),
    *("calibrate --ensemble", "diagnose", "consolidate", "benchmark"),
    *("benchmark --weather-error", "forecast", "tune, many series", "benchmark, many series"),
    *("data init", "tune --pool"),
)


def words(text: str) -> set[str]:
    return {word for word in text.split() if any(letter.isdigit() for letter in word)}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_figure_is_whole_or_its_column_is_named_as_left_out(
    command: str,
    printers: Mapping[str, Callable[[], object]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    show = printers[command]
    tables, in_pipe = on_terminal(monkeypatch, capsys, show, None)
    assert tables
    assert not any(LEFT_OUT in part for part in in_pipe)
    for width in WIDTHS:
        _, parts = on_terminal(monkeypatch, capsys, show, width)
        for table, whole, part in zip(tables, in_pipe, parts, strict=True):
            assert all(cell_len(line) <= width for line in part.splitlines()), part
            said = " ".join(part.split())
            body, _, below = said.partition(LEFT_OUT)
            left_out = below.partition(";")[0].split(", ") if below else []
            assert words(body.replace(":", "")) <= words(whole.replace(":", "")), part
            for i, column in enumerate(table.columns):
                if column.name in left_out:
                    continue
                assert column.name in body
                for text in column.format([cells[i] for cells, _ in table._rows]):
                    assert words(text.plain) <= words(body), part


def test_the_command_line_has_no_table_that_is_not_tried_here() -> None:
    folder = Path(paretocast.__file__).parent / "cli"
    drawing = {
        path.stem
        for path in folder.glob("*.py")
        if re.search(r"TerminalTable\(|rich\.table", path.read_text(encoding="utf-8"))
    }
    tried = {command.split()[0].rstrip(",") for command in COMMANDS}
    assert drawing - {"tables"} <= tried | {"outcome", "series", "pooled"}


def test_figures_in_a_column_share_their_decimals(
    printers: Mapping[str, Callable[[], object]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command, show in printers.items():
        for table in on_terminal(monkeypatch, capsys, show, None)[0]:
            for i, column in enumerate(table.columns):
                cells = [row[i] for row, _ in table._rows]
                written = column.format(cells)
                decimals = {
                    len(text.plain.partition(".")[2])
                    for cell, text in zip(cells, written, strict=True)
                    if isinstance(cell, float) and text.plain != "–"
                }
                assert len(decimals) <= 1, (command, column.name)


def test_a_data_set_is_described_in_columns_where_facts_are_alike(
    printers: Mapping[str, Callable[[], object]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, parts = on_terminal(monkeypatch, capsys, printers["data describe"], None)
    rows = [line.split() for line in "".join(parts).splitlines()]
    assert ["mean", "sd"] in rows
    assert ["winter", "2.132", "0.4074"] in rows
    assert ["train", "2021-01-01", "00:00Z", "2022-06-30", "23:00Z", "13104"] in rows
    (wind,) = (row for row in rows if row[:2] == ["covariate", "wind"])
    assert wind[2:8] == ["forecast", "0.00", "%", "2023-12-31", "23:00Z", "4.510"]


def test_names_of_files_are_whole_on_a_narrow_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, workspace = write_dataset(tmp_path), tmp_path / "hpo"
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    words = ("--model", "RIDGE", "--dataset", spec, "--trials", "1", "--threads", "1")
    assert exit_code("tune", *words, "--workspace", workspace) == 0
    said = capsys.readouterr().err
    (best,) = workspace.glob("results/*/best_params_*.json")
    for name in (best.parent, best.name, workspace / "index.html"):
        assert str(name) in said
