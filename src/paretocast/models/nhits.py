"""N-HiTS with quantile outputs: NeuralForecast's blocks behind our contract.

Weights carry the library's names, so a state dict moves to and from the
`neuralforecast.models.NHITS` that `library_arguments` describes. The blocks are built one by one
because the library's model seeds the random generators of the whole process when it is constructed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuralforecast.models.nhits import NHITSBlock, _IdentityBasis
from torch import nn

from paretocast.models.base import Batch, QuantileModel, WindowShape

if TYPE_CHECKING:
    from typing import Any

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
    """Arguments of `neuralforecast.models.NHITS` for a config, loss and training left out.

    The first stack forecasts with a knot every half horizon and sees the history pooled by
    2 ** (num_stacks - 1) hours, the last one every hour: the hierarchy of Challu et al. (2023),
    section 3, stretched to any horizon.
    """
    return {
        "h": shape.horizon_steps,
        "input_size": shape.input_steps,
        "hist_exog_list": [f"past_{i}" for i in range(shape.n_past)] or None,
        "futr_exog_list": [f"known_{i}" for i in range(shape.n_known)] or None,
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
        arguments = library_arguments(
            shape,
            num_stacks=num_stacks,
            num_blocks=num_blocks,
            num_layers=num_layers,
            layer_widths=layer_widths,
            dropout=dropout,
        )
        self.blocks = nn.ModuleList(
            _library_block(shape, arguments, stack)
            for stack in range(num_stacks)
            for _ in range(num_blocks)
        )

    def forward(self, batch: Batch) -> Tensor:
        """Quantile forecasts of shape (B, H, Q), scaled."""
        residual = batch.history.flip(dims=(-1,))
        mask = batch.history_mask.flip(dims=(-1,))
        forecast = batch.history[:, -1:, None]
        for block in self.blocks:
            backcast, block_forecast = block(
                insample_y=residual, futr_exog=batch.known, hist_exog=batch.past, stat_exog=None
            )
            residual = (residual - backcast) * mask
            forecast = forecast + block_forecast
        return forecast


def _library_block(shape: WindowShape, arguments: dict[str, Any], stack: int) -> NHITSBlock:
    """One block as the library builds it for that stack."""
    n_knots = max(1, shape.horizon_steps // arguments["n_freq_downsample"][stack])
    return NHITSBlock(
        h=shape.horizon_steps,
        input_size=shape.input_steps,
        n_theta=shape.input_steps + shape.n_levels * n_knots,
        mlp_units=arguments["mlp_units"],
        basis=_IdentityBasis(
            backcast_size=shape.input_steps,
            forecast_size=shape.horizon_steps,
            out_features=shape.n_levels,
            interpolation_mode="linear",
        ),
        futr_input_size=shape.n_known,
        hist_input_size=shape.n_past,
        stat_input_size=0,
        n_pool_kernel_size=arguments["n_pool_kernel_size"][stack],
        pooling_mode="MaxPool1d",
        dropout_prob=arguments["dropout_prob_theta"],
        activation="ReLU",
    )
