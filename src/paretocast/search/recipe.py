"""Parameters of data and training that are searched beside the architecture of a network.

Where networks correct a ridge, widths and depths move the MAE by some tenths of a percent; what the
network sees and how it is trained moves it more. Every network has these parameters; each can be
fixed, by its own setting or in `[space.MODEL]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretocast.search.space import Choice, FloatRange, IntRange, Space

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paretocast.search.space import Config, Value

ON, OFF, AUTO, NONE = "on", "off", "auto", "none"

RECIPE: Space = {
    "input_steps": Choice((48, 96, 168, 336, 672)),
    "weather": Choice((ON, OFF)),
    "weekly_lags": Choice((OFF, ON)),
    "history_share": Choice((0.5, 0.75, 1.0)),
    "transform": Choice((AUTO, NONE)),
    "anchor": Choice((AUTO, NONE)),
    "steps_factor": FloatRange(0.5, 3.0, log=True),
    "n_seeds": IntRange(1, 3),
}
DEFAULT_RECIPE: Config = {
    "input_steps": 168,
    "weather": ON,
    "weekly_lags": OFF,
    "history_share": 1.0,
    "transform": AUTO,
    "anchor": AUTO,
    "steps_factor": 1.0,
    "n_seeds": 1,
}


@dataclass(frozen=True)
class DataChoice:
    """The part of a recipe that says what a network sees.

    Attributes
    ----------
    input_steps : int or None
        Hours of history; those of the task for None.
    weather : bool
        Whether covariates are seen, by the anchor too.
    weekly_lags : bool
        Whether the target of one and of two weeks before stands beside every hour.
    history_share : float
        Share of the train windows to learn from, the newest, 0 to 1.
    transform, anchor : str or None
        As the settings have them; None for theirs.
    """

    input_steps: int | None = None
    weather: bool = True
    weekly_lags: bool = False
    history_share: float = 1.0
    transform: str | None = None
    anchor: str | None = None

    @classmethod
    def of(cls, config: Mapping[str, Value]) -> DataChoice:
        """The choice of a config; what it does not hold is left to the settings."""
        transform, anchor = config.get("transform", AUTO), config.get("anchor", AUTO)
        steps = config.get("input_steps")
        return cls(
            input_steps=None if steps is None else int(steps),
            weather=config.get("weather", ON) == ON,
            weekly_lags=config.get("weekly_lags", OFF) == ON,
            history_share=float(config.get("history_share", 1.0)),
            transform=None if transform == AUTO else str(transform),
            anchor=None if anchor == AUTO else str(anchor),
        )
