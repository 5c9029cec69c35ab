"""Text of a user on the terminal: brackets, colons and steering sequences stay what they are."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from rich.text import Text

import paretocast.cli
from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.display import print_note
from paretocast.cli.tables import Column, TerminalTable
from paretocast.formatting import from_here

HOSTILE = "runs [old] w[/b]x [bold]kWh [net] :smile:"


def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    stdout_console().print(f"results in {HOSTILE}", highlight=False)
    stderr_console().print(HOSTILE, style="red", soft_wrap=True)
    print_note(HOSTILE)
    out, err = capsys.readouterr()
    assert out == f"results in {HOSTILE}\n"
    assert err == f"{HOSTILE}\nnote {HOSTILE}\n"


def test_sequences_that_steer_a_terminal_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[31mb\r\u202ec"
    stdout_console().print(name)
    stdout_console().print(Text(name.replace("\r", "")))
    print_note(name)
    table = TerminalTable((Column("name", left=True),))
    table.add(name)
    table.print()
    out, err = capsys.readouterr()
    shown = "a\\x1b[31mb\\r\\u202ec"
    assert out.splitlines()[:2] == [shown, shown.replace("\\r", "")]
    assert shown in out.splitlines()[-2]
    assert err == f"note {shown}\n"
    assert not {"\x1b", "\r", "\u202e"} & set(out + err)


def test_whoever_prints_in_bold_or_in_colour_asks_for_it() -> None:
    """Tags without `markup=True` would be printed as they are."""
    for path in Path(paretocast.cli.__file__).parent.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            texts = [n.value for n in ast.walk(call) if isinstance(n, ast.Constant)]
            tagged = any(isinstance(t, str) and ("[/" in t or "[bold]" in t) for t in texts)
            if call.func.attr == "print" and tagged:
                keywords = {keyword.arg for keyword in call.keywords}
                assert "markup" in keywords, f"{path.name}, line {call.lineno}"


def test_a_path_below_the_working_directory_is_told_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert from_here(tmp_path / "hpo" / "page.html") == Path("hpo/page.html")
    assert from_here(Path("hpo/page.html")) == Path("hpo/page.html")
    assert from_here(tmp_path.parent / "page.html") == tmp_path.parent / "page.html"
