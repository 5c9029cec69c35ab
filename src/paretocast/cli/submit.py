"""`paretocast submit`, `resubmit` and `cancel`: searches as jobs of a cluster."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer.core import TyperGroup

from paretocast.cli.console import stderr_console
from paretocast.cli.display import print_note
from paretocast.cli.options import SeriesOption
from paretocast.cli.series_jobs import submit_many
from paretocast.cli.submitted import print_skipped, print_submission
from paretocast.errors import ExecutionError, ParetocastError, SettingsError
from paretocast.search.models import MODELS, model_label, models_of, networks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.cluster.base import Executor
    from paretocast.cluster.profiles import Profile
    from paretocast.cluster.script import SearchRequest
    from paretocast.cluster.status import ExperimentStatus
    from paretocast.cluster.submission import PlannedSubmission

SEARCH, CLUSTER = "What is searched", "Cluster"
DEFAULT_TRIALS = 50
NICE_PER_RANK = 100
DATA_VARIABLE = "PARETOCAST_DATA"
# What a parser raises; typer has shipped it under several names.
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
# Options of tune that the job script sets itself.
OWN_TUNE_OPTIONS = {
    "model",
    "dataset",
    "series",
    "pool",
    "trials",
    "workspace",
    "job_id",
    "workers",
    "resume",
    "test",
    "strategy",
    "stage",
}

WorkspaceOption = Annotated[Path, typer.Option(help="Where results are kept.")]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        help="Cluster profile: cpu, a100 or one of yours. \\[default: the file's default_profile]",
        rich_help_panel=CLUSTER,
    ),
]
ProfileFileOption = Annotated[
    Path | None,
    typer.Option(
        help=(
            "TOML file of profiles, laid over ~/.config/paretocast/cluster.toml and "
            "WORKSPACE/cluster.toml."
        ),
        rich_help_panel=CLUSTER,
    ),
]
ExperimentArgument = Annotated[
    str,
    typer.Argument(metavar="EXPERIMENT", help="Its id, as status shows it, or the id of its job."),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the job script and submit nothing."),
]


def submit(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL DATASET TRIALS",
            help="In place of --model, --dataset and --trials.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(MODELS)}; several joined by commas, or all, share one study.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="A named data set or the path of a TOML file.", rich_help_panel=SEARCH),
    ] = None,
    series: SeriesOption = None,
    pool: Annotated[
        bool,
        typer.Option(
            "--pool",
            help="One job that trains each network on the windows of all of --series together.",
            rich_help_panel="Data",
        ),
    ] = False,
    trials: Annotated[
        int | None,
        typer.Option(help="Total trials. \\[default: 50]", min=1, rich_help_panel=SEARCH),
    ] = None,
    stage: Annotated[
        Literal["1", "2", "all"] | None,
        typer.Option(
            help=(
                "Stage of the two-stage strategy; all submits both, the second waiting for the "
                "first. \\[default: search in a single stage]"
            ),
            rich_help_panel=SEARCH,
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help=(
                "Every model on the three named series, in order of priority; what is "
                "finished or queued is skipped."
            ),
            rich_help_panel=SEARCH,
        ),
    ] = False,
    priority: Annotated[
        bool,
        typer.Option(
            "--priority",
            help="Have Slurm keep the order of --all too, with --nice.",
            rich_help_panel=CLUSTER,
        ),
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            help="An array job of so many workers on one study.", min=1, rich_help_panel=CLUSTER
        ),
    ] = 1,
    profile: ProfileOption = None,
    profile_file: ProfileFileOption = None,
    workspace: WorkspaceOption = Path("hpo"),
    dry_run: DryRunOption = False,
) -> None:
    """Run searches as Slurm jobs that requeue themselves until their trials are done.

    What follows a bare [bold]--[/bold] goes to [bold]paretocast tune[/bold] as it is.

    [bold]Examples[/bold]

      paretocast submit NHITS_Q heat 50 --profile a100

      paretocast submit NHITS_Q heat 200 --workers 8 -- --data-dir data --seed 3

      paretocast submit NHITS_Q zones.toml 10 --series all

      paretocast submit --all --stage all --dry-run
    """
    from paretocast.cluster.auto import AutoExecutor
    from paretocast.cluster.submission import plan
    from paretocast.data import expand_series

    positional, options = _split_words(words or [])
    _check_tune_options(context, options)
    cluster = load_profile(workspace, profile_file, profile)
    named = _named(positional, model=model, dataset=dataset, trials=trials, everything=everything)
    if pool:
        options = (*_pool_options(named[0], series), *options)
    else:
        named = [
            (name, reference, total)
            for name, source, total in named
            for reference in expand_series(source, series)
        ]
    requests = _requests(
        named, stage=stage, workers=workers, options=options, workspace=workspace, pool=pool
    )
    executor = AutoExecutor(workspace, submit_to=cluster.executor)
    if len(requests) > 1 and not everything and stage in {None, "1"} and workers == 1:
        submit_many(
            requests,
            cluster,
            executor,
            program=program_words(cluster),
            workspace=workspace,
            dry_run=dry_run,
        )
        return
    experiments: Sequence[ExperimentStatus] = ()
    if everything or stage in {"2", "all"}:
        experiments = _experiments(workspace, executor, must_ask=not dry_run)
    planned = plan(requests, experiments)
    profiles = [cluster] * len(planned)
    if everything and priority:
        profiles = [_with_rank(cluster, rank) for rank in range(len(planned))]
    if dry_run:
        _print_scripts(planned, profiles)
    else:
        _submit_all(planned, profiles, executor, workspace)
    if refused := [submission for submission in planned if submission.refused]:
        raise ExecutionError(
            f"{len(refused)} of {len(planned)} not submitted; "
            + "; ".join(f"{each.request.title}: {each.skipped}" for each in refused)
        )


def cancel(
    experiment: ExperimentArgument,
    workspace: WorkspaceOption = Path("hpo"),
) -> None:
    """End the jobs of an experiment. Its trials are kept; resubmit goes on with them.

    The id of the array job of many series ends them all.
    """
    from paretocast.cluster.auto import AutoExecutor
    from paretocast.cluster.submission import cancel as end_jobs
    from paretocast.cluster.submission import find_all

    for submission, ended in end_jobs(find_all(workspace, experiment), AutoExecutor(workspace)):
        outcome = f"ended {', '.join(ended)}" if ended else "no job of it waits or runs"
        stderr_console().print(f"{submission.id}: {outcome}", highlight=False, markup=False)


def resubmit(
    experiment: ExperimentArgument,
    trials: Annotated[
        int | None,
        typer.Option(help="Another total of trials. \\[default: as submitted]", min=1),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Another number of workers. \\[default: as submitted]", min=1),
    ] = None,
    profile: ProfileOption = None,
    profile_file: ProfileFileOption = None,
    workspace: WorkspaceOption = Path("hpo"),
    dry_run: DryRunOption = False,
) -> None:
    """Submit an experiment once more: its study goes on where it stands.

    Without --profile it is submitted with the profile of its last time.
    """
    from paretocast.cluster.auto import AutoExecutor
    from paretocast.cluster.profiles import Profile
    from paretocast.cluster.submission import find, refuse_if_active, request_of
    from paretocast.cluster.submission import submit as hand_over

    submission = find(workspace, experiment)
    if profile is None and profile_file is None:
        cluster = Profile.model_validate(submission.profile)
    else:
        cluster = load_profile(workspace, profile_file, profile)
    request = request_of(submission, workspace.absolute())
    request = replace(
        request, trials=trials or request.trials, n_workers=workers or request.n_workers
    )
    if dry_run:
        _print_script(request, cluster, study_id=submission.study_id)
        return
    executor = AutoExecutor(workspace, submit_to=cluster.executor)
    refuse_if_active(submission, executor)
    hand_over(
        request,
        cluster,
        executor,
        program=program_words(cluster),
        now=datetime.now(UTC),
        study_id=submission.study_id,
        tell=partial(print_submission, workspace=workspace),
    )


def load_profile(workspace: Path, file: Path | None, name: str | None) -> Profile:
    """The profile of a name from the usual files and a named one; the default one for None."""
    from paretocast.cluster.profiles import load_profiles, profile_files

    return load_profiles(profile_files(workspace, file, os.environ)).choose(name)


def program_words(profile: Profile) -> tuple[str, ...]:
    """Words that start this program on the node: the profile's, else this interpreter."""
    return profile.program or (sys.executable, "-m", "paretocast")


def _split_words(words: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Model, data set and trials; then what goes to tune, from the first option on."""
    first = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    return list(words[:first]), tuple(words[first:])


def _check_tune_options(context: typer.Context, options: Sequence[str]) -> None:
    """Check options of tune with its own parser: a slip shows here and not on the node."""
    from paretocast.redaction import holds_secret

    if any(holds_secret(word) for word in options):
        raise SettingsError(
            "an option holds a password, which would stand in the job script for others to read; "
            "leave it out of the URL and put it into ~/.pgpass or PGPASSWORD"
        )
    app = context.find_root().command
    if not isinstance(app, TyperGroup):
        raise TypeError(f"the application is a {type(app).__name__}, expected a group of commands")
    try:
        inner = app.commands["tune"].make_context("tune", list(options))
    except USAGE_ERROR as error:
        raise SettingsError(f"options of tune: {error}") from error
    sources = {name: inner.get_parameter_source(name) for name in inner.params}
    named = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    if taken := sorted(named & OWN_TUNE_OPTIONS):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in taken)
        raise SettingsError(f"{names} behind -- : submit sets it; give it before the --")


def _named(
    positional: Sequence[str],
    *,
    model: str | None,
    dataset: str | None,
    trials: int | None,
    everything: bool,
) -> list[tuple[str, str, int]]:
    """Model, data set and trials of every search that is asked for."""
    from paretocast.cluster.submission import PRIORITY_DATASETS

    if everything:
        if positional or model or dataset:
            raise SettingsError("--all names the models and data sets itself")
        total = trials or DEFAULT_TRIALS
        return [(name, series, total) for series in PRIORITY_DATASETS for name in networks()]
    if len(positional) > 3:
        raise SettingsError(
            f"expected MODEL DATASET TRIALS, got {shlex.join(positional)}; "
            "options of tune come behind --"
        )
    by_position: list[str | None] = [*positional, None, None, None]
    by_option = (model, dataset, trials)
    both = [
        name
        for name, word, option in zip(
            ("model", "dataset", "trials"), by_position, by_option, strict=False
        )
        if word is not None and option is not None
    ]
    if both:
        raise SettingsError(f"{', '.join(both)} given twice, by place and by option")
    named_model, named_dataset = model or by_position[0], dataset or by_position[1]
    if named_model is None or named_dataset is None:
        raise SettingsError(
            "expected a model and a data set, e.g. paretocast submit NHITS_Q heat 50, or --all"
        )
    return [(named_model, named_dataset, trials or _number_of_trials(by_position[2]))]


def _number_of_trials(text: str | None) -> int:
    if text is None:
        return DEFAULT_TRIALS
    if not text.isdigit() or int(text) < 1:
        raise SettingsError(f"number of trials {text!r} is not understood, expected e.g. 50")
    return int(text)


def _requests(
    named: Sequence[tuple[str, str, int]],
    *,
    stage: str | None,
    workers: int,
    options: tuple[str, ...],
    workspace: Path,
    pool: bool,
) -> list[SearchRequest]:
    from paretocast.cluster.script import SearchRequest
    from paretocast.data import find_spec
    from paretocast.data.pooled import collection_name

    if workers > 1 and stage == "2":
        raise SettingsError("stage 2 computes on stored forecasts: one worker is all it can use")
    if (folder := os.environ.get(DATA_VARIABLE)) and "--data-dir" not in options:
        options = (*options, "--data-dir", folder)  # the script stands on its own
    stages = {None: (None,), "1": (1,), "2": (2,), "all": (1, 2)}[stage]
    return [
        SearchRequest(
            model=model_label(model),
            dataset=collection_name(source) if pool else find_spec(source).name,
            source=source,
            trials=total,
            stage=number,
            n_workers=1 if number == 2 else workers,
            options=options,
            folder=Path.cwd(),
            workspace=workspace,
        )
        for model, source, total in named
        for number in stages
    ]


def _pool_options(named: tuple[str, str, int], series: str | None) -> tuple[str, ...]:
    """Options of tune that train one network on many series."""
    from paretocast.cli.pooled import pooled_names

    model, dataset, _ = named
    if others := [name for name in models_of(model_label(model)) if name not in networks()]:
        raise SettingsError(
            f"--pool is for networks, got model {', '.join(others)}; submit it for each series"
        )
    return "--series", ",".join(pooled_names(dataset, series)), "--pool"


def _experiments(
    workspace: Path, executor: Executor, *, must_ask: bool
) -> tuple[ExperimentStatus, ...]:
    """Status of all experiments; what cannot be found out must not be submitted a second time."""
    from paretocast.cluster.collect import collect_status

    report = collect_status(workspace, executor, now=datetime.now(UTC))
    for note in report.notes:
        if must_ask:
            raise ExecutionError(note)
        print_note(note)
    return report.experiments


def _with_rank(profile: Profile, rank: int) -> Profile:
    """The profile of a job that Slurm starts after those of lower rank."""
    return profile.model_copy(update={"extra": (*profile.extra, f"--nice={rank * NICE_PER_RANK}")})


def _print_scripts(planned: Sequence[PlannedSubmission], profiles: Sequence[Profile]) -> None:
    for submission, profile in zip(planned, profiles, strict=True):
        if submission.skipped:
            print_skipped(submission)
            continue
        after = submission.after if submission.after_index is None else ("JOB_OF_STAGE_1",)
        _print_script(submission.request, profile, study_id=submission.study_id, after=after)


def _print_script(
    request: SearchRequest,
    profile: Profile,
    *,
    study_id: str | None,
    after: tuple[str, ...] = (),
) -> None:
    from paretocast.cluster.script import job_script

    program = program_words(profile)
    job = job_script(request, profile, program=program, study_id=study_id, after=after)
    print(job.script)  # noqa: T201


def _submit_all(
    planned: Sequence[PlannedSubmission],
    profiles: Sequence[Profile],
    executor: Executor,
    workspace: Path,
) -> None:
    from paretocast.cluster.submission import submit as hand_over

    job_ids: dict[int, str] = {}
    for index, (step, profile) in enumerate(zip(planned, profiles, strict=True)):
        if step.skipped:
            print_skipped(step)
            continue
        after = step.after if step.after_index is None else (job_ids[step.after_index],)
        try:
            submission = hand_over(
                step.request,
                profile,
                executor,
                program=program_words(profile),
                now=datetime.now(UTC),
                study_id=step.study_id,
                after=after,
                tell=partial(print_submission, workspace=workspace),
            )
        except ParetocastError as error:
            raise type(error)(
                f"{step.request.title}: {error} ({len(job_ids)} of {len(planned)} submitted)"
            ) from error
        job_ids[index] = submission.jobs[-1].job_id
