"""TimesNet: NeuralForecast's architecture with the same weights at a fraction of the cost.

Axes: B windows, L history steps, H horizon steps, T = L + H, D hidden units, C conv_hidden units.
Tensors run time first, (T, B, D): folding by a period is then a view. A period folds T steps to an
image of `rows` x `period` pixels.

Three things differ from the library by choice: periods belong to the series instead of the batch,
covariates of the past are embedded, and known covariates of the horizon are seen. With the weights
of these covariates at zero, outputs are the library's wherever it picks the same periods.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

from paretocast.errors import DataError, SettingsError
from paretocast.models.base import Batch, QuantileModel, WindowShape, corrected
from paretocast.models.inception import InceptionBlock, SpectralConvolution

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray
    from torch import Tensor


def dominant_periods(
    history: NDArray[np.floating], window_steps: int, top_k: int
) -> tuple[int, ...]:
    """Periods of largest mean amplitude over the windows of a series, largest first.

    Parameters
    ----------
    history : ndarray of shape (n,)
        Target of the train split. NaN marks a missing value and is bridged by a straight line.
    window_steps : int
        Steps of a window with its horizon, T.

    Returns
    -------
    tuple of int
        `top_k` different periods, in steps, each T // f of a frequency f = 1, 2, ... T // 2.

    Raises
    ------
    DataError
        If the history is shorter than a window or holds no value.
    SettingsError
        If a window has fewer than `top_k` periods.

    Examples
    --------
    >>> steps = np.arange(480)
    >>> wave = np.sin(2 * np.pi * steps / 24) + 0.5 * np.sin(2 * np.pi * steps / 12)
    >>> dominant_periods(wave, 192, 2)
    (24, 12)
    """
    observed = np.isfinite(history)
    if len(history) < window_steps or not observed.any():
        raise DataError(
            f"history has {len(history)} steps and {int(observed.sum())} values, expected at least "
            f"one window of {window_steps} steps to find periods in"
        )
    steps = np.arange(len(history))
    bridged = np.interp(steps, steps[observed], history[observed])
    windows = np.lib.stride_tricks.sliding_window_view(bridged, window_steps)
    windows = windows[:: max(1, window_steps // 2)]
    amplitude = np.abs(np.fft.rfft(windows - windows.mean(axis=1, keepdims=True))).mean(axis=0)
    frequencies = np.argsort(-amplitude[1:], kind="stable") + 1
    # Neighbouring high frequencies share a period: the stronger one stands for it.
    periods = tuple(dict.fromkeys(window_steps // int(f) for f in frequencies))[:top_k]
    return _checked(periods, top_k, window_steps)


class TimesNet(QuantileModel):
    """TimesNet [1]_ over target, past and known covariates.

    `history_mask` is not used: a masked step is seen as the zero it holds.

    Parameters
    ----------
    periods : sequence of int, optional
        `top_k` different ones, in steps; `dominant_periods` finds those of a series. They are saved
        with the weights, and loading weights brings theirs. Default, for hourly steps: a day, the
        window, half a day, 8 hours, half the window.

    References
    ----------
    .. [1] Wu, Hu, Liu, Zhou, Wang & Long (2023), ICLR, https://openreview.net/pdf?id=ju_Uqw384Oq
    """

    position: Tensor
    waves: Tensor

    def __init__(
        self,
        shape: WindowShape,
        *,
        hidden_size: int = 64,
        conv_hidden_size: int = 64,
        top_k: int = 3,
        dropout: float = 0.1,
        num_kernels: int = 6,
        encoder_layers: int = 2,
        periods: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        steps = shape.input_steps + shape.horizon_steps
        if hidden_size % 2:
            raise SettingsError(
                f"hidden_size must be even for sines and cosines, got {hidden_size}"
            )
        self.shape = shape
        self.dropout = dropout
        self.num_kernels = num_kernels
        self.conv_hidden_size = conv_hidden_size
        self.value_weight = nn.Parameter(torch.empty(hidden_size, 3))
        nn.init.kaiming_normal_(self.value_weight, nonlinearity="leaky_relu")
        self.history_known = _linear_or_none(shape.n_known, hidden_size)
        self.history_past = _linear_or_none(shape.n_past, hidden_size)
        self.horizon_known = _linear_or_none(shape.n_known, hidden_size)
        self.extension = nn.Linear(shape.input_steps, steps)
        self.blocks = nn.ModuleList(
            _Block(hidden_size, conv_hidden_size, num_kernels) for _ in range(encoder_layers)
        )
        self.norm = nn.LayerNorm(hidden_size)
        self.projection = nn.Linear(hidden_size, shape.n_levels)
        self.register_buffer(
            "position", _positions(shape.input_steps, hidden_size), persistent=False
        )
        self.register_buffer("waves", torch.empty(0), persistent=False)
        self.convolutions = nn.ModuleList()
        if periods is None:
            periods = _default_periods(steps)[:top_k]
        self._fold_by(_checked(periods, top_k, steps))

    @property
    def periods(self) -> tuple[int, ...]:
        """The periods in use, in steps."""
        return tuple(convolution.period for convolution in self._folds())

    def forward(self, batch: Batch) -> Tensor:
        """Quantile forecasts of shape (B, H, Q), scaled."""
        hidden = self._extended(self._embedded(batch))
        if self.horizon_known is not None:
            steps = self.shape.input_steps
            horizon = self.horizon_known(batch.known[:, steps:].transpose(0, 1))
            hidden = torch.cat([hidden[:steps], hidden[steps:] + horizon])
        for block in self._blocks():
            hidden = self.norm(self._mixed_over_periods(hidden, block))
        horizon_hidden = hidden[self.shape.input_steps :]
        return corrected(batch.anchor, self.projection(horizon_hidden).transpose(0, 1))

    def output_layers(self) -> list[nn.Linear]:
        """The map from a step's state to its quantiles."""
        return [self.projection]

    def get_extra_state(self) -> Tensor:
        """The periods; they travel with the weights but, unlike a buffer, are never averaged."""
        return torch.tensor(self.periods)

    def set_extra_state(self, state: Tensor) -> None:
        """Fold by the periods that came with weights."""
        steps = self.shape.input_steps + self.shape.horizon_steps
        self._fold_by(_checked(tuple(state.tolist()), len(self.periods), steps))

    def _fold_by(self, periods: tuple[int, ...]) -> None:
        """Set the periods and what is derived from them."""
        steps = self.shape.input_steps + self.shape.horizon_steps
        like = self.extension.weight
        frequencies = torch.tensor([round(steps / period) for period in periods])
        angle = 2 * math.pi / steps * torch.outer(frequencies, torch.arange(steps))
        self.waves = torch.cat([angle.cos(), angle.sin()]).to(like)  # (2 k, T)
        reach = self.num_kernels - 1
        folds = [SpectralConvolution(steps, period, reach).to(like) for period in periods]
        self.convolutions = nn.ModuleList(folds)

    def _folds(self) -> list[SpectralConvolution]:
        return [fold for fold in self.convolutions if isinstance(fold, SpectralConvolution)]

    def _blocks(self) -> list[_Block]:
        return [block for block in self.blocks if isinstance(block, _Block)]

    def _embedded(self, batch: Batch) -> Tensor:
        """Embedding of the history, (L, B, D), by one product over target and covariates."""
        steps = self.shape.input_steps
        target = batch.history.t().unsqueeze(-1)
        # The library's convolution of three steps, circular over the history.
        parts = [target.roll(1, 0), target, target.roll(-1, 0)]
        weights: list[Tensor] = [self.value_weight]
        if self.history_known is not None:
            parts.append(batch.known[:, :steps].transpose(0, 1))
            weights.append(self.history_known.weight)
        if self.history_past is not None:
            parts.append(batch.past.transpose(0, 1))
            weights.append(self.history_past.weight)
        embedded = F.linear(torch.cat(parts, dim=-1), torch.cat(weights, dim=-1)) + self.position
        return F.dropout(embedded, self.dropout, training=self.training)

    def _extended(self, embedded: Tensor) -> Tensor:
        """History (L, B, D) extended in time to (T, B, D)."""
        weight, bias = self.extension.weight, self.extension.bias
        extended = torch.addmm(bias.unsqueeze(1), weight, embedded.flatten(1))
        return extended.view(-1, *embedded.shape[1:])

    def _mixed_over_periods(self, hidden: Tensor, block: _Block) -> Tensor:
        """The sequence plus its convolved images, weighed by each window's amplitudes."""
        narrow, widen = block.narrow.kernel(), block.widen.kernel()
        weights = self._period_weights(hidden).unsqueeze(-1)  # (k, B, 1)
        mixed = hidden
        for weight, fold in zip(weights, self._folds(), strict=True):
            inner = F.gelu(fold(fold.padded(hidden), narrow, block.narrow.bias))
            mixed = mixed + weight * fold(inner, widen, block.widen.bias)[: len(hidden)]
        return mixed

    def _period_weights(self, hidden: Tensor) -> Tensor:
        """Softmax over periods of each window's mean amplitude, (k, B)."""
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.to(self.waves.dtype)
            spectrum = (self.waves @ hidden.flatten(1)).view(2, -1, *hidden.shape[1:])
            # The tiny term gives the amplitude 0 the gradient 0 instead of NaN.
            amplitude = spectrum.square().sum(0).add(1e-24).sqrt().mean(-1)
            return torch.softmax(amplitude, dim=0)


def build_timesnet(
    shape: WindowShape, architecture: Mapping[str, Any], train_history: NDArray[np.floating]
) -> TimesNet:
    """A fresh TimesNet that folds by the dominant periods of the train period."""
    window_steps = shape.input_steps + shape.horizon_steps
    periods = dominant_periods(train_history, window_steps, int(architecture["top_k"]))
    return TimesNet(shape, periods=periods, **architecture)


class _Block(nn.Module):
    """Two inception blocks, shared by all periods."""

    def __init__(self, hidden_size: int, conv_hidden_size: int, num_kernels: int) -> None:
        super().__init__()
        self.narrow = InceptionBlock(hidden_size, conv_hidden_size, num_kernels)
        self.widen = InceptionBlock(conv_hidden_size, hidden_size, num_kernels)


def _linear_or_none(n_inputs: int, n_outputs: int) -> nn.Linear | None:
    return nn.Linear(n_inputs, n_outputs, bias=False) if n_inputs else None


def _positions(steps: int, hidden_size: int) -> Tensor:
    """Sines and cosines of the position, (steps, 1, D), as in the library."""
    scale = torch.exp(torch.arange(0, hidden_size, 2) * -(math.log(10000.0) / hidden_size))
    angle = torch.outer(torch.arange(steps), scale)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).view(steps, 1, hidden_size)


def _default_periods(steps: int) -> tuple[int, ...]:
    candidates = [24, steps, 12, 8, steps // 2, *(steps // f for f in range(3, steps // 2 + 1))]
    return tuple(dict.fromkeys(period for period in candidates if 2 <= period <= steps))


def _checked(periods: Sequence[int], top_k: int, steps: int) -> tuple[int, ...]:
    allowed = all(2 <= period <= steps for period in periods)
    if top_k < 1 or len(periods) != top_k or len(set(periods)) != top_k or not allowed:
        raise SettingsError(
            f"periods are {list(periods)}, expected top_k = {top_k} different ones (at least one) "
            f"between 2 and the {steps} steps of a window"
        )
    return tuple(periods)
