from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import paretocast
from outcomes import complete, failed, outcome_of
from paretocast.data import load_dataset
from paretocast.metrics.interval_quality import IntervalQuality
from paretocast.report import StudyReport, series_page, study_page
from paretocast.report.parameters import parameter_parts
from paretocast.report.search import search_parts
from paretocast.report.trials import trial_table
from paretocast.search.objectives import DEFAULT_OBJECTIVES, parse_objectives
from paretocast.search.selection import Selection, TrialState
from paretocast.settings import TuneSettings
from paretocast.study.choice import Choice
from paretocast.study.importances import Importance
from paretocast.study.outcome import best_params, summarise
from paretocast.study.study import StudyResult
from paretocast.training.trial import TrialRecord

SCHEMA = json.loads(
    (Path(paretocast.__file__).parent / "best_params.schema.json").read_text(encoding="utf-8")
)
TRIALS = (
    replace(
        complete(0, 0.1416, 82.0, mean_width=0.46, n=2856.0),
        picp_interval=(79.5, 84.2),
        config={"lr": 0.001234, "num_stacks": 3},
    ),
    replace(failed(1, reason="the loss is not finite"), config={"lr": 0.01}),
)
REFERENCES = {"seasonal_naive_24": {"mae": 0.177, "picp": 75.3}}
SELECTION = Selection(0, "compatible-coverage", "knee", "no trial's coverage is compatible")


def report(
    records: Sequence[TrialRecord] = TRIALS,
    *,
    front: Sequence[int] = (0,),
    places: Mapping[int, float] | None = None,
    references: Mapping[str, Mapping[str, float]] = REFERENCES,
    importances: dict[str, Importance] | None = None,
    feasible: bool = True,
    objectives: Sequence[str] = DEFAULT_OBJECTIVES,
    **settings: object,
) -> StudyReport:
    """A study that has chosen trial 0, or nothing where the front is empty."""
    outcome = outcome_of(
        records,
        front=front,
        chosen=0,
        places=places,
        references=references,
        objectives=objectives,
        selection=SELECTION,
        feasible=feasible,
    )
    return StudyReport(
        StudyResult("trials", outcome if front else None, tuple(records), importances or {}),
        TuneSettings().model_copy(
            update={"model": "NHITS_Q", "objectives": objectives, **settings}
        ),
        unit="kWh/h",
        dataset="heat",
        job_id="a1",
        notes=("Weather is observed.",),
    )


class _Tags(HTMLParser):
    """Tags of a page outside its scripts, with what they load, and its visible words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_a_page_loads_nothing_and_forbids_it() -> None:
    page = study_page(report(importances={"mae": Importance({"lr": 1.0}, {"lr": 0.6})}))
    assert all(address.startswith("#") for address in _Tags(page).loaded)
    assert "default-src 'none'" in page
    assert page.count("plotly.js v") == 1


def test_every_link_of_the_page_leads_to_a_part_of_it_and_no_id_is_used_twice() -> None:
    page = study_page(report())
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    targets = {address.removeprefix("#") for address in _Tags(page).loaded}
    assert targets <= set(ids)
    assert {"outcome", "search", "parameters"} <= targets


def test_the_front_page_gives_each_number_its_unit_and_uncertainty() -> None:
    text = _Tags(study_page(report())).text
    assert "MAE (kWh/h) 0.1416" in text
    assert "82.0 %" in text
    assert "95 % interval 79.5 to 84.2 · target 80 %" in text
    assert "2856 observed hours" in text
    assert "Weather is observed." in text


def test_the_front_page_says_which_rule_chose_and_why() -> None:
    text = _Tags(study_page(report())).text
    assert "No trial's coverage is compatible." in text
    assert "The policy asked for was compatible-coverage; the rule knee chose." in text


def test_the_front_page_lists_the_front_with_its_parameters() -> None:
    text = _Tags(study_page(report())).text
    assert "lr num_stacks" in text
    assert "0 ★ chosen 0.1416 82.0 79.5 to 84.2 0.4600 0.00123 3" in text


def test_models_that_share_a_study_have_their_parameters_in_one_column() -> None:
    one = replace(TRIALS[0], config={"model": "RIDGE", "lags": 24})
    other = replace(TRIALS[0], number=8, config={"model": "LIGHTGBM", "leaves": 31, "lr": 0.1})
    text = _Tags(trial_table([one, other], None, unit="kWh", objectives=())).text
    assert "model parameters 0 0.1416" in text
    assert "RIDGE lags 24 8" in text
    assert "LIGHTGBM leaves 31, lr 0.1" in text
    alone = _Tags(trial_table([one], None, unit="kWh", objectives=())).text
    assert "model lags 0 0.1416" in alone


def test_figures_of_a_column_share_their_decimals() -> None:
    other = replace(TRIALS[0], number=8, scores={**TRIALS[0].scores, "mae": 0.153})
    text = _Tags(trial_table([TRIALS[0], other], None, unit="", objectives=())).text
    assert "0.1416" in text
    assert "0.1530" in text


def test_the_gain_over_the_best_reference_is_stated() -> None:
    text = _Tags(study_page(report())).text
    assert "20.0 % below seasonal naive 24" in text
    assert "does not beat" not in text


def test_a_front_that_loses_to_references_says_so() -> None:
    better = {"ridge": {"mae": 0.10, "picp": 80.0}, "mean": {"mae": 0.12, "picp": 80.0}}
    text = _Tags(study_page(report(references={**REFERENCES, **better}))).text
    assert "The chosen trial does not beat ridge and mean on MAE of the tune split." in text


def test_a_front_that_is_not_sure_says_what_its_marks_mean_and_lists_the_ties() -> None:
    tied = replace(TRIALS[0], n_seeds=3, standard_errors={"mae": 0.0031})
    beside = replace(tied, number=7, n_seeds=1)
    text = _Tags(study_page(report((tied, beside), places={0: 0.62, 7: 0.2}))).text
    assert "Hollow marks are statistical ties." in text
    assert "0 ★ chosen 0.1416 ± 0.0031 82.0 79.5 to 84.2 0.4600 3 62 0.00123 3" in text
    assert "Tied with the front 1 trial off the front that no others beat significantly" in text
    assert "7 0.1416 ± 0.0031 82.0 79.5 to 84.2 0.4600 20" in text


def test_other_objectives_have_their_own_panels_columns_and_meaning() -> None:
    scored = replace(TRIALS[0], scores={**TRIALS[0].scores, "crps": 0.0987})
    objectives = ("mae", "crps", "mean_width")
    page = study_page(report((scored, TRIALS[1]), objectives=objectives))
    text = _Tags(page).text
    assert 'id="tradeoffs"' in page
    assert "mean width (kWh/h) CRPS (kWh/h)" in text
    assert "no other is as good in MAE, CRPS and mean width and better in one of them" in text
    assert "blue steps" not in text
    assert "edge of the front" not in page


def test_a_single_objective_has_a_front_of_one_and_a_page() -> None:
    text = _Tags(study_page(report(objectives=("crps",)))).text
    assert "The front is the trial with the best CRPS." in text


def test_a_front_that_misses_its_requirements_says_so() -> None:
    require = ("picp >= 90", "mean_width <= 0.3")
    text = _Tags(study_page(report(require=require, feasible=False))).text
    assert "No trial meets picp >= 90 and mean_width <= 0.3." in text
    assert "among those that meet picp >= 90 and mean_width <= 0.3" in text


def test_repeats_are_counted_beside_the_trials() -> None:
    repeated = replace(TRIALS[0], n_seeds=3)
    assert "1 complete, 1 failed; 2 repeats with other seeds" in search_text((repeated, TRIALS[1]))


def test_a_study_without_a_complete_trial_has_a_page_that_says_so() -> None:
    text = _Tags(study_page(report(TRIALS[1:], front=()))).text
    assert "nothing is chosen" in text
    assert "the loss is not finite" in text


def search_text(records: Sequence[TrialRecord] = TRIALS) -> str:
    return _Tags("".join(search_parts(report(records)))).text


def test_the_reason_of_every_failure_is_given() -> None:
    assert "1 complete, 1 failed" in search_text()
    assert "1 the loss is not finite lr 0.01" in search_text()


def test_the_page_says_what_importance_chance_alone_may_give() -> None:
    records = [complete(number, 0.1, 80.0) for number in range(12)]
    chances = {"lr": 0.61, "dropout": 0.72}
    importances = {
        "mae": Importance({"lr": 0.53, "dropout": 0.47}, chances),
        "coverage_error": Importance({"lr": 0.1, "dropout": 0.9}, chances),
    }
    parts = parameter_parts(report(records, importances=importances))
    text = _Tags("".join(parts)).text
    assert (
        "MAE: no parameter is told apart from chance. The longest bar is that of lr (53 %" in text
    )
    assert "by chance up to 61 %" in text
    assert ": dropout (90 %, by chance up to 72 %) stands out. The others are not" in text


def test_markup_in_any_name_reads_as_text() -> None:
    nasty = "<img src=x onerror=alert(1)>"
    records = [
        replace(TRIALS[0], config={nasty: nasty}),
        replace(failed(1, reason=nasty), config={nasty: nasty}),
        *(replace(TRIALS[0], number=number) for number in range(2, 12)),
    ]
    plain = report(
        records,
        references={nasty: {"mae": 0.5, "picp": 80.0}},
        importances={"mae": Importance({nasty: 1.0}, {nasty: 0.6})},
        model=nasty,
    )
    result = plain.result
    assert result.outcome is not None
    selection = Selection(0, policy=nasty, rule=nasty + "2", reason=nasty)
    result = replace(result, outcome=replace(result.outcome, selection=selection))
    study = replace(plain, result=result, dataset=nasty, job_id=nasty, unit=nasty, notes=(nasty,))
    page = study_page(study)
    assert nasty not in page
    assert "img" not in _Tags(page).tags


def test_the_page_of_a_series_names_its_splits() -> None:
    page = series_page(load_dataset("demo"))
    assert _Tags(page).loaded == []
    for split in ("train", "stop", "tune", "calibrate", "test"):
        assert f'"name":"{split}"' in page


def scores(mae: float, picp: float) -> dict[str, float]:
    return {
        "mae": mae, "rmse": 0.2, "mape": float("nan"), "mase": 0.8, "r2": 0.9, "pinball": 0.05,
        "crps": 0.1, "picp": picp, "mean_width": 0.5, "winkler": 0.7,
        "coverage_error": abs(picp - 80.0),
        "n": 240.0,
    }  # fmt: skip


def record(number: int, mae: float, picp: float) -> TrialRecord:
    return TrialRecord(
        number=number,
        state=TrialState.COMPLETE,
        config={"lr": 0.001, "layer_widths": 256},
        seed=number,
        scores=scores(mae, picp),
        picp_interval=(picp - 2.0, picp + 2.0),
        fit_seconds=36.0,
    )


RECORDS = (
    record(0, 0.15, 79.0),
    record(1, 0.14, 88.0),
    TrialRecord(number=2, state=TrialState.FAILED, config={"lr": 0.01}, seed=2, reason="diverged"),
)


def study_result() -> StudyResult:
    outcome = summarise(
        RECORDS,
        objectives=parse_objectives(DEFAULT_OBJECTIVES),
        policy="compatible-coverage",
        target_coverage=80.0,
        baselines={"seasonal_naive_24": scores(0.19, 75.0)},
    )
    return StudyResult("trials", outcome, RECORDS, {})


def test_the_page_of_a_study_is_made_from_its_result() -> None:
    page = study_page(
        StudyReport(study_result(), TuneSettings(), unit="kWh", dataset="demo", job_id="a1")
    )
    text = _Tags(page).text
    assert "trial 0" in text
    assert "21.1 % below seasonal naive 24" in text
    assert "diverged" in text
    assert "2 scored trials are too few" in page


def choice(picp: float) -> Choice:
    """A choice of trial 0, whose interval covers so much once calibrated."""
    qualities = {
        "trial 0": IntervalQuality(picp, picp - 3.0, picp + 3.0, np.ones(4)),
        "ridge": IntervalQuality(79.0, 76.0, 82.0, np.ones(4)),
    }
    losses = {"trial 0": 0.05, "ridge": 0.06}
    return Choice("trial 0", (), {"NHITS_Q": 0}, losses, {0: "NHITS_Q"}, qualities, 80.0)


def with_choice(study: StudyReport, picp: float) -> StudyReport:
    return replace(study, result=replace(study.result, choice=choice(picp)))


def test_a_recommended_method_that_misses_the_target_is_said_in_red() -> None:
    page = study_page(with_choice(report(), 70.0))
    red = '<strong style="color: var(--vermilion)">The recommended method misses the target'
    assert red in page
    assert "contains 70.0 % of the observations of the calibrate split" in _Tags(page).text
    assert red not in study_page(with_choice(report(), 81.0))


def test_the_coverage_of_every_candidate_stands_beside_its_loss() -> None:
    text = _Tags(study_page(with_choice(report(), 81.0))).text
    assert "recommended 0.05000 81.0 78.0 to 84.0" in text
    assert "ridge 0.06000 +20.0 % 79.0 76.0 to 82.0" in text


def test_a_chosen_trial_whose_interval_excludes_the_target_is_said_in_red() -> None:
    low = replace(TRIALS[0], scores={**TRIALS[0].scores, "picp": 68.4}, picp_interval=(65.0, 71.0))
    text = _Tags(study_page(report((low,)))).text
    assert "Trial 0 misses the target coverage of 80 %." in text
    assert "contains too few observations of the tune split: 68.4 %" in text
    assert "misses the target" not in _Tags(study_page(report())).text


def document() -> dict[str, Any]:
    outcome = study_result().outcome
    assert outcome is not None
    content = best_params(
        outcome,
        identity={
            "model": "NHITS_Q", "dataset": "demo", "job_id": "a1", "strategy": "single-stage",
            "study_name": "NHITS_Q_demo_a1", "storage_path": "study_NHITS_Q_demo_a1.db",
            "manifest_hash": "0f" * 32,
        },
        objectives=("mae", "coverage_error"),
        optimization_date="2026-01-02T03:04:05+00:00",
    )  # fmt: skip
    plain: dict[str, Any] = json.loads(json.dumps(content).replace("NaN", "null"))
    return plain


def errors(content: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return sorted(error.message for error in validator.iter_errors(content))


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_result_follows_the_schema() -> None:
    assert errors(document()) == []


@pytest.mark.parametrize("key", sorted(SCHEMA["required"]))
def test_a_result_without_a_key_is_refused(key: str) -> None:
    content = document()
    del content[key]
    assert errors(content) == [f"{key!r} is a required property"]


def test_every_key_of_the_schema_is_required_but_those_that_earlier_versions_lack() -> None:
    assert set(SCHEMA["properties"]) - set(SCHEMA["required"]) == {"choice", "digest"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("surplus",), 1),
        (("schema_version",), 2),
        (("best_mae",), None),
        (("best_mae",), -0.1),
        (("best_picp",), 101.0),
        (("best_picp_interval",), [79.0]),
        (("n_trials",), 2.5),
        (("optimization_date",), "2026-01-02 03:04"),
        (("manifest_hash",), "abc"),
        (("selection", "reason"), ""),
        (("best_params", "lr"), None),
        (("validation_metrics", "pinbal"), "0.1"),
        (("validation_metrics", "mae"), None),
        (("all_pareto_trials",), []),
        (("all_pareto_trials", 0, "picp"), "79"),
        (("all_pareto_trials", 0, "n_seeds"), 0),
        (("all_pareto_trials", 0, "front_probability"), 1.5),
        (("feasible",), "yes"),
        (("constraints",), [80]),
        (("references", "seasonal_naive_24", "picp"), -5.0),
    ],
)
def test_a_wrong_value_is_refused(path: tuple[str | int, ...], value: object) -> None:
    content = copy.deepcopy(document())
    place: Any = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert len(errors(content)) == 1


@pytest.mark.parametrize("name", ["mape", "mase", "r2", "score_of_a_plugin"])
def test_an_undefined_score_may_be_null(name: str) -> None:
    content = document()
    content["validation_metrics"][name] = None
    assert errors(content) == []
