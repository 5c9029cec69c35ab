"""N-HiTS with quantile outputs: the library's architecture, its first maps taken apart.

The first map of a block reads the residual and the covariates. Covariates need no gradient, so the
two parts have weights of their own here: the backward pass then skips the covariates, which are
most of the input. Pooled covariates are shared by all blocks that pool alike. Outputs and gradients
are those of `neuralforecast.models.NHITS`, and weights move both ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

from paretocast.errors import SettingsError
from paretocast.models.base import Batch, QuantileModel, WindowShape
from paretocast.models.dropout import dropped_out
from paretocast.models.neuralforecast import build_library_module

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from neuralforecast.models import NHITS as LibraryNHITS  # noqa: N811
    from torch import Tensor


def geometric_ladder(top: int, n_rungs: int) -> list[int]:
    """Whole numbers falling geometrically from `top` to 1.

    >>> geometric_ladder(12, 3)
    [12, 3, 1]
    """
    if n_rungs == 1:
        return [1]
    return [max(1, round(top ** ((n_rungs - 1 - i) / (n_rungs - 1)))) for i in range(n_rungs)]


def library_arguments(
    shape: WindowShape,
    *,
    num_stacks: int,
    num_blocks: int,
    num_layers: int,
    layer_widths: int,
    dropout: float,
) -> dict[str, Any]:
    """Arguments of `neuralforecast.models.NHITS` for a config, windows, loss and training left out.

    The first stack forecasts with a knot every half horizon and sees the history pooled by
    2 ** (num_stacks - 1) hours, the last one every hour: the hierarchy of Challu et al. (2023),
    section 3, stretched to any horizon.
    """
    return {
        "stack_types": ["identity"] * num_stacks,
        "n_blocks": [num_blocks] * num_stacks,
        "mlp_units": [[layer_widths, layer_widths]] * num_layers,
        "n_pool_kernel_size": [2 ** (num_stacks - 1 - i) for i in range(num_stacks)],
        "n_freq_downsample": geometric_ladder(max(1, shape.horizon_steps // 2), num_stacks),
        "dropout_prob_theta": dropout,
    }


class NHITS(QuantileModel):
    """Stacks of pooled MLPs with hierarchical interpolation.

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
        self._arguments = library_arguments(
            shape,
            num_stacks=num_stacks,
            num_blocks=num_blocks,
            num_layers=num_layers,
            layer_widths=layer_widths,
            dropout=dropout,
        )
        blocks = [
            _Block(
                shape,
                pool_size=self._arguments["n_pool_kernel_size"][stack],
                n_knots=max(1, shape.horizon_steps // self._arguments["n_freq_downsample"][stack]),
                n_layers=num_layers,
                width=layer_widths,
                dropout=dropout,
            )
            for stack in range(num_stacks)
            for _ in range(num_blocks)
        ]
        self.blocks = nn.ModuleList(blocks)

    def forward(self, batch: Batch) -> Tensor:
        """Quantile forecasts of shape (B, H, Q), scaled."""
        residual = batch.history.flip(dims=(-1,))
        mask = batch.history_mask.flip(dims=(-1,))
        covariates = {
            size: _pooled_covariates(batch, size)
            for size in dict.fromkeys(self._arguments["n_pool_kernel_size"])
        }
        forecast = batch.history[:, -1:, None] if batch.anchor is None else batch.anchor
        for block in self.blocks:
            backcast, block_forecast = block(residual, covariates[block.pool_size])
            residual = (residual - backcast) * mask
            forecast = forecast + block_forecast
        return forecast

    def output_layers(self) -> list[nn.Linear]:
        """The last map of every block, to backcast and knots."""
        return [cast("_Block", block).output for block in self.blocks]

    def to_neuralforecast(self) -> LibraryNHITS:
        """The library's module with these weights; its training settings are its defaults.

        It starts from the last observation: with an anchor, its forecast is that plus the
        correction.
        """
        module: LibraryNHITS = build_library_module("NHITS", self.shape, **self._arguments)
        module.load_state_dict(module.state_dict() | self.library_state())
        return module

    def library_state(self) -> dict[str, Tensor]:
        """The weights under the library's names."""
        return {name: torch.cat(own, dim=-1).detach() for name, own in self._library_parts()}

    def load_neuralforecast(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a library module of the same sizes.

        Raises
        ------
        SettingsError
            If a weight is missing or has another size.
        """
        with torch.no_grad():
            for name, own in self._library_parts():
                widths = [part.shape[-1] for part in own]
                given = state.get(name)
                if given is None or given.shape != (*own[0].shape[:-1], sum(widths)):
                    raise SettingsError(
                        f"the weights lack {name} of the size that this N-HiTS has; "
                        f"expected a NeuralForecast NHITS with {self._arguments}"
                    )
                for part, values in zip(own, torch.split(given, widths, dim=-1), strict=True):
                    part.copy_(values)

    def _library_parts(self) -> list[tuple[str, list[Tensor]]]:
        """The library's names, each with the weights that it joins along the last axis."""
        return [
            (f"blocks.{index}.{name}", own)
            for index, block in enumerate(self.blocks)
            for name, own in cast("_Block", block).library_parts()
        ]


class _Block(nn.Module):
    """An MLP from pooled residual and covariates to backcast (B, L) and forecast (B, H, Q)."""

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
        n_covariates = n_residual * shape.n_past + shape.n_known * _pooled_steps(
            shape.input_steps + shape.horizon_steps, pool_size
        )
        joint = nn.Linear(n_residual + n_covariates, width)
        self.bias = joint.bias
        of_residual, of_covariates = torch.split(
            joint.weight.detach(), [n_residual, n_covariates], dim=1
        )
        self.residual_weight = nn.Parameter(of_residual.clone())
        self.covariate_weight = nn.Parameter(of_covariates.clone())
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(n_layers))
        self.output = nn.Linear(width, shape.input_steps + shape.n_levels * n_knots)

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
        forecast = F.interpolate(
            knots.reshape(len(knots), self._shape.n_levels, -1),
            size=self._shape.horizon_steps,
            mode="linear",
        )
        return backcast, forecast.transpose(1, 2)

    def library_parts(self) -> list[tuple[str, list[Tensor]]]:
        """The library's names, each with the weights that it joins along the last axis."""
        parts: list[tuple[str, list[Tensor]]] = [
            ("layers.0.weight", [self.residual_weight, self.covariate_weight]),
            ("layers.0.bias", [self.bias]),
        ]
        # Activation and, unless its rate is 0, dropout have places in the library's sequence.
        places = 3 if self.dropout > 0.0 else 2
        linear = [*self.hidden, self.output]
        for index, layer in enumerate(linear):
            name = f"layers.{1 + places * index}"
            parts += [(f"{name}.weight", [layer.weight]), (f"{name}.bias", [layer.bias])]
        return parts


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
