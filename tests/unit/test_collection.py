"""Many series in one file: references, errors, and declarations that are like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from paretocast.data import absolute_reference, expand_series, find_spec, moved_reference, own_file
from paretocast.errors import SettingsError

ZONES = """
name = "zones"
path = "zones.csv"
unit = "MW"

[series]
targets = {targets}

[covariates.temperature]
column = "t_{{series}}"
role = "forecast"

[covariates.wind]
role = "past"

[splits]
train = 0.6
validation = 0.2
"""


@pytest.fixture
def zones(tmp_path: Path) -> Path:
    path = tmp_path / "zones.toml"
    path.write_text(ZONES.format(targets='["north", "south"]'), encoding="utf-8")
    return path


def test_a_reference_gives_the_declaration_of_one_series(zones: Path) -> None:
    spec = find_spec(f"{zones}#south")
    assert (spec.name, spec.target) == ("zones_south", "south")
    assert (spec.column_of("temperature"), spec.column_of("wind")) == ("t_south", "wind")
    assert spec.path == zones.parent / "zones.csv"


def test_targets_may_have_other_names_than_their_series(tmp_path: Path) -> None:
    path = tmp_path / "zones.toml"
    path.write_text(ZONES.format(targets='{ north = "flow 1" }'), encoding="utf-8")
    assert find_spec(f"{path}#north").target == "flow 1"


def test_all_series_and_some_by_name_are_expanded_in_the_order_asked_for(zones: Path) -> None:
    assert expand_series(str(zones), "all") == (f"{zones}#north", f"{zones}#south")
    assert expand_series(str(zones), "south, north") == (f"{zones}#south", f"{zones}#north")
    assert expand_series("heat", None) == ("heat",)


def test_a_pattern_names_a_series_for_each_file(tmp_path: Path, zones: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"meter_{name}.toml").write_text("", encoding="utf-8")
    pattern = str(tmp_path / "meter_*.toml")
    both = tuple(str(tmp_path / f"meter_{name}.toml") for name in ("a", "b"))
    assert expand_series(pattern, None) == both
    assert expand_series(pattern, "meter_b") == both[1:]
    with pytest.raises(SettingsError, match="no series 'meter_c'"):
        expand_series(pattern, "meter_c")
    with pytest.raises(SettingsError, match="no TOML file matches"):
        expand_series(str(tmp_path / "zone_*.toml"), None)


def test_errors_name_the_series_that_are_there(tmp_path: Path, zones: Path) -> None:
    with pytest.raises(SettingsError, match="declares 2 series, north, south; name one"):
        find_spec(zones)
    with pytest.raises(SettingsError, match=r"no series 'nort', .* did you mean north"):
        find_spec(f"{zones}#nort")
    with pytest.raises(SettingsError, match="no series 'east'"):
        expand_series(str(zones), "north,east")
    with pytest.raises(SettingsError, match="no series ','"):
        expand_series(str(zones), ",")
    with pytest.raises(SettingsError, match="not for heat"):
        expand_series("heat", "all")
    single = tmp_path / "single.toml"
    single.write_text(zones.read_text().replace("[series]\ntargets = ", "target = 'x' #"))
    with pytest.raises(SettingsError, match="so it has no #north"):
        find_spec(f"{single}#north")
    with pytest.raises(SettingsError, match=r"no section \[series\]"):
        expand_series(str(single), "all")


@pytest.mark.parametrize("section", ["series = 3", "[series]\ntargets = []", "[series]\nx = 1"])
def test_a_section_that_names_no_target_is_refused(tmp_path: Path, section: str) -> None:
    path = tmp_path / "zones.toml"
    path.write_text(f'name = "z"\n{section}', encoding="utf-8")
    with pytest.raises(SettingsError, match="series"):
        find_spec(f"{path}#north")


def test_a_file_with_the_mark_in_its_name_is_itself(tmp_path: Path, zones: Path) -> None:
    marked = tmp_path / "a#b.toml"
    marked.write_text(zones.read_text(), encoding="utf-8")
    assert own_file(marked) == marked
    assert find_spec(f"{marked}#north").name == "zones_north"


def test_a_reference_keeps_its_series_in_another_folder(
    zones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(zones.parent)
    assert absolute_reference("zones.toml#north") == f"{zones}#north"
    assert absolute_reference("heat") == "heat"
    assert moved_reference("zones.toml#north", Path("/x/zones.toml")) == "/x/zones.toml#north"
