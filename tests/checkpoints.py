"""Checkpoints of another content, as another version or a damaged disk may leave them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import load, save

from paretocast.training.stored_tensors import content_digest

Change = Callable[[dict[str, Any], dict[str, torch.Tensor]], object]


def rewritten_checkpoint(content: bytes, change: Change, *, with_digest: bool = True) -> bytes:
    """A checkpoint whose progress and tensors are changed, with the digest of what it holds now.

    Parameters
    ----------
    with_digest : bool
        False leaves the digest of what it held before.
    """
    tensors = load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    texts = dict(header["__metadata__"])
    digest = texts.pop("sha256")
    progress = json.loads(texts["progress"])
    change(progress, tensors)
    texts["progress"] = json.dumps(progress)
    if with_digest:
        digest = content_digest(tensors, texts)
    return save(tensors, metadata={**texts, "sha256": digest})
