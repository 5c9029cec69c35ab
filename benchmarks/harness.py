"""Options and output that the scripts of `benchmarks` and `experiments` share.

Each prints a table for people and one last line for programs. `experiments/harness.py` is a link
to this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretocast.workspace.files import without_nan

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from paretocast.training import Training
    from paretocast.training.setup import TrainingSetup

LIBRARIES = ("paretocast", "torch", "neuralforecast", "optuna", "numpy")


def script_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows the docstring of a script as it is written."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )


def print_table(columns: list[str], rows: list[list[Any]]) -> None:
    """Columns as wide as their widest cell; numbers with four significant digits."""
    cells = [columns, *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    for row in cells:
        print(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def print_result(figures: dict[str, Any], *, seed: int | None = None) -> None:
    """The last line: `RESULT` and one JSON object with the figures and how they came about."""
    result = {
        **figures,
        "command": shlex.join(["python", *sys.argv]),
        "seed": seed,
        "versions": {name: _version(name) for name in LIBRARIES},
        "machine": describe_machine(),
    }
    print("RESULT " + json.dumps(without_nan(result), allow_nan=False))


def describe_machine() -> dict[str, Any]:
    """Cores, processor and GPU; the GPU is asked for only where torch is loaded anyway."""
    gpu = None
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        gpu = torch.cuda.get_device_name()
    return {"cores": os.cpu_count(), "processor": _processor(), "gpu": gpu}


def forecast_splits(
    training: Training, setup: TrainingSetup, splits: Iterable[str]
) -> dict[str, NDArray[np.float64]]:
    """Forecasts of the best weights by split, (N, H, Q) in target units."""
    from paretocast.training import forecast_positions

    with training.best_model() as model:
        return {
            split: setup.scaling.unscale(
                forecast_positions(model, setup.source, setup.task.issues[split])
            )
            for split in splits
        }


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
        return names[0] if names else platform.machine()
    except OSError:
        return platform.processor() or platform.machine()


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
