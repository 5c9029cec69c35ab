"""The page of a two-stage study, whose levels come after its first drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from commands import exit_code, write_zone
from paretocast.workspace.files import load_json
from paretocast.workspace.runs import RunDirectory, stage_2_result

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

SETTINGS = """
strategy = "two-stage"
[training]
steps = 4
batch_size = 16
n_evaluations = 1
n_rungs = 1
"""


def test_the_page_shows_the_levels_of_the_second_stage(tmp_path: Path) -> None:
    write_zone(tmp_path, days=300)
    (tmp_path / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    words = ["tune", "--model", "RIDGE", "--dataset", str(tmp_path / "zone.toml")]
    words += ["--settings", str(tmp_path / "settings.toml"), "--trials", "2", "--threads", "1"]
    words += ["--workspace", str(tmp_path / "hpo")]
    page = RunDirectory(tmp_path / "hpo", "RIDGE", "my_zone", "a").page("study")
    levels = stage_2_result(tmp_path / "hpo", "RIDGE", "my_zone")

    assert exit_code(*words, "--job-id", "a", "--stage", "1") == 0
    assert "has not run yet" in page.read_text(encoding="utf-8")
    for options in (("--job-id", "a", "--resume"), ("--stage", "2", "--target-coverage", "70")):
        assert exit_code(*words, *options) == 0
        drawn, found = page.read_text(encoding="utf-8"), load_json(levels)
        assert f"is to cover {found['target_coverage']:g} %" in drawn
        assert f"{found['levels']['q_low']:.4f}" in drawn
    assert found["target_coverage"] == 70.0
