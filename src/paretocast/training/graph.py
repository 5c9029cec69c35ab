"""The gradients of a batch as one CUDA graph.

A network of this size asks a GPU for some hundred small kernels a step, and Python takes longer to
ask for them than the GPU to compute them. A captured graph asks for all of them at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS_BEFORE_CAPTURE = 3  # libraries set themselves up in the first steps


class GradientGraph:
    """A captured computation that leaves the gradients of one batch in the weights' `grad`.

    Every replay writes the same gradient tensors; nothing else may set them to None.

    Parameters
    ----------
    compute : callable
        Computes the gradients at issue positions (B,); its work is captured, so it must not wait
        for the device. Weights have no gradients when it is called.
    positions : Tensor
        Issue positions of a batch; all batches of the graph have its length.

    Raises
    ------
    RuntimeError
        If the work cannot be captured.
    """

    def __init__(self, compute: Callable[[torch.Tensor], None], positions: torch.Tensor) -> None:
        self._positions = positions.clone()
        self._graph = torch.cuda.CUDAGraph()
        # Other threads of the process may use the device meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            compute(self._positions)

    def replay(self, positions: torch.Tensor) -> None:
        """Compute the gradients of a batch."""
        self._positions.copy_(positions)
        self._graph.replay()
