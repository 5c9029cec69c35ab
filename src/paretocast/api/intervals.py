"""Calibration and diagnosis of the intervals of a study, for notebooks and the command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from paretocast.api.study import Study
from paretocast.calibration import IntervalScores, check_method, walk_forward
from paretocast.calibration.ensemble import MOST_MEMBERS
from paretocast.errors import SettingsError
from paretocast.metrics import diagnostics
from paretocast.metrics.scores import SAME_LEVEL, central_levels
from paretocast.report import diagnosis_page
from paretocast.report.site import lies_in, save_page, update_site
from paretocast.results.calibrator_file import calibrate_stored, load_fitted
from paretocast.results.forecasts import open_ensemble, open_members, open_trial
from paretocast.results.groups import task_groupings
from paretocast.results.stored_study import StoredStudy

if TYPE_CHECKING:
    from collections.abc import Callable

    from paretocast.calibration import Calibrator
    from paretocast.metrics.diagnostics import Diagnosis
    from paretocast.metrics.forecast import Forecast
    from paretocast.results.calibrator_file import SavedCalibrator, StoredCalibrator
    from paretocast.results.forecasts import StoredForecast


@dataclass(frozen=True)
class Calibration:
    """A calibrator fitted to a stored forecast.

    Attributes
    ----------
    opened : StoredForecast
        The forecast that it corrects.
    saved : SavedCalibrator
        The choice among methods, and the file.
    """

    opened: StoredForecast
    saved: SavedCalibrator

    @property
    def calibrator(self) -> Calibrator:
        """The calibrator, fitted on the whole calibrate split."""
        return self.saved.selection.calibrator

    @property
    def reason(self) -> str:
        """Reason for this method, one sentence."""
        return self.saved.selection.reason

    @property
    def path(self) -> Path:
        """The JSON file that holds it."""
        return self.saved.path

    @property
    def table(self) -> pd.DataFrame:
        """Scores of the compared methods in cross-validation, `picp` in percent, a row each.

        Empty where the split is too short to compare methods.
        """
        rows = [asdict(row) for row in self.saved.selection.compared]
        return pd.DataFrame(rows, columns=[field.name for field in fields(IntervalScores)])

    def forecast(self, split: str = "tune") -> Forecast:
        """Return the corrected forecast; the tune split fitted no calibrator."""
        return walk_forward(self.calibrator, self.opened.forecast(split)).forecast


@dataclass(frozen=True)
class DiagnosedForecast:
    """A diagnosis with its page.

    Attributes
    ----------
    subject : str
        The forecast in words.
    """

    opened: StoredForecast
    diagnosis: Diagnosis
    subject: str
    path: Path

    @property
    def table(self) -> pd.DataFrame:
        """Coverage of every group, a row each.

        `picp` with its interval `low` and `high` in percent, `mean_width` and `winkler` in target
        units, `n` values in `n_windows`.
        """
        groups = [("all target times", self.diagnosis.overall)]
        groups += [(b.name, group) for b in self.diagnosis.breakdowns for group in b.groups]
        return pd.DataFrame([{"grouping": name, **asdict(group)} for name, group in groups])


def calibrate(
    study: Study | str | Path,
    calibrator: str = "auto",
    *,
    trial: int | None = None,
    ensemble: bool = False,
    members: int | None = None,
    static: bool = False,
    target_coverage: float | None = None,
    output: Path | None = None,
    data_dir: str | Path | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> Calibration:
    """Fit a calibrator on the calibrate split of a study and write it as JSON.

    Parameters
    ----------
    study : Study or path
        A study, its folder, or its `best_params_*.json`.
    calibrator : str
        "auto" for the best one in cross-validation, or the name of a method.
    trial : int, optional
        The chosen one without it.
    ensemble : bool
        Average trials on the front and tied with it, `members` at most.
    static : bool
        Leave methods that go on learning out of "auto".
    target_coverage : float, optional
        Percent; that of the study without it.
    output : Path, optional
        The file; in the folder of the study without it.
    say : callable
        Given sentences that a user should read.

    Raises
    ------
    SettingsError
        If an option is wrong.
    StoreError
        If the study, its forecasts or its data set are missing or have changed.

    Examples
    --------
    >>> import paretocast
    >>> calibration = paretocast.calibrate("hpo/results/NHITS_Q_demo")  # doctest: +SKIP
    >>> calibration.table  # doctest: +SKIP
    """
    check_method(calibrator)
    opened = open_forecast(study, trial, ensemble=ensemble, members=members, data_dir=data_dir)
    opened = _aim(opened, target_coverage, say)
    saved = calibrate_stored(opened, calibrator, static=static, path=output)
    if lies_in(saved.path, opened.run.workspace):
        update_site(opened.run.workspace)
    return Calibration(opened, saved)


def diagnose(
    study: Study | str | Path,
    *,
    split: str = "calibrate",
    trial: int | None = None,
    ensemble: bool = False,
    members: int | None = None,
    calibrator: Path | None = None,
    target_coverage: float | None = None,
    output: Path | None = None,
    data_dir: str | Path | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> DiagnosedForecast:
    """Measure coverage and width by lead time, hour, weekday, month, demand and temperature.

    Parameters
    ----------
    split : {"calibrate", "tune"}
        The tune split chose the trial, the calibrate split did not.
    calibrator : Path, optional
        A file that `calibrate` wrote: its forecast is diagnosed as it corrects it.
    output : Path, optional
        The page; in the folder of the study without it.
    study, trial, ensemble, members, target_coverage, data_dir, say
        As of `calibrate`.

    Raises
    ------
    SettingsError
        If an option is wrong, or the calibrator belongs to another forecast.
    StoreError
        If the study, its forecasts or its data set are missing or have changed.

    Examples
    --------
    >>> import paretocast
    >>> paretocast.diagnose("hpo/results/NHITS_Q_demo").table  # doctest: +SKIP
    """
    if split not in {"tune", "calibrate"}:
        raise SettingsError(f"split is {split!r}, expected tune or calibrate")
    if calibrator is None:
        opened = open_forecast(study, trial, ensemble=ensemble, members=members, data_dir=data_dir)
        opened = _aim(opened, target_coverage, say)
        forecast, subject = opened.forecast(split), f"{opened.subject}, {split} split"
    else:
        stored = load_fitted(calibrator)
        opened = _open_calibrated(stored, calibrator, study, data_dir=data_dir)
        alone = len(opened.members) == 1
        if (ensemble and alone) or (trial is not None and not (alone and trial == opened.number)):
            raise SettingsError(
                f"{calibrator} belongs to {opened.subject}; leave out --trial and --ensemble"
            )
        opened = _aim(opened, target_coverage or stored.target_coverage, say)
        forecast = stored.calibrate(opened.forecast(split))
        subject = f"{opened.subject}, {split} split, calibrated by {stored.calibrator.name}"
    diagnosis = diagnostics.diagnose(
        forecast,
        task_groupings(opened.task, split, forecast),
        target=opened.settings.target_coverage,
    )
    path = output or opened.run.page("diagnosis")
    page = diagnosis_page(
        diagnosis,
        model=opened.run.model,
        dataset=opened.run.dataset,
        unit=opened.unit,
        subject=subject,
        notes=opened.task.assumptions,
    )
    workspace = opened.run.workspace
    save_page(path, page, workspace=workspace)
    if lies_in(path, workspace):
        update_site(workspace)
    return DiagnosedForecast(opened, diagnosis, subject, path)


def open_forecast(
    study: Study | str | Path,
    trial: int | None = None,
    *,
    ensemble: bool = False,
    members: int | None = None,
    data_dir: str | Path | None = None,
) -> StoredForecast:
    """Return the stored forecast of a trial of a study, or of its ensemble."""
    if ensemble and trial is not None:
        raise SettingsError("--trial and --ensemble exclude each other; give one of them")
    if members is not None and not ensemble:
        raise SettingsError("--members is for --ensemble")
    stored, folder = _stored(study, data_dir)
    if ensemble:
        return open_ensemble(stored, most=members or MOST_MEMBERS, data_dir=folder)
    return open_trial(stored, trial, data_dir=folder)


def _stored(
    study: Study | str | Path, data_dir: str | Path | None
) -> tuple[StoredStudy, Path | None]:
    folder = None if data_dir is None else Path(data_dir)
    if isinstance(study, Study):
        return study.stored, folder or study.data_dir
    return StoredStudy.open(Path(study)), folder


def _aim(
    opened: StoredForecast, target_coverage: float | None, say: Callable[[str], None]
) -> StoredForecast:
    """Return the forecast with another target interval; that of the study for None."""
    if target_coverage is None:
        return opened
    if not 1.0 < target_coverage < 100.0:
        raise SettingsError(f"target coverage is {target_coverage:g} %, expected between 1 and 100")
    low, high = central_levels(target_coverage)
    levels = opened.task.shape.levels
    if low < levels[0] - SAME_LEVEL or high > levels[-1] + SAME_LEVEL:
        say(
            f"the {target_coverage:g} % interval lies beyond the stored levels, {levels[0]:g} to "
            f"{levels[-1]:g}: its bounds are read from the tails that these draw"
        )
    return opened.with_target(target_coverage)


def _open_calibrated(
    fitted: StoredCalibrator,
    path: Path,
    study: Study | str | Path,
    *,
    data_dir: str | Path | None,
) -> StoredForecast:
    """Return the forecast that a calibrator was fitted to."""
    stored, folder = _stored(study, data_dir)
    study_name = stored.run.study_name
    if fitted.study_name != study_name:
        raise SettingsError(f"{path} belongs to {fitted.study_name}, not to {study_name}")
    return open_members(stored, fitted.members, data_dir=folder)
