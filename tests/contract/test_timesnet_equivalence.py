"""Our TimesNet is the library's, computed differently and with two blind spots removed."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from neuralforecast_conversion import (
    build_library_module,
    kernels_of,
    load_kernels,
    load_neuralforecast,
    timesnet_inceptions,
    timesnet_names,
    to_neuralforecast,
)
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from batches import make_batch, window_of
from paretocast.errors import DataError, SettingsError
from paretocast.models.base import Batch, WindowShape
from paretocast.models.inception import InceptionBlock, SpectralConvolution
from paretocast.models.timesnet import TimesNet, dominant_periods

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from numpy.typing import NDArray

SHAPE = WindowShape(36, 12, 2, 3, 5)
# Rows of 2, 1 and 3, and one period that leaves padding; 48 steps in all.
PERIODS = (24, 48, 16, 13)
# The library warns about its own settings.
pytestmark = pytest.mark.filterwarnings("ignore")


def library_file() -> ModuleType:
    """The library's file, which takes seconds to import."""
    import neuralforecast.models.timesnet

    file: ModuleType = neuralforecast.models.timesnet
    return file


def make_library(shape: WindowShape, *, top_k: int = 3) -> Any:  # noqa: ANN401
    return build_library_module(
        "TimesNet",
        replace(shape, n_past=0),
        hidden_size=8,
        conv_hidden_size=6,
        top_k=top_k,
        dropout=0.0,
    )


def make_ours(shape: WindowShape, periods: Sequence[int] = PERIODS[:3]) -> TimesNet:
    return TimesNet(
        shape,
        hidden_size=8,
        conv_hidden_size=6,
        top_k=len(periods),
        dropout=0.0,
        periods=periods,
    )


def as_library_input(batch: Batch) -> dict[str, Tensor | None]:
    return {
        "insample_y": batch.history.unsqueeze(-1),
        "futr_exog": batch.known if batch.known.shape[2] else None,
    }


def make_the_library_pick(monkeypatch: pytest.MonkeyPatch, frequencies: list[int]) -> None:
    """The library's own amplitudes, at given frequencies instead of its batch's largest ones."""

    def picked(x: Tensor, _: int) -> tuple[list[int], Tensor]:
        amplitude = torch.fft.rfft(x, dim=1).abs().mean(-1)
        return [x.shape[1] // f for f in frequencies], amplitude[:, frequencies]

    monkeypatch.setattr(library_file(), "FFT_for_Period", picked)


@pytest.mark.parametrize(
    "shape",
    [
        SHAPE,
        WindowShape(36, 12, 0, 3, 5),
        WindowShape(36, 12, 0, 0, 5),
        WindowShape(20, 28, 0, 2, 3),
    ],
    ids=str,
)
def test_the_same_weights_and_periods_give_the_librarys_forecast_and_gradients(
    monkeypatch: pytest.MonkeyPatch, shape: WindowShape
) -> None:
    make_the_library_pick(monkeypatch, [2, 1, 9])  # the last one pads: 5 steps in 10 rows
    torch.manual_seed(0)
    library, ours, batch = make_library(shape), make_ours(shape, (24, 48, 5)), make_batch(shape)
    load_neuralforecast(ours, library.state_dict())
    ours.waves = wave_table([2, 1, 9], 48)  # ours would weigh period 5 at frequency 10
    expected, forecast = library(as_library_input(batch)), ours(batch)
    torch.testing.assert_close(forecast, expected, rtol=0, atol=1e-5)
    cotangent = torch.randn_like(expected)
    expected.backward(cotangent)
    forecast.backward(cotangent)
    wanted = {name: parameter.grad for name, parameter in library.named_parameters()}
    found = {name: parameter.grad for name, parameter in ours.named_parameters()}
    for name, library_name in timesnet_names(ours).items():
        assert_same_gradient(found[name], wanted[library_name])
    for prefix, inception in timesnet_inceptions(ours):
        # The largest kernel reaches every tap: its gradient is a sixth of the mean's.
        largest = wanted[f"{prefix}.kernels.5.weight"]
        assert largest is not None
        largest = largest.permute(2, 3, 1, 0)
        assert inception.weight.grad is not None
        assert_same_gradient(inception.weight.grad / inception.share, 6.0 * largest)
        bias = wanted[f"{prefix}.kernels.5.bias"]
        assert bias is not None
        assert_same_gradient(inception.bias.grad, 6.0 * bias)


def wave_table(frequencies: list[int], steps: int) -> Tensor:
    angle = 2 * math.pi / steps * torch.outer(torch.tensor(frequencies), torch.arange(steps))
    return torch.cat([angle.cos(), angle.sin()])


def assert_same_gradient(found: Tensor | None, wanted: Tensor | None) -> None:
    assert found is not None
    assert wanted is not None
    atol = 1e-5 * max(1.0, wanted.abs().max().item())
    torch.testing.assert_close(found, wanted.reshape(found.shape), rtol=0, atol=atol)


def test_the_library_picking_for_itself_forecasts_the_same_where_it_picks_our_periods() -> None:
    torch.manual_seed(1)
    library, batch = make_library(SHAPE, top_k=2), make_batch(SHAPE)
    angle = 2 * math.pi / 48 * torch.arange(48.0)
    wave = (2 * angle).sin() + 0.5 * angle.sin()
    with torch.no_grad():  # an extension that paints these two waves for any history
        library.predict_linear.weight.mul_(0.001).add_(0.1 * torch.outer(wave, torch.rand(36)))
        library.predict_linear.bias.zero_()
    picked = []
    original = library_file().FFT_for_Period

    def spied(x: Tensor, k: int) -> tuple[NDArray[np.intp], Tensor]:
        periods, weights = original(x, k)
        picked.append(sorted(periods.tolist()))
        return periods, weights

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library_file(), "FFT_for_Period", spied)
        expected = library(as_library_input(batch))
    assert picked == [[24, 48]] * 2
    ours = make_ours(SHAPE, (24, 48))
    load_neuralforecast(ours, library.state_dict())
    torch.testing.assert_close(ours(batch), expected, rtol=0, atol=1e-5)


def test_weights_travel_to_the_library_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = WindowShape(36, 12, 0, 0, 5)
    make_the_library_pick(monkeypatch, [2, 1, 3])
    ours, batch = make_ours(shape).eval(), make_batch(shape)
    library = to_neuralforecast(ours).eval()
    torch.testing.assert_close(library(as_library_input(batch)), ours(batch), rtol=0, atol=1e-5)
    again = make_ours(shape).eval()
    load_neuralforecast(again, library.state_dict())
    torch.testing.assert_close(again(batch), ours(batch), rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("error::UserWarning:paretocast")
def test_weights_that_the_library_has_no_place_for_are_announced() -> None:
    with pytest.warns(UserWarning, match="left out"):
        to_neuralforecast(make_ours(SHAPE))


def test_weights_of_other_sizes_are_refused_by_name() -> None:
    state = make_library(WindowShape(36, 12, 0, 0, 5)).state_dict()
    with pytest.raises(SettingsError, match=r"temporal_embedding.*3 known"):
        load_neuralforecast(make_ours(SHAPE), state)


@pytest.mark.parametrize("period", [2, 3, 5, 7, 12, 13, 24, 30, 47, 48])
def test_the_spectral_convolution_is_the_mean_of_the_six_convolutions(period: int) -> None:
    torch.manual_seed(period)
    fold, block = SpectralConvolution(48, period, 5), InceptionBlock(3, 4, 6)
    with torch.no_grad():
        block.bias.normal_()
    sequence = torch.randn(48, 2, 3, requires_grad=True)
    padded = fold.padded(sequence)
    image = padded.view(fold.rows, period, 2, 3).permute(2, 3, 0, 1)
    each = [
        functional.conv2d(image, kernel, block.bias, padding=side // 2)
        for side, kernel in zip(range(1, 12, 2), kernels_of(block), strict=True)
    ]
    expected = torch.stack(each).mean(0).permute(2, 3, 0, 1).flatten(0, 1)
    convolved = fold(padded, block.kernel(), block.bias)
    scale = expected.abs().max().item()
    torch.testing.assert_close(convolved, expected, rtol=0, atol=2e-6 * scale)
    direct = fold.direct(padded, block.kernel()[fold.cut], block.bias)
    torch.testing.assert_close(direct, expected, rtol=0, atol=2e-6 * scale)
    cotangent = torch.randn_like(expected)
    leaves = [sequence, block.weight, block.bias]
    wanted = torch.autograd.grad(direct, leaves, cotangent, retain_graph=True)
    found = torch.autograd.grad(convolved, leaves, cotangent)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


def test_gradients_of_the_spectral_convolution_are_its_differences() -> None:
    fold = SpectralConvolution(10, 4, 2).double()
    torch.manual_seed(0)
    sizes = [(12, 2, 3), (5, 5, 3, 2), (2,)]
    leaves = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]
    assert torch.autograd.gradcheck(fold, leaves)


def test_one_kernel_trains_like_the_six_under_an_adaptive_optimizer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shape = WindowShape(36, 12, 0, 0, 3)
    make_the_library_pick(monkeypatch, [2, 1, 3])
    torch.manual_seed(0)
    ours, batch = make_ours(shape), make_batch(shape)
    library = to_neuralforecast(ours)
    target = torch.randn(6, 12, 1)
    losses = []
    runs: list[tuple[Callable[[], Tensor], nn.Module]] = [
        (lambda: ours(batch), ours),
        (lambda: library(as_library_input(batch)), library),
    ]
    for forecast, model in runs:
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
        for _ in range(20):
            optimizer.zero_grad()
            loss = (forecast() - target).abs().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    for prefix, inception in timesnet_inceptions(ours):
        mean = InceptionBlock(inception.weight.shape[2], inception.weight.shape[3], 6)
        names = [f"{prefix}.kernels.{i}" for i in range(6)]
        state = library.state_dict()
        load_kernels(
            mean,
            [state[f"{name}.weight"] for name in names],
            [state[f"{name}.bias"] for name in names],
        )
        torch.testing.assert_close(inception.kernel(), mean.kernel(), rtol=0, atol=1e-3)


def test_kernels_start_as_spread_as_the_librarys() -> None:
    torch.manual_seed(0)
    ours = InceptionBlock(64, 64, 6).kernel()
    six = library_file().Inception_Block_V1(64, 64, 6)
    mean = InceptionBlock(64, 64, 6)
    load_kernels(mean, [k.weight for k in six.kernels], [k.bias for k in six.kernels])
    expected = mean.kernel()
    for tap in [(0, 0), (1, 5), (3, 4), (5, 5)]:
        assert ours[tap].std().item() == pytest.approx(expected[tap].std().item(), rel=0.1)


@pytest.mark.parametrize("step", [0, 11])
def test_a_known_value_of_the_horizon_reaches_the_forecast(step: int) -> None:
    ours, batch = make_ours(SHAPE).eval(), make_batch(SHAPE)
    known = batch.known.clone()
    known[:, 36 + step, 1] += 1.0
    changed = ours(Batch(batch.history, batch.history_mask, batch.past, known))
    assert not torch.allclose(changed, ours(batch), atol=1e-4)


def test_a_window_alone_is_forecast_as_in_its_batch() -> None:
    ours, batch = make_ours(SHAPE, PERIODS).eval(), make_batch(SHAPE)
    alone = torch.cat([ours(window_of(batch, i)) for i in range(6)])
    torch.testing.assert_close(alone, ours(batch), rtol=0, atol=1e-5)


def test_periods_travel_with_the_weights() -> None:
    ours, batch = make_ours(SHAPE, PERIODS).eval(), make_batch(SHAPE)
    other = make_ours(SHAPE, (6, 8, 12, 48)).eval()
    other.load_state_dict(copy.deepcopy(ours.state_dict()))
    assert other.periods == PERIODS
    torch.testing.assert_close(other(batch), ours(batch), rtol=0, atol=0)


def test_an_averaged_copy_forecasts_like_the_weights_it_averages() -> None:
    ours, batch = make_ours(SHAPE).eval(), make_batch(SHAPE)
    decayed = get_ema_multi_avg_fn(0.9)  # type: ignore[no-untyped-call]
    average = AveragedModel(ours, multi_avg_fn=decayed, use_buffers=True)
    for _ in range(5):
        average.update_parameters(ours)
    assert average.module.periods == PERIODS[:3]
    torch.testing.assert_close(average.module.eval()(batch), ours(batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize("periods", [(24,), (24, 24, 12), (24, 12, 1), (24, 12, 49)])
def test_periods_that_cannot_be_folded_by_are_refused(periods: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match="between 2 and the 48 steps"):
        TimesNet(SHAPE, hidden_size=8, top_k=3, periods=periods)


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


def test_a_constant_history_leaves_finite_gradients() -> None:
    ours, batch = make_ours(WindowShape(36, 12, 0, 0, 5)), make_batch(WindowShape(36, 12, 0, 0, 5))
    nn.init.zeros_(ours.extension.weight)
    nn.init.zeros_(ours.extension.bias)
    flat = torch.zeros_like(batch.history)
    ours(Batch(flat, batch.history_mask, batch.past, batch.known)).sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in ours.parameters() if p.grad is not None)


def test_the_strongest_waves_of_a_series_give_its_periods() -> None:
    steps = np.arange(2000)
    series = 0.5 * np.sin(2 * np.pi * steps / 12) + np.sin(2 * np.pi * steps / 24) + 0.01 * steps
    series[500:530] = np.nan
    assert set(dominant_periods(series, 192, 3)) == {24, 12, 192}


def test_neighbouring_frequencies_of_one_period_count_once() -> None:
    steps = np.arange(960)
    # Frequencies 37 and 38 of 192 steps both fold by 5; 24 is far weaker.
    waves = [a * np.sin(2 * np.pi * f * steps / 192) for f, a in [(37, 3), (38, 2), (8, 1)]]
    assert dominant_periods(np.sum(waves, axis=0), 192, 2) == (5, 24)


def test_a_history_shorter_than_a_window_has_no_periods() -> None:
    with pytest.raises(DataError, match="100 steps"):
        dominant_periods(np.ones(100), 192, 2)
