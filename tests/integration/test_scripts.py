"""The scripts start and their sums are right; what they measure is no test's business."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

ROOT = Path(__file__).parents[2]
SCRIPTS = (
    "benchmarks/train_throughput",
    "benchmarks/evaluate_throughput",
    "benchmarks/gpu_throughput",
    "benchmarks/time_to_quality",
    "benchmarks/coordination",
    "experiments/fault_injection",
    "experiments/interval_claim",
    "experiments/with_and_without_rungs",
    "experiments/anchor",
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a script as its neighbours do."""
    for folder in ("benchmarks", "experiments"):
        monkeypatch.syspath_prepend(ROOT / folder)
    return importlib.import_module


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_answers_without_loading_the_libraries(name: str) -> None:
    program = (
        "import runpy, sys\n"
        f"sys.path.insert(0, {str((ROOT / name).parent)!r})\n"
        f"sys.argv = [{name!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / name)!r} + '.py', run_name='__main__')\n"
        "finally:\n"
        "    print('LOADED', sorted({'torch', 'neuralforecast'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "--quick" in done.stdout
    assert "LOADED []" in done.stdout


def test_contenders_take_turns(script: Callable[[str], ModuleType]) -> None:
    calls: list[str] = []

    def turn(name: str, seconds: float) -> Callable[[], float]:
        def take() -> float:
            calls.append(name)
            return seconds

        return take

    measured = script("clocks").alternate({"a": turn("a", 1.0), "b": turn("b", 2.0)}, n_rounds=2)
    assert calls == ["a", "b", "a", "b"]
    assert measured == {"a": [1.0, 1.0], "b": [2.0, 2.0]}


def test_a_ratio_is_the_median_of_pairs_and_not_the_ratio_of_medians(
    script: Callable[[str], ModuleType],
) -> None:
    # Medians are 20 and 10. The machine slowed down in the last round for both.
    assert script("clocks").median_ratio([6.0, 20.0, 90.0], [1.0, 10.0, 30.0]) == 3.0


def test_rounds_that_do_not_pair_are_refused(script: Callable[[str], ModuleType]) -> None:
    with pytest.raises(ValueError, match="shorter"):
        script("clocks").median_ratio([1.0, 2.0], [1.0])


def test_the_first_step_and_what_came_before_it_are_not_counted(
    script: Callable[[str], ModuleType],
) -> None:
    assert script("clocks").seconds_between([100.0, 101.0, 104.0]) == 2.0


@pytest.mark.parametrize(("seconds_per_step", "n_steps"), [(0.5, 4), (9.0, 2), (1e-6, 500)])
def test_a_turn_has_the_steps_that_fill_it_within_limits(
    script: Callable[[str], ModuleType], seconds_per_step: float, n_steps: int
) -> None:
    taken: list[int] = []

    def run(n: int) -> float:
        taken.append(n)
        return seconds_per_step

    script("clocks").paced(run, seconds=2.0, fewest=2)()
    assert taken[-1] == n_steps


def test_quick_keeps_one_size_of_each_model(script: Callable[[str], ModuleType]) -> None:
    throughput = script("train_throughput")
    quick = throughput.quick_cases(throughput.CASES)
    assert [(case.model, case.size) for case in quick] == [
        ("NHITS_Q", "256"),
        ("TFT_Q", "64"),
        ("TIMESNET_Q", "64/64/3"),
    ]


def test_a_summary_divides_within_rounds(script: Callable[[str], ModuleType]) -> None:
    throughput = script("train_throughput")
    measured = {"ours": [0.1, 0.2, 0.1], "fit": [0.3, 0.4, 0.2], "bare": [0.1, 0.1, 0.2]}
    row = throughput.summary(throughput.CASES[0], measured)
    assert row["ratios"] == {"fit/ours": pytest.approx(2.0)}
    assert row["ours/bare"] == pytest.approx(1.0)
    assert row["windows_per_second"]["ours"] == pytest.approx(32 / 0.1)


def test_a_year_of_issues_ends_with_the_series(script: Callable[[str], ModuleType]) -> None:
    issues = script("evaluate_throughput").daily_issues(1000, n_days=3, horizon_steps=24)
    assert issues.tolist() == [928, 952, 976]
    assert np.diff(issues).tolist() == [24, 24]


def test_trials_that_take_as_long_together_as_in_turn_gain_nothing(
    script: Callable[[str], ModuleType],
) -> None:
    gain = script("gpu_throughput").gain
    assert gain(1.0, 16.0, n_trials=16) == 1.0
    assert gain(1.0, 2.0, n_trials=16) == 8.0


def test_a_loss_that_was_missed_once_has_no_ratio(script: Callable[[str], ModuleType]) -> None:
    ratio_of = script("time_to_quality").ratio_of
    met = {"theirs": {"seconds": 12.0}, "ours": {"seconds": 3.0}}
    missed = {"theirs": {"seconds": 12.0}, "ours": {"seconds": None}}
    assert ratio_of([met, met]) == 4.0
    assert ratio_of([met, missed]) is None


def test_the_true_quantiles_cover_what_they_claim(script: Callable[[str], ModuleType]) -> None:
    claim = script("interval_claim")
    _, longer, truth = claim.prepare(claim.small_settings(steps=3, trials=1, seed=5))
    shape = longer.task.shape
    quantiles = truth.quantiles(
        longer.task.issues["test"], horizon_steps=shape.horizon_steps, levels=shape.levels
    )
    covered, _ = claim.true_coverage(longer, truth, quantiles)
    assert len(quantiles) == 365 * 4 + 1  # from July 2023 to June 2027, a leap day included
    assert covered == pytest.approx(80.0, abs=1e-6)


def test_intervals_and_optimism_are_counted_over_studies(
    script: Callable[[str], ModuleType],
) -> None:
    claim = script("interval_claim")

    def study(true_picp: float, tune: float, calibrate: float) -> object:
        chosen = {
            "tune": claim.SplitScores(tune, 1.0, (tune - 3.0, tune + 3.0)),
            "calibrate": claim.SplitScores(calibrate, 1.5, (calibrate - 3.0, calibrate + 3.0)),
        }
        others = {
            "tune": (chosen["tune"], claim.SplitScores(70.0, 2.0, (67.0, 73.0))),
            "calibrate": (chosen["calibrate"], claim.SplitScores(70.0, 3.0, (67.0, 73.0))),
        }
        return claim.StudyResult(0, true_picp, 0.1, chosen, others, 1.0)

    studies = [study(76.0, 80.0, 77.0), study(84.0, 81.0, 86.0)]
    held = {row[0]: row[1] for row in claim.claim_rows(studies)}
    assert held == {"tune": 50.0, "calibrate": 100.0}
    means = {(row[0], row[1]): row[2] for row in claim.optimism_rows(studies, target=80.0)}
    # Errors on tune 0 and 1, on calibrate 3 and 6, in truth 4 and 4; the other trial gains nothing.
    assert means["coverage_error", "calibrate"] == -4.0
    assert means["coverage_error", "truth"] == -3.5
    assert means["coverage_error", "calibrate, less that of all trials"] == -2.0
    assert means["mae", "calibrate"] == -0.5
    assert means["mae", "calibrate, less that of all trials"] == 0.25


@pytest.mark.slow
def test_intervals_hold_the_true_coverage_of_small_studies(
    script: Callable[[str], ModuleType],
) -> None:
    figures = script("interval_claim").measure(n_studies=5, n_trials=3, steps=30, seed=1000)
    held = {row[0]: row[1] for row in figures["held"]}
    assert held["calibrate"] >= 60.0
    assert figures["true_error"] < 1.0
