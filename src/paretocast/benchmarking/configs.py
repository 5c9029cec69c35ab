"""The config of a model to benchmark, and its source.

The newest finished study of the model on the data set comes first, then a general
`results/best_params_{MODEL}.json`, then the defaults of the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretocast.errors import StoreError
from paretocast.formatting import count
from paretocast.results.stored_study import StoredStudy, date_and_id, newest_finished
from paretocast.search.models import MODELS, has_several, model_name, unfit_part
from paretocast.search.space import model_in, without_model
from paretocast.training.trial import trial_seed
from paretocast.workspace.runs import RunDirectory
from paretocast.workspace.stored import load_result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from paretocast.search.space import Config
    from paretocast.settings import TuneSettings

TUNED, DEFAULT, NONE = "tuned", "default", "none"


@dataclass(frozen=True)
class TrainedConfig:
    """A config with the seed of its trainings.

    Attributes
    ----------
    number : int or None
        Of the trial it was; None for the default config.
    """

    model: str
    config: Config
    study_seed: int
    number: int | None

    @classmethod
    def read(
        cls, model: str, config: Config, study_seed: int, number: int | None, *, origin: Path
    ) -> TrainedConfig:
        """The config that a file holds.

        Raises
        ------
        StoreError
            If it is none of the model.
        """
        own = without_model(config)
        if unfit := unfit_part(model, own):
            raise StoreError(
                f"{origin} is damaged: of the parameters of {model}, {unfit}; put the file back "
                "as it was or remove it"
            )
        return cls(model, own, study_seed, number)

    def seed(self, index: int) -> int:
        """Seed of a training: index 0 repeats the trial."""
        return trial_seed(self.study_seed, self.number or 0, index)


@dataclass(frozen=True)
class ModelConfig:
    """The config of one model, chosen and default.

    Attributes
    ----------
    kind : str
        "tuned" or "default".
    settings : TuneSettings
        Of the study, or of the benchmark where there is none.
    source : str
        Origin of the config, a sentence for people.
    study : StoredStudy or None
        The study on this data set; None for general parameters and defaults.
    front : tuple of TrainedConfig
        Trials on the study's front or statistically tied with it; empty without a study.
    """

    chosen: TrainedConfig
    kind: str
    settings: TuneSettings
    source: str
    study: StoredStudy | None = None
    front: tuple[TrainedConfig, ...] = ()

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.chosen.model

    @property
    def is_of_contest(self) -> bool:
        """True if the study has other models too."""
        return self.study is not None and self.study.run.model != self.model

    @property
    def default(self) -> TrainedConfig:
        """The default config of the same model, in the same setting."""
        config = MODELS[self.model].default_at(self.settings.task.steps_per_day)
        return TrainedConfig(self.model, config, self.settings.seed, None)


def find_config(
    model: str,
    dataset: str,
    *,
    workspace: Path,
    given: TuneSettings,
    runs: Sequence[Path] = (),
) -> ModelConfig:
    """The config to benchmark a model with.

    Parameters
    ----------
    dataset : str
        Name of the data set, as in the names of files.
    given : TuneSettings
        Of the benchmark; a study has its own but for data set, device and threads.
    runs : sequence of Path
        Studies that were named; the one of this model is used.

    Raises
    ------
    StoreError
        If a named study is of another data set, or a file is damaged.
    """
    model = model_name(model)
    study = _named_study(model, dataset, runs) or _newest_finished(workspace, model, dataset)
    if study is not None:
        return _of_study(study, given)
    general = workspace / "results" / f"best_params_{model}.json"
    if general.exists():
        return _general(general, model, dataset, given)
    settings = given.model_copy(update={"model": model})
    default = MODELS[model].default_at(settings.task.steps_per_day)
    candidate = TrainedConfig(model, default, settings.seed, None)
    source = (
        f"default parameters: no finished study of {model} on {dataset} in "
        f"{workspace / 'results'} and no {general.name}"
    )
    return ModelConfig(candidate, DEFAULT, settings, source)


def find_contest(
    dataset: str, *, workspace: Path, given: TuneSettings, runs: Sequence[Path] = ()
) -> tuple[ModelConfig, ...]:
    """The best config of each model of a study that several models share.

    The newest finished study of that kind on the data set, or the one that was named; empty if
    there is none. Parameters as of `find_config`.
    """
    labels = {
        path.name.removesuffix(f"_{dataset}")
        for path in (workspace / "results").glob(f"*_{dataset}")
    }
    contests = filter(has_several, labels)
    named = [StoredStudy.open(path) for path in runs]
    studies = [study for study in named if has_several(study.run.model)]
    if not named:
        found = (_newest_finished(workspace, label, dataset) for label in sorted(contests))
        studies = [study for study in found if study is not None and study.result.get("choice")]
    if not studies:
        return ()
    study = max(studies, key=date_and_id)
    settings = _settings_of(study, given)
    best: dict[str, int] = study.result["choice"]["best_of_model"]
    return tuple(
        ModelConfig(
            chosen=trial_config(study, number),
            kind=TUNED,
            settings=settings.model_copy(update={"model": model}),
            source=f"tuned on this data set: trial {number} of {study.run.study_name}, the best "
            f"of {model} on the tune split",
            study=study,
        )
        for model, number in best.items()
    )


def contest_members(study: StoredStudy) -> tuple[tuple[TrainedConfig, ...], tuple[float, ...]]:
    """Members of the average that a study of several models found, and their weights."""
    members = study.result["choice"]["members"]
    return (
        tuple(trial_config(study, int(member["trial"])) for member in members),
        tuple(float(member["weight"]) for member in members),
    )


def trial_config(study: StoredStudy, number: int) -> TrainedConfig:
    """The config of a trial of a study.

    Raises
    ------
    StoreError
        If its record is missing or damaged, or holds no config of its model.
    """
    config, origin = study.record(number).config, study.run.record(number)
    model = model_in(config, study.run.model)
    return TrainedConfig.read(model, config, study.settings.seed, number, origin=origin)


def _named_study(model: str, dataset: str, runs: Sequence[Path]) -> StoredStudy | None:
    for path in runs:
        study = StoredStudy.open(path)
        if study.run.model != model:
            continue
        if study.run.dataset != dataset:
            raise StoreError(
                f"--run {path} is a study on {study.run.dataset}, expected one on {dataset}"
            )
        return study
    return None


def _newest_finished(workspace: Path, model: str, dataset: str) -> StoredStudy | None:
    """The study whose result was written last, among those that nobody works on any more."""
    folder = RunDirectory(workspace, model, dataset, "").folder
    start = f"best_params_{model}_{dataset}_"
    runs = [
        RunDirectory(workspace, model, dataset, path.stem.removeprefix(start))
        for path in folder.glob(f"{start}*.json")
    ]
    return newest_finished([run for run in runs if run.manifest.exists()])


def _of_study(study: StoredStudy, given: TuneSettings) -> ModelConfig:
    run, result = study.run, study.result
    settings = _settings_of(study, given)

    def read(config: Config, trial: int) -> TrainedConfig:
        origin = run.best_params
        return TrainedConfig.read(run.model, config, settings.seed, trial, origin=origin)

    number, n_trials = study.chosen_number, int(result["n_trials"])
    planned = f"{n_trials} of " if n_trials < settings.trials else ""
    n_planned = count(max(n_trials, settings.trials if planned else 0), "trial")
    trial = f"trial {number} of {run.study_name}, {planned}{n_planned}"
    if settings.pool:
        trial += f" of one network for {len(settings.pool)} series"
    return ModelConfig(
        chosen=read(result["best_params"], number),
        kind=TUNED,
        settings=settings,
        source=f"tuned on this data set: {trial}, {result['selection']['reason']}",
        study=study,
        front=tuple(read(config, other) for other, config in study.tied_front.items()),
    )


def _settings_of(study: StoredStudy, given: TuneSettings) -> TuneSettings:
    """Settings of a study; where it runs and where the data lie are those of the benchmark."""
    keys = ("dataset", "data_dir", "device", "threads")
    here = {key: value for key in keys if (value := getattr(given, key)) is not None}
    return study.settings.model_copy(update=here)


def _general(path: Path, model: str, dataset: str, given: TuneSettings) -> ModelConfig:
    result = load_result(path)
    if result["model"] != model:
        raise StoreError(f"{path} is a result of {result['model']}, expected {model}; remove it")
    if result["dataset"] == dataset:
        raise StoreError(
            f"{path} was tuned on {dataset} itself, and the study "
            f"{result['study_name']} is not there to show on which hours; bring its folder "
            "back, or remove the file"
        )
    source = (
        f"general parameters of {path.name}: trial {result['best_trial_number']} of "
        f"{result['study_name']}, tuned on {result['dataset']}"
    )
    settings = given.model_copy(update={"model": model})
    candidate = TrainedConfig.read(model, result["best_params"], settings.seed, None, origin=path)
    return ModelConfig(candidate, TUNED, settings, source)
