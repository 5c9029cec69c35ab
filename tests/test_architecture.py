"""The layering is a rule, so it is a test."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import paretocast

ROOT = Path(paretocast.__file__).parent
LAYERS = [
    {"errors"},
    {"scores", "pareto", "stats", "gaps"},
    {"noise"},
    {"curves"},
    {
        "calibration",
        "calibration.base",
        "calibration.conformal",
        "calibration.crossfit",
        "calibration.isotonic",
        "calibration.methods",
        "calibration.online",
        "calibration.ranks",
        "calibration.sample",
        "calibration.walk",
        "ensemble",
        "levels",
    },
    {"diagnostics"},
    {"series"},
    {"features"},
    {"task"},
    {"scaling", "slabs"},
    {
        "datasets",
        "datasets.checks",
        "datasets.demo",
        "datasets.reading",
        "datasets.spec",
        "datasets.table",
    },
    {"space", "objectives", "selection", "halving"},
    {
        "settings",
        "proposals",
        "proposals.gaussian_process",
        "proposals.improvement",
        "proposals.proposer",
        "proposals.seen",
        "figures",
        "figures.benchmark",
        "figures.calibration",
        "figures.importance",
        "figures.tradeoffs",
        "figures.look",
        "figures.search",
        "figures.demand",
    },
    {
        "models",
        "models.anchor",
        "models.base",
        "models.conversion",
        "models.dropout",
        "models.inception",
        "models.nhits",
        "models.reference",
        "models.references",
        "models.registry",
        "models.ridge",
        "models.statistical",
        "models.tft",
        "models.timesnet",
        "models.trees",
        "models.variable_selection",
    },
    {"engine", "engine.training", "engine.windows"},
    {"trial"},
    {"racing"},
    {
        "store",
        "claims",
        "results",
        "executors",
        "executors.background",
        "executors.base",
        "executors.local",
        "executors.places",
        "executors.slurm",
    },
    {"inspection", "replay", "warmstart"},
    {
        "honesty",
        "level_search",
        "jobs",
        "jobs.profiles",
        "jobs.script",
        "jobs.status",
        "jobs.submission",
        "jobs.survey",
        "jobs.tracking",
    },
    {"calibrator_file"},
    {
        "study",
        "study.conditions",
        "study.importances",
        "study.judging",
        "study.mirror",
        "study.search",
        "study.shelf",
        "study.stages",
        "study.stopping",
    },
    {
        "proof",
        "proof.benchmark",
        "proof.comparison",
        "proof.files",
        "proof.ground",
        "proof.history",
        "proof.parameters",
        "proof.plan",
        "proof.training",
        "proof.walk",
        "analysis",
        "consolidation",
    },
    {
        "report",
        "report.benchmark",
        "report.calibration",
        "report.demand",
        "report.explored",
        "report.honesty",
        "report.page",
        "report.search",
        "report.trials",
    },
    {
        "cli",
        "cli.analyze",
        "cli.benchmark",
        "cli.conclusion",
        "cli.consolidate",
        "cli.calibrate",
        "cli.console",
        "cli.diagnose",
        "cli.data",
        "cli.jobs",
        "cli.progress",
        "cli.search",
        "cli.stages",
        "cli.status",
        "cli.submit",
        "cli.tables",
        "cli.tune",
        "cli.worker",
        "cli.workers",
    },
    {"__main__"},
]
# Packages whose modules build on each other; everywhere else siblings are strangers.
FAMILIES = {
    "calibration",
    "cli",
    "datasets",
    "executors",
    "figures",
    "jobs",
    "models",
    "proof",
    "proposals",
    "report",
    "engine",
    "study",
}
# A home is a module or a whole family.
HOMES = {
    "torch": {"engine", "models"},
    "neuralforecast": {"models"},
    "optuna": {"space", "proposals", "level_search", "study"},
    "plotly": {"figures"},
    "typer": {"cli"},
    "rich": {"cli"},
    "subprocess": {"executors"},
}
SLOW_TO_IMPORT = {"torch", "optuna", "pandas", "plotly", "neuralforecast"}


def imported_names(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it, and the names it takes from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_imports(path: Path) -> set[str]:
    """Those of this package, without the package's name in front.

    A folder counts only where a name is taken from it that is no module in it.
    """
    prefix = "paretocast."
    names = {n.removeprefix(prefix) for n in imported_names(path) if n.startswith(prefix)}
    taken = {name: {n for n in names if n.rpartition(".")[0] == name} for name in names}
    modules = set(module_paths())
    return {name for name in names if not taken[name] or taken[name] - modules}


def module_paths() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


def family(name: str) -> str | None:
    first = name.split(".", maxsplit=1)[0]
    return first if first in FAMILIES else None


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


def test_every_module_has_a_layer() -> None:
    assert set(module_paths()) <= set().union(*LAYERS)


def test_no_module_has_two_layers() -> None:
    listed = [name for layer in LAYERS for name in layer]
    assert len(listed) == len(set(listed))


def test_imports_point_down() -> None:
    level = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    for name, path in module_paths().items():
        for target in own_imports(path):
            if target not in level or target == name:
                continue
            if family(name) is not None and family(name) == family(target):
                continue
            assert level[target] < level[name], f"{name} imports {target}"


def test_a_family_imports_itself_without_a_circle() -> None:
    paths = {n: p for n, p in module_paths().items() if family(n)}
    needs = {
        name: {
            target
            for target in own_imports(path)
            if target in paths and target != name and family(target) == family(name)
        }
        for name, path in paths.items()
    }
    while ready := {name for name, wanted in needs.items() if not wanted & set(needs)}:
        needs = {name: wanted for name, wanted in needs.items() if name not in ready}
    assert not needs, f"these import each other in a circle: {sorted(needs)}"


def test_heavy_libraries_stay_where_they_belong() -> None:
    for name, path in module_paths().items():
        for library, homes in HOMES.items():
            used = any(n.split(".")[0] == library for n in imported_names(path))
            assert not used or homes & {name, family(name)}, f"{name} imports {library}"


def test_importing_the_package_loads_no_heavy_library() -> None:
    assert not loaded_after("import paretocast") & SLOW_TO_IMPORT


def test_importing_the_command_line_loads_no_heavy_library() -> None:
    assert not loaded_after("import paretocast.cli") & SLOW_TO_IMPORT
