"""The commands with all their options, as Typer writes them down."""

from __future__ import annotations

import re
import subprocess
import sys

BOLD = re.compile(r'<span style="font-weight: bold">(.*?)</span>|\[bold\](.*?)\[/bold\]', re.S)
EXAMPLES = re.compile(r"(?:^  paretocast .*\n+)+", re.M)
HELP = re.compile(r"^\* `--help`: .*\n", re.M)
NO_OPTIONS = re.compile(r"\*\*Options\*\*:\n++(?!\* )")
GROUP = re.compile(r"^## `(paretocast [a-z]+)`(?=(?:(?!^## ).)*\*\*Commands\*\*)", re.M | re.S)
ENTRY = re.compile(r"^\* `([a-z]+)`: .*", re.M)  # of a list of commands
FIRST = re.compile(r"^#+ `(paretocast [a-z ]+)`\n\n(.+(?:\n.+)*)", re.M)


def command_line_page() -> str:
    """Markdown on every command: what it does, examples, arguments and options."""
    command = [sys.executable, "-m", "typer", "paretocast.cli", "utils", "docs"]
    words = [*command, "--name", "paretocast", "--title", "Command line"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    text = BOLD.sub(lambda found: f"**{found[1] or found[2]}**", text)
    text = EXAMPLES.sub(_as_block, text)
    text = NO_OPTIONS.sub("", HELP.sub("", text))
    return _with_whole_entries(text)


def _as_block(found: re.Match[str]) -> str:
    lines = [line.strip() for line in found[0].splitlines() if line.strip()]
    return "\n".join(["```console", *lines, "```", "", ""])


def _with_whole_entries(text: str) -> str:
    """The lists of commands with links and the whole first paragraphs, which Typer cuts."""
    firsts = {name: " ".join(told.split()) for name, told in FIRST.findall(text)}
    begins = [("paretocast", 0), *((found[1], found.start()) for found in GROUP.finditer(text))]
    parts = []
    for (group, begin), (_, end) in zip(begins, [*begins[1:], ("", len(text))], strict=True):

        def entry(found: re.Match[str], group: str = group) -> str:
            name = f"{group} {found[1]}"
            return f"* [`{found[1]}`](#{name.replace(' ', '-')}): {firsts[name]}"

        parts.append(ENTRY.sub(entry, text[begin:end]))
    return "".join(parts)
