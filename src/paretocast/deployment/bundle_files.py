"""Files of a bundle beside its models: contract, calibrators, golden windows, checksums."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paretocast.calibration import load_calibrator
from paretocast.data.series import Calendar
from paretocast.data.spec import read_spec
from paretocast.data.task import TaskShape
from paretocast.deployment.inputs import InputColumn, InputContract
from paretocast.deployment.stored import BUNDLE_NAME
from paretocast.errors import DataError, SettingsError, StoreError
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.calibration import Calibrator
    from paretocast.deployment.inputs import LiveWindow

POINTER = "current"  # file of a deployment with the name of the bundle in use
MOST_POINTER_BYTES = 4096
SUMS = "SHA256SUMS"
DATASET = "dataset.toml"
GOLDEN = "golden.npz"
ISSUE_SECONDS = "issue_seconds"  # of golden windows that begin at no full hour in UTC
RUNGS = FULL, NO_WEATHER, CLIMATOLOGY = "full", "no_weather", "climatology"
"""The rungs of degradation, best first."""
DEPLOY_AGAIN = "deploy again, or put another bundle into use with `paretocast rollback`"


def read_pointer(path: Path) -> str:
    """The name of the bundle in use.

    Raises
    ------
    StoreError
        If the pointer cannot be read or holds no name.
    """
    name = files.load_text(path, most=MOST_POINTER_BYTES).strip()
    if not re.fullmatch(BUNDLE_NAME, name):
        raise StoreError(
            f"{path} is damaged: it holds {name[:60]!r}, expected the name of a folder in bundles/;"
            " write one into it, its last change is in journal/events.jsonl"
        )
    return name


def load_calibrators(
    stored: Mapping[str, Any], *, levels: Sequence[float], origin: object
) -> dict[str, Calibrator]:
    """Calibrators by rung, of the quantile levels of a bundle.

    Raises
    ------
    StoreError
        If one is damaged, or of other levels.
    """
    calibrators = {}
    for rung in RUNGS:
        try:
            calibrators[rung] = load_calibrator(stored[rung])
        except DataError as error:
            raise StoreError(f"{origin} is damaged: {rung}: {error}; {DEPLOY_AGAIN}") from error
        if tuple(calibrators[rung].levels) != tuple(levels):
            raise StoreError(
                f"{origin} is damaged: the calibrator of {rung} is of other levels than the "
                f"bundle; {DEPLOY_AGAIN}"
            )
    return calibrators


def load_golden(folder: Path, contract: InputContract) -> dict[str, NDArray[Any]]:
    """Golden windows of a bundle: `issues` (N,), `target` (N, T), `covariates` (N, C, T), `raw`.

    Raises
    ------
    StoreError
        If the file is damaged.
    """
    path = folder / GOLDEN
    golden = files.load_arrays(path)
    n, n_steps = golden.get("issues", np.empty(0)).size, contract.shape.horizon_steps
    hours = contract.history_steps + n_steps
    shapes = {
        "issues": (n,),
        "target": (n, hours),
        "covariates": (n, len(contract.columns), hours),
        "raw": (n, n_steps, len(contract.shape.levels)),
    }
    if ISSUE_SECONDS in golden:
        shapes[ISSUE_SECONDS] = (n,)
    for name, shape in shapes.items():
        array = golden.get(name, np.empty(0))
        # Without a covariate the middle axis is empty, whatever the others are.
        if (array.shape != shape and array.size + math.prod(shape)) or array.dtype.kind not in "fi":
            raise StoreError(
                f"{path} is damaged: {name} is {array.dtype} of shape {array.shape}, expected "
                f"numbers of shape {shape}; {DEPLOY_AGAIN}"
            )
    return golden


def load_contract(stored: Mapping[str, Any], dataset: Path) -> InputContract:
    """The inputs that a manifest describes.

    Raises
    ------
    StoreError
        If the description of the data set is damaged.
    """
    try:
        spec = read_spec(dataset).model_copy(update={"use_from": None, "use_to": None})
    except SettingsError as error:
        raise StoreError(f"{error}; {DEPLOY_AGAIN}") from error
    calendar = stored["calendar"]
    school = tuple(
        (dt.date.fromisoformat(first), dt.date.fromisoformat(last))
        for first, last in calendar["school_holidays"]
    )
    groups = stored["feature_groups"]
    return InputContract(
        spec=spec,
        calendar=Calendar(
            calendar["zone"],
            calendar["country"],
            school,
            calendar.get("subdivision"),
            tuple(dt.date.fromisoformat(day) for day in calendar.get("holidays", ())),
        ),
        columns=tuple(InputColumn(**column) for column in stored["columns"]),
        shape=TaskShape(**{**stored["shape"], "levels": tuple(stored["shape"]["levels"])}),
        feature_groups=None if groups is None else tuple(groups),
        history_steps=stored["history_steps"],
        window_steps=stored["window_steps"],
        low=stored["low"],
        high=stored["high"],
        delay_hours=stored["delay_hours"],
        standards={name: _standards(own) for name, own in stored["standards"].items()},
    )


def _standards(stored: Sequence[float]) -> tuple[float, float, float, float]:
    """Standards of a column; an earlier version stored no limits, and clipped nothing."""
    center, spread, *limits = stored
    low, high = limits or (-np.inf, np.inf)
    return center, spread, low, high


def golden_window(
    contract: InputContract, golden: Mapping[str, NDArray[Any]], index: int
) -> LiveWindow:
    """One of the windows that a bundle was checked with."""
    first = pd.Timestamp(int(golden["issues"][index]), unit="h", tz="UTC")
    if ISSUE_SECONDS in golden:
        first = pd.Timestamp(int(golden[ISSUE_SECONDS][index]), unit="s", tz="UTC")
    covariates = list(golden["covariates"][index])
    return contract.window(first, golden["target"][index], covariates)


def write_sums(folder: Path) -> str:
    """Write the checksums of a folder's files and return the hash of the list."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != SUMS
    ]
    files.save_text(folder / SUMS, "\n".join(lines) + "\n")
    return hash_of_sums(folder)


def hash_of_sums(folder: Path) -> str:
    """SHA-256 of a bundle's list of checksums."""
    return hashlib.sha256(files.load_bytes(folder / SUMS)).hexdigest()


def check_sums(folder: Path) -> None:
    """Refuse a bundle whose files are not those it was made with.

    Raises
    ------
    StoreError
        Naming the first file that was changed or is missing.
    """
    for line in files.load_text(folder / SUMS).splitlines():
        matched = re.fullmatch(r"([0-9a-f]{64})  ([A-Za-z0-9._-]+)", line)
        if matched is None:
            raise StoreError(f"{folder / SUMS} is damaged: {line[:60]!r} is no checksum of a file")
        expected, name = matched.groups()
        path = folder / name
        if not files.is_file(path):
            raise StoreError(f"{path} is missing; the bundle is not whole, deploy again")
        content = files.load_bytes(path, most=files.MOST_ARRAY_BYTES)
        if hashlib.sha256(content).hexdigest() != expected:
            raise StoreError(f"{path} was changed after the bundle was made; deploy again")
