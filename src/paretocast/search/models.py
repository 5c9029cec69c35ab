"""The models that can be searched: one specification each, in one registry.

A model is a network, which is trained step by step, or a fitted one such as the ridge, which is
there at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from paretocast.errors import SettingsError
from paretocast.registry import Registry
from paretocast.search.recipe import (
    AUTO,
    DEFAULT_RECIPE,
    NONE,
    OFF,
    ON,
    RECIPE,
    at_step,
    default_at_step,
)
from paretocast.search.space import MODEL, Choice, FloatRange, IntRange, check_space
from paretocast.steps import STEPS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from paretocast.search.space import Config, Parameter, Space, Value


@dataclass(frozen=True)
class ModelSpec:
    """All that a model needs to be searched, trained and benchmarked.

    Attributes
    ----------
    name : str
        As commands, settings and files call it; letters, digits, dots, hyphens and underscores.
    build : callable, str or None
        Of a network. Called as ``build(shape, architecture, train_history)`` for a freshly
        initialised `models.base.QuantileModel`; see `models.base.build_model` for the arguments.
        As "module:function" it is imported when the first model is built, not before.
    space : dict of str to Parameter
        Ranges to search. Those of a network hold `lr`, the peak learning rate.
    default : dict of str to value
        The point of the space that a search starts with.
    optional_space : dict of str to Parameter
        Ranges of what is searched only where a settings file asks for it.
    batch_sizes : mapping of str to int
        Windows per gradient step on "cpu" and "cuda". On a CPU a step costs what its windows cost;
        a GPU computes hundreds at the price of a few.
    fit : callable, str or None
        Of a fitted model, in place of `build`. Called as ``fit(task, config, until)`` for a
        `models.baselines.base.Baseline`; `until` is the position after the last hour to learn
        from, None for the end of the train split.
    cost : float
        Time of a default trial on a CPU, that of NHITS_Q being 1: models in one study share its
        time.
    """

    name: str
    build: Callable[..., Any] | str | None
    space: Space
    default: Config
    optional_space: Space = field(default_factory=dict)
    batch_sizes: Mapping[str, int] = field(default_factory=lambda: {"cpu": 32, "cuda": 128})
    fit: Callable[..., Any] | str | None = None
    cost: float = 1.0

    @property
    def is_network(self) -> bool:
        """True for a model that is trained step by step."""
        return self.build is not None

    def default_at(self, steps_per_day: int) -> Config:
        """The default config for a series of so many steps a day."""
        return dict(default_at_step(self.default, steps_per_day))


MODELS: Registry[ModelSpec] = Registry("model")
ALL = "ALL"  # the label of a study of every model
JOIN = "+"  # between the names of several


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
    if (spec.build is None) == (spec.fit is None):
        raise SettingsError(f"model {spec.name} needs either build or fit")
    if MODEL in spec.space or spec.name.casefold() == ALL.casefold():
        raise SettingsError(f"model {spec.name}: {MODEL} and {ALL} are taken, expected other names")
    if spec.is_network and "lr" not in spec.space:
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


def networks() -> tuple[str, ...]:
    """Names of the models that are trained step by step."""
    return tuple(name for name, spec in MODELS.items() if spec.is_network)


def model_label(text: str) -> str:
    """The label of one model, of several or of all, in the order of the registry.

    Raises
    ------
    SettingsError
        If there is no such model.

    Examples
    --------
    >>> model_label("nhits_q"), model_label("all"), model_label("ridge,NHITS_Q")
    ('NHITS_Q', 'ALL', 'NHITS_Q+RIDGE')
    """
    if text.casefold() == ALL.casefold():
        return ALL
    named = {model_name(part.strip()) for part in re.split(r"[,+]", text)}
    return JOIN.join(name for name in MODELS if name in named)


def models_of(label: str) -> tuple[str, ...]:
    """The models of a label."""
    return tuple(MODELS) if label == ALL else tuple(label.split(JOIN))


def has_several(label: str) -> bool:
    """Return True if a label is that of several models."""
    return len(models_of(label)) > 1


def possible_parameters(model: str) -> Space:
    """Every parameter that a space of the model may have, the optional ones last."""
    spec = MODELS[model]
    recipe = RECIPE if spec.is_network else {}
    return {**spec.space, **recipe, **spec.optional_space}


def changed_space(
    model: str,
    changes: Mapping[str, Parameter],
    *,
    recipe: Sequence[str] = (),
    steps_per_day: int = STEPS_PER_DAY,
) -> Space:
    """The space of a model, narrowed, widened or extended.

    Parameters
    ----------
    recipe : sequence of str
        Parameters of `RECIPE` that are searched too, of a network.
    steps_per_day : int
        Of the series: lengths of history are in its steps, those of `changes` too.

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
    spec = MODELS[model]
    searched = {name: RECIPE[name] for name in recipe} if spec.is_network else {}
    changed = {**at_step({**spec.space, **searched}, steps_per_day), **changes}
    check_space(changed)
    return changed


def default_config(model: str, space: Space, steps_per_day: int = STEPS_PER_DAY) -> Config | None:
    """The default config of a model, or None where the space has been changed past it."""
    spec = MODELS[model]
    recipe = {name: value for name, value in DEFAULT_RECIPE.items() if name in space}
    config = {**recipe, **spec.default} if spec.is_network else spec.default
    config = default_at_step(config, steps_per_day)
    return dict(config) if _holds(space, config) else None


def unfit_part(model: str, config: Mapping[str, Value]) -> str:
    """The fault by which a config that was read is none of a model; empty where it can be built.

    Its values may lie beyond the ranges of today.

    >>> unfit_part("RIDGE", {**MODELS["RIDGE"].default, "lags": "x"})
    "lags is 'x', expected such as 168"
    """
    possible = possible_parameters(model)
    for name, default in MODELS[model].default.items():
        if name not in config:
            return f"{name} is missing"
        parameter = possible[name]
        examples = parameter.values if isinstance(parameter, Choice) else (default,)
        if not any(_is_like(config[name], example) for example in examples):
            return f"{name} is {config[name]!r}, expected such as {default}"
    if unknown := sorted(set(config) - set(possible)):
        return f"{unknown[0]} is no parameter of {model}"
    return ""


def _is_like(value: Value, example: Value) -> bool:
    """Return True if a value is of the kind of another one: a text, a truth, a whole number."""
    if isinstance(example, bool | str):
        return isinstance(value, type(example))
    if isinstance(value, bool | str):
        return False
    return isinstance(example, float) or value == int(value)


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
        cost=7.0,
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
        cost=20.0,
    )
)
_SHARE = Choice((0.5, 0.75, 1.0))

register_model(
    ModelSpec(
        name="RIDGE",
        build=None,
        fit="paretocast.models.fitted:fit_linear",
        space={
            "penalty_factor": FloatRange(0.1, 10.0, log=True),
            "lags": Choice((24, 48, 168, 336)),
            "weather": Choice((ON, OFF)),
            "transform": Choice((AUTO, NONE)),
            "history_share": _SHARE,
        },
        default={
            "penalty_factor": 1.0,
            "lags": 168,
            "weather": ON,
            "transform": AUTO,
            "history_share": 1.0,
        },
        cost=0.2,
    )
)
register_model(
    ModelSpec(
        name="LIGHTGBM",
        build=None,
        fit="paretocast.models.fitted:fit_boosted",
        space={
            "learning_rate": FloatRange(0.02, 0.15, log=True),
            "num_leaves": IntRange(6, 63),
            "min_data_in_leaf": IntRange(20, 200),
            "feature_fraction": FloatRange(0.3, 1.0),
            "weather": Choice((ON, OFF)),
            "transform": Choice((AUTO, NONE)),
            "anchor": Choice((AUTO, NONE)),
            "history_share": _SHARE,
        },
        default={
            "learning_rate": 0.06,
            "num_leaves": 31,
            "min_data_in_leaf": 60,
            "feature_fraction": 0.7,
            "weather": ON,
            "transform": AUTO,
            "anchor": AUTO,
            "history_share": 1.0,
        },
        cost=0.7,
    )
)
