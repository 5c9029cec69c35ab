from __future__ import annotations

import re
from pathlib import Path

import pytest

from paretocast.cluster.profiles import Profile, load_profiles, profile_files, time_seconds
from paretocast.errors import SettingsError

GUIDE = Path(__file__).parents[2] / "docs" / "clusters.md"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_profiles_can_be_used() -> None:
    a100 = load_profiles([]).choose("a100")
    assert (a100.gres, a100.cpus, a100.memory, a100.limit_seconds) == (
        "gpu:a100:1",
        8,
        "64G",
        12 * 3600,
    )
    assert a100.wants_gpu
    assert not load_profiles([]).choose("cpu").wants_gpu


def test_a_later_file_is_laid_over_an_earlier_one_key_by_key(tmp_path: Path) -> None:
    user = write(tmp_path / "a.toml", '[profiles.a100]\naccount = "p1"\ntime = "1:00:00"\n')
    over = write(tmp_path / "b.toml", 'default_profile = "a100"\n[profiles.a100]\ntime = "90"\n')
    profile = load_profiles([user, over]).choose(None)
    assert (profile.account, profile.time, profile.gres) == ("p1", "90", "gpu:a100:1")


def test_files_are_found_where_they_usually_lie(tmp_path: Path) -> None:
    config = write(tmp_path / "config" / "paretocast" / "cluster.toml", "")
    local = write(tmp_path / "hpo" / "cluster.toml", "")
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    named = tmp_path / "named.toml"
    assert profile_files(tmp_path / "hpo", named, environment) == (config, local, named)
    assert profile_files(tmp_path / "other", None, environment) == (config,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[profiles.x]\nmem = 3",
            r"x.toml: profiles.x.mem: unknown key; did you mean memory\? \(allowed: executor, p",
        ),
        ('[profiles.x]\ntime = "soon"', "profiles.x.time: time 'soon' is not understood"),
        ('[profiles.x]\ntime = "0"', "is no time at all"),
        ('[profiles.x]\nmemory = "lots"', "profiles.x.memory"),
        ('[profiles.x]\npartition = "a b"', "'a b' is not one word"),
        ('[profiles.x]\npartition = "a\\nb"', "holds a line break"),
        ('[profiles.x]\nsetup = ["a\\nb"]', "holds a line break"),
        ('[profiles.x]\nextra = ["-p x"]', "is not an option such as --qos=long"),
        ('[profiles.x]\nextra = ["--output=x"]', "--output is written by Paretocast"),
        ('[profiles.x]\nextra = ["--qos=a\\n#SBATCH --wrap=x"]', "holds a line break"),
        ("[profiles.x", "is not TOML"),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_profiles([write(tmp_path / "x.toml", text)])


def test_a_missing_file_and_an_unknown_profile_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nothing\.toml cannot be read"):
        load_profiles([tmp_path / "nothing.toml"])
    with pytest.raises(
        SettingsError, match="profile 'h100' is unknown, expected one of a100, cpu, here"
    ):
        load_profiles([]).choose("h100")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 300),
        ("5:30", 330),
        ("1:00:00", 3600),
        ("2-0", 172800),
        ("1-02:03", 93780),
        ("1-02:03:04", 93784),
    ],
)
def test_times_are_read_as_slurm_reads_them(text: str, seconds: int) -> None:
    assert time_seconds(text) == seconds


def test_the_signal_leaves_at_least_half_of_the_time_for_work() -> None:
    assert Profile(time="2", signal_seconds=300).lead_seconds == 60
    assert Profile(time="12:00:00", signal_seconds=300).lead_seconds == 300


def test_every_key_of_a_profile_is_documented() -> None:
    section = GUIDE.read_text("utf-8").split("\n| key |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    assert set(re.findall(r"\w+", " ".join(rows))) == set(Profile.model_fields)


def test_the_example_of_the_guide_is_accepted(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", GUIDE.read_text("utf-8"), re.DOTALL | re.M)
    path = tmp_path / "cluster.toml"
    path.write_text(text, encoding="utf-8")
    profiles = load_profiles([path])
    assert profiles.choose(None).gres == "gpu:a100:1"
    assert profiles.choose("debug").lead_seconds == 120
