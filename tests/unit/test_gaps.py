import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from paretocast.data.gaps import fill_from_past

gappy = arrays(
    np.float64,
    st.integers(1, 400),
    elements=st.one_of(st.just(float("nan")), st.floats(-5, 5, allow_nan=False)),
)


def test_a_missing_hour_takes_the_value_of_the_week_before() -> None:
    values = np.arange(200.0)
    values[190] = np.nan
    assert fill_from_past(values)[0][190] == 190 - 168


def test_where_the_week_before_is_missing_too_the_day_before_serves() -> None:
    values = np.arange(200.0)
    values[[22, 190]] = np.nan
    values[:22] = np.nan
    assert fill_from_past(values)[0][190] == 190 - 24


def test_a_gap_at_the_start_has_nothing_to_be_filled_from() -> None:
    filled, usable = fill_from_past(np.array([np.nan, 2.0]))
    assert np.isnan(filled[0])
    assert usable.tolist() == [False, True]


def test_only_the_first_hours_of_a_long_gap_are_filled() -> None:
    values = np.ones(40)
    values[20:35] = np.nan
    _, usable = fill_from_past(values, longest_steps=6)
    assert np.flatnonzero(~usable).tolist() == list(range(26, 35))


@given(gappy, st.data())
def test_a_fill_does_not_know_what_comes_later(
    values: NDArray[np.float64], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(values)))
    changed = values.copy()
    changed[cut:] = np.nan
    np.testing.assert_array_equal(fill_from_past(changed)[0][:cut], fill_from_past(values)[0][:cut])


@given(gappy)
def test_observed_values_are_never_changed(values: NDArray[np.float64]) -> None:
    observed = ~np.isnan(values)
    np.testing.assert_array_equal(fill_from_past(values)[0][observed], values[observed])
