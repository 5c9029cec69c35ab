"""The local server: pages of the workspace and nothing else, and studies as they run."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import run_cli
from paretocast.api import viewer
from paretocast.api.viewer import open_server
from paretocast.errors import SettingsError, StoreError
from paretocast.report.following import study_snapshot
from paretocast.report.site import update_site
from paretocast.workspace.claims import Claim
from paretocast.workspace.files import save_json, save_text
from paretocast.workspace.runs import RunDirectory
from runs import record_content
from sites import write_study

PAGE = "/results/NHITS_Q_heat/pareto_front_a.html"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("viewed") / "hpo"
    write_study(place)
    update_site(place)
    (place.parent / "secret.html").write_text("secret", encoding="utf-8")
    (place / "link.html").symlink_to(place.parent / "secret.html")
    (place / ".hidden.html").write_text("secret", encoding="utf-8")
    (place / "site" / "key.js").write_text("secret", encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def port(workspace: Path) -> Iterator[int]:
    with open_server(workspace, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def get(
    port: int, path: str, *, host: str = "localhost", method: str = "GET"
) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={"Host": f"{host}:{port}"})
    answer = connection.getresponse()
    content = answer.read().decode("utf-8")
    connection.close()
    return answer.status, content, dict(answer.getheaders())


def test_index_pages_and_their_script_are_served(port: int) -> None:
    status, index, headers = get(port, "/")
    assert status == 200
    assert 'href="live/NHITS_Q_heat_a"' in index
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert get(port, PAGE)[0] == get(port, f"{PAGE}?x=1#y")[0] == 200
    assert get(port, "/site/plotly.min.js")[1].count("plotly.js v") == 1


def test_a_head_has_no_content(port: int) -> None:
    status, content, headers = get(port, PAGE, method="HEAD")
    assert (status, content) == (200, "")
    assert int(headers["Content-Length"]) > 1000


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.html",
        "/%2e%2e/secret.html",
        "/results/../../secret.html",
        "/..%2fsecret.html",
        "//etc/passwd",
        "/%00.html",
        "/link.html",
        "/.hidden.html",
        "/site/key.js",
        "/results/NHITS_Q_heat/manifest_a.json",
        "/results/NHITS_Q_heat/best_params_NHITS_Q_heat_a.json",
        "/results",
        "/live/nothing",
        "/live/..%2f..%2fsecret.html",
        f"/{'x' * 5000}.html",
    ],
)
def test_what_is_no_page_of_the_workspace_is_not_served(port: int, path: str) -> None:
    status, content, _ = get(port, path)
    assert status == 404
    assert "secret" not in content.removeprefix(path)


def test_another_hosts_name_is_refused(port: int) -> None:
    assert get(port, "/", host="evil.example")[0] == 403
    assert get(port, "/", host="127.0.0.1")[0] == 200


def test_other_methods_are_refused(port: int) -> None:
    assert get(port, "/", method="POST")[0] == 501


def test_a_study_is_followed_on_a_page_of_its_own(port: int) -> None:
    status, page, _ = get(port, "/live/NHITS_Q_heat_a")
    assert status == 200
    assert 'src="../site/plotly.min.js"' in page
    assert 'href="../index.html"' in page
    assert "plotly.js v" not in page
    snapshot = json.loads(get(port, "/live/NHITS_Q_heat_a.json")[1])
    assert [trial["number"] for trial in snapshot["trials"]] == [0, 1]


def test_a_port_in_use_is_an_error_unless_none_was_asked_for(
    port: int, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=rf"127\.0\.0\.1:{port} cannot be listened on"):
        open_server(workspace, port)
    monkeypatch.setattr(viewer, "PORT", port)
    with open_server(workspace) as other:
        assert other.server_address[1] != port


def test_a_workspace_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no workspace in"):
        open_server(tmp_path / "none", 0)


def test_the_command_says_where_opens_a_browser_and_ends_at_a_stop(
    capsys: pytest.CaptureFixture[str], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    opened: list[str] = []

    def show(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr("webbrowser.open", show)
    monkeypatch.setattr(http.server.ThreadingHTTPServer, "serve_forever", stop)
    code, out, err = run_cli(capsys, "view", "--workspace", workspace, "--port", 0, "--open")
    assert (code, err) == (0, "stopped; studies go on\n")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\n", out)
    assert opened == [out.strip()]


def scored(number: int, mae: float, picp: float, **changes: object) -> dict[str, Any]:
    content = record_content(number)
    scores = {**content["scores"], "mae": mae, "picp": picp}  # type: ignore[dict-item]
    scores["coverage_error"] = abs(picp - 80.0)
    return {**content, "scores": scores, **changes}


def under_way(place: Path) -> RunDirectory:
    """A study of three ended trials, of which the first and the last are on the front."""
    run = write_study(place, trials=5, pages=())
    for path in run.trials_folder.rglob("record.json"):
        path.unlink()
    records = [scored(0, 2.0, 70.0), scored(1, 3.0, 60.0, state="pruned"), scored(2, 1.0, 75.0)]
    for i, record in enumerate(records):
        save_json(run.record(i), record)
        os.utime(run.record(i), (1e9 + i, 1e9 + i))
    manifest = json.loads(run.manifest.read_text("utf-8"))
    manifest["settings"]["objectives"] = ["mae", "coverage_error"]
    save_json(run.manifest, manifest)
    run.best_params.unlink()
    return run


def test_a_snapshot_has_trials_hypervolume_and_who_is_at_work(tmp_path: Path) -> None:
    run = under_way(tmp_path)
    claim = Claim.take(run.trial_folder(3), worker=1)
    assert claim is not None
    try:
        save_json(
            run.worker_report(1),
            {
                "index": 1,
                "pid": os.getpid(),
                "trial": 3,
                "step": 40,
                "total_steps": 100,
                "stop_loss": 0.5,
                "updated": time.time(),
            },
        )
        snapshot = study_snapshot(run)
    finally:
        claim.release()
    assert [(t["number"], t["state"], t["mae"]) for t in snapshot["trials"]] == [
        (0, "complete", 2.0),
        (1, "pruned", 3.0),
        (2, "complete", 1.0),
    ]
    # the corner is 1 % beyond the first trial, at MAE 2.02 and 10.1 points: areas 0.02 × 0.1, then
    # 1.02 × 5.1
    assert snapshot["hypervolume"] == pytest.approx([0.002 / 5.202, 0.002 / 5.202, 1.0])
    (training,) = snapshot["running"]
    assert (training["trial"], training["worker"]) == (3, 1)
    assert (training["step"], training["total_steps"]) == (40, 100)
    assert snapshot["n_trials"] == 5
    assert study_snapshot(run)["running"] == []


def test_a_snapshot_shows_the_ends_of_logs_of_the_workspace_without_secrets(tmp_path: Path) -> None:
    run = under_way(tmp_path / "hpo")
    save_text(run.worker_log(0), "trial 3\npostgresql://anna:s3cret@host/db\n")
    save_text(tmp_path / "outside.err", "outside")
    run.worker_log(1).symlink_to(tmp_path / "outside.err")
    (log,) = study_snapshot(run)["logs"]
    assert log["name"] == "hpo_NHITS_Q_heat_a_worker0.err"
    assert log["lines"] == ["trial 3", "postgresql://anna@host/db"]


def test_a_damaged_study_has_a_snapshot_that_says_so(tmp_path: Path) -> None:
    run = under_way(tmp_path)
    run.manifest.write_text("{", encoding="utf-8")
    run.record(0).write_text("{}", encoding="utf-8")
    snapshot = study_snapshot(run)
    assert [trial["number"] for trial in snapshot["trials"]] == [1, 2]
    assert len(snapshot["problems"]) == 2
    json.dumps(snapshot, allow_nan=False)
