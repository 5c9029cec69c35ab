"""Parquet files and spreadsheets where the libraries of their extras are not installed."""

from __future__ import annotations

import sys
import zipfile
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from paretocast.api.frames import save_frame
from paretocast.data.tables import read_table
from paretocast.errors import DataError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def without_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow", "fastparquet", "openpyxl"):
        monkeypatch.setitem(sys.modules, name, None)


def test_a_frame_says_which_extra_brings_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"mae": [1.0]})
    with pytest.raises(SettingsError, match=r"pip install 'paretocast\[parquet\]' brings it, or"):
        save_frame(frame, tmp_path / "trials.parquet")
    save_frame(frame, tmp_path / "trials.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["trials.csv"]


@pytest.mark.parametrize(("ending", "extra"), [("parquet", "parquet"), ("xlsx", "xlsx")])
def test_a_table_says_which_extra_reads_it(tmp_path: Path, ending: str, extra: str) -> None:
    path = tmp_path / f"table.{ending}"
    with zipfile.ZipFile(path, "w") as archive:  # by which a spreadsheet is known as one
        archive.writestr("xl/workbook.xml", "")
    with pytest.raises(DataError, match=rf"is not installed; pip install 'paretocast\[{extra}\]'"):
        read_table(path)
