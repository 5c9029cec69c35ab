"""Pages of a series that has no unit: no empty brackets, no separators beside nothing."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from commands import exit_code, write_zone
from paretocast.workspace.runs import RunDirectory

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)
BESIDE_NOTHING = re.compile(r"\(\)|· ·|\S ·\s*$| , |^\s*,", re.MULTILINE)


def visible(page: Path) -> str:
    """The texts of a page, each in a line."""
    markup = re.sub(r"<(script|style).*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.S)
    return unescape(re.sub(r"<[^>]*>", "\n", markup))


def test_no_page_leaves_room_for_a_unit_that_is_not_there(tmp_path: Path) -> None:
    zone = write_zone(tmp_path, days=300)
    text = zone.read_text(encoding="utf-8")
    zone.write_text(text.replace('unit = "kWh"\n', ""), encoding="utf-8")
    run = RunDirectory(tmp_path / "hpo", "RIDGE", "my_zone", "a")
    words = ["tune", "--model", "RIDGE", "--dataset", str(zone), "--trials", "2", "--job-id", "a"]
    assert exit_code(*words, "--threads", "1", "--workspace", str(tmp_path / "hpo")) == 0
    assert exit_code("diagnose", str(run.folder)) == 0
    deployed = tmp_path / "hpo" / "deploy"
    assert exit_code("deploy", str(run.folder), "--to", str(deployed)) == 0
    forecast, described = tmp_path / "forecast.html", tmp_path / "series.html"
    data = ("--data", str(tmp_path / "my_zone.csv"))
    assert exit_code("forecast", str(deployed), *data, "--page", str(forecast)) in {0, 3}
    assert exit_code("data", "describe", str(zone), "--page", str(described)) == 0
    for page in (run.page("study"), run.page("diagnosis"), forecast, described):
        assert BESIDE_NOTHING.findall(visible(page)) == [], page.name
