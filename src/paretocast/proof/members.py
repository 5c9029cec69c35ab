"""Which trials make up the ensemble, chosen on the tune split.

Greedy selection with replacement (Caruana et al. 2004, ICML, section 2): the trial that lowers the
loss of the average most is added again and again; how often it was added is its weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.scores import pinball

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_ROUNDS = 12


@dataclass(frozen=True)
class Members:
    """An ensemble.

    Attributes
    ----------
    indices : tuple of int
        Of its members among the forecasts that were offered, each once, the first one chosen first.
    weights : tuple of float
        Add up to 1.
    loss : float
        Mean pinball loss over all levels on the windows it was chosen on, target units.
    """

    indices: tuple[int, ...]
    weights: tuple[float, ...]
    loss: float


def choose_members(
    observed: Floats, forecasts: Sequence[Floats], *, levels: Sequence[float], most: int
) -> Members:
    """The members of an ensemble and their weights.

    Parameters
    ----------
    observed : ndarray of shape (N, H)
        NaN where missing.
    forecasts : sequence of ndarray of shape (N, H, Q)
        At least one; ascending along the levels.
    most : int
        Different members at most: each has to be trained again.
    """
    counts = np.zeros(len(forecasts), dtype=np.intp)
    total = np.zeros_like(forecasts[0])
    order: list[int] = []
    loss = np.inf
    for n_chosen in range(MOST_ROUNDS):
        allowed = order if len(order) >= most else range(len(forecasts))
        losses = {
            i: float(
                pinball(observed, (total + forecasts[i]) / (n_chosen + 1), levels=levels).mean()
            )
            for i in allowed
        }
        best = min(losses, key=lambda i: losses[i])
        if losses[best] >= loss:
            break
        loss = losses[best]
        total = total + forecasts[best]
        counts[best] += 1
        if best not in order:
            order.append(best)
    weights = tuple(float(counts[i] / counts.sum()) for i in order)
    return Members(tuple(order), weights, loss)
