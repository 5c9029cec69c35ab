"""Recorded learning curves: their spaces and budgets, and the tables that hold them.

A *curve* is one config trained once with one seed and scored at every rung. A table is a CSV file
of one model and data set with a row per curve and rung; a curve whose training failed has one row
without scores. Scores are in target units, coverage in percent, `cpu_seconds` are those of the
training alone, on one thread, since the start of the curve.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from paretocast.search.models import MODELS
from paretocast.search.space import Choice, Config, Space, Value, shares_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

TABLES = Path(__file__).parent / "tables"
SPLITS = ("tune", "calibrate")
SCORES = ("mae", "rmse", "pinball", "crps", "picp", "mean_width", "winkler")
ERRORS = ("mae", "picp")  # scores whose block-bootstrap standard error is kept
TARGET_COVERAGE = 80.0


@dataclass(frozen=True)
class Recording:
    """Space and budget of a model's curves; `first` is the config that every search starts with."""

    model: str
    space: Space
    first: Config
    steps: int
    batch_size: int
    n_rungs: int = 4


# Narrower than the published spaces and budgets: a curve takes seconds of one core, not minutes.
RECORDINGS = {
    "NHITS_Q": Recording(
        "NHITS_Q",
        space={
            **{name: p for name, p in MODELS["NHITS_Q"].space.items() if name != "num_blocks"},
            "layer_widths": Choice((64, 128, 256)),
        },
        first={
            "num_stacks": 3,
            "num_layers": 2,
            "layer_widths": 256,
            "lr": 2e-3,
            "dropout": 0.1,
            "weight_decay": 1e-4,
        },
        steps=270,
        batch_size=32,
    ),
    "TFT_Q": Recording(
        "TFT_Q",
        space={**MODELS["TFT_Q"].space, "hidden_size": Choice((16, 32))},
        first={
            "hidden_size": 32,
            "lstm_layers": 1,
            "num_attention_heads": 4,
            "dropout": 0.1,
            "lr": 3e-3,
        },
        steps=162,
        batch_size=8,
    ),
}


def table_path(model: str, dataset: str, *, folder: Path = TABLES, kind: str = "") -> Path:
    """The table of a model and data set; `kind` marks curves made in another way."""
    return folder / f"{model}_{dataset}{kind}.csv"


def columns(space: Space) -> list[str]:
    """Names of a table's columns."""
    scores = [f"{split}_{score}" for split in SPLITS for score in SCORES]
    errors = [f"{split}_{score}_se" for split in SPLITS for score in ERRORS]
    return ["config", "seed", *space, "step", "best_step", "cpu_seconds", *scores, *errors]


def config_at(point: NDArray[np.float64], space: Space) -> Config:
    """The config at a point of the unit cube, one coordinate per parameter.

    >>> config_at(np.array([0.5]), {"lr": FloatRange(1e-4, 1e-2, log=True)})
    {'lr': 0.001}
    """
    values = {
        name: parameter.at(float(u))
        for u, (name, parameter) in zip(point, space.items(), strict=True)
    }
    # As many digits as the tables have.
    return {
        name: float(f"{value:.6g}") if isinstance(value, float) else value
        for name, value in values.items()
    }


def point_of(config: Mapping[str, Value], space: Space) -> NDArray[np.float64]:
    """Coordinates of a config in the unit cube; those of whole numbers and choices are centred."""
    return np.array(shares_of(space, config))


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a table as text; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def whole_curves(rows: Iterable[dict[str, str]], *, n_rungs: int) -> list[list[dict[str, str]]]:
    """Rows by curve, in the order of the file; a curve that was torn by a kill is left out."""
    curves: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        curves.setdefault((row["config"], row["seed"]), []).append(row)
    return [
        curve
        for curve in curves.values()
        if None not in curve[-1].values() and (len(curve) == n_rungs or not curve[0]["tune_mae"])
    ]
