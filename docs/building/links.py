"""Links of the sources, which work in the repository, as links of the site."""

from __future__ import annotations

import posixpath
import re

ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
SOURCES = {page: source for source, page in ROOT_PAGES.items()}
LINK = re.compile(r"(\]\(|^\[[^\]]+\]: +)([^)\s]+)", re.M)
FENCED = re.compile(r"^```.*?^```", re.M | re.S)


def with_site_links(markdown: str, page: str, repository: str) -> str:
    """Text of a page with links of the site; code blocks are left alone.

    Parameters
    ----------
    markdown : str
        As it stands in the repository.
    page : str
        Path of the page in the site.
    repository : str
        Address of the repository on GitHub.
    """
    source = SOURCES.get(page, f"docs/{page}")
    texts = [
        LINK.sub(lambda found: found[1] + site_link(found[2], source, page, repository), text)
        for text in FENCED.split(markdown)
    ]
    blocks = [*FENCED.findall(markdown), ""]
    return "".join(text + block for text, block in zip(texts, blocks, strict=True))


def site_link(target: str, source: str, page: str, repository: str) -> str:
    """Target of a link of a page, or the address of the file in the repository.

    Parameters
    ----------
    target : str
        As it stands in the source: relative to it, or absolute in the repository.
    source, page : str
        Paths of the source in the repository and of the page in the site.
    repository : str
        Address of the repository on GitHub.
    """
    raw = repository.replace("github.com", "raw.githubusercontent.com")
    starts = (f"{repository}/blob/main/", f"{repository}/tree/main/", f"{raw}/main/")
    if start := next((start for start in starts if target.startswith(start)), None):
        path = target.removeprefix(start)
    elif re.match(r"[a-z]+:|#", target):
        return target
    else:
        path = posixpath.join(posixpath.dirname(source), target)
    path, sign, anchor = path.partition("#")
    goal = _page_of(posixpath.normpath(path))
    if goal is None:
        return f"{repository}/blob/main/{posixpath.normpath(path)}{sign}{anchor}"
    return posixpath.relpath(goal, posixpath.dirname(page) or ".") + sign + anchor


def _page_of(path: str) -> str | None:
    """Page or file of the site that a file of the repository becomes, if it becomes one."""
    if path in ROOT_PAGES:
        return ROOT_PAGES[path]
    if path == "docs/decisions":
        return "decisions/index.md"
    if path.startswith("docs/"):
        return re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/"))
    return None
