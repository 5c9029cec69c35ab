"""Tables of the terminal: no figure is cut, what is left out is named."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from outcomes import complete, outcome_of
from paretocast.cli.progress import BenchmarkProgress, StudyProgress
from paretocast.cli.tables import Column, TerminalTable
from paretocast.formatting import fixed, same_decimals, significant

ANSI = re.compile(r"\x1b\[[0-9;]*m")
TABLE = (
    Column("method", left=True),
    Column("MAE"),
    Column("why", rank=2, wrapped=True),
    Column("pinball", rank=1),
)


def printed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    table: TerminalTable,
    width: int | None,
) -> list[str]:
    """Lines of a table on a terminal so wide, or in a pipe."""
    if width is not None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(width))
    table.print()
    return [line.rstrip() for line in ANSI.sub("", capsys.readouterr().out).splitlines()]


def two_rows() -> TerminalTable:
    table = TerminalTable(TABLE, title="two methods")
    table.add("ridge_with_weather", 0.1527, "seen on many days", 12.5, style="bold green")
    table.add("none [bold]", 0.153, None, 7.25)
    return table


def test_figures_of_a_column_share_their_decimals() -> None:
    assert same_decimals([0.1527, 0.153]) == ["0.1527", "0.1530"]
    assert same_decimals([123.44, 98.7, None]) == ["123.4", "98.7", "–"]
    assert same_decimals([12345.6, 2.0]) == ["12345.60", "2.00"]
    assert same_decimals([100.0, 1e-9]) == ["100.0", "0.0"]
    assert same_decimals([float("nan"), 0.0]) == ["–", "0.000"]
    assert same_decimals([]) == []


def test_zero_has_no_sign_however_it_was_rounded() -> None:
    assert [fixed(-0.001, 1), fixed(-0.001, 1, signed=True)] == ["0.0", "+0.0"]
    assert significant(-0.0) == "0"
    assert same_decimals([-1e-9, 5.0]) == ["0.000", "5.000"]


def test_a_wide_terminal_and_a_pipe_show_every_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    in_pipe = printed(monkeypatch, capsys, two_rows(), None)
    assert printed(monkeypatch, capsys, two_rows(), 100) == in_pipe
    assert in_pipe[0] == "two methods"
    row = next(line for line in in_pipe if "ridge" in line)
    assert row.split() == ["ridge_with_weather", "0.1527", "seen", "on", "many", "days", "12.50"]
    assert any("none [bold]" in line and "0.1530" in line for line in in_pipe)


def test_a_narrow_terminal_leaves_out_the_least_important_and_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(monkeypatch, capsys, two_rows(), 43)
    assert "why" not in lines[2]
    assert "12.50" in " ".join(lines)
    assert " ".join(lines[-3:]).count("not shown for lack of width: why;") == 1
    said = " ".join(printed(monkeypatch, capsys, two_rows(), 32))
    assert "not shown for lack of width: why, pinball;" in said
    assert "12.50" not in said


def test_words_are_wrapped_before_a_column_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = " ".join(printed(monkeypatch, capsys, two_rows(), 55))
    assert "not shown" not in said
    assert {"seen", "on", "many", "days", "12.50"} <= set(said.split())


def test_where_even_the_first_columns_do_not_fit_every_row_is_a_block(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(monkeypatch, capsys, two_rows(), 26)
    assert lines[1:] == [
        "method: ridge_with_weather",
        "  MAE: 0.1527",
        "  why: seen on many days",
        "  pinball: 12.50",
        "method: none [bold]",
        "  MAE: 0.1530",
        "  why: –",
        "  pinball: 7.25",
    ]


def test_a_row_of_too_few_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="a row of 1 cells, expected 4"):
        two_rows().add("alone")


def test_columns_of_equal_rank_go_from_the_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = tuple(replace(column, rank=min(column.rank, 1)) for column in TABLE)
    table = TerminalTable(columns)
    table.add("ridge_with_weather", 0.1527, "seen", 12.5)
    said = " ".join(printed(monkeypatch, capsys, table, 40))
    assert "not shown for lack of width: pinball;" in said


def bar_of(written: str, name: str) -> str:
    """The last state of a bar."""
    said = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)
    return [line for line in re.split(r"[\r\n]", said) if line.startswith(name)][-1]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 140])
def test_the_bar_of_a_search_leaves_out_what_has_no_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    record = complete(0, 0.152, 81.62)
    with StudyProgress(n_trials=250, n_done=100, time_limit_seconds=3600.0) as progress:
        progress.trial_ended(record, outcome_of([record], front=[0], chosen=0))
    last = bar_of(capsys.readouterr().err, "trials")
    assert "101/250" in last
    assert "…" not in last
    assert ("best MAE 0.1520, PICP 81.6 %" in last) == (width >= 80)


@pytest.mark.parametrize("width", [40, 80, 140])
def test_the_bar_of_a_benchmark_names_what_is_trained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    with BenchmarkProgress() as progress:  # no terminal: a line
        progress.began("RIDGE tuned, seed 1")
    assert capsys.readouterr().err == "RIDGE tuned, seed 1\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    with BenchmarkProgress() as progress:
        progress.planned(100)
        progress.began("RIDGE tuned, seed 1")
        progress.advanced(50)
    last = bar_of(capsys.readouterr().err, "benchmark")
    assert "50 %" in last
    assert ("RIDGE tuned, seed 1" in last) == (width >= 80)


def test_the_bar_of_a_resumed_search_begins_where_the_search_stood(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with StudyProgress(n_trials=250, n_done=100, time_limit_seconds=None):
        pass
    assert "100/250" in bar_of(capsys.readouterr().err, "trials")


def test_words_are_wrapped_to_about_three_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = TerminalTable((Column("data set", left=True), Column("unit", rank=1, wrapped=True)))
    table.add("heat", "kWh per hour per meter")
    lines = printed(monkeypatch, capsys, table, 24)
    assert [line.split() for line in lines[3:6]] == [
        ["heat", "kWh", "per"],
        ["hour", "per"],
        ["meter"],
    ]
    narrower = " ".join(printed(monkeypatch, capsys, table, 20))
    assert "not shown for lack of width: unit" in narrower
