"""Two studies of an earlier version in one workspace, of which tests damage the first."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from paretocast.workspace import stored

STORED = Path(__file__).parent / "data" / "earlier_study"
# Commands over the whole workspace: they show one study whatever has happened to another.
OVER_ALL = ("status", "analyze", "consolidate")


@dataclass(frozen=True)
class TwoStudies:
    """A folder with `hpo`, which is damaged, and `whole`, which it is put back from.

    Beside them lie the data set `small.toml` and the settings `settings.toml` of the first study.
    """

    folder: Path

    @property
    def workspace(self) -> Path:
        """The workspace that is damaged."""
        return self.folder / "hpo"

    @property
    def run(self) -> Path:
        """The folder of the study that is damaged."""
        return self.workspace / "results" / "NHITS_Q_small"

    def command(self, name: str) -> list[str]:
        """The words of a command on the damaged study, or over the workspace."""
        over_all = ("--workspace", str(self.workspace))
        return {
            "status": ["status", "--json", *over_all],
            "analyze": ["analyze", "--format", "csv", *over_all],
            "consolidate": ["consolidate", *over_all],
            "calibrate": ["calibrate", str(self.run)],
            "diagnose": ["diagnose", str(self.run)],
            "export": ["export", str(self.run), "--forecasts", str(self.workspace / "trials.csv")],
        }[name]

    def restore(self) -> None:
        """Put the workspace back as it was."""
        shutil.rmtree(self.workspace, ignore_errors=True)
        shutil.copytree(self.folder / "whole", self.workspace)


def two_studies(folder: Path) -> TwoStudies:
    """A workspace with the stored study, and with the same on a data set called `other`.

    Their files are as they are written now, with digests.
    """
    shutil.copytree(STORED, folder, dirs_exist_ok=True)
    run = folder / "hpo" / "results" / "NHITS_Q_small"
    manifest = run / "manifest_old.json"
    manifest.write_text(
        manifest.read_text().replace("/data/small.toml", str(folder / "small.toml"))
    )
    for path in [path for path in run.rglob("*") if path.is_file()]:
        name = str(path.relative_to(run)).replace("_small_", "_other_")
        content = path.read_bytes()
        if path.suffix == ".json":
            content = content.replace(b"NHITS_Q_small", b"NHITS_Q_other")
            content = content.replace(b'"dataset": "small"', b'"dataset": "other"')
        target = run.with_name("NHITS_Q_other") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    for path in (folder / "hpo").rglob("*.json"):
        stored.save(path, json.loads(path.read_text(encoding="utf-8")))
    (folder / "hpo").rename(folder / "whole")
    studies = TwoStudies(folder)
    studies.restore()
    return studies


def row_of_other(command: str, out: str) -> str:
    """What a command over the whole workspace says about the study that is whole."""
    if command == "consolidate":
        lines = [line.split() for line in out.splitlines() if "NHITS_Q_other_old" in line]
        return " ".join(lines[0])
    rows = json.loads(out)["experiments"] if command == "status" else csv.DictReader(StringIO(out))
    (row,) = [row for row in rows if row["dataset"] == "other"]
    return json.dumps({**row, "ended": None})
