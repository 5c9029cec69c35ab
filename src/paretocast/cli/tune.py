"""`paretocast tune`: one search, from options to tables."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paretocast.cli.conclusion import TWO_STAGE, first_stage_finished, report, take_part
from paretocast.cli.search import STORAGE_VARIABLE, load_task, search
from paretocast.errors import SettingsError, StoreError

if TYPE_CHECKING:
    from paretocast.settings import TuneSettings
    from paretocast.workspace.files import RunDirectory

TEST_SETTINGS: dict[str, Any] = {"trials": 1, "training": {"steps": 20, "n_evaluations": 2}}
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s)?")

SEARCH, DATA, BUDGET, PLACE = "What is searched", "Data", "Budget", "Where and how it runs"


def tune(
    model: Annotated[
        str | None,
        typer.Option(
            help="NHITS_Q, TFT_Q or TIMESNET_Q; case does not matter.", rich_help_panel=SEARCH
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="heat, water_centrum, water_tommerby, demo or another that `paretocast data list` "
            "names, or the path of a TOML file.",
            rich_help_panel=DATA,
        ),
    ] = None,
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
    stage2_trials: Annotated[
        int,
        typer.Option(
            help="Have Optuna search the levels too, to compare with the exact optimum.",
            min=0,
            rich_help_panel=SEARCH,
        ),
    ] = 0,
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
            help="CPU threads of each process. \\[default: all cores, shared among the workers]",
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
    as_worker: Annotated[int | None, typer.Option(hidden=True, min=0)] = None,
) -> None:
    """Search the hyperparameters of a model for accuracy and coverage at once.

    Every trial is trained on the train split, stopped early on the stop split and judged on every
    daily forecast of the tune split. The result is a Pareto front, a chosen configuration with the
    reason for it, and pages to look at.

    [bold]Examples[/bold]

      paretocast tune --model NHITS_Q --dataset demo --trials 8

      paretocast tune --model NHITS_Q --dataset heat --data-dir data --trials 50 --time-limit 30m

      paretocast tune --model NHITS_Q --dataset heat --data-dir data --workers 4 --patience 15

      paretocast tune --model NHITS_Q --dataset my_zone.toml --resume --trials 100

      paretocast tune --model NHITS_Q --dataset heat --data-dir data --strategy two-stage
    """
    given: dict[str, Any] = {
        "model": model,
        "dataset": dataset,
        "trials": trials,
        "time_limit_seconds": None if time_limit is None else parse_duration(time_limit),
        "seed": seed,
        "objectives": _split(objectives),
        "require": tuple(require) if require else None,
        "sampler": sampler,
        "warm_start": tuple(warm_start) if warm_start else None,
        "strategy": strategy,
        "policy": policy,
        "target_coverage": target_coverage,
        "covariates": () if covariates == "none" else _split(covariates),
        "data_dir": None if data_dir is None else str(data_dir),
        "device": device,
        "threads": threads,
        "workers": _n_workers(workers, workers_per_device),
        "storage": storage,
        "patience": patience,
        "patience_growth": patience_growth,
        "racing": {"max_seeds": repeats},
        "training": {"steps": steps, "epochs": epochs, "transform": transform, "anchor": anchor},
    }
    if test:
        workspace = workspace / "test"
        given = _test_overrides(given)
    run, chosen = _open_run(given, settings, workspace=workspace, job_id=job_id, resume=resume)
    if as_worker is not None:
        goes_on = take_part(chosen, run, index=as_worker)
    elif chosen.strategy == TWO_STAGE and stage == "2":
        goes_on = True
    else:
        task = load_task(chosen)
        result = search(chosen, run, task)
        report(result, chosen, run, task)
        goes_on = chosen.strategy == TWO_STAGE and first_stage_finished(result, run)
    if goes_on and stage != "1":
        _find_levels(
            run,
            target_coverage=target_coverage,
            symmetric=not asymmetric,
            n_search_trials=stage2_trials,
            data_dir=data_dir,
            source=chosen.dataset,
        )


def _find_levels(run: RunDirectory, **wanted: Any) -> None:  # noqa: ANN401 - passed through
    from paretocast.cli.tables import print_levels
    from paretocast.results.two_stage import find_levels

    print_levels(find_levels(run.workspace, run.model, run.dataset, **wanted))


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
        raise SettingsError(f"duration {text!r} is not understood, expected e.g. 90s, 30m or 1h30m")
    return seconds


def _n_workers(workers: int | None, per_device: int | None) -> int | None:
    """How many processes share the study; None for the default."""
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


def _open_run(
    given: dict[str, Any], file: Path | None, *, workspace: Path, job_id: str | None, resume: bool
) -> tuple[RunDirectory, TuneSettings]:
    """The run directory and the settings: of a new study, or of the one to continue."""
    from paretocast.settings import continue_settings, load_settings
    from paretocast.workspace.files import RunDirectory, load_json, newest_job_id, resolve_job_id

    settings = load_settings(file, given)
    name = _dataset_name(settings.dataset)
    if resume and job_id is None:
        job_id = newest_job_id(workspace, settings.model, name)
    resolved = resolve_job_id(job_id, os.environ, datetime.now(UTC))
    run = RunDirectory(workspace, settings.model, name, resolved)
    if run.manifest.exists():
        return run, continue_settings(load_json(run.manifest)["settings"], file, given)
    if resume:
        raise StoreError(
            f"study {run.study_name} does not exist in {run.folder}, nothing to resume"
        )
    return run, settings


def _dataset_name(name_or_path: str) -> str:
    from paretocast.data import find_spec

    return find_spec(name_or_path).name
