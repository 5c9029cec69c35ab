from dataclasses import replace

import numpy as np
import pytest

from builders import make_series, make_task, with_values
from paretocast.data.features import input_limits
from paretocast.data.scaling import Transform, fit_target_scaling, scale_task
from paretocast.errors import DataError


@pytest.mark.parametrize("transform", list(Transform))
def test_unscaling_undoes_scaling(transform: Transform) -> None:
    values = np.array([0.0, 0.02, 1.5, 40.0])
    scaling = fit_target_scaling(values, transform)
    assert scaling.unscale(scaling.scale(values)) == pytest.approx(values, abs=1e-12)


def test_the_train_target_is_standardised() -> None:
    scaling = fit_target_scaling(np.array([1.0, 3.0, np.nan]), Transform.NONE)
    assert scaling.scale(np.array([1.0, 2.0, 3.0])).tolist() == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize("transform", list(Transform))
def test_ascending_quantiles_stay_ascending(transform: Transform) -> None:
    scaling = fit_target_scaling(np.array([0.5, 1.0, 9.0]), transform)
    unscaled = scaling.unscale(np.linspace(-4.0, 4.0, 50))
    assert (np.diff(unscaled) >= 0).all()
    assert (np.diff(unscaled[unscaled > 0.0]) > 0).all()


@pytest.mark.parametrize("transform", list(Transform))
def test_demand_that_was_never_negative_is_not_forecast_below_zero(transform: Transform) -> None:
    scaling = fit_target_scaling(np.array([0.0, 1.0, 9.0, np.nan]), transform)
    assert scaling.unscale(np.array([-30.0, -5.0])).tolist() == [0.0, 0.0]


def test_a_target_that_goes_below_zero_has_no_bound() -> None:
    scaling = fit_target_scaling(np.array([-1.0, 1.0, 9.0]), Transform.AUTO)
    assert (scaling.unscale(np.array([-30.0, -5.0])) < -1.0).all()


def test_log1p_refuses_a_negative_train_target() -> None:
    with pytest.raises(DataError, match="goes down to -1; use transform none"):
        fit_target_scaling(np.array([-1.0, 2.0]), Transform.LOG1P)


def test_a_constant_target_is_not_divided_by_zero() -> None:
    assert fit_target_scaling(np.full(5, 3.0), Transform.NONE).spread == 1.0


def test_scalers_see_nothing_after_the_train_period() -> None:
    series = make_series()
    task = make_task(series)
    values = series.values.copy()
    values[task.train_stop :] *= 100.0
    before, scaling = scale_task(task, Transform.NONE)
    after, scaling_after = scale_task(make_task(with_values(series, values)), Transform.NONE)
    assert scaling_after == scaling
    np.testing.assert_array_equal(
        before.history[: task.train_stop], after.history[: task.train_stop]
    )


def test_features_go_to_the_side_of_their_role() -> None:
    task = make_task()
    arrays, _ = scale_task(task, Transform.NONE)
    n_past = sum(not role.known_ahead for role in task.features.roles)
    assert n_past == 1
    assert arrays.past.shape[1] == n_past
    assert arrays.known.shape[1] == len(task.features.names) - n_past


def test_a_missing_hour_is_masked_in_the_loss_and_filled_in_the_history() -> None:
    series = make_series()
    values = series.values.copy()
    values[400:420] = np.nan
    arrays, _ = scale_task(make_task(with_values(series, values)), Transform.NONE)
    assert arrays.observed_mask[398:422].tolist() == [1, 1] + [0] * 20 + [1, 1]
    assert arrays.history_mask[398:422].tolist() == [1, 1] + [1] * 6 + [0] * 14 + [1, 1]
    assert (arrays.history[406:420] == 0).all()


@pytest.mark.parametrize("wild", [999.9, 1e9, -1e9])
def test_models_read_a_limit_instead_of_a_wild_value(wild: float) -> None:
    series = make_series()
    task = make_task(series)
    values = series.values.copy()
    values[task.train_stop + 10] = wild
    covariates = tuple(
        replace(c, values=np.where(np.arange(len(values)) == task.train_stop + 10, wild, c.values))
        for c in series.covariates
    )
    tamed, scaling = scale_task(
        make_task(replace(with_values(series, values), covariates=covariates)), Transform.NONE
    )
    plain, _ = scale_task(task, Transform.NONE)
    train = series.values[: task.train_stop]
    width = np.nanmax(train) - np.nanmin(train)
    limits = np.nanmin(train) - 3.0 * width, np.nanmax(train) + 3.0 * width
    assert scaling.limits == pytest.approx(limits)
    assert scaling.unscale(tamed.history[task.train_stop + 10]) == pytest.approx(
        max(limits[0], 0.0) if wild < 0.0 else min(limits[1], wild)
    )
    for own, other in ((tamed.known, plain.known), (tamed.past, plain.past)):
        seen = other[: task.train_stop]
        span = np.maximum(seen.max(axis=0) - seen.min(axis=0), 1.0 / 3.0)
        assert (own <= seen.max(axis=0) + 3.001 * span).all()
        assert (own >= seen.min(axis=0) - 3.001 * span).all()
    others = np.arange(len(plain.history)) != task.train_stop + 10
    assert tamed.history[others].tobytes() == plain.history[others].tobytes()


def test_values_within_three_widths_of_the_train_range_are_untouched() -> None:
    scaling = fit_target_scaling(np.array([10.0, 20.0]), Transform.NONE)
    inside = np.array([-20.0, 0.0, 50.0, np.nan])
    assert scaling.scale_inputs(inside).tobytes() == scaling.scale(inside).tobytes()
    assert scaling.scale_inputs(np.array([50.1])) < scaling.scale(np.array([50.1]))


def test_a_flag_that_was_never_up_may_go_up() -> None:
    assert input_limits(np.zeros(5)) == (-1.0, 1.0)
