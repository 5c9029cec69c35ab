"""`benchmark`, `analyze` and `consolidate` as a user meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmark_cases import tune_small, write_dataset
from commands import run_cli

pytestmark = pytest.mark.usefixtures("without_pages")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set with a finished study in `hpo`."""
    folder = tmp_path_factory.mktemp("benchmark_cli")
    tune_small(folder / "hpo", write_dataset(folder))
    return folder


def benchmark(capsys: pytest.CaptureFixture[str], base: Path, *more: str) -> tuple[int, str, str]:
    return run_cli(
        capsys,
        *("benchmark", "--dataset", base / "small.toml", "--workspace", base / "hpo"),
        *("--models", "nhits_q", "--threads", 1, "--device", "cpu", *more),
    )


def test_benchmark_says_which_parameters_it_uses_and_writes_its_files(
    capsys: pytest.CaptureFixture[str], base: Path
) -> None:
    code, out, err = benchmark(
        capsys, base, "--methods", "tuned,ridge,seasonal_naive_24", "--calibrator", "none,cqr"
    )
    assert code == 0, err
    assert "NHITS_Q tuned on this data set: trial" in err
    assert out.count(" ★ ") == 1
    folder = next((base / "hpo" / "benchmarks").glob("small_*"))
    written = {path.name for path in folder.iterdir()}
    assert written == {"metrics.json", "metrics.csv", "predictions.csv.gz", "benchmark.html"}
    rows = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["rows"]
    assert {(row["method"], row["parameters"], row["calibrator"]) for row in rows} == {
        (method, parameters, calibrator)
        for method, parameters in (
            ("NHITS_Q", "tuned"),
            ("ridge", "none"),
            ("seasonal_naive_24", "none"),
        )
        for calibrator in ("none", "cqr")
    }
    assert (base / "hpo" / "benchmarks" / "history.csv").is_file()
    code, _, err = benchmark(capsys, base, "--methods", "tuned,ridge", "--calibrator", "isotonic")
    assert code == 0
    assert "its forecasts were kept" in err


def test_a_study_names_its_data_set_models_and_workspace(
    capsys: pytest.CaptureFixture[str], base: Path
) -> None:
    study = base / "hpo" / "results" / "NHITS_Q_small"
    code, out, err = run_cli(
        capsys, *("benchmark", study, "--methods", "tuned,ridge", "--calibrator", "none")
    )
    assert code == 0, err
    assert "NHITS_Q" in out
    assert "TFT_Q" not in out + err
    assert str(base / "hpo" / "benchmarks") in "".join(err.split("\n"))


def test_ways_of_learning_again_are_tabled_and_a_number_of_days_is_enough(
    capsys: pytest.CaptureFixture[str], base: Path
) -> None:
    options = ("--methods", "default,ridge", "--calibrator", "none")
    code, out, err = benchmark(capsys, base, *options, "--retrain-every", "never,10d,20d")
    assert code == 0, err
    table = out[out.index("Learning again in the test split") :]
    assert [table.count(every) for every in ("10 days", "20 days")] == [2, 2]
    assert "against never" in table
    code, out, _ = benchmark(capsys, base, *options, "--retrain-every", "20")
    assert code == 0
    assert "Learning again" not in out


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--methods", "tuned,luck", "method luck is unknown"),
        ("--calibrator", "hope", "calibrator 'hope' is unknown"),
        ("--refit", "everything", "expected train+validation"),
        ("--models", "ARIMA", "model 'ARIMA' is unknown"),
        ("--retrain-every", "never,0d", "expected never or days such as 7d"),
        ("--retrain-every", "weekly", "expected never or days such as 7d"),
        ("--retrain-every", "", "retrain_days is empty"),
    ],
)
def test_a_wrong_option_is_answered_with_the_choices(
    capsys: pytest.CaptureFixture[str], base: Path, option: str, value: str, message: str
) -> None:
    code, _, err = benchmark(capsys, base, option, value)
    assert code == 2
    assert message in err


def test_a_study_of_a_model_that_is_not_compared_is_refused(
    capsys: pytest.CaptureFixture[str], base: Path
) -> None:
    run = base / "hpo" / "results" / "NHITS_Q_small"
    code, _, err = benchmark(capsys, base, "--models", "TFT_Q", "--run", str(run))
    assert code == 2
    assert "is a study of NHITS_Q, --models names none of it" in err


def test_a_damaged_result_is_named_with_what_repairs_it(
    capsys: pytest.CaptureFixture[str], base: Path, tmp_path: Path
) -> None:
    shutil.copytree(base, tmp_path / "base")
    (result,) = (tmp_path / "base" / "hpo" / "results").glob("*/best_params_*.json")
    result.write_text("{}", encoding="utf-8")
    code, _, err = benchmark(capsys, tmp_path / "base")
    assert code == 1
    message = " ".join(err.split())
    assert f"{result.name} is damaged: schema_version is missing" in message
    assert "`paretocast consolidate`" in message


def test_analyze_prints_the_table_and_writes_the_formats(
    capsys: pytest.CaptureFixture[str], base: Path, tmp_path: Path
) -> None:
    workspace = base / "hpo"
    code, out, err = run_cli(
        capsys, "analyze", "--workspace", workspace, "--latex", tmp_path / "runs.tex"
    )
    assert code == 0, err
    assert "NHITS_Q" in out
    assert "PICP closest to 80 %" in out
    assert (tmp_path / "runs.tex").read_text(encoding="utf-8").startswith(r"\begin{tabular}")
    code, out, _ = run_cli(capsys, "analyze", "--workspace", workspace, "--format", "json")
    assert len(json.loads(out)["runs"]) == 1
    mine = ("analyze", "--workspace", workspace, "--dataset")
    assert "NHITS_Q" in run_cli(capsys, *mine, base / "small.toml")[1]
    code, _, err = run_cli(capsys, *mine, "smal")
    assert (code, "for this choice; it holds NHITS_Q on small" in err) == (1, True)


def test_analyze_without_a_run_says_what_makes_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = run_cli(capsys, "analyze", "--workspace", tmp_path)
    assert code == 1
    assert "paretocast tune makes one" in err


def test_consolidate_collects_the_best_and_summary_writes_nothing(
    capsys: pytest.CaptureFixture[str], base: Path
) -> None:
    results = base / "hpo" / "results"
    code, out, _ = run_cli(capsys, "consolidate", "--summary", "--workspace", base / "hpo")
    assert code == 0
    assert "complete" in out
    assert not list(results.glob("*.json"))
    code, _, _ = run_cli(capsys, "consolidate", "--workspace", base / "hpo")
    assert code == 0
    assert {path.name for path in results.glob("*.*")} == {
        "best_params_NHITS_Q_small.json",
        "best_params_NHITS_Q.json",
        "explored.html",
    }
