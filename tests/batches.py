"""Batches of windows that tests share."""

from __future__ import annotations

import torch

from paretocast.models.base import Batch, WindowShape


def make_batch(shape: WindowShape, n_windows: int = 6, *, seed: int = 0) -> Batch:
    """Random windows; the second one has a long gap in its history."""
    draw = torch.Generator().manual_seed(seed)
    hours = shape.input_steps + shape.horizon_steps
    history = torch.randn(n_windows, shape.input_steps, generator=draw)
    mask = torch.ones_like(history)
    mask[1, 10:20] = 0.0
    return Batch(
        history=history * mask,
        history_mask=mask,
        past=torch.randn(n_windows, shape.input_steps, shape.n_past, generator=draw),
        known=torch.randn(n_windows, hours, shape.n_known, generator=draw),
    )


def parts_of(batch: Batch) -> dict[str, torch.Tensor]:
    """The tensors of a batch that are there, by name."""
    return {name: part for name, part in vars(batch).items() if part is not None}


def window_of(batch: Batch, index: int) -> Batch:
    """One window of a batch, alone."""
    return Batch(**{name: part[index : index + 1] for name, part in parts_of(batch).items()})
