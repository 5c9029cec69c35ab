"""One site for each workspace: an index, pages that link to each other, their script once.

Pages are whole HTML files when they are made. Written into a workspace they share its
`site/plotly.min.js`, a hundredth of a page's weight then; written elsewhere they stay whole.
`update_site` writes the index and brings the links of every page up to date, so that none is dead:
it runs after whatever adds a page. A page is written under the lock of the site, because the links
of one process would else replace what another one writes.
"""

from __future__ import annotations

import contextlib
import os
import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from paretocast.errors import StoreError
from paretocast.report.catalogue import Page, collect
from paretocast.report.figures import plotly_javascript
from paretocast.report.index import index_page
from paretocast.report.page import NAVIGATION, POLICY, asset, inline_plotly
from paretocast.workspace import files
from paretocast.workspace.claims import StudyLock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INDEX = "index.html"
SCRIPT = "site/plotly.min.js"
# A page opened from a disk has no host: there `'self'` means nothing to some browsers.
SHARED_POLICY = POLICY.replace("'unsafe-inline';", "'unsafe-inline' 'self' file:;", 1)
_SHARED = re.compile(rf'<script src="(?:\.\./)*{re.escape(SCRIPT)}"></script>')
_STYLE = re.compile("<style>.*?</style>", re.DOTALL)
_LINKS = re.compile(re.escape(NAVIGATION[0]) + ".*?" + re.escape(NAVIGATION[1]), re.DOTALL)


def save_page(path: Path, page: str, *, workspace: Path | None) -> None:
    """Write a page, which shares the script of its figures where it lies in the workspace.

    Parameters
    ----------
    page : str
        As `page.document` gives it.
    workspace : Path or None
        None where there is none.
    """
    if workspace is None or not lies_in(path, workspace):
        files.save_text(path, page)
        return
    with _locked(workspace):
        _save_script(workspace)
        files.save_text(path, _shared(page, path, workspace))


def update_site(workspace: Path) -> Path:
    """Write the index of a workspace, and the links of its pages; return the index.

    Raises
    ------
    StoreError
        If the workspace cannot be written to.
    """
    with _locked(workspace):
        _save_script(workspace)
        catalogue = collect(workspace)
        files.save_text(workspace / INDEX, index_page(catalogue, workspace))
        for page, related in catalogue.neighbours():
            _refresh(page.path, related, workspace)
    return workspace / INDEX


def enclosing_workspace(path: Path) -> Path | None:
    """The workspace that a file lies in, as its site tells; None for one that lies in none."""
    folders = path.absolute().parents
    return next((folder for folder in folders if (folder / SCRIPT).is_file()), None)


def self_contained(path: Path) -> str:
    """A page of a workspace as a single file: its script inside, its links gone.

    Raises
    ------
    StoreError
        If it is no page of this package.
    """
    page = files.load_text(path)
    if not all(mark in page for mark in NAVIGATION):
        raise StoreError(
            f"{path} is no page that this version has written; expected one of a study, a "
            "benchmark or a diagnosis"
        )
    page = _LINKS.sub("".join(NAVIGATION), page)
    page = _SHARED.sub(lambda _: inline_plotly(), page).replace(SHARED_POLICY, POLICY, 1)
    return page


def placed(page: str, name: str, workspace: Path) -> str:
    """A page that a server makes and shows under `live/NAME`, with a link to the index."""
    path = workspace / "live" / name
    links = "".join((NAVIGATION[0], navigation(path, (), workspace), NAVIGATION[1]))
    script = f'<script src="../{SCRIPT}"></script>'
    return _LINKS.sub(lambda _: links, page.replace(inline_plotly(), script, 1), count=1).replace(
        "script-src 'unsafe-inline'", "script-src 'unsafe-inline' 'self'", 1
    )


def navigation(page: Path, related: Sequence[Page], workspace: Path) -> str:
    """Links of a page to the index and to the pages that belong to it, as HTML."""
    items = [f'<a href="{_address(workspace / INDEX, page)}">All results</a>']
    for other in related:
        if other.path == page:
            items.append(f'<span aria-current="page">{escape(other.title)}</span>')
        else:
            items.append(f'<a href="{_address(other.path, page)}">{escape(other.title)}</a>')
    listed = "".join(f"<li>{item}</li>" for item in items)
    return f'<nav aria-label="Pages of the workspace"><ul>{listed}</ul></nav>'


def _refresh(path: Path, related: Sequence[Page], workspace: Path) -> None:
    """Bring the links of a page up to date."""
    try:
        before, stamps = files.load_text(path), path.stat()
    except (StoreError, OSError):
        return
    page = _shared(before, path, workspace)
    if NAVIGATION[0] not in page:  # it is of an earlier version
        page = page.replace("<body>", f"<body>\n{''.join(NAVIGATION)}", 1)
        page = _STYLE.sub(lambda _: f"<style>\n{asset('page.css')}</style>", page, count=1)
    links = "".join((NAVIGATION[0], navigation(path, related, workspace), NAVIGATION[1]))
    page = _LINKS.sub(lambda _: links, page, count=1)
    if page != before:
        files.save_text(path, page)
        with contextlib.suppress(OSError):  # it is as old as its content: `tune` goes by that
            os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))


def _shared(page: str, path: Path, workspace: Path) -> str:
    """A page that takes the script of its figures from the workspace."""
    if inline_plotly() not in page:
        return page
    script = f'<script src="{_address(workspace / SCRIPT, path)}"></script>'
    return page.replace(inline_plotly(), script, 1).replace(POLICY, SHARED_POLICY, 1)


def _address(target: Path, page: Path) -> str:
    """A file as a link of a page names it; safe as the value of an attribute."""
    return quote(os.path.relpath(target.absolute(), page.absolute().parent), safe="/")


def lies_in(path: Path, workspace: Path) -> bool:
    """Return whether a file lies in the workspace, links followed."""
    return path.resolve().is_relative_to(workspace.resolve())


def _locked(workspace: Path) -> StudyLock:
    files.create_folder((workspace / SCRIPT).parent)
    return StudyLock((workspace / SCRIPT).with_name(".lock"))


def _save_script(workspace: Path) -> None:
    """Write the script that pages share, where it is missing or another version's."""
    path = workspace / SCRIPT
    content = shared_script()
    try:
        if path.stat().st_size == len(content):
            return
    except OSError:
        pass
    files.save_bytes(path, content)


@cache
def shared_script() -> bytes:
    """The script of all figures."""
    return plotly_javascript().encode("utf-8")
