"""`paretocast monitor`: health of a deployment, for people and for cron."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.deploy import DeploymentArgument

if TYPE_CHECKING:
    from paretocast.deployment.health import HealthReport

COLOURS = {"fine": "green", "watch": "yellow", "alarm": "red"}


def monitor(
    deployment: DeploymentArgument,
    now: Annotated[
        str | None,
        typer.Option(help="Age of the data counts up to this time. \\[default: the clock]"),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Percentage points by which coverage may be off; each costs days until a loss is "
            "seen.",
            min=0.0,
        ),
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    page: Annotated[
        Path | None, typer.Option(help="Where the page goes. \\[default: DEPLOYMENT/health.html]")
    ] = None,
) -> None:
    """Check coverage, skill and inputs of a deployment; write a page; exit 0, 3 or 4.

    Coverage is tested after every day by a sequential test. Its false alarms are bounded:
    at most 5 % of good years raise one. Skill is measured against the ridge issued at the same
    time, so that a hard season is no alarm.

    Exit codes: 0 fine, 3 watch, 4 alarm.

    [bold]paretocast monitor deploy/heat[/bold]
    """
    from paretocast.api.operations import monitor as check

    report, written = check(deployment, now=now, tolerance=tolerance, page=page)
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=1))
    else:
        _print(report)
        stderr_console().print(f"page in {written}", highlight=False, soft_wrap=True)
    if report.level:
        raise typer.Exit(int(report.level))


def _print(report: HealthReport) -> None:
    from rich.markup import escape

    console = stdout_console()
    for check in report.checks:
        level = check.level.name.lower()
        console.print(
            f"[{COLOURS[level]}]{level:<5}[/] {escape(f'{check.name}: {check.reason}')}",
            highlight=False,
            markup=True,
        )
