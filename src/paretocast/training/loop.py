"""The training loop: one recipe for every model, interruptible at any step.

A `Training` advances to any step and can be saved and continued bit for bit: parameters,
optimizer, schedule, weight average, random state and the order of windows are its state.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim.lr_scheduler import OneCycleLR

from paretocast.errors import ForecastError, StoreError
from paretocast.models.base import ShrunkModel
from paretocast.training.graph import STEPS_BEFORE_CAPTURE, GradientGraph
from paretocast.training.stored_tensors import content_digest, separate_tensors
from paretocast.training.windows import EVALUATION_BATCH, WindowSource, pinball_loss, pinball_losses
from paretocast.workspace.stored import Amount, Count, Positive, StoredFile, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from paretocast.models.base import QuantileModel

STEPS_PER_AVERAGING = 4  # reading all weights in every step costs more than it teaches
# Shares of a correction that are compared on the stop split, the whole one first.
CORRECTION_SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
# Whatever the readers of a checkpoint raise over bytes that are not what they were.
_DAMAGED = (
    *(AttributeError, IndexError, KeyError, OverflowError, RecursionError, RuntimeError),
    *(SafetensorError, TypeError, ValueError),
)


class ProgressPart(StoredFile):
    """Progress of a training in its checkpoint, beside the tensors."""

    step: Count
    best_step: Count
    best_stop_loss: float | None
    stop_losses: list[Annotated[list[float], Field(min_length=2, max_length=2)]]
    fit_seconds: Amount
    cursor: Count
    averaged_step: Count
    micro_batch: Positive
    schedule: dict[str, Any]
    groups: list[dict[str, Any]]


class TrainingDivergedError(ForecastError):
    """The loss is no longer a number."""


class TrainingInterrupted(Exception):  # noqa: N818  (a request honoured, not an error)
    """The caller asked to stop; the training can be saved and continued."""


@dataclass(frozen=True)
class Recipe:
    """Settings of a training, the same for every model.

    Attributes
    ----------
    steps : int
        Gradient steps of the full budget; the one-cycle schedule ends there.
    lr : float
        Peak learning rate.
    micro_batch : int or None
        Windows computed at once; a batch is accumulated from as many as it takes. Halved where
        memory runs out. None for the whole batch.
    average_share : float
        Span of the exponential moving average of weights, as a share of `steps`.
    n_evaluations, patience : int
        The loss on the stop split is evaluated `n_evaluations` times; training ends after
        `patience` evaluations without improvement.
    """

    steps: int
    lr: float
    weight_decay: float
    batch_size: int = 128
    micro_batch: int | None = None
    clip_norm: float = 1.0
    warmup_share: float = 0.3
    average_share: float = 0.1
    n_evaluations: int = 10
    patience: int = 4

    @property
    def steps_between_evaluations(self) -> int:
        """Gradient steps from one evaluation of the stop split to the next."""
        return max(1, self.steps // self.n_evaluations)


class Training:
    """Training of one model up to its budget of gradient steps.

    Attributes
    ----------
    captures : bool
        True where steps run as a CUDA graph; false on a CPU and where capturing has failed.
    """

    def __init__(
        self,
        model: QuantileModel,
        source: WindowSource,
        *,
        recipe: Recipe,
        levels: Sequence[float],
        train_positions: NDArray[np.intp],
        stop_positions: NDArray[np.intp],
        seed: int,
    ) -> None:
        self.model = model.to(source.device)
        self.source = source
        self.recipe = recipe
        self.micro_batch = recipe.micro_batch or recipe.batch_size
        self.step = 0
        self.best_step = 0
        self.best_stop_loss = math.inf
        self.stop_losses: list[tuple[int, float]] = []
        self.fit_seconds = 0.0
        self.captures = source.device.type == "cuda"
        self._graph: GradientGraph | None = None
        self._levels = torch.tensor(levels, dtype=torch.float32, device=source.device)
        self._train = torch.from_numpy(train_positions).to(source.device)
        self._stop = torch.from_numpy(stop_positions).to(source.device)
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
        )
        self._schedule = OneCycleLR(
            self._optimizer,
            max_lr=recipe.lr,
            total_steps=recipe.steps,
            pct_start=recipe.warmup_share,
        )
        self._weights = [parameter.detach() for parameter in self.model.parameters()]
        self._average = [weight.clone() for weight in self._weights]
        self._best = [weight.clone() for weight in self._weights]
        self._generator = torch.Generator(device="cpu").manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long, device=source.device)
        self._cursor = 0
        self._averaged_step = 0
        self._share_of_step = (-1, 1.0)  # best step and the share found for it

    @property
    def finished(self) -> bool:
        """True once the budget is spent or patience has run out."""
        return self.step >= self.recipe.steps or self._patience_is_out()

    def advance(
        self,
        to_step: int,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        on_progress: Callable[[int, float], None] = lambda _step, _loss: None,
    ) -> None:
        """Train up to `to_step`, or until patience runs out.

        Parameters
        ----------
        should_stop : callable
            Asked after every step; True raises `TrainingInterrupted` with the training intact.
        on_progress : callable
            Called with the step and the stop-split loss (scaled units) at every evaluation.

        Raises
        ------
        TrainingDivergedError
            If the stop-split loss is not a number.
        """
        started = time.perf_counter()
        try:
            last_step = min(to_step, self.recipe.steps)
            while self.step < last_step and not self._patience_is_out():
                self._take_step()
                if self.step % self.recipe.steps_between_evaluations == 0 or self.step == last_step:
                    on_progress(self.step, self._evaluate())
                if should_stop():
                    raise TrainingInterrupted
        finally:
            self.fit_seconds += time.perf_counter() - started

    @contextmanager
    def best_model(self, share: float | None = None) -> Iterator[QuantileModel]:
        """Temporarily swap in the averaged weights that were best on the stop split.

        Parameters
        ----------
        share : float, optional
            Of the correction of the anchor that is used; `correction_share` without it.
        """
        if share is None:
            share = self.correction_share
        with self._with_weights(self._best):
            yield self.model if share == 1.0 else ShrunkModel(self.model, share)

    @property
    def correction_share(self) -> float:
        """Share of its correction of the anchor that serves best on the stop split, 0 to 1.

        After a short train period a correction may do harm; at 0 the anchor alone is left. 1
        without an anchor.
        """
        if self.source.anchor is None:
            return 1.0
        if self._share_of_step[0] != self.best_step:
            with self._with_weights(self._best):
                losses = [self._stop_loss(share) for share in CORRECTION_SHARES]
            best = CORRECTION_SHARES[losses.index(min(losses))]
            self._share_of_step = (self.best_step, best)
        return self._share_of_step[1]

    def best_weights(self) -> dict[str, torch.Tensor]:
        """A copy of the state of the model with the weights of `best_model`, whatever its share."""
        with self._with_weights(self._best):
            return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def checkpoint(self, *, note: str = "") -> bytes:
        """Everything `restore` needs, in the safetensors format, with a note of the caller."""
        tensors = {
            **_prefixed("model", self.model.state_dict()),
            **_numbered("average", self._average),
            **_numbered("best", self._best),
            **_prefixed("random", _random_states(self.source.device)),
            "generator": self._generator.get_state(),
            "order": self._order,
        }
        for index, moments in self._optimizer.state_dict()["state"].items():
            tensors |= _prefixed(f"optimizer.{index}", moments)
        progress = {
            "step": self.step,
            "best_step": self.best_step,
            "best_stop_loss": None if math.isinf(self.best_stop_loss) else self.best_stop_loss,
            "stop_losses": self.stop_losses,
            "fit_seconds": self.fit_seconds,
            "cursor": self._cursor,
            "averaged_step": self._averaged_step,
            "micro_batch": self.micro_batch,
            "schedule": {
                key: value for key, value in self._schedule.state_dict().items() if _is_plain(value)
            },
            "groups": [
                {key: value for key, value in group.items() if _is_plain(value)}
                for group in self._optimizer.state_dict()["param_groups"]
            ],
        }
        separate = separate_tensors(tensors)
        texts = {"progress": json.dumps(progress), "note": note}
        return save(separate, metadata={**texts, "sha256": content_digest(separate, texts)})

    def restore(self, content: bytes) -> str:
        """Continue where `checkpoint` was called, bit for bit; return its note.

        Raises
        ------
        StoreError
            If the content is damaged or belongs to another config.
        """
        try:
            tensors = load(content)
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            texts = dict(header["__metadata__"])
            if texts.pop("sha256", "") != content_digest(tensors, texts):
                raise ValueError("its SHA-256 is not that of its content")
            progress, note = json.loads(texts["progress"]), str(texts["note"])
            check(progress, ProgressPart, origin="the checkpoint cannot be continued: its progress")
            order = tensors["order"].to(self.source.device)
            outside = (order < 0) | (order >= len(self._train))
            if order.dtype != torch.int64 or bool(outside.any()):
                raise ValueError("its order is not one of these windows")
            self.model.load_state_dict(_without_prefix("model", tensors))
            for name, weights in (("average", self._average), ("best", self._best)):
                for index, weight in enumerate(weights):
                    weight.copy_(tensors[f"{name}.{index}"])
            state = self._optimizer.state_dict()
            indices = sorted(
                {int(name.split(".")[1]) for name in tensors if name.startswith("optimizer.")}
            )
            state["state"] = {
                index: _without_prefix(f"optimizer.{index}", tensors) for index in indices
            }
            for group, saved in zip(state["param_groups"], progress["groups"], strict=True):
                group.update(saved)
            self._optimizer.load_state_dict(state)
            self._schedule.load_state_dict(progress["schedule"])
            self._generator.set_state(tensors["generator"])
            _set_random_states(_without_prefix("random", tensors), self.source.device)
        except _DAMAGED as error:
            raise StoreError(f"the checkpoint cannot be continued: {error}") from error
        self.step, self.best_step = progress["step"], progress["best_step"]
        self.best_stop_loss = (
            math.inf if progress["best_stop_loss"] is None else progress["best_stop_loss"]
        )
        self.stop_losses = [(step, loss) for step, loss in progress["stop_losses"]]
        self.fit_seconds, self._cursor = progress["fit_seconds"], progress["cursor"]
        self.micro_batch = progress["micro_batch"]
        self._averaged_step = progress["averaged_step"]
        self._order = order
        return note

    def _take_step(self) -> None:
        self.model.train()
        positions = self._next_positions()
        if len(positions) < self.recipe.batch_size:  # fewer windows than a batch asks for
            self.captures, self._graph = False, None
        if self._graph is None and self.captures and self.step >= STEPS_BEFORE_CAPTURE:
            self._capture(positions)
        if self._graph is None:
            self._compute_gradients(positions)
        else:
            self._graph.replay(positions)
        self._optimizer.step()
        self._schedule.step()
        self.step += 1
        if self.step - self._averaged_step == STEPS_PER_AVERAGING:
            self._update_average()

    def _capture(self, positions: torch.Tensor) -> None:
        """Make a graph of what a step computes; go on without one where that fails."""

        def compute(batch: torch.Tensor) -> None:
            self._accumulate_gradients(batch)
            self._clip_gradients()

        self._optimizer.zero_grad(set_to_none=True)
        try:
            self._graph = GradientGraph(compute, positions)
        except RuntimeError:
            self.captures = False

    def _compute_gradients(self, positions: torch.Tensor) -> None:
        """Clipped gradients of a batch, kernel by kernel."""
        while True:
            self._optimizer.zero_grad(set_to_none=True)
            try:
                self._accumulate_gradients(positions)
                break
            except RuntimeError as error:
                # torch.OutOfMemoryError is one; the CPU has none of its own.
                self._halve_micro_batch(error)
        self._clip_gradients()

    def _clip_gradients(self) -> None:
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        norm = get_total_norm(gradients)
        # Looking at the norm saves a pass over all gradients; on CUDA it would make the host wait.
        if self.source.device.type == "cuda" or norm > self.recipe.clip_norm:
            clip_grads_with_norm_(self.model.parameters(), self.recipe.clip_norm, norm)

    def _update_average(self) -> None:
        """Bring the weight average up to the present step."""
        # The average is young at first: (1 + t) / (10 + t) keeps the initial weights out of it.
        span = max(2.0, self.recipe.average_share * self.recipe.steps)
        decay = min(1.0 - 1.0 / span, (1.0 + self.step) / (10.0 + self.step))
        n_steps = self.step - self._averaged_step
        torch._foreach_lerp_(self._average, self._weights, 1.0 - decay**n_steps)
        self._averaged_step = self.step

    def _accumulate_gradients(self, positions: torch.Tensor) -> None:
        """Gradients of the batch's mean loss, computed in parts that fit into memory."""
        _, mask = self.source.targets(positions)
        n_observed = mask.sum().clamp_min(1.0)
        for part in torch.split(positions, self.micro_batch):
            target, part_mask = self.source.targets(part)
            with torch.autocast("cuda", torch.bfloat16, enabled=self.source.device.type == "cuda"):
                forecast = self.model(self.source.inputs(part))
            losses = pinball_losses(forecast.float(), target, self._levels) * part_mask
            loss = losses.sum() / n_observed
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types

    def _halve_micro_batch(self, error: RuntimeError) -> None:
        """Halve the micro batch where memory ran out; raise any other error."""
        out_of_memory = isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
        if not out_of_memory or self.micro_batch == 1:
            raise error
        self.micro_batch = max(1, self.micro_batch // 2)
        if self.source.device.type == "cuda":
            torch.cuda.empty_cache()

    def _next_positions(self) -> torch.Tensor:
        """The next batch of a fresh shuffle per pass; a short rest is joined to the next pass."""
        if self._cursor + self.recipe.batch_size > len(self._order):
            rest = self._order[self._cursor :]
            shuffled = torch.randperm(len(self._train), generator=self._generator)
            self._order = torch.cat([rest, shuffled.to(self.source.device)])
            self._cursor = 0
        batch = self._order[self._cursor : self._cursor + self.recipe.batch_size]
        self._cursor += self.recipe.batch_size
        return self._train[batch]

    def _evaluate(self) -> float:
        """Stop-split loss of the averaged weights; remembers the best."""
        self._update_average()
        with self._with_weights(self._average):
            loss = self._stop_loss()
        if not math.isfinite(loss):
            raise TrainingDivergedError(
                f"the stop-split loss is {loss} after {self.step} steps "
                f"at a peak learning rate of {self.recipe.lr:g}"
            )
        self.stop_losses.append((self.step, loss))
        if loss < self.best_stop_loss:
            self.best_stop_loss = loss
            self.best_step = self.step
            torch._foreach_copy_(self._best, self._average)
        return loss

    def _stop_loss(self, share: float = 1.0) -> float:
        """Mean pinball loss on the stop split, crossing removed, scaled units.

        Parameters
        ----------
        share : float
            Of the correction of the anchor.
        """
        self.model.eval()
        model = self.model if share == 1.0 else ShrunkModel(self.model, share)
        total = torch.zeros((), device=self.source.device)
        weight = torch.zeros((), device=self.source.device)
        with torch.inference_mode():
            for chunk in torch.split(self._stop, EVALUATION_BATCH):
                target, mask = self.source.targets(chunk)
                forecast = model(self.source.inputs(chunk)).sort(dim=-1).values
                total += pinball_loss(forecast, target, mask, self._levels) * mask.sum()
                weight += mask.sum()
        return float(total / weight.clamp_min(1.0))

    @contextmanager
    def _with_weights(self, weights: Sequence[torch.Tensor]) -> Iterator[None]:
        """Temporarily swap in other weights of the model (no copy)."""
        for parameter, weight in zip(self.model.parameters(), weights, strict=True):
            parameter.data = weight
        try:
            with warnings.catch_warnings():
                # Weights that lie apart cost a recurrent network of cuDNN one copy per call.
                warnings.filterwarnings("ignore", "RNN module weights are not part of single")
                yield
        finally:
            for parameter, weight in zip(self.model.parameters(), self._weights, strict=True):
                parameter.data = weight

    def _patience_is_out(self) -> bool:
        since_best = (self.step - self.best_step) // self.recipe.steps_between_evaluations
        return bool(self.stop_losses) and since_best >= self.recipe.patience


def _is_plain(value: object) -> bool:
    """Return True if JSON can hold a value."""
    return (
        value is None
        or isinstance(value, bool | int | float | str)
        or (isinstance(value, list | tuple) and all(_is_plain(item) for item in value))
    )


def _prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _numbered(prefix: str, tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{index}": tensor for index, tensor in enumerate(tensors)}


def _without_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    start = f"{prefix}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def _random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """States of the generators that dropout draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_random_states(states: Mapping[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
