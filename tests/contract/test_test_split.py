"""The test split is read by the benchmark and by nothing else, and no choice depends on it."""

from __future__ import annotations

import ast
from pathlib import Path

import paretocast

ROOT = Path(paretocast.__file__).parent
# Where `plan_task(with_test=True)` may be written.
GROUND = "benchmarking/test_split.py"


def test_only_the_ground_of_a_proof_asks_for_the_test_period() -> None:
    askers = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and any(k.arg == "with_test" for k in node.keywords):
                askers.add(path.relative_to(ROOT).as_posix())
    assert askers == {GROUND}


def test_only_the_benchmark_opens_that_ground() -> None:
    users = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "paretocast.benchmarking"
            ):
                users.add(path.relative_to(ROOT).as_posix().split("/")[0])
    assert users <= {"api", "benchmarking", "cli", "report"}
