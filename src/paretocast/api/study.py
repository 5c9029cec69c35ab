"""A study on disk as a notebook sees it: frames, forecasts and figures."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paretocast.errors import DataError
from paretocast.formatting import count
from paretocast.results.stored_study import StoredStudy

if TYPE_CHECKING:
    from paretocast.data.task import Task
    from paretocast.metrics.forecast import Forecast
    from paretocast.report.figures import Figure
    from paretocast.results.forecasts import StoredForecast
    from paretocast.search.space import Config
    from paretocast.training.trial import TrialRecord

FIRST_SCORES = ("mae", "picp", "mean_width", "pinball", "winkler")


class Study:
    """A study on disk, read when it is asked for.

    Parameters
    ----------
    stored : StoredStudy
        Its files.
    data_dir : Path, optional
        Folder of the data files, if they are not where the study found them.

    Examples
    --------
    >>> import paretocast
    >>> study = paretocast.load_study("hpo/results/NHITS_Q_demo")  # doctest: +SKIP
    >>> study.best["mae"], study.best_params["lr"]  # doctest: +SKIP
    (0.1525, 0.00115)
    """

    def __init__(self, stored: StoredStudy, *, data_dir: Path | None = None) -> None:
        self.stored = stored
        self.data_dir = data_dir

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.stored.run.model

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return self.stored.run.dataset

    @property
    def study_id(self) -> str:
        """Id of the study among those of its model and data set."""
        return self.stored.run.job_id

    @property
    def folder(self) -> Path:
        """Folder of its files, which it shares with other studies of the model and data set."""
        return self.stored.run.folder

    @property
    def task(self) -> Task:
        """Series, windows and splits, without the test split."""
        return self.stored.task(self.data_dir)

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """Finished trials by number, with the mean of their scores over their seeds."""
        return self.stored.outcome.records

    @property
    def trials(self) -> pd.DataFrame:
        """Finished trials, a row each.

        Returns
        -------
        DataFrame
            Indexed by trial. `state`; `on_front`; `tied`, not told apart from the front; `chosen`;
            `n_seeds`, trainings that the scores are the mean of; the scores on the tune split, NaN
            for a failed trial, errors and widths in target units, `picp` in percent; then the
            config, a column a parameter.
        """
        outcome, rows = self.stored.outcome, []
        for record in self.records:
            scores = {name: record.scores.get(name, np.nan) for name in FIRST_SCORES}
            rows.append(
                {
                    "trial": record.number,
                    "state": str(record.state),
                    "on_front": record.number in outcome.front,
                    "tied": record.number in outcome.front_probability,
                    "chosen": record.number == outcome.selection.number,
                    "n_seeds": record.n_seeds,
                    **scores,
                    **{name: score for name, score in record.scores.items() if name not in scores},
                    **record.config,
                }
            )
        return pd.DataFrame(rows).set_index("trial")

    @property
    def front(self) -> pd.DataFrame:
        """Trials on the Pareto front as rows of `trials`, the lowest MAE first."""
        trials = self.trials
        return trials[trials["on_front"]].sort_values("mae")

    @property
    def best(self) -> pd.Series[Any]:
        """The chosen trial, a row of `trials`."""
        row = self.trials.loc[[self.stored.chosen_number]]
        return row.iloc[0]

    @property
    def best_params(self) -> Config:
        """Config of the chosen trial."""
        config: Config = self.stored.result["best_params"]
        return config

    @property
    def choice(self) -> dict[str, Any] | None:
        """The recommended method: `method`, `members`, `best_of_model`, `pinball_on_calibrate`.

        None of a study that an earlier version made; docs/results.md has the fields.
        """
        choice: dict[str, Any] | None = self.stored.result.get("choice")
        return choice

    @property
    def baselines(self) -> pd.DataFrame:
        """Scores of the baselines on the tune split, a row each."""
        return pd.DataFrame(self.stored.result["references"]).T

    def forecast(self, split: str = "tune", *, trial: int | None = None) -> Forecast:
        """Return the stored forecast of a trial.

        Parameters
        ----------
        split : {"tune", "calibrate"}
            The tune split chose the trial, the calibrate split did not.
        trial : int, optional
            The chosen one without it.

        Raises
        ------
        StoreError
            If the forecasts or the data set are missing, or the data have changed.
        """
        return self.opened(trial).forecast(split)

    def forecasts(self, split: str = "tune", *, trial: int | None = None) -> pd.DataFrame:
        """Return the stored forecast of a trial as a tidy frame.

        Parameters
        ----------
        split, trial
            As of `forecast`.

        Returns
        -------
        DataFrame
            A row for each forecast hour: `issue_time` and `target_time` in UTC, `step` from 1 on,
            `q0.05` and so on, a column a quantile level, and `observed`, NaN where missing; in
            target units.
        """
        from paretocast.results.tidy import forecast_frame

        return forecast_frame(self.forecast(split, trial=trial), self.task, split)

    def all_forecasts(self) -> pd.DataFrame:
        """Return the stored forecasts of all trials as one tidy frame.

        Returns
        -------
        DataFrame
            The rows of `forecasts` of both splits and of every trial that has stored ones, with
            `trial` and `split` before them.
        """
        from paretocast.results.tidy import study_frames

        return pd.concat(study_frames(self.stored, self.task), ignore_index=True)

    def log_to_mlflow(self, uri: str) -> int:
        """Log the study to MLflow, a run for each finished trial; return how many were added.

        Parameters
        ----------
        uri : str
            Of the tracking store, such as http://localhost:5000 or sqlite:///mlflow.db. Runs that
            it has already stay as they are.

        Raises
        ------
        SettingsError
            If MLflow (extra `mlflow`) is not installed.
        StoreError
            If the store cannot be reached or written.
        """
        from paretocast.results.mlflow_runs import log_study

        return log_study(self.stored, uri)

    def plot_pareto(self) -> Figure:
        """Return a figure of error against coverage: all trials, the front and the baselines."""
        from paretocast.report.figures import pareto_figure

        return pareto_figure(
            self.records,
            self.stored.outcome,
            target_coverage=self.stored.settings.target_coverage,
            unit=self.task.series.unit,
        )

    def plot_forecast(
        self,
        issue: str | pd.Timestamp | None = None,
        *,
        split: str = "tune",
        trial: int | None = None,
    ) -> Figure:
        """Return a fan chart of one forecast with what was observed.

        Parameters
        ----------
        issue : str or Timestamp, optional
            A day, or a time on it; UTC if it carries no zone. The last issue of the split without
            it.
        split, trial
            As of `forecast`.

        Raises
        ------
        DataError
            If no forecast of the split was issued on that day.
        """
        from paretocast.report.figures import forecast_figure

        forecast, task = self.forecast(split, trial=trial), self.task
        issues = task.issue_times(split)
        i = _window_of(issues, issue, split)
        return forecast_figure(
            issues[[i]].tz_convert(task.series.calendar.zone),
            forecast.quantiles[[i]],
            observed=forecast.observed[[i]],
            levels=forecast.levels,
            unit=task.series.unit,
            model=self.model,
            dataset=self.dataset,
            step=task.shape.step,
        )

    def opened(self, trial: int | None = None) -> StoredForecast:
        """Return a trial with its settings, its task and its forecasts."""
        from paretocast.results.forecasts import open_trial

        return open_trial(self.stored, trial, data_dir=self.data_dir)

    def __repr__(self) -> str:
        """Return one line: the study, its trials and the chosen one."""
        return f"<Study {self.stored.run.study_name}: {self._summary()}>"

    def _repr_html_(self) -> str:
        """Return a heading and the front as a table, for notebooks."""
        columns = ["chosen", "n_seeds", *FIRST_SCORES]
        table = self.front[columns].to_html(float_format=lambda value: f"{value:.4g}", border=0)
        name = f"{escape(self.model)} on {escape(self.dataset)}, study {escape(self.study_id)}"
        return f"<p><b>{name}</b>: {escape(self._summary())}</p>{table}"

    def _summary(self) -> str:
        result = self.stored.result
        return (
            f"{count(result['n_trials'], 'trial')}, {result['n_pareto_optimal']} on the front, "
            f"trial {self.stored.chosen_number} chosen: MAE {result['best_mae']:.4g}, "
            f"PICP {result['best_picp']:.1f} %"
        )


def load_study(path: str | Path, *, data_dir: str | Path | None = None) -> Study:
    """Return a study on disk.

    Parameters
    ----------
    path : path
        A `best_params_*.json`, or a folder that holds exactly one, such as
        ``hpo/results/NHITS_Q_demo``.
    data_dir : path, optional
        Folder of the data files, if they are not where the study found them.

    Raises
    ------
    StoreError
        If there is no such study, or the folder holds several.
    """
    return Study(
        StoredStudy.open(Path(path)), data_dir=None if data_dir is None else Path(data_dir)
    )


def _window_of(issues: pd.DatetimeIndex, issue: str | pd.Timestamp | None, split: str) -> int:
    if issue is None:
        return len(issues) - 1
    wanted = pd.Timestamp(issue)
    wanted = wanted.tz_localize("UTC") if wanted.tzinfo is None else wanted.tz_convert("UTC")
    same_day = np.flatnonzero(issues.normalize() == wanted.normalize())
    if not same_day.size:
        raise DataError(
            f"no forecast of the {split} split was issued on {wanted:%Y-%m-%d}; it has "
            f"{len(issues)} issues from {issues[0]:%Y-%m-%d} to {issues[-1]:%Y-%m-%d}, in blocks"
        )
    return int(same_day[0])
