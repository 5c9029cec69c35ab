"""The manifest: the conditions under which a study is made, and must be continued."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from paretocast.data import absolute_reference
from paretocast.data.task import DATA_HASHES, first_change, installed_versions, manifest_hash
from paretocast.errors import StoreError
from paretocast.redaction import without_secrets
from paretocast.search.space import Contest
from paretocast.workspace import files
from paretocast.workspace.stored import load_manifest, save

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.search.space import AnySpace, Config
    from paretocast.settings import TuneSettings
    from paretocast.training.pooling import AnySetup
    from paretocast.workspace.runs import RunDirectory


def build_manifest(
    settings: TuneSettings, setup: AnySetup, *, queue: Sequence[Config] = ()
) -> dict[str, Any]:
    """Settings, task and software of a study; a continued one must share the `comparable` part.

    Parameters
    ----------
    queue : sequence of Config
        First configs of a new study. They stay as they are, whatever becomes of their source.
    """
    comparable = {
        "task": setup.task.manifest(),
        "model": settings.model,
        "training": {
            **settings.training.model_dump(mode="json", exclude={"epochs"}),
            "steps": setup.budget_steps,
            "batch_size": setup.batch_size,
        },
        "racing": settings.racing.model_dump(mode="json"),
        "sampler": settings.sampler,
        "objectives": list(settings.objectives),
        "require": list(settings.require),
        "strategy": settings.strategy,
        "target_coverage": settings.target_coverage,
        "space": _described(settings.search_space()),
        "seed": settings.seed,
    }
    if hashes := setup.pool_hashes:
        comparable["pool"] = dict(hashes)
    repairs = [repair for view in setup.series for repair in view.task.series.repairs]
    plain = settings.model_dump(mode="json")
    # Absolute paths: a study may be continued from another folder.
    plain["dataset"] = absolute_reference(settings.dataset)
    if settings.data_dir is not None:
        plain["data_dir"] = str(Path(settings.data_dir).absolute())
    if settings.storage is not None:
        plain["storage"] = without_secrets(settings.storage)
    return {
        "schema_version": 1,
        "manifest_hash": manifest_hash(comparable),
        "comparable": comparable,
        "day_marks": setup.task.day_marks(),
        "repairs": [repair.as_json() for repair in repairs],
        "queue": list(queue),
        "settings": plain,
        "versions": installed_versions(),
        "device": str(setup.source.device),
    }


def _described(space: AnySpace) -> dict[str, Any]:
    if isinstance(space, Contest):
        return {model: _described(own) for model, own in space.spaces.items()}
    return {name: repr(parameter) for name, parameter in space.items()}


def check_manifest(run: RunDirectory, manifest: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest of a new study, or compare it with that of the one to continue.

    Returns
    -------
    dict
        The manifest of the study now: its queue is that of the first one.

    Raises
    ------
    StoreError
        If the study was made under other conditions.
    """
    stored = load_manifest(run) if files.exists(run.manifest) else manifest
    if stored["manifest_hash"] != manifest["manifest_hash"]:
        changed = _differences(stored["comparable"], manifest["comparable"])
        of_data = tuple(f"task.{key} " for key in DATA_HASHES)
        if all(difference.startswith(of_data) for difference in changed):
            start = pd.Timestamp(stored["comparable"]["task"]["periods"]["train"][0])
            where = first_change(stored.get("day_marks", ""), manifest["day_marks"], start=start)
            raise StoreError(
                f"study {run.study_name} was made on other data and cannot be continued: values "
                f"before the test split have changed since{where}. Put the data back as they "
                "were, or choose another --job-id for a new study"
            )
        raise StoreError(
            f"study {run.study_name} was made under other conditions and cannot be "
            f"continued: {'; '.join(changed[:4])}. Repeat the options it was started with, "
            "or choose another --job-id"
        )
    # Where it runs is a matter of each process: workers take turns on the GPUs.
    settings = {**manifest["settings"], "device": stored["settings"]["device"]}
    updated = {**manifest, "settings": settings, "queue": stored.get("queue", [])}
    if stored is manifest or _lasting(stored) != _lasting(manifest):
        save(run.manifest, updated)  # with the settings of now, such as more trials
    return updated


def _lasting(manifest: dict[str, Any]) -> dict[str, Any]:
    """Settings beyond one run: a worker is not told the time limit, which its starter watches."""
    return {**manifest["settings"], "time_limit_seconds": None, "device": None}


def _differences(stored: object, current: object, path: str = "") -> list[str]:
    """Paths at which two JSON values differ, with both values."""
    if isinstance(stored, dict) and isinstance(current, dict):
        lines = []
        for key in sorted({*stored, *current}):
            lines += _differences(stored.get(key), current.get(key), f"{path}.{key}".lstrip("."))
        return lines
    if stored == current:
        return []
    return [f"{path} was {_short(stored)}, now {_short(current)}"]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
