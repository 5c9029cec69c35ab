import pytest

from paretocast.errors import SettingsError
from paretocast.metrics.score_table import CALIBRATED_SCORES, score_forecast
from paretocast.search.objectives import (
    check_defined,
    known_objectives,
    parse_constraint,
    parse_constraints,
    parse_objectives,
    total_violation,
)
from paretocast.settings import load_settings


def test_every_score_with_a_better_side_can_be_searched_for() -> None:
    import numpy as np

    observed = np.array([[10.0, 12.0], [11.0, 9.0]])
    forecast = observed[..., None] + np.array([-1.0, 0.0, 1.0])
    scores = score_forecast(observed, forecast, levels=[0.1, 0.5, 0.9], seasonal_scale=1.0)
    assert {*scores, *CALIBRATED_SCORES} - {"picp", "calibrated_picp", "n"} == set(
        known_objectives()
    )


def test_objectives_keep_their_order_and_width_is_short_for_mean_width() -> None:
    names = [objective.name for objective in parse_objectives(("width", "mae"))]
    assert names == ["mean_width", "mae"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("mea",),
            "objective 'mea' is unknown, expected some of mae, coverage_error, .*mean_width",
        ),
        (("picp",), "picp has no good side.*coverage_error"),
        (("width", "mean_width"), "each once"),
        ((), "at least one score"),
        (("mae", "rmse", "crps", "winkler"), "4 objectives are given, expected at most 3"),
    ],
)
def test_objectives_that_cannot_be_used_are_named(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_objectives(names)


def test_a_score_that_grows_with_quality_is_turned_round() -> None:
    assert parse_objectives(("r2",))[0].value({"r2": 0.9}) == -0.9


@pytest.mark.parametrize("text", ["picp>=75", " picp  >= 75.0 "])
def test_a_requirement_is_read_with_or_without_blanks(text: str) -> None:
    assert str(parse_constraint(text)) == "picp >= 75"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picp", "not understood, expected SCORE >= NUMBER"),
        ("picp > 75", "not understood"),
        ("picp >= 75 %", "not understood"),
        ("coverage >= 75", "unknown score 'coverage', expected one of picp, calibrated_picp, mae"),
        ("n >= 75", "unknown score 'n'"),
        ("picp >= seventy", "bound 'seventy', expected a number"),
        ("picp >= nan", "bound 'nan', expected a number"),
    ],
)
def test_a_requirement_that_is_not_one_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_constraint(text)


def test_requirements_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SettingsError, match="'picp >= 85' and 'picp <= 75' exclude all"):
        parse_constraints(["picp<=75", "picp>=85"])
    with pytest.raises(SettingsError, match="give one"):
        parse_constraints(["picp>=75", "picp>=80"])
    assert len(parse_constraints(["picp>=75", "picp<=85"])) == 2


def test_a_violation_is_relative_to_its_bound_and_only_misses_add_up() -> None:
    constraints = parse_constraints(["picp >= 75", "width <= 0.5", "mae <= 1"])
    scores = {"picp": 60.0, "mean_width": 0.6, "mae": 0.1}
    assert [c.violation(scores) for c in constraints] == pytest.approx([0.2, 0.2, -0.9])
    assert total_violation(constraints, scores) == pytest.approx(0.4)


def test_a_requirement_is_met_at_its_bound() -> None:
    assert total_violation(parse_constraints(["picp >= 75"]), {"picp": 75.0}) == 0.0


def test_a_score_that_the_data_leave_undefined_is_refused_before_the_search() -> None:
    objectives, constraints = parse_objectives(("mae", "mape")), parse_constraints(["r2 >= 0.5"])
    scores = {"mae": 1.0, "mape": float("nan"), "r2": float("nan")}
    with pytest.raises(SettingsError, match="mape, r2 cannot be computed on the tune split"):
        check_defined(objectives, constraints, scores)
    check_defined(objectives[:1], (), scores)


def test_honest_stands_for_mae_and_the_calibrated_winkler_score_near_the_target() -> None:
    settings = load_settings(None, {"objectives": ("honest",), "target_coverage": 90.0})
    assert settings.objectives == ("mae", "calibrated_winkler")
    assert settings.require == ("calibrated_picp >= 85", "calibrated_picp <= 95")
