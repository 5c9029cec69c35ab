"""The three Danish series, beside what was published on the same test windows.

    python experiments/published_comparison.py --data-dir DATA [--workspace hpo] [--markdown FILE]

For each series it tunes N-HiTS, TFT and TimesNet for so many minutes each, then benchmarks the
tuned models, the ensemble of their fronts and the baselines on the test split, all with the
commands a user has. Test windows: daily issue at 00:00 UTC, 24 hours ahead, no retraining inside,
no weather. What was tuned before is used as it is: `--tune-minutes 0` only benchmarks. The method
is chosen on the calibrate split.

Published figures are those of https://github.com/shubby1996/ExAI-Timeseries-Thesis, recomputed from
its prediction files; these are not part of this repository, so a difference from them carries the
interval of our own score alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    import argparse

MODELS = ("NHITS_Q", "TFT_Q", "TIMESNET_Q")
SCORES = ("mae", "rmse", "picp", "mean_width", "pinball", "winkler")
COLUMNS = ("MAE", "RMSE", "PICP %", "width", "pinball", "Winkler")
JOB_ID = "published"
SETTINGS = Path(__file__).with_name("published.toml")
SEASONAL_NAIVE = "seasonal_naive_24"
COMPARED_WITH = ("ridge", "lightgbm")  # differences from these are printed


@dataclass(frozen=True)
class Series:
    """A series with what was published on it.

    Attributes
    ----------
    scale : float
        What a figure of the table is multiplied by: water is shown in thousandths.
    published : mapping of method to its six scores
        MAE, RMSE, PICP in percent, width, pinball and Winkler score, as in the table.
    seasonal_naive : float
        MAE that a correct implementation has on these windows.
    """

    scale: float
    published: dict[str, tuple[float, ...]]
    seasonal_naive: float


SERIES = {
    "heat": Series(
        1.0,
        {
            "NHITS_Q": (0.1596, 0.2260, 44.1, 0.208, 0.0597, 0.992),
            "NHITS_Q + CQR": (0.1610, 0.2263, 96.2, 0.972, 0.0611, 1.029),
            "TFT_Q": (0.1743, 0.2428, 25.2, 0.122, 0.0732, 1.326),
            "TFT_Q + CQR": (0.1793, 0.2468, 84.7, 0.650, 0.0594, 0.886),
            "TIMESNET_Q": (0.1627, 0.2320, 21.9, 0.104, 0.0693, 1.266),
            "TIMESNET_Q + CQR": (0.1616, 0.2303, 82.9, 0.555, 0.0546, 0.828),
            "NAMLSS": (0.1503, 0.2101, 70.6, 0.394, 0.0490, 0.719),
        },
        0.1930,
    ),
    "water_centrum": Series(
        1e3,
        {
            "NHITS_Q": (3.421, 4.779, 50.9, 6.34, 1.183, 18.39),
            "NHITS_Q + CQR": (3.476, 4.909, 78.1, 9.96, 1.118, 16.17),
            "TFT_Q + CQR": (4.060, 5.496, 71.2, 9.73, 1.334, 19.71),
            "TIMESNET_Q + CQR": (3.442, 5.018, 81.9, 10.58, 1.135, 16.83),
            "NAMLSS": (3.381, 4.662, 65.8, 9.22, 1.095, 15.96),
        },
        4.821,
    ),
    "water_tommerby": Series(
        1e3,
        {
            "NHITS_Q": (7.884, 11.45, 51.6, 13.1, 2.810, 44.9),
            "NHITS_Q + CQR": (7.824, 11.42, 68.4, 17.4, 2.649, 40.3),
            "TFT_Q + CQR": (7.741, 11.63, 74.3, 19.6, 2.678, 41.6),
            "TIMESNET_Q + CQR": (7.807, 11.47, 68.7, 17.8, 2.667, 41.0),
            "NAMLSS": (6.924, 10.48, 72.6, 18.0, 2.330, 35.3),
        },
        8.658,
    ),
}


def run_command(*words: str, threads: int) -> float:
    """Run `paretocast` and give the seconds it took; its talk goes to stderr."""
    started = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "paretocast", *words]
    done = subprocess.run(command, check=False, env=environment, stdout=sys.stderr)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    return time.perf_counter() - started


def tune_all(name: str, arguments: argparse.Namespace) -> None:
    """Tune every model for its minutes, in the smaller part of its space."""
    for model in arguments.models if arguments.tune_minutes else ():
        run_command(
            *(
                "tune",
                "--settings",
                str(SETTINGS),
                "--model",
                model,
                "--dataset",
                name,
                "--covariates",
                "none",
            ),
            *("--data-dir", str(arguments.data_dir), "--workspace", str(arguments.workspace)),
            *("--job-id", JOB_ID, "--trials", str(arguments.trials)),
            *("--time-limit", f"{round(60 * arguments.tune_minutes)}s"),
            *("--workers", str(arguments.workers), "--threads", str(arguments.threads)),
            *(("--test",) if arguments.quick else ()),
            threads=arguments.threads,
        )


def effort(name: str, arguments: argparse.Namespace) -> str:
    """Trials and minutes of training of each model, as its study says."""
    efforts = []
    for model in arguments.models:
        folder = arguments.workspace / "results" / f"{model}_{name}"
        path = folder / f"best_params_{model}_{name}_{JOB_ID}.json"
        if path.is_file():
            study = json.loads(path.read_text(encoding="utf-8"))
            minutes = 60.0 * study["training_time_hours"]
            efforts.append(f"{model} {study['n_trials']} trials in {minutes:.1f} minutes")
    return ", ".join(efforts)


def benchmark(name: str, arguments: argparse.Namespace) -> tuple[dict[str, Any], Path, float]:
    """The metrics of a new benchmark, its folder, and the seconds it took."""
    workspace = arguments.workspace / "test" if arguments.quick else arguments.workspace
    seconds = run_command(
        *("benchmark", "--dataset", name, "--models", ",".join(arguments.models)),
        *("--data-dir", str(arguments.data_dir), "--workspace", str(arguments.workspace)),
        *("--seeds", str(arguments.seeds), "--calibrator", arguments.calibrator),
        *("--methods", arguments.methods, "--members", str(arguments.members)),
        *("--threads", str(arguments.threads)),
        *(() if arguments.no_refit else ("--refit", "train+validation")),
        *(("--test",) if arguments.quick else ()),
        threads=arguments.threads,
    )
    folder = max((workspace / "benchmarks").glob(f"{name}_*/metrics.json")).parent
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8")), folder, seconds


def check_windows(name: str, metrics: dict[str, Any]) -> None:
    """Refuse other test windows than the published ones, by the MAE of the seasonal naive."""
    expected, scale = SERIES[name].seasonal_naive, SERIES[name].scale
    method = (SEASONAL_NAIVE, "none")  # as it is: a calibrator may move its median
    rows = metrics["rows"]
    maes = [scale * row["mae"] for row in rows if (row["method"], row["calibrator"]) == method]
    if not maes or abs(maes[0] - expected) > 6e-4 * expected:
        raise SystemExit(
            f"{name}: seasonal naive has MAE {maes[0] if maes else None}, expected "
            f"{expected}: these are not the published windows"
        )


def table_rows(name: str, metrics: dict[str, Any]) -> list[list[Any]]:
    """Ours and the published methods, the lowest pinball loss first."""
    series = SERIES[name]
    rows = []
    for row in rows_to_show(metrics):
        label = label_of(row)
        chosen = " (chosen on validation)" if label == metrics["chosen_on_validation"] else ""
        factors = [1.0 if score == "picp" else series.scale for score in SCORES]
        values = [factor * row[score] for factor, score in zip(factors, SCORES, strict=True)]
        rows.append([f"{label}{chosen}", *values])
    rows += [[f"{method} (published)", *values] for method, values in series.published.items()]
    return sorted(rows, key=lambda row: row[1 + SCORES.index("pinball")])


def rows_to_show(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows with the first calibrator, and those of the chosen method with every one."""
    chosen = next(
        row for row in metrics["rows"] if label_of(row) == metrics["chosen_on_validation"]
    )
    first = metrics["calibrators"][0]
    same = ("method", "parameters")
    return [
        row
        for row in metrics["rows"]
        if row["calibrator"] == first or all(row[key] == chosen[key] for key in same)
    ]


def statements(name: str, metrics: dict[str, Any]) -> list[str]:
    """Gains of the chosen method, each with its interval."""
    label, scale = metrics["chosen_on_validation"], SERIES[name].scale
    if label is None:
        return []
    lines = [
        difference_line(difference, scale)
        for difference in metrics["differences"]
        if difference["method"] == label
        and difference["score"] in {"mae", "pinball"}
        and difference["other"].startswith(COMPARED_WITH)
    ]
    chosen = next(row for row in metrics["rows"] if label == label_of(row))
    low, high = (scale * bound for bound in chosen["mae_interval"])
    published = SERIES[name].published["NAMLSS"][0]
    lines.append(
        f"MAE {scale * chosen['mae']:.4g} [{low:.4g}, {high:.4g}] beside {published:.4g} of the "
        f"published NAMLSS: {'below it' if high < published else 'not clearly below it'}"
    )
    return lines


def difference_line(difference: dict[str, Any], scale: float) -> str:
    """A difference with its interval and p-value."""
    p_value = "none" if difference["p_value"] is None else f"{difference['p_value']:.2g}"
    low, high = (scale * difference[end] for end in ("low", "high"))
    return (
        f"{difference['score']} minus that of {difference['other']}: "
        f"{scale * difference['mean']:.4g} [{low:.4g}, {high:.4g}], p {p_value}: "
        f"{difference['verdict']}"
    )


def label_of(row: dict[str, Any]) -> str:
    """The name of a row as `chosen_on_validation` gives it."""
    kind = "" if row["parameters"] == "none" else f" {row['parameters']}"
    return f"{row['method']}{kind}, {row['calibrator']}"


def markdown(name: str, metrics: dict[str, Any], tuned: str, seconds: float) -> str:
    """The section of a series."""
    test = metrics["test"]
    note = "" if SERIES[name].scale == 1.0 else " × 10⁻³"
    lead = (
        f"{test['n_issues']} daily issues from {test['first_issue'][:10]} to "
        f"{test['last_issue'][:10]}; errors, widths and losses in {metrics['unit']}{note}. "
        f"Tuning: {tuned}, of training. Final trainings and references: "
        f"{seconds / 60:.0f} minutes."
    )
    lines = [
        f"### {name}",
        "",
        lead,
        "",
        f"| method | {' | '.join(COLUMNS)} |",
        f"|---|{'---|' * len(COLUMNS)}",
    ]
    lines += [
        f"| {row[0]} | {' | '.join(f'{value:.4g}' for value in row[1:])} |"
        for row in table_rows(name, metrics)
    ]
    lines += ["", *(f"- {line}" for line in statements(name, metrics)), ""]
    return "\n".join(lines) + "\n"


def draw(figures: dict[str, Any], path: Path) -> None:
    """Pinball loss of every method on every series, ours and those that were published."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    from paretocast.report.figures.style import BLUE, GREEN, GREY, apply_style

    figure = make_subplots(
        rows=1, cols=len(figures), subplot_titles=list(figures), horizontal_spacing=0.14
    )
    for column, rows in enumerate((series["table"] for series in figures.values()), start=1):
        ordered = rows[::-1]
        colours = [
            GREY if "(published)" in row[0] else BLUE if "tuned" in row[0] else GREEN
            for row in ordered
        ]
        bars = go.Bar(
            x=[row[1 + SCORES.index("pinball")] for row in ordered],
            y=[row[0].replace(" (chosen on validation)", " ★") for row in ordered],
            orientation="h",
            marker_color=colours,
            showlegend=False,
        )
        figure.add_trace(bars, row=1, col=column)
    height = 140 + 26 * max(len(series["table"]) for series in figures.values())
    apply_style(figure, "Mean pinball loss on the test split, lower is better", height=height)
    figure.update_yaxes(automargin=True)
    figure.write_image(path, width=620 * len(figures), height=height, scale=1.2)


def main() -> None:
    """Tune, benchmark, and print a table for each series."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--workspace", type=Path, default=Path("hpo"))
    parser.add_argument("--datasets", nargs="+", default=list(SERIES), choices=SERIES)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--tune-minutes", type=float, default=10.0, help="wall clock a model")
    parser.add_argument("--trials", type=int, default=200, help="at most, within the minutes")
    parser.add_argument("--workers", type=int, default=1, help="processes that share a search")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--methods", default="tuned,ensemble,references", help="and default")
    parser.add_argument("--members", type=int, default=6, help="of the ensemble at most")
    parser.add_argument("--calibrator", default="aci,cqr,none", help="the first is shown for all")
    parser.add_argument("--no-refit", action="store_true", help="learn from train alone")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path, default=None, help="also write the tables here")
    parser.add_argument("--plot", type=Path, default=None, help="a picture (needs kaleido)")
    parser.add_argument("--quick", action="store_true", help="tiny trainings: a rehearsal")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.trials = 2
    figures: dict[str, Any] = {}
    text = ""
    for name in arguments.datasets:
        tune_all(name, arguments)
        metrics, folder, seconds = benchmark(name, arguments)
        check_windows(name, metrics)
        print(f"\n{name}")
        print_table(["method", *COLUMNS], table_rows(name, metrics))
        for line in statements(name, metrics):
            print(line)
        tuned = effort(name, arguments)
        print(f"tuning: {tuned}")
        text += markdown(name, metrics, tuned, seconds)
        figures[name] = {
            "tuning": tuned,
            "seconds": seconds,
            "folder": folder.name,
            "table": table_rows(name, metrics),
            "rows": metrics["rows"],
            "chosen": metrics["chosen_on_validation"],
        }
    if arguments.plot is not None:
        draw(figures, arguments.plot)
    if arguments.markdown is not None:
        arguments.markdown.write_text(text, encoding="utf-8")
    print_result({"datasets": figures, "threads": arguments.threads}, seed=1)


if __name__ == "__main__":
    main()
