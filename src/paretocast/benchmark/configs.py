"""Which config of a model is benchmarked, and where it comes from.

The newest study of the model on the data set that nobody works on comes first, then a general
`results/best_params_{MODEL}.json`, then the defaults of the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretocast.errors import StoreError
from paretocast.results.forecasts import find_run, stored_settings, tied_front
from paretocast.search.models import MODELS, model_name
from paretocast.training.trial import trial_seed
from paretocast.workspace import files
from paretocast.workspace.claims import claim_owner
from paretocast.workspace.files import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from paretocast.search.space import Config
    from paretocast.settings import TuneSettings

TUNED, DEFAULT, NONE = "tuned", "default", "none"


@dataclass(frozen=True)
class TrainedConfig:
    """A config with what its weights are seeded from.

    Attributes
    ----------
    number : int or None
        Of the trial it was; None for the default config.
    """

    model: str
    config: Config
    study_seed: int
    number: int | None

    def seed(self, index: int) -> int:
        """Seed of a training: index 0 repeats the trial."""
        return trial_seed(self.study_seed, self.number or 0, index)


@dataclass(frozen=True)
class ModelConfig:
    """The parameters of one model.

    Attributes
    ----------
    kind : str
        "tuned" or "default".
    settings : TuneSettings
        Of the study, or what was given where there is none.
    source : str
        Where the config comes from, a sentence for people.
    run : RunDirectory or None
        The study on this data set; None for general parameters and defaults.
    front : tuple of TrainedConfig
        Trials on the study's front or statistically tied with it; empty without a study.
    """

    chosen: TrainedConfig
    kind: str
    settings: TuneSettings
    source: str
    run: RunDirectory | None = None
    front: tuple[TrainedConfig, ...] = ()

    @property
    def model(self) -> str:
        """The model they are for."""
        return self.chosen.model

    @property
    def default(self) -> TrainedConfig:
        """The default config of the same model, in the same setting."""
        config = dict(MODELS[self.model].default)
        return TrainedConfig(self.model, config, self.settings.seed, None)


def find_config(
    model: str,
    dataset: str,
    *,
    workspace: Path,
    given: TuneSettings,
    runs: Sequence[Path] = (),
) -> ModelConfig:
    """The parameters to benchmark a model with.

    ModelConfig
    ----------
    dataset : str
        Name of the data set, as in the names of files.
    given : TuneSettings
        Of the benchmark: what holds where no study says otherwise.
    runs : sequence of Path
        Studies that were named; the one of this model is used.

    Raises
    ------
    StoreError
        If a named study is of another data set, or a file is damaged.
    """
    model = model_name(model)
    run = _named_run(model, dataset, runs) or _newest_finished(workspace, model, dataset)
    if run is not None:
        return _of_run(run, given)
    general = workspace / "results" / f"best_params_{model}.json"
    if general.exists():
        return _general(general, model, dataset, given)
    own = given.model_copy(update={"model": model})
    candidate = TrainedConfig(model, dict(MODELS[model].default), own.seed, None)
    source = (
        f"default parameters: no finished study of {model} on {dataset} in "
        f"{workspace / 'results'} and no {general.name}"
    )
    return ModelConfig(candidate, DEFAULT, own, source)


def stored_task(run: RunDirectory) -> dict[str, Any]:
    """The task of a study, as its manifest describes it."""
    manifest = files.load_json(run.manifest)
    try:
        task: dict[str, Any] = manifest["comparable"]["task"]
    except (KeyError, TypeError) as error:
        raise StoreError(f"{run.manifest} describes no task; it is damaged") from error
    return task


def _named_run(model: str, dataset: str, runs: Sequence[Path]) -> RunDirectory | None:
    for path in runs:
        run = find_run(path)
        if run.model != model:
            continue
        if run.dataset != dataset:
            raise StoreError(f"--run {path} is a study on {run.dataset}, expected one on {dataset}")
        return run
    return None


def _newest_finished(workspace: Path, model: str, dataset: str) -> RunDirectory | None:
    """The study whose result was written last, among those that nobody works on any more."""
    folder = RunDirectory(workspace, model, dataset, "").folder
    start = f"best_params_{model}_{dataset}_"
    found = []
    for path in folder.glob(f"{start}*.json"):
        run = RunDirectory(workspace, model, dataset, path.stem.removeprefix(start))
        if run.manifest.exists() and not _is_under_way(run):
            found.append((str(files.load_json(path).get("optimization_date", "")), run.job_id, run))
    return max(found, key=lambda entry: entry[:2])[2] if found else None


def _is_under_way(run: RunDirectory) -> bool:
    for folder in run.trials_folder.glob("[0-9]*"):
        try:
            if claim_owner(folder) is not None:
                return True
        except OSError:
            continue
    return False


def _of_run(run: RunDirectory, given: TuneSettings) -> ModelConfig:
    result = files.load_result(run)
    settings = _settings_of(run, given)
    number, n_trials = int(result["best_trial_number"]), int(result["n_trials"])
    of = f" of {settings.trials}" if n_trials < settings.trials else ""
    wanted = f"trial {number} of {run.study_name}, {n_trials}{of} trials"
    return ModelConfig(
        chosen=TrainedConfig(run.model, result["best_params"], settings.seed, number),
        kind=TUNED,
        settings=settings,
        source=f"tuned on this data set: {wanted}, {result['selection']['reason']}",
        run=run,
        front=tuple(
            TrainedConfig(run.model, config, settings.seed, other)
            for other, config in tied_front(result).items()
        ),
    )


def _settings_of(run: RunDirectory, given: TuneSettings) -> TuneSettings:
    """Settings of a study; where it runs and where the data lie are those of the benchmark."""
    places = ("dataset", "data_dir", "device", "threads")
    here = {key: value for key in places if (value := getattr(given, key)) is not None}
    return stored_settings(run, **here)


def _general(path: Path, model: str, dataset: str, given: TuneSettings) -> ModelConfig:
    result = files.load_json(path)
    if result.get("model") != model or not isinstance(result.get("best_params"), dict):
        raise StoreError(f"{path} is no result of {model}; remove it or run consolidate again")
    if result.get("dataset") == dataset:
        raise StoreError(
            f"{path} was tuned on {dataset} itself, and the study "
            f"{result.get('study_name')} is not there to show on which hours; bring its folder "
            "back, or remove the file"
        )
    source = (
        f"general parameters of {path.name}: trial {result.get('best_trial_number')} of "
        f"{result.get('study_name')}, tuned on {result.get('dataset')}"
    )
    settings = given.model_copy(update={"model": model})
    candidate = TrainedConfig(model, result["best_params"], settings.seed, None)
    return ModelConfig(candidate, TUNED, settings, source)
