"""Windows on the device, the loss on them, and forecasts from them.

Axes as in `models.base`: B windows, H horizon steps, Q quantile levels; scaled units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from paretocast.errors import ForecastError, SettingsError
from paretocast.models.base import Batch, QuantileModel, WindowShape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.data.scaling import ScaledArrays
    from paretocast.models.anchor import Anchor

MOST_THREADS = 1024
EVALUATION_BATCH = 128  # the widest TimesNet needs 3.4 MiB a window


def resolve_device(name: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises
    ------
    SettingsError
        If CUDA is asked for and absent, or the name means nothing.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(
            f"device {name!r} is unknown, expected auto, cpu, cuda or cuda:N"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(
            f"device {name!r} was asked for, but no CUDA device is visible; use --device cpu"
        )
    if device.type not in {"cpu", "cuda"}:
        raise SettingsError(f"device {name!r} is not supported, expected auto, cpu, cuda or cuda:N")
    return device


def device_answers(device: torch.device) -> bool:
    """Return True if a device still computes; a GPU may fall out, or be broken by an error."""
    try:
        torch.zeros(1, device=device).add_(1.0).item()
    except RuntimeError:
        return False
    return True


def cuda_devices() -> tuple[str, ...]:
    """Names of the CUDA devices that this process sees (`CUDA_VISIBLE_DEVICES` is respected)."""
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))


def use_threads(n_threads: int) -> None:
    """Let this process compute on `n_threads` cores, in networks and in linear algebra.

    Raises
    ------
    SettingsError
        If they are more than `MOST_THREADS`: libraries crash over what the machine refuses.
    """
    if n_threads > MOST_THREADS:
        raise SettingsError(f"{n_threads} threads are asked for, expected at most {MOST_THREADS}")
    torch.set_num_threads(n_threads)
    threadpool_limits(n_threads, user_api="blas")


def seed_weights(seed: int) -> None:
    """Seed what initial weights and dropout draw from, in this process."""
    torch.manual_seed(seed)


class WindowSource:
    """The whole scaled series on one device, from which batches of windows are gathered.

    Parameters
    ----------
    anchor : Anchor, optional
        Of the same series and levels; without it batches have no anchor.

    Attributes
    ----------
    anchor : Anchor or None
        As given.
    """

    def __init__(
        self,
        arrays: ScaledArrays,
        *,
        input_steps: int,
        horizon_steps: int,
        device: str,
        anchor: Anchor | None = None,
        steps_per_hour: int = 1,
    ) -> None:
        self.device = resolve_device(device)
        self.input_steps = input_steps
        self.horizon_steps = horizon_steps
        self.steps_per_hour = steps_per_hour
        self._history = torch.from_numpy(arrays.history).to(self.device)
        self._history_mask = torch.from_numpy(arrays.history_mask).to(self.device)
        self._observed_mask = torch.from_numpy(arrays.observed_mask).to(self.device)
        self._past = torch.from_numpy(arrays.past).to(self.device)
        self._known = torch.from_numpy(arrays.known).to(self.device)
        ahead = arrays.ahead
        self._ahead = (
            None
            if ahead is None
            else [
                torch.from_numpy(part).to(self.device)
                for part in (ahead.columns, ahead.values, ahead.first)
            ]
        )
        last = arrays.last_hours
        self._last_hours = (
            None
            if last is None
            else [torch.from_numpy(p).to(self.device) for p in (last.history, last.history_mask)]
        )
        self.anchor = anchor
        parts = () if anchor is None else (anchor.points, anchor.spread, anchor.group)
        self._anchor_parts = [torch.from_numpy(part).to(self.device) for part in parts]
        self._history_offsets = torch.arange(-input_steps, 0, device=self.device)
        self._horizon_offsets = torch.arange(horizon_steps, device=self.device)

    def shape(self, n_levels: int) -> WindowShape:
        """Sizes that a model for these windows needs."""
        return WindowShape(
            input_steps=self.input_steps,
            horizon_steps=self.horizon_steps,
            n_past=self._past.shape[1],
            n_known=self._known.shape[1],
            n_levels=n_levels,
            steps_per_hour=self.steps_per_hour,
        )

    def inputs(self, positions: torch.Tensor) -> Batch:
        """Windows at issue positions (B,)."""
        past_hours = positions[:, None] + self._history_offsets
        history, history_mask = self._history[past_hours], self._history_mask[past_hours]
        if self._last_hours is not None:
            last, last_mask = (part[positions] for part in self._last_hours)
            history = _with_last(history, last)
            history_mask = _with_last(history_mask, last_mask)
        return Batch(
            history=history,
            history_mask=history_mask,
            past=self._past[past_hours],
            known=torch.cat([self._known[past_hours], self._known_ahead(positions)], dim=1),
            hours=past_hours,
            anchor=self._anchor_at(positions),
        )

    def _known_ahead(self, positions: torch.Tensor) -> torch.Tensor:
        """Features of the horizon (B, H, K), as known at issue positions (B,)."""
        known = self._known[positions[:, None] + self._horizon_offsets]
        if self._ahead is None:
            return known
        columns, values, first = self._ahead
        rows = first[positions][:, None] + self._horizon_offsets
        return known.index_copy(2, columns, values[rows])

    def _anchor_at(self, positions: torch.Tensor) -> torch.Tensor | None:
        """Anchors (B, H, Q) of the windows at issue positions (B,)."""
        if self.anchor is None:
            return None
        points, spread, group = self._anchor_parts
        return points[positions][:, :, None] + spread[group[positions]]

    def targets(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled target and its mask, both (B, H); the target is 0 where the mask is 0."""
        hours = positions[:, None] + self._horizon_offsets
        mask = self._observed_mask[hours]
        return self._history[hours] * mask, mask


def _with_last(history: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """History (B, L) with its last hours taken from others (B, D)."""
    n_steps = history.shape[1]
    return torch.cat([history[:, : max(0, n_steps - last.shape[1])], last], dim=1)[:, -n_steps:]


def pinball_loss(
    forecast: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, levels: torch.Tensor
) -> torch.Tensor:
    """Mean pinball loss over observed hours and levels, scaled units."""
    loss = pinball_losses(forecast, target, levels)
    return (loss * mask).sum() / mask.sum().clamp_min(1.0)


def pinball_losses(
    forecast: torch.Tensor, target: torch.Tensor, levels: torch.Tensor
) -> torch.Tensor:
    """Pinball loss of every hour, mean over levels, (B, H), scaled units."""
    miss = target[:, :, None] - forecast  # (B, H, Q)
    return torch.maximum(levels * miss, (levels - 1.0) * miss).mean(dim=-1)


def forecast_positions(
    model: QuantileModel, source: WindowSource, positions: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Forecasts of shape (N, H, Q) in scaled units; crossing removed by sorting.

    Raises
    ------
    ForecastError
        If a forecast is not finite.
    """
    if model.training:
        model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(positions), EVALUATION_BATCH):
            chunk = torch.from_numpy(positions[start : start + EVALUATION_BATCH]).to(source.device)
            parts.append(model(source.inputs(chunk)).float().sort(dim=-1).values.cpu())
    forecast = torch.cat(parts).numpy().astype(np.float64)
    if not np.isfinite(forecast).all():
        raise ForecastError("the model returned a forecast that is not finite")
    return forecast
