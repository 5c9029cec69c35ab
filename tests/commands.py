"""Commands that tests run in this process, and a data set of the user's for them."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from paretocast.cli import main
from paretocast.data import generate_demo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ZONE = """
name = "my_zone"
path = "my_zone.csv"
time_column = "timestamp"
target = "heat"
unit = "kWh"
zone = "Europe/Copenhagen"
frequency = "1h"
[splits]
train = 0.5
validation = 0.3
[covariates.temperature]
role = "forecast"
unit = "°C"
"""


def run_cli(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    code = exit_code(*arguments)
    out, err = capsys.readouterr()
    return code, out, err


def exit_code(*arguments: object) -> int:
    """Exit code of a command in this process."""
    before = sys.argv
    sys.argv = ["paretocast", *map(str, arguments)]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


@contextmanager
def no_pages() -> Iterator[None]:
    """Draw no pages of studies and benchmarks, which takes longer than a small search."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("pages", "pooled"):
            patch.setattr(f"paretocast.api.{module}.save_pages", lambda *_: ["study.html"])
        patch.setattr("paretocast.api.evaluation.benchmark_page", lambda *_, **__: "<html>")
        yield


def write_demo_csv(path: Path, *, days: int = 1095) -> None:
    """The demo series as a CSV file that a TOML file can name; compressed if it ends in .gz."""
    series, _ = generate_demo(days=days)
    columns = {"timestamp": series.index.strftime("%Y-%m-%dT%H:%M:%SZ"), "heat": series.values}
    columns |= {covariate.name: covariate.values for covariate in series.covariates}
    pd.DataFrame(columns).to_csv(path, index=False)


def write_zone(folder: Path, *, days: int = 1095) -> Path:
    """A data set of the user's in a folder; its TOML file."""
    write_demo_csv(folder / "my_zone.csv", days=days)
    (folder / "zone.toml").write_text(ZONE, encoding="utf-8")
    return folder / "zone.toml"
