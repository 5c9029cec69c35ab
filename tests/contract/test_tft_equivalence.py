"""Our Temporal Fusion Transformer is the library's, computed differently."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from neuralforecast_conversion import (
    build_library_module,
    load_neuralforecast,
    tft_library_parts,
    tft_variable_weights,
    to_neuralforecast,
)
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from batches import make_batch, window_of
from paretocast.errors import SettingsError
from paretocast.models import variable_selection
from paretocast.models.base import Batch, WindowShape, draw_kept
from paretocast.models.tft import TFT
from paretocast.models.variable_selection import _Network, _PerVariable, _select

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = WindowShape(48, 12, 2, 3, 5)
SHAPES = {
    "both kinds of covariates": SHAPE,
    "no past covariates": WindowShape(48, 12, 0, 3, 5),
    "no known covariates": WindowShape(48, 12, 2, 0, 5),
    "no covariates": WindowShape(48, 12, 0, 0, 5),
    "one known covariate": WindowShape(48, 12, 1, 1, 5),
    "a horizon longer than the history": WindowShape(24, 30, 1, 2, 3),
}
ARCHITECTURES = [(16, 1, 2), (16, 2, 4), (32, 3, 8)]
# The library warns about its own settings.
pytestmark = pytest.mark.filterwarnings("ignore")


def make_library(shape: WindowShape, architecture: tuple[int, int, int]) -> Any:  # noqa: ANN401
    hidden_size, layers, heads = architecture
    module: Any = build_library_module(
        "TFT", shape, hidden_size=hidden_size, n_rnn_layers=layers, n_head=heads, dropout=0.0
    )
    assert type(module).__module__.startswith("neuralforecast.")
    with torch.no_grad():  # biases and norms away from the zeros and ones they start at
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def make_ours(
    shape: WindowShape,
    architecture: tuple[int, int, int] = ARCHITECTURES[0],
    *,
    dropout: float = 0.0,
) -> TFT:
    hidden_size, layers, heads = architecture
    return TFT(
        shape,
        hidden_size=hidden_size,
        lstm_layers=layers,
        num_attention_heads=heads,
        dropout=dropout,
    )


def as_library_input(batch: Batch) -> dict[str, Tensor | None]:
    return {
        "insample_y": batch.history.unsqueeze(-1),
        "insample_mask": batch.history_mask.unsqueeze(-1),
        "hist_exog": batch.past if batch.past.shape[2] else None,
        "futr_exog": batch.known if batch.known.shape[2] else None,
        "stat_exog": None,
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_same_weights_give_the_librarys_forecast_and_gradients(
    shape: WindowShape, architecture: tuple[int, int, int]
) -> None:
    torch.manual_seed(0)
    library, ours, batch = (
        make_library(shape, architecture),
        make_ours(shape, architecture),
        make_batch(shape),
    )
    load_neuralforecast(ours, library.state_dict())
    expected, forecast = library(as_library_input(batch)), ours(batch)
    torch.testing.assert_close(forecast, expected, rtol=0, atol=1e-5)
    cotangent = torch.randn_like(expected)
    expected.backward(cotangent)
    forecast.backward(cotangent)
    learned = {n: p.grad for n, p in library.named_parameters() if p.requires_grad}
    seen = set()
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        for library_name, part in tft_library_parts(name, parameter.grad):
            wanted = learned[library_name]
            seen.add(library_name)
            atol = 1e-5 * max(1.0, wanted.abs().max().item())
            torch.testing.assert_close(part.reshape(wanted.shape), wanted, rtol=0, atol=atol)
    # What is not here maps the static context, which is zero and leaves no gradient.
    for name in learned.keys() - seen:
        assert name.endswith("lin_c.weight")
        assert not learned[name].any()


def test_weights_travel_to_the_library_and_back() -> None:
    ours, batch = make_ours(SHAPE, ARCHITECTURES[1]).eval(), make_batch(SHAPE)
    library = to_neuralforecast(ours).eval()
    torch.testing.assert_close(library(as_library_input(batch)), ours(batch), rtol=0, atol=1e-5)
    again = make_ours(SHAPE, ARCHITECTURES[1]).eval()
    load_neuralforecast(again, library.state_dict())
    torch.testing.assert_close(again(batch), ours(batch), rtol=0, atol=0)


def test_a_conversion_leaves_the_random_state_alone() -> None:
    ours = make_ours(SHAPE)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    to_neuralforecast(ours)
    drawn = torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    assert drawn == (torch.rand(1).item(), np.random.rand(), random.random())  # noqa: NPY002


def test_weights_of_other_sizes_are_refused_by_name() -> None:
    state = make_library(WindowShape(48, 12, 1, 3, 5), ARCHITECTURES[0]).state_dict()
    with pytest.raises(
        SettingsError, match=r"hist_exog_embedding_vectors of 32 .*2 past and 3 known"
    ):
        load_neuralforecast(make_ours(SHAPE), state)


def test_weights_with_a_static_encoder_are_refused() -> None:
    with pytest.raises(SettingsError, match="static"):
        load_neuralforecast(make_ours(SHAPE), {"static_encoder.vsn": torch.zeros(1)})


def test_heads_that_do_not_divide_the_hidden_size_are_refused() -> None:
    with pytest.raises(SettingsError, match="not divisible"):
        TFT(SHAPE, hidden_size=32, num_attention_heads=5)


def test_selection_weights_are_the_librarys() -> None:
    library, ours, batch = (
        make_library(SHAPE, ARCHITECTURES[0]),
        make_ours(SHAPE),
        make_batch(SHAPE),
    )
    load_neuralforecast(ours, library.state_dict())
    library(as_library_input(batch))
    weights = tft_variable_weights(ours, batch)
    for ours_name, library_name in [
        ("history", "history_vsn_wgts"),
        ("horizon", "future_vsn_wgts"),
    ]:
        wanted = library.interpretability_params[library_name].mean((0, 1))
        torch.testing.assert_close(weights[ours_name], wanted, rtol=0, atol=1e-6)
        assert weights[ours_name].sum().item() == pytest.approx(1.0, abs=1e-5)


def test_a_variable_that_is_named_last_of_the_known_has_the_last_weight() -> None:
    ours, batch = make_ours(SHAPE).eval(), make_batch(SHAPE)
    with torch.no_grad():  # scores that follow the number of the last known covariate
        for selection in (ours.history_selection, ours.horizon_selection):
            nn.init.zeros_(selection.joint.out_proj.bias)
            nn.init.zeros_(selection.joint.glu.weight)
            selection.joint.out_proj.weight.zero_()
        width = ours.output.in_features
        ours.known_embedding.bias[2] = 1.0
        ours.horizon_selection.joint.out_proj.weight[2, 2 * width :] = 1.0
        ours.history_selection.joint.out_proj.weight[4, 4 * width : 5 * width] = 1.0
    weights = tft_variable_weights(ours, batch)
    assert weights["history"].shape == (2 + 3 + 1,)
    assert int(weights["history"].argmax()) == 4
    assert int(weights["horizon"].argmax()) == 2


def test_a_known_value_moves_its_own_step_and_later_ones_only() -> None:
    ours, batch = make_ours(SHAPE, ARCHITECTURES[1]).eval(), make_batch(SHAPE)
    known = batch.known.clone()
    known[:, 48 + 5] += 1.0
    changed = ours(Batch(batch.history, batch.history_mask, batch.past, known))
    moved = (changed - ours(batch)).abs().amax(dim=(0, 2)) > 1e-5
    assert moved.tolist() == [False] * 5 + [True] * 7


def test_a_window_alone_is_forecast_as_in_its_batch() -> None:
    ours, batch = make_ours(SHAPE).eval(), make_batch(SHAPE)
    alone = [ours(window_of(batch, i)) for i in range(6)]
    torch.testing.assert_close(torch.cat(alone), ours(batch), rtol=0, atol=1e-5)


def make_network(n_variables: int, width: int) -> tuple[list[Tensor], _Network]:
    v, d = n_variables, width
    sizes = [(v, 2, d), (v, 2, d), (v, d, d), (v, d), (v, 2 * d, d), (v, 2 * d)]
    network = _Network(*(torch.randn(size) / math.sqrt(d) for size in sizes))
    rest = [torch.rand(v, 40), torch.randn(v, d), torch.randn(v, d)]
    return rest, network


def outcome(
    function: Callable[..., Tensor], rest: list[Tensor], network: _Network
) -> tuple[Tensor, list[Tensor]]:
    """The value of a selection and the gradients of everything it can learn."""
    leaves = [part.clone().requires_grad_() for part in (*rest, *network)]
    x = torch.linspace(-2.0, 2.0, rest[0].numel()).view(rest[0].shape)
    value = function(x, leaves)
    return value, list(torch.autograd.grad(value.square().sum(), leaves))


def in_blocks(dropout: float) -> Callable[..., Tensor]:
    def evaluate(x: Tensor, leaves: list[Tensor]) -> Tensor:
        selected: Tensor = _PerVariable.apply(x, *leaves[:3], dropout, *leaves[3:])  # type: ignore[no-untyped-call]
        return selected

    return evaluate


def at_once(dropout: float) -> Callable[..., Tensor]:
    return lambda x, leaves: _select(
        x,
        leaves[0],
        norm_weight=leaves[1],
        norm_bias=leaves[2],
        dropout=dropout,
        network=_Network(*leaves[3:]),
    )


@pytest.mark.parametrize("kept_bytes", [0, 1 << 30], ids=["repeated", "kept"])
@pytest.mark.parametrize("block_elements", [1, 3 * 8 * 7, 1 << 19])
def test_blocks_give_what_autograd_gives(
    monkeypatch: pytest.MonkeyPatch, block_elements: int, kept_bytes: int
) -> None:
    monkeypatch.setattr(variable_selection, "_BLOCK_ELEMENTS", block_elements)
    monkeypatch.setattr(variable_selection, "_KEPT_BYTES", kept_bytes)
    torch.manual_seed(2)
    rest, network = make_network(3, 8)
    value, gradients = outcome(in_blocks(0.0), rest, network)
    wanted_value, wanted_gradients = outcome(at_once(0.0), rest, network)
    torch.testing.assert_close(value, wanted_value, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients, wanted_gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kept_bytes", [0, 1 << 30], ids=["repeated", "kept"])
def test_the_same_draws_drop_the_same_units_forward_and_backward(
    monkeypatch: pytest.MonkeyPatch, kept_bytes: int
) -> None:
    torch.manual_seed(3)
    rest, network = make_network(3, 8)
    kept = torch.rand(3, 40, 8) >= 0.25

    def dropped(x: Tensor, rate: float, *, training: bool) -> Tensor:
        assert training
        return x * kept / (1.0 - rate)

    monkeypatch.setattr(variable_selection, "_KEPT_BYTES", kept_bytes)
    monkeypatch.setattr(variable_selection, "draw_kept", lambda *_: kept)
    monkeypatch.setattr(functional, "dropout", dropped)
    value, gradients = outcome(in_blocks(0.25), rest, network)
    wanted_value, wanted_gradients = outcome(at_once(0.25), rest, network)
    torch.testing.assert_close(value, wanted_value, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients, wanted_gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rate", [0.05, 0.4])
def test_draws_drop_at_their_rate_and_independently(rate: float) -> None:
    torch.manual_seed(4)
    dropped = ~draw_kept((1000, 1001), rate)
    n = dropped.numel()
    noise = 4.0 * math.sqrt(rate * (1.0 - rate) / n)
    assert dropped.double().mean().item() == pytest.approx(rate, abs=noise + 2**-16)
    # Four neighbours come from one random word.
    both = (dropped[:, 1:] & dropped[:, :-1]).double().mean().item()
    assert both == pytest.approx(rate**2, abs=4.0 * rate / math.sqrt(n) + 2**-15)


def test_dropout_is_off_outside_training() -> None:
    ours, batch = make_ours(SHAPE, dropout=0.4), make_batch(SHAPE)
    assert not torch.equal(ours(batch), ours(batch))
    ours.eval()
    assert torch.equal(ours(batch), ours(batch))


def test_an_averaged_copy_forecasts_like_the_weights_it_averages() -> None:
    ours, batch = make_ours(SHAPE).eval(), make_batch(SHAPE)
    halve = get_ema_multi_avg_fn(0.5)  # type: ignore[no-untyped-call]
    average = AveragedModel(ours, multi_avg_fn=halve, use_buffers=True)
    for _ in range(3):
        average.update_parameters(ours)
    torch.testing.assert_close(average.module.eval()(batch), ours(batch), rtol=0, atol=1e-6)


def test_a_forecast_can_be_traced_to_its_inputs() -> None:
    ours, batch = make_ours(SHAPE), make_batch(SHAPE)
    parts = [part.requires_grad_() for part in (batch.history, batch.past, batch.known)]
    traced = torch.autograd.grad(ours(batch).square().sum(), parts)
    assert all(bool(gradient.abs().sum((0, 1)).all()) for gradient in traced)


def test_half_precision_changes_little() -> None:
    ours, batch = make_ours(SHAPE), make_batch(SHAPE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = ours(batch)
    rough.float().square().mean().backward()
    torch.testing.assert_close(rough.float(), ours(batch), rtol=0.1, atol=0.1)
