"""Gain and cost of learning again in the test split, after a month, a week or every day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.benchmarking.comparison import window_losses
from paretocast.formatting import MISSING
from paretocast.metrics.uncertainty import PairedDifference, paired_difference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.benchmarking.comparison import Entry

    Floats = NDArray[np.float64]

GAINED_SCORES = ("mae", "pinball")


@dataclass(frozen=True)
class RelearningRow:
    """A method that learns again after so many days of the test split.

    Attributes
    ----------
    method : str
        Its label, calibrator included.
    days : int or None
        Between one learning and the next; None for never.
    scores : dict of str to float
        MAE and mean pinball loss over the observed hours, target units.
    changes : dict of str to PairedDifference
        Of both scores against the first way, percent of the score there, with a 95 % interval
        from resampled blocks of days; below 0 where this way is better. Empty for the first way.
    seconds : float
        Spent on all learning after the first.
    """

    method: str
    days: int | None
    scores: dict[str, float]
    changes: dict[str, PairedDifference]
    seconds: float

    @property
    def every(self) -> str:
        """The time between two learnings in words."""
        if self.days is None:
            return "never"
        return "1 day" if self.days == 1 else f"{self.days} days"

    def change_text(self, score: str) -> str:
        """The change of a score and its interval, in words; a dash for the first way."""
        return change_text(self.changes.get(score))

    def as_json(self) -> dict[str, Any]:
        """The row for a result file."""
        return {
            "method": self.method,
            "retrain_days": self.days,
            **self.scores,
            **{f"{score}_change_percent": vars(change) for score, change in self.changes.items()},
            "relearning_seconds": self.seconds,
        }


def compare_relearning(
    entries: Mapping[int | None, Sequence[Entry]], *, coverage: float
) -> tuple[RelearningRow, ...]:
    """Every method in every way of learning again, method by method.

    Parameters
    ----------
    entries : mapping of days to sequence of Entry
        The same methods in the same order for each; the others are compared with the first.
    coverage : float
        Percent of the interval that is scored.

    Returns
    -------
    tuple of RelearningRow
        Empty if there is but one way.
    """
    if len(entries) < 2:
        return ()
    rows = []
    for method in zip(*entries.values(), strict=True):
        losses = [window_losses(entry, coverage=coverage) for entry in method]
        for days, entry, own in zip(entries, method, losses, strict=True):
            scores = {score: mean_loss(own, score) for score in GAINED_SCORES}
            changes = {} if own is losses[0] else percent_changes(own, losses[0])
            rows.append(RelearningRow(entry.label, days, scores, changes, entry.relearning_seconds))
    return tuple(rows)


def mean_loss(losses: Mapping[str, Floats], score: str) -> float:
    """Mean over the observed points of all windows."""
    n_points = losses["n"]
    seen = n_points > 0
    return float(np.average(losses[score][seen], weights=n_points[seen]))


def percent_changes(
    own: Mapping[str, Floats], others: Mapping[str, Floats]
) -> dict[str, PairedDifference]:
    """Differences of losses by window from others, for each score in percent of it there.

    A score that is 0 there has no percent and is left out.
    """
    changes = {}
    for score in GAINED_SCORES:
        base = mean_loss(others, score)
        if not base:
            continue
        to_percent = 100.0 / base
        mine, theirs = to_percent * own[score], to_percent * others[score]
        changes[score] = paired_difference(mine, theirs, rng=np.random.default_rng(0))
    return changes


def change_text(change: PairedDifference | None) -> str:
    """A change in percent with its interval, in words; a dash for none."""
    if change is None:
        return MISSING
    return f"{change.mean:+z.2f} % [{change.low:+z.2f}, {change.high:+z.2f}]"
