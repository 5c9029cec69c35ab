"""What many tests make alike, made once in each process of the tests."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.data.scaling import TargetScaling
from paretocast.data.task import Task
from paretocast.models import anchor, fitted
from paretocast.models.anchor import Anchor, LinearOptions
from paretocast.models.baselines import ridge
from paretocast.models.baselines.ridge import Ridge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alembic.script import ScriptDirectory

    from paretocast.models.fitted import BoostedForecaster
    from paretocast.search.space import Value

N_KEPT = 64
_fit_anchor, _refit_anchor = anchor.fit_anchor, anchor.refit_anchor
_fit_ridge, _fit_boosted = ridge.fit_ridge, fitted.fit_boosted
_kept: OrderedDict[tuple[str, str], Any] = OrderedDict()


def remember_fits() -> None:
    """Let the fits of models without training return what they returned before for the same task.

    They are half of a small study, and most studies of the tests are on the same series. To be
    called before another module takes one of the functions by its name.
    """
    module: Any
    for module in (anchor, fitted):
        module.fit_anchor = _fit_anchor_once
        module.refit_anchor = _refit_anchor_once
    fitted.fit_boosted = _fit_boosted_once
    ridge.fit_ridge = _fit_ridge_once


def remember_migrations() -> None:
    """Let Optuna read the history of its tables once, and not again for each database.

    It is most of opening one; the history does not depend on the database.
    """
    from optuna.storages._rdb import storage

    manager = storage._VersionManager
    read = manager._create_alembic_script
    known: list[ScriptDirectory] = []

    def read_once(self: storage._VersionManager) -> ScriptDirectory:
        if not known:
            known.append(read(self))
        return known[0]

    manager._create_alembic_script = read_once  # type: ignore[method-assign]


def _fit_anchor_once(
    task: Task, scaling: TargetScaling, options: LinearOptions | None = None
) -> Anchor:
    how = repr((scaling, options or LinearOptions()))
    made: Anchor = _once(task, how, lambda: _fit_anchor(task, scaling, options))
    return made


def _refit_anchor_once(
    before: Anchor, task: Task, scaling: TargetScaling, *, until: int, share: float = 1.0
) -> Anchor:
    # The anchor before is kept beside the one after, so that no other one gets its id.
    how = repr((id(before), scaling, until, share))
    _, made = _once(
        task,
        how,
        lambda: (before, _refit_anchor(before, task, scaling, until=until, share=share)),
    )
    after: Anchor = made
    return after


def _fit_boosted_once(
    task: Task, config: Mapping[str, Value], until: int | None = None
) -> BoostedForecaster:
    how = repr((sorted(config.items()), until))
    made: BoostedForecaster = _once(task, how, lambda: _fit_boosted(task, config, until))
    return made


def _fit_ridge_once(task: Task, until: int | None = None) -> Ridge:
    made: Ridge = _once(task, f"ridge until {until}", lambda: _fit_ridge(task, until))
    return made


def _once(task: Task, how: str, fit: Callable[[], object]) -> Any:  # noqa: ANN401
    key = _content(task), how
    if key not in _kept:
        _kept[key] = fit()
    _kept.move_to_end(key)
    if len(_kept) > N_KEPT:
        _kept.popitem(last=False)
    return _kept[key]


def _content(task: Task) -> str:
    """Hash of everything that a fit reads of a task."""
    series, features = task.series, task.features
    digest = hashlib.sha256(
        repr((task.shape, task.dates, task.blocks, task.standards, series.calendar)).encode()
    )
    columns = [(covariate.name, covariate.role, covariate.unit) for covariate in series.covariates]
    names = (series.delay_hours, series.unit, columns, features.names, features.roles)
    digest.update(repr(names).encode())
    ahead = features.ahead
    parts = [series.index.asi8, series.values, features.values]
    parts += [covariate.values for covariate in series.covariates]
    parts += [] if ahead is None else [ahead.columns, ahead.values, ahead.first]
    for split, issues in task.issues.items():
        digest.update(split.encode())
        parts.append(issues)
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
