"""A local server of a workspace's site, which follows studies under way.

It answers GET on this machine's own address alone, and reads nothing but pages of the workspace and
the script that they share. A request that was sent to another host's name is refused: a page of
that host could otherwise read the answers.
"""

from __future__ import annotations

import json
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from paretocast.cluster.auto import AutoExecutor
from paretocast.errors import SettingsError, StoreError
from paretocast.report import catalogue, following, index, site
from paretocast.workspace import files

if TYPE_CHECKING:
    from pathlib import Path

    from paretocast.report.catalogue import Catalogue
    from paretocast.workspace.runs import RunDirectory

ADDRESS = "127.0.0.1"
PORT = 8765  # unless it is taken or another one is asked for
HOSTS = frozenset({"127.0.0.1", "localhost"})
CATALOGUE_SECONDS = 8.0  # between two looks at all studies and at the scheduler
LIVE = "live"
HTML, JSON, SCRIPT = "text/html", "application/json", "text/javascript"


class Viewer:
    """Answers of the server about one workspace; threads may share it.

    Parameters
    ----------
    workspace : Path
        Usually `./hpo`.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace.absolute()
        self._root = workspace.resolve()
        self._lock = threading.Lock()
        self._known: tuple[float, Catalogue] | None = None

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Type and content of what lies at a path of the server; None where nothing does.

        Parameters
        ----------
        path : str
            Decoded, with a slash before it.
        """
        parts = path.strip("/").split("/")
        if path in {"/", f"/{site.INDEX}"}:
            page = index.index_page(self._catalogue(), self._workspace, live=True)
            return HTML, page.encode("utf-8")
        if path == f"/{site.SCRIPT}":
            return SCRIPT, site.shared_script()
        if parts[0] == LIVE and len(parts) == 2:
            return self._live(parts[1])
        return self._page(parts)

    def _catalogue(self) -> Catalogue:
        with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > CATALOGUE_SECONDS:
                found = catalogue.collect(self._workspace, executor=AutoExecutor(self._workspace))
                self._known = time.monotonic(), found
            return self._known[1]

    def _live(self, name: str) -> tuple[str, bytes] | None:
        """The page of a study as it runs, or its snapshot; a name is compared, never opened."""
        if (run := self._run(name)) is not None:
            page = site.placed(following.follow_page(run), name, self._workspace)
            return HTML, page.encode("utf-8")
        if (run := self._run(name.removesuffix(".json"))) is not None:
            return JSON, _json(following.study_snapshot(run))
        return None

    def _run(self, name: str) -> RunDirectory | None:
        runs = (study.run for study in self._catalogue().studies)
        return next((run for run in runs if run.study_name == name), None)

    def _page(self, parts: list[str]) -> tuple[str, bytes] | None:
        """A page that lies in the workspace, links followed."""
        if any(part.startswith(".") or "\\" in part or "\0" in part for part in parts):
            return None
        path = self._root.joinpath(*parts).resolve()
        if path.suffix != ".html" or not path.is_relative_to(self._root):
            return None
        try:
            return HTML, files.load_bytes(path)
        except StoreError:
            return None


class _Handler(BaseHTTPRequestHandler):
    """Requests of browsers."""

    server: _Server

    def do_GET(self) -> None:
        """Send a page, a snapshot or an error."""
        self._send(with_content=True)

    def do_HEAD(self) -> None:
        """Send the headers of a page."""
        self._send(with_content=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401  (as inherited)
        """Keep quiet: a page asks every two seconds."""

    def version_string(self) -> str:
        """Name of the server, without versions."""
        return "paretocast"

    def _send(self, *, with_content: bool) -> None:
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in HOSTS:
            self.send_error(HTTPStatus.FORBIDDEN, "asked under another host's name")
            return
        try:
            found = self.server.viewer.answer(unquote(urlsplit(self.path).path, errors="replace"))
        except (StoreError, OSError) as error:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain=str(error))
            return
        if found is None:
            self.send_error(HTTPStatus.NOT_FOUND, "no page of the workspace")
            return
        kind, content = found
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "max-age=3600" if kind == SCRIPT else "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        if with_content:
            self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    """A server on this machine's own address."""

    daemon_threads = True

    def __init__(self, viewer: Viewer, port: int) -> None:
        self.viewer = viewer
        super().__init__((ADDRESS, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass over a browser that hangs up."""
        del request, client_address


def open_server(workspace: Path, port: int | None = None) -> ThreadingHTTPServer:
    """A server of a workspace that listens already; `serve_forever` answers.

    Parameters
    ----------
    port : int, optional
        0 for any; without it `PORT`, or any where that is taken.

    Raises
    ------
    StoreError
        If the workspace does not exist.
    SettingsError
        If the port cannot be listened on.
    """
    if not workspace.is_dir():
        raise StoreError(
            f"no workspace in {workspace}: paretocast tune makes one, --workspace names another "
            "place"
        )
    viewer = Viewer(workspace)
    if port is None:
        try:
            return _Server(viewer, PORT)
        except OSError:
            return _Server(viewer, 0)
    try:
        return _Server(viewer, port)
    except OSError as error:
        raise SettingsError(
            f"{ADDRESS}:{port} cannot be listened on: {error.strerror}; choose another --port"
        ) from error


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(files.without_nan(content), allow_nan=False).encode("utf-8")
