"""A small search space that tests share: two real ranges, whole numbers and a choice."""

from __future__ import annotations

from paretocast.search.space import Choice, FloatRange, IntRange, Space

SPACE: Space = {
    "lr": FloatRange(1e-4, 1.0, log=True),
    "dropout": FloatRange(0.0, 1.0),
    "num_layers": IntRange(1, 4),
    "width": Choice((16, 32, 64)),
}
