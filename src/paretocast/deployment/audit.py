"""The proof that a journal explains its forecasts: all of them are made again, in their order.

Calibrators are led from forecast to forecast, and learn from each window once. What arrives late,
is corrected or is issued again takes a bundle's calibrators back to before that window.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from paretocast.deployment.bundle import state_hash
from paretocast.deployment.calibration_state import LearnedWindow, replay
from paretocast.deployment.issued import OFF_SCHEDULE, second_of
from paretocast.metrics.scores import central_levels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from paretocast.calibration import Calibrator
    from paretocast.deployment.bundle import Bundle
    from paretocast.deployment.issued import LiveForecast
    from paretocast.deployment.journal import Deployment


@dataclass(frozen=True)
class Audit:
    """The result of a replay of the journal.

    Attributes
    ----------
    n_forecasts, n_observations : int
        Looked at.
    problems : tuple of str
        Forecasts that the journal does not explain; empty if all is as it says.
    """

    n_forecasts: int
    n_observations: int
    problems: tuple[str, ...]


def audit(deployment: Deployment) -> Audit:
    """Replay the journal and compare every forecast with what it should have been.

    Each is calibrated again from its raw quantiles, by the state that earlier forecasts and the
    observations known then lead to. The time grows with the number of forecasts, not with its
    square.
    """
    issued, rows = deployment.issued(), deployment.observations()
    journal = _Replayed(deployment)
    found: dict[int, str | None] = {}
    for forecast in sorted(issued, key=lambda forecast: forecast.number):
        found[id(forecast)] = _problem(forecast, *journal.calibrator_of(forecast))
        journal.issue(forecast)
    problems = (found[id(forecast)] for forecast in issued)
    return Audit(len(issued), len(rows), tuple(problem for problem in problems if problem))


def _problem(forecast: LiveForecast, bundle: Bundle, calibrator: Calibrator) -> str | None:
    """The fault of a forecast; None if it is what it should have been."""
    name = f"{forecast.issue_time.isoformat()} revision {forecast.revision}"
    if state_hash(calibrator) != forecast.calibration:
        return f"{name}: the calibration is not what the journal leads to"
    raw = bundle.with_groups(forecast.issue_time, forecast.raw)
    with bundle.fitting():
        again = calibrator.apply(raw)
        bounds = again.bounds(*central_levels(forecast.coverage))
    expected = (again.quantiles, *bounds)
    issued_numbers = (forecast.quantiles, forecast.lower, forecast.upper)
    if not all(map(np.array_equal, (e[0] for e in expected), issued_numbers)):
        return f"{name}: the quantiles are not those of its calibration"
    return None


class _Replayed:
    """A journal as it was at one forecast after the other."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._rows = deployment.observations()
        self._made = deployment.made_in_time()
        self._observed: dict[int, float] = {}
        self._n_observed = 0
        self._counted: dict[pd.Timestamp, LiveForecast] = {}
        self._bundles: dict[str, _BundleReplay] = {}

    def calibrator_of(self, forecast: LiveForecast) -> tuple[Bundle, Calibrator]:
        """The bundle of a forecast and its calibrator as the journal before has led it."""
        self._observe(forecast.observations)
        of_bundle = self._of(forecast.bundle)
        return of_bundle.bundle, of_bundle.at(forecast.issue_time, self._observed)[forecast.rung]

    def issue(self, forecast: LiveForecast) -> None:
        """The forecast is in the journal from now on, in place of an earlier revision."""
        if forecast.revision > 1 and (forecast.issue_time, forecast.revision) not in self._made:
            return
        before = self._counted.get(forecast.issue_time)
        if before is not None:
            self._of(before.bundle).remove(before)
        self._counted[forecast.issue_time] = forecast
        self._of(forecast.bundle).add(forecast)

    def _observe(self, n_rows: int) -> None:
        """Let the journal hold its first rows of observations."""
        if n_rows < self._n_observed:  # a journal that was changed: from the start
            self._observed, self._n_observed = {}, 0
            for replayed in self._bundles.values():
                replayed.forget()
        for row in self._rows[self._n_observed : n_rows]:
            self._observed[row.second] = row.value
            for replayed in self._bundles.values():
                replayed.observe(row.second)
        self._n_observed = n_rows

    def _of(self, name: str) -> _BundleReplay:
        if name not in self._bundles:
            self._bundles[name] = _BundleReplay(self._deployment.bundle_named(name))
        return self._bundles[name]


class _BundleReplay:
    """Calibrators of a bundle after each of its windows.

    `_states[i]` are those before window i; those behind the last one are not there yet.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._starts: list[int] = []  # seconds since 1970, ascending
        self._windows: list[LiveForecast] = []
        self._states: list[dict[str, Calibrator]] = [dict(bundle.calibrators)]

    @cached_property
    def _length(self) -> int:
        """Seconds of a window."""
        shape = self.bundle.contract.shape
        return shape.horizon_steps * int(shape.step.total_seconds())

    def add(self, forecast: LiveForecast) -> None:
        """The window of a forecast."""
        if OFF_SCHEDULE in forecast.flags:
            return
        start = second_of(forecast.issue_time)
        place = bisect_left(self._starts, start)
        self._starts.insert(place, start)
        self._windows.insert(place, forecast)
        del self._states[place + 1 :]

    def remove(self, forecast: LiveForecast) -> None:
        """It is another revision that counts."""
        if OFF_SCHEDULE in forecast.flags:
            return
        place = bisect_left(self._starts, second_of(forecast.issue_time))
        del self._starts[place], self._windows[place], self._states[place + 1 :]

    def observe(self, second: int) -> None:
        """Another value of a step: the windows that hold it are learned from again."""
        place = bisect_right(self._starts, second - self._length)
        if place < len(self._starts) and self._starts[place] <= second:
            del self._states[place + 1 :]

    def forget(self) -> None:
        """Nothing has been learned."""
        del self._states[1:]

    def at(self, at: pd.Timestamp, observed: Mapping[int, float]) -> dict[str, Calibrator]:
        """Calibrators at an issue: they know the windows whose last step is there."""
        contract = self.bundle.contract
        now = second_of(at - contract.delay_steps * contract.shape.step)
        n_past = bisect_right(self._starts, now - self._length)
        for window in self._unlearned(n_past, observed):
            self._states.append(replay(self.bundle, [window], start=self._states[-1]))
        return self._states[n_past]

    def _unlearned(self, n_past: int, observed: Mapping[int, float]) -> Iterator[LearnedWindow]:
        for forecast in self._windows[len(self._states) - 1 : n_past]:
            values = tuple(observed.get(second, float("nan")) for second in forecast.seconds)
            yield LearnedWindow(forecast, values)
