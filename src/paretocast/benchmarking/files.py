"""Files of a benchmark: predictions, metrics, and the table of all benchmarks of a workspace.

That table, the history, is CSV for people and spreadsheets; rows are only ever added, each beside
the best before it. Scores are compared with earlier ones on the same test hours of the same values
only.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import secrets
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paretocast.benchmarking.retraining import TEST
from paretocast.data.task import installed_versions
from paretocast.errors import StoreError
from paretocast.workspace import files
from paretocast.workspace.claims import StudyLock
from paretocast.workspace.stored import save

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from paretocast.benchmarking.comparison import Row
    from paretocast.benchmarking.run import BenchmarkResult

SCHEMA_VERSION = 1
METRICS = "metrics.json"
IDENTITY = ("method", "parameters", "calibrator", "n_seeds")
SCORES = ("mae", "rmse", "pinball", "crps", "picp", "mean_width", "winkler", "n")
IMPROVED = ("mae", "pinball", "winkler")
COLUMNS = (
    "created",
    "folder",
    "dataset",
    "test_sha256",
    "method",
    "parameters",
    "calibrator",
    "n_seeds",
    *SCORES,
    *(f"{score}_best_before" for score in IMPROVED),
    *(f"{score}_improvement_percent" for score in IMPROVED),
)


def save_benchmark(
    folder: Path, benchmark: BenchmarkResult, *, created: str, assumptions: Sequence[str]
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
    files.save_bytes(predictions, _gzipped(prediction_table(benchmark)))
    rows = pd.DataFrame([_flat(row) for row in benchmark.comparison.rows])
    files.save_text(table, rows.to_csv(index=False, float_format="%.6g"))
    save(metrics, describe_benchmark(benchmark, created=created, assumptions=assumptions))
    return predictions, table, metrics


def describe_benchmark(
    benchmark: BenchmarkResult, *, created: str, assumptions: Sequence[str]
) -> dict[str, Any]:
    """The content of metrics.json."""
    comparison, plan = benchmark.comparison, benchmark.plan
    chosen = comparison.rows[comparison.chosen]
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": plan.task.series.name,
        "unit": plan.task.series.unit,
        "created": created,
        **plan.as_json(),
        "rows": [row.as_json() for row in comparison.rows],
        "differences": [vars(d) | {"verdict": d.verdict} for d in comparison.differences],
        "relearning": [row.as_json() for row in benchmark.relearning],
        "under_weather_error": [row.as_json() for row in benchmark.weather_error],
        "chosen_on_validation": chosen.entry.label,
        "fitted_calibrators": {
            label: calibrator.as_json() for label, calibrator in benchmark.calibrators
        },
        "assumptions": list(assumptions),
        "notes": list(benchmark.notes),
        "versions": installed_versions(),
    }


def prediction_table(benchmark: BenchmarkResult) -> pd.DataFrame:
    """Issue time, target time, method, quantiles and observation; first seed, as calibrated."""
    task = benchmark.plan.task
    hours = task.horizon_positions(TEST)
    stamps = task.series.index.strftime("%Y-%m-%dT%H:%M:%SZ").to_numpy()
    issued = np.repeat(stamps[task.issues[TEST]], task.shape.horizon_steps)
    parts = []
    for row in benchmark.comparison.rows:
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


def append_history(
    path: Path, rows: Sequence[Row], *, created: str, folder: str, dataset: str, test_sha256: str
) -> str:
    """Add the rows of a benchmark to the table, beside other benchmarks that do.

    A table that cannot be read is kept aside and a new one begun.

    Parameters
    ----------
    created : str
        ISO 8601 with a zone.
    test_sha256 : str
        Of the test hours: only rows that share it are compared.

    Returns
    -------
    str
        A sentence on the table that was kept aside; empty where it could be read.

    Raises
    ------
    StoreError
        If the table cannot be locked or written.
    """
    identity = {"created": created, "folder": folder, "dataset": dataset}
    files.create_folder(path.parent)
    with StudyLock(path.with_name(".history.lock")):
        before, note = _history_or_aside(path)
        added = _new_rows(rows, before, identity={**identity, "test_sha256": test_sha256})
        text = io.StringIO()
        writer = csv.DictWriter(
            text, COLUMNS, lineterminator="\n", restval="", extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows([*before, *added])
        files.save_text(path, text.getvalue())
    return note


def load_history(path: Path) -> list[dict[str, str]]:
    """The rows so far; none where there is no file.

    Raises
    ------
    StoreError
        If it is no such table, or holds a score that is no number.
    """
    if not files.exists(path):
        return []
    text = files.load_text(path)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    rows = []
    try:
        missing = sorted({"test_sha256", *IMPROVED} - set(reader.fieldnames or ()))
        if missing:
            raise StoreError(f"{path} is damaged: it lacks the columns {', '.join(missing)}")
        for row in reader:
            for score in IMPROVED:
                if not math.isfinite(float(row[score] or "0")):
                    raise ValueError(f"{score} is {row[score]!r}")
            rows.append(row)
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error} in line {reader.line_num}") from error
    except csv.Error as error:  # the line that it stumbles over is not counted yet
        raise StoreError(f"{path} is damaged: {error} in line {reader.line_num + 1}") from error
    return rows


def _history_or_aside(path: Path) -> tuple[list[dict[str, str]], str]:
    """The rows so far; a damaged file is moved out of the way, which the sentence says."""
    try:
        return load_history(path), ""
    except StoreError as error:
        aside = path.with_name(f"history.damaged-{secrets.token_hex(4)}.csv")
        files.move(path, aside)
        return [], f"{error}; it is kept as {aside.name}, and a new table was begun"


def _new_rows(
    rows: Sequence[Row], before: Sequence[Mapping[str, str]], *, identity: Mapping[str, str]
) -> list[dict[str, str]]:
    """The lines of a benchmark, each beside the best before it on the same test hours."""
    same = [row for row in before if row["test_sha256"] == identity["test_sha256"]]
    added = []
    for row in rows:
        cells = {
            **identity,
            "method": row.entry.method,
            "parameters": row.entry.parameters,
            "calibrator": row.entry.calibrator,
            "n_seeds": str(len(row.entry.forecasts)),
            **{score: f"{row.scores[score]:.6g}" for score in SCORES},
        }
        for score in IMPROVED:
            cells |= _improvement(score, row.scores[score], same)
        added.append(cells)
    return added


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


def _improvement(score: str, value: float, before: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The best of earlier benchmarks, and by how much it is undercut; empty without one."""
    earlier = [float(row[score]) for row in before if row.get(score)]
    if not earlier:
        return {}
    best = min(earlier)
    share = 100.0 * (best - value) / best if best else 0.0
    return {
        f"{score}_best_before": f"{best:.6g}",
        f"{score}_improvement_percent": f"{share:.2f}",
    }


def _gzipped(table: pd.DataFrame) -> bytes:
    return gzip.compress(table.to_csv(index=False, float_format="%.6g").encode(), mtime=0)
