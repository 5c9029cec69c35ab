"""The Temporal Fusion Transformer of NeuralForecast: the same weights at a fraction of the cost.

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
from paretocast.models.base import Batch, QuantileModel, WindowShape, corrected
from paretocast.models.dropout import dropped_out
from paretocast.models.neuralforecast import build_library_module
from paretocast.models.variable_selection import NORM_EPS, VariableSelection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neuralforecast.models import TFT as LibraryTFT  # noqa: N811
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

    @torch.no_grad()
    def variable_weights(self, batch: Batch) -> dict[str, Tensor]:
        """Mean selection weight of every variable, over windows and steps; each entry sums to 1.

        Returns
        -------
        dict
            `history`, of shape (P + max(K, 1) + 1,): past covariates, known covariates, target;
            `horizon`, of shape (max(K, 1),): known covariates. Orders are those of `Batch`; with
            K = 0 the one known covariate is the last target, repeated.
        """
        history_values, horizon_values = self._variables(batch)
        history_vectors, horizon_vectors = self._embeddings()
        history = self.history_selection.weights(history_values, *history_vectors)
        horizon = self.horizon_selection.weights(horizon_values, *horizon_vectors)
        return {"history": history.mean((0, 1)), "horizon": horizon.mean((0, 1))}

    def to_neuralforecast(self) -> LibraryTFT:
        """The library's module with these weights; its training settings are its defaults.

        The maps of the static context, which exist there without being used, are zero.
        """
        module: LibraryTFT = build_library_module(
            "TFT",
            self.shape,
            hidden_size=self.output.in_features,
            n_head=self.num_attention_heads,
            n_rnn_layers=self.history_encoder.num_layers,
            dropout=self.enrichment.dropout,
        )
        state = module.state_dict()
        for name in state:
            if name.endswith("lin_c.weight"):
                state[name] = torch.zeros_like(state[name])
        for name, value in self.state_dict().items():
            for library_name, part in _library_parts(name, value):
                state[library_name] = part.reshape(state[library_name].shape)
        module.load_state_dict(state)
        return module

    def load_neuralforecast(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a library module of the same sizes.

        Raises
        ------
        SettingsError
            If a weight is missing or has another size, or the module has static covariates.
        """
        if any(name.startswith("static_encoder") for name in state):
            raise SettingsError("the weights hold a static encoder; this TFT has no static input")
        own = self.state_dict()
        for name, value in own.items():
            parts = _library_parts(name, value)
            for library, part in parts:
                if library not in state or state[library].numel() != part.numel():
                    raise SettingsError(
                        f"the weights lack {library} of {part.numel()} values; expected a "
                        f"NeuralForecast TFT of hidden size {self.output.in_features} with "
                        f"{self.shape.n_past} past and {self.shape.n_known} known covariates"
                    )
            own[name] = torch.cat([state[part].flatten() for part, _ in parts]).view(value.shape)
        self.load_state_dict(own)

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


# Prefix here, prefix in the library.
_NAMES = {
    "past_embedding.": "embedding.hist_exog_embedding_",
    "known_embedding.": "embedding.futr_exog_embedding_",
    "target_embedding.": "embedding.tgt_embedding_",
    "history_selection.": "temporal_encoder.history_vsn.",
    "horizon_selection.": "temporal_encoder.future_vsn.",
    "history_encoder.": "temporal_encoder.history_encoder.",
    "horizon_encoder.": "temporal_encoder.future_encoder.",
    "input_gate.": "temporal_encoder.input_gate.lin.",
    "input_norm.": "temporal_encoder.input_gate_ln.",
    "enrichment.": "temporal_fusion_decoder.enrichment_grn.",
    "attention.qkv.": "temporal_fusion_decoder.attention.qkv_linears.",
    "attention.out.": "temporal_fusion_decoder.attention.out_proj.",
    "attention_gate.": "temporal_fusion_decoder.attention_gate.lin.",
    "attention_norm.": "temporal_fusion_decoder.attention_ln.",
    "positionwise.": "temporal_fusion_decoder.positionwise_grn.",
    "decoder_gate.": "temporal_fusion_decoder.decoder_gate.lin.",
    "decoder_norm.": "temporal_fusion_decoder.decoder_ln.",
    "output.": "output_adapter.",
}


def _library_parts(name: str, value: Tensor) -> list[tuple[str, Tensor]]:
    """The library's names for a weight, with the part of it that each holds."""
    own = next(prefix for prefix in _NAMES if name.startswith(prefix))
    library, rest = _NAMES[own], name.removeprefix(own)
    if "selection" in own and not rest.startswith("joint."):
        layer, kind = rest.rsplit("_", 1)
        layer = {"glu": "glu.lin", "norm": "layer_norm.ln"}.get(layer, layer)
        return [(f"{library}var_grns.{i}.{layer}.{kind}", part) for i, part in enumerate(value)]
    if "selection" in own or own in {"enrichment.", "positionwise."}:
        rest = rest.replace("joint.", "joint_grn.").replace("glu.", "glu.lin.")
        rest = rest.replace("norm.", "layer_norm.ln.")
    return [(library + rest, value)]
