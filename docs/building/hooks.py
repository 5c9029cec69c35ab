"""Pages of the site that are made of something else: the README, the notebooks, the commands.

`mkdocs.yml` names this file as a hook. The sources keep links that work in the repository; they are
turned here into links of the site.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
from command_line import command_line_page
from notebook import notebook_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
SOURCES = {page: source for source, page in ROOT_PAGES.items()}
LINK = re.compile(r"(\]\(|^\[[^\]]+\]: +)([^)\s]+)", re.M)
FENCED = re.compile(r"^```.*?^```", re.M | re.S)


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
    yield "decisions/index.md", decisions_page()
    yield "reference/command_line.md", command_line_page()


def decisions_page() -> str:
    """List of the decisions by their headings."""
    rows = []
    for path in sorted((DOCS / "decisions").glob("*.md")):
        heading = path.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        rows.append(f"- [{heading}]({path.name})")
    told = "Each has its context, the choice, and what was given up."
    return "\n".join(["# Decisions", "", told, "", *rows, ""])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Turn links of the repository into links of the site, code blocks left alone."""
    name = page.file.src_uri
    if name == "reference/command_line.md" or name.startswith("decisions/index"):
        return markdown
    source = SOURCES.get(name, f"docs/{name}")
    repository = config.extra["repository"]
    parts = FENCED.split(markdown)
    code = FENCED.findall(markdown)
    turned = [
        LINK.sub(lambda found: found[1] + site_link(found[2], source, name, repository), part)
        for part in parts
    ]
    return "".join(text + block for text, block in zip(turned, [*code, ""], strict=True))


def site_link(target: str, source: str, page: str, repository: str) -> str:
    """Target of a link of a page, or the address of the file in the repository.

    Parameters
    ----------
    target : str
        As it stands in the source: relative to it, or absolute in the repository.
    source, page : str
        Paths of the source in the repository and of the page in the site.
    repository : str
        Address of the repository.
    """
    raw = repository.replace("github.com", "raw.githubusercontent.com") + "/main/"
    for start in (f"{repository}/blob/main/", f"{repository}/tree/main/", raw):
        if target.startswith(start):
            path = target.removeprefix(start)
            break
    else:
        if re.match(r"[a-z]+:|#", target):
            return target
        path = posixpath.join(posixpath.dirname(source), target)
    path, _, anchor = path.partition("#")
    inside = posixpath.normpath(path)
    if inside in ROOT_PAGES:
        goal = ROOT_PAGES[inside]
    elif inside == "docs/decisions":
        goal = "decisions/index.md"
    elif inside.startswith("docs/"):
        goal = re.sub(r"\.ipynb$", ".md", inside.removeprefix("docs/"))
    else:
        return f"{repository}/blob/main/{inside}{f'#{anchor}' if anchor else ''}"
    relative = posixpath.relpath(goal, posixpath.dirname(page) or ".")
    return f"{relative}#{anchor}" if anchor else relative


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List every decision in the navigation, so that a new one needs no entry."""
    (decisions,) = (entry["Decisions"] for entry in config.nav or [] if "Decisions" in entry)
    decisions += [f"decisions/{path.name}" for path in sorted((DOCS / "decisions").glob("*.md"))]
    return config
