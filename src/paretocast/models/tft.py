"""The Temporal Fusion Transformer: NeuralForecast's architecture at a fraction of the cost.

Axes: B windows, L history steps, H horizon steps, T = L + H, V variables, D hidden units, N = T B
rows. Tensors run time first, (T, B, D), so that history and horizon are contiguous halves.

Outputs, gradients and the distribution of the dropout masks are those of the library's module
without static covariates. What is cheaper, and why it is the same function:

- Variables are selected on their numbers, in one batched pass (`variable_selection`).
- Only the horizon is forecast, so only its steps are attention queries.
- Without static covariates every context is zero, and so is whatever a bias-free map makes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

from paretocast.errors import SettingsError
from paretocast.models.base import Batch, QuantileModel, WindowShape, corrected, dropped_out
from paretocast.models.variable_selection import NORM_EPS, VariableSelection

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray
    from torch import Tensor


class TFT(QuantileModel):
    """Temporal Fusion Transformer [1]_ over target, past and known covariates.

    `history_mask` is not used: a masked step is seen as the zero it holds. Without known
    covariates the last target stands in for one, as in the library.

    References
    ----------
    .. [1] Lim, Arik, Loeff & Pfister (2021), International Journal of Forecasting 37(4), 1748-1764.
    """

    def __init__(
        self,
        shape: WindowShape,
        *,
        hidden_size: int = 64,
        lstm_layers: int = 1,
        num_attention_heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if hidden_size % num_attention_heads:
            raise SettingsError(
                f"hidden_size {hidden_size} is not divisible by num_attention_heads "
                f"{num_attention_heads}; choose heads that divide it"
            )
        self.shape = shape
        self.num_attention_heads = num_attention_heads
        n_known = max(shape.n_known, 1)
        self.past_embedding = _Embedding(shape.n_past, hidden_size) if shape.n_past else None
        self.known_embedding = _Embedding(n_known, hidden_size)
        self.target_embedding = _Embedding(1, hidden_size)
        n_history = shape.n_past + n_known + 1
        self.history_selection = VariableSelection(n_history, hidden_size, dropout)
        self.horizon_selection = VariableSelection(n_known, hidden_size, dropout)
        self.history_encoder = nn.LSTM(hidden_size, hidden_size, lstm_layers)
        self.horizon_encoder = nn.LSTM(hidden_size, hidden_size, lstm_layers)
        self.input_gate = nn.Linear(hidden_size, 2 * hidden_size)
        self.input_norm = nn.LayerNorm(hidden_size, eps=NORM_EPS)
        self.enrichment = _GatedResidual(hidden_size, dropout)
        self.attention = _HorizonAttention(shape, hidden_size, num_attention_heads, dropout)
        self.attention_gate = nn.Linear(hidden_size, 2 * hidden_size)
        self.attention_norm = nn.LayerNorm(hidden_size, eps=NORM_EPS)
        self.positionwise = _GatedResidual(hidden_size, dropout)
        self.decoder_gate = nn.Linear(hidden_size, 2 * hidden_size)
        self.decoder_norm = nn.LayerNorm(hidden_size, eps=NORM_EPS)
        self.output = nn.Linear(hidden_size, shape.n_levels)

    def forward(self, batch: Batch) -> Tensor:
        """Quantile forecasts of shape (B, H, Q), scaled."""
        history_values, horizon_values = self._variables(batch)
        history_vectors, horizon_vectors = self._embeddings()
        history_input = self._selected_history(batch, history_values, history_vectors)
        horizon_input = self.horizon_selection(horizon_values, *horizon_vectors)
        history, horizon = self._encoded(history_input, horizon_input)
        gated = F.glu(self.input_gate(torch.cat([history, horizon])))
        temporal = self.input_norm(gated + torch.cat([history_input, horizon_input]))
        enriched = self.enrichment(temporal)
        steps = self.shape.input_steps
        attended = F.glu(self.attention_gate(self.attention(enriched)))
        attended = self.positionwise(self.attention_norm(attended + enriched[steps:]))
        decoded = self.decoder_norm(F.glu(self.decoder_gate(attended)) + temporal[steps:])
        return corrected(batch.anchor, self.output(decoded).transpose(0, 1))

    def output_layers(self) -> list[nn.Linear]:
        """The map from a step's state to its quantiles."""
        return [self.output]

    def _selected_history(
        self, batch: Batch, values: Tensor, vectors: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Selected features of the history, (L, B, D).

        Daily issues share six days of their week: without gradients, every hour is computed once.
        """
        if batch.hours is None or torch.is_grad_enabled() or not self.shape.n_known:
            # Without known covariates the last target stands in, which belongs to the window.
            return self.history_selection(values, *vectors)  # type: ignore[no-any-return]
        hours, place = torch.unique(batch.hours.t(), return_inverse=True)
        rows = place.flatten()
        some_row = torch.empty_like(hours).scatter_(
            0, rows, torch.arange(len(rows), device=rows.device)
        )
        features = self.history_selection(values.flatten(0, 1)[some_row].unsqueeze(1), *vectors)
        selected: Tensor = features.squeeze(1)[place]
        return selected

    def _encoded(self, history_input: Tensor, horizon_input: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of the two recurrent networks; the second continues from the first's state."""
        if history_input.device.type == "cpu":
            # Most CPUs have no recurrent network in half precision.
            precision = self.input_norm.weight.dtype
            history_input, horizon_input = history_input.to(precision), horizon_input.to(precision)
        with torch.autocast("cpu", enabled=False):
            history, state = self.history_encoder(history_input)
            horizon, _ = self.horizon_encoder(horizon_input, state)
        return history, horizon

    def _variables(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """History of shape (L, B, V): past, known, target; horizon of shape (H, B, K)."""
        steps = self.shape.input_steps
        target = batch.history.t().unsqueeze(-1)
        if self.shape.n_known:
            known = batch.known.transpose(0, 1)
        else:
            known = target[-1:].expand(steps + self.shape.horizon_steps, -1, -1)
        history = [known[:steps], target]
        if self.shape.n_past:
            history.insert(0, batch.past.transpose(0, 1))
        return torch.cat(history, dim=-1), known[steps:]

    def _embeddings(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Vectors and biases of the variables of history and horizon, each (V, D)."""
        parts = [self.known_embedding, self.target_embedding]
        if self.past_embedding is not None:
            parts.insert(0, self.past_embedding)
        vectors = torch.cat([part.vectors for part in parts])
        bias = torch.cat([part.bias for part in parts])
        return (vectors, bias), (self.known_embedding.vectors, self.known_embedding.bias)


class _Embedding(nn.Module):
    """One vector and one bias per variable: `x` becomes `x vectors + bias`."""

    def __init__(self, n_variables: int, hidden_size: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.empty(n_variables, hidden_size))
        self.bias = nn.Parameter(torch.zeros(n_variables, hidden_size))
        nn.init.xavier_normal_(self.vectors)


class _GatedResidual(nn.Module):
    """Gated residual network of equal input and output size, without context."""

    def __init__(self, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.lin_a = nn.Linear(hidden_size, hidden_size)
        self.lin_i = nn.Linear(hidden_size, hidden_size)
        self.glu = nn.Linear(hidden_size, 2 * hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=NORM_EPS)

    def forward(self, a: Tensor) -> Tensor:
        inner = self.lin_i(F.elu(self.lin_a(a)))
        inner = dropped_out(inner, self.dropout, training=self.training)
        gated: Tensor = self.norm(F.glu(self.glu(inner)) + a)
        return gated


class _HorizonAttention(nn.Module):
    """Causal attention of the horizon's steps, heads averaged over one shared value map."""

    mask: Tensor

    def __init__(self, shape: WindowShape, hidden_size: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.shape = shape
        self.n_heads = n_heads
        self.head_size = hidden_size // n_heads
        self.dropout = dropout
        self.qkv = nn.Linear(hidden_size, (2 * n_heads + 1) * self.head_size, bias=False)
        self.out = nn.Linear(self.head_size, hidden_size, bias=False)
        steps = shape.input_steps + shape.horizon_steps
        visible = torch.ones(steps, steps, dtype=torch.bool).tril()[shape.input_steps :]
        self.register_buffer("mask", visible, persistent=False)

    def forward(self, enriched: Tensor) -> Tensor:
        width = self.n_heads * self.head_size
        steps, n_windows, _ = enriched.shape
        weight = self.qkv.weight
        query = F.linear(enriched[self.shape.input_steps :], weight[:width])
        key_value = F.linear(enriched, weight[width:])
        key, value = key_value[..., :width], key_value[..., width:]
        mixed = F.scaled_dot_product_attention(
            query.view(-1, n_windows, self.n_heads, self.head_size).permute(1, 2, 0, 3),
            key.view(steps, n_windows, self.n_heads, self.head_size).permute(1, 2, 0, 3),
            value.view(steps, n_windows, 1, self.head_size)
            .permute(1, 2, 0, 3)
            .expand(-1, self.n_heads, -1, -1),
            attn_mask=self.mask,
        )
        out = self.out(mixed.mean(1).transpose(0, 1))  # (H, B, D)
        return dropped_out(out, self.dropout, training=self.training)


def build_tft(
    shape: WindowShape, architecture: Mapping[str, Any], _train_history: NDArray[Any]
) -> TFT:
    """A fresh Temporal Fusion Transformer, see `base.build_model`."""
    return TFT(shape, **architecture)
