"""What every neural model promises, whatever it is inside."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from batches import make_batch, parts_of, window_of
from paretocast.models.base import Batch, QuantileModel, WindowShape, build_model
from paretocast.search.models import MODELS, networks
from paretocast.training import seed_weights

SHAPE = WindowShape(input_steps=48, horizon_steps=24, n_past=2, n_known=3, n_levels=5)
SHAPES = {
    "both kinds of covariates": SHAPE,
    "no past covariates": WindowShape(48, 24, 0, 3, 5),
    "no known covariates": WindowShape(48, 24, 2, 0, 5),
    "no covariates": WindowShape(48, 24, 0, 0, 5),
    "a horizon longer than the history": WindowShape(48, 96, 1, 2, 3),
    "an odd horizon": WindowShape(50, 7, 1, 2, 3),
}
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def on(batch: Batch, device: str) -> Batch:
    return Batch(**{name: part.to(device) for name, part in parts_of(batch).items()})


def make_model(name: str, shape: WindowShape = SHAPE, *, seed: int = 1) -> QuantileModel:
    seed_weights(seed)
    history = torch.sin(torch.arange(2000) * 2 * torch.pi / 24).numpy()
    return build_model(name, shape, MODELS[name].default, train_history=history)


@pytest.mark.parametrize("name", networks())
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_forecast_has_a_finite_value_per_window_step_and_level(
    name: str, shape: WindowShape
) -> None:
    forecast = make_model(name, shape)(make_batch(shape))
    assert forecast.shape == (6, shape.horizon_steps, shape.n_levels)
    assert torch.isfinite(forecast).all()


@pytest.mark.parametrize("name", networks())
def test_a_model_that_starts_at_the_anchor_forecasts_it_and_then_learns(name: str) -> None:
    model = make_model(name)
    anchor = torch.linspace(-1.0, 1.0, 6 * 24 * SHAPE.n_levels).reshape(6, 24, -1)
    batch = replace(make_batch(SHAPE), anchor=anchor)
    model.start_at_anchor()
    forecast = model(batch)
    torch.testing.assert_close(forecast, anchor)
    forecast.square().sum().backward()
    gradients = [layer.weight.grad for layer in model.output_layers()]
    assert any(gradient is not None and bool(gradient.any()) for gradient in gradients)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", networks())
def test_one_window_alone_is_forecast_as_in_a_batch(name: str, device: str) -> None:
    model, batch = make_model(name).eval().to(device), on(make_batch(SHAPE), device)
    with torch.inference_mode():
        together = model(batch)
        alone = torch.cat([model(window_of(batch, i)) for i in range(6)])
    # A GPU multiplies in TF32, ten bits of mantissa, and sums in an order that hangs on the batch.
    rtol, atol = (1e-3, 5e-4) if device == "cuda" else (1e-4, 1e-5)
    torch.testing.assert_close(alone, together, rtol=rtol, atol=atol)


@pytest.mark.parametrize("shape", [WindowShape(48, 24, 2, 3, 5), WindowShape(48, 24, 1, 0, 5)])
@pytest.mark.parametrize("name", networks())
def test_hours_that_windows_share_do_not_change_a_forecast(name: str, shape: WindowShape) -> None:
    draw = torch.Generator().manual_seed(0)
    target = torch.randn(400, generator=draw)
    past = torch.randn(400, shape.n_past, generator=draw)
    known = torch.randn(400, shape.n_known, generator=draw)
    issues = torch.tensor([48, 72, 96, 97, 300])[:, None]
    hours = issues + torch.arange(-48, 0)
    mask = torch.ones(hours.shape)
    covariates = (past[hours], known[issues + torch.arange(-48, 24)])
    model = make_model(name, shape).eval()
    with torch.inference_mode():
        shared = model(Batch(target[hours], mask, *covariates, hours=hours))
        apart = model(Batch(target[hours], mask, *covariates))
    torch.testing.assert_close(shared, apart, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", networks())
def test_a_seed_fixes_weights_and_dropout(name: str) -> None:
    first, second = (make_model(name, seed=5)(make_batch(SHAPE)) for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    other = make_model(name, seed=6)(make_batch(SHAPE))
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", networks())
def test_weights_survive_safetensors(name: str) -> None:
    model = make_model(name, seed=1).eval()
    copy = make_model(name, seed=2).eval()
    copy.load_state_dict(load(save(model.state_dict())))
    batch = make_batch(SHAPE)
    torch.testing.assert_close(copy(batch), model(batch), rtol=0, atol=0)


@pytest.mark.parametrize("name", networks())
def test_every_parameter_learns(name: str) -> None:
    model = make_model(name)
    model(make_batch(SHAPE)).square().mean().backward()
    idle = [key for key, value in model.named_parameters() if value.grad is None]
    assert idle == []


@pytest.mark.parametrize("name", networks())
@pytest.mark.parametrize("part", ["past", "known"])
def test_every_covariate_reaches_the_forecast(name: str, part: str) -> None:
    model, batch = make_model(name).eval(), make_batch(SHAPE)
    for column in range(getattr(batch, part).shape[2]):
        changed = {key: values.clone() for key, values in parts_of(batch).items()}
        changed[part][:, :, column] += 1.0
        assert not torch.allclose(model(Batch(**changed)), model(batch))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", networks())
def test_the_gpu_forecasts_like_the_cpu(name: str) -> None:
    model, batch = make_model(name).eval(), make_batch(SHAPE)
    with torch.inference_mode():
        expected = model(batch)
        torch.testing.assert_close(
            model.cuda()(on(batch, "cuda")).cpu(), expected, rtol=1e-3, atol=1e-4
        )
