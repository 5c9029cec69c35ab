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

from docs_commands import Command, commands_of, mentions_of, runnable, unknown_words
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
REPOSITORY = re.compile(
    r"https://(?:github\.com/paretocast/paretocast/(?:blob|tree)"
    r"|raw\.githubusercontent\.com/paretocast/paretocast)/main/"
)
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
def test_every_link_into_the_repository_leads_to_a_file(path: Path) -> None:
    broken = []
    for target in re.findall(r"(?:\]\(|^\[[^\]]+\]: )([^)\s]+)", prose(path), re.M):
        inside = REPOSITORY.sub("", target)  # as the page on PyPI needs them
        if re.match(r"[a-z]+:", inside):
            continue
        file, _, anchor = inside.partition("#")
        folder = path.parent if inside == target else ROOT
        found = (folder / file).resolve() if file else path
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert not broken


def test_the_readme_has_no_link_that_is_broken_on_pypi() -> None:
    readme = ROOT / "README.md"
    targets = re.findall(r"(?:\]\(|^\[[^\]]+\]: )([^)\s]+)", prose(readme), re.M)
    assert len(targets) > 20
    assert [target for target in targets if not target.startswith("https://")] == []
    named = re.findall(r"\[([^\]]+)\](?![(:\w])(?:\[(\w+)\])?", prose(readme))
    defined = re.findall(r"^\[([^\]]+)\]: ", readme.read_text("utf-8"), re.M)
    labels = {(other or label).lower() for label, other in named if not label[0].isdigit()}
    assert labels - {*defined} == {"space.nhits_q"}  # in code


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_command_and_its_options_exist(path: Path) -> None:
    commands = [*commands_of(path), *mentions_of(path)]
    assert [(str(each), unknown) for each in commands if (unknown := unknown_words(each))] == []


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("paretocast tune --trails 3", ["--trails"]),
        ("paretocast data initialise my_zone.csv", ["initialise"]),
        ("paretocast submit NHITS_Q heat 50 --profile a100 -- --data-dirr /data", ["--data-dirr"]),
        ("python experiments/panel.py --data-dir DIR --quickly", ["--quickly"]),
        ("python experiments/no_such_script.py", ["experiments/no_such_script.py"]),
        ("make demonstration", ["demonstration"]),
        ("pip install 'paretocast[wether]'", ["wether"]),
    ],
)
def test_a_command_that_does_not_exist_is_found(text: str, unknown: list[str]) -> None:
    assert unknown_words(Command("README.md", 1, text)) == unknown


def test_commands_are_found_in_every_kind_of_block() -> None:
    found = {command.text for path in DOCUMENTS for command in commands_of(path)}
    assert "paretocast calibrate" in found  # its comment is no part of it
    assert "python experiments/racing_replay.py --seeds 60" in found  # an indented block
    assert "paretocast retrain deploy/demo --data demo.csv --if-older 30d" in found  # a prompt
    assert any("run_grpc_proxy_server" in text and "port=13000)'" in text for text in found)
    assert len(runnable(["README.md"])) >= 10


def test_the_panel_is_the_same_on_every_page() -> None:
    panel = (ROOT / "docs" / "benchmarks.md").read_text("utf-8").split("\n## The panel\n")[1]
    table = panel[panel.index("\n| heat |") + 1 :].partition("\n\n")[0]
    rows = table.splitlines()
    assert len(rows) == 16
    assert table in (ROOT / "docs" / "why.md").read_text("utf-8")
    medians, worsts = ([cell.strip(" *") for cell in row.split("|")] for row in rows[-2:])
    readme = (ROOT / "README.md").read_text("utf-8")
    for column in (3, 4):  # against ridge, against lightgbm
        assert f"| {medians[column]} | {worsts[column]} |" in readme


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
