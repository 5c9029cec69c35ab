"""A data set from a frame on disk, so that a study of it can be continued from anywhere."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pandas as pd
import tomli_w

from paretocast.data.reading import choose_covariates
from paretocast.workspace import files

if TYPE_CHECKING:
    from pathlib import Path

    from paretocast.data import Dataset


def save_dataset(dataset: Dataset, workspace: Path) -> Path:
    """Write a data set as CSV with its TOML file; the same one twice is written once.

    Parameters
    ----------
    workspace : Path
        The files go to `data/NAME-HASH/` there, and no later data set replaces them.

    Returns
    -------
    Path
        The TOML file, which every command takes as ``--dataset``.
    """
    series, spec = dataset.series, dataset.spec
    table = pd.DataFrame({spec.target: series.values}, index=series.index)
    for name, covariate in zip(choose_covariates(spec, None), series.covariates, strict=True):
        table[spec.column_of(name)] = covariate.values
    rows = table.to_csv(date_format="%Y-%m-%dT%H:%M:%SZ", index_label=spec.time_column)
    declared = spec.model_copy(update={"stamp_zone": None})
    content = declared.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    text = tomli_w.dumps(content)
    mark = hashlib.sha256(f"{text}\n{rows}".encode()).hexdigest()[:8]
    folder = workspace / "data" / f"{spec.name}-{mark}"
    declaration = folder / f"{spec.name}.toml"
    if not declaration.exists():
        files.save_text(folder / spec.path, rows)
        files.save_text(declaration, text)
    return declaration
