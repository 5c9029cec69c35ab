"""The choice of the package on the panel of series, against ridge, trees and default parameters.

    python experiments/panel.py --data-dir DATA [--series heat bwdf_a_24] [--minutes 4] [--out DIR]

Each series is tuned (`tune --model all`) for a few minutes on one core, then benchmarked with all
models learning from everything before the test split. What is there already is not made again, and
a study without figures is concluded and benchmarked again but not searched: several processes may
share the work, each with its own `--series`. `--table` prints what is there.

Ratios are of mean pinball losses over all levels on the test split, after the calibrator that
`auto` chose for each method on the calibrate split. `ridge` and `lightgbm` are the baselines of the
package, which no series has a say in.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import print_result, print_table, script_parser
from panel_series import DEFAULT_PANEL, write_declaration

if TYPE_CHECKING:
    import argparse

    from paretocast.api.evaluation import SavedBenchmark
    from paretocast.benchmarking import Row

CALIBRATORS = ("auto", "none", "aci", "pid")
BASELINES = ("ridge", "lightgbm")
DEFAULTS = ("RIDGE", "LIGHTGBM", "NHITS_Q")
MANY_TRIALS = 1000


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Tune and benchmark one series; its figures."""
    import paretocast

    folder = arguments.out / name
    folder.mkdir(parents=True, exist_ok=True)
    declared = write_declaration(name, arguments.data_dir, folder)
    started = time.perf_counter()
    searched = sorted(folder.glob("hpo/results/*/best_params_*.json"))
    n_trials = len(paretocast.load_study(searched[0]).trials) if searched else MANY_TRIALS
    study = paretocast.tune(
        declared,
        arguments.model,
        trials=n_trials,
        time_limit=60.0 * arguments.minutes,
        seed=arguments.seed,
        threads=1,
        workspace=folder / "hpo",
        resume=bool(searched),
        progress=False,
    )
    tuned = time.perf_counter()
    saved = paretocast.benchmark(
        declared,
        refit=True,
        calibrators=CALIBRATORS,
        methods=("tuned", "default", "ensemble", "references"),
        workspace=folder / "hpo",
        threads=1,
        progress=False,
    )
    return {
        "series": name,
        "trials": len(study.trials),
        "tune_seconds": tuned - started,
        "benchmark_seconds": time.perf_counter() - tuned,
        "recommended": study.choice,
        **figures(saved),
    }


def figures(saved: SavedBenchmark) -> dict[str, Any]:
    """Figures of the chosen row and its rivals, and all rows."""
    comparison = saved.result.comparison
    chosen = comparison.rows[comparison.chosen]
    against = {}
    for rival in BASELINES:
        row = _row(comparison.rows, rival, "none", "auto")
        gap = comparison.against(chosen, row, "pinball") if row is not None else None
        if row is None:
            continue
        against[rival] = {
            "ratio": chosen.scores["pinball"] / row.scores["pinball"],
            "mae_ratio": chosen.scores["mae"] / row.scores["mae"],
            "verdict": "same" if gap is None else gap.verdict,
        }
    return {
        "chosen": chosen.entry.label,
        "source": chosen.entry.source,
        "scores": chosen.scores,
        "picp_interval": [chosen.picp_low, chosen.picp_high],
        "against": against,
        "tuned_against_default": _against_default(comparison.rows),
        "mae_before": _same(comparison.rows, chosen, "none").scores["mae"],
        "online": {
            name: _same(comparison.rows, chosen, name).scores["picp"] for name in ("aci", "pid")
        },
        "rows": [
            {
                "label": row.entry.label,
                "wanted": row.entry.wanted,
                "validation": row.entry.validation["pinball"],
                **{key: row.scores[key] for key in ("mae", "pinball", "picp", "winkler")},
            }
            for row in comparison.rows
        ],
    }


def _row(rows: tuple[Row, ...], method: str, parameters: str, wanted: str) -> Row | None:
    """The row of a method under a calibrator that was asked for."""
    key = (method, parameters, wanted)
    return next(
        (r for r in rows if (r.entry.method, r.entry.parameters, r.entry.wanted) == key), None
    )


def _same(rows: tuple[Row, ...], row: Row, wanted: str) -> Row:
    """The same method under another calibrator."""
    other = _row(rows, row.entry.method, row.entry.parameters, wanted)
    assert other is not None
    return other


def _against_default(rows: tuple[Row, ...]) -> dict[str, float]:
    """Ratio of the mean pinball loss of each tuned model to that of its default parameters."""
    ratios = {}
    for row in rows:
        default = _row(rows, row.entry.method, "default", row.entry.wanted)
        if row.entry.parameters == "tuned" and row.entry.wanted == "auto" and default is not None:
            ratios[row.entry.method] = row.scores["pinball"] / default.scores["pinball"]
    return ratios


def table(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Print a row for each series and the summary; return the summary."""
    rows = []
    for r in results:
        against = r["against"]
        rows.append(
            [
                r["series"],
                r["chosen"],
                against["ridge"]["ratio"],
                against["ridge"]["verdict"],
                against["lightgbm"]["ratio"] if "lightgbm" in against else "",
                *(_default_against_ridge(r, model) for model in DEFAULTS),
                min(r["tuned_against_default"].values(), default=float("nan")),
                r["scores"]["mae"],
                r["scores"]["pinball"],
                r["scores"]["mae"] / r["mae_before"],
                r["scores"]["picp"],
                r["online"]["aci"],
                r["online"]["pid"],
                r["trials"],
            ]
        )
    print_table(
        [
            *("series", "chosen", "/ ridge", "", "/ lightgbm"),
            *(f"{model} / ridge" for model in DEFAULTS),
            *(
                "tuned / default",
                "MAE",
                "pinball",
                "MAE after / before",
                "PICP %",
                "aci",
                "pid",
                "trials",
            ),
        ],
        rows,
    )
    ridge = np.array([r["against"]["ridge"]["ratio"] for r in results])
    trees = np.array(
        [r["against"]["lightgbm"]["ratio"] for r in results if "lightgbm" in r["against"]]
    )
    gains = [ratio for r in results for ratio in r["tuned_against_default"].values()]
    summary = {
        "series": len(results),
        "ridge_median": float(np.median(ridge)),
        "ridge_worst": float(ridge.max()),
        "significantly_worse": sum(r["against"]["ridge"]["verdict"] == "worse" for r in results),
        "lightgbm_median": float(np.median(trees)),
        "lightgbm_worst": float(trees.max()),
        "default_median": float(np.median(gains)),
        "default_lowest": min(gains),
        "default_highest": max(gains),
        "against_default_nhits_median": float(
            np.median(
                [
                    r["against"]["ridge"]["ratio"] / _default_against_ridge(r, "NHITS_Q")
                    for r in results
                ]
            )
        ),
        "mae_after_before_worst": max(r["scores"]["mae"] / r["mae_before"] for r in results),
        **{
            f"{name}_within_{low}_{high}": float(
                np.mean([low <= r["online"][name] <= high for r in results])
            )
            for name in ("aci", "pid")
            for low, high in ((78, 82), (75, 85))
        },
    }
    print_table(["measure", "value"], [[key, value] for key, value in summary.items()])
    return summary


def _default_against_ridge(result: dict[str, Any], model: str) -> float:
    """Ratio of the mean pinball loss of a model's default parameters to that of the ridge."""
    losses = {
        row["label"].split(",")[0]: row["pinball"]
        for row in result["rows"]
        if row["wanted"] == "auto"
    }
    return float(losses[f"{model} default"] / losses["ridge"])


def main() -> None:
    """Measure what is missing, then print the table of all series."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--series", nargs="+", default=list(DEFAULT_PANEL))
    parser.add_argument("--minutes", type=float, default=4.0, help="of tuning, for each series")
    parser.add_argument("--model", default="all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("panel"))
    parser.add_argument("--table", action="store_true", help="measure nothing, print what is there")
    arguments = parser.parse_args()
    results = []
    for name in arguments.series:
        path = arguments.out / f"{name}.json"
        if not path.exists() and not arguments.table:
            print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(measure(name, arguments), default=float), encoding="utf-8")
        if path.exists():
            results.append(json.loads(path.read_text(encoding="utf-8")))
    summary = table(results)
    print_result({"summary": summary, "minutes": arguments.minutes}, seed=arguments.seed)


if __name__ == "__main__":
    main()
