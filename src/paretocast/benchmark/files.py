"""A proof as files: predictions, metrics, and what is needed to read them."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paretocast.benchmark.retraining import TEST
from paretocast.data.task import installed_versions
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from paretocast.benchmark.comparison import Row
    from paretocast.benchmark.run import BenchmarkResult

SCHEMA_VERSION = 1
METRICS = "metrics.json"
IDENTITY = ("method", "parameters", "calibrator", "n_seeds")


def save_benchmark(
    folder: Path, proof: BenchmarkResult, *, created: str, assumptions: Sequence[str]
) -> tuple[Path, ...]:
    """Write predictions.csv.gz, metrics.csv and metrics.json; the last one makes it complete.

    Parameters
    ----------
    created : str
        ISO 8601 with a zone.
    """
    predictions, table, metrics = (
        folder / name for name in ("predictions.csv.gz", "metrics.csv", METRICS)
    )
    files.save_bytes(predictions, _gzipped(prediction_table(proof)))
    rows = pd.DataFrame([_flat(row) for row in proof.comparison.rows])
    files.save_text(table, rows.to_csv(index=False, float_format="%.6g"))
    files.save_json(metrics, describe_benchmark(proof, created=created, assumptions=assumptions))
    return predictions, table, metrics


def describe_benchmark(
    proof: BenchmarkResult, *, created: str, assumptions: Sequence[str]
) -> dict[str, Any]:
    """The content of metrics.json."""
    comparison, plan = proof.comparison, proof.plan
    chosen = comparison.rows[comparison.chosen] if comparison.chosen >= 0 else None
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": plan.task.series.name,
        "unit": plan.task.series.unit,
        "created": created,
        **plan.as_json(),
        "rows": [row.as_json() for row in comparison.rows],
        "differences": [vars(one) | {"verdict": one.verdict} for one in comparison.differences],
        "chosen_on_validation": None if chosen is None else chosen.entry.label,
        "fitted_calibrators": {label: one.as_json() for label, one in proof.calibrators},
        "assumptions": list(assumptions),
        "notes": list(proof.notes),
        "versions": installed_versions(),
    }


def prediction_table(proof: BenchmarkResult) -> pd.DataFrame:
    """Issue time, target time, method, quantiles and observation; first seed, as calibrated."""
    task = proof.plan.task
    hours = task.horizon_positions(TEST)
    stamps = task.series.index.strftime("%Y-%m-%dT%H:%M:%SZ").to_numpy()
    issued = np.repeat(stamps[task.issues[TEST]], task.shape.horizon_steps)
    parts = []
    for row in proof.comparison.rows:
        quantiles = row.entry.forecasts[0].quantiles.reshape(hours.size, -1)
        columns: dict[str, Any] = {
            "issue_time": issued,
            "target_time": stamps[hours.ravel()],
            "method": row.entry.method,
            "parameters": row.entry.parameters,
            "calibrator": row.entry.calibrator,
        }
        columns |= {f"q{level:g}": quantiles[:, i] for i, level in enumerate(task.shape.levels)}
        parts.append(pd.DataFrame({**columns, "observed": task.observed(TEST).ravel()}))
    return pd.concat(parts, ignore_index=True)


def _flat(row: Row) -> dict[str, Any]:
    """A row of metrics.csv."""
    content = row.as_json()
    low, high = content["picp_interval"]
    return {
        **{name: content[name] for name in IDENTITY},
        **row.scores,
        "picp_low": low,
        "picp_high": high,
        "validation_mae": content["validation"]["mae"],
        "validation_pinball": content["validation"]["pinball"],
        "source": content["source"],
    }


def _gzipped(table: pd.DataFrame) -> bytes:
    return gzip.compress(table.to_csv(index=False, float_format="%.6g").encode(), mtime=0)
