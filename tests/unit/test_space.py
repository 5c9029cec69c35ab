import optuna
import pytest

from paretocast.errors import SettingsError
from paretocast.search.models import MODELS, changed_space, default_config, model_name, unfit_part
from paretocast.search.space import (
    Choice,
    Config,
    FloatRange,
    IntRange,
    Space,
    Value,
    config_at,
    suggest_config,
    trial_parameters,
)


def proposals(space: Space, n: int = 60) -> list[Config]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [suggest_config(study.ask(), space) for _ in range(n)]


@pytest.mark.parametrize("model", MODELS)
def test_proposals_lie_in_the_space(model: str) -> None:
    for config in proposals(MODELS[model].space):
        assert set(config) == set(MODELS[model].space)
        assert all(MODELS[model].space[name].holds(value) for name, value in config.items())


@pytest.mark.parametrize("model", MODELS)
def test_the_default_config_lies_in_the_space(model: str) -> None:
    assert default_config(model, MODELS[model].space) == MODELS[model].default


def test_a_default_outside_a_narrowed_space_is_not_used() -> None:
    space = changed_space("NHITS_Q", {"num_stacks": IntRange(4, 5)})
    assert default_config("NHITS_Q", space) is None


def test_heads_that_do_not_divide_the_hidden_size_are_never_proposed() -> None:
    space = changed_space(
        "TFT_Q", {"hidden_size": Choice((48, 60)), "num_attention_heads": Choice((3, 5, 8))}
    )
    seen = {(c["hidden_size"], c["num_attention_heads"]) for c in proposals(space)}
    assert seen == {(48, 3), (48, 8), (60, 3), (60, 5)}


def test_a_config_survives_the_way_through_conditional_names() -> None:
    space = changed_space(
        "TFT_Q", {"hidden_size": Choice((48, 60)), "num_attention_heads": Choice((3, 5))}
    )
    config = proposals(space, 1)[0]
    study = optuna.create_study()
    study.enqueue_trial(trial_parameters(config, space))
    assert suggest_config(study.ask(), space) == config


def test_a_hidden_size_without_any_possible_heads_is_refused() -> None:
    with pytest.raises(SettingsError, match="hidden_size 50 is divisible by none"):
        changed_space(
            "TFT_Q", {"hidden_size": Choice((50,)), "num_attention_heads": Choice((4, 8))}
        )


def test_an_unknown_parameter_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="no parameter widht, expected some of num_stacks"):
        changed_space("NHITS_Q", {"widht": FloatRange(0, 1)})


def test_model_names_ignore_case() -> None:
    assert model_name("nhits_q") == "NHITS_Q"
    with pytest.raises(SettingsError, match="NHITS_Q, TFT_Q, TIMESNET_Q"):
        model_name("PROPHET")


@pytest.mark.parametrize("model", MODELS)
def test_the_default_and_any_point_of_the_space_fit_a_model(model: str) -> None:
    spec = MODELS[model]
    assert unfit_part(model, spec.default) == ""
    assert unfit_part(model, config_at(spec.space, [0.9] * len(spec.space))) == ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lr": "x"}, "lr is 'x', expected such as 0.002"),
        ({"lr": True}, "lr is True"),
        ({"layer_widths": 16}, ""),  # beyond the range of today
        ({"num_blocks": 2.0}, ""),
        ({"num_blocks": 1.5}, "num_blocks is 1.5, expected such as 1"),
        ({"n_seeds": 3, "weather": "on"}, ""),  # of the recipe
        ({"width": 1}, "width is no parameter of NHITS_Q"),
    ],
)
def test_a_config_that_was_read_has_the_parameters_of_its_model(
    changes: dict[str, Value], told: str
) -> None:
    found = unfit_part("NHITS_Q", {**MODELS["NHITS_Q"].default, **changes})
    assert found.startswith(told)
    assert bool(found) == bool(told)


def test_a_config_without_a_parameter_is_none_of_its_model() -> None:
    config = {name: v for name, v in MODELS["RIDGE"].default.items() if name != "lags"}
    assert unfit_part("RIDGE", config) == "lags is missing"
