"""A study as runs of MLflow: one for the study and one, nested in it, for each finished trial."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from paretocast.errors import SettingsError, StoreError
from paretocast.redaction import redacted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from paretocast.results.stored_study import StoredStudy
    from paretocast.training.trial import TrialRecord

STUDY_TAG, TRIAL_TAG = "paretocast.study", "paretocast.trial"
PARENT_TAG = "mlflow.parentRunId"
UNFINISHED = "RUNNING"
LONGEST_VALUE = 500  # characters of a parameter that every server of MLflow keeps


def log_study(study: StoredStudy, uri: str) -> int:
    """Log a study to an MLflow server or database; what is there already stays as it is.

    Parameters
    ----------
    uri : str
        Of MLflow's tracking store, such as http://localhost:5000 or sqlite:///mlflow.db.

    Returns
    -------
    int
        Runs of trials that were added.

    Raises
    ------
    SettingsError
        If MLflow is not installed.
    StoreError
        If the store cannot be reached or written.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError as error:
        raise SettingsError(
            "--track needs mlflow, which is not installed; pip install 'paretocast[mlflow]'"
        ) from error
    records = study.outcome.records
    try:
        return _Experiment(MlflowClient(tracking_uri=uri), study).add(records)
    except (MlflowException, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise StoreError(
            redacted(f"{study.run.study_name} cannot be logged to {uri}: {reason}")
        ) from error


class _Experiment:
    """The experiment of a study's data set, with the runs of the study in it."""

    def __init__(self, client: MlflowClient, study: StoredStudy) -> None:
        self._client, self._study = client, study
        name = f"paretocast {study.run.dataset}"
        found = client.get_experiment_by_name(name)
        self._id = client.create_experiment(name) if found is None else found.experiment_id

    def add(self, records: tuple[TrialRecord, ...]) -> int:
        """Add the study and those of its trials that have no run yet."""
        parent = self._study_run()
        there = {run.data.tags.get(TRIAL_TAG) for run in self._runs(PARENT_TAG, parent)}
        new = [record for record in records if str(record.number) not in there]
        for record in new:
            self._add_trial(record, parent)
        return len(new)

    def _study_run(self) -> str:
        """Id of the study's run, whose parameters and files are those of the chosen trial."""
        run = self._study.run
        if found := self._runs(STUDY_TAG, run.study_name):
            return str(found[0].info.run_id)
        made = self._client.create_run(
            self._id, run_name=run.study_name, tags={STUDY_TAG: run.study_name}
        )
        chosen = self._study.chosen_number
        self._log(made, next(r for r in self._study.outcome.records if r.number == chosen))
        for path in (run.best_params, run.manifest):
            if path.exists():
                self._client.log_artifact(made.info.run_id, str(path))
        self._client.set_terminated(made.info.run_id)
        return str(made.info.run_id)

    def _add_trial(self, record: TrialRecord, parent: str) -> None:
        tags = {
            PARENT_TAG: parent,
            TRIAL_TAG: str(record.number),
            "paretocast.state": str(record.state),
            "paretocast.front": str(record.number in self._study.outcome.front).lower(),
        }
        made = self._client.create_run(self._id, run_name=f"trial {record.number}", tags=tags)
        self._log(made, record)
        for path in (
            self._study.run.record(record.number),
            self._study.run.forecasts(record.number),
        ):
            if path.exists():
                self._client.log_artifact(made.info.run_id, str(path))
        status = "FAILED" if record.reason and not record.scores else "FINISHED"
        self._client.set_terminated(made.info.run_id, status=status)

    def _log(self, run: Run, record: TrialRecord) -> None:
        """Config and scores of a trial; losses on the stop split by step."""
        from mlflow.entities import Metric, Param

        scores = {**record.scores, "fit_seconds": record.fit_seconds}
        values = [(name, float(value), record.steps) for name, value in scores.items()]
        values += [("stop_loss", loss, step) for step, loss in record.stop_losses]
        metrics = [Metric(name, v, 0, step) for name, v, step in values if math.isfinite(v)]
        config = {**record.config, "seed": record.seed}
        params = [Param(name, str(value)[:LONGEST_VALUE]) for name, value in config.items()]
        self._client.log_batch(run.info.run_id, metrics=metrics, params=params)

    def _runs(self, tag: str, value: str) -> list[Run]:
        """Runs with a tag that were logged whole; what a killed command has begun is deleted."""
        wanted, token = f"tags.`{tag}` = '{value}'", None
        runs: list[Run] = []
        while True:
            page = self._client.search_runs([self._id], filter_string=wanted, page_token=token)
            runs += page
            token = page.token
            if not token:
                break
        for run in runs:
            if run.info.status == UNFINISHED:
                self._client.delete_run(run.info.run_id)
        return [run for run in runs if run.info.status != UNFINISHED]
