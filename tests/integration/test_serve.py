"""The server on a real port: the same forecasts as the bundle's, kept once, refused in JSON."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from commands import run_cli
from paretocast.cli.serve import _listen
from paretocast.deployment.audit import audit
from paretocast.deployment.build import build_bundle
from paretocast.deployment.bundle import load_bundle
from paretocast.deployment.bundle_files import write_sums
from paretocast.deployment.journal import Deployment
from paretocast.deployment.plan import plan_bundle
from paretocast.report.serving import ServerPages
from paretocast.results.stored_study import StoredStudy

if TYPE_CHECKING:
    import anyio
    import fastapi
    import httpx
    import prometheus_client.parser as prometheus
    import uvicorn

    from paretocast.deployment import server
else:  # all of the extra `serve`
    anyio = pytest.importorskip("anyio")
    fastapi = pytest.importorskip("fastapi")
    httpx = pytest.importorskip("httpx")
    prometheus = pytest.importorskip("prometheus_client.parser")
    uvicorn = pytest.importorskip("uvicorn")
    server = pytest.importorskip("paretocast.deployment.server")

STORED = Path(__file__).parents[1] / "data" / "earlier_study"
AT = pd.Timestamp("2021-04-20T00:00Z")
DAY = pd.Timedelta(days=1)
JSON = {"content-type": "application/json"}


class Quiet:
    def began(self, what: str) -> None:
        pass


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment of a ridge, from a stored study."""
    place = tmp_path_factory.mktemp("built")
    shutil.copytree(STORED, place / "study")
    run = place / "study" / "hpo" / "results" / "NHITS_Q_small"
    manifest = run / "manifest_old.json"
    dataset = str(place / "study" / "small.toml")
    manifest.write_text(manifest.read_text().replace("/data/small.toml", dataset))
    plan = plan_bundle(StoredStudy.open(run), method="ridge")
    folder = place / "water"
    bundle = build_bundle(plan, folder / "bundles", observer=Quiet())
    Deployment(folder).point_to(bundle.name, event="deploy", reason="test")
    return folder


@pytest.fixture
def deployed(built: Path, tmp_path: Path) -> Path:
    """A folder with two deployments, `water` and `heat`."""
    for name in ("water", "heat"):
        shutil.copytree(built, tmp_path / "deploy" / name)
    (tmp_path / "deploy" / "notes").mkdir()
    return tmp_path / "deploy"


@contextmanager
def served(folder: Path, *, max_body_bytes: int = 2**20) -> Iterator[httpx.Client]:
    """A client of a server on a free port, in a thread of this process."""
    app = server.create_app(folder, pages=ServerPages(), max_body_bytes=max_body_bytes)
    config = uvicorn.Config(app, port=0, log_config=None, proxy_headers=False)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.005)
        port = running.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        running.should_exit = True
        thread.join()


@pytest.fixture
def client(deployed: Path) -> Iterator[httpx.Client]:
    with served(deployed) as client:
        yield client


def rows_for(at: pd.Timestamp, *, n_hours: int = 1500) -> pd.DataFrame:
    """History before an issue and the weather after it; the target after it is missing."""
    table = pd.read_csv(STORED / "small.csv")
    times = pd.to_datetime(table["timestamp"])
    table.loc[times >= at, "demand"] = np.nan
    return table[(times >= at - pd.Timedelta(hours=n_hours)) & (times < at + DAY)]


def changed(table: pd.DataFrame, *, row: int, by: float) -> pd.DataFrame:
    """The same table with another demand in one row."""
    demand = table["demand"].to_numpy(float, copy=True)
    demand[row] += by
    return table.assign(demand=demand)


def as_json(table: pd.DataFrame, **more: str) -> bytes:
    history = json.loads(table.to_json(orient="records", double_precision=15))
    return json.dumps({"history": history, **more}).encode()


def post(client: httpx.Client, path: str, content: bytes, **headers: str) -> dict[str, Any]:
    answer = client.post(path, content=content, headers=JSON | headers)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_a_dry_run_is_the_forecast_of_the_bundle(client: httpx.Client, deployed: Path) -> None:
    own = load_bundle(deployed / "water").forecast(rows_for(AT), at=AT)
    made = post(client, "/water/forecast?dry_run=true", as_json(rows_for(AT), at=AT.isoformat()))
    rows = made.pop("rows")
    assert made == json.loads(json.dumps(own.as_json()))
    assert rows == own.rows() == own.frame.to_dict("records")
    assert len(rows) == 24
    assert rows[0]["target_time_local"] == "2021-04-20T02:00:00+02:00"
    assert not (deployed / "water" / "journal" / "issued").exists()


def test_rows_columns_and_csv_are_the_same(client: httpx.Client) -> None:
    table = rows_for(AT)
    columns = json.loads(table.to_json(orient="split", double_precision=15))
    by_column = dict(
        zip(columns["columns"], map(list, zip(*columns["data"], strict=True)), strict=True)
    )
    path = f"/water/forecast?dry_run=true&at={AT:%Y-%m-%dT%H:%MZ}"
    made = [
        post(client, path, as_json(table)),
        post(client, path, json.dumps({"history": by_column}).encode()),
        post(client, path, table.to_csv(index=False).encode(), **{"content-type": "text/csv"}),
    ]
    assert made[0] == made[1] == made[2]


def test_weather_may_come_in_a_table_of_its_own(client: httpx.Client) -> None:
    table = rows_for(AT)
    times = pd.to_datetime(table["timestamp"])
    weather = table.loc[times >= AT, ["timestamp", "temperature"]]
    body = json.loads(as_json(table[times < AT]))
    body["weather"] = json.loads(
        weather.assign(issued_at="2021-04-19T20:00Z").to_json(orient="records")
    )
    made = post(client, "/water/forecast?dry_run=1", json.dumps(body).encode())
    assert made["method"] == "full"
    assert made["weather_issue_time"] == "2021-04-19T20:00:00+00:00"


def test_a_forecast_is_kept_once(client: httpx.Client, deployed: Path) -> None:
    body = as_json(rows_for(AT), at=AT.isoformat())
    first = post(client, "/water/forecast", body)
    assert post(client, "/water/forecast", body) == first
    other = changed(rows_for(AT), row=-100, by=0.5)
    second = post(client, "/water/forecast", as_json(other, at=AT.isoformat()))
    assert (first["revision"], second["revision"]) == (1, 2)
    kept = Deployment(deployed / "water").issued()
    assert [f.forecast_id for f in kept] == [first["forecast_id"], second["forecast_id"]]
    assert not (deployed / "heat" / "journal" / "issued").exists()


def test_observations_are_added_once_and_corrected(client: httpx.Client, deployed: Path) -> None:
    post(client, "/water/forecast", as_json(rows_for(AT), at=AT.isoformat()))
    seen = rows_for(AT + DAY)[["timestamp", "demand"]].dropna()
    assert post(client, "/water/observe", as_json(seen)) == {"new": 24, "corrected": 0}
    assert post(client, "/water/observe", as_json(seen)) == {"new": 0, "corrected": 0}
    seen = changed(seen, row=-1, by=1.0)
    assert post(client, "/water/observe", as_json(seen)) == {"new": 0, "corrected": 1}
    health = client.get("/water/health").json()
    assert health["observed_hours"] == 24
    forecast = Deployment(deployed / "water").issued()[0]
    demand = seen["demand"].to_numpy()[-24:]
    inside = (forecast.lower <= demand) & (demand <= forecast.upper)
    assert health["coverage"] == pytest.approx(100.0 * inside.mean())
    assert f"{100.0 * inside.mean():.1f}" in client.get("/water").text


def test_a_dry_run_is_what_is_issued_next(client: httpx.Client) -> None:
    """Its calibrators have learned what the journal knows, though it was read before."""
    for day in range(2):
        at = AT + day * DAY
        post(client, "/water/forecast?dry_run=1", as_json(rows_for(at), at=at.isoformat()))
        post(client, "/water/forecast", as_json(rows_for(at), at=at.isoformat()))
    at = AT + 2 * DAY
    post(client, "/water/observe", as_json(rows_for(at)[["timestamp", "demand"]].dropna()))
    body = as_json(rows_for(at), at=at.isoformat())
    previewed = post(client, "/water/forecast?dry_run=1", body)
    issued = post(client, "/water/forecast", body)
    for content in (previewed, issued):
        del content["observations"], content["number"]  # of the journal, not the forecast
    assert previewed == issued


def test_a_dry_run_does_not_wait_for_the_journal(client: httpx.Client, deployed: Path) -> None:
    with Deployment(deployed / "water").locked():
        post(client, "/water/forecast?dry_run=1", as_json(rows_for(AT)))
        assert client.get("/water/health").status_code == 200


def test_a_process_lets_go_of_connections_where_others_wait_and_of_no_other(
    deployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiters: list[anyio.CapacityLimiter] = []

    def limiter(tokens: int) -> anyio.CapacityLimiter:
        limiters.append(anyio.CapacityLimiter(tokens))
        return limiters[-1]

    def preview_when(n_waiting: int) -> Callable[..., bytes]:
        def preview(*_: object) -> bytes:
            while limiters[0].statistics().tasks_waiting < n_waiting:
                time.sleep(0.005)
            waited.append(n_waiting)
            return b"{}"

        return preview

    waited: list[int] = []
    monkeypatch.setattr(server, "CapacityLimiter", limiter)
    path, body = "/water/forecast?dry_run=1", b'{"history": []}'
    with served(deployed) as client, ThreadPoolExecutor(3) as pool:
        monkeypatch.setattr(server, "_preview", preview_when(0))
        assert "connection" not in client.post(path, content=body, headers=JSON).headers
        monkeypatch.setattr(server, "_preview", preview_when(2))
        first = pool.submit(client.post, path, content=body, headers=JSON)
        while limiters[0].borrowed_tokens == 0:
            time.sleep(0.005)
        monkeypatch.setattr(server, "_preview", preview_when(0))
        others = [pool.submit(client.post, path, content=body, headers=JSON) for _ in range(2)]
        assert first.result().headers["connection"] == "close"
        assert not any("connection" in other.result().headers for other in others)
    assert waited == [0, 2, 0, 0]


def test_no_answer_waits_for_the_acknowledgement_of_its_head() -> None:
    with _listen("127.0.0.1", 0) as listener, socket.socket() as client:
        client.connect(listener.getsockname())
        with listener.accept()[0] as connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_requests_side_by_side_leave_a_whole_journal(client: httpx.Client, deployed: Path) -> None:
    def issue(change: float) -> str:
        table = changed(rows_for(AT), row=-100, by=change)
        return str(
            post(client, "/water/forecast", as_json(table, at=AT.isoformat()))["forecast_id"]
        )

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(issue, [*range(8), *range(8)]))
    journal = Deployment(deployed / "water")
    assert len(ids) == 8
    assert [forecast.revision for forecast in journal.issued()] == list(range(1, 9))
    assert {forecast.forecast_id for forecast in journal.issued()} == ids
    assert len(journal.events("forecast")) == 8
    assert not audit(journal).problems


def test_another_bundle_is_used_by_the_next_request(client: httpx.Client, deployed: Path) -> None:
    body = as_json(rows_for(AT), at=AT.isoformat())
    before = post(client, "/water/forecast?dry_run=1", body)["bundle"]
    bundles = deployed / "water" / "bundles"
    shutil.copytree(bundles / before, bundles / "other")
    (bundles / "other" / "card.md").write_text("another card")
    after = write_sums(bundles / "other")[:12]
    (bundles / "other").rename(bundles / after)
    deployment = Deployment(deployed / "water")
    for name in (after, before):
        deployment.point_to(name, event="rollback", reason="test")
        assert post(client, "/water/forecast?dry_run=1", body)["bundle"] == name
        assert client.get("/water/health").json()["bundle"] == name
        card = client.get("/water/card?markdown=true").text
        assert (card == "another card") == (name == after)


def test_a_damaged_bundle_is_not_used(deployed: Path) -> None:
    card = next((deployed / "heat" / "bundles").glob("*/card.md"))
    card.write_text("changed")
    with served(deployed) as client:
        answer = client.post(
            "/heat/forecast?dry_run=1", content=as_json(rows_for(AT)), headers=JSON
        )
        assert (answer.status_code, answer.json()["kind"]) == (503, "store")
        assert str(deployed) not in answer.text
        health = client.get("/health")
        assert health.status_code == 503
        states = {name: d["status"] for name, d in health.json()["deployments"].items()}
        assert states == {"heat": "unusable", "water": "ok"}
        assert client.get("/").status_code == 200
        post(client, "/water/forecast?dry_run=1", as_json(rows_for(AT)))


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 422, "no JSON"),
        (b"[1]", 422, 'no "history"'),
        (b"[" * 10**5, 422, "no JSON"),
        (b'{"history": [], "at": 5}', 422, "expected a text"),
        (b'{"history": [1]}', 422, "neither a list of rows"),
        (b'{"history": {"a": [1], "b": []}}', 422, "neither a list of rows"),
        (b'{"history": [{"demand": {}}]}', 422, "a list or an object"),
        (b'{"history": [{"demand": 1, "temperature": 1}]}', 422, "timestamp"),
        (
            b'{"history": [{"timestamp": "x", "demand": 1, "temperature": 1}]}',
            422,
            "cannot be read as a time",
        ),
        (b'{"history": [{"timestamp": 1, "demand": true, "temperature": ""}]}', 422, "cannot be"),
        (b'{"history": [{"demand": 1e999}], "path": "/etc"}', 422, "unknown key 'path'"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    client: httpx.Client, body: bytes, status: int, says: str
) -> None:
    for operation in ("forecast", "observe"):
        answer = client.post(f"/water/{operation}", content=body, headers=JSON)
        assert answer.status_code == status, answer.text
        assert says in answer.json()["error"]
        assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "at",
    [
        *("soon", "NaT", "2021-04-20T00:00", "2021-04-20T00:30Z", "9999-01-01T00:00Z"),
        *("1677-09-22T00:00Z", "2262-04-11T23:00Z", "2021-09-01T00:00Z"),
    ],
)
def test_a_time_that_cannot_be_issued_is_refused(client: httpx.Client, at: str) -> None:
    for dry_run in (False, True):
        answer = client.post(
            "/water/forecast",
            params={"at": at, "dry_run": dry_run},
            content=as_json(rows_for(AT)),
            headers=JSON,
        )
        assert answer.status_code == 422, answer.text
        assert answer.json()["error"]


@pytest.mark.parametrize(
    "name",
    ["nothing", "notes", "%2e%2e", "..%2fheat", "water%00", "%2fetc", "water%2f..", "😀"],
)
def test_a_name_that_is_not_deployed_is_not_found(client: httpx.Client, name: str) -> None:
    for answer in (
        client.get(f"/{name}/card"),
        client.get(f"/{name}/health"),
        client.post(f"/{name}/observe", content=b"{}", headers=JSON),
    ):
        assert answer.status_code == 404
        assert answer.json()["error"]


def test_what_is_no_json_and_no_csv_is_refused(client: httpx.Client) -> None:
    body = as_json(rows_for(AT))
    for headers in ({"content-type": "text/plain"}, {}, {**JSON, "content-encoding": "gzip"}):
        answer = client.post("/water/forecast", content=body, headers=headers)
        assert answer.status_code == 415


def test_a_body_over_the_limit_is_refused(deployed: Path) -> None:
    body = as_json(rows_for(AT))
    with served(deployed, max_body_bytes=len(body)) as client:
        post(client, "/water/forecast?dry_run=1", body)
        pieces = (body[i : i + 1000] for i in range(0, len(body), 1000))
        for content in (body + b" ", body * 3, iter([*pieces, b" "])):
            answer = client.post("/water/forecast?dry_run=1", content=content, headers=JSON)
            assert (answer.status_code, answer.json()["kind"]) == (413, "too_large")


def test_a_token_is_needed_where_there_is_one(
    deployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(server.TOKEN_VARIABLE, "secret")
    body = as_json(rows_for(AT))
    with served(deployed) as client:
        for given in ("", "secret", "Bearer", "Bearer secre", "Bearer secrets", "Basic secret"):
            for operation in ("forecast?dry_run=1", "observe", "nothing/forecast"):
                headers = JSON | ({"authorization": given} if given else {})
                answer = client.post(f"/water/{operation}", content=body, headers=headers)
                assert answer.status_code in {401, 404}, given
                assert (answer.status_code == 404) == operation.startswith("nothing")
        post(client, "/water/forecast?dry_run=1", body, authorization="Bearer secret")
        assert client.get("/water/health").status_code == 200


@pytest.mark.parametrize(
    ("client_host", "headers", "allowed"),
    [
        ("127.0.0.1", {"host": "localhost:8000"}, True),
        ("::1", {"host": "[::1]:8000"}, True),
        ("::1", {"host": "[::1]"}, True),
        ("10.0.0.7", {"host": "localhost:8000"}, False),
        ("127.0.0.1", {"host": "rebound.example"}, False),
        ("127.0.0.1", {}, False),
        ("127.0.0.1", {"host": "localhost", "x-forwarded-for": "10.0.0.7"}, False),
    ],
)
def test_without_a_token_only_this_machine_may_post(
    client_host: str, headers: dict[str, str], *, allowed: bool
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    request = fastapi.Request({"type": "http", "headers": raw, "client": (client_host, 5)})
    if allowed:
        server.authorise(request, None)
    else:
        with pytest.raises(server.RefusalError, match=server.TOKEN_VARIABLE) as refusal:
            server.authorise(request, None)
        assert refusal.value.status == 403


def test_pages_need_no_network(client: httpx.Client) -> None:
    assert "No forecast" in client.get("/water").text
    post(client, "/water/forecast", as_json(rows_for(AT), at=AT.isoformat()))
    page = client.get("/water").text
    assert "5 to 95 %" in page
    assert "2021-04-20 02:00" in page
    overview = client.get("/").text
    assert 'href="water"' in overview
    assert 'href="heat"' in overview
    operations = client.get("/docs").text
    assert "POST /{name}/forecast" in operations
    assert set(client.get("/openapi.json").json()["paths"]["/{name}/observe"]) == {"post"}
    for text in (page, overview, operations):
        assert 'src="http' not in text
        assert "default-src 'none'" in text


def test_metrics_count_forecasts_and_requests(client: httpx.Client) -> None:
    for _ in range(3):
        post(client, "/water/forecast?dry_run=1", as_json(rows_for(AT)))
    post(client, "/water/forecast", as_json(rows_for(AT), at=AT.isoformat()))
    assert client.get("/missing").status_code == 404
    families = prometheus.text_string_to_metric_families(client.get("/metrics").text)
    values = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
        if "le" not in sample.labels
    }
    assert values["paretocast_forecasts_issued_total", "full", "water"] == 1
    assert values["paretocast_forecasts_issued_total", "full", "heat"] == 0
    age = values["paretocast_last_issue_age_seconds", "water"]
    assert age == pytest.approx(time.time() - AT.timestamp(), abs=60)
    count = "paretocast_request_seconds_count"
    assert values[count, "/{name}/forecast", "200", "POST"] == 4
    assert values[count, "/{name}", "404", "GET"] == 1
    assert values["paretocast_deployment_up", "water"] == 1


def test_settings_that_cannot_be_served_are_refused(
    deployed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run_cli(capsys, "serve", deployed / "notes")
    assert (code, "nothing is deployed" in err) == (2, True)
    shutil.copytree(deployed / "heat", deployed / "health")
    code, _, err = run_cli(capsys, "serve", deployed)
    assert (code, "rename it" in err) == (2, True)
    monkeypatch.setenv(server.TOKEN_VARIABLE, " ")
    code, _, err = run_cli(capsys, "serve", deployed / "heat")
    assert (code, "is empty" in err) == (2, True)


@contextmanager
def command(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "paretocast", "serve", str(folder), "--port", "0", *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def children(process: subprocess.Popen[str]) -> set[str]:
    """Processes that a process has started and that live."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return set(path.read_text().split())


@pytest.mark.slow
def test_processes_are_replaced_without_a_wrong_answer(deployed: Path) -> None:
    body = as_json(rows_for(AT), at=AT.isoformat())
    expected = load_bundle(deployed / "water").forecast(rows_for(AT), at=AT).forecast_id
    path = "/water/forecast?dry_run=1"
    with command(deployed / "water", "--workers", "2") as (process, address):
        ended = threading.Event()

        def ask() -> list[str]:
            with httpx.Client(base_url=address, timeout=60, headers={"connection": "close"}) as c:
                ids = []
                while not ended.is_set():
                    ids.append(str(post(c, path, body)["forecast_id"]))
                return ids

        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(ask) for _ in range(3)]
            assert httpx.get(f"{address}/health", timeout=60).status_code == 200
            before = children(process)
            process.send_signal(signal.SIGHUP)
            while len(children(process) - before) < 2 or len(children(process)) > len(before):
                time.sleep(0.1)
            ended.set()
            ids = [i for future in asked for i in future.result()]
        assert set(ids) == {expected}
        metrics = httpx.get(f"{address}/metrics", timeout=60).text
        counted = f'_count{{method="POST",route="/{{name}}/forecast",status="200"}} {len(ids)}'
        assert counted in metrics.replace(".0\n", "\n")


@pytest.mark.slow
def test_a_request_under_way_is_answered_before_the_end(deployed: Path) -> None:
    body = as_json(rows_for(AT), at=AT.isoformat())
    with command(deployed) as (process, address), ThreadPoolExecutor(1) as pool:
        with httpx.Client(base_url=address, timeout=60) as client:
            assert client.get("/health").status_code == 200
            with Deployment(deployed / "water").locked():
                waiting = pool.submit(post, client, "/water/forecast", body)
                time.sleep(1.0)  # until it waits for the lock
                process.send_signal(signal.SIGTERM)
                time.sleep(1.5)  # until the worker knows
                assert not waiting.done()
            assert waiting.result()["revision"] == 1
        assert process.wait(timeout=30) == 0
    assert len(Deployment(deployed / "water").issued()) == 1


@pytest.mark.slow
def test_dead_processes_leave_nothing_behind(deployed: Path) -> None:
    """A worker that is killed is replaced; workers end with the command and free its port."""
    body = as_json(rows_for(AT))
    with command(deployed) as (process, address):
        assert_answers(address, body)
        (worker,) = (pid for pid in children(process) if is_worker(pid))
        os.kill(int(worker), signal.SIGKILL)
        while worker in children(process):
            time.sleep(0.1)
        assert_answers(address, body)
        (worker,) = (pid for pid in children(process) if is_worker(pid))
        process.kill()
        while Path(f"/proc/{worker}").exists():
            time.sleep(0.1)
    with command(deployed, "--port", address.rpartition(":")[2]) as (_, again):
        assert again == address


def assert_answers(address: str, body: bytes) -> None:
    """Assert that a new connection gets a forecast."""
    with httpx.Client(base_url=address, timeout=60) as client:
        post(client, "/water/forecast?dry_run=1", body)


def is_worker(pid: str) -> bool:
    """Tell a worker from the process that tracks what workers share."""
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
