"""Secrets planted in every place that takes one, and looked for in all that a run leaves."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from commands import run_cli

SMALL = Path(__file__).parents[1] / "data" / "earlier_study"
SETTINGS = """
dataset = "user/small.toml"
trials = 1
device = "cpu"
threads = 1
recipe = []
[training]
steps = 2
n_evaluations = 1
[racing]
max_seeds = 1
[space.NHITS_Q]
layer_widths = {values = [16]}
"""
# No database answers at any of these: what is said of it must not repeat the secret.
URLS = (
    "postgresql://me:geheim@127.0.0.1:1/hpo",
    "postgresql://me:ge/heim@127.0.0.1:1/hpo",
    "postgresql://127.0.0.1:1/hpo?password=geheim",
    "postgresql://127.0.0.1:1/hpo?sslpassword=geheim",
    "nonsense://me:geheim@127.0.0.1:x/hpo?token=geheim",
    "grpc://me:ge/heim@127.0.0.1:1",
)
PROFILES = (
    'setup = ["export PGPASSWORD=geheim"]',
    'setup = ["psql postgresql://me:ge/heim@db/hpo"]',
    'program = ["env", "API_KEY=geheim", "paretocast"]',
    'extra = ["--export=TOKEN=geheim"]',
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "user").mkdir()
    for name in ("small.toml", "small.csv"):
        shutil.copy(SMALL / name, tmp_path / "user")
    return tmp_path


def holds_secret(*texts: str, folder: Path) -> list[str]:
    """Outputs and files in which a secret stands."""
    found = [text for text in texts if "heim" in text]
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return found + [str(path) for path in paths if b"heim" in path.read_bytes()]


@pytest.mark.parametrize(
    ("url", "by"),
    [*((url, "option") for url in URLS), (URLS[1], "settings"), (URLS[1], "environment")],
)
def test_the_secret_of_a_storage_is_neither_said_nor_stored(
    capsys: pytest.CaptureFixture[str],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    by: str,
) -> None:
    file = place / "user" / "s.toml"
    file.write_text((f'storage = "{url}"\n' if by == "settings" else "") + SETTINGS)
    words = ["--settings", str(file), "--workspace", str(place / "hpo")]
    if by == "option":
        words += ["--storage", url]
    if by == "environment":
        monkeypatch.setenv("PARETOCAST_STORAGE", url)
    code, out, err = run_cli(capsys, "tune", *words)
    assert code != 0
    assert "storage" in err
    assert not holds_secret(out, err, folder=place / "hpo")


@pytest.mark.filterwarnings("ignore:Query string argument")
def test_a_token_of_a_storage_that_works_is_stored_nowhere(
    capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    (place / "user" / "s.toml").write_text(SETTINGS)
    url = f"sqlite:///{place / 'user' / 'x.db'}?token=geheim"
    words = ["--settings", "user/s.toml", "--workspace", "hpo", "--storage", url]
    code, out, err = run_cli(capsys, "tune", *words)
    assert code == 0, err
    assert not holds_secret(out, err, folder=place / "hpo")


@pytest.mark.parametrize("line", PROFILES)
def test_a_secret_of_a_profile_reaches_neither_script_nor_output(
    capsys: pytest.CaptureFixture[str], place: Path, line: str
) -> None:
    (place / "config" / "paretocast").mkdir(parents=True)
    text = f"[profiles.cpu]\nexecutor = 'background'\n{line}\n"
    (place / "config" / "paretocast" / "cluster.toml").write_text(text)
    for more in ((), ("--dry-run",)):
        code, out, err = run_cli(capsys, "submit", "NHITS_Q", "demo", "1", *more)
        assert code == 2
        assert "of the profile holds a password or token" in err
        assert not holds_secret(out, err, folder=place / "hpo")


def test_a_secret_among_the_options_reaches_no_script(
    capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    words = ("--storage", "postgresql://127.0.0.1:1/hpo?password=geheim")
    code, out, err = run_cli(capsys, "submit", "NHITS_Q", "demo", "1", "--", *words)
    assert code == 2
    assert not holds_secret(out, err, folder=place / "hpo")


def test_scripts_and_submissions_are_for_their_owner(
    capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    (place / "config" / "paretocast").mkdir(parents=True)
    text = "[profiles.cpu]\nexecutor = 'background'\nprogram = ['true']\n"
    (place / "config" / "paretocast" / "cluster.toml").write_text(text)
    code, _, err = run_cli(capsys, "submit", "NHITS_Q", "demo", "1")
    assert code == 0, err
    private = [*place.glob("hpo/**/*.sh"), *place.glob("hpo/**/submission_*.json")]
    assert len(private) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
