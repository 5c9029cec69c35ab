"""Calibrator files, profiles of a cluster and ids of jobs that once came out wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from commands import exit_code
from refusals import ask, by_id, contents

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]

STORED = Path(__file__).parents[1] / "data" / "earlier_study"
NAN = float("nan")
LIST, NUMBER, WHOLE = (f"input should be a valid {kind}" for kind in ("list", "number", "integer"))
KIND = "kind {}, expected a version from 1 to 3 and one of shift, reading, adaptive, pid"


class Damage(NamedTuple):
    """What stands in a field of a calibrator, and words of what must be said about it."""

    method: str
    field: str
    value: object
    words: str

    @property
    def id(self) -> str:
        return f"cal_{self.method}_{self.field}"


DAMAGES = [
    Damage("cqr", "kind", {}, KIND),
    Damage("cqr", "shifts", {}, f"shifts is {{}}; {LIST}"),
    Damage("cqr", "floor", {}, f"floor is {{}}; {NUMBER}"),
    Damage("pid", "kind", {}, KIND),
    Damage("pid", "usual_error", {}, f"usual_error is {{}}; {NUMBER}"),
    Damage("pid", "recent_error", {}, f"recent_error is {{}}; {NUMBER}"),
    Damage("pid", "shifts", {}, f"shifts is {{}}; {LIST}"),
    Damage("pid", "learned_until", {}, f"learned_until is {{}}; {WHOLE}"),
    # What `error_sums` held stands in the calibrator below, `base`, today.
    Damage("pid", "error_sums", {}, "base.name is missing"),
    Damage("aci", "kind", {}, KIND),
    Damage("aci", "adapted", {}, f"adapted is {{}}; {LIST}"),
    Damage("aci", "lowest", NAN, "NaN is no number of JSON"),
    Damage("aci", "highest", NAN, "NaN is no number of JSON"),
    Damage("aci", "learned_until", {}, f"learned_until is {{}}; {WHOLE}"),
    Damage("isotonic", "kind", {}, KIND),
    Damage("isotonic", "readings", {}, f"readings is {{}}; {LIST}"),
    Damage("cqr-hour-season", "kind", {}, KIND),
    Damage("cqr-hour-season", "floor", {}, f"floor is {{}}; {NUMBER}"),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set, the folder of its finished study, and a calibrator of each method.

    The study lies in `run`, the calibrators in files called after their methods.
    """
    folder = tmp_path_factory.mktemp("study")
    shutil.copytree(STORED, folder, dirs_exist_ok=True)
    run = folder / "hpo" / "results" / "NHITS_Q_small"
    text = (run / "manifest_old.json").read_text()
    (run / "manifest_old.json").write_text(
        text.replace("/data/small.toml", str(folder / "small.toml"))
    )
    for method in {damage.method for damage in DAMAGES}:
        words = ("--calibrator", method, "--output", folder / f"{method}.json")
        assert exit_code("calibrate", run, *words) == 0
    return folder


@by_id(DAMAGES)
def test_a_damaged_calibrator_is_refused(
    capsys: pytest.CaptureFixture[str], study: Path, case: Damage
) -> None:
    content: dict[str, Any] = json.loads((study / f"{case.method}.json").read_text())
    field = "base" if case.field == "error_sums" else case.field
    assert field in content["calibrator"]
    content["calibrator"][field] = case.value
    del content["digest"]  # which earlier versions did not write, and which would be told first
    (study / "changed.json").write_text(json.dumps(content))
    before = contents(study)
    words = ("--calibrator", study / "changed.json", "--split", "tune")
    answer = ask(capsys, "diagnose", study / "hpo", *words)
    answer.must(1, "changed.json is damaged", case.words, "`paretocast calibrate` writes it anew")
    assert contents(study) == before


def test_a_whole_calibrator_is_applied(capsys: pytest.CaptureFixture[str], study: Path) -> None:
    for method in {damage.method for damage in DAMAGES}:
        words = ("--calibrator", study / f"{method}.json", "--page", study / "page.html")
        ask(capsys, "diagnose", study / "hpo", "--split", "tune", *words).must(0, "by month")


def test_c_cov3_an_interval_beyond_the_levels_is_told(
    capsys: pytest.CaptureFixture[str], study: Path
) -> None:
    aim = ("--calibrator", "cqr", "--target-coverage", "99.9", "--output", study / "far.json")
    answer = ask(capsys, "calibrate", study / "hpo", *aim)
    answer.must(0, "the 99.9 % interval lies beyond the stored levels, 0.05 to 0.95", "tails")


class Profile(NamedTuple):
    """A profile file, and words of what must be said about it."""

    id: str
    text: str
    words: str


PROFILES = [
    Profile(
        "extra5",
        "[profiles.cpu]\nextra = ['--outpu=/etc/x']",
        "p.toml: profiles.cpu.extra: got ['--outpu=/etc/x']; --output is written by Paretocast",
    ),
    Profile(
        "setup_open",
        "[profiles.cpu]\nsetup = ['export A=\"open']",
        "setup of the profile is no bash",
    ),
    Profile(
        "prof_deep",
        f"a = {'[' * 5000}{']' * 5000}",
        "profile file p.toml is nested more than 32 deep",
    ),
]


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["submitted", "printed"])
@by_id(PROFILES)
def test_a_profile_is_refused(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: Profile,
    more: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.toml").write_text(case.text)
    before = contents(tmp_path)
    answer = ask(capsys, "submit", "NHITS_Q", "demo", 1, "--profile-file", "p.toml", *more)
    answer.must(2, case.words)
    assert contents(tmp_path) == before


def test_slurm_id_leads_out_of_no_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_JOB_ID", "../../../esc")
    answer = ask(capsys, "tune", "--test", "--dataset", "demo", "--workspace", "a/b/c/d")
    answer.must(
        2, "$SLURM_JOB_ID '../../../esc' cannot be part of a file name", "expected up to 64"
    )
    assert contents(tmp_path) == {}
