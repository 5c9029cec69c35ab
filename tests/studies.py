"""Small studies that tests share: N-HiTS, Optuna and files on disk; small and short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builders import make_task
from paretocast.data.task import Task
from paretocast.settings import TuneSettings, load_settings
from paretocast.study.outcome import Outcome
from paretocast.study.study import Study, StudyResult
from paretocast.training.setup import TrainingSetup
from paretocast.training.trial import TrialRecord
from paretocast.workspace.runs import RunDirectory

SMALL_SPACE = {
    "NHITS_Q": {
        "layer_widths": {"values": [16, 32]},
        "num_stacks": {"low": 2, "high": 3},
        "num_blocks": {"low": 1, "high": 2},
    }
}


class Watch:
    """An observer that remembers and, if told to, asks for a stop or dies."""

    def __init__(self, *, stop_at_evaluation: int | None = None) -> None:
        self.started: list[tuple[int, bool]] = []
        self.n_evaluations = 0
        self._stop_at = stop_at_evaluation

    def trial_started(self, number: int, config: dict[str, Any], *, resumed: bool) -> None:
        self.started.append((number, resumed))

    def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
        self.n_evaluations += 1

    def trial_ended(self, record: TrialRecord, outcome: Outcome | None) -> None:
        pass

    def wants_stop(self) -> bool:
        return self._stop_at is not None and self.n_evaluations >= self._stop_at


def make_settings(trials: int = 4, **changes: object) -> TuneSettings:
    """Twelve gradient steps in three rungs; the architecture alone is searched.

    Optuna's copy is a journal, which takes a tenth of the time of a database.
    """
    training = {"steps": 12, "batch_size": 32, "n_evaluations": 3, "n_rungs": 3}
    return load_settings(
        None,
        {
            "trials": trials,
            "space": SMALL_SPACE,
            "recipe": (),
            "training": training,
            "device": "cpu",
            "storage": "journal",
            **changes,
        },
    )


def make_study(
    folder: Path,
    settings: TuneSettings | None = None,
    *,
    job_id: str = "1",
    task: Task | None = None,
    shared: bool = False,
    worker: int = 0,
) -> Study:
    """A study on the small task, new or continued."""
    settings = settings or make_settings()
    setup = TrainingSetup.from_settings(settings, task or make_task(), device="cpu")
    return Study(settings, make_run(folder, job_id), setup, shared=shared, worker=worker)


def make_run(folder: Path, job_id: str = "1") -> RunDirectory:
    """The run directory of `make_study`."""
    return RunDirectory(folder, "NHITS_Q", "small", job_id)


def optimise(study: Study, watch: Watch | None = None) -> StudyResult:
    """Run a study to its end, or until the observer asks for a stop."""
    watch = watch or Watch()
    return study.optimise(watch, should_stop=watch.wants_stop)


def numbers(result: StudyResult) -> list[tuple[dict[str, Any], float, float]]:
    """Configs and scores, which two equal runs of a study have in common."""
    return [(r.config, r.scores["mae"], r.scores["picp"]) for r in result.records]
