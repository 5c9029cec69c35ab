"""Dropout with cheaper draws on a CPU."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

# Dropout rates are multiples of one over this.
DRAWS = 1 << 16


def draw_kept(sizes: tuple[int, ...], drop_rate: float) -> Tensor:
    """Independent draws, false at `drop_rate`, a multiple of 1 / `DRAWS`.

    One 64-bit draw decides four positions: about four times faster than `bernoulli_` on a CPU.
    """
    n_draws = math.prod(sizes)
    words = torch.empty((n_draws + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    draws = words.view(torch.int16)[:n_draws].view(sizes)
    return draws >= round(drop_rate * DRAWS) - DRAWS // 2


def dropped_out(x: Tensor, dropout: float, *, training: bool) -> Tensor:
    """`F.dropout`, with the cheaper draws of `draw_kept` on a CPU."""
    if not training or dropout == 0.0 or x.device.type != "cpu":
        return F.dropout(x, dropout, training=training)
    drop_rate = round(dropout * DRAWS) / DRAWS
    return x * draw_kept(tuple(x.shape), drop_rate).to(x.dtype).mul_(1.0 / (1.0 - drop_rate))
