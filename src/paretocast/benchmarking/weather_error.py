"""Cost of an error of the weather forecast, where the history holds measured weather only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretocast.benchmarking.comparison import window_losses
from paretocast.benchmarking.relearning import (
    GAINED_SCORES,
    change_text,
    mean_loss,
    percent_changes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.benchmarking.comparison import Entry
    from paretocast.metrics.uncertainty import PairedDifference


@dataclass(frozen=True)
class WeatherErrorRow:
    """A method on the test split, with temperatures of the horizon in error.

    Attributes
    ----------
    method : str
        Its label, calibrator included.
    scores : dict of str to float
        MAE and mean pinball loss over the observed hours, target units.
    changes : dict of str to PairedDifference
        Of both scores against measured weather, percent of the score there, with a 95 % interval
        from resampled blocks of days; above 0 where the error costs something.
    """

    method: str
    scores: dict[str, float]
    changes: dict[str, PairedDifference]

    def change_text(self, score: str) -> str:
        """The change of a score and its interval, in words."""
        return change_text(self.changes.get(score))

    def as_json(self) -> dict[str, Any]:
        """The row for a result file."""
        return {
            "method": self.method,
            **self.scores,
            **{f"{score}_change_percent": vars(change) for score, change in self.changes.items()},
        }


def compare_weather_error(
    entries: Sequence[Entry], erring: Sequence[Entry], *, coverage: float
) -> tuple[WeatherErrorRow, ...]:
    """Every method under an error of the weather, against itself without.

    Parameters
    ----------
    entries, erring : sequence of Entry
        The same methods in the same order.
    coverage : float
        Percent of the interval that is scored.
    """
    rows = []
    for entry, other in zip(entries, erring, strict=True):
        losses, own = (window_losses(e, coverage=coverage) for e in (entry, other))
        scores = {score: mean_loss(own, score) for score in GAINED_SCORES}
        rows.append(WeatherErrorRow(entry.label, scores, percent_changes(own, losses)))
    return tuple(rows)
