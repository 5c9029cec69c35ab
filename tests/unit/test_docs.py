"""What the documents say about files, settings and options is compared with what there is."""

from __future__ import annotations

import doctest
import inspect
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from paretocast.cli import main
from paretocast.cli.tune import tune
from paretocast.metrics.score_table import SCORES
from paretocast.search.models import MODELS
from paretocast.settings import (
    RacingSettings,
    RangeSettings,
    TaskSettings,
    TrainingSettings,
    TuneSettings,
    load_settings,
)

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SETTINGS = ROOT / "docs" / "settings.md"
RESULTS = ROOT / "docs" / "results.md"
TABLES: dict[str, type[BaseModel]] = {
    "Top level": TuneSettings,
    "`[task]`": TaskSettings,
    "`[training]`": TrainingSettings,
    "`[racing]`": RacingSettings,
    "`[space.MODEL]`": RangeSettings,
}
TABLE_FIELDS = {"task", "training", "racing", "space"}  # they are headings, not rows


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.M)


def prose(path: Path) -> str:
    return re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.DOTALL | re.M)


def anchors(path: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def documented_rows(heading: str) -> dict[str, list[str]]:
    """First words and cells of the rows of a section's tables."""
    section = SETTINGS.read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cells[0].strip("`"): cells for cells in rows}


def as_documented(default: object) -> str:
    return "–" if default is None else f"`{json.dumps(default)}`"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_relative_link_leads_to_a_file(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("heading", TABLES)
def test_every_setting_is_documented_with_its_default(heading: str) -> None:
    fields = {n: f for n, f in TABLES[heading].model_fields.items() if n not in TABLE_FIELDS}
    rows = documented_rows(heading)
    assert set(fields) <= set(rows)
    for name, field in fields.items():
        assert as_documented(field.default) in rows[name], name


def test_every_table_of_the_settings_has_its_section() -> None:
    tables = {
        name
        for name, field in TuneSettings.model_fields.items()
        if isinstance(field.default, BaseModel | dict)
    }
    assert tables == TABLE_FIELDS


def test_documented_options_exist() -> None:
    documented = set(re.findall(r"(?<!-)--([a-z][a-z-]+)", SETTINGS.read_text("utf-8")))
    assert {option.replace("-", "_") for option in documented} <= set(
        inspect.signature(tune).parameters
    )


def test_every_searched_parameter_is_documented() -> None:
    rows = documented_rows("`[space.MODEL]`")
    for model, space in ((name, spec.space) for name, spec in MODELS.items()):
        assert set(space) <= set(re.findall(r"\w+", rows[model][1]))


def test_the_example_of_the_settings_is_accepted(tmp_path: Path) -> None:
    for i, block in enumerate(code_blocks(SETTINGS, "toml")):
        path = tmp_path / f"{i}.toml"
        path.write_text(block, encoding="utf-8")
        settings = load_settings(path, {})
        assert settings.search_space()
        assert settings.trials == tomllib.loads(block)["trials"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_interactive_examples_print_what_they_show(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SCORES, "_entries", dict(SCORES))  # an example registers a score
    assert doctest.testfile(str(path), module_relative=False).failed == 0


@pytest.mark.slow
def test_the_examples_of_the_results_run_on_a_real_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["tune", "--test", "--threads", "1", "--workspace", str(tmp_path / "w")]
    monkeypatch.setattr(sys, "argv", ["paretocast", *arguments])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    (tmp_path / "hpo").symlink_to(tmp_path / "w" / "test")
    namespace: dict[str, object] = {}
    for block in code_blocks(RESULTS, "python"):
        exec(compile(block, str(RESULTS), "exec"), namespace)
    assert "trials" in namespace
