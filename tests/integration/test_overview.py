"""`analyze` and `consolidate` on real runs: the table, what is put right, what was explored."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark_cases import tune_small, write_dataset
from commands import exit_code
from paretocast.cli.analyze import print_runs
from paretocast.cli.consolidate import print_studies
from paretocast.errors import SettingsError
from paretocast.report import explored_page
from paretocast.report.assessment import HEADING
from paretocast.report.figures import explored_figure
from paretocast.results.repair import consolidate_run, explore, position_in_range, save_best
from paretocast.results.table import RunRow, best_runs, collect_runs, render
from paretocast.search.selection import TrialState
from paretocast.search.space import Choice, FloatRange, IntRange
from paretocast.settings import load_settings
from paretocast.training.trial import TrialRecord
from paretocast.workspace import files
from paretocast.workspace.stored import load_result, save
from studies import make_run


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished studies on one data set."""
    folder = tmp_path_factory.mktemp("overview")
    spec = write_dataset(folder)
    for job_id in ("1", "2"):
        tune_small(folder / "hpo", spec, job_id=job_id)
    return folder / "hpo"


def row(workspace: Path) -> RunRow:
    return collect_runs(workspace)[0][0]


def test_every_run_has_a_row_with_the_numbers_of_its_result(workspace: Path) -> None:
    rows, problems = collect_runs(workspace)
    assert not problems
    assert {r.job_id for r in rows} == {"1", "2"}
    stored = files.load_json(make_run(workspace).best_params)
    mine = next(r for r in rows if r.job_id == "1")
    assert (mine.mae, mine.picp) == (stored["best_mae"], stored["best_picp"])
    assert [mine.picp_low, mine.picp_high] == stored["best_picp_interval"]
    least = min(scores["mae"] for scores in stored["references"].values())
    assert mine.reference_gain_percent == pytest.approx(100.0 * (1.0 - mine.mae / least))


def test_a_run_that_saw_observed_weather_ahead_says_so(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = row(workspace)
    assert not base.perfect_forecast
    print_runs([base, replace(base, perfect_forecast=True)])
    said = " ".join(capsys.readouterr().out.split())
    assert "in 1 of 2 runs: their scores assume a perfect weather forecast" in said
    path = make_run(workspace, "2").manifest
    whole = path.read_text(encoding="utf-8")
    with_weather = files.load_json(path)
    with_weather["comparable"]["task"]["features"] += [{"name": "wind", "role": "forecast"}]
    save(path, with_weather)
    rows, _ = collect_runs(workspace)
    path.write_text(whole, encoding="utf-8")
    assert {r.job_id: r.perfect_forecast for r in rows} == {"1": False, "2": True}


def test_runs_can_be_chosen_by_model_and_data_set(workspace: Path) -> None:
    assert len(collect_runs(workspace, model="nhits_q", dataset="small")[0]) == 2
    assert collect_runs(workspace, model="TFT_Q")[0] == []


def test_best_coverage_is_the_one_closest_to_its_target_and_not_the_highest(
    workspace: Path,
) -> None:
    base = row(workspace)
    high, close = replace(base, job_id="a", picp=99.0), replace(base, job_id="b", picp=78.0)
    best = best_runs([high, close])
    assert best[0].by_coverage.job_id == "b"


def test_a_model_on_several_data_sets_is_ranked_by_its_gain_and_not_by_mae(
    workspace: Path,
) -> None:
    base = row(workspace)
    small_unit = replace(base, dataset="x", mae=1e-3, reference_gain_percent=-5.0)
    large_unit = replace(base, dataset="y", mae=50.0, reference_gain_percent=12.0)
    by_group = {best.group: best for best in best_runs([small_unit, large_unit])}
    assert by_group["model NHITS_Q"].by_mae.dataset == "y"


def test_runs_on_other_splits_are_not_ranked_together(workspace: Path) -> None:
    base = row(workspace)
    groups = best_runs([base, replace(base, task="another", mae=0.0)])
    assert [best.group for best in groups if best.group.startswith("data set")] == [
        f"data set small, task {base.task}",
        "data set small, task another",
    ]


def test_every_format_holds_every_run(workspace: Path) -> None:
    rows, _ = collect_runs(workspace)
    assert [r["job_id"] for r in csv.DictReader(io.StringIO(render(rows, "csv")))] == [
        r.job_id for r in rows
    ]
    assert [r["mae"] for r in json.loads(render(rows, "json"))["runs"]] == [r.mae for r in rows]
    markdown = render(rows, "markdown").splitlines()
    assert len(markdown) == 2 + len(rows)
    assert len({line.count("|") for line in markdown}) == 1
    latex = render(rows, "latex")
    assert r"NHITS\_Q & small" in latex
    assert latex.count(r"\\") == 1 + len(rows)
    with pytest.raises(SettingsError, match="'word' is unknown, expected one of csv, json"):
        render(rows, "word")


def test_a_damaged_result_is_named_and_the_others_are_listed(workspace: Path) -> None:
    path = make_run(workspace, "2").best_params
    whole = path.read_text(encoding="utf-8")
    path.write_text("{", encoding="utf-8")
    rows, problems = collect_runs(workspace)
    path.write_text(whole, encoding="utf-8")
    assert [r.job_id for r in rows] == ["1"]
    assert "is damaged" in problems[0]


def test_a_run_without_faults_is_called_complete(workspace: Path) -> None:
    study = consolidate_run(make_run(workspace))
    assert (study.state, study.problems) == ("complete", ())
    assert len(study.losses) == len(study.explorations[0].shares)


def test_a_missing_result_is_made_anew_as_it_was(workspace: Path) -> None:
    path = make_run(workspace).best_params
    before = load_result(path)
    path.unlink()
    assert consolidate_run(make_run(workspace), rebuild=False).state == "faulty"
    assert not path.exists()
    assert consolidate_run(make_run(workspace)).state == "rebuilt"
    after = load_result(path)
    before.pop("optimization_date")
    after.pop("optimization_date")
    assert after == before


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"n_trials": 99}, "counts 99 trials"),
        ({"n_trials": 99, "all_pareto_trials": []}, "all_pareto_trials"),
    ],
)
def test_a_result_that_disagrees_with_its_records_is_put_right(
    workspace: Path, change: dict[str, Any], problem: str
) -> None:
    path = make_run(workspace).best_params
    stored = files.load_json(path)
    save(path, {**stored, **change})
    study = consolidate_run(make_run(workspace))
    assert study.state == "rebuilt"
    assert any(problem in found for found in study.problems)
    rebuilt = files.load_json(path)
    for name in ("n_trials", "all_pareto_trials"):
        assert rebuilt[name] == stored[name]


def test_a_result_that_is_made_anew_gets_its_pages_anew(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(workspace)
    run.best_params.unlink()
    assert exit_code("consolidate", "--workspace", str(workspace)) == 0
    assert "rebuilt" in capsys.readouterr().out
    assert HEADING in run.page("study").read_text("utf-8")
    assert not make_run(workspace, "2").page("study").exists()


def test_all_trials_of_a_study_of_several_models_are_counted(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Explored are those of the chosen model alone."""
    study = consolidate_run(make_run(workspace))
    assert study.result is not None
    print_studies([replace(study, losses=study.losses[:1])])
    header, row = (
        line.split()
        for line in capsys.readouterr().out.splitlines()
        if "_" in line or "trials" in line
    )
    assert row[header.index("trials")] == str(study.result["n_trials"])


def test_the_best_of_each_combination_is_collected(workspace: Path) -> None:
    studies = [consolidate_run(make_run(workspace, job_id)) for job_id in ("1", "2")]
    named, general = save_best(studies, workspace)
    assert named.name == "best_params_NHITS_Q_small.json"
    assert general.name == "best_params_NHITS_Q.json"
    copied = files.load_json(named)
    assert copied == files.load_json(make_run(workspace, copied["job_id"]).best_params)


@pytest.mark.parametrize(
    ("parameter", "value", "share"),
    [
        (IntRange(2, 6), 3, 0.25),
        (FloatRange(1e-4, 1e-2, log=True), 1e-3, 0.5),
        (FloatRange(0.0, 0.4), 0.1, 0.25),
        (Choice((32, 64, 128)), 64, 0.5),
    ],
)
def test_a_value_lies_where_its_scale_says(parameter: object, value: float, share: float) -> None:
    assert position_in_range(parameter, value) == pytest.approx(share)  # type: ignore[arg-type]


def records(**configs: Sequence[float]) -> list[TrialRecord]:
    """Complete trials of N-HiTS, the first the best; parameters not named stay in the middle."""
    middle = {
        "num_stacks": 3,
        "num_blocks": 2,
        "num_layers": 3,
        "layer_widths": 512,
        "lr": 5e-4,
        "dropout": 0.2,
        "weight_decay": 1e-5,
    }
    n_trials = len(next(iter(configs.values())))
    return [
        TrialRecord(
            number=i,
            state=TrialState.COMPLETE,
            config={**middle, **{name: values[i] for name, values in configs.items()}},
            seed=0,
            scores={"mae": 1.0 + i},
        )
        for i in range(n_trials)
    ]


def test_a_winner_on_a_bound_with_most_of_the_best_is_named_with_a_wider_range() -> None:
    trials = records(
        lr=[9.9e-3] * 5 + [5e-4] * 20,
        num_layers=[4] * 5 + [3] * 20,
        layer_widths=[256] * 5 + [512] * 20,
    )
    explorations = explore(trials, load_settings(None, {}), trials[0].config)
    advice = {parameter.name: parameter.advice for parameter in explorations if parameter.advice}
    assert set(advice) == {"lr", "num_layers", "layer_widths"}
    assert advice["lr"].endswith("lr = {low = 1e-05, high = 0.05, log = true}")
    assert advice["num_layers"].endswith("num_layers = {low = 2, high = 6}")
    assert advice["layer_widths"].endswith("values = [128, 256, 512, 1024]}")
    assert "upper bound, as 5 of the 5 trials of lowest MAE do" in advice["lr"]


@pytest.mark.parametrize("n_on_bound", [1, 2])
def test_a_bound_that_few_of_the_best_share_is_no_reason_for_advice(n_on_bound: int) -> None:
    layers = [4] * n_on_bound + [3] * (25 - n_on_bound)
    trials = records(num_layers=layers)
    assert not any(p.advice for p in explore(trials, load_settings(None, {}), trials[0].config))


def test_the_only_trial_is_no_reason_for_advice() -> None:
    trials = records(lr=[9.9e-3], num_layers=[4], layer_widths=[256])
    assert not any(p.advice for p in explore(trials, load_settings(None, {}), trials[0].config))


def test_a_winner_inside_its_ranges_needs_no_advice() -> None:
    trials = records(lr=[1e-3, 9.9e-3])
    explorations = explore(trials, load_settings(None, {}), trials[0].config)
    assert not any(parameter.advice for parameter in explorations)


def test_what_was_seen_of_a_range_is_counted_in_values_or_tenths() -> None:
    trials = records(num_stacks=[2, 2, 5], dropout=[0.06, 0.07, 0.39])
    explorations = explore(trials, load_settings(None, {}), trials[0].config)
    seen = {parameter.name: parameter.seen_percent for parameter in explorations}
    assert seen["num_stacks"] == 50.0
    assert seen["dropout"] == pytest.approx(20.0)


def test_the_page_draws_every_study_and_its_bounds(workspace: Path) -> None:
    study = consolidate_run(make_run(workspace))
    page = explored_page([study])
    assert study.run.study_name in page
    assert 'id="space-0"' in page


def test_a_study_without_a_trial_is_drawn_as_a_sentence() -> None:
    figure = explored_figure([], losses=[], subject="NHITS_Q_small_1", unit="m³/h")
    assert "No trial was scored" in figure.layout.annotations[0].text
