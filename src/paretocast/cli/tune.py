"""`paretocast tune`: one search, from options to tables."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paretocast.cli.console import stderr_console
from paretocast.cli.datafile import DATA, DataFile, Target, Zone, declared
from paretocast.cli.options import SeriesOption
from paretocast.cluster import STORAGE_VARIABLE
from paretocast.errors import ParetocastError, SettingsError
from paretocast.search.models import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from paretocast.settings import TuneSettings
    from paretocast.study.study import StudyResult
    from paretocast.workspace.runs import RunDirectory

TEST_SETTINGS: dict[str, Any] = {"trials": 1, "training": {"steps": 20, "n_evaluations": 2}}
_DURATION = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m(?:in)?)?(?:(\d{1,9})s)?")

SEARCH, BUDGET, PLACE = "What is searched", "Budget", "Where and how it runs"


def tune(
    model: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(MODELS)}; several joined by commas, or all, share one study. Case "
            "does not matter. \\[default: NHITS_Q]",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="heat, water_centrum, water_tommerby, demo or another that `paretocast data list` "
            "names, or the path of a TOML file. \\[default: demo]",
            rich_help_panel=DATA,
        ),
    ] = None,
    data: DataFile = None,
    target: Target = None,
    zone: Zone = None,
    series: SeriesOption = None,
    pool: Annotated[
        bool,
        typer.Option(
            "--pool",
            help="Train each network on the windows of all of --series together, one study for all "
            "of them.",
            rich_help_panel=SEARCH,
        ),
    ] = False,
    trials: Annotated[
        int | None,
        typer.Option(
            help="Total trials of the study, those of earlier runs included. \\[default: 20]",
            min=1,
            rich_help_panel=BUDGET,
        ),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            help=(
                "Stop after so long, e.g. 90s, 30m, 1h30m; "
                "a trial under way is kept to be continued."
            ),
            rich_help_panel=BUDGET,
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help=("Stop when so many trials in a row have not moved the front. \\[default: never]"),
            min=1,
            rich_help_panel=BUDGET,
        ),
    ] = None,
    patience_growth: Annotated[
        float | None,
        typer.Option(
            help=(
                "What counts as moving it: growth of its hypervolume, in percent. \\[default: 1]"
            ),
            min=0.0,
            rich_help_panel=BUDGET,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Gradient steps of a trial. \\[default: one per 48 training windows, 600 to 3000]",
            min=1,
            rich_help_panel=BUDGET,
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(help="The same as passes over the data.", rich_help_panel=BUDGET),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="The same seed gives the same trials and numbers. \\[default: 1]",
            min=0,
            rich_help_panel=SEARCH,
        ),
    ] = None,
    objectives: Annotated[
        str | None,
        typer.Option(
            help=(
                "Scores to minimise, joined by commas, or honest: MAE and the Winkler score after "
                "calibration. \\[default: mae,coverage_error]"
            ),
            rich_help_panel=SEARCH,
        ),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                'Bound that comes before the objectives, e.g. "picp >= 75"; '
                "may be given several times."
            ),
            rich_help_panel=SEARCH,
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            help="Trainings of a trial near the front; 1 repeats nothing. \\[default: 3]",
            min=1,
            rich_help_panel=SEARCH,
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="What proposes configs: mfgp (default: a Gaussian process over configs and "
            "rungs), tpe, gp, nsga2, nsga3, random or qmc.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    warm_start: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Earlier study whose front is tried first: a best_params file, its folder or a "
                "workspace; may be given several times."
            ),
            rich_help_panel=SEARCH,
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="single-stage (default), or two-stage: MAE first, then the interval's levels.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    stage: Annotated[
        Literal["1", "2", "all"],
        typer.Option(help="Which stage of the two-stage strategy to run.", rich_help_panel=SEARCH),
    ] = "all",
    asymmetric: Annotated[
        bool,
        typer.Option(
            "--asymmetric",
            help="Stage 2 chooses both levels freely instead of q and 1 - q.",
            rich_help_panel=SEARCH,
        ),
    ] = False,
    policy: Annotated[
        str | None,
        typer.Option(
            help="How the handed-over trial is chosen: compatible-coverage (default), min-mae, "
            "closest-coverage, knee or probability.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    target_coverage: Annotated[
        float | None,
        typer.Option(
            help="Coverage that the interval should have, in percent. \\[default: 80]",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            help=(
                "TOML file with any setting, e.g. a narrowed \\[space.NHITS_Q]; "
                "options win over it."
            ),
            rich_help_panel=SEARCH,
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data files. \\[default: $PARETOCAST_DATA]", rich_help_panel=DATA
        ),
    ] = None,
    covariates: Annotated[
        str | None,
        typer.Option(
            help="Covariates to use, joined by commas, or none. \\[default: as the data set says]",
            rich_help_panel=DATA,
        ),
    ] = None,
    transform: Annotated[
        str | None,
        typer.Option(
            help=(
                "Change of the target before scaling: none, log1p, or auto: log1p where no train "
                "value is negative. \\[default: auto]"
            ),
            rich_help_panel=DATA,
        ),
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option(
            help=(
                "First guess that models correct: none, or ridge, a linear regression fitted on "
                "the train split, or auto: ridge if that split has half a year. \\[default: auto]"
            ),
            rich_help_panel=DATA,
        ),
    ] = None,
    workspace: Annotated[
        Path, typer.Option(help="Where results are kept.", rich_help_panel=PLACE)
    ] = Path("hpo"),
    job_id: Annotated[
        str | None,
        typer.Option(
            help=(
                "Id of the study; an existing one is continued. \\[default: from Slurm, else fresh]"
            ),
            rich_help_panel=PLACE,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help=(
                "Continue the newest study of this model and data set (or --job-id) "
                "with the settings it was started with."
            ),
            rich_help_panel=PLACE,
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            help=(
                "Processes that share the study on this machine. Each can fail without harm to "
                "the others; its trial goes on elsewhere. \\[default: 1]"
            ),
            min=1,
            rich_help_panel=PLACE,
        ),
    ] = None,
    workers_per_device: Annotated[
        int | None,
        typer.Option(
            help=(
                "So many processes on each visible GPU instead of --workers: small networks leave "
                "a GPU idle between kernels."
            ),
            min=1,
            rich_help_panel=PLACE,
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help=(
                "Where Optuna keeps its copy of the study: sqlite, journal, or a URL such as "
                "postgresql://user@host/database. "
                "\\[default: sqlite for one process, journal for several]"
            ),
            envvar=STORAGE_VARIABLE,
            rich_help_panel=PLACE,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="auto, cpu, cuda or cuda:N. \\[default: auto]", rich_help_panel=PLACE),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="CPU threads of each process. \\[default: $OMP_NUM_THREADS, else all cores, "
            "shared among the workers]",
            min=1,
            rich_help_panel=PLACE,
        ),
    ] = None,
    test: Annotated[
        bool,
        typer.Option(
            "--test",
            help="One tiny trial of everything, kept apart in WORKSPACE/test.",
            rich_help_panel=PLACE,
        ),
    ] = False,
) -> None:
    """Search the hyperparameters of one or more models for accuracy and coverage at once.

    Every trial is trained on the train split, stopped early on the stop split and scored on every
    daily forecast of the tune split. The result is a Pareto front, a chosen configuration with the
    reason for it, the method that is best on held-out hours, and pages with figures.

    [bold]Examples[/bold]

      paretocast tune --model NHITS_Q --dataset demo --trials 8

      paretocast tune --model all --dataset heat --data-dir data --trials 50 --time-limit 30m

      paretocast tune --model NHITS_Q --dataset heat --data-dir data --workers 4 --patience 15

      paretocast tune --model NHITS_Q --data my_zone.csv --target load --zone Europe/Berlin

      paretocast tune --model NHITS_Q --dataset my_zone.toml --resume --trials 100

      paretocast tune --model NHITS_Q --dataset heat --data-dir data --strategy two-stage

      paretocast tune --model all --dataset zones.toml --series all --time-limit 10m

      paretocast tune --model NHITS_Q --dataset zones.toml --series all --pool
    """
    options = locals()
    references = (dataset,) if pool else _references(options)
    if len(references) == 1:
        result = _tune_one({**options, "dataset": references[0]})
        if result is not None and result.ended_by == "request":
            raise typer.Exit(INTERRUPTED)
        return
    _tune_many(options, references)


INTERRUPTED = 130  # as a shell gives it for a program that Ctrl-C has ended


def _references(options: Mapping[str, Any]) -> tuple[str | None, ...]:
    """Data sets that the options of `tune` mean; None where a settings file names it."""
    if options["dataset"] is None:
        if options["series"] is not None:
            raise SettingsError("--series needs --dataset, a TOML file with a section [series]")
        return (None,)
    from paretocast.data import expand_series

    return expand_series(options["dataset"], options["series"])


def _tune_one(options: Mapping[str, Any]) -> StudyResult | None:
    from paretocast.api.tuning import conduct
    from paretocast.cli.display import ConsoleDisplay

    opened = _open(options, stage=options["stage"])
    return conduct(*opened, display=ConsoleDisplay(), **_stages(options))


def _tune_many(options: Mapping[str, Any], references: Sequence[str | None]) -> None:
    """Search for one series after the other; one that fails does not keep the others from it.

    Raises
    ------
    ParetocastError
        In the end, if a series has failed.
    """
    from rich.markup import escape

    from paretocast.cli.series import print_series, short_name
    from paretocast.redaction import redacted

    console, choices, failed = stderr_console(), {}, {}
    stopped_at: int | None = None
    for i, reference in enumerate(references, start=1):
        console.print(
            f"\n[bold]series {i} of {len(references)}[/bold] {escape(str(reference))}",
            highlight=False,
            markup=True,
        )
        try:
            result = _tune_one({**options, "dataset": reference})
        except ParetocastError as error:
            failed[str(reference)] = error
            console.print(redacted(f"{reference}: {error}"), style="red")
            continue
        if result is not None and result.choice is not None:
            choices[str(reference)] = result.choice
        if result is not None and result.ended_by == "request":
            stopped_at = i
            break
    print_series(choices)
    if stopped_at is not None:
        if left := references[stopped_at:]:
            console.print(
                f"not begun: {', '.join(map(short_name, left))}; --series names them",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        raise typer.Exit(INTERRUPTED)
    if failed:
        first, reason = next(iter(failed.items()))
        raise ParetocastError(
            f"{len(failed)} of {len(references)} series failed, the first is {first}: {reason}"
        )


def worker(
    index: Annotated[
        int,
        typer.Option(
            help="Number of this worker among those of the study.",
            envvar="SLURM_ARRAY_TASK_ID",
            min=0,
            rich_help_panel=PLACE,
        ),
    ] = 0,
    **options: Any,  # noqa: ANN401  (those of `tune`)
) -> None:
    """Work on a study beside others; what [bold]tune --workers[/bold] and array jobs start.

    Takes every option of [bold]paretocast tune[/bold]. Workers on one study share --workspace,
    --model, --dataset and --job-id. Each takes trials until the total is reached, goes on with
    those of workers that died, and ends when all trials have ended. The first one that finds all
    ended prints the result and writes the pages.

    [bold]Example[/bold], on two machines with one file system

      paretocast worker --model NHITS_Q --dataset heat --trials 50 --job-id shared --index 0

      paretocast worker --model NHITS_Q --dataset heat --trials 50 --job-id shared --index 1
    """
    from paretocast.api.tuning import work
    from paretocast.cli.display import ConsoleDisplay

    work(*_open(options), index=index, display=ConsoleDisplay(), **_stages(options))


def _with_options_of_tune(command: Callable[..., None]) -> inspect.Signature:
    """Return the signature of a command that takes the options of `tune` after its own."""
    own, shared = (inspect.signature(f, eval_str=True).parameters for f in (command, tune))
    named = [p for p in own.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    return inspect.Signature([*named, *shared.values()])


# Typer reads the options of a command from its signature.
vars(worker)["__signature__"] = _with_options_of_tune(worker)


def _open(options: Mapping[str, Any], *, stage: str = "all") -> tuple[TuneSettings, RunDirectory]:
    """Return settings and folder of the study that the options of `tune` mean."""
    from paretocast.api.tuning import open_run

    if options["pool"]:
        from paretocast.cli.pooled import pooled_names

        names = pooled_names(options["dataset"], options["series"])
        options = {**options, "pool": names}
    workspace = options["workspace"] / "test" if options["test"] else options["workspace"]
    dataset = declared(
        options["data"],
        dataset=options["dataset"],
        workspace=workspace,
        target=options["target"],
        zone=options["zone"],
    )
    settings = _settings({**options, "dataset": dataset})
    if options["test"]:
        settings = _test_overrides(settings)
    run, settled = open_run(
        settings,
        options["settings"],
        workspace=workspace,
        study_id=options["job_id"],
        resume=options["resume"],
        stage=stage,
    )
    return settled, run


def _stages(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the second stage takes from the options of `tune`."""
    return {
        "stage": options["stage"],
        "target_coverage": options["target_coverage"],
        "symmetric": not options["asymmetric"],
        "data_dir": options["data_dir"],
    }


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `tune` as a settings file would hold them; None where not given."""
    same = (
        *("model", "dataset", "trials", "seed", "sampler", "strategy", "policy"),
        *("target_coverage", "device", "threads", "storage", "patience", "patience_growth"),
    )
    data_dir, time_limit = options["data_dir"], options["time_limit"]
    covariates = options["covariates"]
    return {
        **{name: options[name] for name in same},
        "time_limit_seconds": None if time_limit is None else parse_duration(time_limit),
        "pool": options["pool"] or None,
        "objectives": _split(options["objectives"]),
        "require": tuple(options["require"]) if options["require"] else None,
        "warm_start": tuple(options["warm_start"]) if options["warm_start"] else None,
        "covariates": () if covariates == "none" else _split(covariates),
        "data_dir": None if data_dir is None else str(data_dir),
        "workers": _n_workers(options["workers"], options["workers_per_device"]),
        "racing": {"max_seeds": options["repeats"]},
        "training": {name: options[name] for name in ("steps", "epochs", "transform", "anchor")},
    }


def parse_duration(text: str) -> float:
    """Seconds of a duration such as 90s, 30m or 1h30m.

    Raises
    ------
    SettingsError
        If it is not one.

    Examples
    --------
    >>> parse_duration("1h30m")
    5400.0
    """
    match = _DURATION.fullmatch(text.strip().lower())
    parts = [int(part or 0) for part in match.groups()] if match else [0, 0, 0]
    seconds = 3600.0 * parts[0] + 60.0 * parts[1] + parts[2]
    if seconds <= 0.0:
        raise SettingsError(
            f"duration {text[:80]!r} is not understood, expected e.g. 90s, 30m or 1h30m"
        )
    return seconds


def _n_workers(workers: int | None, per_device: int | None) -> int | None:
    """Number of processes that share the study; None for the default."""
    if per_device is None:
        return workers
    if workers is not None:
        raise SettingsError("--workers and --workers-per-device are both given, expected one")
    from paretocast.training import cuda_devices

    n_devices = len(cuda_devices())
    if n_devices == 0:
        raise SettingsError(
            "--workers-per-device needs a GPU and no CUDA device is visible; use --workers"
        )
    return per_device * n_devices


def _split(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _test_overrides(given: dict[str, Any]) -> dict[str, Any]:
    training = {**given["training"], **TEST_SETTINGS["training"], "epochs": None}
    return {**given, "trials": given["trials"] or TEST_SETTINGS["trials"], "training": training}
