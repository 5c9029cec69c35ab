"""`paretocast deploy`, `card` and `audit`: a model into use, its card, proof of its journal."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.diagnose import DataDirOption, RunArgument, find_result
from paretocast.cli.display import print_note, print_notes, print_step
from paretocast.formatting import count, in_utc

DeploymentArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DEPLOYMENT",
        help="Folder that `paretocast deploy` has made, such as deploy/heat.",
        show_default=False,
    ),
]


def deploy(
    run: RunArgument,
    to: Annotated[Path, typer.Option(help="Folder of the deployment.", show_default=False)],
    trial: Annotated[
        int | None, typer.Option(help="Number of a trial, in place of what is recommended.", min=0)
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="ensemble or ridge. \\[default: what the study recommends]"),
    ] = None,
    calibrator: Annotated[
        str, typer.Option(help="As for `paretocast calibrate`; auto compares all.")
    ] = "auto",
    refit: Annotated[
        bool,
        typer.Option(
            "--refit",
            help="Learn from every hour of the data. Without it the models are those that were "
            "scored, and have learned from the train split alone.",
        ),
    ] = False,
    refit_until: Annotated[
        str | None, typer.Option(help="Learn up to this hour, such as 2026-10-31T23:00Z.")
    ] = None,
    device: Annotated[str, typer.Option(help="To train on: auto, cpu, cuda or cuda:N.")] = "cpu",
    data_dir: DataDirOption = None,
) -> None:
    """Put what a study recommends into use: a bundle that forecasts without the study.

    The models are trained again as their trials were, which gives the same weights, and a
    calibrator is fitted on the calibrate split. The bundle holds weights, scaling, the ridge that
    networks correct, calibrators and two fallbacks, and three windows to check itself with. It is
    never changed afterwards; DEPLOYMENT/current names the one in use.

    [bold]paretocast deploy hpo/results/NHITS_Q_heat --to deploy/heat[/bold]

    Then forecast: [bold]paretocast forecast deploy/heat --data heat.csv[/bold]
    """
    from paretocast.api.operations import deploy as deploy_study
    from paretocast.errors import SettingsError

    if trial is not None and method is not None:
        raise SettingsError("--trial and --method are both given, expected one")
    deployment = deploy_study(
        find_result(run),
        to,
        method=method if trial is None else f"trial {trial}",
        calibrator=calibrator,
        refit=refit,
        refit_until=refit_until,
        data_dir=data_dir,
        device=device,
        say=print_step,
    )
    bundle = deployment.bundle
    print_notes(bundle.manifest["assumptions"])
    console = stdout_console()
    models = [f"{m['weight']:.2f} × {m['trained']}" for m in bundle.manifest["members"]]
    names = {rung: c["name"] for rung, c in bundle.manifest["calibrators"].items()}
    console.print(
        f"[bold]{bundle.manifest['series']}[/bold]: {' + '.join(models)}",
        highlight=False,
        markup=True,
    )
    console.print(
        f"learned up to {in_utc(datetime.fromisoformat(bundle.manifest['learned_until']))}; "
        f"calibrator {names['full']} (where weather is missing {names['no_weather']}, where recent "
        f"data are {names['climatology']})",
        highlight=False,
    )
    stderr_console().print(
        f"bundle {bundle.name} in {bundle.folder}, in use", highlight=False, soft_wrap=True
    )


def card(deployment: DeploymentArgument) -> None:
    """Print the model card of the bundle in use: what it is, what it needs, where it is weak."""
    from paretocast.deployment.bundle import load_bundle
    from paretocast.workspace.files import load_text

    typer.echo(load_text(load_bundle(deployment).folder / "card.md"))


def audit(deployment: DeploymentArgument) -> None:
    """Replay the journal and compare every forecast with what it should have been.

    Checks the files of the bundle in use, its golden windows, and for each issued forecast the
    state of its calibrator and its quantiles. Exit code 1 if something does not agree.
    """
    from paretocast.deployment.audit import audit as replay
    from paretocast.deployment.journal import Deployment

    opened = Deployment.open(deployment)
    worst = opened.bundle.verify()
    found = replay(opened)
    for problem in found.problems:
        print_note(problem, kind="problem")
    stdout_console().print(
        f"{count(found.n_forecasts, 'forecast')} and {count(found.n_observations, 'observation')} "
        f"replayed, {count(len(found.problems), 'problem')}; golden windows "
        + (f"differ by {worst:.1g} of their width" if worst else "agree exactly"),
        highlight=False,
    )
    if found.problems:
        raise typer.Exit(1)
