"""Share of chosen trials whose 95 % interval of the coverage holds the true coverage.

    python experiments/interval_claim.py [--studies 120] [--quick]

Every study is a small search by the product, without an anchor, on a demo series of its own: the
seed of the generator and that of the search differ from study to study. The trial that the product
chose is trained once more, which gives the very same forecasts, and then forecasts four further
years of its series.

The interval of a measured coverage speaks of the days that were drawn: how far the coverage on some
hundred days may lie from what the same forecaster covers on any number of such days. So the truth
belongs to one trained network, and to no set of days: the probability that the demand lies inside
the network's interval, which the generator knows for every hour from the past and the weather of
that hour, averaged over the four years. The noise of the demand is not in it; what the weather of
four years leaves open is printed as its standard error.

"held" is the share of studies whose interval holds the truth: on the calibrate split, which took no
part in training, stopping or choosing, and on the tune split, where the interval is the one that
the product keeps with the trial. "Optimism" is what choosing adds to a score of the chosen trial:
its value on the tune split less its value where nothing was chosen, with the standard error of the
mean over studies; below 0 the chosen trial looks better than it is. The days of the two splits
differ too, and equally for all trials of a study: "less that of all trials" takes the mean of the
same difference over the complete trials of the study away.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import forecast_splits, print_result, print_table, script_parser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.data import DemoTruth
    from paretocast.settings import TuneSettings
    from paretocast.study.outcome import Outcome
    from paretocast.training.setup import TrainingSetup
    from paretocast.training.trial import TrialRecord

    Floats = NDArray[np.float64]

TRUTH_YEARS = 4
ONE_SIGMA = 0.8413447460685429  # the level one standard deviation above the median
CLAIM = (90.0, 99.0)  # percent
SPLITS = ("tune", "calibrate")
SPACE = {
    "num_stacks": {"low": 2, "high": 3},
    "num_blocks": {"values": [1]},
    "num_layers": {"values": [2]},
    "layer_widths": {"values": [32, 64]},
    "lr": {"low": 1e-3, "high": 1e-2},
}


class Silent:
    """The observer of a study that nobody watches."""

    def trial_started(self, number: int, config: dict[str, Any], *, resumed: bool) -> None:
        pass

    def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
        pass

    def trial_ended(self, record: TrialRecord, outcome: Outcome | None) -> None:
        pass


@dataclass(frozen=True)
class SplitScores:
    """A trial on a split: percent, target units, and the 95 % interval of the coverage."""

    picp: float
    mae: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class StudyResult:
    """Scores of a study's trials beside the true coverage of the chosen one.

    Attributes
    ----------
    true_picp, true_error : float
        Coverage of the chosen trial over the years of truth and its standard error, percent.
    chosen : dict of split to SplitScores
    others : dict of split to tuple of SplitScores
        All complete trials, the chosen one among them, in one order.
    """

    seed: int
    true_picp: float
    true_error: float
    chosen: dict[str, SplitScores]
    others: dict[str, tuple[SplitScores, ...]]
    cpu_seconds: float

    def holds(self, split: str) -> bool:
        """True if the interval measured on a split holds the truth."""
        low, high = self.chosen[split].interval
        return low <= self.true_picp <= high


def small_settings(*, steps: int, trials: int, seed: int) -> TuneSettings:
    """A study of tiny networks that trains within seconds, otherwise as the product ships."""
    from paretocast.settings import load_settings

    return load_settings(
        None,
        {
            "trials": trials,
            "seed": seed,
            "device": "cpu",
            "storage": "journal",
            "training": {"steps": steps, "batch_size": 32, "n_evaluations": 3, "anchor": "none"},
            "space": {"NHITS_Q": SPACE},
        },
    )


def prepare(settings: TuneSettings) -> tuple[TrainingSetup, TrainingSetup, DemoTruth]:
    """The set-up of a study, the same with the years of truth behind it, and the truth itself."""
    import pandas as pd

    from paretocast.data import generate_demo, load_dataset
    from paretocast.data.demo import FIRST_HOUR
    from paretocast.data.task import Task
    from paretocast.training.setup import TrainingSetup

    dataset = load_dataset("demo")
    truth_to = dataset.dates.validation_to + pd.DateOffset(years=TRUTH_YEARS)
    dates = replace(dataset.dates, test_to=truth_to)
    series, truth = generate_demo(settings.seed, days=(truth_to - FIRST_HOUR).days + 1)
    dataset = replace(dataset, series=series, dates=dates)

    def setup(*, with_test: bool) -> TrainingSetup:
        task = Task.from_settings(settings, dataset=dataset, with_test=with_test)
        return TrainingSetup.from_settings(settings, task, device="cpu")

    return setup(with_test=False), setup(with_test=True), truth


def study_once(settings: TuneSettings, folder: Path) -> StudyResult:
    """Search, then measure what was chosen.

    Raises
    ------
    SystemExit
        If no trial is complete, or the chosen one trained again gives other forecasts.
    """
    from paretocast.search.selection import TrialState
    from paretocast.study.study import Study
    from paretocast.workspace.files import load_arrays
    from paretocast.workspace.runs import RunDirectory

    begun = time.process_time()
    setup, longer, truth = prepare(settings)
    run = RunDirectory(folder, settings.model, "demo", str(settings.seed))
    result = Study(settings, run, setup).optimise(Silent(), should_stop=lambda: False)
    if result.outcome is None:
        raise SystemExit(f"no trial of study {settings.seed} is complete")
    chosen = result.outcome.chosen
    complete = [r for r in result.records if r.state is TrialState.COMPLETE]
    stored = {r.number: load_arrays(run.forecasts(r.number))["calibrate"] for r in complete}
    again = forecast_again(setup, longer, chosen)
    if not np.array_equal(again["calibrate"].astype(np.float32), stored[chosen.number]):
        raise SystemExit(f"trial {chosen.number} of study {settings.seed} is not reproducible")
    others = {
        "tune": {r.number: scores_on_tune(r) for r in complete},
        "calibrate": {
            r.number: scores_on_calibrate(setup, stored[r.number], seed=r.seed) for r in complete
        },
    }
    true_picp, true_error = true_coverage(longer, truth, again["test"])
    return StudyResult(
        seed=settings.seed,
        true_picp=true_picp,
        true_error=true_error,
        chosen={split: scores[chosen.number] for split, scores in others.items()},
        others={split: tuple(scores.values()) for split, scores in others.items()},
        cpu_seconds=time.process_time() - begun,
    )


def forecast_again(
    setup: TrainingSetup, longer: TrainingSetup, chosen: TrialRecord
) -> dict[str, Floats]:
    """Forecasts of the chosen trial, trained again, of the calibrate split and beyond."""
    from paretocast.training.setup import start_training

    training = start_training(setup, chosen.config, seed=chosen.seed)
    for step in setup.rung_steps:
        training.advance(step)
    return forecast_splits(training, longer, ("calibrate", "test"))


def true_coverage(longer: TrainingSetup, truth: DemoTruth, forecast: Floats) -> tuple[float, float]:
    """Coverage of a forecast over the years of truth and its standard error, percent."""
    from scipy.special import ndtr

    from paretocast.metrics.scores import interval
    from paretocast.metrics.uncertainty import standard_error

    shape = longer.task.shape
    quantiles = truth.quantiles(
        longer.task.issues["test"], horizon_steps=shape.horizon_steps, levels=(0.5, ONE_SIGMA)
    )
    center, deviation = quantiles[..., 0], quantiles[..., 1] - quantiles[..., 0]
    lower, upper = interval(forecast, shape.levels, longer.target_coverage)
    inside = ndtr((upper - center) / deviation) - ndtr((lower - center) / deviation)  # (N, H)
    days = inside.mean(axis=1)
    error = standard_error(days, np.ones_like(days), rng=np.random.default_rng(0))
    return 100.0 * float(days.mean()), 100.0 * error


def scores_on_tune(record: TrialRecord) -> SplitScores:
    """Scores that the product stores with a complete trial."""
    if record.picp_interval is None:
        raise SystemExit(f"trial {record.number} has no interval of its coverage")
    return SplitScores(record.scores["picp"], record.scores["mae"], record.picp_interval)


def scores_on_calibrate(
    setup: TrainingSetup, stored: NDArray[np.float32], *, seed: int
) -> SplitScores:
    """The same scores on the calibrate split, by the same functions."""
    from paretocast.metrics.score_table import score_forecast
    from paretocast.metrics.scores import interval
    from paretocast.metrics.uncertainty import picp_interval

    observed, forecast = setup.task.observed("calibrate"), stored.astype(np.float64)
    levels, coverage = setup.task.shape.levels, setup.target_coverage
    scores = score_forecast(observed, forecast, levels=levels, coverage=coverage)
    lower, upper = interval(forecast, levels, coverage)
    covered = picp_interval(observed, lower, upper, rng=np.random.default_rng(seed))
    return SplitScores(scores["picp"], scores["mae"], covered)


def claim_rows(studies: Sequence[StudyResult]) -> list[list[Any]]:
    """A row per split: percent of intervals that hold the truth, and their width."""
    rows = []
    for split in SPLITS:
        held = [study.holds(split) for study in studies]
        widths = [high - low for low, high in (s.chosen[split].interval for s in studies)]
        misses = [s.chosen[split].picp - s.true_picp for s in studies]
        low, high = share_interval(sum(held), len(held))
        spread = float(np.std(misses))
        rows.append([split, 100.0 * float(np.mean(held)), low, high, np.median(widths), spread])
    return rows


def share_interval(n_held: int, n: int) -> tuple[float, float]:
    """95 % interval of a share, percent (Clopper and Pearson: studies are independent)."""
    from scipy.stats import binomtest

    share = binomtest(n_held, n).proportion_ci(0.95)
    return 100.0 * float(share.low), 100.0 * float(share.high)


def optimism_rows(studies: Sequence[StudyResult], *, target: float) -> list[list[Any]]:
    """A row per score and comparison: mean over studies and its standard error."""

    def error(picp: float) -> float:
        return abs(picp - target)

    def differences(pairs: Sequence[tuple[SplitScores, SplitScores]]) -> Floats:
        return np.array(
            [(error(t.picp) - error(c.picp), t.mae - c.mae) for t, c in pairs]
        )  # (pairs, 2)

    chosen = differences([(s.chosen["tune"], s.chosen["calibrate"]) for s in studies])
    everyone = np.array(
        [
            differences(list(zip(s.others["tune"], s.others["calibrate"], strict=True))).mean(0)
            for s in studies
        ]
    )
    measured = {
        ("coverage_error", "calibrate"): chosen[:, 0],
        ("coverage_error", "calibrate, less that of all trials"): (chosen - everyone)[:, 0],
        ("coverage_error", "truth"): np.array(
            [error(s.chosen["tune"].picp) - error(s.true_picp) for s in studies]
        ),
        ("mae", "calibrate"): chosen[:, 1],
        ("mae", "calibrate, less that of all trials"): (chosen - everyone)[:, 1],
    }
    return [
        [score, against, float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))]
        for (score, against), values in measured.items()
    ]


def main() -> None:
    """Print the share of intervals that hold the truth, and what choosing adds."""
    parser = script_parser(__doc__)
    parser.add_argument("--studies", type=int, default=120)
    parser.add_argument("--trials", type=int, default=6, help="of each study")
    parser.add_argument("--steps", type=int, default=60, help="gradient steps of a full trial")
    parser.add_argument("--seed", type=int, default=1000, help="of the first study and its series")
    parser.add_argument("--quick", action="store_true", help="10 studies of 4 trials, 30 steps")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.studies, arguments.trials, arguments.steps = 10, 4, 30
    figures = measure(
        n_studies=arguments.studies,
        n_trials=arguments.trials,
        steps=arguments.steps,
        seed=arguments.seed,
    )
    print_table(CLAIM_COLUMNS, figures["held"])
    print_table(OPTIMISM_COLUMNS, figures["optimism"])
    low, high = CLAIM
    print(
        f"{figures['n_studies']} studies, {figures['cpu_seconds']:.1f} s of CPU time each; true "
        f"coverages {figures['true_picp'][0]:.1f} to {figures['true_picp'][1]:.1f} %, median "
        f"standard error {figures['true_error']:.2g}; goal: {low:g} to {high:g} % held on calibrate"
    )
    print_result(figures, seed=arguments.seed)


CLAIM_COLUMNS = ["split", "held, %", "from", "to", "median width", "deviation from truth"]
OPTIMISM_COLUMNS = ["score", "tune less", "mean", "standard error"]


def measure(*, n_studies: int, n_trials: int, steps: int, seed: int) -> dict[str, Any]:
    """Run the studies and sum them up."""
    import optuna

    from paretocast.training import use_threads

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    use_threads(1)
    studies = []
    for i in range(n_studies):
        settings = small_settings(steps=steps, trials=n_trials, seed=seed + i)
        with tempfile.TemporaryDirectory(prefix="paretocast-interval-") as folder:
            studies.append(study_once(settings, Path(folder)))
        if (i + 1) % 10 == 0:
            print(f"{i + 1} of {n_studies} studies", file=sys.stderr, flush=True)
    coverages = [study.true_picp for study in studies]
    return {
        "n_studies": n_studies,
        "held": claim_rows(studies),
        "optimism": optimism_rows(studies, target=settings.target_coverage),
        "true_picp": [min(coverages), max(coverages)],
        "true_error": float(np.median([study.true_error for study in studies])),
        "cpu_seconds": float(np.median([study.cpu_seconds for study in studies])),
        "studies": [
            {
                "seed": study.seed,
                "true_picp": study.true_picp,
                **{
                    split: [scores.picp, *scores.interval] for split, scores in study.chosen.items()
                },
            }
            for study in studies
        ],
    }


if __name__ == "__main__":
    main()
