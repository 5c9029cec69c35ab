"""`paretocast retrain` and `rollback`: another bundle for a deployment."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.deploy import DeploymentArgument
from paretocast.cli.display import print_note, print_step
from paretocast.cli.forecast import SourceOption
from paretocast.cli.submit import ProfileFileOption, load_profile, program_words
from paretocast.errors import SettingsError
from paretocast.formatting import same_decimals

if TYPE_CHECKING:
    import pandas as pd

    from paretocast.deployment.retrain import Retraining

KEPT = 5  # exit code: the bundle in use stays
JOB_FOLDER = "jobs"


def retrain(
    folder: DeploymentArgument,
    data: Annotated[
        Path, typer.Option(help="CSV or Parquet file with the newest data, as the data set has it.")
    ],
    weather: Annotated[
        Path | None,
        typer.Option(
            help="Table of weather runs, for a model that has learned from such: of the whole new "
            "train period."
        ),
    ] = None,
    source: SourceOption = None,
    if_older: Annotated[
        str | None,
        typer.Option(help="Only if the bundle has learned nothing for so long, such as 30d."),
    ] = None,
    if_alarm: Annotated[
        bool, typer.Option("--if-alarm", help="Only if the monitor has raised an alarm.")
    ] = False,
    weeks: Annotated[
        int, typer.Option(help="Weeks held back to compare the old and the new one on.", min=2)
    ] = 4,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    profile: Annotated[
        str | None, typer.Option(help="Run as a job of the cluster, with this profile.")
    ] = None,
    profile_file: ProfileFileOption = None,
) -> None:
    """Train the deployed models again on the newest data; put them into use if they are no worse.

    The periods keep their lengths and end later. The last weeks are held back: the bundle in use
    and the new one forecast them day by day as they would have, and neither has seen them. The new
    one is put into use if it is better with a probability of 0.3 at least, if its coverage agrees
    with the target to 5 points, and if it does not lose to the ridge. It has then learned from the
    weeks that were held back, too. With both conditions, one is enough.

    Exit codes: 0 put into use (or submitted), 5 the old one stays, 1 and 2 errors.

    [bold]paretocast retrain deploy/heat --data heat.csv --if-older 30d --if-alarm[/bold]
    """
    from paretocast.data.tables import read_table
    from paretocast.deployment.journal import Deployment
    from paretocast.deployment.retrain import find_trigger
    from paretocast.deployment.retrain import retrain as retrain_deployment
    from paretocast.deployment.source_files import sources_named

    older_than = None if if_older is None else _span(if_older)
    deployment = Deployment.open(folder)
    contract = deployment.bundle.contract
    table = read_table(data, contract.spec)
    trigger = find_trigger(
        deployment,
        contract.read_target(table),
        older_than=older_than,
        if_alarm=if_alarm,
    )
    if not trigger.due:
        stderr_console().print(f"not retrained: {trigger.reason}", highlight=False, soft_wrap=True)
        raise typer.Exit(KEPT)
    print_note(f"retraining: {trigger.reason}")
    if profile is not None:
        words = ["retrain", str(folder), "--data", str(data), "--weeks", str(weeks)]
        words += ["--device", device]
        words += [] if weather is None else ["--weather", str(weather)]
        words += [word for named in source or () for word in ("--source", named)]
        _submit(folder, words, profile, profile_file)
        return
    done = retrain_deployment(
        deployment,
        table,
        None if weather is None else read_table(weather),
        contract.read_sources(sources_named(source or ())),
        observer=_Talk(),
        weeks=weeks,
        device=device,
    )
    _print_outcome(done, folder, deployment.bundle.contract.spec.name)
    if not done.promoted:
        raise typer.Exit(KEPT)


def rollback(
    folder: DeploymentArgument,
    to: Annotated[
        str | None,
        typer.Option(help="Name of a bundle. \\[default: the one that was in use before]"),
    ] = None,
) -> None:
    """Put an earlier bundle of a deployment into use again."""
    from paretocast.deployment.journal import Deployment
    from paretocast.deployment.retrain import rollback as put_back

    deployment = Deployment.open(folder)
    before = deployment.current
    name = put_back(deployment, to=to)
    print(name)  # noqa: T201  (the name; everything else is talk)
    stderr_console().print(
        f"{folder} uses {name} instead of {before}", highlight=False, soft_wrap=True
    )


class _Talk:
    """An observer that says on stderr what begins."""

    def began(self, what: str) -> None:
        """A step begins."""
        print_step(what)


def _span(text: str) -> pd.Timedelta:
    import pandas as pd

    match = re.fullmatch(r"(\d+)([hdw])", text)
    if match is None:
        raise SettingsError(f"--if-older is {text!r}, expected such as 36h, 30d or 8w")
    return int(match[1]) * pd.Timedelta(hours={"h": 1, "d": 24, "w": 168}[match[2]])


def _submit(folder: Path, words: list[str], name: str, profile_file: Path | None) -> None:
    """Hand the same command over as a job."""
    from paretocast.cluster.auto import AutoExecutor
    from paretocast.cluster.script import command_script

    cluster = load_profile(folder, profile_file, name)
    if cluster.wants_gpu and not cluster.allow_cpu:
        words = ["cuda" if word == "auto" else word for word in words]
    job = command_script(
        (*program_words(cluster), *words),
        cluster,
        name=f"retrain_{folder.absolute().name}",
        folder=Path.cwd(),
        logs=folder.absolute() / JOB_FOLDER,
    )
    (folder / JOB_FOLDER).mkdir(exist_ok=True)
    job_id = AutoExecutor(folder, submit_to=cluster.executor).submit(job)
    print(job_id)  # noqa: T201  (the number; everything else is talk)
    log = job.log_paths(job_id)[0][0]
    stderr_console().print(f"submitted: job {job_id}, log {log}", highlight=False, soft_wrap=True)


def _print_outcome(done: Retraining, folder: Path, dataset: str) -> None:
    console, talk = stdout_console(), stderr_console()
    scores = done.comparison
    in_use, new, ridge = same_decimals([scores.champion, scores.challenger, scores.ridge])
    console.print(
        f"mean pinball loss on {scores.n_days} days, {scores.first[:10]} to {scores.last[:10]}: "
        f"in use {in_use}, new {new}, ridge {ridge}",
        highlight=False,
    )
    console.print(
        f"the new one is better with probability {scores.probability:.2f}; its interval covers "
        f"{scores.coverage:.1f} % [{scores.low:.1f}, {scores.high:.1f}], target "
        f"{scores.target:g} %",
        highlight=False,
        markup=False,
    )
    if done.promoted:
        talk.print(
            f"{folder} uses {done.in_use} instead of {done.champion}",
            highlight=False,
            soft_wrap=True,
        )
        return
    talk.print(f"{done.champion} stays in use: {done.reason}", highlight=False, soft_wrap=True)
    if done.search_due:
        train, validation = (done.periods[period][1] for period in ("train", "validation"))
        talk.print(
            "its configs no longer suit the series, a new search is due. With train_to = "
            f"{train} and validation_to = {validation} in the data set's [splits]:\n"
            f"  paretocast tune --model all --dataset {shlex.quote(_source(dataset))}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _source(dataset: str) -> str:
    """Name of a data set, or of the TOML file that a user's own one usually has."""
    from paretocast.data.spec import named_datasets

    return dataset if dataset in named_datasets() else f"{dataset}.toml"
