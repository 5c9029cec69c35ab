"""Training steps of Darts in an environment of its own, driven through its standard input.

`DartsProcess` starts this file with another interpreter. There it imports Darts and numpy alone,
reads a number of steps per line and answers with seconds per step, start-up and first step not
counted. The N-HiTS of Darts takes no covariates of the future: it sees known ones as past ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from library_match import Match

READY = "ready"


class DartsProcess:
    """Darts beside us; its steps are taken on request."""

    def __init__(self, python: Path, match: Match, *, threads: int) -> None:
        from paretocast.data.scaling import scale_task

        task = match.setup.task
        arrays, _ = scale_task(task, match.setup.training.transform)
        order = {
            "model": match.setup.model,
            "config": match.config,
            "batch_size": match.batch_size,
            "threads": threads,
            "input_steps": task.shape.input_steps,
            "horizon_steps": task.shape.horizon_steps,
            "levels": list(task.shape.levels),
        }
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "series.npz"
        stop = task.train_stop
        parts = {"history": arrays.history, "past": arrays.past, "known": arrays.known}
        np.savez(path, **{name: part[:stop] for name, part in parts.items()})  # type: ignore[arg-type]
        self._process = subprocess.Popen(
            [str(python), __file__, str(path), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def run(self, n_steps: int) -> float:
        """Seconds per step."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{n_steps}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def _answer(self) -> str:
        """The next line that starts with `ready`, without that word."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(READY):
                return line.removeprefix(READY).strip()
        raise SystemExit("Darts ended without an answer; what it said stands above")


def build_model(order: dict[str, Any], n_known: int, trainer: dict[str, Any]) -> Any:  # noqa: ANN401 - not typed
    """Darts' model of the same sizes."""
    from darts.models import NHiTSModel, TFTModel
    from darts.utils.likelihood_models import QuantileRegression

    config = order["config"]
    shared = {
        "input_chunk_length": order["input_steps"],
        "output_chunk_length": order["horizon_steps"],
        "likelihood": QuantileRegression(quantiles=order["levels"]),
        "batch_size": order["batch_size"],
        "dropout": config["dropout"],
        "n_epochs": 1,
        "pl_trainer_kwargs": trainer,
    }
    if order["model"] == "NHITS_Q":
        sizes = ["num_stacks", "num_blocks", "num_layers", "layer_widths"]
        return NHiTSModel(**shared, **{name: config[name] for name in sizes})
    sizes = ["hidden_size", "lstm_layers", "num_attention_heads"]
    return TFTModel(
        **shared, **{name: config[name] for name in sizes}, add_relative_index=not n_known
    )


def main() -> None:
    """Answer every number of steps with seconds per step."""
    import torch
    from darts import TimeSeries
    from pytorch_lightning import Callback

    arrays, order = np.load(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(order["threads"])
    target = TimeSeries.from_values(arrays["history"])
    past, known = arrays["past"], arrays["known"]
    if order["model"] == "NHITS_Q":
        past, known = np.hstack([past, known]), known[:, :0]
    named = {"past_covariates": past, "future_covariates": known}
    covariates = {
        name: TimeSeries.from_values(values) for name, values in named.items() if values.shape[1]
    }

    class StepClock(Callback):
        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_train_batch_end(self, *_: object) -> None:
            self.ends.append(time.perf_counter())

    print(READY, flush=True)
    for line in sys.stdin:
        clock, n_steps = StepClock(), int(line)
        trainer = {
            "accelerator": "cpu",
            "callbacks": [clock],
            "limit_train_batches": n_steps + 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "logger": False,
        }
        build_model(order, known.shape[1], trainer).fit(target, **covariates, verbose=False)
        print(READY, (clock.ends[-1] - clock.ends[0]) / (len(clock.ends) - 1), flush=True)


if __name__ == "__main__":
    main()
