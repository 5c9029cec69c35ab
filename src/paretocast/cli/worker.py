"""`paretocast worker`: one process of a study that several share."""

from __future__ import annotations

from typing import Annotated

import typer
from typer.core import TyperGroup

OPEN_ENDED = {"allow_extra_args": True, "ignore_unknown_options": True}


def worker(
    context: typer.Context,
    index: Annotated[
        int,
        typer.Option(
            help="Number of this worker among those of the study.",
            envvar="SLURM_ARRAY_TASK_ID",
            min=0,
        ),
    ] = 0,
) -> None:
    """Work on a study beside others; what [bold]tune --workers[/bold] and array jobs start.

    Takes every option of [bold]paretocast tune[/bold]. Workers on one study share --workspace,
    --model, --dataset and --job-id. Each takes trials until the total is reached, goes on with
    those of workers that died, and ends when all trials have ended. It prints no tables and writes
    no pages: [bold]paretocast tune … --resume[/bold] does, also after the last trial.

    [bold]Example[/bold], on two machines with one file system

      paretocast worker --model NHITS_Q --dataset heat --trials 50 --job-id shared --index 0

      paretocast worker --model NHITS_Q --dataset heat --trials 50 --job-id shared --index 1
    """
    app = context.find_root().command
    if not isinstance(app, TyperGroup):
        raise TypeError(f"the application is a {type(app).__name__}, expected a group of commands")
    words = [*context.args, "--as-worker", str(index)]
    with app.commands["tune"].make_context("worker", words, parent=context.parent) as inner:
        inner.command.invoke(inner)
