"""Forecast requests a second of `paretocast serve`, with restarts; every answer compared.

    python benchmarks/serve_load.py [DEPLOYMENT --data DATA.csv] [--seconds 600] [--quick]

Each of --threads sends one request after the other: a day ahead, with the rows that the model
reads as JSON columns, `dry_run=true`, for --issues different days. Without DEPLOYMENT one N-HiTS is
trained on the demo series and deployed in a temporary folder. The server has --workers processes.
--restarts times, every 150 seconds without it, it is disturbed, in turn by a rolling restart
(SIGHUP: each process once its successor has read the bundle), the death of one process (SIGKILL,
the command replaces it) and a whole restart (SIGTERM, then the command again).

`wrong` counts answers whose bytes differ from the forecast that the bundle makes in this process,
`failed` answers with another status than 200; both have to be 0. Sent again were requests that were
`refused`, as the server was not there, or whose connection was `closed` without an answer. Times
are from sending to the last byte, restarts included, without attempts that had no answer. `cpu ms`
is the processor time of the server for each request, from when it was first ready, restarts
included, and `client ms` that of the clients, which share the machine with it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from paretocast.deployment.bundle import Bundle
    from paretocast.deployment.issued import LiveForecast

HEADERS = {"Content-Type": "application/json"}
PAUSE_SECONDS = 0.02  # before a request is sent again


@dataclass(frozen=True)
class Case:
    """A request and its answer."""

    body: bytes
    expected: bytes


@dataclass
class Server:
    """The command in a process of its own, on one port for all its lives."""

    deployment: Path
    n_workers: int
    port: int = 0
    process: subprocess.Popen[str] = field(init=False)

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = [sys.executable, "-m", "paretocast", "serve", str(self.deployment)]
        options = ["--port", str(self.port), "--workers", str(self.n_workers)]
        self.process = subprocess.Popen(command + options, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        address = urlsplit(self.process.stdout.readline().strip())
        if address.port is None:
            raise SystemExit("the server has not started, see above")
        self.port = address.port

    def stop(self) -> None:
        """End it after the requests under way."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=60) != 0:
            raise SystemExit("the server has failed, see above")

    def disturb(self, number: int) -> None:
        """Restart it or a part of it, each time in another way."""
        way = number % 3
        if way == 0:
            self.process.send_signal(signal.SIGHUP)
        elif way == 1:
            os.kill(self.workers()[0], signal.SIGKILL)
        else:
            self.stop()
            self.start()

    def workers(self) -> list[int]:
        """Ids of its processes that answer."""
        children = [int(child) for child in _proc(self.process.pid, "task/{pid}/children").split()]
        return [child for child in children if "spawn_main" in _proc(child, "cmdline")]

    def cpu_seconds(self) -> float:
        """Processor time of its living processes so far."""
        ids = [self.process.pid, *self.workers()]
        ticks = [_proc(i, "stat").rpartition(")")[2].split()[11:13] for i in ids]
        return sum(int(tick) for pair in ticks for tick in pair) / os.sysconf("SC_CLK_TCK")


def _proc(pid: int, name: str) -> str:
    """What Linux says of a process."""
    return Path(f"/proc/{pid}/{name.format(pid=pid)}").read_text(encoding="utf-8")


@dataclass
class Tally:
    """Answers and times of one thread."""

    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    failed: int = 0
    refused: int = 0
    closed: int = 0


def ask(server: Server, cases: Sequence[Case], tally: Tally, *, first: int, until: float) -> None:
    """Send one request after the other until a time."""
    path = f"/{server.deployment.name}/forecast?dry_run=true"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    i = first
    while time.monotonic() < until:
        case = cases[i % len(cases)]
        started = time.perf_counter()
        try:
            connection.request("POST", path, case.body, HEADERS)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            tally.refused += isinstance(error, ConnectionRefusedError)
            tally.closed += not isinstance(error, ConnectionRefusedError)
            time.sleep(PAUSE_SECONDS)
            continue
        tally.seconds.append(time.perf_counter() - started)
        tally.failed += answer.status != 200
        tally.wrong += answer.status == 200 and content != case.expected
        i += 1
    connection.close()


def make_cases(bundle: Bundle, table: pd.DataFrame, *, n_issues: int) -> list[Case]:
    """Requests for the last days of a table, each with what the bundle answers here."""
    from paretocast.deployment.server import forecast_content

    contract = bundle.contract
    time_column, target = contract.spec.time_column, contract.spec.target
    times = pd.DatetimeIndex(pd.to_datetime(table[time_column], utc=True))
    midnight = pd.Timestamp(times[-1]).tz_convert(contract.shape.issue_zone).normalize()
    before = contract.history_steps * pd.Timedelta(hours=1)
    cases = []
    for day in range(1, n_issues + 1):
        local = midnight - pd.DateOffset(days=day)
        at = (local + pd.DateOffset(hours=contract.shape.issue_hour)).tz_convert("UTC")
        ahead = at + contract.shape.horizon_steps * pd.Timedelta(hours=1)
        part = np.asarray((times >= at - before) & (times < ahead))
        rows = table.loc[part].drop(columns=time_column).apply(pd.to_numeric)
        rows.loc[times[part] >= at, target] = np.nan
        rows.insert(0, time_column, times[part].strftime("%Y-%m-%dT%H:%M:%SZ"))
        cells = json.loads(rows.to_json(orient="split", double_precision=15))
        columns = zip(cells["columns"], zip(*cells["data"], strict=True), strict=True)
        history = json.dumps(dict(columns))
        body = f'{{"history": {history}, "at": "{at.isoformat()}"}}'.encode()
        cases.append(Case(body, forecast_content(forecast_of_body(bundle, body))))
    return cases


def forecast_of_body(bundle: Bundle, body: bytes) -> LiveForecast:
    """The forecast of a request by the bundle in this process."""
    from paretocast.deployment.request_body import JSON, parse_body

    tables = parse_body(body, JSON)
    return bundle.forecast(tables.history, tables.weather, at=tables.at)


def deploy_demo(folder: Path) -> tuple[Path, pd.DataFrame]:
    """A deployment of one N-HiTS, and the demo series as a user's table."""
    from paretocast.data import load_dataset
    from paretocast.deployment.build import build_bundle
    from paretocast.deployment.journal import Deployment
    from paretocast.deployment.plan import plan_bundle
    from paretocast.results.stored_study import StoredStudy

    command = [sys.executable, "-m", "paretocast", "tune", "--model", "NHITS_Q", "--trials", "1"]
    options = ["--dataset", "demo", "--workspace", str(folder), "--job-id", "1"]
    subprocess.run(command + options, check=True, stdout=subprocess.DEVNULL)
    study = StoredStudy.open(next(folder.glob("results/*/best_params*")).parent)
    deployment = folder / "demo"
    plan = plan_bundle(study, method="trial 0")
    bundle = build_bundle(plan, deployment / "bundles", observer=Silent())
    Deployment(deployment).point_to(bundle.name, event="deploy", reason="load test")
    series = load_dataset("demo").series
    columns = {covariate.name: covariate.values for covariate in series.covariates}
    spec = bundle.contract.spec
    table = pd.DataFrame({spec.target: series.values, **columns}, index=series.index)
    return deployment, table.rename_axis(spec.time_column).reset_index()


class Silent:
    """An observer of a deployment that says nothing."""

    def began(self, what: str) -> None:
        """Nothing."""


def measure(
    server: Server, cases: Sequence[Case], *, n_threads: int, seconds: float, n_restarts: int
) -> tuple[list[Tally], float, float]:
    """Load with restarts; what each thread has seen, its seconds, and the server's before it."""
    tallies = [Tally() for _ in range(n_threads)]
    server.start()
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        warm_up = time.monotonic() + 600.0
        ask(server, cases, once := Tally(), first=0, until=min(warm_up, time.monotonic() + 0.001))
        while not once.seconds and time.monotonic() < warm_up:
            ask(server, cases, once, first=0, until=time.monotonic() + 0.001)
        cpu_before = server.cpu_seconds()
        started = time.monotonic()
        threads = [
            threading.Thread(
                target=ask,
                args=(server, cases, tally),
                kwargs={"first": i * len(cases) // n_threads, "until": started + seconds},
            )
            for i, tally in enumerate(tallies)
        ]
        for thread in threads:
            thread.start()
        for restart in range(n_restarts):
            due = started + seconds * (restart + 1) / (n_restarts + 1)
            time.sleep(max(0.0, due - time.monotonic()))
            server.disturb(restart)
        for thread in threads:
            thread.join()
        elapsed = time.monotonic() - started
    return tallies, elapsed, cpu_before


def children_cpu_seconds() -> float:
    """Processor time of processes that have ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def parse_arguments() -> Namespace:
    parser = script_parser(__doc__)
    parser.add_argument("deployment", type=Path, nargs="?")
    parser.add_argument("--data", type=Path, help="rows for DEPLOYMENT, as its data set has them")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--workers", type=int, default=2, help="processes of the server")
    parser.add_argument("--threads", type=int, default=4, help="requests at the same time")
    parser.add_argument("--restarts", type=int)
    parser.add_argument("--issues", type=int, default=50, help="different requests")
    parser.add_argument("--quick", action="store_true", help="20 s with one restart")
    arguments = parser.parse_args()
    if (arguments.deployment is None) != (arguments.data is None):
        parser.error("DEPLOYMENT and --data go together")
    if arguments.quick:
        arguments.seconds, arguments.restarts = 20.0, 1
    if arguments.restarts is None:
        arguments.restarts = int(arguments.seconds // 150)
    return arguments


def main() -> None:
    arguments = parse_arguments()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in the server

    from paretocast.data.tables import read_table
    from paretocast.deployment.bundle import load_bundle

    with tempfile.TemporaryDirectory() as name:
        if arguments.deployment is None:
            deployment, table = deploy_demo(Path(name))
        else:
            deployment, table = arguments.deployment.absolute(), read_table(arguments.data)
        bundle = load_bundle(deployment)
        cases = make_cases(bundle, table, n_issues=arguments.issues)
        before, own_before = children_cpu_seconds(), time.process_time()
        tallies, elapsed, of_start = measure(
            Server(deployment, arguments.workers),
            cases,
            n_threads=arguments.threads,
            seconds=arguments.seconds,
            n_restarts=arguments.restarts,
        )
        cpu_seconds = children_cpu_seconds() - before - of_start
        own_seconds = time.process_time() - own_before
    seconds = np.concatenate([tally.seconds for tally in tallies])
    p50, p99 = np.quantile(seconds, [0.5, 0.99])
    figures = {
        "method": str(bundle.manifest["method"]),
        "workers": arguments.workers,
        "threads": arguments.threads,
        "body kB": len(cases[0].body) / 1000.0,
        "requests": len(seconds),
        "requests/s": len(seconds) / elapsed,
        "p50 ms": 1000.0 * float(p50),
        "p99 ms": 1000.0 * float(p99),
        "max ms": 1000.0 * float(seconds.max()),
        "cpu ms": 1000.0 * cpu_seconds / len(seconds),
        "client ms": 1000.0 * own_seconds / len(seconds),
        "wrong": sum(tally.wrong for tally in tallies),
        "failed": sum(tally.failed for tally in tallies),
        "refused": sum(tally.refused for tally in tallies),
        "closed": sum(tally.closed for tally in tallies),
        "restarts": arguments.restarts,
    }
    print_table(list(figures), [list(figures.values())])
    print_result({"seconds": elapsed, **figures})
    if figures["wrong"] or figures["failed"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
