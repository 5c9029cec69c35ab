"""The variable selection of the Temporal Fusion Transformer, over variables of one number each.

Axes: V variables, D hidden units, N rows (steps times windows).

A variable enters as a number x and is embedded as `x v + b`. Every linear map of the embedding is
therefore affine in x, and is folded to a slope and an intercept inside `forward`; the parameters
stay those of the library. The per-variable networks share one batched pass, and the two maps of the
joint network between which there is neither activation nor dropout are one matrix.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

from paretocast.models.base import DRAWS, draw_kept

if TYPE_CHECKING:
    from torch import Tensor

NORM_EPS = 1e-3
# Elements of one (V, rows, D) block: 2 MiB stay in cache through a dozen passes.
_BLOCK_ELEMENTS = 1 << 19
# Activations that one selection may keep for its backward pass.
_KEPT_BYTES = 320 << 20


class VariableSelection(nn.Module):
    """Variable selection network over V variables that are one number each.

    The per-variable weights are stacked over variables; `joint` weighs the variables.
    """

    def __init__(self, n_variables: int, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.joint = _JointNetwork(n_variables, hidden_size)
        v, d = n_variables, hidden_size
        bound = 1.0 / math.sqrt(d)  # nn.Linear's own bound for d inputs

        def uniform(*sizes: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(sizes).uniform_(-bound, bound))

        self.lin_a_weight, self.lin_a_bias = uniform(v, d, d), uniform(v, d)
        self.lin_i_weight, self.lin_i_bias = uniform(v, d, d), uniform(v, d)
        self.glu_weight, self.glu_bias = uniform(v, 2 * d, d), uniform(v, 2 * d)
        self.norm_weight = nn.Parameter(torch.ones(v, d))
        self.norm_bias = nn.Parameter(torch.zeros(v, d))

    def weights(self, values: Tensor, vectors: Tensor, bias: Tensor) -> Tensor:
        """Selection weights of shape (steps, B, V), softmax over the variables."""
        return torch.softmax(self.joint(values, vectors, bias), dim=-1)

    def forward(self, values: Tensor, vectors: Tensor, bias: Tensor) -> Tensor:
        """Selected features of shape (steps, B, D) from values (steps, B, V)."""
        steps, n_windows, n_variables = values.shape
        weights = self.weights(values, vectors, bias).view(-1, n_variables).t()
        embedding = torch.stack([vectors, bias], dim=1)  # (V, 2, D)
        first = embedding @ self.lin_a_weight.transpose(1, 2)
        first = torch.cat([first[:, :1], first[:, 1:] + self.lin_a_bias.unsqueeze(1)], dim=1)
        network = _Network(
            first, embedding, self.lin_i_weight, self.lin_i_bias, self.glu_weight, self.glu_bias
        )
        x = values.reshape(-1, n_variables).t().contiguous()
        dropout = self.dropout if self.training else 0.0
        if x.device.type == "cpu" and not x.requires_grad:
            selected: Tensor = _PerVariable.apply(  # type: ignore[no-untyped-call]
                x,
                weights.to(x.dtype),
                self.norm_weight,
                self.norm_bias,
                dropout,
                *(part.to(x.dtype) for part in network),
            )
        else:
            selected = _select(
                x,
                weights,
                norm_weight=self.norm_weight,
                norm_bias=self.norm_bias,
                dropout=dropout,
                network=network,
            )
        return selected.view(steps, n_windows, -1)


class _JointNetwork(nn.Module):
    """Scores of all variables from all embeddings, evaluated on the V numbers themselves."""

    def __init__(self, n_variables: int, hidden_size: int) -> None:
        super().__init__()
        self.lin_a = nn.Linear(n_variables * hidden_size, hidden_size)
        self.lin_i = nn.Linear(hidden_size, hidden_size)
        self.glu = nn.Linear(hidden_size, 2 * n_variables)
        self.out_proj = nn.Linear(n_variables * hidden_size, n_variables)
        # The library normalises no single score.
        self.norm = nn.LayerNorm(n_variables, eps=NORM_EPS) if n_variables > 1 else nn.Identity()

    def forward(self, values: Tensor, vectors: Tensor, bias: Tensor) -> Tensor:
        inner = F.elu(F.linear(values, *_folded(self.lin_a, vectors, bias)))
        weight = self.glu.weight @ self.lin_i.weight
        inner = F.glu(F.linear(inner, weight, self.glu.weight @ self.lin_i.bias + self.glu.bias))
        scores: Tensor = self.norm(inner + F.linear(values, *_folded(self.out_proj, vectors, bias)))
        return scores


def _folded(linear: nn.Linear, vectors: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (outputs, V) and bias (outputs,) of `linear` after the embedding of V numbers."""
    weight = (linear.weight.view(-1, *vectors.shape) * vectors).sum(-1)
    return weight, linear.weight @ bias.flatten() + linear.bias


class _Network(NamedTuple):
    """Stacked weights of the per-variable networks; pairs hold slope and intercept in x."""

    first: Tensor  # (V, 2, D)
    residual: Tensor  # (V, 2, D)
    inner_weight: Tensor  # (V, D, D)
    inner_bias: Tensor  # (V, D)
    gate_weight: Tensor  # (V, 2 D, D)
    gate_bias: Tensor  # (V, 2 D)


def _select(
    x: Tensor,
    weights: Tensor,
    *,
    norm_weight: Tensor,
    norm_bias: Tensor,
    dropout: float,
    network: _Network,
) -> Tensor:
    """Weighted sum over variables of their networks, (N, D) from x and weights (V, N)."""
    hidden = F.elu(_affine(x, network.first))
    inner = torch.baddbmm(
        network.inner_bias.unsqueeze(1), hidden, network.inner_weight.transpose(1, 2)
    )
    inner = F.dropout(inner, dropout, training=dropout > 0.0)
    gates = torch.baddbmm(
        network.gate_bias.unsqueeze(1), inner, network.gate_weight.transpose(1, 2)
    )
    total = F.glu(gates) + _affine(x, network.residual)
    normed = F.layer_norm(total, total.shape[-1:], eps=NORM_EPS)
    normed = normed * norm_weight.unsqueeze(1) + norm_bias.unsqueeze(1)
    return (normed * weights.unsqueeze(-1)).sum(0)


def _affine(x: Tensor, pair: Tensor) -> Tensor:
    return torch.addcmul(pair[:, 1:], x.unsqueeze(-1), pair[:, :1])


class _PerVariable(torch.autograd.Function):
    """`_select` for a CPU, in blocks of rows that stay in cache.

    Up to `_KEPT_BYTES`, the backward pass finds what it needs kept; beyond, it finds the dropout
    draws alone, one byte each, and repeats the block.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - a function of autograd takes no keywords
        ctx: Any,  # noqa: ANN401 - its attributes are what one sets
        x: Tensor,
        weights: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        dropout: float,
        *network: Tensor,
    ) -> Tensor:
        n_variables, n_rows = x.shape
        width = norm_weight.shape[1]
        drop_rate = round(dropout * DRAWS) / DRAWS
        keeps_states = 20 * x.numel() * width <= _KEPT_BYTES
        weights = weights.contiguous()
        blocks = []
        with torch.autocast("cpu", enabled=False):
            selected = weights.t() @ norm_bias
            scaled = _scaled(_Network(*network), drop_rate)
            for rows in _blocks(n_variables, n_rows, width):
                kept = None
                if drop_rate:
                    kept = draw_kept((n_variables, rows.stop - rows.start, width), drop_rate)
                state = _block_forward(x[:, rows], scaled, kept)
                weighted = state.normed * norm_weight.unsqueeze(1)
                selected[rows] += weighted.mul_(weights[:, rows].unsqueeze(-1)).sum(0)
                if any(ctx.needs_input_grad):
                    blocks.append((rows, kept, state if keeps_states else None))
        ctx.save_for_backward(x, weights, norm_weight, norm_bias, *network)
        ctx.drop_rate = drop_rate
        ctx.blocks = blocks
        return selected

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weights, norm_weight, norm_bias, *parts = ctx.saved_tensors
        network = _Network(*parts)
        width = norm_weight.shape[1]
        grad = grad.contiguous()
        grad_norm_weight = torch.zeros_like(norm_weight)
        grads = _Network(*(torch.zeros_like(part) for part in network))
        with torch.autocast("cpu", enabled=False):
            grad_weights = (grad @ norm_bias.t()).t().contiguous()
            scaled = _scaled(network, ctx.drop_rate)
            row_mean = (grad @ norm_weight.t()).t().div(width).unsqueeze(-1)
            for rows, kept, kept_state in ctx.blocks:
                state = kept_state or _block_forward(x[:, rows], scaled, kept)
                weight = weights[:, rows].unsqueeze(1)
                part = grad[rows] * state.normed
                grad_norm_weight += torch.bmm(weight, part).squeeze(1)
                by_norm = part.mul_(norm_weight.unsqueeze(1)).sum(-1, keepdim=True)
                grad_weights[:, rows] += by_norm.squeeze(-1)
                total = torch.mul(grad[rows], norm_weight.unsqueeze(1), out=part)
                total -= row_mean[:, rows]
                total.addcmul_(state.normed, by_norm, value=-1.0 / width)
                total *= state.rstd * weight.transpose(1, 2)
                _block_backward(
                    x[:, rows], total, state=state, kept=kept, network=scaled, grads=grads
                )
            grads.gate_weight.mul_(1.0 / (1.0 - ctx.drop_rate))
            grad_norm_bias = weights @ grad
        return None, grad_weights, grad_norm_weight, grad_norm_bias, None, *grads


def _scaled(network: _Network, drop_rate: float) -> _Network:
    """The network with dropout's factor moved into the map that follows it."""
    return network._replace(gate_weight=network.gate_weight / (1.0 - drop_rate))


def _blocks(n_variables: int, n_rows: int, width: int) -> list[slice]:
    size = max(1, _BLOCK_ELEMENTS // (n_variables * width))
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


class _State(NamedTuple):
    """Intermediate results of the networks on a block of rows."""

    hidden: Tensor  # (V, rows, D)
    inner: Tensor  # (V, rows, D), dropped positions 0, the others not yet scaled
    gates: Tensor  # (V, rows, 2 D), the linear half and the sigmoid of the other
    normed: Tensor  # (V, rows, D), before the norm's weight and bias
    rstd: Tensor  # (V, rows, 1)


def _block_forward(x: Tensor, network: _Network, kept: Tensor | None) -> _State:
    hidden = _affine(x, network.first)
    # ELU: exp(min(x, 0)) - 1 is at most x where x is positive, at least x where it is not.
    torch.maximum(hidden, hidden.clamp(max=0.0).exp_().sub_(1.0), out=hidden)
    inner = torch.baddbmm(
        network.inner_bias.unsqueeze(1), hidden, network.inner_weight.transpose(1, 2)
    )
    if kept is not None:
        inner *= kept
    gates = torch.baddbmm(
        network.gate_bias.unsqueeze(1), inner, network.gate_weight.transpose(1, 2)
    )
    linear, gate = gates.chunk(2, dim=-1)
    total = _affine(x, network.residual).addcmul_(linear, gate.sigmoid_())
    normed, _, rstd = torch.native_layer_norm(total, total.shape[-1:], None, None, NORM_EPS)
    return _State(hidden, inner, gates, normed, rstd)


def _block_backward(
    x: Tensor,
    total: Tensor,
    *,
    state: _State,
    kept: Tensor | None,
    network: _Network,
    grads: _Network,
) -> None:
    """Add a block to `grads`; `total` is the gradient of the sum before the norm."""
    powers = torch.stack([x, torch.ones_like(x)], dim=1)  # (V, 2, rows)
    grads.residual.baddbmm_(powers, total)
    linear, gate = state.gates.chunk(2, dim=-1)
    gates = torch.empty_like(state.gates)
    by_linear, by_gate = gates.chunk(2, dim=-1)
    torch.mul(total, gate, out=by_linear)
    torch.mul(by_linear, linear, out=by_gate)
    by_gate *= 1.0 - gate
    grads.gate_weight.baddbmm_(gates.transpose(1, 2), state.inner)
    grads.gate_bias.add_(gates.sum(1))
    by_inner = torch.bmm(gates, network.gate_weight)
    if kept is not None:
        by_inner *= kept
    grads.inner_weight.baddbmm_(by_inner.transpose(1, 2), state.hidden)
    grads.inner_bias.add_(by_inner.sum(1))
    by_hidden = torch.bmm(by_inner, network.inner_weight)
    by_hidden *= state.hidden.clamp(max=0.0).add_(1.0)
    grads.first.baddbmm_(powers, by_hidden)
