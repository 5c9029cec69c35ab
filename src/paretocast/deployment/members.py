"""Fitted models as files: what a bundle holds of each, and its forecast of one window.

A member is described by JSON values and arrays, never by pickled code. Networks are stored in
float32 for any device and forecast on a CPU. H horizon steps, Q levels; target units.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from paretocast.data.scaling import TargetScaling, Transform, scaled_arrays
from paretocast.errors import StoreError
from paretocast.models.anchor import Anchor
from paretocast.models.baselines.base import ErrorSpread
from paretocast.models.baselines.ridge import Ridge
from paretocast.models.fitted import BoostedForecaster, LinearForecaster
from paretocast.models.linear import LinearMean, LinearModel
from paretocast.models.linear_table import LinearForm, LinearTable
from paretocast.steps import STEPS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from paretocast.benchmarking.retraining import TrainedModel
    from paretocast.data.task import Task
    from paretocast.models.base import QuantileModel
    from paretocast.search.recipe import DataChoice
    from paretocast.search.space import Config

    Floats = NDArray[np.float64]
    Arrays = dict[str, NDArray[Any]]


class Member(ABC):
    """A fitted model that forecasts single windows.

    Attributes
    ----------
    kind : str
        Of the class, as a bundle names it.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def history_steps(self) -> int:
        """Steps before an issue that it reads."""

    @abstractmethod
    def forecast(self, task: Task, position: int) -> Floats:
        """Quantiles of the window issued at a position, (H, Q), ascending."""

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """Everything beside its arrays and `kind`, as JSON values."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """Its arrays by name."""

    @classmethod
    @abstractmethod
    def restore(cls, stored: Mapping[str, Any], arrays: Arrays) -> Self:
        """The member that `as_json` and `arrays` described."""


@dataclass(frozen=True)
class RidgeMember(Member):
    """The reference ridge."""

    kind = "ridge"
    ridge: Ridge

    @property
    def history_steps(self) -> int:
        """Steps before an issue that it reads."""
        return self.ridge.model.form.history_steps

    def forecast(self, task: Task, position: int) -> Floats:
        """Quantiles of the window issued at a position, (H, Q), ascending."""
        return np.asarray(self.ridge.forecast(task, np.array([position]))[0])

    def as_json(self) -> dict[str, Any]:
        """Everything beside its arrays and `kind`, as JSON values."""
        errors = self.ridge.errors
        return {"scaling": _scaling_json(errors.scaling), "model": _linear_json(self.ridge.model)}

    def arrays(self) -> Arrays:
        """Its arrays by name."""
        return {**_linear_arrays(self.ridge.model, ""), "errors": self.ridge.errors.quantiles}

    @classmethod
    def restore(cls, stored: Mapping[str, Any], arrays: Arrays) -> RidgeMember:
        """The member that `as_json` and `arrays` described."""
        errors = ErrorSpread(_scaling(stored["scaling"]), arrays["errors"])
        return cls(Ridge(_linear(stored["model"], arrays, ""), errors))


@dataclass(frozen=True)
class LinearMember(Member):
    """The model RIDGE: the mean of ridges with the spread of its errors by month."""

    kind = "linear"
    forecaster: LinearForecaster

    @property
    def history_steps(self) -> int:
        """Steps before an issue that it reads."""
        return self.forecaster.anchor.model.history_steps

    def forecast(self, task: Task, position: int) -> Floats:
        """Quantiles of the window issued at a position, (H, Q), ascending."""
        return np.asarray(self.forecaster.forecast(task, np.array([position]))[0])

    def as_json(self) -> dict[str, Any]:
        """Everything beside its arrays and `kind`, as JSON values."""
        return {
            "scaling": _scaling_json(self.forecaster.scaling),
            "anchor": _anchor_json(self.forecaster.anchor),
        }

    def arrays(self) -> Arrays:
        """Its arrays by name."""
        return _anchor_arrays(self.forecaster.anchor)

    @classmethod
    def restore(cls, stored: Mapping[str, Any], arrays: Arrays) -> LinearMember:
        """The member that `as_json` and `arrays` described."""
        anchor = _anchor(stored["anchor"], arrays)
        return cls(LinearForecaster(anchor, _scaling(stored["scaling"])))


@dataclass(frozen=True)
class BoostedMember(Member):
    """The model LIGHTGBM: a booster for each level, stored as LightGBM's own text."""

    kind = "boosted"
    forecaster: BoostedForecaster

    @property
    def history_steps(self) -> int:
        """Steps before an issue that it reads."""
        own = self.forecaster.history_steps
        anchor = self.forecaster.anchor
        return own if anchor is None else max(own, anchor.model.history_steps)

    def forecast(self, task: Task, position: int) -> Floats:
        """Quantiles of the window issued at a position, (H, Q), ascending."""
        return np.asarray(self.forecaster.forecast(task, np.array([position]))[0])

    def as_json(self) -> dict[str, Any]:
        """Everything beside its arrays and `kind`, as JSON values."""
        own = self.forecaster
        return {
            "scaling": _scaling_json(own.scaling),
            "weather": own.weather,
            "anchor": None if own.anchor is None else _anchor_json(own.anchor),
            "n_boosters": len(own.boosters),
            **_unless_hourly("steps_per_day", own.steps_per_day, STEPS_PER_DAY),
        }

    def arrays(self) -> Arrays:
        """Its arrays by name."""
        own = self.forecaster
        texts = [np.frombuffer(b.model_to_string().encode(), np.uint8) for b in own.boosters]
        boosters = {f"booster_{i}": text for i, text in enumerate(texts)}
        return {**boosters, **({} if own.anchor is None else _anchor_arrays(own.anchor))}

    @classmethod
    def restore(cls, stored: Mapping[str, Any], arrays: Arrays) -> BoostedMember:
        """The member that `as_json` and `arrays` described."""
        import lightgbm

        boosters = tuple(
            lightgbm.Booster(model_str=arrays[f"booster_{i}"].tobytes().decode())
            for i in range(stored["n_boosters"])
        )
        anchor = None if stored["anchor"] is None else _anchor(stored["anchor"], arrays)
        scaling = _scaling(stored["scaling"])
        per_day = stored.get("steps_per_day", STEPS_PER_DAY)
        return cls(BoostedForecaster(boosters, scaling, anchor, stored["weather"], per_day))


@dataclass(frozen=True)
class NetworkMember(Member):
    """A trained network with the anchor that it corrects.

    Attributes
    ----------
    model : str
        Its registered name.
    share : float
        Of its correction of the anchor that is used, 0 to 1.
    weights : dict of str to ndarray
        State of the module, float32.
    n_past, n_known : int
        Feature columns that it was built for.
    identity : tuple of float
        What tells a network of many series that the window is of this one, behind the columns that
        are known ahead; empty where it learned from one series.
    """

    kind = "network"
    model: str
    config: Config
    data: DataChoice
    scaling: TargetScaling
    anchor: Anchor | None
    share: float
    weights: Arrays
    input_steps: int
    n_past: int
    n_known: int
    n_levels: int
    horizon_steps: int
    steps_per_hour: int = 1
    identity: tuple[float, ...] = ()

    @classmethod
    def of(cls, trained: TrainedModel, config: Config) -> NetworkMember:
        """The member of a training that has ended."""
        setup = trained.setup
        with trained.training.best_model(1.0) as network:
            state = {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
        shape = setup.source.shape(len(setup.task.shape.levels))
        return cls(
            model=setup.model,
            config=dict(config),
            data=setup.data,
            scaling=setup.scaling,
            anchor=setup.source.anchor,
            share=trained.share,
            weights={name: np.array(values) for name, values in state.items()},
            input_steps=shape.input_steps,
            n_past=shape.n_past,
            n_known=shape.n_known,
            n_levels=shape.n_levels,
            horizon_steps=shape.horizon_steps,
            steps_per_hour=shape.steps_per_hour,
            identity=() if setup.pool is None else tuple(setup.pool.identity.tolist()),
        )

    @property
    def history_steps(self) -> int:
        """Steps before an issue that it reads."""
        of_anchor = 0 if self.anchor is None else self.anchor.model.history_steps
        return max(self.input_steps, of_anchor)

    def forecast(self, task: Task, position: int) -> Floats:
        """Quantiles of the window issued at a position, (H, Q), ascending."""
        from paretocast.training import forecast_positions
        from paretocast.training.setup import visible, window_source, with_identity, with_window

        seen = visible(task, self.data)
        anchor = None if self.anchor is None else self._at(self.anchor, seen, position)
        windows = with_window(seen, replace(self.data, input_steps=self.input_steps))
        identity = np.array(self.identity, dtype=np.float32)
        arrays = with_identity(scaled_arrays(windows, self.scaling), identity)
        source = window_source(windows, arrays, anchor, device="cpu")
        scaled = forecast_positions(self._network, source, np.array([position]))
        return np.asarray(self.scaling.unscale(scaled)[0])

    def _at(self, anchor: Anchor, task: Task, position: int) -> Anchor:
        """The anchor with its points at one position of another series."""
        table = LinearTable(task, self.scaling, anchor.model.lags)
        positions = np.array([position])
        points = np.zeros((len(task.series), task.shape.horizon_steps), dtype=np.float32)
        points[position] = anchor.model.points(table, positions)[0]
        month = task.series.index[position].month - 1  # of the one position that is read
        group = np.full(len(points), month, dtype=np.intp)
        return replace(anchor, positions=positions, points=points, group=group)

    @cached_property
    def _network(self) -> QuantileModel:
        from paretocast.models.base import WindowShape, restore_model

        shape = WindowShape(
            input_steps=self.input_steps,
            horizon_steps=self.horizon_steps,
            n_past=self.n_past,
            n_known=self.n_known,
            n_levels=self.n_levels,
            steps_per_hour=self.steps_per_hour,
        )
        return restore_model(self.model, shape, self.config, self.weights, share=self.share)

    def as_json(self) -> dict[str, Any]:
        """Everything beside its arrays and `kind`, as JSON values."""
        return {
            "model": self.model,
            "config": self.config,
            "data": asdict(self.data),
            "scaling": _scaling_json(self.scaling),
            "anchor": None if self.anchor is None else _anchor_json(self.anchor),
            "share": self.share,
            "input_steps": self.input_steps,
            "n_past": self.n_past,
            "n_known": self.n_known,
            "n_levels": self.n_levels,
            "horizon_steps": self.horizon_steps,
            **_unless_hourly("steps_per_hour", self.steps_per_hour, 1),
            **({"identity": list(self.identity)} if self.identity else {}),
        }

    def arrays(self) -> Arrays:
        """Its arrays by name."""
        weights = {f"weights.{name}": values for name, values in self.weights.items()}
        return {**weights, **({} if self.anchor is None else _anchor_arrays(self.anchor))}

    @classmethod
    def restore(cls, stored: Mapping[str, Any], arrays: Arrays) -> NetworkMember:
        """The member that `as_json` and `arrays` described."""
        from paretocast.search.recipe import DataChoice

        prefix = "weights."
        plain = {name: stored[name] for name in _PLAIN_OF_NETWORK}
        return cls(
            **plain,
            steps_per_hour=stored.get("steps_per_hour", 1),
            identity=tuple(stored.get("identity", ())),
            data=DataChoice(**stored["data"]),
            scaling=_scaling(stored["scaling"]),
            anchor=None if stored["anchor"] is None else _anchor(stored["anchor"], arrays),
            weights={
                name.removeprefix(prefix): values
                for name, values in arrays.items()
                if name.startswith(prefix)
            },
        )


_PLAIN_OF_NETWORK = (
    *("model", "config", "share", "input_steps"),
    *("n_past", "n_known", "n_levels", "horizon_steps"),
)
MEMBERS: dict[str, type[Member]] = {
    member.kind: member for member in (RidgeMember, LinearMember, BoostedMember, NetworkMember)
}


def restore_member(stored: Mapping[str, Any], arrays: Arrays, *, origin: object) -> Member:
    """The member that a bundle describes.

    Parameters
    ----------
    stored : mapping
        As `stored.BundleFile` has checked it.
    origin : object
        Of the arrays, for an error.

    Raises
    ------
    StoreError
        If an array is missing or does not fit.
    """
    try:
        return MEMBERS[stored["kind"]].restore(stored, arrays)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise StoreError(
            f"{origin} is damaged: it is no member of kind {stored['kind']}: {error!r}; deploy "
            "again"
        ) from error


def _unless_hourly(name: str, value: int, hourly: int) -> dict[str, int]:
    """A value by its name, nothing where it is that of an hourly series: old files lack it."""
    return {} if value == hourly else {name: value}


def _scaling_json(scaling: TargetScaling) -> dict[str, Any]:
    return {**asdict(scaling), "transform": str(scaling.transform)}


def _scaling(stored: Mapping[str, Any]) -> TargetScaling:
    limits = stored.get("limits")
    return TargetScaling(
        **{
            **stored,
            "transform": Transform(stored["transform"]),
            "limits": None if limits is None else tuple(limits),
        }
    )


def _linear_json(model: LinearModel) -> dict[str, Any]:
    form = {**asdict(model.form), "blocks": list(model.form.blocks)}
    per_day = form.pop("steps_per_day")
    form |= _unless_hourly("steps_per_day", per_day, STEPS_PER_DAY)
    return {"form": form, "first": model.first, "last": model.last}


def _linear_arrays(model: LinearModel, prefix: str) -> Arrays:
    return {f"{prefix}center": model.center, f"{prefix}weights": model.weights}


def _linear(stored: Mapping[str, Any], arrays: Arrays, prefix: str) -> LinearModel:
    form = LinearForm(**{**stored["form"], "blocks": tuple(stored["form"]["blocks"])})
    weights = arrays[f"{prefix}weights"]
    return LinearModel(
        form=form,
        center=arrays[f"{prefix}center"],
        weights=weights,
        fold_weights=np.empty((0, *weights.shape)),  # only windows it was learned from need them
        first=stored["first"],
        last=stored["last"],
    )


def _anchor_json(anchor: Anchor) -> dict[str, Any]:
    return {
        "members": [_linear_json(member) for member in anchor.model.members],
        "weights": list(anchor.model.weights),
        "inflation": anchor.inflation,
    }


def _anchor_arrays(anchor: Anchor) -> Arrays:
    arrays: Arrays = {"anchor.spread": anchor.spread}
    for i, member in enumerate(anchor.model.members):
        arrays |= _linear_arrays(member, f"anchor.{i}.")
    return arrays


def _anchor(stored: Mapping[str, Any], arrays: Arrays) -> Anchor:
    """An anchor without points: those of a window are computed when it is issued."""
    members = tuple(
        _linear(member, arrays, f"anchor.{i}.") for i, member in enumerate(stored["members"])
    )
    nothing = np.empty(0, dtype=np.intp)
    return Anchor(
        model=LinearMean(members, tuple(stored["weights"])),
        positions=nothing,
        points=np.empty((0, 0), dtype=np.float32),
        spread=arrays["anchor.spread"],
        group=nothing,
        inflation=stored["inflation"],
    )
