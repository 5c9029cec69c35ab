"""Cost of a trial of a long study beside its training: sampler, files, lock, Optuna's journal.

    python benchmarks/coordination.py [--trials 2000] [--more 5] [--sampler mfgp] [--quick]

A study on the demo series is given so many finished trials: records and forecasts of one real
trial, with configs of the space at random and objectives that depend on them. Then it goes on with
a few real trials of three gradient steps and two rungs. "Overhead" is the time from the end of one
to the end of the next, "trial" what was spent in it on the trial itself: on training, forecasts and
scores, without what is asked of the study at a rung. The rest is coordination. The same at the
start of a study is printed beside it, and the CPU time beside the time on the clock, which is that
of a quiet machine only if the machine is. The networks are tiny, so that little is taken off. A
process that opens the study pays once.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    from collections.abc import Callable

    from paretocast.settings import TuneSettings
    from paretocast.study.outcome import Outcome
    from paretocast.training.setup import TrainingSetup
    from paretocast.training.trial import TrialRecord
    from paretocast.workspace.runs import RunDirectory

TRIAL_SECONDS = 30.0
FIRST_TRIALS = 3
RACING = {"max_seeds": 1}  # a repeat is not the new trial that is to be measured


@dataclass
class Stopwatch:
    """An observer that notes when trials begin and end, on two clocks: wall and CPU, seconds."""

    started: list[tuple[float, float]] = field(default_factory=list)
    ended: list[tuple[float, float]] = field(default_factory=list)
    trials: list[tuple[float, float]] = field(default_factory=list)  # spent on each one itself

    def trial_started(self, number: int, config: dict[str, Any], *, resumed: bool) -> None:
        del number, config, resumed
        self.started.append(clocks())

    def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
        pass

    def trial_ended(self, record: TrialRecord, outcome: Outcome | None) -> None:
        del record, outcome
        self.ended.append(clocks())

    def timed(self, run_trial: Callable[..., TrialRecord]) -> Callable[..., TrialRecord]:
        """The same function, noting the time of each trial without that of its questions."""

        def run(*args: Any, **options: Any) -> TrialRecord:  # noqa: ANN401
            asked = [0.0, 0.0]

            def noting(ask: Callable[..., Any]) -> Callable[..., Any]:
                def answer(*arguments: Any) -> Any:  # noqa: ANN401
                    begun = clocks()
                    reply = ask(*arguments)
                    for i, spent in enumerate(since(begun)):
                        asked[i] += spent
                    return reply

                return answer

            for name in ("survives", "on_rung"):
                options[name] = noting(options[name])
            begun = clocks()
            record = run_trial(*args, **options)
            wall, cpu = since(begun)
            self.trials.append((wall - asked[0], cpu - asked[1]))
            return record

        return run

    def medians(self) -> dict[str, float]:
        """Of all trials but the first: to the start, to the end, of itself, and what is left."""
        both = {
            "proposal": [apart(*pair) for pair in zip(self.ended, self.started[1:], strict=False)],
            "overhead": [apart(*pair) for pair in zip(self.ended, self.ended[1:], strict=False)],
            "trial": self.trials[1:],
        }
        both["coordination"] = [
            apart(trial, overhead)
            for trial, overhead in zip(both["trial"], both["overhead"], strict=True)
        ]
        return {
            f"{name}_{clock}seconds": median(spent[i] for spent in all_spent)
            for name, all_spent in both.items()
            for i, clock in enumerate(("", "cpu_"))
        }


def clocks() -> tuple[float, float]:
    """Now on the wall and of this process's CPU time."""
    return time.perf_counter(), time.process_time()


def apart(earlier: tuple[float, float], later: tuple[float, float]) -> tuple[float, float]:
    """Difference on both clocks."""
    return later[0] - earlier[0], later[1] - earlier[1]


def since(begun: tuple[float, float]) -> tuple[float, float]:
    """Seconds on both clocks from then on."""
    return apart(begun, clocks())


def watch(
    settings: TuneSettings, run: RunDirectory, setup: TrainingSetup
) -> tuple[float, Stopwatch]:
    """CPU seconds to open the study, and the trials that it still lacks."""
    from paretocast.study import study as study_module
    from paretocast.study.study import Study
    from paretocast.training.trial import run_trial

    stopwatch = Stopwatch()
    begun = time.process_time()
    study = Study(settings, run, setup, shared=True)
    opened = time.process_time() - begun
    # A study has no hook around the run of a trial.
    with patch.object(study_module, "run_trial", stopwatch.timed(run_trial)):
        study.optimise(stopwatch, should_stop=lambda: False)
    return opened, stopwatch


def fill(run: RunDirectory, settings: TuneSettings, n_trials: int, *, seed: int) -> None:
    """Write finished trials that resemble those of a real study."""
    from paretocast.search.space import config_at
    from paretocast.study.trial_store import load_record
    from paretocast.workspace import files

    rng = np.random.default_rng(seed)
    space = settings.space_of_model()
    template = load_record(run, 0)
    if template is None:
        raise SystemExit("the study has no first trial")
    for number in range(FIRST_TRIALS, n_trials):
        shares = rng.random(len(space))
        distance = float(np.square(shares - 0.6).mean())
        scores = {
            **template.scores,
            "mae": template.scores["mae"] * (1.0 + distance) + 0.01 * rng.standard_normal(),
            "coverage_error": abs(20.0 * (shares[0] - 0.3) + rng.standard_normal()),
        }
        record = replace(
            template,
            number=number,
            config=config_at(space, shares.tolist()),
            scores=scores,
            rungs=tuple(replace(rung, scores=scores) for rung in template.rungs),
        )
        content = {"schema_version": files.RECORD_SCHEMA_VERSION, **record.as_json()}
        files.save_json(run.record(number), content, durable=False)
        shutil.copyfile(run.forecasts(0), run.forecasts(number))


def measure(folder: Path, *, n_trials: int, n_more: int, sampler: str, seed: int) -> dict[str, Any]:
    """Open and continue a young study and an old one."""
    from paretocast.data.task import Task
    from paretocast.settings import load_settings
    from paretocast.training import use_threads
    from paretocast.training.setup import TrainingSetup
    from paretocast.workspace.runs import RunDirectory

    use_threads(1)
    shared = {
        "training": {"steps": 3, "n_rungs": 2, "n_evaluations": 1},
        "space": {"NHITS_Q": {"layer_widths": {"values": [16, 32, 64]}}},
        "racing": RACING,
        "sampler": sampler,
        "device": "cpu",
    }
    settings = load_settings(None, {**shared, "trials": FIRST_TRIALS})
    setup = TrainingSetup.from_settings(settings, Task.from_settings(settings))
    run = RunDirectory(folder, "NHITS_Q", "demo", "long")
    opened_young, young = watch(settings, run, setup)
    fill(run, settings, n_trials, seed=seed)
    longer = load_settings(None, {**shared, "trials": n_trials + n_more})
    opened_first, _ = watch(load_settings(None, {**shared, "trials": n_trials}), run, setup)
    opened, old = watch(longer, run, setup)
    young_medians = {f"young_{name}": value for name, value in young.medians().items()}
    medians = old.medians()
    return {
        "n_trials": n_trials,
        "sampler": sampler,
        "opened_young_cpu_seconds": opened_young,
        "journal_made_anew_cpu_seconds": opened_first,
        "opened_cpu_seconds": opened,
        **young_medians,
        **medians,
        "share_of_trial": medians["coordination_seconds"] / TRIAL_SECONDS,
        "cpu_share_of_trial": medians["coordination_cpu_seconds"] / TRIAL_SECONDS,
        "full_trial_seconds": TRIAL_SECONDS,
    }


def main() -> None:
    """Print the cost of a trial beside its training."""
    from paretocast.search.space import DEFAULT_SAMPLER

    parser = script_parser(__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--more", type=int, default=5, help="trials that are measured, at least 2")
    parser.add_argument("--sampler", default=DEFAULT_SAMPLER)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="300 trials, 2 more")
    arguments = parser.parse_args()
    n_trials, n_more = (300, 2) if arguments.quick else (arguments.trials, arguments.more)
    with tempfile.TemporaryDirectory(
        prefix="paretocast-coordination-", ignore_cleanup_errors=True
    ) as folder:
        figures = measure(
            Path(folder),
            n_trials=n_trials,
            n_more=n_more,
            sampler=arguments.sampler,
            seed=arguments.seed,
        )
    print_table(["measure", "value"], [[name, value] for name, value in figures.items()])
    print(
        f"at {n_trials} trials a trial of {TRIAL_SECONDS:.0f} s costs "
        f"{figures['share_of_trial']:.1%} more on the clock, {figures['cpu_share_of_trial']:.1%} "
        "in CPU time; goal below 5 %"
    )
    print_result(figures, seed=arguments.seed)


if __name__ == "__main__":
    main()
