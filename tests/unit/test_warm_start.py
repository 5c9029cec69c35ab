from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from paretocast.errors import SettingsError
from paretocast.search.models import MODELS
from paretocast.search.space import (
    Choice,
    FloatRange,
    Space,
    nearest_config,
)
from paretocast.study.warm_start import plan_warm_start
from paretocast.workspace.runs import RunDirectory
from runs import result_content

MODEL, SPACE = "NHITS_Q", MODELS["NHITS_Q"].space
DEFAULT = MODELS[MODEL].default


def config(**changes: object) -> dict[str, Any]:
    return {**DEFAULT, "lr": 1e-3, **changes}


def write_result(
    folder: Path,
    configs: list[dict[str, Any]],
    *,
    job_id: str = "a1",
    model: str = MODEL,
    dataset: str = "heat",
    best: int = 0,
    tied: tuple[int, ...] = (),
) -> Path:
    """Write what warm starts read of a result; trials of `tied` are not on its front."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"best_params_{model}_{dataset}_{job_id}.json"
    run = RunDirectory(folder, model, dataset, job_id)
    whole = result_content(run, n_trials=1)
    (first,) = whole["all_pareto_trials"]
    trials = [{**first, "trial": i, "params": params} for i, params in enumerate(configs)]
    content = {
        **whole,
        "best_trial_number": best,
        "best_params": configs[best],
        "all_pareto_trials": [trial for trial in trials if trial["trial"] not in tied],
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_the_default_config_opens_a_study_whose_space_holds_it() -> None:
    assert plan_warm_start(MODEL, SPACE, n_trials=20).configs == (DEFAULT,)
    narrow = {**SPACE, "layer_widths": Choice((16,))}
    assert plan_warm_start(MODEL, narrow, n_trials=20).configs == ()


def test_the_chosen_config_comes_next_and_then_the_ends_of_the_front(tmp_path: Path) -> None:
    rates = [1e-3, 1.5e-3, 3e-3, 4e-3, 5e-3]
    path = write_result(tmp_path, [config(lr=lr) for lr in rates], best=2)
    warm_start = plan_warm_start(MODEL, SPACE, [path], n_trials=40)
    assert [c["lr"] for c in warm_start.configs[1:]] == [3e-3, 1e-3, 5e-3, 1.5e-3, 4e-3]
    assert warm_start.notes == ()


def test_a_chosen_config_that_ties_with_the_front_comes_first_too(tmp_path: Path) -> None:
    path = write_result(tmp_path, [config(lr=lr) for lr in (1e-3, 3e-3)], best=1, tied=(1,))
    warm_start = plan_warm_start(MODEL, SPACE, [path], n_trials=40)
    assert [c["lr"] for c in warm_start.configs[1:]] == [3e-3, 1e-3]


def test_a_study_is_found_by_its_file_its_folders_and_its_workspace(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "NHITS_Q_heat"
    path = write_result(folder, [config(lr=3e-3)])
    write_result(folder, [config(lr=4e-3)], job_id="b2")
    os.utime(path, (0, 0))
    trials = folder / "trials_a1"
    trials.mkdir()
    for source, rates in ((path, [3e-3]), (trials, [3e-3]), (folder, [4e-3, 3e-3]),
                         (tmp_path, [4e-3, 3e-3])):  # fmt: skip
        warm_start = plan_warm_start(MODEL, SPACE, [source], n_trials=40)
        assert [c["lr"] for c in warm_start.configs[1:]] == rates


def test_earlier_fronts_get_a_quarter_of_the_trials(tmp_path: Path) -> None:
    path = write_result(tmp_path, [config(dropout=0.1 + i / 100) for i in range(9)])
    warm_start = plan_warm_start(MODEL, SPACE, [path], n_trials=20)
    assert len(warm_start.configs) == 1 + 5
    assert warm_start.notes == (
        "9 configs of earlier fronts: the first 5 are tried, a quarter of 20 trials",
    )


def test_a_config_is_tried_once(tmp_path: Path) -> None:
    path = write_result(tmp_path, [dict(DEFAULT), config(), config()])
    assert plan_warm_start(MODEL, SPACE, [path, path], n_trials=40).configs == (DEFAULT, config())


def test_a_number_outside_the_space_is_moved_into_it_and_named(tmp_path: Path) -> None:
    path = write_result(tmp_path, [config(lr=0.5, num_stacks=1)])
    warm_start = plan_warm_start(MODEL, SPACE, [path], n_trials=40)
    assert warm_start.configs[1] == config(lr=1e-2, num_stacks=2)
    assert warm_start.notes == (
        f"trial 0 of {path.name} moved into this space: num_stacks 1 to 2; lr 0.5 to 0.01",
    )


def test_a_choice_that_the_space_lacks_leaves_the_config_out(tmp_path: Path) -> None:
    path = write_result(tmp_path, [config(layer_widths=128), config()])
    warm_start = plan_warm_start(MODEL, SPACE, [path], n_trials=40)
    assert warm_start.configs == (DEFAULT, config())
    assert warm_start.notes == (f"trial 0 of {path.name} has no place in this space",)


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        ("TFT_Q", config(), r"holds results of TFT_Q only, expected a result of NHITS_Q"),
        (MODEL, {"lr": 1e-3}, "no config has a place in this space"),
    ],
)
def test_a_study_that_gives_nothing_is_an_error(
    tmp_path: Path, model: str, params: dict[str, Any], message: str
) -> None:
    path = write_result(tmp_path, [params], model=model)
    with pytest.raises(SettingsError, match=message):
        plan_warm_start(MODEL, SPACE, [path], n_trials=20)


def test_a_place_without_a_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere holds no best_params"):
        plan_warm_start(MODEL, SPACE, [tmp_path / "nowhere"], n_trials=20)


def test_a_parameter_that_the_space_does_not_have_is_dropped() -> None:
    space: Space = {"lr": FloatRange(1e-4, 1e-2, log=True)}
    assert nearest_config(space, {"lr": 1e-3, "dropout": 0.1}) == ({"lr": 1e-3}, [])


def test_heads_that_do_not_divide_the_hidden_size_have_no_place() -> None:
    space: Space = {"hidden_size": Choice((6, 32)), "num_attention_heads": Choice((2, 4))}
    assert nearest_config(space, {"hidden_size": 6, "num_attention_heads": 4}) is None
    assert nearest_config(space, {"hidden_size": 6, "num_attention_heads": 2}) is not None
