"""The contract of every neural model.

Axes: B windows of a batch, L history steps, H horizon steps, P covariates of the past, K covariates
known ahead, Q quantile levels. Everything is in scaled units; the engine scales and unscales.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True)
class WindowShape:
    """Sizes that fix the architecture of a model together with its config.

    Attributes
    ----------
    n_past, n_known : int
        Numbers of covariates seen up to the issue time (role `past`) and over history and
        horizon (roles `calendar` and `forecast`). Either may be 0.
    """

    input_steps: int
    horizon_steps: int
    n_past: int
    n_known: int
    n_levels: int


@dataclass(frozen=True)
class Batch:
    """Windows as the models see them.

    Attributes
    ----------
    history : Tensor of shape (B, L)
        Target up to the issue time; 0 where `history_mask` is 0.
    history_mask : Tensor of shape (B, L)
        1 where the history holds a value (observed or filled), 0 inside long gaps.
    past : Tensor of shape (B, L, P)
        Covariates observed up to the issue time.
    known : Tensor of shape (B, L + H, K)
        Covariates known for history and horizon.
    hours : Tensor of shape (B, L), integer, or None
        Which hours of one series the histories are: equal numbers stand for equal values of
        target, mask and covariates. What depends on an hour alone can then be computed once.
    anchor : Tensor of shape (B, H, Q), or None
        A first guess at the quantiles of the horizon, which the model corrects.
    """

    history: Tensor
    history_mask: Tensor
    past: Tensor
    known: Tensor
    hours: Tensor | None = None
    anchor: Tensor | None = None


class QuantileModel(nn.Module, ABC):
    """A module from a batch of windows to quantiles of the horizon."""

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Quantile forecasts of shape (B, H, Q), scaled; levels ascend but may cross.

        A window's forecast does not depend on the other windows of its batch.
        """

    def output_layers(self) -> Sequence[nn.Linear]:
        """The last maps, from whose outputs the forecast is added up; none if there is no such."""
        return ()

    def start_at_anchor(self) -> None:
        """Let a fresh model correct nothing: its forecast is the anchor."""
        for layer in self.output_layers():
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


def corrected(anchor: Tensor | None, correction: Tensor) -> Tensor:
    """The anchor with a correction added, both (B, H, Q); the correction alone without one."""
    return correction if anchor is None else anchor + correction
