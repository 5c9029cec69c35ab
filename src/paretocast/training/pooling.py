"""One network for many series: their windows side by side, each series in its own units.

Every series keeps its scaling and its anchor. The network is told the series by a column for each,
which is 1 for the windows of that series and 0 for others; of a single series it is told nothing,
and its training is the one that it has by itself, bit for bit. It stops by the stop splits of all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from paretocast.data.collection import split_reference
from paretocast.data.pooled import REFERENCE, PooledTask
from paretocast.data.scaling import ScaledArrays, ScaledHorizon, ScaledLastHours, scaled_arrays
from paretocast.data.task import Task, manifest_hash
from paretocast.errors import DataError
from paretocast.models.anchor import MONTHS
from paretocast.models.baselines.catalogue import try_baselines
from paretocast.training.scoring import score_on_tune
from paretocast.training.setup import (
    PooledWindows,
    TrainingSetup,
    train_history,
    window_source,
    with_identity,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.models.anchor import Anchor
    from paretocast.search.space import Config
    from paretocast.settings import TuneSettings
    from paretocast.training.setup import Anchors
    from paretocast.training.windows import WindowSource

    Floats = NDArray[np.float64]


class SimpleForecasts:
    """Forecasts of the tune split by the simple methods, of every series, made when asked for.

    Parameters
    ----------
    series : sequence of TrainingSetup
        Of each series by itself.
    """

    def __init__(self, series: Sequence[TrainingSetup]) -> None:
        self._series = series

    @cached_property
    def _tried(self) -> list[tuple[dict[str, Floats], dict[str, str]]]:
        return [try_baselines(setup.task, "tune") for setup in self._series]

    @property
    def by_series(self) -> list[dict[str, Floats]]:
        """Forecasts (N, H, Q) by method, of each series, target units."""
        return [forecasts for forecasts, _ in self._tried]

    @property
    def reasons(self) -> dict[str, str]:
        """Why a series has no forecast of a method, by the method: the first one that lacks it."""
        found: dict[str, str] = {}
        for setup, (_, reasons) in zip(self._series, self._tried, strict=True):
            named = {name: f"{setup.task.series.name}: {why}" for name, why in reasons.items()}
            found = named | found
        return found

    @cached_property
    def reference_scores(self) -> list[dict[str, float]]:
        """Scores of the ridge, of each series, target units: what errors are measured in.

        Raises
        ------
        DataError
            If a series has none.
        """
        if REFERENCE in self.reasons:
            raise DataError(
                f"errors of series of different sizes are measured in those of the {REFERENCE}, "
                f"which a series lacks: {self.reasons[REFERENCE]}"
            )
        return [
            score_on_tune(setup, forecasts[REFERENCE], seed=0)[0]
            for setup, forecasts in zip(self._series, self.by_series, strict=True)
        ]


class KnownSeries:
    """Tasks and setups of single series that several pools have in common, each made once.

    For as long as the data stay as they are: a command or a benchmark, not a session.
    """

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, ...], Task] = {}
        self._setups: dict[str, TrainingSetup] = {}

    def task(self, settings: TuneSettings, remembered: Mapping[str, Any]) -> Task:
        """The task of settings, cut at the end of the test period of a manifest."""
        stated = settings.model_dump_json(include={"data_dir", "covariates", "task"})
        key = settings.dataset, stated, str(remembered["periods"]["test"][1])
        if key not in self._tasks:
            self._tasks[key] = Task.from_settings(settings, remembered=remembered)
        return self._tasks[key]

    def setup(self, settings: TuneSettings, task: Task, device: str | None) -> TrainingSetup:
        """The setup of a task that is read here; made anew for any other one."""
        if not any(task is known for known in self._tasks.values()):
            return TrainingSetup.from_settings(settings, task, device=device)
        stated = settings.model_dump(mode="json", include={"model", "training", "target_coverage"})
        key = manifest_hash({**task.manifest(), **stated, "on": device or settings.device})
        if key not in self._setups:
            self._setups[key] = TrainingSetup.from_settings(settings, task, device=device)
        return self._setups[key]


@dataclass(frozen=True)
class PooledSetup:
    """Everything that the trials of one network for many series share, prepared once.

    Attributes
    ----------
    alone : tuple of TrainingSetup
        Of each series by itself, in the order of the task.
    series : tuple of TrainingSetup
        Of each series with its own windows to forecast, and those of all to learn from.
    simple : SimpleForecasts
        What trials are compared with.
    """

    task: PooledTask
    model: str
    alone: tuple[TrainingSetup, ...]
    series: tuple[TrainingSetup, ...]
    simple: SimpleForecasts

    @classmethod
    def from_settings(
        cls,
        settings: TuneSettings,
        task: PooledTask,
        *,
        device: str | None = None,
        known: KnownSeries | None = None,
    ) -> PooledSetup:
        """Scale every series and put it on a device; parameters as of `setup_of`."""
        made = KnownSeries() if known is None else known

        def each_alone(anchor: str) -> tuple[TrainingSetup, ...]:
            training = settings.training.model_copy(update={"anchor": anchor})
            single = settings.model_copy(update={"pool": (), "training": training})
            return tuple(made.setup(single, t, device) for t in task.tasks.values())

        alone = each_alone(settings.training.anchor)
        if len({setup.anchored for setup in alone}) > 1:
            alone = each_alone("none")
        series = pool_windows(alone, task.hashes)
        return cls(task, settings.model, alone, series, SimpleForecasts(alone))

    def prepared(self, config: Config) -> PooledSetup:
        """The setup of a config; see `TrainingSetup.prepared`."""
        series = _of_config(self.alone, self.task.hashes, config)
        return replace(self, model=series[0].model, series=series)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the series, in their order."""
        return tuple(self.task.tasks)

    @property
    def pool_hashes(self) -> Mapping[str, str]:
        """SHA-256 of each task's manifest, by series."""
        return self.task.hashes

    @property
    def source(self) -> WindowSource:
        """Windows of the first series."""
        return self.series[0].source

    @property
    def batch_size(self) -> int:
        """Windows per gradient step."""
        return self.series[0].batch_size

    @property
    def budget_steps(self) -> int:
        """Gradient steps of a full trial, on the windows of all series."""
        return self.series[0].budget_steps

    @property
    def n_rungs(self) -> int:
        """Number of times that a trial is scored, its end included."""
        return self.series[0].n_rungs

    @property
    def rung_steps(self) -> tuple[int, ...]:
        """Gradient steps at which a trial is scored; the last one is the budget."""
        return self.series[0].rung_steps


AnySetup: TypeAlias = TrainingSetup | PooledSetup


def setup_of(
    settings: TuneSettings,
    task: Task,
    *,
    device: str | None = None,
    anchors: Anchors | None = None,
    known: KnownSeries | None = None,
) -> TrainingSetup:
    """The setup of a series, with the windows of the others where its network learns from them.

    Parameters
    ----------
    settings : TuneSettings
        Those of the series: the others of its pool are read as they are now.
    device, anchors
        As of `TrainingSetup.from_settings`.
    known : KnownSeries, optional
        What other pools of the same data have read and prepared.

    Raises
    ------
    ParetocastError
        If another series of the pool cannot be used.
    """
    if not settings.pool:
        return TrainingSetup.from_settings(settings, task, device=device, anchors=anchors)
    known = KnownSeries() if known is None else known
    remembered = task.manifest()
    pooled = PooledTask.around(
        settings, task, read=lambda name: known.task(settings.of_series(name), remembered)
    )
    index = settings.pool.index(str(split_reference(settings.dataset)[1]))
    return PooledSetup.from_settings(settings, pooled, device=device, known=known).series[index]


def pool_windows(
    alone: Sequence[TrainingSetup], hashes: Mapping[str, str]
) -> tuple[TrainingSetup, ...]:
    """The setups of series whose network learns from the windows of all.

    Parameters
    ----------
    alone : sequence of TrainingSetup
        Of each series by itself. Where one of them has no anchor, none of them has.
    hashes : mapping of str to str
        SHA-256 of each task's manifest, by series.
    """
    first, device = alone[0], str(alone[0].source.device)
    one = np.eye(len(alone), dtype=np.float32) if len(alone) > 1 else np.empty((1, 0), np.float32)
    arrays = [
        with_identity(scaled_arrays(setup.task, setup.scaling), identity)
        for setup, identity in zip(alone, one, strict=True)
    ]
    anchors = [setup.source.anchor for setup in alone if setup.source.anchor is not None]
    if len(anchors) < len(alone):
        anchors = []
    sources = [
        window_source(s.task, part, anchors[i] if anchors else None, device=device)
        for i, (s, part) in enumerate(zip(alone, arrays, strict=True))
    ]
    starts = np.cumsum([0, *(len(part.history) for part in arrays[:-1])])
    anchor = _joined_anchors(anchors, starts) if anchors else None
    together = window_source(first.task, _joined_arrays(arrays), anchor, device=device)
    views = [replace(s, source=source) for s, source in zip(alone, sources, strict=True)]
    train = [view.train_positions + at for view, at in zip(views, starts, strict=True)]
    stop = [view.task.issues["stop"] + at for view, at in zip(views, starts, strict=True)]
    pool = PooledWindows(
        source=together,
        train=np.concatenate(train),
        stop=np.concatenate(stop),
        n_windows=sum(len(view.task.issues["train"]) for view in views),
        train_history=np.concatenate([train_history(view) for view in views]),
        identity=one[0],
        hashes=hashes,
        prepared=partial(_one_of_config, alone, hashes, 0),
    )
    return tuple(
        replace(
            view,
            pool=replace(pool, identity=one[i], prepared=partial(_one_of_config, alone, hashes, i)),
        )
        for i, view in enumerate(views)
    )


def _of_config(
    alone: Sequence[TrainingSetup], hashes: Mapping[str, str], config: Config
) -> tuple[TrainingSetup, ...]:
    """The setups of all series for a config."""
    seeing = [setup.seeing(config) for setup in alone]
    return tuple(view.with_budget(config) for view in pool_windows(seeing, hashes))


def _one_of_config(
    alone: Sequence[TrainingSetup], hashes: Mapping[str, str], index: int, config: Config
) -> TrainingSetup:
    return _of_config(alone, hashes, config)[index]


def _joined_arrays(parts: Sequence[ScaledArrays]) -> ScaledArrays:
    """Scaled series one after the other."""
    first = parts[0]

    def joined(name: str) -> NDArray[np.float32]:
        return np.concatenate([getattr(part, name) for part in parts])

    ahead, last_hours = None, None
    horizons = [part.ahead for part in parts if part.ahead is not None]
    if first.ahead is not None:
        rows = np.cumsum([0, *(len(horizon.values) for horizon in horizons[:-1])])
        ahead = ScaledHorizon(
            first.ahead.columns,
            np.concatenate([horizon.values for horizon in horizons]),
            np.concatenate([h.first + at for h, at in zip(horizons, rows, strict=True)]),
        )
    late = [part.last_hours for part in parts if part.last_hours is not None]
    if late:
        last_hours = ScaledLastHours(
            np.concatenate([part.history for part in late]),
            np.concatenate([part.history_mask for part in late]),
        )
    return ScaledArrays(
        history=joined("history"),
        history_mask=joined("history_mask"),
        observed_mask=joined("observed_mask"),
        past=joined("past"),
        known=joined("known"),
        ahead=ahead,
        last_hours=last_hours,
    )


def _joined_anchors(anchors: Sequence[Anchor], starts: NDArray[np.intp]) -> Anchor:
    """Anchors of series that stand one after the other; each keeps its spread by month."""
    pairs = list(zip(anchors, starts, strict=True))
    return replace(
        anchors[0],
        positions=np.concatenate([anchor.positions + at for anchor, at in pairs]),
        points=np.concatenate([anchor.points for anchor in anchors]),
        spread=np.concatenate([anchor.spread for anchor in anchors]),
        group=np.concatenate([a.group + MONTHS * i for i, a in enumerate(anchors)]),
    )
