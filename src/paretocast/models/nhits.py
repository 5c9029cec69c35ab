"""N-HiTS with quantile outputs: NeuralForecast's architecture, its first maps taken apart.

The first map of a block reads the residual and the covariates. Covariates need no gradient, so the
two parts have weights of their own here: the backward pass then skips the covariates, which are
most of the input. Pooled covariates are shared by all blocks that pool alike. Outputs and gradients
are those of `neuralforecast.models.NHITS`; the tests compare them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

from paretocast.models.base import Batch, QuantileModel, WindowShape, dropped_out

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray
    from torch import Tensor


def geometric_ladder(top: int, n_rungs: int) -> list[int]:
    """Whole numbers falling geometrically from `top` to 1.

    >>> geometric_ladder(12, 3)
    [12, 3, 1]
    """
    if n_rungs == 1:
        return [1]
    return [max(1, round(top ** ((n_rungs - 1 - i) / (n_rungs - 1)))) for i in range(n_rungs)]


class NHITS(QuantileModel):
    """Stacks of pooled MLPs with hierarchical interpolation.

    The first stack forecasts with a knot every half horizon and sees the history pooled by
    2 ** (num_stacks - 1) steps, the last one every step: the hierarchy of Challu et al. (2023),
    section 3, stretched to any horizon. Covariates of steps shorter than an hour are pooled
    over the hour as well: its quarters say of them what the hour does, at four times the cost.

    Parameters
    ----------
    num_layers : int
        Hidden layers with an activation, per block.
    """

    def __init__(
        self,
        shape: WindowShape,
        *,
        num_stacks: int,
        num_blocks: int,
        num_layers: int,
        layer_widths: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.pool_sizes = [2 ** (num_stacks - 1 - stack) for stack in range(num_stacks)]
        steps_per_knot = geometric_ladder(max(1, shape.horizon_steps // 2), num_stacks)
        blocks = [
            _Block(
                shape,
                pool_size=pool_size,
                n_knots=max(1, shape.horizon_steps // steps),
                n_layers=num_layers,
                width=layer_widths,
                dropout=dropout,
            )
            for pool_size, steps in zip(self.pool_sizes, steps_per_knot, strict=True)
            for _ in range(num_blocks)
        ]
        self.blocks = nn.ModuleList(blocks)

    def forward(self, batch: Batch) -> Tensor:
        """Quantile forecasts of shape (B, H, Q), scaled."""
        residual = batch.history.flip(dims=(-1,))
        mask = batch.history_mask.flip(dims=(-1,))
        per_hour = self.shape.steps_per_hour
        covariates = {s: _pooled_covariates(batch, s * per_hour) for s in self.pool_sizes}
        forecast = batch.history[:, -1:, None] if batch.anchor is None else batch.anchor
        for block in self.blocks:
            backcast, block_forecast = block(residual, covariates[block.pool_size])
            residual = (residual - backcast) * mask
            forecast = forecast + block_forecast
        return forecast

    def output_layers(self) -> list[nn.Linear]:
        """The last map of every block, to backcast and knots."""
        return [cast("_Block", block).output for block in self.blocks]


def build_nhits(
    shape: WindowShape, architecture: Mapping[str, Any], _train_history: NDArray[Any]
) -> NHITS:
    """A fresh N-HiTS, see `base.build_model`."""
    return NHITS(shape, **architecture)


class _Block(nn.Module):
    """An MLP from pooled residual and covariates to backcast (B, L) and forecast (B, H, Q)."""

    lines: Tensor  # forecasts (H) of knots that are 1 one after the other, (K, H)

    def __init__(
        self,
        shape: WindowShape,
        *,
        pool_size: int,
        n_knots: int,
        n_layers: int,
        width: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.pool_size = pool_size
        self.dropout = dropout
        self._shape = shape
        n_residual = _pooled_steps(shape.input_steps, pool_size)
        of_covariates = pool_size * shape.steps_per_hour
        n_covariates = shape.n_past * _pooled_steps(
            shape.input_steps, of_covariates
        ) + shape.n_known * _pooled_steps(shape.input_steps + shape.horizon_steps, of_covariates)
        joint = nn.Linear(n_residual + n_covariates, width)
        self.bias = joint.bias
        weights = torch.split(joint.weight.detach(), [n_residual, n_covariates], dim=1)
        self.residual_weight = nn.Parameter(weights[0].clone())
        self.covariate_weight = nn.Parameter(weights[1].clone())
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(n_layers))
        self.output = nn.Linear(width, shape.input_steps + shape.n_levels * n_knots)
        unit_knots = torch.eye(n_knots, device="cpu").unsqueeze(0)
        lines = F.interpolate(unit_knots, size=shape.horizon_steps, mode="linear").squeeze(0)
        self.register_buffer("lines", lines.to(joint.weight.device), persistent=False)

    def forward(self, residual: Tensor, covariates: Tensor) -> tuple[Tensor, Tensor]:
        pooled = F.max_pool1d(
            residual.unsqueeze(1), self.pool_size, self.pool_size, ceil_mode=True
        ).squeeze(1)
        x = torch.addmm(
            F.linear(covariates, self.covariate_weight, self.bias), pooled, self.residual_weight.t()
        )
        for layer in self.hidden:
            x = dropped_out(F.relu(layer(x)), self.dropout, training=self.training)
        theta = self.output(x)
        backcast, knots = theta.tensor_split([self._shape.input_steps], dim=-1)
        forecast = self._interpolated(knots.reshape(len(knots), self._shape.n_levels, -1))
        return backcast, forecast.transpose(1, 2)

    def _interpolated(self, knots: Tensor) -> Tensor:
        """Knots (B, Q, K) joined by lines over the horizon, (B, Q, H)."""
        if knots.device.type == "cpu":
            return F.interpolate(knots, size=self._shape.horizon_steps, mode="linear")
        # CUDA's own kernel has one thread per step of the horizon, a hundred times slower.
        with torch.autocast(knots.device.type, enabled=False):
            return knots.float() @ self.lines


def _pooled_steps(n_steps: int, pool_size: int) -> int:
    return -(-n_steps // pool_size)


def _pooled_covariates(batch: Batch, pool_size: int) -> Tensor:
    """Largest values of `pool_size` steps, past then known covariates, flat: (B, columns)."""
    return torch.cat([_pooled(batch.past, pool_size), _pooled(batch.known, pool_size)], dim=1)


def _pooled(columns: Tensor, pool_size: int) -> Tensor:
    n_windows, n_steps, n_columns = columns.shape
    if pool_size == 1 or n_columns == 0:
        return columns.reshape(n_windows, -1)
    if n_steps % pool_size:
        columns = F.pad(columns, (0, 0, 0, -n_steps % pool_size), value=-torch.inf)
    pooled = columns.view(n_windows, -1, pool_size, n_columns).amax(dim=2)
    return pooled.view(n_windows, -1)
