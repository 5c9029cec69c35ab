"""Seconds until a deployed model has forecast once, and milliseconds of later forecasts.

    python benchmarks/deployment_latency.py DEPLOYMENT --data DATA.csv

A fresh process imports, loads the bundle, reads the table and forecasts; its clock starts before
the first import of pandas. Give rows with the weather of the day that is forecast, else a lower
rung forecasts. Later forecasts are of the same issue: from tables that have been read, and
with the reading. Medians.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from harness import print_result, print_table, script_parser

PROGRAM = """
import json, sys, time
started = time.perf_counter()
import pandas as pd
import paretocast
bundle = paretocast.load_bundle(sys.argv[1])
table = pd.read_csv(sys.argv[2])
bundle.forecast(table)
first = time.perf_counter() - started
inputs = bundle.contract.read(table)
at = inputs.known_from

def median(work):
    times = []
    for _ in range(30):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return 1e3 * sorted(times)[15]

later = median(lambda: bundle.forecast_from(inputs, at))
whole = median(lambda: bundle.forecast(table))
print(json.dumps([first, later, whole]))
"""


def main() -> None:
    """Print one row."""
    parser = script_parser(__doc__)
    parser.add_argument("deployment", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round")
    arguments = parser.parse_args()
    command = [sys.executable, "-c", PROGRAM, str(arguments.deployment), str(arguments.data)]
    rounds = [
        json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        for _ in range(1 if arguments.quick else arguments.rounds)
    ]
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    columns = ["load and first forecast, s", "later, ms", "later with reading, ms"]
    print_table(columns, [medians])
    print_result({"rounds": rounds})


if __name__ == "__main__":
    main()
