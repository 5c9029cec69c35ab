"""A real PostgreSQL server for tests, where its programs are installed."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

USER, PASSWORD, DATABASE = "researcher", "open-sesame-73", "hpo"


@dataclass(frozen=True)
class Database:
    """A server on this machine that asks for a password."""

    port: int

    @property
    def url(self) -> str:
        """Its URL, without the password."""
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def pgpass(self) -> str:
        """The line of ~/.pgpass for it."""
        return f"127.0.0.1:{self.port}:{DATABASE}:{USER}:{PASSWORD}\n"


def find_programs() -> Path | None:
    """Folder of initdb and postgres, the newest version."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    folders += [Path(on_path).parent] if on_path else []
    return next((folder for folder in folders if (folder / "initdb").is_file()), None)


@contextlib.contextmanager
def running_database() -> Iterator[Database]:
    """Start a server, and remove it with its data."""
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed")
    owner = _owner()
    # sockets lie in it, so its path has to be short
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if owner is not None:
        shutil.chown(folder, owner)
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    (folder / "password").chmod(0o644)
    port = free_port()
    data = folder / "data"
    make = [str(programs / "initdb"), "-D", str(data), "-U", USER, "-A", "scram-sha-256"]
    make += [f"--pwfile={folder / 'password'}", "-E", "UTF8", "--no-sync"]
    serve = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
    serve += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    try:
        subprocess.run(make, user=owner, cwd=folder, check=True, capture_output=True, timeout=120)
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(serve, user=owner, cwd=folder, stdout=log, stderr=log) as server,
        ):
            try:
                database = Database(port)
                _create_database(database)
                yield database
            finally:
                server.send_signal(signal.SIGINT)  # does not wait for clients to leave
                server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _owner() -> str | None:
    """Whom the server runs as: it refuses to be root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    pytest.skip("nobody can run a PostgreSQL server here")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _create_database(database: Database) -> None:
    """Wait for the server, then make the database."""
    import psycopg

    deadline = time.monotonic() + 60.0
    while True:
        try:
            connection = psycopg.connect(
                host="127.0.0.1",
                port=database.port,
                user=USER,
                password=PASSWORD,
                dbname="postgres",
                autocommit=True,
            )
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            with connection:
                connection.execute(f'CREATE DATABASE "{DATABASE}"')
            return
