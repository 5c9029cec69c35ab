"""Help, completion and errors of the command line, as a user meets them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from commands import run_cli
from paretocast.cli import app
from paretocast.formatting import did_you_mean

COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]


@pytest.mark.parametrize("words", [[], ["data"], ["data", "list"], *([name] for name in COMMANDS)])
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, short, _ = run_cli(capsys, *words, "-h")
    assert code == 0
    assert f"Usage: {' '.join(['paretocast', *words])}" in short


@pytest.mark.parametrize("words", [[], ["data"], ["data", "list"], ["tune"]])
def test_h_is_short_for_help(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run_cli(capsys, *words, "-h") == run_cli(capsys, *words, "--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_wrapped_by_the_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No line of a paragraph ends where the next word would have fitted in."""
    monkeypatch.setenv("COLUMNS", "80")
    told = run_cli(capsys, name, "-h")[1].partition("╭")[0].splitlines()
    for line, following in pairwise(told):
        if line.strip() and following.strip():
            assert len(line.rstrip()) + 1 + len(following.split()[0]) > 79, line


def test_every_command_stands_in_a_group_of_the_help() -> None:
    panels = [command.rich_help_panel for command in app.registered_commands]
    assert all(isinstance(panel, str) for panel in panels)
    assert len(set(panels)) < len(panels) / 2


def test_a_shell_can_complete_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_PARETOCAST_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "paretocast cali")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert "calibrate" in run_cli(capsys)[1].split()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tnue"], "error: No such command 'tnue'. Did you mean 'tune'?"),
        (["data", "descrieb"], "Did you mean 'describe'?"),
        (["tune", "--trails", "3"], "error: No such option: --trails (Possible options: "),
        (["tune", "--trials", "x"], "error: Invalid value for '--trials'"),
        (["tune", "--model", "nhit"], "did you mean NHITS_Q?"),
        (["data", "describe", "heet"], "did you mean heat?"),
        (["tune", "--sampler", "tp"], "did you mean tpe?"),
        (["tune", "--objectives", "mea"], "did you mean mae?"),
        (["benchmark", "--methods", "tunde"], "did you mean tuned?"),
    ],
)
def test_an_error_is_one_line_that_names_what_was_meant(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    code, out, err = run_cli(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert "─" not in err


def test_a_name_that_is_near_nothing_is_asked_nothing() -> None:
    assert did_you_mean("xyz", ["NHITS_Q", "heat"]) == ""


def test_errors_are_red_on_a_terminal_and_have_no_colour_where_none_is_wanted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    for words in (["data", "describe", "heet"], ["tnue"]):
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert "\x1b[31m" in run_cli(capsys, *words)[2]
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b" not in run_cli(capsys, *words)[2]
