"""What `paretocast tune --strategy two-stage` adds to a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paretocast.cli.console import significant, stderr_console, stdout_console

if TYPE_CHECKING:
    from paretocast.results.two_stage import SecondStage


def print_levels(second: SecondStage) -> None:
    """The levels of the interval, where they were fitted and where judged."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from paretocast.metrics.scores import central_levels

    content = second.content
    console = stdout_console()
    console.print(
        f"\n[bold]stage 2[/bold]: levels for {content['target_coverage']:g} % from the stored "
        f"forecasts of trial {content['trial']}; width in {escape(second.unit)}",
        highlight=False,
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for column in ("q_low", "q_high", "PICP %", "95 % interval", "width"):
        table.add_column(column, justify="right")
    low, high = content["picp_interval"]
    chosen = (second.chosen.low, second.chosen.high)
    rows: list[tuple[str, tuple[float, float], dict[str, Any], str]] = [
        (f"fitted on {content['fitted_on']}", chosen, content["on_fitted"], ""),
        (f"judged on {content['judged_on']} ★", chosen, content, f"{low:.1f}–{high:.1f}"),
        (
            f"nominal levels on {content['judged_on']}",
            central_levels(content["target_coverage"]),
            content["nominal"],
            "",
        ),
    ]
    for label, (q_low, q_high), scores, interval in rows:
        table.add_row(
            label,
            f"{q_low:.4f}",
            f"{q_high:.4f}",
            f"{scores['picp']:.1f}",
            interval,
            significant(scores["mean_width"]),
        )
    console.print(table)
    stderr_console().print(f"levels in {second.path}", highlight=False, soft_wrap=True)
