"""The models that can be searched: one specification each, in one registry."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from paretocast.errors import SettingsError
from paretocast.registry import Registry
from paretocast.search.space import Choice, FloatRange, IntRange, check_space

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paretocast.search.space import Config, Parameter, Space


@dataclass(frozen=True)
class ModelSpec:
    """All that a model needs to be searched, trained and benchmarked.

    Attributes
    ----------
    name : str
        As commands, settings and files call it; letters, digits, dots, hyphens and underscores.
    build : callable or str
        Called as ``build(shape, architecture, train_history)`` for a freshly initialised
        `models.base.QuantileModel`; see `models.base.build_model` for the arguments. As
        "module:function" it is imported when the first model is built, not before.
    space : dict of str to Parameter
        Ranges to search. `lr`, the peak learning rate, is among them.
    default : dict of str to value
        The point of the space that a search starts with.
    optional_space : dict of str to Parameter
        Ranges of what is searched only where a settings file asks for it.
    batch_sizes : mapping of str to int
        Windows per gradient step on "cpu" and "cuda". On a CPU a step costs what its windows cost;
        a GPU computes hundreds at the price of a few.
    """

    name: str
    build: Callable[..., Any] | str
    space: Space
    default: Config
    optional_space: Space = field(default_factory=dict)
    batch_sizes: Mapping[str, int] = field(default_factory=lambda: {"cpu": 32, "cuda": 128})


MODELS: Registry[ModelSpec] = Registry("model")


def register_model(spec: ModelSpec) -> None:
    """Make a model known to settings, commands and benchmarks.

    Raises
    ------
    SettingsError
        If the name is taken, in whatever case, or cannot be part of a file's name, or if the space
        lacks `lr` or the default config.
    """
    if not re.fullmatch(r"[\w.-]+", spec.name):
        raise SettingsError(
            f"model {spec.name!r} cannot be part of a file's name; "
            "expected letters, digits, dots, hyphens and underscores"
        )
    if taken := _names_by_case().get(spec.name.casefold()):
        raise SettingsError(f"model {taken!r} exists already, expected another name")
    if "lr" not in spec.space:
        raise SettingsError(f"space of {spec.name} has no parameter lr, expected a range for it")
    check_space(spec.space)
    if not _holds(spec.space, spec.default):
        raise SettingsError(
            f"default config of {spec.name} is {spec.default}, "
            f"expected a value in the range of each of {', '.join(spec.space)}"
        )
    MODELS.add(spec.name, spec)


def model_name(name: str) -> str:
    """The registered name of a model, whatever its case.

    Raises
    ------
    SettingsError
        If there is no such model.
    """
    return MODELS[_names_by_case().get(name.casefold(), name)].name


def possible_parameters(model: str) -> Space:
    """Every parameter that a space of the model may have, the optional ones last."""
    return {**MODELS[model].space, **MODELS[model].optional_space}


def changed_space(model: str, changes: Mapping[str, Parameter]) -> Space:
    """The space of a model, narrowed, widened or extended.

    Raises
    ------
    SettingsError
        If a parameter is not one of the model's, or if nothing possible is left.
    """
    if unknown := sorted(set(changes) - set(possible_parameters(model))):
        raise SettingsError(
            f"space of {model} has no parameter {', '.join(unknown)}, expected some of "
            f"{', '.join(possible_parameters(model))}"
        )
    changed = {**MODELS[model].space, **changes}
    check_space(changed)
    return changed


def default_config(model: str, space: Space) -> Config | None:
    """The default config of a model, or None where the space has been changed past it."""
    config = MODELS[model].default
    return dict(config) if _holds(space, config) else None


def _names_by_case() -> dict[str, str]:
    return {name.casefold(): name for name in MODELS}


def _holds(space: Space, config: Config) -> bool:
    return set(config) == set(space) and all(space[k].holds(v) for k, v in config.items())


_LR = FloatRange(1e-5, 1e-2, log=True)
_DROPOUT = FloatRange(0.05, 0.4)
_WEIGHT_DECAY = FloatRange(1e-7, 1e-3, log=True)

register_model(
    ModelSpec(
        name="NHITS_Q",
        build="paretocast.models.nhits:build_nhits",
        space={
            "num_stacks": IntRange(2, 5),
            "num_blocks": IntRange(1, 3),
            "num_layers": IntRange(2, 4),
            "layer_widths": Choice((256, 512, 1024)),
            "lr": _LR,
            "dropout": _DROPOUT,
            "weight_decay": _WEIGHT_DECAY,
        },
        default={
            "num_stacks": 3,
            "num_blocks": 1,
            "num_layers": 2,
            "layer_widths": 256,
            "lr": 2e-3,
            "dropout": 0.1,
            "weight_decay": 1e-4,
        },
        batch_sizes={"cpu": 128, "cuda": 256},
    )
)
register_model(
    ModelSpec(
        name="TFT_Q",
        build="paretocast.models.tft:build_tft",
        space={
            "hidden_size": Choice((32, 64, 128, 256)),
            "lstm_layers": IntRange(1, 3),
            "num_attention_heads": Choice((2, 4, 8)),
            "dropout": _DROPOUT,
            "lr": _LR,
        },
        default={
            "hidden_size": 64,
            "lstm_layers": 1,
            "num_attention_heads": 4,
            "dropout": 0.1,
            "lr": 3e-3,
        },
        optional_space={"weight_decay": _WEIGHT_DECAY},
    )
)
register_model(
    ModelSpec(
        name="TIMESNET_Q",
        build="paretocast.models.timesnet:build_timesnet",
        space={
            "hidden_size": Choice((64, 128, 256)),
            "conv_hidden_size": Choice((32, 64, 128)),
            "top_k": IntRange(2, 5),
            "lr": _LR,
            "dropout": _DROPOUT,
        },
        default={
            "hidden_size": 64,
            "conv_hidden_size": 64,
            "top_k": 3,
            "lr": 1e-3,
            "dropout": 0.1,
        },
        optional_space={
            "weight_decay": _WEIGHT_DECAY,
            "num_kernels": IntRange(2, 8),
            "encoder_layers": IntRange(1, 4),
        },
    )
)
