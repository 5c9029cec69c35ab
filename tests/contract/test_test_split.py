"""The test split is read by the benchmark and by nothing else, and no choice depends on it."""

from __future__ import annotations

import ast
from pathlib import Path

import paretocast

ROOT = Path(paretocast.__file__).parent
# `Task.from_settings` hands the question on, the benchmark alone asks it.
ASKING = "benchmarking/test_split.py"
HANDING_ON = "data/task.py"
# A deployed model may learn from every hour, and a challenger is judged on the newest weeks, which
# neither model has learned from. No search follows from either.
LEARNING_ALL = ("deployment/challenge.py", "deployment/plan.py")
CHECKING = "data/readiness.py"  # says what is missing there before anything is trained


def test_only_the_benchmark_and_a_refit_ask_for_the_test_period() -> None:
    askers = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and any(k.arg == "with_test" for k in node.keywords):
                askers.add(path.relative_to(ROOT).as_posix())
    assert askers == {ASKING, HANDING_ON, CHECKING, *LEARNING_ALL}


def test_a_search_never_uses_the_benchmark() -> None:
    users = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "paretocast.benchmarking"
            ):
                users.add(path.relative_to(ROOT).as_posix().split("/")[0])
    assert users <= {"api", "benchmarking", "cli", "deployment", "report"}
