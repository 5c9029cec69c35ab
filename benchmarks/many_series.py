"""A night of many series: two years of 200 meters, of which ten are tuned, and what all would take.

    python benchmarks/many_series.py --data-dir DATA [--series 10] [--of 200] [--trials 10]

Ten real series of two years, seven zones of water, heat, water and electricity, stand in one wide
file; copies of them fill it up to the number that is projected, so that reading it costs what it
would. `paretocast tune --model RIDGE,NHITS_Q --series NAMES` runs on one core as a user starts it;
a look at /proc every half second gives the CPU time and the memory of the process when the pages of
a series appear. The projection is CPU time a series, times the series, over the cores: two commands
of half the series each, or an array of two elements at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tomli_w
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import pandas as pd

MODEL = "RIDGE,NHITS_Q"
NIGHT_HOURS = 12.0
LOOK_SECONDS = 0.5
FIRST, LAST = "2021-01-01T00:00Z", "2022-12-31T23:00Z"
# File, column, and the weeks by which its stamps are moved to lie in the two years.
REAL = {
    **{f"zone_{zone}": (f"bwdf/dma_{zone}", "net_inflow", 0) for zone in "abcdfhi"},
    "electricity": ("electricity_denmark", "electricity_load", 0),
    "heat": ("heat", "heat_consumption", 156),
    "water": ("water_centrum", "water_consumption", 117),
}


@dataclass(frozen=True)
class SeriesCost:
    """What one series took.

    Attributes
    ----------
    cpu_seconds, fit_seconds : float
        Of the process from the series before to the pages of this one; of its trainings alone.
    resident_mib : float
        Of the process when its pages were there.
    n_networks, n_trials : int
        Trainings of N-HiTS, and all, repeats with another seed included.
    """

    name: str
    cpu_seconds: float
    fit_seconds: float
    resident_mib: float
    n_networks: int
    n_trials: int


def real_series(data_dir: Path) -> pd.DataFrame:
    """Ten series and the temperature of the first, on the hours of two years."""
    import pandas as pd

    hours = pd.date_range(FIRST, LAST, freq="h")
    columns = {}
    for name, (file, column, weeks) in REAL.items():
        table = pd.read_csv(data_dir / f"{file}.csv.gz")
        stamps = pd.to_datetime(table.iloc[:, 0], utc=True) + pd.Timedelta(weeks=weeks)
        columns[name] = table[column].set_axis(pd.DatetimeIndex(stamps)).reindex(hours)
        if not weeks:
            columns.setdefault("temperature", table["temperature"].set_axis(stamps).reindex(hours))
    return pd.DataFrame(columns, index=hours)


def write_file(folder: Path, data_dir: Path, n_series: int) -> Path:
    """Return the TOML file of so many series, the ten real ones first."""
    real = real_series(data_dir)
    names = list(REAL)
    copies = {
        f"copy_{i}": real[names[i % len(names)]] * (1.0 + i / n_series)
        for i in range(len(names), n_series)
    }
    import pandas as pd

    table = pd.concat([real, pd.DataFrame(copies)], axis=1)
    table.index = pd.DatetimeIndex(table.index).strftime("%Y-%m-%dT%H:%MZ")
    table.to_csv(folder / "meters.csv", index_label="timestamp", float_format="%.6g")
    content = {
        "name": "meters",
        "path": "meters.csv",
        "unit": "as measured",
        "zone": "Europe/Rome",
        "series": {"targets": [*names, *copies][:n_series]},
        "covariates": {"temperature": {"role": "forecast"}},
    }
    path = folder / "meters.toml"
    path.write_text(tomli_w.dumps(content), encoding="utf-8")
    return path


def cpu_seconds(process_id: int) -> float:
    """User and system time of a process and of its children that have ended."""
    fields = Path(f"/proc/{process_id}/stat").read_text("ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def memory_mib(process_id: int, field: str) -> float:
    """Resident memory of a process: `VmRSS`, or `VmHWM` for the most so far."""
    lines = Path(f"/proc/{process_id}/status").read_text("ascii").splitlines()
    found = next((line for line in lines if line.startswith(field)), f"{field}: nan kB")
    return float(found.split()[1]) / 1024.0


def watch(
    words: Sequence[str], names: Sequence[str], workspace: Path
) -> tuple[list[SeriesCost], float]:
    """Run the command; costs in the order in which the series end, and the most memory in MiB."""
    from paretocast.search.models import model_label

    costs: list[SeriesCost] = []
    before, most = 0.0, 0.0
    with (workspace.parent / "tune.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
        left = dict.fromkeys(names)
        while process.poll() is None:
            time.sleep(LOOK_SECONDS)
            most = max(most, memory_mib(process.pid, "VmHWM"))
            for name in list(left):
                folder = workspace / "results" / f"{model_label(MODEL)}_meters_{name}"
                if any(folder.glob("study_*.html")):
                    spent, resident = cpu_seconds(process.pid), memory_mib(process.pid, "VmRSS")
                    costs.append(_cost(name, folder, spent - before, resident))
                    before = spent
                    del left[name]
    if process.returncode != 0 or left:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}: see {log.name}")
    return costs, most


def _cost(name: str, folder: Path, cpu: float, resident: float) -> SeriesCost:
    records = [
        json.loads(path.read_text("utf-8")) for path in folder.glob("trials_*/**/record.json")
    ]
    models = [record["config"]["model"] for record in records]
    return SeriesCost(
        name=name,
        cpu_seconds=cpu,
        fit_seconds=sum(record["fit_seconds"] for record in records),
        resident_mib=resident,
        n_networks=sum(model != "RIDGE" for model in models),
        n_trials=len(records),
    )


def measure(arguments: argparse.Namespace, folder: Path) -> None:
    """Print the table and the projection."""
    started = time.perf_counter()
    file = write_file(folder, arguments.data_dir, arguments.of)
    names = list(REAL)[: arguments.series]
    workspace = folder / "hpo"
    words = [
        *(sys.executable, "-m", "paretocast", "tune", "--model", MODEL, "--dataset", str(file)),
        *("--series", ",".join(names), "--trials", str(arguments.trials), "--seed", "1"),
        *("--threads", "1", "--workspace", str(workspace)),
    ]
    costs, most = watch(words, names, workspace)
    print_table(
        ["series", "trainings", "of N-HiTS", "CPU s", "training s", "resident MiB"],
        [
            [c.name, c.n_trials, c.n_networks, c.cpu_seconds, c.fit_seconds, c.resident_mib]
            for c in costs
        ],
    )
    mean = float(np.mean([cost.cpu_seconds for cost in costs]))
    hours = mean * arguments.of / arguments.cores / 3600.0
    print(
        f"mean {mean:.0f} s of CPU a series, at most {most:.0f} MiB; {arguments.of} series on "
        f"{arguments.cores} cores: {hours:.1f} h, a night is {NIGHT_HOURS:g} h"
    )
    print_result(
        {
            "mean_cpu_seconds": mean,
            "peak_mib": most,
            "projected_hours": hours,
            "wall_seconds": time.perf_counter() - started,
        },
        seed=1,
    )


def main() -> None:
    """Measure in a folder of its own, or in a named one that stays."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--series", type=int, default=len(REAL))
    parser.add_argument("--of", type=int, default=200)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="an empty one for the file and the studies")
    arguments = parser.parse_args()
    if arguments.folder is not None:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        measure(arguments, arguments.folder.absolute())
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, Path(folder))


if __name__ == "__main__":
    main()
