from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import make_series, make_task, with_values
from checkpoints import Change, rewritten_checkpoint
from paretocast.data.scaling import Transform, scale_task
from paretocast.data.task import Task
from paretocast.errors import SettingsError, StoreError
from paretocast.metrics.scores import pinball
from paretocast.models.base import Batch
from paretocast.models.nhits import NHITS
from paretocast.training import (
    Recipe,
    Training,
    TrainingDivergedError,
    TrainingInterrupted,
    WindowSource,
    forecast_positions,
    pinball_loss,
    resolve_device,
    seed_weights,
)

LEVELS = (0.1, 0.5, 0.9)
RECIPE = Recipe(steps=30, lr=3e-3, weight_decay=1e-4, batch_size=32, n_evaluations=6)


def make_training(recipe: Recipe = RECIPE, *, task: Task | None = None, seed: int = 1) -> Training:
    task = task or make_task()
    arrays, _ = scale_task(task, Transform.NONE)
    source = WindowSource(arrays, input_steps=48, horizon_steps=24, device="cpu")
    seed_weights(seed)
    model = NHITS(
        source.shape(len(LEVELS)),
        num_stacks=2,
        num_blocks=1,
        num_layers=2,
        layer_widths=32,
        dropout=0.2,
    )
    return Training(
        model,
        source,
        recipe=recipe,
        levels=LEVELS,
        train_positions=task.issues["train"],
        stop_positions=task.issues["stop"],
        seed=seed,
    )


def weights(training: Training) -> dict[str, torch.Tensor]:
    with training.best_model() as model:
        return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same_weights(first: Training, second: Training) -> None:
    for name, value in weights(first).items():
        torch.testing.assert_close(weights(second)[name], value, rtol=0, atol=0)


def test_training_lowers_the_loss_on_windows_it_never_saw() -> None:
    training = make_training(replace(RECIPE, steps=60, patience=10))
    training.advance(60)
    losses = [loss for _, loss in training.stop_losses]
    assert losses[-1] < 0.7 * losses[0]


def test_the_same_seed_gives_the_same_weights() -> None:
    first = make_training()
    first.advance(30)
    second = make_training()
    second.advance(30)
    assert_same_weights(first, second)
    assert first.stop_losses == second.stop_losses


def test_a_training_continued_from_a_checkpoint_ends_bit_for_bit_where_it_would_have() -> None:
    whole = make_training()
    whole.advance(30)
    begun = make_training()
    with pytest.raises(TrainingInterrupted):
        begun.advance(30, should_stop=lambda: begun.step == 13)
    kept = begun.checkpoint()
    continued = make_training(seed=99)
    continued.restore(kept)
    continued.advance(30)
    assert_same_weights(whole, continued)
    assert continued.stop_losses == whole.stop_losses


def test_a_damaged_checkpoint_is_refused() -> None:
    training = make_training()
    training.advance(2)
    with pytest.raises(StoreError, match="cannot be continued"):
        make_training().restore(training.checkpoint()[:-100])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("step", lambda progress, _: progress.pop("step")),
        ("step", lambda progress, _: progress.update(step="x")),
        ("step", lambda progress, _: progress.update(step=-5)),
        ("order", lambda _, tensors: tensors.update(order=tensors["order"].double())),
        ("order", lambda _, tensors: tensors.update(order=tensors["order"] + 10_000)),
        ("", lambda _, tensors: tensors.update({"random.cpu": torch.empty(0)})),
        ("", lambda _, tensors: tensors.update(generator=torch.empty(0))),
    ],
)
def test_a_checkpoint_of_other_content_is_refused_even_with_its_digest(
    name: str, change: Change
) -> None:
    training = make_training()
    training.advance(2)
    content = rewritten_checkpoint(training.checkpoint(), change)
    with pytest.raises(StoreError, match=f"cannot be continued: .*{name}"):
        make_training().restore(content)


def test_a_request_to_stop_is_honoured_after_the_step_under_way() -> None:
    training = make_training()
    with pytest.raises(TrainingInterrupted):
        training.advance(30, should_stop=lambda: training.step >= 7)
    assert training.step == 7


def test_the_stop_split_is_judged_where_an_advance_ends() -> None:
    # Else a rung would be scored with weights from before it, at first the initial ones.
    training = make_training()
    initial = weights(training)
    training.advance(3)
    assert training.stop_losses[-1][0] == 3
    changed = weights(training)
    assert any(not torch.equal(changed[name], value) for name, value in initial.items())


def test_training_ends_when_the_stop_split_no_longer_improves() -> None:
    training = make_training(replace(RECIPE, steps=400, lr=0.0, n_evaluations=40, patience=3))
    training.advance(400)
    assert training.finished
    assert training.step == 40  # one judgement, then three that do not improve


def test_the_weights_kept_are_those_that_were_best_on_the_stop_split() -> None:
    training = make_training(replace(RECIPE, steps=60, lr=3e-2))
    training.advance(60)
    assert training.best_stop_loss == min(loss for _, loss in training.stop_losses)
    assert (training.best_step, training.best_stop_loss) in training.stop_losses


def test_the_best_weights_fit_the_model_when_only_a_share_of_its_correction_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Training, "correction_share", 0.5)
    training = make_training()
    training.advance(6)
    weights = training.best_weights()
    assert set(weights) == set(training.model.state_dict())
    training.model.load_state_dict(weights)


def test_a_training_that_diverges_says_at_which_learning_rate() -> None:
    training = make_training(replace(RECIPE, lr=1e30))
    with pytest.raises(TrainingDivergedError, match=r"learning rate of 1e\+30"):
        training.advance(30)


def test_a_batch_accumulated_from_parts_has_the_gradient_of_the_whole() -> None:
    series = make_series()
    values = series.values.copy()
    values[24 * 20 : 24 * 23] = np.nan  # parts hold different numbers of observed hours
    task = make_task(with_values(series, values))
    whole = make_training(task=task)
    parts = make_training(replace(RECIPE, micro_batch=5), task=task)
    for training in (whole, parts):
        training.model.eval()  # without dropout the two are the same sum
        training._accumulate_gradients(torch.arange(24 * 19, 24 * 19 + 32))
    for first, second in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad, rtol=1e-4, atol=1e-7)


def test_memory_that_runs_out_halves_the_part_and_the_step_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = make_training()
    forward = training.model.forward

    def short_of_memory(batch: Batch) -> torch.Tensor:
        if training.model.training and len(batch.history) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(batch)

    monkeypatch.setattr(training.model, "forward", short_of_memory)
    training.advance(3)
    assert training.step == 3
    assert training.micro_batch == 8


def test_an_error_that_is_not_about_memory_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    training = make_training()

    def broken(batch: Batch) -> torch.Tensor:
        raise RuntimeError("shapes disagree")

    monkeypatch.setattr(training.model, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes disagree"):
        training.advance(1)


def test_every_training_window_is_seen_once_per_pass() -> None:
    training = make_training()
    n_batches = len(make_task().issues["train"]) // RECIPE.batch_size
    seen = torch.cat([training._next_positions() for _ in range(n_batches)])
    assert len(set(seen.tolist())) == len(seen)


def test_a_missing_target_never_enters_the_loss() -> None:
    series = make_series()
    values = series.values.copy()
    values[30 * 24 : 30 * 24 + 5] = np.nan
    training = make_training(task=make_task(with_values(series, values)))
    target, mask = training.source.targets(torch.tensor([30 * 24]))
    forecast = torch.zeros(1, 24, 3)
    before = pinball_loss(forecast, target, mask, torch.tensor(LEVELS))
    forecast[0, :5] = 1e6
    assert pinball_loss(forecast, target, mask, torch.tensor(LEVELS)) == before


def test_the_loss_is_the_mean_pinball_score_of_what_was_observed() -> None:
    rng = np.random.default_rng(0)
    observed, forecast = rng.normal(size=(4, 24)), rng.normal(size=(4, 24, 3))
    observed[1, 3:9] = np.nan
    loss = pinball_loss(
        torch.tensor(forecast),
        torch.tensor(np.nan_to_num(observed)),
        torch.tensor(~np.isnan(observed), dtype=torch.float64),
        torch.tensor(LEVELS, dtype=torch.float64),
    )
    assert float(loss) == pytest.approx(pinball(observed, forecast, levels=LEVELS).mean())


def test_forecasts_ascend_in_their_levels() -> None:
    training = make_training()
    forecast = forecast_positions(training.model, training.source, make_task().issues["tune"])
    assert (np.diff(forecast, axis=-1) >= 0).all()


@pytest.mark.parametrize("name", ["gpu", "tpu:0", "meta"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="expected auto, cpu, cuda or cuda:N"):
        resolve_device(name)
