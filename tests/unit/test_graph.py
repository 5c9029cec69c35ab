"""Steps as a CUDA graph; what needs a GPU is skipped without one."""

from __future__ import annotations

import pytest
import torch

from builders import make_task
from paretocast.data.scaling import Transform
from paretocast.search.models import MODELS, networks
from paretocast.settings import TrainingSettings, TuneSettings
from paretocast.training import Training
from paretocast.training.setup import TrainingSetup, start_training

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def make_training(name: str, *, device: str = "cuda", batch_size: int = 32) -> Training:
    training = TrainingSettings(
        steps=40, batch_size=batch_size, n_evaluations=4, anchor="none", transform=Transform.NONE
    )
    settings = TuneSettings(model=name, training=training, device=device)
    setup = TrainingSetup.from_settings(settings, make_task())
    return start_training(setup, MODELS[name].default, seed=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU captures whatever it is asked to")
def test_a_step_that_cannot_be_captured_is_taken_without_a_graph() -> None:
    plain = make_training("NHITS_Q", device="cpu")
    plain.advance(8)
    refused = make_training("NHITS_Q", device="cpu")
    refused.captures = True  # the CPU has no graphs
    refused.advance(8)
    assert not refused.captures
    for one, other in zip(plain.model.parameters(), refused.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@needs_gpu
@pytest.mark.parametrize("name", networks())
def test_a_graph_trains_as_its_kernels_would_one_by_one(name: str) -> None:
    captured = make_training(name)
    captured.advance(40)
    eager = make_training(name)
    eager.captures = False
    eager.advance(40)
    assert captured.captures
    assert captured.stop_losses == eager.stop_losses


@needs_gpu
@pytest.mark.parametrize("name", networks())
def test_a_training_continues_on_a_gpu_where_it_would_have_been(name: str) -> None:
    whole = make_training(name)
    whole.advance(17)
    whole.advance(40)
    first = make_training(name)
    first.advance(17)
    content = first.checkpoint()
    second = make_training(name)
    second.restore(content)
    second.advance(40)
    assert second.stop_losses == whole.stop_losses


@needs_gpu
def test_a_batch_of_fewer_windows_is_trained_without_a_graph() -> None:
    training = make_training("NHITS_Q", batch_size=100_000)
    training.advance(6)
    assert not training.captures
    assert training.step == 6
