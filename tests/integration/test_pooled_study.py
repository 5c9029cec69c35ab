"""One network for the zones of a file: search, a table by zone, studies of zones, benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builders import make_series, make_task, with_values
from commands import exit_code, run_cli
from paretocast import load_bundle, load_study
from paretocast.data import generate_demo
from paretocast.data.pooled import PooledTask
from paretocast.deployment.onnx_graph import check_exportable
from paretocast.errors import SettingsError
from paretocast.results.stored_study import StoredStudy
from paretocast.study.study import Study
from paretocast.training.pooling import KnownSeries, PooledSetup
from paretocast.workspace.runs import RunDirectory
from studies import Watch, make_run, make_settings, numbers, optimise

pytestmark = pytest.mark.usefixtures("without_pages")
ZONES = """
name = "zones"
path = "zones.csv"
unit = "MW"
zone = "Europe/Copenhagen"

[series]
targets = ["north", "south"]

[splits]
train = 0.5
validation = 0.3
"""
SETTINGS = """
recipe = []
[training]
steps = 30
n_evaluations = 3  # the rung is one of them, as by default
anchor = "none"
[space.NHITS_Q]
layer_widths = { values = [16, 32] }
num_stacks = { low = 2, high = 2 }
num_blocks = { low = 1, high = 1 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two zones of different size, and settings of a short search."""
    folder = tmp_path_factory.mktemp("zones")
    series, _ = generate_demo(days=210)
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"timestamp": series.index.strftime("%Y-%m-%dT%H:%MZ")})
    for name, share in (("north", 0.4), ("south", 60.0)):
        values = series.values + rng.normal(0.0, 0.1, len(series))
        table[name] = share * np.maximum(values, 0.1)
    table.to_csv(folder / "zones.csv", index=False)
    (folder / "zones.toml").write_text(ZONES, encoding="utf-8")
    (folder / "short.toml").write_text(SETTINGS, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def hpo(folder: Path) -> Path:
    """The workspace of a search over both zones."""
    assert exit_code(*tune(folder, "--series", "all", "--pool", "--trials", 2)) == 0
    return folder / "hpo"


def tune(folder: Path, *more: object) -> list[object]:
    """The words of a search."""
    return [
        *("tune", "--model", "NHITS_Q", "--dataset", folder / "zones.toml", "--job-id", "1"),
        *("--settings", folder / "short.toml", "--threads", 1, "--workspace", folder / "hpo"),
        *more,
    ]


def run_of(hpo: Path, name: str = "") -> RunDirectory:
    """Where the study of both zones lies, or that of one."""
    return RunDirectory(hpo, "NHITS_Q", f"zones{name and '_'}{name}", "1")


def test_the_table_judges_the_choice_on_each_series_and_repeating_the_command_trains_nothing(
    capsys: pytest.CaptureFixture[str], folder: Path, hpo: Path
) -> None:
    written = run_of(hpo, "north").record(1).stat().st_mtime_ns
    code, out, err = run_cli(capsys, *tune(folder, "--resume"))
    assert code == 0, err
    assert "2 series together" in err
    assert "in × ridge" in out
    assert "against the ridge: median" in out
    assert "NHITS_Q_zones_north, NHITS_Q_zones_south" in err
    assert run_of(hpo, "north").record(1).stat().st_mtime_ns == written
    table = pd.read_csv(run_of(hpo).series_table)
    assert list(table["series"]) == ["zones_north", "zones_south"]
    assert table["pinball"][1] > 50.0 * table["pinball"][0]
    assert ((table["to_ridge"] > 0.0) & (table["to_ridge"] < 100.0)).all()
    assert table["picp"].between(50.0, 100.0).all()


def test_the_study_of_a_series_holds_its_part_of_every_trial_in_its_own_units(hpo: Path) -> None:
    whole = StoredStudy.open(run_of(hpo))
    for i, name in enumerate(("north", "south")):
        own = load_study(run_of(hpo, name).best_params).stored
        for number in (0, 1):
            part = np.split(whole.forecasts(number)["tune"], 2)[i]
            np.testing.assert_array_equal(own.forecasts(number)["tune"], part)
            mae = np.nanmean(np.abs(own.task().observed("tune") - part[..., 5]))
            assert own.record(number).scores["mae"] == pytest.approx(mae, rel=1e-5)
            stored = whole.record(number).series_scores[name]
            assert stored["mae"] == pytest.approx(mae, rel=1e-5)
        assert own.result["choice"]["pinball_on_calibrate"].keys() >= {"ridge"}


def test_what_reads_a_study_reads_that_of_a_series(
    capsys: pytest.CaptureFixture[str], hpo: Path
) -> None:
    folder = run_of(hpo, "south").folder
    code, out, err = run_cli(capsys, "calibrate", folder)
    assert code == 0, err
    assert "PICP" in out
    code, _, err = run_cli(capsys, "calibrate", run_of(hpo).folder)
    assert code == 1
    assert f"such as {run_of(hpo, 'north').folder}" in "".join(err.split("\n"))


def test_a_benchmark_trains_the_network_of_the_study_once_for_all_series(
    capsys: pytest.CaptureFixture[str], folder: Path, hpo: Path
) -> None:
    words = [
        *("--dataset", folder / "zones.toml", "--models", "NHITS_Q", "--threads", 1),
        *("--workspace", hpo, "--methods", "tuned,seasonal_naive_24"),
    ]
    code, _, err = run_cli(capsys, "benchmark", *words, "--series", "all", "--calibrator", "cqr")
    assert code == 0, err
    assert "of one network for 2 series" in err
    kept = hpo / "benchmarks" / "forecasts"
    assert len(list(kept.glob("pool_*.safetensors"))) == 1
    made = [np.load(path)["tune"] for path in kept.glob("NHITS_Q_*.npz")]
    assert len(made) == 2
    for name in ("north", "south"):
        study = StoredStudy.open(run_of(hpo, name))
        again = min(np.abs(m - study.forecasts(study.chosen_number)["tune"]).max() for m in made)
        assert again < 1e-4  # float32 on disk: it is the network of the trial
    across = next((hpo / "benchmarks").glob("zones_*_series")) / "series.csv"
    assert list(pd.read_csv(across)["series"]) == ["zones_north", "zones_south"]
    code, _, err = run_cli(
        capsys, "benchmark", *words, "--series", "north", "--refit", "train+validation"
    )
    assert code == 2
    assert "does not learn from later hours" in err


def test_a_benchmark_refuses_a_network_whose_other_series_have_changed(
    capsys: pytest.CaptureFixture[str], folder: Path, hpo: Path, tmp_path: Path
) -> None:
    (tmp_path / "zones.toml").write_text((folder / "zones.toml").read_text("utf-8"), "utf-8")
    table = pd.read_csv(folder / "zones.csv")
    table["north"] *= 1.1
    table.to_csv(tmp_path / "zones.csv", index=False)
    words = ("--dataset", tmp_path / "zones.toml", "--models", "NHITS_Q", "--threads", 1)
    code, _, err = run_cli(
        capsys, "benchmark", *words, "--series", "south", "--methods", "tuned", "--workspace", hpo
    )
    assert code == 1
    assert "was trained on other data of north" in " ".join(err.split())


def test_series_that_benchmarks_share_are_read_and_prepared_once(hpo: Path) -> None:
    study, known = StoredStudy.open(run_of(hpo, "south")), KnownSeries()
    north = study.settings.of_series("north")
    first = known.task(north, study.task_manifest)
    assert known.task(north, study.task_manifest) is first
    alone = north.model_copy(update={"pool": ()})
    assert known.setup(alone, first, "cpu") is known.setup(alone, first, "cpu")
    own = study.task()  # with its test split it is another one each time
    assert known.setup(alone, own, "cpu") is not known.setup(alone, own, "cpu")


def test_a_series_is_not_continued_by_itself(
    capsys: pytest.CaptureFixture[str], folder: Path, hpo: Path
) -> None:
    words = tune(folder, "--dataset", f"{folder / 'zones.toml'}#north", "--resume")
    code, _, err = run_cli(capsys, *words)
    assert code == 2
    assert "--series north,south --pool --job-id 1 --resume" in " ".join(err.split())
    assert len(list(run_of(hpo, "north").trials_folder.glob("[0-9]*"))) == 2


def test_a_series_is_deployed_with_the_network_of_all(
    capsys: pytest.CaptureFixture[str], folder: Path, hpo: Path
) -> None:
    words = ("deploy", run_of(hpo, "south").folder, "--trial", 0, "--to", folder / "live")
    code, out, err = run_cli(capsys, *words)
    assert code == 0, err  # it compares live forecasts with those of the training itself
    assert "trial 0 NHITS_Q of 2 series" in out
    bundle = load_bundle(folder / "live")
    (member, _), *_ = bundle.members
    assert member.identity == (0.0, 1.0)  # type: ignore[attr-defined]
    with pytest.raises(SettingsError, match="one network for many series, which is not written"):
        check_exportable(bundle)
    rows = pd.read_csv(folder / "zones.csv").rename(columns={"south": bundle.contract.spec.target})
    rows.to_csv(folder / "live.csv", index=False)
    for again, reason in (
        (("export", folder / "live", "--onnx", folder / "s.onnx"), "export with --mlflow"),
        (("retrain", folder / "live", "--data", folder / "live.csv"), "deploy a study of this"),
    ):
        code, _, err = run_cli(capsys, *again)
        assert code in {1, 2}
        assert reason in " ".join(err.split())
    code, _, err = run_cli(capsys, *words, "--refit")
    assert code == 2
    assert "does not learn from later hours" in err


def test_what_shares_no_file_is_not_pooled(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    code, _, err = run_cli(capsys, *tune(folder, "--pool"))
    assert code == 2
    assert "--pool needs --dataset" in err
    code, _, err = run_cli(
        capsys, "tune", "--pool", "--series", "all", "--dataset", folder / "z*.toml"
    )
    assert code == 2
    assert "names many files" in err


def test_an_id_of_another_study_of_a_series_is_refused(
    capsys: pytest.CaptureFixture[str], folder: Path, hpo: Path
) -> None:
    words = tune(folder, "--series", "south", "--pool", "--workspace", hpo)
    code, _, err = run_cli(capsys, *words)
    assert code == 1
    assert "choose another --job-id" in err


@pytest.fixture(scope="module")
def setup() -> PooledSetup:
    """Two small series without an anchor."""
    south = make_series(seed=1)
    tasks = {"north": make_task(), "south": make_task(with_values(south, 50.0 * south.values))}
    settings = make_settings(pool=list(tasks))
    return PooledSetup.from_settings(settings, PooledTask("zones", tasks), device="cpu")


def test_an_interrupted_search_goes_on_where_it_stopped(tmp_path: Path, setup: PooledSetup) -> None:
    settings = make_settings(2, pool=["north", "south"])
    whole = optimise(Study(settings, make_run(tmp_path / "a"), setup))
    broken = Study(settings, make_run(tmp_path / "b"), setup)
    assert optimise(broken, Watch(stop_at_evaluation=2)).ended_by == "request"
    watch = Watch()
    resumed = optimise(Study(settings, make_run(tmp_path / "b"), setup), watch)
    assert watch.started[0] == (0, True)
    assert numbers(resumed) == numbers(whole)
