"""Warm start: the first configs of a study, the default and fronts of earlier studies on request.

A good config of one series is a good guess for another, so the earlier study may be of any data
set. Only configs are taken over, never scores: those of other data say nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretocast.errors import SettingsError
from paretocast.search.models import default_config
from paretocast.search.space import nearest_config
from paretocast.steps import STEPS_PER_DAY
from paretocast.workspace.stored import load_result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from paretocast.search.space import Config, Space

# Earlier fronts may take this share of the trials; the rest is left to search.
SHARE_OF_TRIALS = 4


@dataclass(frozen=True)
class WarmStart:
    """Configs to try first, and what was moved or left out on the way, a sentence each."""

    configs: tuple[Config, ...]
    notes: tuple[str, ...] = ()


def plan_warm_start(
    model: str,
    space: Space,
    runs: Sequence[Path] = (),
    *,
    n_trials: int,
    steps_per_day: int = STEPS_PER_DAY,
) -> WarmStart:
    """The first configs of a new study.

    Parameters
    ----------
    runs : sequence of Path
        Each a `best_params_*.json`, a folder that holds some, a `trials_JOBID` folder beside one,
        or a workspace.
    n_trials : int
        Of the study to be; earlier fronts get a quarter of it, at least one.
    steps_per_day : int
        Of the series.

    Raises
    ------
    SettingsError
        If there is no result of that model at one of the places, or none of its configs fits.
    StoreError
        If a file is damaged.
    """
    default = default_config(model, space, steps_per_day)
    configs: list[Config] = [] if default is None else [default]
    n_defaults = len(configs)
    notes: list[str] = []
    for run in runs:
        earlier, remarks = _configs_of(run, model, space)
        notes += remarks
        for config in earlier:
            if config not in configs:
                configs.append(config)
    room = max(1, n_trials // SHARE_OF_TRIALS)
    if (n_earlier := len(configs) - n_defaults) > room:
        notes.append(
            f"{n_earlier} configs of earlier fronts: the first {room} are tried, a quarter "
            f"of {n_trials} trials"
        )
    return WarmStart(tuple(configs[: n_defaults + room]), tuple(notes))


def _configs_of(run: Path, model: str, space: Space) -> tuple[list[Config], list[str]]:
    """Front members of the studies at one place that fit the space, and remarks."""
    results = [(path, load_result(path)) for path in _result_files(run)]
    of_model = [(path, content) for path, content in results if content["model"] == model]
    if not of_model:
        others = sorted({content["model"] for _, content in results})
        held = f"results of {', '.join(others)} only" if others else "no best_params_*.json"
        raise SettingsError(f"--warm-start {run} holds {held}, expected a result of {model}")
    configs, notes = [], []
    for path, content in of_model:
        for trial in _best_first(content):
            near = nearest_config(space, trial["params"])
            if near is None:
                notes.append(f"trial {trial['trial']} of {path.name} has no place in this space")
                continue
            config, changes = near
            if changes:
                moved = "; ".join(changes)
                notes.append(
                    f"trial {trial['trial']} of {path.name} moved into this space: {moved}"
                )
            configs.append(config)
    if not configs:
        raise SettingsError(f"--warm-start {run}: no config has a place in this space")
    return configs, notes


def _result_files(run: Path) -> list[Path]:
    """`best_params_*.json` at a place, the newest first."""
    if run.is_file():
        return [run]
    if run.name.startswith("trials_"):
        paths = list(run.parent.glob(f"best_params_*_{run.name.removeprefix('trials_')}.json"))
    else:
        paths = list(run.glob("best_params_*.json"))
        paths = paths or list(run.glob("results/*/best_params_*.json"))
    return sorted(paths, key=lambda path: (-path.stat().st_mtime, path.name))


def _best_first(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The best trial, which may be one that ties with the front, then the front, ends first."""
    number = content["best_trial_number"]
    ordered = [{"trial": number, "params": content["best_params"]}]
    rest = [trial for trial in content["all_pareto_trials"] if trial["trial"] != number]
    while rest:
        ordered.append(rest.pop(0))
        if rest:
            ordered.append(rest.pop())
    return ordered
