"""What the guide to clusters says is compared with the profiles."""

from __future__ import annotations

import re
from pathlib import Path

from paretocast.cluster.profiles import Profile, load_profiles

GUIDE = Path(__file__).parents[2] / "docs" / "clusters.md"


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
