"""Time and memory of `paretocast data check` on a large file.

    python benchmarks/check_rows.py [--rows 1000000] [--columns 20]

The file is made: 5-minute steps, a time column, a target with a daily course, and covariates that
wander. The check runs in a process of its own, as a user starts it. CPU time, imports included,
tells more than the clock on a machine with other work.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tomli_w
from harness import print_result, print_table, script_parser


def write_file(folder: Path, n_rows: int, n_columns: int) -> Path:
    """Return the TOML file of a table of that size, the time column among its columns."""
    import pandas as pd

    rng = np.random.default_rng(0)
    index = pd.date_range("2014-01-01", periods=n_rows, freq="5min", tz="UTC")
    day = np.arange(n_rows) * 2.0 * np.pi / 288
    columns = {"load": 100.0 + 20.0 * np.sin(day) + rng.normal(0.0, 3.0, n_rows)}
    for i in range(n_columns - 2):
        wander = 0.01 * rng.normal(size=n_rows).cumsum()
        columns[f"c{i}"] = wander + np.sin(day + i) + rng.normal(size=n_rows)
    table = pd.DataFrame(columns, index=index.strftime("%Y-%m-%dT%H:%M:%SZ"))
    table.to_csv(folder / "large.csv", index_label="time", float_format="%.3f")
    content = {
        "name": "large",
        "path": "large.csv",
        "time_column": "time",
        "target": "load",
        "unit": "kW",
        "frequency": "5min",
        "covariates": {f"c{i}": {"role": "forecast"} for i in range(n_columns - 2)},
    }
    path = folder / "large.toml"
    path.write_text(tomli_w.dumps(content), encoding="utf-8")
    return path


def main() -> None:
    """Print one row."""
    parser = script_parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = write_file(Path(folder), arguments.rows, arguments.columns)
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "paretocast", "data", "check", str(file)], check=True)
        wall = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024.0
    print_table(
        ["rows", "columns", "CPU s", "wall s", "peak MiB"],
        [[arguments.rows, arguments.columns, cpu, wall, peak]],
    )
    print_result({"cpu_seconds": cpu, "wall_seconds": wall, "peak_mib": peak}, seed=0)


if __name__ == "__main__":
    main()
