"""Workspaces that tests of the site share: files as commands leave them, written at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paretocast.report.page import document
from paretocast.report.site import save_page
from paretocast.workspace.files import save_json, save_text
from paretocast.workspace.runs import RunDirectory
from runs import manifest_content, record_content, result_content


def write_study(
    workspace: Path,
    dataset: str = "heat",
    *,
    model: str = "NHITS_Q",
    job_id: str = "a",
    mae: float = 1.0,
    trials: int = 2,
    pages: tuple[str, ...] = ("pareto_front", "mae_history"),
) -> RunDirectory:
    """A study with complete trials, a result and empty pages."""
    run = RunDirectory(workspace, model, dataset, job_id)
    asked = {"trials": trials, "objectives": ["mae", "winkler"]}
    save_json(run.manifest, manifest_content(model=model, dataset=dataset, **asked))
    result = result_content(run, n_trials=trials)
    result["validation_metrics"]["mae"] = result["best_mae"] = mae
    result["references"] = {"ridge": {**result["validation_metrics"], "mae": 2.0}}
    save_json(run.best_params, result)
    for number in range(trials):
        scores = {**record_content(number)["scores"], "mae": mae}  # type: ignore[dict-item]
        save_json(run.record(number), record_content(number, scores=scores))
    for name in pages:
        save_page(run.page(name), simple_page(name), workspace=workspace)
    return run


def write_benchmark(workspace: Path, study: RunDirectory, stamp: str = "20260102-030405") -> Path:
    """A benchmark in which a config of the study was, with an empty page."""
    folder = workspace / "benchmarks" / f"{study.dataset}_{stamp}"
    row = {"method": study.model, "parameters": "tuned", "calibrator": "cqr"}
    scores = {"mae": 1.25, "pinball": 0.5, "winkler": 6.0, "picp": 79.0}
    content: dict[str, Any] = {
        "schema_version": 1,
        "dataset": study.dataset,
        "unit": "kWh",
        "created": "2026-01-02T03:04:05+00:00",
        "chosen_on_validation": f"{study.model} tuned, cqr",
        "parameters": [{"model": study.model, "source": f"trial 0 of {study.study_name}, lowest"}],
        "rows": [{**row, **scores}],
    }
    save_json(folder / "metrics.json", content)
    save_page(folder / "benchmark.html", simple_page("benchmark"), workspace=workspace)
    return folder


def write_deployment(workspace: Path, study: RunDirectory, name: str = "heat") -> Path:
    """A deployment of the study inside the workspace, with the page of its health."""
    folder = workspace / "deploy" / name
    bundle = {"series": study.dataset, "method": "trial 0", "study": study.study_name}
    save_text(folder / "current", "abc\n")
    save_json(
        folder / "bundles" / "abc" / "bundle.json",
        {**bundle, "learned_until": "2026-01-01T00:00:00+00:00"},
    )
    save_json(folder / "health.json", {"level": "watch"})
    save_page(folder / "health.html", simple_page("health"), workspace=workspace)
    return folder


def simple_page(title: str) -> str:
    """A page with the script of figures and none of them."""
    return document(title, eyebrow="", heading=title, lede="", body=[], footer="")
