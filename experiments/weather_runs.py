"""Scores under weather forecasts as they were issued, against measured weather known ahead.

    python experiments/weather_runs.py --data-dir DATA

The heat load of 16 houses in Sønderborg, with numerical weather forecasts of 1 to 36 hours ahead
that were issued every hour (76 days of winter; stamps of the files mark the end of an hour and are
moved to its start). The same models are trained and scored four times, day ahead, on the same test
split; they learn again each week. What differs is the weather that windows see over their horizon,
in training, validation and test alike:

    measured       what was measured there later: a perfect forecast
    shortest lead  of each hour the forecast that was issued last before it, as if known ahead
    runs           the newest run issued at or before the issue: what was known
    none           no weather at all

Ratios are to `runs`. Changes are those of the loss of each day in percent, with 95 % intervals from
resampled blocks of days.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    import pandas as pd

    from paretocast.benchmarking import Row
    from paretocast.data import Dataset

HONEST = "runs"
VARIANTS = ("measured", "shortest lead", HONEST, "none")
WEATHER = {"temperature": "°C", "solar": "W/m²"}
MEASURED = {"temperature": "temperature", "solar_radiation": "solar"}
N_LEADS = 36
# 37, 24 and 14 days: the shortest periods that the checks and the ridge allow come first.
SPLITS = {"train": 0.5, "validation": 0.32}


def read_heat(data_dir: Path) -> pd.DataFrame:
    """Heat load and measured weather, stamped at the start of the hour.

    Without the first day, which begins before the first run.
    """
    import pandas as pd

    table = pd.read_csv(data_dir / "sonderborg_heat.csv.gz", parse_dates=["timestamp"])
    table["timestamp"] -= pd.Timedelta(hours=1)
    return table.set_index("timestamp").rename(columns=MEASURED).iloc[24:]


def read_runs(data_dir: Path) -> pd.DataFrame:
    """A row for each time of issue and hour.

    The forecast of lead k issued at t is of the hour that ends k hours later.
    """
    import pandas as pd

    table = pd.read_csv(data_dir / "sonderborg_nwp_forecasts.csv.gz", parse_dates=["timestamp"])
    parts = []
    for lead in range(1, N_LEADS + 1):
        valid = table["timestamp"] + pd.Timedelta(hours=lead - 1)
        values = {name: table[f"{name}_k{lead}"] for name in WEATHER}
        parts.append(pd.DataFrame({"issued_at": table["timestamp"], "valid_at": valid, **values}))
    return pd.concat(parts, ignore_index=True)


def make_dataset(variant: str, heat: pd.DataFrame, runs: pd.DataFrame) -> Dataset:
    """The series with the weather of a variant."""
    from paretocast.data import Dataset

    options: dict[str, Any] = {}
    declared: dict[str, Any] = {
        name: {"role": "forecast", "unit": unit, "fill_hours": 48} for name, unit in WEATHER.items()
    }
    if variant == "shortest lead":
        shortest = runs[runs["issued_at"] == runs["valid_at"]].set_index("valid_at")
        heat = heat.assign(**{name: shortest[name] for name in WEATHER})
    if variant == HONEST:
        declared = {name: {**content, "source": "weather"} for name, content in declared.items()}
        options["weather"] = runs
    return Dataset.from_frame(
        heat.reset_index(),
        time="timestamp",
        target="heat_load",
        zone="Europe/Copenhagen",
        holiday_country="DK",
        covariates={} if variant == "none" else declared,
        splits=SPLITS,
        name=f"sonderborg_{variant.replace(' ', '_')}",
        **options,
    )


def score(dataset: Dataset, folder: Path) -> dict[str, Row]:
    """Rows of the test split by method: the reference ridge and the model RIDGE."""
    import paretocast
    from paretocast.api.frames import save_dataset

    saved = paretocast.benchmark(
        save_dataset(dataset, folder),
        ["RIDGE"],
        methods=("default", "ridge"),
        refit=True,
        retrain_days=7,
        calibrators=("none",),
        workspace=folder,
        device="cpu",
        threads=1,
        progress=False,
    )
    return {row.entry.method: row for row in saved.result.comparison.rows}


def compare(rows: dict[str, Row], method: str) -> list[dict[str, Any]]:
    """Scores of one method under every variant, and their change against honest runs."""
    from paretocast.benchmarking.comparison import window_losses
    from paretocast.benchmarking.relearning import change_text, percent_changes

    losses = {v: window_losses(row.entry, coverage=80.0) for v, row in rows.items()}
    honest = rows[HONEST].scores
    results = []
    for variant, row in rows.items():
        changes = percent_changes(losses[variant], losses[HONEST])
        results.append(
            {
                "method": method,
                "weather": variant,
                **{name: row.scores[name] for name in ("mae", "pinball", "picp")},
                "mae_ratio": row.scores["mae"] / honest["mae"],
                "pinball_ratio": row.scores["pinball"] / honest["pinball"],
                "mae_change": change_text(changes["mae"]),
                "pinball_change": change_text(changes["pinball"]),
            }
        )
    return results


def main() -> None:
    """Score every variant and print a row for each method and variant."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    heat, runs = read_heat(arguments.data_dir), read_runs(arguments.data_dir)
    with tempfile.TemporaryDirectory() as folder:
        scored = {v: score(make_dataset(v, heat, runs), Path(folder)) for v in VARIANTS}
    results = []
    for method in scored[HONEST]:
        results += compare({variant: rows[method] for variant, rows in scored.items()}, method)
    print_table(list(results[0]), [list(result.values()) for result in results])
    print_result({"results": results})


if __name__ == "__main__":
    main()
