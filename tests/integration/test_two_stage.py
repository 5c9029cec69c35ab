"""The two-stage strategy on a real study, small and short."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import exit_code, write_zone
from paretocast.calibration.interval_levels import measure_levels
from paretocast.errors import SettingsError, StoreError
from paretocast.results.forecasts import open_trial
from paretocast.settings import load_settings
from paretocast.workspace.files import load_json
from paretocast.workspace.runs import stage_1_result, stage_2_result

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("without_pages")]

SETTINGS = """
strategy = "two-stage"
[training]
steps = 4
batch_size = 16
n_evaluations = 1
n_rungs = 1
[space.NHITS_Q]
layer_widths = {values = [16, 32]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, settings and a workspace in which stage 1 has finished."""
    base = tmp_path_factory.mktemp("stages")
    write_zone(base, days=300)
    (base / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    assert exit_code(*tune(base, "--stage", "1", "--trials", "2", "--job-id", "a")) == 0
    return base


def tune(base: Path, *options: str) -> list[str]:
    words = ["tune", "--dataset", str(base / "zone.toml"), "--data-dir", str(base)]
    words += ["--settings", str(base / "settings.toml"), "--threads", "1"]
    return [*words, "--workspace", str(base / "hpo"), *options]


def test_stage_1_leaves_its_architecture_and_searched_for_mae_alone(folder: Path) -> None:
    first = load_json(stage_1_result(folder / "hpo", "NHITS_Q", "my_zone"))
    assert [objective["name"] for objective in first["objectives"]] == ["mae"]
    assert first["strategy"] == "two-stage"
    assert first["best_params"] == load_json(folder / "hpo" / first["source"])["best_params"]
    assert first["best_mae"] == min(trial["mae"] for trial in first["all_pareto_trials"])


def test_stage_2_reads_stored_forecasts_and_says_what_it_was_fitted_and_judged_on(
    folder: Path,
) -> None:
    options = ("--stage", "2", "--target-coverage", "85")
    assert exit_code(*tune(folder, *options)) == 0
    second = load_json(stage_2_result(folder / "hpo", "NHITS_Q", "my_zone"))
    levels = second["levels"]
    assert levels["q_low"] == pytest.approx(1.0 - levels["q_high"])
    assert 0.01 <= levels["q_low"] <= 0.25
    assert (second["fitted_on"], second["judged_on"]) == ("tune", "calibrate")
    assert second["target_coverage"] == 85.0
    first = load_json(stage_1_result(folder / "hpo", "NHITS_Q", "my_zone"))
    opened = open_trial(folder / "hpo" / first["source"], data_dir=folder)
    coverage = measure_levels(opened.forecast("calibrate"), target=85.0)
    measured = coverage.coverage(levels["q_low"], levels["q_high"])
    assert second["picp"] == pytest.approx(measured)


def test_two_free_levels_cost_no_more_than_symmetric_ones(folder: Path) -> None:
    path = stage_2_result(folder / "hpo", "NHITS_Q", "my_zone")
    costs = []
    for options in ((), ("--asymmetric",)):
        assert exit_code(*tune(folder, "--stage", "2", *options)) == 0
        costs.append(load_json(path)["on_fitted"]["cost"])
    assert costs[1] <= costs[0] + 1e-6


def test_stage_2_is_refused_before_stage_1_and_names_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tune", "--strategy", "two-stage", "--stage", "2", "--dataset", "demo"]
    assert exit_code(*words, "--workspace", str(tmp_path / "hpo")) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert "stage 1 of NHITS_Q on demo has not finished" in message
    assert (
        "paretocast tune --strategy two-stage --stage 1 --model NHITS_Q --dataset demo" in message
    )
    assert not (tmp_path / "hpo").exists()


def test_stage_2_begins_no_study(folder: Path) -> None:
    assert exit_code(*tune(folder, "--stage", "2")) == 0
    assert [path.name for path in folder.glob("hpo/results/*/trials_*")] == ["trials_a"]


@pytest.mark.slow
def test_an_unfinished_stage_1_leaves_nothing_for_stage_2(folder: Path, tmp_path: Path) -> None:
    words = tune(folder, "--trials", "200", "--time-limit", "1s", "--job-id", "b")
    words[words.index("--workspace") + 1] = str(tmp_path / "hpo")
    assert exit_code(*words) == 0
    assert not stage_1_result(tmp_path / "hpo", "NHITS_Q", "my_zone").exists()
    assert not stage_2_result(tmp_path / "hpo", "NHITS_Q", "my_zone").exists()


def test_other_objectives_do_not_go_with_two_stages() -> None:
    with pytest.raises(SettingsError, match="strategy two-stage has the objective mae"):
        load_settings(None, {"strategy": "two-stage", "objectives": ("mae", "width")})


def test_a_lost_study_is_named(folder: Path, tmp_path: Path) -> None:
    from paretocast.results.two_stage import find_levels
    from paretocast.workspace.files import save_json

    first = load_json(stage_1_result(folder / "hpo", "NHITS_Q", "my_zone"))
    save_json(stage_1_result(tmp_path, "NHITS_Q", "my_zone"), first)
    with pytest.raises(StoreError, match=r"best_params_NHITS_Q_my_zone_a\.json cannot be read"):
        find_levels(tmp_path, "NHITS_Q", "my_zone")
