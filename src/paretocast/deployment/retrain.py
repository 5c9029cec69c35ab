"""A deployed model trained anew on the newest data, and put into use if it is no worse.

See `challenge` for the comparison. A challenger that has won learns from the weeks that were held
back, too, before it is put into use.
"""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.calibration.ensemble import average_levels
from paretocast.data.reading import Tables
from paretocast.deployment.build import UNFINISHED, build_bundle, fit_models
from paretocast.deployment.bundle import RIDGE, load_bundle
from paretocast.deployment.challenge import (
    HELD_WEEKS,
    Comparison,
    compare,
    hold_back,
    issue_in_memory,
    plan_challenger,
    recipe_of,
)
from paretocast.errors import SettingsError, StoreError
from paretocast.formatting import in_utc
from paretocast.metrics.scores import pinball
from paretocast.workspace.claims import StudyLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.data.sources import SourceTable
    from paretocast.deployment.inputs import LiveInputs
    from paretocast.deployment.journal import Deployment
    from paretocast.deployment.plan import BundlePlan, FittedModels, Observer

    Floats = NDArray[np.float64]

LOCK = ".retrain.lock"
ALARM = "alarm"
PROMOTE, KEEP, ROLLBACK = "promote", "retrain", "rollback"
STALE_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Trigger:
    """The decision to retrain a deployment, with its reason."""

    due: bool
    reason: str


def is_alarmed(deployment: Deployment) -> bool:
    """True if the last verdict of the monitor is an alarm, and of the bundle in use."""
    for event in reversed(deployment.events()):
        if event.get("event") == "monitor":
            # A kill between the pointer and its event leaves the verdict on the bundle before.
            judged = event.get("judged", deployment.current)
            return bool(event.get("state") == ALARM) and judged == deployment.current
        if "before" in event:  # another bundle was put into use, which no monitor has judged
            return False
    return False


def find_trigger(
    deployment: Deployment,
    inputs: LiveInputs,
    *,
    older_than: pd.Timedelta | None = None,
    if_alarm: bool = False,
    alarmed: Callable[[Deployment], bool] = is_alarmed,
) -> Trigger:
    """The decision by the conditions; without any a deployment is always retrained.

    Parameters
    ----------
    older_than : Timedelta, optional
        Least age: from the last hour that the bundle has learned from to that of the data.
    if_alarm : bool
        Retrain on an alarm of the monitor.
    """
    if older_than is None and not if_alarm:
        return Trigger(due=True, reason="neither --if-older nor --if-alarm was given")
    against = []
    if older_than is not None:
        learned = pd.Timestamp(deployment.bundle.manifest["learned_until"])
        age = inputs.observed_until - learned
        said = f"the bundle has learned until {in_utc(learned)}, {_days(age)} before the data end"
        if age > older_than:
            return Trigger(due=True, reason=f"{said}, more than {_days(older_than)}")
        against.append(f"{said}, no more than {_days(older_than)}")
    if if_alarm:
        if alarmed(deployment):
            return Trigger(due=True, reason="the monitor has raised an alarm")
        against.append("the monitor has raised no alarm")
    return Trigger(due=False, reason="; ".join(against))


@dataclass(frozen=True)
class Retraining:
    """The outcome of a retraining.

    Attributes
    ----------
    champion, challenger, in_use : str
        Names of the bundles that were compared, and of the one in use afterwards.
    periods : mapping of str to (str, str)
        First and last hours of the challenger's periods.
    """

    promoted: bool
    champion: str
    challenger: str
    in_use: str
    comparison: Comparison
    reason: str
    periods: Mapping[str, Sequence[str]]

    @property
    def search_due(self) -> bool:
        """True if the configs no longer suit the series: the challenger loses to the ridge."""
        return self.comparison.loses_to_ridge


def retrain(
    deployment: Deployment,
    table: pd.DataFrame,
    weather: pd.DataFrame | None = None,
    sources: tuple[SourceTable, ...] = (),
    *,
    observer: Observer,
    weeks: int = HELD_WEEKS,
    device: str = "auto",
) -> Retraining:
    """Train a challenger, compare it with the bundle in use and put it into use if it is no worse.

    The deployment is locked for the last step only. Killed at any time, it goes on with the bundle
    that it had.

    Parameters
    ----------
    table : DataFrame
        Rows as the data set declares them, the newest weeks included.
    weather : DataFrame, optional
        Rows of weather runs, for a bundle that has learned from such: of the new train period on.
    sources : tuple of SourceTable
        Rows of the other files that the data set names, see `source_files.read_sources`. Without
        them `table` holds their columns.
    weeks : int
        Held back for the comparison.

    Raises
    ------
    StoreError
        If another process retrains the deployment, or has put another bundle into use meanwhile.
    DataError
        If the data do not suffice.
    SettingsError
        If weather runs are given to a bundle that has learned from measured weather.
    """
    with _alone(deployment):
        remove_leftovers(deployment.bundles)
        champion = deployment.bundle
        recipe_of(champion)  # before anything is read
        if weather is not None and champion.contract.spec.weather is None:
            raise SettingsError(
                f"{champion.folder} has learned from measured weather, and so will what follows "
                "it; leave the weather runs out, or deploy a study of them"
            )
        inputs = champion.contract.read(table, weather, sources)
        held = hold_back(deployment, inputs, weeks=weeks)
        challenge = plan_challenger(champion, Tables(table, weather, sources), held, device=device)
        before = [member for member, _ in champion.members]
        models = fit_models(challenge.plan, observer=observer, before=before)
        plan = _with_scores(challenge.plan, models)
        challenger = build_bundle(plan, deployment.bundles, observer=observer, models=models)
        observer.began(f"forecasts of {len(held.issues)} days that were held back")
        comparison = compare(
            inputs,
            held,
            champion=issue_in_memory(deployment, champion, inputs, held.issues),
            challenger=issue_in_memory(deployment, challenger, inputs, held.issues),
            is_ridge=plan.method == RIDGE,
        )
        result = Retraining(
            promoted=not comparison.objections,
            champion=champion.name,
            challenger=challenger.name,
            in_use=champion.name,
            comparison=comparison,
            reason="; ".join(comparison.objections) or "the new one is no worse",
            periods=challenger.manifest["task"]["periods"],
        )
        if result.promoted:
            later = models.learned_until(held.last, challenge.whole, observer=observer)
            final = replace(plan, task=challenge.whole, until=held.last)
            bundle = build_bundle(final, deployment.bundles, observer=observer, models=later)
            result = replace(result, in_use=bundle.name)
        _conclude(deployment, result)
    return result


def _with_scores(plan: BundlePlan, models: FittedModels) -> BundlePlan:
    """The plan with the scores of its models on the calibrate split, for the card."""
    together = average_levels(
        [model.calibrate for model in models.deployed], [model.weight for model in models.deployed]
    )
    observed, levels = plan.task.observed("calibrate"), plan.task.shape.levels
    losses = {
        name: float(pinball(observed, np.sort(forecast, axis=-1), levels=levels).mean())
        for name, forecast in {RIDGE: models.reference.calibrate, plan.method: together}.items()
    }
    scores = {"validation": {}, "references": {}, "calibrate_pinball": losses}
    return replace(plan, origin=replace(plan.origin, scores=scores))


def _conclude(deployment: Deployment, retraining: Retraining) -> None:
    """Move the pointer, or note that it stays."""
    facts = {
        "challenger": retraining.challenger,
        "comparison": asdict(retraining.comparison),
    }
    with deployment.locked():
        if not retraining.promoted:
            deployment.note(KEEP, kept=retraining.champion, reason=retraining.reason, **facts)
            return
        if deployment.current != retraining.champion:
            raise StoreError(
                f"{deployment.folder} uses the bundle {deployment.current} by now, and the "
                f"challenger was compared with {retraining.champion}; retrain again"
            )
        deployment.point_to(retraining.in_use, event=PROMOTE, reason=retraining.reason, **facts)


def remove_leftovers(bundles: Path) -> None:
    """Remove what killed processes have left half written, once it is a day old."""
    for folder in bundles.glob(f"{UNFINISHED}*"):
        with suppress(OSError):  # it has become a bundle in the meantime
            if folder.stat().st_mtime < time.time() - STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(deployment: Deployment) -> Iterator[None]:
    """Keep other retrainings out, at once."""
    lock = StudyLock(deployment.folder / LOCK, patience_seconds=0.0)
    try:
        lock.__enter__()
    except StoreError as error:
        raise StoreError(f"{deployment.folder} is not retrained a second time: {error}") from error
    try:
        yield
    finally:
        lock.__exit__()


def rollback(deployment: Deployment, *, to: str | None = None) -> str:
    """Put the bundle before into use again, or another one of the deployment; return its name.

    Parameters
    ----------
    to : str, optional
        Name of its folder.

    Raises
    ------
    SettingsError
        If there is no such bundle.
    StoreError
        If there was none before, or it is not whole.
    """
    with deployment.locked():
        current = deployment.current
        there = sorted(p.name for p in deployment.bundles.glob("[!.]*") if p.is_dir())
        if to is None and current is not None and current not in there:
            raise StoreError(
                f"{deployment.folder} says that {current} is in use, of which it has no bundle, so "
                f"the one before is unknown; name one with --to: {', '.join(there)}"
            )
        name = _bundle_before(deployment) if to is None else to
        if name not in there:
            raise SettingsError(
                f"{deployment.folder} has no bundle {name}, expected one of {', '.join(there)}"
            )
        if name == current:
            raise SettingsError(f"the bundle {name} of {deployment.folder} is in use already")
        load_bundle(deployment.bundles / name)
        deployment.point_to(name, event=ROLLBACK, reason="asked for")
    return name


def _bundle_before(deployment: Deployment) -> str:
    """The bundle that was in use before the present one; a second step back goes further back."""
    history: list[str] = []
    for event in deployment.events():
        if "before" not in event:
            continue
        name = event["bundle"]
        if event["event"] == ROLLBACK and name in history:
            del history[len(history) - history[::-1].index(name) :]
        else:
            history.append(name)
    if history and history[-1] == deployment.current:
        history.pop()  # else the process died between the pointer and its event
    if not history:
        raise StoreError(
            f"{deployment.folder} has had no other bundle in use; `paretocast retrain` makes one"
        )
    return history[-1]


def _days(span: pd.Timedelta) -> str:
    days = round(span / pd.Timedelta(days=1), 1)
    return f"{days:g} {'day' if days == 1.0 else 'days'}"
