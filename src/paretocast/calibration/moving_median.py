"""Evidence that the median of a forecast is better where an online calibrator would move it.

An online calibrator learns a correction for every quantile, the median too. On most series that of
the median is noise: errors change sign from day to day. On some the level of demand drifts away
from what the model has learned, and the median is wrong on one side for months. So both medians are
scored on each window, and the one that is issued moves towards the corrected one as far as the mean
gain, over a memory of months, is told from chance.

The share is that of a positive-part James-Stein estimate, 1 - (LEAST_T / t)², and nothing where the
t statistic of the gain is below LEAST_T.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

MEMORY_WINDOWS = 30.0  # after which a window counts half
LEAST_T = 2.0  # t statistic of the gain from which on the median moves
FEWEST_WINDOWS = 7.0  # effective ones that a t statistic is taken from


@dataclass(frozen=True)
class MedianEvidence:
    """Evidence of past windows on the corrected median, the latest counted in full.

    Attributes
    ----------
    gains, squared_gains : float
        Sums of absolute errors of the kept median less those of the corrected one, each a mean over
        a window, target units, and of their squares.
    windows : float
        Their number.
    """

    gains: float = 0.0
    squared_gains: float = 0.0
    windows: float = 0.0

    @classmethod
    def from_json(cls, stored: dict[str, Any] | None) -> MedianEvidence:
        """The evidence that `as_json` described; none where nothing was stored."""
        return cls(**{name: float(value) for name, value in (stored or {}).items()})

    def as_json(self) -> dict[str, float]:
        """All numbers, by their names."""
        return asdict(self)

    @property
    def share(self) -> float:
        """Share of the correction that the median moves by, from 0 to below 1.

        Examples
        --------
        A gain of 1 in each of many windows, give or take 2, and the same gain in a few.

        >>> [MedianEvidence(n * 1.0, n * 5.0, n).share for n in (400.0, 16.0)]
        [0.96, 0.0]

        A gain whose square is too small for a number.

        >>> MedianEvidence(1e-200, 5.0, 400.0).share
        0.0
        """
        if self.windows < FEWEST_WINDOWS or self.gains <= 0.0:
            return 0.0
        mean = self.gains / self.windows
        variance = max(self.squared_gains / self.windows - mean**2, 0.0)
        squared_t = math.inf if variance == 0.0 else mean**2 * self.windows / variance
        return 1.0 - LEAST_T**2 / squared_t if squared_t > LEAST_T**2 else 0.0

    def after(self, gain: float) -> MedianEvidence:
        """The evidence after one more window."""
        kept: float = 0.5 ** (1.0 / MEMORY_WINDOWS)
        return MedianEvidence(
            kept * self.gains + gain, kept * self.squared_gains + gain**2, kept * self.windows + 1.0
        )


NO_EVIDENCE = MedianEvidence()
