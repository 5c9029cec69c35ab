"""Settings and options of a search that once came out wrong: each is refused in words that name it.

The data set is that of `tests/data/earlier_study`. What is refused leaves nothing in the workspace.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from refusals import ask, ask_process, by_id, contents

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]

STORED = Path(__file__).parents[1] / "data" / "earlier_study"
SMALL = """
trials = 1
threads = 1
device = "cpu"
recipe = []
[training]
steps = 2
n_evaluations = 1
[racing]
max_seeds = 1
"""
SEARCH = ("tune", "--dataset", "small.toml", "--settings", "s.toml")
SECRET = "geheim"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a data set and files of settings, in which the command is given."""
    monkeypatch.chdir(tmp_path)
    for name in ("small.toml", "small.csv"):
        shutil.copy(STORED / name, tmp_path)
    (tmp_path / "s.toml").write_text(SMALL)
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "part.json").write_text('{"schema_version": 1, "model": "NHITS_Q"}')
    return tmp_path


class Settings(NamedTuple):
    """Lines of a settings file, and words of what must be said about them."""

    id: str
    lines: str
    words: tuple[str, ...]


def space(line: str) -> str:
    return f"[space.NHITS_Q]\n{line}"


SETTINGS = [
    Settings(
        "inhuge2",
        "[task]\ninput_steps = 99999999999999999999999",
        ("task.input_steps: got 99999999999999999999999", "less than or equal to 43800"),
    ),
    Settings(
        "tr_inf",
        "[training]\nclip_norm = inf",
        ("training.clip_norm: got inf", "should be a finite number"),
    ),
    Settings(
        "tr_rungs_huge",
        "[training]\nn_rungs = 1000000000",
        ("training.n_rungs: got 1000000000", "less than or equal to 1000"),
    ),
    Settings(
        "space_nan",
        space("lr = {low = nan, high = 0.1}"),
        ("space.NHITS_Q.lr.low", "got nan; Input should be a finite number"),
    ),
    Settings(
        "space_huge_stacks",
        space("num_stacks = {low = 1000000, high = 1000000}"),
        ("space.NHITS_Q: num_stacks: 1000000 is more than 50 times the published 5",),
    ),
    Settings(
        "space_mixed",
        space("layer_widths = {values = [128, 'x', true]}"),
        ("space.NHITS_Q.layer_widths.values", "true and false are no values of a parameter"),
    ),
    Settings("training_str", "training = 'x'", ("training: got 'x'", "valid dictionary")),
    Settings("racing_str", "racing = []", ("racing: got []", "valid dictionary")),
    Settings("obj_int", "objectives = 5", ("objectives: got 5", "valid tuple")),
    Settings(
        "honest_str_cov",
        "objectives = ['honest']\ntarget_coverage = 'x'",
        ("target_coverage: got 'x'", "valid number"),
    ),
    Settings("toml_bigint", f"seed = {'9' * 5000}", ("is not TOML", "value has 5000 digits")),
    Settings(
        "toml_deep", f"seed = {'[' * 5000}{']' * 5000}", ("s.toml is nested more than 32 deep",)
    ),
]


@by_id(SETTINGS)
def test_settings_are_refused(
    capsys: pytest.CaptureFixture[str], place: Path, case: Settings
) -> None:
    (place / "s.toml").write_text(case.lines)
    before = contents(place)
    ask(capsys, *SEARCH, "--threads", 1).must(2, "s.toml", *case.words)
    assert contents(place) == before


class Options(NamedTuple):
    """Options of a search, and words of what must be said about them."""

    id: str
    given: tuple[str, ...]
    words: tuple[str, ...]
    code: int = 2


DURATION = (f"duration '{'9' * 80}' is not understood", "expected e.g. 90s, 30m or 1h30m")
DATABASE = "127.0.0.1:1/hpo"
NO_ANSWER = (f"{DATABASE} fails", "Connection refused", "check the address")
ANEW = "`paretocast consolidate` makes it anew from the trials"
OPTIONS = [
    Options("tl_hugest", ("--time-limit", f"{'9' * 400}s"), DURATION),
    Options("tl_5000", ("--time-limit", f"{'9' * 5000}h"), DURATION),
    Options("th_huge", ("--threads", "1000000"), ("threads: got 1000000", "equal to 1024")),
    Options("ep_inf", ("--epochs", "inf"), ("training.epochs: got inf", "a finite number")),
    Options(
        "ws_list",
        ("--warm-start", "list.json"),
        ("list.json is damaged: the file is []", "valid dictionary", ANEW),
        1,
    ),
    Options(
        "ws_part",
        ("--warm-start", "part.json"),
        ("part.json is damaged: dataset is missing", ANEW),
        1,
    ),
    Options("wk_nul", ("--workspace", "w" * 5000), ("w… cannot be written to: File name too",), 1),
    Options(
        "tokenq",
        ("--storage", f"postgresql://{DATABASE}?sslpassword={SECRET}"),
        (f"postgresql://{NO_ANSWER[0]}", *NO_ANSWER[1:]),
        1,
    ),
    Options(
        "slashpw",
        ("--storage", f"postgresql://me:ge/{SECRET}@{DATABASE}"),
        (f"postgresql://me@{NO_ANSWER[0]}", *NO_ANSWER[1:]),
        1,
    ),
    Options("st2n_ignored", ("--stage", "2"), ("--stage 2", "--strategy two-stage")),
]


@by_id(OPTIONS)
def test_options_are_refused(
    capsys: pytest.CaptureFixture[str], place: Path, case: Options
) -> None:
    if "--epochs" in case.given:
        (place / "s.toml").write_text("trials = 1")
    before = contents(place)
    answer = ask(capsys, *SEARCH, *case.given)
    answer.must(case.code, *case.words)
    assert SECRET not in answer.text
    after = {name: content for name, content in contents(place).items() if content}  # no locks
    assert after == before


@pytest.mark.filterwarnings("ignore:Query string argument")
def test_sqtoken_a_token_of_a_storage_is_neither_said_nor_stored(
    capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    url = f"sqlite:///{place / 'x.db'}?token={SECRET}"
    answer = ask(capsys, *SEARCH, "--storage", url)
    answer.must(0, "trial 0", "results in")
    assert (place / "x.db").is_file()
    assert SECRET not in answer.text
    assert not [name for name, held in contents(place).items() if SECRET.encode() in held]


def test_threads_real_a_million_are_refused(place: Path) -> None:
    """In a process of its own, which they would end."""
    before = contents(place)
    answer = ask_process(*SEARCH, "--threads", 1_000_000, folder=place, gib=8.0)
    answer.must(2, "threads: got 1000000", "less than or equal to 1024")
    assert contents(place) == before
