"""Our N-HiTS is the library's."""

from typing import Any

import pytest
import torch
from neuralforecast_conversion import load_neuralforecast, nhits_library_state, to_neuralforecast

from batches import make_batch
from paretocast.errors import SettingsError
from paretocast.models.base import Batch, WindowShape
from paretocast.models.nhits import NHITS, geometric_ladder

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


@pytest.fixture
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return CONFIG | getattr(request, "param", {})


def forecast_of_library(library: torch.nn.Module, batch: Batch) -> torch.Tensor:
    forecast: torch.Tensor = library(
        {
            "insample_y": batch.history[:, :, None],
            "insample_mask": batch.history_mask[:, :, None],
            "hist_exog": batch.past,
            "futr_exog": batch.known,
            "stat_exog": None,
        }
    )
    return forecast


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "config", [{}, {"dropout": 0.0}, {"num_stacks": 5, "num_blocks": 1}], indirect=True
)
@pytest.mark.filterwarnings("ignore")
def test_the_same_weights_give_the_librarys_forecast_and_gradients(
    shape: WindowShape, config: dict[str, Any]
) -> None:
    ours = NHITS(shape, **config).eval()
    library = to_neuralforecast(ours).eval()
    again = NHITS(shape, **config)
    load_neuralforecast(again, library.state_dict())
    batch = make_batch(shape)
    forecast, expected = ours(batch), forecast_of_library(library, batch)
    torch.testing.assert_close(forecast, expected, rtol=0, atol=1e-6)
    direction = torch.randn_like(forecast)
    torch.autograd.backward([(forecast * direction).sum(), (expected * direction).sum()])
    wanted = {k: v.grad for k, v in library.named_parameters() if v.grad is not None}
    for weight in ours.parameters():
        assert weight.grad is not None
        weight.data = weight.grad
    gradients = nhits_library_state(ours)
    assert gradients.keys() == wanted.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_weights_survive_the_way_to_the_library_and_back() -> None:
    first, second = NHITS(SHAPES[0], **CONFIG), NHITS(SHAPES[0], **CONFIG)
    load_neuralforecast(second, to_neuralforecast(first).state_dict())
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.filterwarnings("ignore")
def test_weights_of_another_size_are_refused() -> None:
    state = to_neuralforecast(NHITS(SHAPES[1], **CONFIG)).state_dict()
    with pytest.raises(SettingsError, match=r"lack blocks\.0\.layers\.0\.weight"):
        load_neuralforecast(NHITS(SHAPES[0], **CONFIG), state)


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
    name = "blocks.0.residual_weight"
    first = NHITS(SHAPES[0], **CONFIG).state_dict()[name]
    second = NHITS(SHAPES[0], **CONFIG).state_dict()[name]
    assert not torch.equal(first, second)
