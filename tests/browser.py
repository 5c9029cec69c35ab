"""Chromium without a window, driven over a pipe; tests that need it are skipped where it is absent.

Commands and events of the DevTools protocol are JSON objects that end with a zero byte.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

COMMAND = next(
    (path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), ""
)
PATIENCE_SECONDS = 90.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Browser:
    """One page of a browser.

    Attributes
    ----------
    errors : list of str
        Errors on the console, exceptions and refused loads, of all pages so far.
    """

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands, self._answers = commands, answers
        self._number = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """The answer to a command."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, address: str) -> None:
        """Go to a page and wait until all it needs is there."""
        self._events.clear()
        loader = self.call("Page.navigate", url=address)["loaderId"]  # an event of another is late
        while not any(_is_load(event, loader) for event in self._events):
            self._read()

    def evaluate(self, script: str) -> Any:  # noqa: ANN401  (JSON values)
        """Value of a script in the page; of a promise, once it is kept."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until a script is true."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.evaluate(condition):
            assert time.monotonic() < deadline, f"{condition} did not become true"
            time.sleep(0.05)

    def resize(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Size of the window, and the colours that the reader prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed on A4."""
        printed = self.call(
            "Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True
        )
        return base64.b64decode(printed["data"])

    def _read(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(_until_zero(self._answers))
        if "method" in message:
            self._events.append(message)
            self._note(message["method"], message.get("params", {}))
        return message

    def _note(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.errors.append(str(details.get("exception", details).get("description", details)))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] == "error":
            self.errors.append(str([a.get("value") for a in parameters["args"]]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            entry = parameters["entry"]
            self.errors.append(f"{entry['text']} {entry.get('url', '')}")


def _is_load(event: dict[str, Any], loader: str) -> bool:
    """Return whether an event says that a page has what it needs."""
    told = event.get("params", {})
    return event["method"] == "Page.lifecycleEvent" and (told["name"], told["loaderId"]) == (
        "load",
        loader,
    )


def _until_zero(file: IO[bytes]) -> bytes:
    parts = bytearray()
    while (byte := file.read(1)) != b"\0":
        assert byte, "the browser has ended"
        parts += byte
    return bytes(parts)


@contextmanager
def running_browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile in a folder."""
    if not COMMAND:
        pytest.skip("chromium is absent")
    to_read, commands = os.pipe()
    answers, to_write = os.pipe()
    # The shell gives the browser the two ends of the pipes under the numbers that it looks for.
    program = f'exec "$@" 3<&{to_read} 4>&{to_write}'
    process = subprocess.Popen(
        ["bash", "-c", program, "bash", COMMAND, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(to_read, to_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        with os.fdopen(commands, "wb") as out, os.fdopen(answers, "rb") as back:
            yield Browser(out, back)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
