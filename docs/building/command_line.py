"""The commands with all their options, as Typer writes them down."""

from __future__ import annotations

import re
import subprocess
import sys

EXAMPLES = re.compile(r"(?:^  paretocast .*\n+)+", re.M)


def command_line_page() -> str:
    """Markdown on every command: what it does, examples, arguments and options."""
    command = [sys.executable, "-m", "typer", "paretocast.cli", "utils", "docs"]
    words = [*command, "--name", "paretocast", "--title", "Command line"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    text = re.sub(r"\[bold\](.*?)\[/bold\]", r"**\1**", text, flags=re.S)
    text = EXAMPLES.sub(_as_block, text)
    return re.sub(r"^\* `--help`: .*\n", "", text, flags=re.M)


def _as_block(found: re.Match[str]) -> str:
    lines = [line.strip() for line in found[0].splitlines() if line.strip()]
    return "\n".join(["```console", *lines, "```", "", ""])
