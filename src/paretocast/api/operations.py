"""Deploying a study and forecasting with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from paretocast.data.tables import read_table
from paretocast.deployment.bundle import issue_time
from paretocast.deployment.issued import OFF_SCHEDULE
from paretocast.deployment.journal import Deployment
from paretocast.deployment.run import issue_forecast, issue_forecasts, next_daily_issue
from paretocast.deployment.run import observe as observe_inputs
from paretocast.errors import SettingsError
from paretocast.formatting import in_utc
from paretocast.steps import noun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paretocast.data.dialect import TableSpec
    from paretocast.deployment.health import HealthReport
    from paretocast.deployment.issued import LiveForecast
    from paretocast.deployment.run import Observed


DAILY = "daily"


def say_nothing(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class _Telling:
    """Observer that says what begins."""

    say: Callable[[str], None]

    def began(self, what: str) -> None:
        """A step begins."""
        self.say(what)


def deploy(
    study: str | Path,
    to: str | Path,
    *,
    method: str | None = None,
    calibrator: str = "auto",
    refit: bool = False,
    refit_until: str | None = None,
    data_dir: str | Path | None = None,
    device: str = "cpu",
    say: Callable[[str], None] = say_nothing,
) -> Deployment:
    """Put what a study recommends into use.

    Parameters
    ----------
    study : path
        A `best_params_*.json`, or a folder that holds one.
    to : path
        Folder of the deployment; a bundle that is in use there stays beside the new one.
    method : str, optional
        "ensemble", "trial N" or "ridge"; what the study recommends without it.
    refit, refit_until :
        Learn from every hour of the data, or up to a time.

    Raises
    ------
    ParetocastError
        If the study cannot be read or the method not be deployed; what was in use stays so.
    """
    from paretocast.deployment.build import build_bundle
    from paretocast.deployment.plan import plan_bundle
    from paretocast.report.site import lies_in, update_site
    from paretocast.results.stored_study import StoredStudy

    until = None if refit_until is None else read_stamp(refit_until, "--refit-until")
    stored = StoredStudy.open(Path(study))
    plan = plan_bundle(
        stored,
        method=method,
        calibrator=calibrator,
        refit=refit,
        refit_until=until,
        data_dir=None if data_dir is None else Path(data_dir),
        device=device,
    )
    deployment = Deployment(Path(to))
    bundle = build_bundle(plan, deployment.bundles, observer=_Telling(say))
    bundle.verify()
    with deployment.locked():
        deployment.point_to(bundle.name, event="deploy", reason=f"{plan.method} of {study}")
    if lies_in(deployment.folder, stored.run.workspace):
        update_site(stored.run.workspace)
    return deployment


def forecast(
    deployment: str | Path,
    data: str | Path | pd.DataFrame,
    *,
    weather: str | Path | pd.DataFrame | None = None,
    sources: Mapping[str, str | Path | pd.DataFrame] | None = None,
    at: str | pd.Timestamp | None = None,
    first: str | pd.Timestamp | None = None,
    last: str | pd.Timestamp | None = None,
    dry_run: bool = False,
    say: Callable[[str], None] = say_nothing,
) -> list[LiveForecast]:
    """Forecasts of a deployment, kept in its journal: one, or one a day from `first` to `last`.

    Parameters
    ----------
    data, weather : path or DataFrame
        Tables as the bundle's contract has them, see `deployment.inputs.InputContract.read`.
    sources : mapping of str to path or DataFrame, optional
        Newer rows of the files that the data set names under `[[sources]]`, by their names there.
    at : str or Timestamp, optional
        First hour to forecast; "daily" is the first daily issue from the last value on.
    """
    opened = Deployment.open(Path(deployment))
    contract = opened.bundle.contract
    inputs = contract.read(
        _table(data, contract.spec),
        None if weather is None else _table(weather),
        contract.read_sources(sources or {}),
    )
    if first is None and last is not None:
        raise SettingsError("--to is given without --from")
    if first is None:
        if at is None:
            after, step = contract.delay_hours, noun(contract.shape.steps_per_day)
            late = f", which is there after {after} h" if after else ""
            said = f"the {step} after the last value{late}"
            say(f"issued for {in_utc(issue_time(None, inputs))}, {said}")
        elif at == DAILY:
            at = next_daily_issue(inputs)
            say(f"issued for {in_utc(at)}, the first daily issue from the last value on")
        forecast = issue_forecast(opened, inputs, at, dry_run=dry_run)
        if OFF_SCHEDULE in forecast.flags:
            say(
                f"forecasts are issued daily at {contract.shape.issue_hour:02d}:00 "
                f"{contract.shape.issue_zone}: neither calibrator nor monitor learn from another "
                f"hour. --at {DAILY} takes the next daily issue"
            )
        return [forecast]
    if at is not None or dry_run:
        raise SettingsError("--from goes neither with --at nor with --dry-run")
    stop = inputs.observed_until if last is None else read_stamp(last, "--to")
    return issue_forecasts(opened, inputs, read_stamp(first, "--from"), stop)


def observe(deployment: str | Path, data: str | Path | pd.DataFrame) -> Observed:
    """Add observations to the journal of a deployment."""
    opened = Deployment.open(Path(deployment))
    contract = opened.bundle.contract
    return observe_inputs(opened, contract.read_target(_table(data, contract.spec)))


def monitor(
    deployment: str | Path,
    *,
    now: str | pd.Timestamp | None = None,
    tolerance: float = 0.0,
    page: str | Path | None = None,
) -> tuple[HealthReport, Path]:
    """Health of a deployment; its page and `health.json` are written, and the journal notes it.

    Parameters
    ----------
    now : Timestamp or str, optional
        Age of the data counts up to here; the time of the clock without it.
    tolerance : float
        Percentage points by which coverage may be off.

    Returns
    -------
    HealthReport
    Path
        Of the page.
    """
    from paretocast.deployment.monitor import health_of
    from paretocast.report.health import health_page
    from paretocast.report.site import enclosing_workspace, save_page, update_site
    from paretocast.workspace import files

    opened = Deployment.open(Path(deployment))
    time = pd.Timestamp.now("UTC") if now is None else read_stamp(now, "--now")
    with opened.locked():
        report = health_of(opened, now=time.floor("h"), tolerance=tolerance)
        opened.note("monitor", state=report.level.name.lower(), judged=opened.bundle.name)
    path = opened.folder / "health.html" if page is None else Path(page)
    files.save_json(path.with_suffix(".json"), report.as_json())
    workspace = enclosing_workspace(path)
    save_page(path, health_page(report, opened.name, now=time), workspace=workspace)
    if workspace is not None:
        update_site(workspace)
    return report, path


def _table(source: str | Path | pd.DataFrame, spec: TableSpec | None = None) -> pd.DataFrame:
    return source if isinstance(source, pd.DataFrame) else read_table(Path(source), spec)


def read_stamp(text: str | pd.Timestamp, option: str) -> pd.Timestamp:
    """A time in UTC; a date alone is its midnight in UTC.

    Raises
    ------
    SettingsError
        If it is no time.
    """
    try:
        stamp = pd.Timestamp(text)
        if stamp.tzinfo is None:
            stamp = stamp.tz_localize("UTC")
        return stamp.tz_convert("UTC").as_unit("ns")
    except (ValueError, OverflowError, TypeError) as error:
        raise SettingsError(f"{option} is {text!r}, expected e.g. 2026-11-25T00:00Z") from error
