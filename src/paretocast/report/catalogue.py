"""Studies, benchmarks and deployments of a workspace with their pages, read from its files.

What is damaged is an entry that says so, and hides no other one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from paretocast.cluster.collect import collect_status
from paretocast.errors import StoreError
from paretocast.results.stored_study import StoredStudy
from paretocast.results.table import load_run
from paretocast.workspace import files, stored
from paretocast.workspace.runs import find_runs, run_of_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from paretocast.cluster.base import Executor
    from paretocast.cluster.status import ExperimentStatus
    from paretocast.results.table import RunRow
    from paretocast.workspace.runs import RunDirectory

DAMAGED = "damaged"
# Names of a study's pages, as they are linked: those that are there.
STUDY_PAGES = {
    "study": "Study",
    "pareto_front": "Pareto front",
    "mae_history": "History",
    "param_importance": "Importance",
    "diagnosis": "Calibration",
}
BENCHMARK_PAGES = {"benchmark.html": "Benchmark", "series.html": "All series"}
OTHER_PAGES = {"results/explored.html": "What the searches explored"}
POINTER = "current"  # of a deployment to its bundle
NO_DEPLOYMENTS = frozenset({"results", "benchmarks", "logs", "tracking", "data", "site", "jobs"})


@dataclass(frozen=True)
class Page:
    """A page that is there, and the words of links to it."""

    title: str
    path: Path


@dataclass(frozen=True)
class StudyEntry:
    """A study of the workspace.

    Attributes
    ----------
    state : str
        As in `paretocast status`, or "damaged".
    n_ended, n_asked : int or None
        Trials with a record, and those asked for, where that is known.
    row : RunRow or None
        Scores of the chosen trial; None without a result that can be read.
    unit : str
        Of the target.
    recommended : str
        Method that the study recommends; empty without one.
    params : dict
        Config of the chosen trial.
    calibrators : tuple of str
        Methods that `calibrate` has fitted.
    problems : tuple of str
        Faults of its files, in sentences.
    """

    run: RunDirectory
    state: str
    n_ended: int
    n_asked: int | None
    row: RunRow | None
    unit: str
    recommended: str
    params: dict[str, Any]
    calibrators: tuple[str, ...]
    pages: tuple[Page, ...]
    problems: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.run.study_name


@dataclass(frozen=True)
class BenchmarkEntry:
    """A benchmark of the workspace.

    Attributes
    ----------
    chosen : str
        Method that was chosen without the test split; for many series, how many there are.
    scores : dict of str to float or None
        Of that method on the test split: MAE, pinball and Winkler in `unit`, PICP in percent.
    sources : tuple of str
        Origins of the configs, which name their studies.
    """

    folder: Path
    dataset: str
    created: str
    chosen: str
    unit: str
    scores: dict[str, float | None]
    sources: tuple[str, ...]
    pages: tuple[Page, ...]
    problem: str = ""

    def uses(self, study: str) -> bool:
        """Return whether a config comes from a study."""
        name = re.compile(rf"(?<!\S){re.escape(study)}(?![\w.+-])")
        return any(name.search(source) for source in self.sources)


@dataclass(frozen=True)
class DeploymentEntry:
    """A deployment that lies in the workspace.

    Attributes
    ----------
    study : str
        Name of the study it comes from.
    health : str
        Level that `monitor` found last; empty before it did.
    latest : str
        Latest issue, as its file is named; empty before the first.
    """

    folder: Path
    series: str
    method: str
    study: str
    learned_until: str
    health: str
    latest: str
    pages: tuple[Page, ...]
    problem: str = ""


@dataclass(frozen=True)
class Catalogue:
    """All that a workspace holds, the newest first."""

    studies: tuple[StudyEntry, ...]
    benchmarks: tuple[BenchmarkEntry, ...]
    deployments: tuple[DeploymentEntry, ...]
    others: tuple[Page, ...]

    def neighbours(self) -> Iterator[tuple[Page, tuple[Page, ...]]]:
        """Every page with those that belong to it, itself among them, in the order of links."""
        for study in self.studies:
            related = (*study.pages, *_titled(self.benchmarks_of(study)), *self._deployed(study))
            yield from ((page, related) for page in study.pages)
        for benchmark in self.benchmarks:
            own = _titled((benchmark,)) if len(benchmark.pages) == 1 else benchmark.pages
            studies = [study for study in self.studies if benchmark.uses(study.name)]
            related = (*(_first_page(study) for study in studies if study.pages), *own)
            yield from ((page, related) for page in own)
        for deployment in self.deployments:
            studies = [s for s in self.studies if s.name == deployment.study and s.pages]
            related = (*(_first_page(study) for study in studies), *deployment.pages)
            yield from ((page, related) for page in deployment.pages)
        yield from ((page, (page,)) for page in self.others)

    def benchmarks_of(self, study: StudyEntry) -> tuple[BenchmarkEntry, ...]:
        """Benchmarks that a config of the study was in."""
        return tuple(entry for entry in self.benchmarks if entry.uses(study.name))

    def _deployed(self, study: StudyEntry) -> list[Page]:
        found = (entry for entry in self.deployments if entry.study == study.name)
        return [
            Page(f"Deployment {entry.folder.name}", page.path)
            for entry in found
            for page in entry.pages[:1]
        ]


def collect(workspace: Path, *, executor: Executor | None = None) -> Catalogue:
    """Everything that a workspace holds; nothing raises over a file that is damaged.

    Parameters
    ----------
    executor : Executor, optional
        Asked for the states of jobs.
    """
    reported = collect_status(workspace, executor, now=datetime.now(UTC)).experiments
    statuses = {status.id: status for status in reported if status.row.stage != "2"}
    runs = {run.study_name: run for run in find_runs(workspace)}
    runs |= {name: s.row.run_directory(workspace) for name, s in statuses.items()}
    for path in (workspace / "results").glob("*/best_params_*.json"):
        job_id = path.stem.removeprefix(f"best_params_{path.parent.name}_")
        try:
            run = run_of_manifest(path.with_name(f"manifest_{job_id}.json"))
        except StoreError:
            continue
        runs.setdefault(run.study_name, run)
    studies = [_study(run, statuses.get(name)) for name, run in runs.items()]
    others = (Page(title, workspace / path) for path, title in OTHER_PAGES.items())
    return Catalogue(
        studies=tuple(sorted(studies, key=lambda study: _changed(study.run), reverse=True)),
        benchmarks=_benchmarks(workspace),
        deployments=tuple(_deployment(folder) for folder in _deployment_folders(workspace)),
        others=tuple(page for page in others if page.path.is_file()),
    )


def _study(run: RunDirectory, status: ExperimentStatus | None) -> StudyEntry:
    row, result, manifest = None, dict[str, Any](), dict[str, Any]()
    problems = list(status.progress.problems) if status else []
    try:
        study = StoredStudy.open(run)
        manifest = study.manifest
        if files.exists(run.best_params):
            result, row = study.result, load_run(run.best_params)
    except (StoreError, OSError) as error:
        problems.append(str(error))
    asked = status.row.trials if status else ""
    choice = result.get("choice") or {}
    return StudyEntry(
        run=run,
        state=DAMAGED if problems or status is None else str(status.state),
        n_ended=status.progress.n_ended if status else 0,
        n_asked=int(asked) if asked.isdigit() else None,
        row=row,
        unit=_unit(manifest),
        recommended=str(choice.get("method", "")),
        params=result.get("best_params", {}),
        calibrators=tuple(_calibrators(run)),
        pages=_there((title, run.page(name)) for name, title in STUDY_PAGES.items()),
        problems=tuple(dict.fromkeys(problems)),
    )


def _unit(manifest: dict[str, Any]) -> str:
    if not manifest:
        return ""
    unit = manifest["comparable"]["task"].get("unit", "")
    return unit if isinstance(unit, str) else ""


def _calibrators(run: RunDirectory) -> Iterator[str]:
    for path in sorted(run.folder.glob(f"calibrator_{_literal(run.study_name)}_*.json")):
        try:
            fitted = stored.load(path, stored.CalibratorFile)["calibrator"]
        except StoreError:
            continue  # `calibrate` and `diagnose` name its fault
        subject = re.sub(r"^trial0*(?=\d)", "trial ", path.stem.rpartition("_")[2])
        yield f"{fitted.get('name', '')} of {subject}"


def _benchmarks(workspace: Path) -> tuple[BenchmarkEntry, ...]:
    folders = (path for path in (workspace / "benchmarks").glob("*/") if path.is_dir())
    entries = [entry for folder in folders if (entry := _benchmark(folder)) is not None]
    return tuple(sorted(entries, key=lambda e: (e.created, e.folder.name), reverse=True))


def _benchmark(folder: Path) -> BenchmarkEntry | None:
    """The benchmark of a folder; None for a folder that holds none."""
    pages = _there((title, folder / name) for name, title in BENCHMARK_PAGES.items())
    dataset, _, stamp = folder.name.removesuffix("_series").rpartition("_")
    metrics, series = folder / "metrics.json", folder / "series.json"
    scores: dict[str, float | None] = {}
    chosen = created = unit = problem = ""
    sources: tuple[str, ...] = ()
    try:
        if metrics.is_file():
            content = stored.load(metrics, stored.BenchmarkFile)
            dataset, unit, created = (content[name] for name in ("dataset", "unit", "created"))
            chosen = content["chosen_on_validation"]
            sources = tuple(part["source"] for part in content["parameters"])
            rows = {_label(row): row for row in content["rows"]}
            names = ("mae", "pinball", "winkler", "picp")
            scores = {name: rows[chosen][name] for name in names if chosen in rows}
        elif series.is_file():
            chosen = f"{len(stored.load(series, stored.SeriesFile)['rows'])} series"
        elif not pages:
            return None
    except StoreError as error:
        problem = str(error)
    created = created or _of_stamp(stamp)
    return BenchmarkEntry(
        folder, dataset, created, chosen, unit, scores, sources, pages, problem=problem
    )


def _label(row: dict[str, Any]) -> str:
    """As `Entry.label`."""
    kind = "" if row["parameters"] == "none" else f" {row['parameters']}"
    return f"{row['method']}{kind}, {row['calibrator']}"


def _of_stamp(stamp: str) -> str:
    """The time in a folder's name, ISO 8601; empty where it holds none."""
    try:
        return datetime.strptime(stamp, "%Y%m%d-%H%M%S").replace(tzinfo=UTC).isoformat()
    except ValueError:
        return ""


def _deployment_folders(workspace: Path) -> list[Path]:
    """Folders of deployments in the workspace, at most two below it."""
    tops = [p for p in workspace.glob("*/") if p.is_dir() and p.name not in NO_DEPLOYMENTS]
    nested = [path for top in tops for path in top.glob("*/")]
    return sorted(path for path in (*tops, *nested) if (path / POINTER).is_file())


def _deployment(folder: Path) -> DeploymentEntry:
    series = method = study = learned = health = problem = ""
    try:
        bundle = folder / "bundles" / files.load_text(folder / POINTER).strip() / "bundle.json"
        content = stored.load(bundle, stored.BundleFile)
        series, method, study = (content[name] for name in ("series", "method", "study"))
        learned = content["learned_until"]
        if (folder / "health.json").is_file():
            health = stored.load(folder / "health.json", stored.HealthFile)["level"]
    except StoreError as error:
        problem = str(error)
    issued = sorted(path.stem for path in (folder / "journal" / "issued").glob("*/*.json"))
    pages = [("Health" if p.stem == "health" else p.stem, p) for p in sorted(folder.glob("*.html"))]
    return DeploymentEntry(
        folder=folder,
        series=series,
        method=method,
        study=study,
        learned_until=learned,
        health=health,
        latest=issued[-1].partition(".")[0] if issued else "",
        pages=_there(pages),
        problem=problem,
    )


def _there(pages: Sequence[tuple[str, Path]] | Iterator[tuple[str, Path]]) -> tuple[Page, ...]:
    return tuple(Page(title, path) for title, path in pages if _is_page(path))


def _is_page(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # in a folder that may not be looked into
        return False


def _titled(benchmarks: Sequence[BenchmarkEntry]) -> tuple[Page, ...]:
    """Pages of benchmarks, each with its time, which tells it from the others."""
    return tuple(
        Page(f"{page.title} {entry.created[:16].replace('T', ' ')}", page.path)
        for entry in benchmarks
        for page in entry.pages
    )


def _first_page(study: StudyEntry) -> Page:
    return Page(f"Study {study.name}", study.pages[0].path)


def _changed(run: RunDirectory) -> float:
    """Time of the last result, else of the manifest; 0 where neither is there."""
    for path in (run.best_params, run.manifest, run.trials_folder):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return 0.0


def _literal(name: str) -> str:
    """A name as a pattern that means it."""
    return re.sub(r"([\[*?])", r"[\1]", name)
