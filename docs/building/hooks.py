"""Pages of the site that are made of something else: the README, the notebooks, the commands.

`mkdocs.yml` names this file as a hook.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
from command_line import command_line_page
from links import ROOT_PAGES, with_site_links
from notebook import notebook_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
COMMAND_LINE, DECISIONS = "reference/command_line.md", "decisions/index.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List every decision in the navigation, so that a new one needs no entry."""
    (decisions,) = (entry["Decisions"] for entry in config.nav or [] if "Decisions" in entry)
    decisions += [f"decisions/{path.name}" for path in sorted((DOCS / "decisions").glob("*.md"))]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file in `docs` holds."""
    for name, content in generated_pages():
        files.append(File.generated(config, name, content=content))
    return files


def generated_pages() -> Iterator[tuple[str, str]]:
    """Name and Markdown of each page that is made here."""
    for source, page in ROOT_PAGES.items():
        yield page, (ROOT / source).read_text("utf-8")
    for path in sorted((DOCS / "notebooks").glob("*.ipynb")):
        yield f"notebooks/{path.stem}.md", notebook_page(path)
    yield DECISIONS, decisions_page()
    yield COMMAND_LINE, command_line_page()


def decisions_page() -> str:
    """List of the decisions by their headings."""
    rows = []
    for path in sorted((DOCS / "decisions").glob("*.md")):
        heading = path.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        rows.append(f"- [{heading}]({path.name})")
    told = "Each has its context, the choice, and what was given up."
    return "\n".join(["# Decisions", "", told, "", *rows, ""])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Turn links of the repository into links of the site."""
    name = page.file.src_uri
    if name in {COMMAND_LINE, DECISIONS}:
        return markdown
    return with_site_links(markdown, name, config.extra["repository"])
