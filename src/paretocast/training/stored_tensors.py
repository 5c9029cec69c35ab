"""Tensors of a checkpoint: apart from each other, and with a digest of their content."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping


def content_digest(tensors: Mapping[str, torch.Tensor], texts: Mapping[str, str]) -> str:
    """SHA-256 of the content of a checkpoint: a flipped bit would train on wrong weights."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        plain = tensors[name].contiguous().reshape(-1)
        digest.update(f"{name} {plain.dtype} {tuple(tensors[name].shape)}\n".encode())
        digest.update(plain.view(torch.uint8).numpy().data)
    for name in sorted(texts):
        digest.update(f"{name} {texts[name]}\n".encode())
    return digest.hexdigest()


def separate_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors on the CPU of which none shares memory with another: the format refuses that.

    Only those are copied that do: the weights of a large network are there many times already.
    """
    separate: dict[str, torch.Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu()
        memory = plain.untyped_storage()
        if memory.data_ptr() in taken or memory.nbytes() != plain.nbytes:
            plain = plain.clone()
        taken.add(plain.untyped_storage().data_ptr())
        separate[name] = plain
    return separate
