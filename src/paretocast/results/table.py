"""All runs of a workspace in one table, and the best of them.

Scores are those of the tune split, as `best_params_*.json` holds them. Runs are compared with each
other only where they were scored on the same hours: the same data set with the same splits, which
the `task` of a run stands for.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from paretocast.errors import SettingsError, StoreError
from paretocast.formatting import fixed, same_decimals
from paretocast.metrics.scores import percent_above
from paretocast.results.stored_study import StoredStudy
from paretocast.workspace import files
from paretocast.workspace.runs import unlisted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SCHEMA_VERSION = 1
FORMATS = ("csv", "json", "markdown", "latex")
# What papers and theses show of a run; CSV and JSON have everything. The gain is that of the MAE on
# the best reference, the hours are those of all trainings.
PRINTED = (
    ("model", "model"),
    ("dataset", "data set"),
    ("job_id", "study"),
    ("n_completed", "trials"),
    ("n_front", "front"),
    ("mae", "MAE"),
    ("picp", "PICP %"),
    ("picp_interval", "95 % interval"),
    ("pinball", "pinball"),
    ("winkler", "Winkler"),
    ("reference_gain_percent", "gain %"),
    ("training_hours", "hours"),
)
# Columns with the name and value of a key of `best_params_*.json`.
COPIED = (
    *("model", "dataset", "job_id", "optimization_date", "strategy"),
    *("n_trials", "n_completed", "n_pruned", "n_failed"),
)
_LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}"}


@dataclass(frozen=True)
class RunRow:
    """One run with a result.

    Attributes
    ----------
    task : str
        Stands for the hours it was scored on: runs with equal ones can be compared.
    mae, pinball, winkler, mean_width : float
        Of the chosen trial, in target units.
    picp, picp_low, picp_high, target_coverage : float
        Percent.
    best_reference : str
        The baseline with the lowest MAE; empty if none was scored.
    reference_gain_percent : float or None
        By how much the chosen trial's MAE undercuts that one's; below 0 where it does not.
    training_hours : float
        Of all trials.
    perfect_forecast : bool
        True where observed values stood in for the forecast of a covariate.
    """

    model: str
    dataset: str
    job_id: str
    task: str
    optimization_date: str
    strategy: str
    n_trials: int
    n_completed: int
    n_pruned: int
    n_failed: int
    n_front: int
    best_trial: int
    mae: float
    pinball: float
    winkler: float
    mean_width: float
    picp: float
    picp_low: float
    picp_high: float
    target_coverage: float
    best_reference: str
    reference_gain_percent: float | None
    training_hours: float
    perfect_forecast: bool

    @property
    def coverage_error(self) -> float:
        """Distance of the measured coverage from the target, points of percent."""
        return abs(self.picp - self.target_coverage)


@dataclass(frozen=True)
class Best:
    """The best runs of a model or a data set.

    Attributes
    ----------
    group : str
        "data set heat" or "model NHITS_Q".
    by_mae, by_coverage : RunRow
        Lowest MAE, and coverage closest to its target. MAE of several data sets has no common
        unit: over those the gain on the best baseline decides.
    """

    group: str
    by_mae: RunRow
    by_coverage: RunRow


def collect_runs(
    workspace: Path, *, model: str | None = None, dataset: str | None = None
) -> tuple[list[RunRow], list[str]]:
    """Every run with a result, and the faults of those that cannot be read."""
    rows, problems = [], unlisted(workspace)
    for path in sorted((workspace / "results").glob("*/best_params_*.json")):
        try:
            row = load_run(path)
        except StoreError as error:
            problems.append(str(error))
            continue
        except OSError as error:
            problems.append(f"{path} cannot be read: {error.strerror}")
            continue
        if model is not None and row.model.casefold() != model.casefold():
            continue
        if dataset is not None and row.dataset != dataset:
            continue
        rows.append(row)
    return sorted(rows, key=lambda r: (r.dataset, r.task, r.mae, r.job_id)), problems


def load_run(path: Path) -> RunRow:
    """The row of a `best_params_*.json` with the manifest beside it."""
    study = StoredStudy.open(path)
    result, task = study.result, study.task_manifest
    baselines = {
        name: scores["mae"]
        for name, scores in result["references"].items()
        if scores.get("mae") is not None
    }
    best = min(baselines, key=lambda name: baselines[name], default="")
    scores = result["validation_metrics"]
    above = percent_above(result["best_mae"], baselines[best]) if best else None
    gain = None if above is None else -above
    low, high = result["best_picp_interval"]
    return RunRow(
        **{key: result[key] for key in COPIED},
        task=task_mark(task),
        n_front=result["n_pareto_optimal"],
        best_trial=result["best_trial_number"],
        mae=result["best_mae"],
        pinball=scores["pinball"],
        winkler=scores["winkler"],
        mean_width=scores["mean_width"],
        picp=result["best_picp"],
        picp_low=low,
        picp_high=high,
        target_coverage=study.manifest["comparable"]["target_coverage"],
        best_reference=best,
        reference_gain_percent=gain,
        training_hours=result["training_time_hours"],
        perfect_forecast=any(feature["role"] == "forecast" for feature in task["features"]),
    )


def task_mark(task: dict[str, Any]) -> str:
    """Eight letters that stand for the scored hours, whatever a model was shown of them."""
    keys = ("series", "horizon_steps", "issue_hour", "issue_zone", "blocks", "periods")
    content = {key: task.get(key) for key in keys}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def best_runs(rows: Sequence[RunRow]) -> list[Best]:
    """The best run of every data set, and of every model over all data sets."""
    best = []
    tasks = dict.fromkeys((row.dataset, row.task) for row in rows)
    n_tasks = Counter(dataset for dataset, _ in tasks)
    for dataset, task in tasks:
        group = [row for row in rows if (row.dataset, row.task) == (dataset, task)]
        mark = f", task {task}" if n_tasks[dataset] > 1 else ""
        leader = min(group, key=lambda r: r.mae)
        best.append(Best(f"data set {dataset}{mark}", leader, _closest_coverage(group)))
    for model in dict.fromkeys(row.model for row in rows):
        group = [row for row in rows if row.model == model]
        if len({(row.dataset, row.task) for row in group}) == 1:
            leader = min(group, key=lambda r: r.mae)
        else:
            leader = max(group, key=_gain)
        best.append(Best(f"model {model}", leader, _closest_coverage(group)))
    return best


def _gain(row: RunRow) -> float:
    gain = row.reference_gain_percent
    return float("-inf") if gain is None else gain


def render(rows: Sequence[RunRow], format_name: str) -> str:
    """The table as text.

    Parameters
    ----------
    format_name : str
        "csv", "json", "markdown" or "latex".

    Raises
    ------
    SettingsError
        If there is no such format.
    """
    match format_name:
        case "csv":
            return _csv(rows)
        case "json":
            return _json(rows)
        case "markdown":
            return _markdown(rows)
        case "latex":
            return _latex(rows)
        case _:
            raise SettingsError(
                f"format {format_name!r} is unknown, expected one of {', '.join(FORMATS)}"
            )


def printed_rows(rows: Sequence[RunRow]) -> list[list[str]]:
    """Rows of `PRINTED`; the figures in a column share their decimals."""
    figures = {
        name: same_decimals([getattr(row, name) for row in rows])
        for name in ("mae", "pinball", "winkler")
    }
    figures["training_hours"] = same_decimals([row.training_hours for row in rows], digits=2)
    printed = []
    for i, row in enumerate(rows):
        shown = {
            **asdict(row),
            **{name: column[i] for name, column in figures.items()},
            "n_completed": f"{row.n_completed}/{row.n_trials}",
            "picp": f"{row.picp:.1f}",
            "picp_interval": f"{row.picp_low:.1f}–{row.picp_high:.1f}",
            "reference_gain_percent": fixed(row.reference_gain_percent, 1, signed=True),
        }
        printed.append([str(shown[key]) for key, _ in PRINTED])
    return printed


def _closest_coverage(rows: Sequence[RunRow]) -> RunRow:
    return min(rows, key=lambda row: (row.coverage_error, row.mae))


def _csv(rows: Sequence[RunRow]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(RunRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def _json(rows: Sequence[RunRow]) -> str:
    content = {
        "schema_version": SCHEMA_VERSION,
        "runs": [asdict(row) for row in rows],
        "best": [
            {"group": b.group, "by_mae": b.by_mae.job_id, "by_coverage": b.by_coverage.job_id}
            for b in best_runs(rows)
        ],
    }
    return json.dumps(files.without_nan(content), indent=2, ensure_ascii=False) + "\n"


def _markdown(rows: Sequence[RunRow]) -> str:
    header = [name for _, name in PRINTED]
    lines = [header, ["---"] * len(header), *printed_rows(rows)]
    cells = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _latex(rows: Sequence[RunRow]) -> str:
    """A tabular for the package booktabs."""
    columns = "lll" + "r" * (len(PRINTED) - 3)

    def line(cells: Sequence[str]) -> str:
        return " & ".join(_escape_latex(cell) for cell in cells) + r" \\" + "\n"

    return (
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
        + line([name for _, name in PRINTED])
        + "\\midrule\n"
        + "".join(line(cells) for cells in printed_rows(rows))
        + "\\bottomrule\n\\end{tabular}\n"
    )


def _escape_latex(text: str) -> str:
    escaped = "".join(_LATEX.get(letter, letter) for letter in text)
    return escaped.replace("–", "--")
