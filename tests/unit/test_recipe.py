"""Parameters of data and training that are searched: what each of them changes."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch

from builders import make_series, make_task
from paretocast.data.features import weekly_lags
from paretocast.data.scaling import Transform
from paretocast.models.base import QuantileModel, SeedAverage, ShrunkModel
from paretocast.search.models import MODELS, default_config
from paretocast.search.recipe import DEFAULT_RECIPE, RECIPE
from paretocast.settings import TrainingSettings, TuneSettings, stored_settings
from paretocast.training import forecast_positions
from paretocast.training.setup import TrainingSetup, start_training

DEFAULT = {**DEFAULT_RECIPE, **MODELS["NHITS_Q"].default}


@pytest.fixture(scope="module")
def setup() -> TrainingSetup:
    training = TrainingSettings(steps=20, anchor="ridge")
    settings = TuneSettings(model="NHITS_Q", training=training)
    return TrainingSetup.from_settings(settings, make_task(), device="cpu")


def test_the_recipe_is_searched_unless_a_setting_or_the_list_fixes_it() -> None:
    assert set(RECIPE) < set(TuneSettings().space_of_model())
    fixed = TuneSettings.model_validate(
        {
            "training": {"transform": "none", "anchor": "none", "steps": 50},
            "task": {"input_steps": 96},
        }
    )
    left = set(fixed.space_of_model()) & set(RECIPE)
    assert left == {"weather", "weekly_lags", "history_share", "n_seeds"}
    assert not set(TuneSettings(recipe=()).space_of_model()) & set(RECIPE)
    one = TuneSettings.model_validate({"space": {"NHITS_Q": {"n_seeds": {"values": [3]}}}})
    assert one.space_of_model()["n_seeds"].holds(3)
    assert not one.space_of_model()["n_seeds"].holds(2)


def test_a_study_of_before_the_recipe_goes_on_without_it() -> None:
    stored = TuneSettings().model_dump(mode="json", exclude={"recipe"})
    settings = stored_settings(stored, origin="a file")
    assert set(settings.space_of_model()) == set(MODELS["NHITS_Q"].space)


def test_the_default_config_holds_the_recipe() -> None:
    assert default_config("NHITS_Q", TuneSettings().space_of_model()) == DEFAULT


def test_what_a_config_sees_is_what_it_says(setup: TrainingSetup) -> None:
    usual = setup.prepared(DEFAULT)
    assert setup.prepared(DEFAULT).source is usual.source
    shape = setup.prepared({**DEFAULT, "input_steps": 96}).source.shape(11)
    assert shape.input_steps == 96
    n_known = usual.source.shape(11).n_known
    assert setup.prepared({**DEFAULT, "weekly_lags": "on"}).source.shape(11).n_known == n_known + 2
    off = setup.prepared({**DEFAULT, "weather": "off"}).source.shape(11)
    assert (off.n_past, off.n_known) == (0, 10)  # the calendar is left
    half = setup.prepared({**DEFAULT, "history_share": 0.5}).train_positions
    assert len(half) == pytest.approx(len(usual.train_positions) / 2, abs=1)
    assert half[-1] == usual.train_positions[-1]
    assert setup.prepared({**DEFAULT, "transform": "none"}).scaling.transform is Transform.NONE
    assert not setup.prepared({**DEFAULT, "anchor": "none"}).anchored
    assert setup.prepared({**DEFAULT, "steps_factor": 2.0}).budget_steps == 40


def test_weekly_lags_are_known_at_the_issue() -> None:
    series = make_series()
    assert [f.name for f in weekly_lags(series, 24)] == ["weekly_lag_168", "weekly_lag_336"]
    assert [f.name for f in weekly_lags(series, 169)] == ["weekly_lag_336"]
    lag = weekly_lags(series, 24)[0].values
    np.testing.assert_array_equal(lag[168:], series.values[:-168])


def test_an_average_over_seeds_is_the_mean_of_networks_trained_side_by_side(
    setup: TrainingSetup,
) -> None:
    config = {**DEFAULT, "n_seeds": 2, "dropout": 0.0}
    prepared = setup.prepared(config)
    training = start_training(prepared, config, seed=1)
    training.advance(20)
    positions = setup.task.issues["tune"]
    with training.best_model(1.0) as model:
        both = forecast_positions(model, prepared.source, positions)
        assert isinstance(model, SeedAverage)
        networks = [cast("QuantileModel", network) for network in model.models]
        alone = [forecast_positions(m, prepared.source, positions) for m in networks]
    assert not np.allclose(alone[0], alone[1], atol=1e-3)
    np.testing.assert_allclose(both, np.mean(alone, axis=0), atol=1e-5)


def test_a_correction_that_harms_is_shrunk_to_nothing(setup: TrainingSetup) -> None:
    training = start_training(setup, DEFAULT, seed=1)
    generator = torch.Generator().manual_seed(0)
    for best in training._best:
        best.add_(torch.randn(best.shape, generator=generator), alpha=0.5)
    assert training.correction_share == 0.0
    assert setup.source.anchor is not None
    with training.best_model() as model:
        assert isinstance(model, ShrunkModel)
        forecast = forecast_positions(model, setup.source, setup.task.issues["tune"])
    expected = setup.source.anchor.quantiles(setup.task.issues["tune"])
    np.testing.assert_allclose(forecast, expected, atol=1e-5)
