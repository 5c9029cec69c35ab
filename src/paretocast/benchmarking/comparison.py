"""Scores of several forecasts on the same windows, and how sure their differences are.

N windows in time order, H horizon steps, Q levels; S trainings of one method that differ in their
seed. A loss is averaged over seeds before methods are compared: the claim is about the method, not
about its luckiest training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.benchmarking.configs import DEFAULT, NONE, TUNED
from paretocast.calibration.ensemble import ENSEMBLE
from paretocast.metrics.interval_quality import IntervalQuality, coverage_first
from paretocast.metrics.score_table import per_window, score_forecast
from paretocast.metrics.scores import interval
from paretocast.metrics.uncertainty import (
    diebold_mariano,
    paired_difference,
    picp_interval,
    preferred_or_better,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]

COMPARED_SCORES = ("mae", "pinball", "winkler")
DAYS_OF_WEEK = 7


@dataclass(frozen=True)
class Entry:
    """A method with its forecasts of the test split.

    Attributes
    ----------
    parameters : str
        Kind of config: "tuned", "default", or "none" for a method without one.
    wanted, calibrator : str
        The calibrator that was asked for, such as "auto", and the one that it came to.
    forecasts : tuple of Forecast
        One for each seed, of the same windows.
    validation : dict of str to float
        Scores on the calibrate split before calibration, mean over seeds.
    validation_losses : ndarray of shape (N,)
        Mean pinball loss of each window of the calibrate split before calibration, mean over seeds.
    validation_interval : IntervalQuality
        Of the calibrated interval on the calibrate split in cross-validation, mean over seeds.
    source : str
        Origin of config and calibrator, for people.
    relearning_seconds : float
        Spent on learning again in the test split, mean over seeds.
    """

    method: str
    parameters: str
    wanted: str
    calibrator: str
    forecasts: tuple[Forecast, ...]
    validation: dict[str, float]
    validation_losses: Floats
    validation_interval: IntervalQuality
    source: str
    training_seconds: float = 0.0
    relearning_seconds: float = 0.0

    @property
    def label(self) -> str:
        """Method, parameters where it has some, and calibrator."""
        kind = "" if self.parameters == NONE else f" {self.parameters}"
        return f"{self.method}{kind}, {self.calibrator}"


@dataclass(frozen=True)
class Row:
    """An entry as it is published.

    Attributes
    ----------
    scores : dict of str to float
        `score_table.score_forecast`, mean over seeds.
    spread : dict of str to float
        Standard deviation of each score over seeds; empty with one seed.
    picp_low, picp_high, mae_low, mae_high : float
        95 % intervals from resampled days, mean over seeds.
    winkler_losses : ndarray of shape (N,)
        Mean Winkler score of each window, mean over seeds.
    """

    entry: Entry
    scores: dict[str, float]
    spread: dict[str, float]
    picp_low: float
    picp_high: float
    mae_low: float
    mae_high: float
    winkler_losses: Floats

    @property
    def test_interval(self) -> IntervalQuality:
        """Quality of the scored interval on the test split."""
        picp = self.scores["picp"]
        return IntervalQuality(picp, self.picp_low, self.picp_high, self.winkler_losses)

    def as_json(self) -> dict[str, Any]:
        """The row without its forecasts."""
        return {
            "method": self.entry.method,
            "parameters": self.entry.parameters,
            "calibrator": self.entry.calibrator,
            **self.scores,
            "picp_interval": [self.picp_low, self.picp_high],
            "mae_interval": [self.mae_low, self.mae_high],
            "n_seeds": len(self.entry.forecasts),
            "spread": self.spread,
            "validation": self.entry.validation,
            "training_seconds": self.entry.training_seconds,
            "source": self.entry.source,
        }


@dataclass(frozen=True)
class Difference:
    """Difference of two methods on one score.

    Attributes
    ----------
    mean, low, high : float
        Of the method's loss minus the other's, target units, with its 95 % paired block-bootstrap
        interval; below 0 where the method is better.
    p_value : float
        Two-sided, of a Diebold-Mariano test; NaN where the losses leave nothing to test.
    """

    method: str
    other: str
    score: str
    mean: float
    low: float
    high: float
    p_value: float

    @property
    def verdict(self) -> str:
        """Better, worse, or not distinguishable where the interval holds 0."""
        if self.high < 0.0:
            return "better"
        return "worse" if self.low > 0.0 else "not distinguishable"

    @property
    def p_text(self) -> str:
        """The p-value for people."""
        if math.isnan(self.p_value):
            return "–"
        return "< 0.001" if self.p_value < 1e-3 else f"{self.p_value:.2g}"


@dataclass(frozen=True)
class Comparison:
    """All methods on the test split.

    Attributes
    ----------
    differences : tuple of Difference
        Of every tuned or default method against each baseline, and of every tuned one against
        the default parameters of its model.
    chosen : int
        Row of the average of trials, or of the method, baselines among them, whose mean pinball
        loss on the calibrate split before calibration is lower beyond chance; of the lowest one
        without an average. Where the coverage of its calibrated interval excludes the target on
        the calibrate split, another row comes first, see `interval_quality.coverage_first`. No
        test value has a say in it.
    coverage : float
        Percent that the scored interval promises.
    """

    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    chosen: int
    coverage: float

    def best_reference(self, score: str, wanted: str) -> Row | None:
        """The baseline with the lowest score *on the test split*: the hardest one to beat.

        Parameters
        ----------
        wanted : str
            The calibrator that was asked for: methods are compared under the same one.
        """
        baselines = [
            row for row in self.rows if row.entry.parameters == NONE and row.entry.wanted == wanted
        ]
        return min(baselines, key=lambda row: row.scores[score], default=None)

    def against(self, row: Row, other: Row, score: str) -> Difference | None:
        """The difference between two rows, if they were compared."""
        key = (row.entry.label, other.entry.label, score)
        return next((d for d in self.differences if (d.method, d.other, d.score) == key), None)

    def warnings(self) -> list[str]:
        """Sentences on a coverage that misses the target; none where it holds."""
        row = self.rows[self.chosen]
        lines = []
        if not any(r.entry.validation_interval.holds(self.coverage) for r in self.rows):
            lines.append(
                f"no method holds the target of {self.coverage:g} % on the calibrate split; "
                f"{row.entry.label} covers {row.entry.validation_interval.picp:.1f} % there"
            )
        if not row.test_interval.holds(self.coverage):
            found = row.test_interval
            lines.append(
                f"the coverage of {row.entry.label} on the test split is {found.picp:.1f} % "
                f"[{found.low:.1f}, {found.high:.1f}]: the target of {self.coverage:g} % lies "
                f"outside; {self._holding_it()}"
            )
        return lines

    def _holding_it(self) -> str:
        """The row that holds the target on the test split where the chosen one does not."""
        qualities = [row.test_interval for row in self.rows]
        other = coverage_first(self.chosen, qualities, self.coverage)
        if other == self.chosen:
            return "no method with a Winkler score as low holds it"
        found = qualities[other]
        return (
            f"{self.rows[other].entry.label} holds it with {found.picp:.1f} % "
            f"[{found.low:.1f}, {found.high:.1f}] and a Winkler score that is not "
            "distinguishably higher"
        )

    def verdicts(self) -> list[str]:
        """Sentences on the gain of the selected method and how sure it is."""
        row = self.rows[self.chosen]
        why = "by coverage, then by the mean pinball loss; no test value had a part in it"
        lines = [f"★ {row.entry.label}: chosen on the calibrate split {why}"]
        for score, name in (("mae", "MAE"), ("pinball", "mean pinball loss")):
            best = self.best_reference(score, row.entry.wanted)
            rivals = [best] if best is not None else []
            rivals += [
                rival
                for rival in self.rows
                if rival.entry.parameters == "default"
                and row.entry.method in {rival.entry.method, ENSEMBLE}
            ]
            for rival in rivals:
                gap = self.against(row, rival, score)
                if gap is None:
                    continue
                lines.append(
                    f"{name} against {rival.entry.label}: {_change(gap, rival.scores[score])}, "
                    f"p {gap.p_text}: {gap.verdict}"
                )
        return lines


def _change(gap: Difference, base: float) -> str:
    """A difference with its interval in percent of a base; in target units of a base of 0."""
    if not base:
        return f"{gap.mean:+z.3g} [{gap.low:+z.3g}, {gap.high:+z.3g}]"
    to_percent = 100.0 / base
    return (
        f"{gap.mean * to_percent:+z.1f} % "
        f"[{gap.low * to_percent:+z.1f}, {gap.high * to_percent:+z.1f}]"
    )


def compare(entries: Sequence[Entry], *, coverage: float, seasonal_scale: float) -> Comparison:
    """Scores of every method and the differences between them.

    Parameters
    ----------
    coverage : float
        Percent of the interval that is scored.
    """
    windows = [window_losses(entry, coverage=coverage) for entry in entries]
    rows = tuple(
        _score(entry, losses=losses, coverage=coverage, seasonal_scale=seasonal_scale)
        for entry, losses in zip(entries, windows, strict=True)
    )
    differences = [
        _difference(entry, other, windows[i], windows[j], score)
        for i, entry in enumerate(entries)
        for j, other in enumerate(entries)
        if _is_compared(entry, other)
        for score in COMPARED_SCORES
    ]
    return Comparison(rows, tuple(differences), _choose(entries, coverage), coverage)


def _is_compared(entry: Entry, other: Entry) -> bool:
    """Return whether the difference of two entries is reported, see `Comparison.differences`."""
    if entry.parameters == NONE or entry.wanted != other.wanted:
        return False
    if other.parameters == NONE:
        return True
    return (
        entry.parameters == TUNED
        and other.parameters == DEFAULT
        and entry.method in {other.method, ENSEMBLE}
    )


def _choose(entries: Sequence[Entry], coverage: float) -> int:
    """The row of the average, or the best row where that is better beyond chance or none is there.

    Compared on the calibrate split before calibration. A row whose calibrated interval misses the
    target there gives way to one that holds it with a Winkler score as low.
    """
    losses = [entry.validation_losses for entry in entries]
    best = min(range(len(entries)), key=lambda i: entries[i].validation["pinball"])
    average = next((i for i, entry in enumerate(entries) if entry.method == ENSEMBLE), best)
    preferred = preferred_or_better(losses, average)
    return coverage_first(preferred, [entry.validation_interval for entry in entries], coverage)


def window_losses(entry: Entry, *, coverage: float) -> dict[str, Floats]:
    """Losses by window, each (N,), mean over seeds; and n, the observed points of each window.

    Parameters
    ----------
    coverage : float
        Percent of the interval that is scored.
    """
    by_seed = [
        per_window(forecast.observed, forecast.quantiles, levels=forecast.levels, coverage=coverage)
        for forecast in entry.forecasts
    ]
    return {
        score: np.mean([losses[score] for losses in by_seed], axis=0)
        for score in (*COMPARED_SCORES, "n")
    }


def _score(
    entry: Entry, *, losses: dict[str, Floats], coverage: float, seasonal_scale: float
) -> Row:
    scored, bounds = [], []
    for forecast in entry.forecasts:
        observed, quantiles, levels = forecast.observed, forecast.quantiles, forecast.levels
        scored.append(
            score_forecast(
                observed, quantiles, levels=levels, coverage=coverage, seasonal_scale=seasonal_scale
            )
        )
        lower, upper = interval(quantiles, levels, coverage)
        bounds.append(picp_interval(observed, lower, upper, rng=np.random.default_rng(0)))
    spread = {}
    if len(scored) > 1:
        spread = {name: float(np.std([s[name] for s in scored], ddof=1)) for name in scored[0]}
        spread.pop("n")
    mae = paired_difference(
        losses["mae"], np.zeros_like(losses["mae"]), rng=np.random.default_rng(0)
    )
    return Row(
        entry=entry,
        scores={name: float(np.mean([s[name] for s in scored])) for name in scored[0]},
        spread=spread,
        picp_low=float(np.mean([low for low, _ in bounds])),
        picp_high=float(np.mean([high for _, high in bounds])),
        mae_low=mae.low,
        mae_high=mae.high,
        winkler_losses=losses["winkler"],
    )


def _difference(
    entry: Entry, other: Entry, losses: dict[str, Floats], others: dict[str, Floats], score: str
) -> Difference:
    mine, theirs = losses[score], others[score]
    paired = paired_difference(mine, theirs, rng=np.random.default_rng(0))
    both = ~(np.isnan(mine) | np.isnan(theirs))
    n_windows = int(both.sum())
    differ = np.ptp((mine - theirs)[both]) > 0.0
    p_value = float("nan")
    if n_windows >= 3 and differ:
        lags = min(DAYS_OF_WEEK - 1, n_windows - 2)
        p_value = diebold_mariano(mine, theirs, lags=lags)[1]
    return Difference(
        entry.label, other.label, score, paired.mean, paired.low, paired.high, p_value
    )
