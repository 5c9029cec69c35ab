"""Our N-HiTS is the library's."""

from typing import Any

import pytest
import torch
from neuralforecast.losses.pytorch import MQLoss
from neuralforecast.models import NHITS as LibraryNHITS  # noqa: N811

from batches import make_batch
from paretocast.models.base import WindowShape
from paretocast.models.nhits import NHITS, geometric_ladder, library_arguments

SHAPES = [
    WindowShape(168, 24, 2, 3, 5),
    WindowShape(168, 24, 0, 0, 3),
    WindowShape(72, 168, 1, 2, 3),
]
CONFIG: dict[str, Any] = {
    "num_stacks": 4,
    "num_blocks": 2,
    "num_layers": 3,
    "layer_widths": 32,
    "dropout": 0.1,
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_the_same_weights_give_the_librarys_forecast(shape: WindowShape) -> None:
    levels = [(i + 1) / (shape.n_levels + 1) for i in range(shape.n_levels)]
    library = LibraryNHITS(
        **library_arguments(shape, **CONFIG), loss=MQLoss(quantiles=levels)
    ).eval()
    ours = NHITS(shape, **CONFIG).eval()
    ours.load_state_dict({k: v for k, v in library.state_dict().items() if k.startswith("blocks.")})
    batch = make_batch(shape)
    expected = library(
        {
            "insample_y": batch.history[:, :, None],
            "insample_mask": batch.history_mask[:, :, None],
            "hist_exog": batch.past,
            "futr_exog": batch.known,
            "stat_exog": None,
        }
    )
    torch.testing.assert_close(ours(batch), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("top", [1, 3, 12, 84])
@pytest.mark.parametrize("n_rungs", [1, 2, 5])
def test_the_ladder_falls_from_the_top_to_one(top: int, n_rungs: int) -> None:
    ladder = geometric_ladder(top, n_rungs)
    assert len(ladder) == n_rungs
    assert ladder[-1] == 1
    assert ladder == sorted(ladder, reverse=True)
    assert n_rungs == 1 or ladder[0] == top


def test_building_a_model_leaves_the_random_state_to_its_seed() -> None:
    torch.manual_seed(1)
    name = "blocks.0.layers.0.weight"
    first = NHITS(SHAPES[0], **CONFIG).state_dict()[name]
    second = NHITS(SHAPES[0], **CONFIG).state_dict()[name]
    assert not torch.equal(first, second)
