"""Training and forecasting of every model: windows gathered on the device, one loop, one recipe."""

from paretocast.training.loop import Recipe, Training, TrainingDivergedError, TrainingInterrupted
from paretocast.training.windows import (
    WindowSource,
    cuda_devices,
    device_answers,
    forecast_positions,
    pinball_loss,
    pinball_losses,
    resolve_device,
    seed_weights,
    use_threads,
)

__all__ = [
    "Recipe",
    "Training",
    "TrainingDivergedError",
    "TrainingInterrupted",
    "WindowSource",
    "cuda_devices",
    "device_answers",
    "forecast_positions",
    "pinball_loss",
    "pinball_losses",
    "resolve_device",
    "seed_weights",
    "use_threads",
]
