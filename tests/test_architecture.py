"""The layering is a rule, so it is a test."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import paretocast

ROOT = Path(paretocast.__file__).parent
# From the ground up. A name imports from lines above its own alone, a package from itself too.
ORDER = (
    {"errors", "formatting", "redaction", "steps"},
    {"registry"},
    {"toml"},
    {"metrics", "workspace", "data"},
    {"calibration", "search", "cluster", "weather"},
    {"settings"},
    {"models"},
    {"training"},
    {"study"},
    {"results"},
    {"benchmarking"},
    {"deployment"},
    {"report"},
    {"api"},
    {"cli"},
)
# A home is a package or a module in one.
HOMES = {
    "torch": {"training", "models"},
    "optuna": {"search", "study"},
    "plotly": {"report.figures"},
    "typer": {"cli"},
    "rich": {"cli"},
    "subprocess": {"cluster"},
    "fastapi": {"deployment.server", "cli.serve"},
    "niquests": {"weather.open_meteo"},
    "openmeteo_requests": {"weather.open_meteo"},
    "openmeteo_sdk": {"weather.open_meteo"},
    "uvicorn": {"cli.serve"},
    "prometheus_client": {"deployment.exposition"},
}
SLOW_TO_IMPORT = {"torch", "optuna", "pandas", "plotly", "neuralforecast"}


@cache
def imported_names(path: Path) -> frozenset[str]:
    """Modules that a file imports, anywhere in it, and the names it takes from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def own_imports(path: Path) -> set[str]:
    """Those of this package, without the package's name in front.

    A folder counts only where a name is taken from it that is no module in it.
    """
    prefix = "paretocast."
    names = {n.removeprefix(prefix) for n in imported_names(path) if n.startswith(prefix)}
    taken = {name: {n for n in names if n.rpartition(".")[0] == name} for name in names}
    modules = set(module_paths())
    return {name for name in names if not taken[name] or taken[name] - modules}


@cache
def module_paths() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


def top(name: str) -> str:
    """The unit of the top level that a module belongs to."""
    return name.split(".", maxsplit=1)[0]


def loaded_after(statement: str) -> set[str]:
    """Top-level modules in memory once a fresh interpreter has run `statement`."""
    program = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT.parent)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def test_every_unit_of_the_top_level_has_its_place_in_the_order() -> None:
    assert {top(name) for name in module_paths()} == set().union(*ORDER) | {"__main__"}


def test_imports_point_down() -> None:
    level = {name: i for i, line in enumerate(ORDER) for name in line} | {"__main__": len(ORDER)}
    for name, path in module_paths().items():
        for target in own_imports(path):
            if top(target) in level and top(target) != top(name):
                assert level[top(target)] < level[top(name)], f"{name} imports {target}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    paths = module_paths()
    needs = {name: (own_imports(path) & set(paths)) - {name} for name, path in paths.items()}
    while ready := {name for name, wanted in needs.items() if not wanted & set(needs)}:
        needs = {name: wanted for name, wanted in needs.items() if name not in ready}
    assert not needs, f"these import each other in a circle: {sorted(needs)}"


def test_heavy_libraries_stay_where_they_belong() -> None:
    for name, path in module_paths().items():
        for library, homes in HOMES.items():
            used = any(n.split(".")[0] == library for n in imported_names(path))
            at_home = any(f"{name}.".startswith(f"{home}.") for home in homes)
            assert not used or at_home, f"{name} imports {library}"


def test_importing_the_package_loads_no_heavy_library() -> None:
    assert not loaded_after("import paretocast") & SLOW_TO_IMPORT


def test_pages_of_deployments_load_no_networks() -> None:
    assert "torch" not in loaded_after("import paretocast.report.serving, paretocast.report.health")


def test_importing_the_command_line_loads_no_heavy_library() -> None:
    assert not loaded_after("import paretocast.cli") & SLOW_TO_IMPORT
