"""Damaged files of a real deployment through every command that reads them.

A command refuses, with exit code 1 or 2, or its result is what it is with whole files. Files of a
bundle are tried as they are, and with checksums made anew, as only a person does it. A calibration
that is kept is no truth of its own: whatever happens to it, results stay.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import exit_code
from mutations import damaged_file, with_commands
from paretocast.api import operations
from paretocast.deployment.build import build_bundle
from paretocast.deployment.bundle_files import write_sums
from paretocast.deployment.journal import Deployment
from paretocast.deployment.plan import Silent, plan_bundle
from paretocast.results.stored_study import StoredStudy

STORED = Path(__file__).parents[1] / "data" / "earlier_study"
FIRST = pd.Timestamp("2021-04-20T00:00Z")
DAY = pd.Timedelta(days=1)
NEXT = (FIRST + 3 * DAY).isoformat()
REFUSED = {1, 2}
OUT = "tomorrow.json"
COMMANDS = {
    "forecast": ["--data", "small.csv", "--at", NEXT, "--dry-run", "--out", OUT],
    "issue": ["--data", "small.csv", "--at", NEXT, "--out", OUT],
    "observe": ["--data", "small.csv"],
    "monitor": ["--now", NEXT, "--json"],
    "audit": [],
    "card": [],
    "rollback": [],
    "serve": [],
}
JOURNAL = {
    "current": "current",
    "events": "journal/events.jsonl",
    "observed": "journal/observed.csv",
    "issued": "journal/issued/2021/2021-04-21T00Z.r1.json",
}
STATE = "state/calibration.json"
BUNDLE = (
    *("bundle.json", "calibrators.json", "SHA256SUMS", "dataset.toml", "card.md"),
    *("golden.npz", "validation.npz", "member_0.safetensors", "fallback.safetensors"),
)
SIGNED = [name for name in BUNDLE if name != "SHA256SUMS"]
# What nothing else in the journal tells: other possible values are believed.
BELIEVED = {"events": {"rollback"}, "observed": set(COMMANDS)}


@dataclass(frozen=True)
class Result:
    """What a command gives: its exit code, stdout and the file that it writes."""

    code: int
    out: str
    file: str


@dataclass(frozen=True)
class Scene:
    """A folder with two deployments: `water`, which is damaged, and `heat`, which stays whole."""

    folder: Path
    whole: Path
    expected: dict[str, Result]

    @property
    def water(self) -> Path:
        return self.folder / "deploy" / "water"

    def restored(self) -> Path:
        """`water` as it was made."""
        shutil.rmtree(self.water, ignore_errors=True)
        return Path(shutil.copytree(self.whole, self.water))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A ridge with two bundles and three issued forecasts."""
    folder = tmp_path_factory.mktemp("deployments")
    shutil.copytree(STORED, folder, dirs_exist_ok=True)
    run = folder / "hpo" / "results" / "NHITS_Q_small"
    manifest = run / "manifest_old.json"
    dataset = str(folder / "small.toml")
    manifest.write_text(manifest.read_text().replace("/data/small.toml", dataset))
    whole = folder / "whole"
    for calibrator in ("cqr", "pid"):
        plan = plan_bundle(StoredStudy.open(run), method="ridge", calibrator=calibrator)
        bundle = build_bundle(plan, whole / "bundles", observer=Silent())
        Deployment(whole).point_to(bundle.name, event="deploy", reason="test")
    table = pd.read_csv(folder / "small.csv")
    operations.forecast(whole, table, first=FIRST, last=FIRST + 2 * DAY)
    shutil.copytree(whole, folder / "deploy" / "heat")
    return Scene(folder, whole, {})


def served(folder: Path) -> str:
    """Names of the deployments that a server can use."""
    server = pytest.importorskip("paretocast.deployment.server")
    from paretocast.report.serving import ServerPages

    app = server.create_app(folder, pages=ServerPages())
    snapshots = app.state.server._snapshots()
    app.state.server.pages.overview(snapshots)
    usable = [name for name, snapshot in snapshots if snapshot is not None]
    assert "heat" in usable
    return " ".join(usable)


def run(scene: Scene, command: str, capsys: pytest.CaptureFixture[str]) -> Result:
    """The result of a command on `water`; no traceback, whatever it holds."""
    out = scene.folder / OUT
    out.unlink(missing_ok=True)
    capsys.readouterr()
    if command == "serve":
        names = served(scene.folder / "deploy")
        return Result(0 if "water" in names else 1, names, "")
    words = [str(scene.folder / w) if "." in w and ":" not in w else w for w in COMMANDS[command]]
    code = exit_code("forecast" if command == "issue" else command, scene.water, *words)
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    assert code in {0, 1, 2, 3, 4}
    assert code not in REFUSED or "error: " in said.err or "problem " in said.err
    return Result(code, said.out, out.read_text() if out.exists() else "")


def expected(scene: Scene, command: str, capsys: pytest.CaptureFixture[str]) -> Result:
    """The result with whole files."""
    if command not in scene.expected:
        scene.restored()
        scene.expected[command] = run(scene, command, capsys)
        assert scene.expected[command].code not in REFUSED
    return scene.expected[command]


def kept(folder: Path) -> dict[str, bytes]:
    """What a command may not touch: issued forecasts and bundles."""
    paths = [*folder.glob("journal/issued/*/*"), *folder.glob("bundles/*/*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def survives(
    scene: Scene,
    command: str,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], object],
    *,
    believed: bool = False,
) -> Result:
    """Run a command on a damaged `water`; it refuses, or its result is that of whole files."""
    whole = expected(scene, command, capsys)
    change(scene.restored())
    before = kept(scene.water)
    result = run(scene, command, capsys)
    assert not list(scene.water.rglob("*.part"))
    after = kept(scene.water)
    assert {name: after.get(name) for name in before} == before
    if result.code in REFUSED:
        assert after == before
    elif not believed:
        assert result == whole
    return result


commands = st.sampled_from(sorted(COMMANDS))


@pytest.mark.parametrize("kind", JOURNAL)
@with_commands
@given(data=st.data(), command=commands)
def test_a_damaged_journal_is_refused_or_changes_nothing(
    scene: Scene,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    data: st.DataObject,
    command: str,
) -> None:
    path = JOURNAL[kind]
    content = data.draw(damaged_file((scene.whole / path).read_bytes(), path))
    survives(
        scene,
        command,
        capsys,
        lambda water: (water / path).write_bytes(content),
        believed=command in BELIEVED.get(kind, set()),
    )


@with_commands
@given(data=st.data(), command=st.sampled_from(["forecast", "issue"]))
def test_a_damaged_calibration_costs_a_replay_and_changes_nothing(
    scene: Scene, capsys: pytest.CaptureFixture[str], data: st.DataObject, command: str
) -> None:
    content = data.draw(damaged_file((scene.whole / STATE).read_bytes(), STATE))
    result = survives(scene, command, capsys, lambda water: (water / STATE).write_bytes(content))
    assert result.code == 0


@with_commands
@given(data=st.data(), name=st.sampled_from(BUNDLE), command=commands)
def test_a_damaged_bundle_is_refused(
    scene: Scene, capsys: pytest.CaptureFixture[str], name: str, data: st.DataObject, command: str
) -> None:
    path = in_use(scene) / name
    content = data.draw(damaged_file(path.read_bytes(), name))
    survives(
        scene,
        command,
        capsys,
        lambda water: (in_use(scene, water) / name).write_bytes(content),
    )


@with_commands
@given(data=st.data(), name=st.sampled_from(SIGNED), command=commands)
def test_a_damaged_bundle_with_new_checksums_ends_in_no_traceback(
    scene: Scene, capsys: pytest.CaptureFixture[str], name: str, data: st.DataObject, command: str
) -> None:
    content = data.draw(damaged_file((in_use(scene) / name).read_bytes(), name))

    def change(water: Path) -> None:
        folder = in_use(scene, water)
        (folder / name).write_bytes(content)
        digest = write_sums(folder)[:12]
        folder.rename(folder.with_name(digest))
        (water / "current").write_text(digest)

    survives(scene, command, capsys, change, believed=True)


def in_use(scene: Scene, folder: Path | None = None) -> Path:
    """Folder of the bundle in use."""
    name = (scene.whole / "current").read_text().strip()
    return (folder or scene.whole) / "bundles" / name


def test_every_command_reads_whole_files(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        assert expected(scene, command, capsys).code in {0, 3, 4}
    assert json.loads(scene.expected["issue"].file)["issue_time"] == NEXT
    assert scene.expected["serve"].out == "heat water"
    assert "0 problems" in scene.expected["audit"].out
