"""Pages of the documentation site that are made of the README, of notebooks and of commands."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/owner/name"


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a module that builds pages as its neighbours do."""
    monkeypatch.syspath_prepend(ROOT / "docs" / "building")
    return importlib.import_module


@pytest.mark.parametrize(
    ("page", "target", "turned"),
    [
        (
            "index.md",
            f"{REPOSITORY}/blob/main/docs/search.md#many-workers",
            "search.md#many-workers",
        ),
        ("index.md", f"{REPOSITORY}/tree/main/docs/decisions", "decisions/index.md"),
        ("index.md", "https://raw.githubusercontent.com/owner/name/main/docs/a.png", "a.png"),
        ("python.md", "notebooks/first_study.ipynb", "notebooks/first_study.md"),
        ("decisions/anchor.md", "../settings.md#samplers", "../settings.md#samplers"),
        ("clusters.md", "../SECURITY.md", "security.md"),
        ("start.md", "../examples/demo.toml", f"{REPOSITORY}/blob/main/examples/demo.toml"),
        ("start.md", "#here", "#here"),
        ("start.md", "https://open-meteo.com", "https://open-meteo.com"),
    ],
)
def test_a_link_of_the_repository_becomes_one_of_the_site(
    builder: Callable[[str], ModuleType], page: str, target: str, turned: str
) -> None:
    links = builder("links")
    assert links.with_site_links(f"[a]({target})", page, REPOSITORY) == f"[a]({turned})"
    assert links.with_site_links(f"[a]: {target}", page, REPOSITORY) == f"[a]: {turned}"


def test_links_in_code_are_left_alone(builder: Callable[[str], ModuleType]) -> None:
    text = "```\n[a](../SECURITY.md)\n```\n[a](../SECURITY.md)\n"
    assert builder("links").with_site_links(text, "start.md", REPOSITORY) == (
        "```\n[a](../SECURITY.md)\n```\n[a](security.md)\n"
    )


def test_a_notebook_keeps_its_outputs_and_text_that_looks_like_html(
    builder: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "Told."]},
        {
            "cell_type": "code",
            "source": ["1 + 1"],
            "outputs": [
                {"output_type": "stream", "text": ["<script>\n"]},
                {"output_type": "execute_result", "data": {"text/html": ["<p>\n", "\n", "2</p>"]}},
            ],
        },
    ]
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    page = builder("notebook").notebook_page(path)
    assert page.startswith("# Title\n\n")
    assert "```python\n1 + 1\n```" in page
    assert "```text\n<script>\n```" in page
    assert '<div class="output">\n<p>\n2</p>\n</div>' in page  # a blank line would end the block


def test_the_commands_are_listed_with_all_their_options(
    builder: Callable[[str], ModuleType],
) -> None:
    page = builder("command_line").command_line_page()
    assert page.startswith("# Command line\n")
    listed = page.split("**Commands**:")[1].split("\n## ")[0]
    assert "* [`data`](#paretocast-data): Begin, list, check and describe data sets." in listed
    assert "..." not in listed
    assert not re.search(r"\[/?bold\]|<span", page)
    section = page.split("\n## `paretocast tune`\n")[1].split("\n## ")[0]
    assert "paretocast tune --model NHITS_Q --dataset demo --trials 8\n" in section
    assert "\n* `--time-limit <str>`: " in section


@pytest.mark.slow
def test_the_site_is_built_without_a_broken_link_and_loads_nothing_from_elsewhere(
    tmp_path: Path,
) -> None:
    pytest.importorskip("material", reason="the extra docs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > 40
    loaded = re.compile(r"<(?:script|img|iframe|link)[^>]+(?:src|href)=\"?(?:https?:)?//[^>]+")
    assert [
        (page.name, found) for page in pages if (found := loaded.findall(page.read_text()))
    ] == []
