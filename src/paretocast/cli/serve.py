"""`paretocast serve`: answer requests for forecasts over HTTP."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.display import print_note
from paretocast.errors import SettingsError
from paretocast.registry import load_plugins

if TYPE_CHECKING:
    from fastapi import FastAPI

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A deployment, or a folder with deployments.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer.")] = 1,
    max_body_mib: Annotated[
        float, typer.Option(min=0.001, help="Larger request bodies are refused.")
    ] = 8.0,
) -> None:
    """Serve the forecasts of deployments over HTTP, with a page for each.

    POST needs the token of PARETOCAST_TOKEN. Without one, POST is for programs on this machine.
    GET is open to everybody who reaches the port. SIGTERM ends it after the requests under way,
    SIGHUP replaces the processes one by one.

    [bold]paretocast serve deploy/ --port 8000[/bold]
    """
    try:
        from uvicorn import Config
        from uvicorn.supervisors import Multiprocess

        from paretocast.deployment.server import TOKEN_VARIABLE, read_token
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is not installed; pip install 'paretocast[serve]' brings it"
        ) from error

    # Requests are answered side by side already; more threads for each would only be in the way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    application = partial(_application, folder, max_body_bytes=int(max_body_mib * 2**20))
    application()  # a worker with a wrong setting would be started again and again
    if read_token(os.environ) is None and host not in LOOPBACK:
        print_note(f"{TOKEN_VARIABLE} is not set: POST is refused from other machines")
    with TemporaryDirectory(prefix="paretocast-") as counts, _listen(host, port) as listener:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = counts
        config = Config(
            application,
            factory=True,
            workers=workers,
            access_log=False,
            log_level="warning",
            # The true address is what a request without a token is judged by.
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=30,
            # A worker has so long to read its bundles, and to answer that it lives.
            timeout_worker_healthcheck=30,
        )
        name = f"[{host}]" if ":" in host else host
        typer.echo(f"http://{name}:{listener.getsockname()[1]}")
        sys.stdout.flush()
        Multiprocess(config, sockets=[listener]).run()


def _application(folder: Path, *, max_body_bytes: int) -> FastAPI:
    """The application of a worker process, which has to load plugins itself."""
    from paretocast.deployment.server import create_app
    from paretocast.report.serving import ServerPages

    load_plugins()
    _end_with_parent()
    return create_app(folder, pages=ServerPages(), max_body_bytes=max_body_bytes)


def _end_with_parent() -> None:
    """End this process once the command is gone: it would keep the port otherwise."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="parent").start()


def _listen(host: str, port: int) -> socket.socket:
    """A socket that connections wait at until a worker takes them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise SettingsError(
            f"{host}:{port} cannot be listened on: {error.strerror}; choose another --port or "
            "--host"
        ) from error
    # Connections inherit it, and asyncio sets it for none that come this way. Without it the body
    # of an answer waits 40 ms for the client's word that the head has come.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
