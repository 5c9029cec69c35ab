"""Search ranges, the configs in them, and both in Optuna's terms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from paretocast.errors import SettingsError
from paretocast.formatting import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

# Names of the samplers in `search.samplers`.
SAMPLERS = ("mfgp", "tpe", "gp", "nsga2", "nsga3", "random", "qmc")
DEFAULT_SAMPLER = "mfgp"

Value: TypeAlias = int | float | str
Config: TypeAlias = dict[str, Value]

# Joined to a parameter's name where its choices depend on another one: "num_attention_heads|48".
CONDITION = "|"


@dataclass(frozen=True)
class IntRange:
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int

    def distribution(self) -> BaseDistribution:
        """The range in Optuna's terms."""
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high)

    def holds(self, value: Value) -> bool:
        """Return True if `value` lies in the range."""
        return isinstance(value, int) and self.low <= value <= self.high

    def at(self, share: float) -> Value:
        """The value a share of the way through the range, 0 to 1; equal steps for each value."""
        return min(self.high, self.low + int(share * (self.high - self.low + 1)))

    def share(self, value: Value) -> float:
        """Position of a value in the range, 0 to 1: `at` of the share gives the value."""
        return (int(value) - self.low + 0.5) / (self.high - self.low + 1)

    def nearest(self, value: Value) -> Value | None:
        """The value of the range that is closest, or None for what is no number."""
        if isinstance(value, str):
            return None
        return min(self.high, max(self.low, round(value)))


@dataclass(frozen=True)
class FloatRange:
    """Real numbers from `low` to `high`; with `log`, equal ratios are equally likely."""

    low: float
    high: float
    log: bool = False

    def distribution(self) -> BaseDistribution:
        """The range in Optuna's terms."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=self.log)

    def holds(self, value: Value) -> bool:
        """Return True if `value` lies in the range."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    def at(self, share: float) -> Value:
        """The value a share of the way through the range, 0 to 1, on its scale."""
        if self.log:
            ratio: float = (self.high / self.low) ** share
            return min(self.high, self.low * ratio)
        return min(self.high, self.low + share * (self.high - self.low))

    def share(self, value: Value) -> float:
        """Position of a value in the range, 0 to 1, on its scale."""
        if self.low == self.high:
            return 0.5
        if self.log:
            return math.log(float(value) / self.low) / math.log(self.high / self.low)
        return (float(value) - self.low) / (self.high - self.low)

    def nearest(self, value: Value) -> Value | None:
        """The value of the range that is closest, or None for what is no number."""
        if isinstance(value, str):
            return None
        return min(self.high, max(self.low, float(value)))


@dataclass(frozen=True)
class Choice:
    """One of a few values, without order."""

    values: tuple[Value, ...]

    def distribution(self) -> BaseDistribution:
        """The choice in Optuna's terms."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)

    def holds(self, value: Value) -> bool:
        """Return True if `value` is among the choices."""
        return value in self.values

    def at(self, share: float) -> Value:
        """The choice a share of the way through the list, 0 to 1."""
        return self.values[min(len(self.values) - 1, int(share * len(self.values)))]

    def share(self, value: Value) -> float:
        """Position of a choice in the list, 0 to 1: `at` of the share gives the choice."""
        return (self.values.index(value) + 0.5) / len(self.values)

    def nearest(self, value: Value) -> Value | None:
        """The value itself, or None where it is not among the choices."""
        return value if self.holds(value) else None


Parameter: TypeAlias = IntRange | FloatRange | Choice
Space: TypeAlias = dict[str, Parameter]

# The key of a config that names its model, where a study searches several.
MODEL = "model"


@dataclass(frozen=True)
class Contest:
    """The spaces of several models that share a study; a config names its model under `MODEL`."""

    spaces: Mapping[str, Space]

    def of(self, config: Mapping[str, Value]) -> Space:
        """The space that a config was taken from."""
        return self.spaces[str(config[MODEL])]


AnySpace: TypeAlias = Space | Contest


def space_of(space: AnySpace, config: Mapping[str, Value]) -> Space:
    """The ranges of a config's own parameters, without those of other models."""
    return space.of(config) if isinstance(space, Contest) else space


def model_in(config: Mapping[str, Value], only: str) -> str:
    """The model that a config names; the only one of its study where it names none."""
    return str(config.get(MODEL, only))


def without_model(config: Mapping[str, Value]) -> Config:
    """The parameters of a config without the name of its model."""
    return {name: value for name, value in config.items() if name != MODEL}


def check_sampler(name: str) -> str:
    """Return the name of a sampler if there is one of that name.

    Raises
    ------
    SettingsError
        If there is not.
    """
    if name not in SAMPLERS:
        raise SettingsError(
            f"sampler {name!r} is unknown, expected one of {', '.join(SAMPLERS)}"
            f"{did_you_mean(name, SAMPLERS)}"
        )
    return name


def suggest_config(trial: Trial, space: Space) -> Config:
    """A point of the space, proposed by the study's sampler.

    Attention heads that do not divide the hidden size are never proposed.
    """
    heads = _head_choices(space)
    config: Config = {}
    for name, parameter in space.items():
        if name == "num_attention_heads" and heads is not None:
            hidden = config["hidden_size"]
            choices = heads[hidden]
            config[name] = _suggest_choice(trial, f"{name}{CONDITION}{hidden}", choices)
        else:
            config[name] = _suggest(trial, name, parameter)
    return config


def trial_parameters(config: Config, space: AnySpace) -> Config:
    """A config under the parameter names that `suggest_config` uses: the way to enqueue it.

    In a contest they carry the name of the model: models have ranges of their own.
    """
    if isinstance(space, Contest):
        own = trial_parameters(without_model(config), space.of(config))
        model = config[MODEL]
        return {MODEL: model, **{f"{model}.{name}": value for name, value in own.items()}}
    if _head_choices(space) is None:
        return dict(config)
    return {
        f"{name}{CONDITION}{config['hidden_size']}"
        if name == "num_attention_heads"
        else name: value
        for name, value in config.items()
    }


def parameter_ranges(space: AnySpace, config: Config) -> Space:
    """The ranges a config was taken from, under the names of `trial_parameters`."""
    if isinstance(space, Contest):
        own = parameter_ranges(space.of(config), without_model(config))
        model = config[MODEL]
        named = {f"{model}.{name}": parameter for name, parameter in own.items()}
        return {MODEL: Choice(tuple(space.spaces)), **named}
    heads = _head_choices(space)
    if heads is None:
        return dict(space)
    hidden = config["hidden_size"]
    return {
        f"{name}{CONDITION}{hidden}" if name == "num_attention_heads" else name: (
            Choice(heads[hidden]) if name == "num_attention_heads" else parameter
        )
        for name, parameter in space.items()
    }


def config_at(space: Space, shares: Sequence[float]) -> Config:
    """The point of the space a share of the way through each range, in the order of the space.

    >>> config_at({"a": IntRange(1, 4), "b": Choice((16, 32))}, [0.5, 0.99])
    {'a': 3, 'b': 32}
    """
    heads = _head_choices(space)
    config: Config = {}
    for (name, parameter), share in zip(space.items(), shares, strict=True):
        if name == "num_attention_heads" and heads is not None:
            config[name] = Choice(heads[config["hidden_size"]]).at(share)
        else:
            config[name] = parameter.at(share)
    return config


def shares_of(space: Space, config: Mapping[str, Value]) -> list[float]:
    """Coordinates of a config in the unit cube, in the order of the space.

    The inverse of `config_at`, but for heads that depend on the hidden size: their coordinate is
    that in the whole list, so that equal numbers of heads have the same one.

    >>> shares_of({"a": IntRange(1, 4), "b": Choice((16, 32))}, {"a": 3, "b": 32})
    [0.625, 0.75]
    """
    return [parameter.share(config[name]) for name, parameter in space.items()]


def nearest_config(space: Space, config: Mapping[str, Value]) -> tuple[Config, list[str]] | None:
    """The point of the space closest to a config of another one, and the changes it takes.

    Returns
    -------
    tuple or None
        The point and a few words for each value that was moved to the end of its range. None where
        a parameter is missing or a choice is not among those of the space; a parameter that the
        space does not have is dropped.
    """
    heads = _head_choices(space) or {}
    near: Config = {}
    changes = []
    for name, parameter in space.items():
        if name not in config or (value := parameter.nearest(config[name])) is None:
            return None
        if heads and name == "num_attention_heads" and value not in heads[near["hidden_size"]]:
            return None
        if value != config[name]:
            changes.append(f"{name} {config[name]} to {value}")
        near[name] = value
    return near, changes


def _suggest(trial: Trial, name: str, parameter: Parameter) -> Value:
    match parameter:
        case IntRange(low, high):
            return trial.suggest_int(name, low, high)
        case FloatRange(low, high, log):
            return trial.suggest_float(name, low, high, log=log)
        case Choice(values):
            return _suggest_choice(trial, name, values)


def _suggest_choice(trial: Trial, name: str, choices: tuple[Value, ...]) -> Value:
    # For Optuna a choice may also be None; ours never is.
    return cast("Value", trial.suggest_categorical(name, choices))


def check_space(space: Space) -> None:
    """Refuse a space with hidden sizes that no number of attention heads divides.

    Raises
    ------
    SettingsError
        If there is such a size, or if either of the two is a range.
    """
    _head_choices(space)


def _head_choices(space: Space) -> dict[Value, tuple[Value, ...]] | None:
    """Heads possible at each hidden size, or None where every pair is possible."""
    hidden, heads = space.get("hidden_size"), space.get("num_attention_heads")
    if hidden is None or heads is None:
        return None
    if not isinstance(hidden, Choice) or not isinstance(heads, Choice):
        raise SettingsError(
            "hidden_size and num_attention_heads must be lists of values: "
            "heads have to divide the hidden size"
        )
    possible: dict[Value, tuple[Value, ...]] = {
        size: tuple(n for n in heads.values if int(size) % int(n) == 0) for size in hidden.values
    }
    if impossible := [size for size, choices in possible.items() if not choices]:
        raise SettingsError(
            f"hidden_size {impossible[0]} is divisible by none of "
            f"num_attention_heads {list(heads.values)}"
        )
    if all(choices == heads.values for choices in possible.values()):
        return None
    return possible
