"""All benchmarks of a workspace in one table, each beside the best before it.

Scores are compared with earlier ones on the same test hours of the same values only. The file is
CSV for people and spreadsheets; rows are only ever added.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from paretocast.benchmark.comparison import Row

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


def append_history(
    path: Path, rows: Sequence[Row], *, created: str, folder: str, dataset: str, test_sha256: str
) -> None:
    """Add the rows of a benchmark to the table.

    Parameters
    ----------
    created : str
        ISO 8601 with a zone.
    test_sha256 : str
        Of the test hours: only rows that share it are compared.
    """
    before = load_history(path)
    same = [row for row in before if row["test_sha256"] == test_sha256]
    added = []
    for row in rows:
        known = {
            "created": created,
            "folder": folder,
            "dataset": dataset,
            "test_sha256": test_sha256,
            "method": row.entry.method,
            "parameters": row.entry.parameters,
            "calibrator": row.entry.calibrator,
            "n_seeds": str(len(row.entry.forecasts)),
            **{score: f"{row.scores[score]:.6g}" for score in SCORES},
        }
        for score in IMPROVED:
            known |= _improvement(score, row.scores[score], same)
        added.append(known)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows([*before, *added])
    files.save_text(path, text.getvalue())


def load_history(path: Path) -> list[dict[str, str]]:
    """The rows so far; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _improvement(score: str, value: float, before: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The best of earlier benchmarks, and by how much it is undercut; empty without one."""
    known = [float(row[score]) for row in before if row.get(score)]
    if not known:
        return {}
    best = min(known)
    share = 100.0 * (best - value) / best if best else 0.0
    return {
        f"{score}_best_before": f"{best:.6g}",
        f"{score}_improvement_percent": f"{share:.2f}",
    }
