"""Parameters of data and training that are searched beside the architecture of a network.

Where networks correct a ridge, widths and depths move the MAE by some tenths of a percent; what the
network sees and how it is trained moves it more. Every network has these parameters; each can be
fixed, by its own setting or in `[space.MODEL]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretocast.search.space import Choice, FloatRange, IntRange, Parameter, Space
from paretocast.steps import STEPS_PER_DAY, steps_of

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
# Of a daily series: history that a network sees, and lags of RIDGE. The others have the hours of an
# hourly one, in their own steps.
DAILY_LENGTHS: Space = {"input_steps": Choice((14, 28, 56, 112)), "lags": Choice((7, 14, 28, 56))}
DAILY_DEFAULTS: Config = {"input_steps": 28, "lags": 7}
# A network's time grows with the steps of its window: beyond these it is searched no further than a
# week.
MOST_INPUT_STEPS = 1344


def at_step(space: Space, steps_per_day: int) -> Space:
    """A space with its lengths of history in steps of a series.

    >>> at_step({"input_steps": Choice((48, 168, 672))}, 96)["input_steps"]
    Choice(values=(192, 672))
    """
    return {name: _length_at(name, parameter, steps_per_day) for name, parameter in space.items()}


def _length_at(name: str, parameter: Parameter, steps_per_day: int) -> Parameter:
    if steps_per_day == STEPS_PER_DAY or name not in DAILY_LENGTHS:
        return parameter
    if steps_per_day == 1:
        return DAILY_LENGTHS[name]
    if not isinstance(parameter, Choice):
        return parameter
    steps = [steps_of(int(hours), steps_per_day) for hours in parameter.values]
    most = max(MOST_INPUT_STEPS, 7 * steps_per_day)
    return Choice(tuple(n for n in steps if name != "input_steps" or n <= most))


def default_at_step(config: Config, steps_per_day: int) -> Config:
    """A default config with its lengths of history in steps of a series.

    >>> default_at_step({"input_steps": 168, "lr": 0.001}, 96)
    {'input_steps': 672, 'lr': 0.001}
    """
    if steps_per_day == STEPS_PER_DAY:
        return config
    if steps_per_day == 1:
        return config | {name: DAILY_DEFAULTS[name] for name in DAILY_DEFAULTS if name in config}
    lengths = {
        name: steps_of(int(config[name]), steps_per_day) for name in DAILY_LENGTHS if name in config
    }
    return config | lengths


@dataclass(frozen=True)
class DataChoice:
    """The part of a recipe that says what a network sees.

    Attributes
    ----------
    input_steps : int or None
        Steps of history; those of the task for None.
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
