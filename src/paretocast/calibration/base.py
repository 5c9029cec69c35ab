"""The interface of a fitted calibrator: it turns forecasts into calibrated ones."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from paretocast.errors import DataError
from paretocast.metrics.scores import SAME_LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]

FIRST_SCHEMA_VERSION = 1  # in which every calibrator moved the median
SCHEMA_VERSION = 3  # before it, no state moved the median
LEAD = "lead"  # the group that needs no clock: the step ahead


class Calibrator(ABC):
    """A fitted calibrator, frozen: corrections learned from forecasts and their observations.

    It corrects intervals and not the point forecast: whatever `_correct` gives, `apply` returns the
    median that came in, lower quantiles not above it and upper ones not below it.

    Attributes
    ----------
    kind : str
        Of the class, as its JSON names it.
    name : str
        The method, as `methods.CALIBRATORS` lists it.
    levels : tuple of float
        Quantile levels of the forecasts it was fitted on, and of those it returns.
    notes : tuple of str
        Shortcomings of the fit, in sentences for people.
    moves_median : bool
        True for one whose `moving_median` was taken: its median is that of `_correct`.

    Examples
    --------
    A calibrator of one's own; `methods.register_calibrator` makes it usable by its name.

    >>> from dataclasses import dataclass
    >>> from paretocast.metrics.forecast import Forecast
    >>> @dataclass(frozen=True)
    ... class Shift(Calibrator):
    ...     kind = "my-shift"
    ...     name: str
    ...     levels: tuple[float, ...]
    ...     shift: float
    ...     notes: tuple[str, ...] = ()
    ...
    ...     @classmethod
    ...     def from_json(cls, stored):
    ...         return cls(stored["name"], tuple(stored["levels"]), stored["shift"])
    ...
    ...     def _state(self):
    ...         return {"shift": self.shift}
    ...
    ...     def _correct(self, forecast):
    ...         return forecast.quantiles + self.shift
    >>> forecast = Forecast([[[1.0, 2.0, 3.0]]], [0.4, 0.5, 0.6])
    >>> shift = Shift("my-shift", forecast.levels, 3.0)
    >>> shift.apply(forecast).quantiles.tolist()
    [[[2.0, 2.0, 6.0]]]
    >>> shift.moving_median().apply(forecast).quantiles.tolist()
    [[[4.0, 5.0, 6.0]]]
    """

    kind: ClassVar[str]
    name: str
    levels: tuple[float, ...]
    notes: tuple[str, ...]
    moves_median: bool = False

    def apply(self, forecast: Forecast) -> Forecast:
        """The forecast, calibrated; nothing is fitted again.

        The median is that of the forecast, the level nearest to 0.5 where none is 0.5, unless
        `moves_median`.

        Parameters
        ----------
        forecast : Forecast
            With the groups that the calibrator was fitted by; its observations are not used.

        Raises
        ------
        DataError
            If its levels are others, or a group is missing.
        """
        self._check_levels(forecast)
        corrected = self._correct(forecast.without_observations())
        if not self.moves_median:
            corrected = around_median(corrected, forecast.nearest(0.5), forecast.levels)
        return forecast.with_quantiles(corrected)

    def _check_levels(self, forecast: Forecast) -> None:
        levels = np.asarray(forecast.levels)
        if levels.size != len(self.levels) or (np.abs(levels - self.levels) > SAME_LEVEL).any():
            raise DataError(
                f"forecast has levels {levels.tolist()}, expected (N, H, Q) with Q="
                f"{len(self.levels)}, the levels {list(self.levels)} that calibrator {self.name} "
                "was fitted on"
            )

    def moving_median(self) -> Self:
        """The same calibrator, free to move the median too."""
        free = copy.copy(self)
        object.__setattr__(free, "moves_median", True)  # its class is frozen
        return free

    def as_json(self) -> dict[str, Any]:
        """Everything it learned, as JSON values; `methods.load_calibrator` reads it back."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": self.kind,
            "name": self.name,
            "levels": list(self.levels),
            "moves_median": self.moves_median,
            **self._state(),
            "notes": list(self.notes),
        }

    @classmethod
    @abstractmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """The calibrator that `as_json` described."""

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """Values of `as_json` that are the method's own."""

    @abstractmethod
    def _correct(self, forecast: Forecast) -> Floats:
        """Corrected quantiles, (N, H, Q), in any order; `forecast` comes without observations."""


def middle_level(levels: tuple[float, ...]) -> int:
    """Position of the median: of 0.5, or of the level nearest to it."""
    return int(np.argmin(np.abs(np.asarray(levels) - 0.5)))


def around_median(corrected: Floats, median: Floats, levels: tuple[float, ...]) -> Floats:
    """Corrected quantiles, (N, H, Q), around a median, (N, H), each kept on its side of it."""
    middle, centre = middle_level(levels), median[..., None]
    below, above = corrected[..., :middle], corrected[..., middle + 1 :]
    return np.concatenate((np.minimum(below, centre), centre, np.maximum(above, centre)), axis=-1)


def group_members(names: tuple[str, ...], forecast: Forecast) -> NDArray[np.int64]:
    """Labels of the groups of every point, of shape (N, H, len(names)); `lead` needs none given.

    Raises
    ------
    DataError
        If a group is not given.
    """
    shape = forecast.observed.shape
    groups = {**forecast.groups, LEAD: np.broadcast_to(np.arange(shape[1]), shape)}
    columns = []
    for name in names:
        if name not in groups:
            raise DataError(f"group {name!r} is needed and not given, only {sorted(groups)}")
        columns.append(groups[name])
    return np.stack(columns, axis=-1).astype(np.int64)


def check_observed(forecast: Forecast, name: str) -> None:
    """Refuse to fit on a forecast of which nothing was observed.

    Raises
    ------
    DataError
        If no window was observed.
    """
    if forecast.n_observed_windows == 0:
        raise DataError(f"calibrator {name} has nothing to learn from: no window was observed")
