"""Index of a workspace: its studies, benchmarks and deployments, sorted, filtered and compared.

The tables are there without a script; sorting, the filter and the comparison need it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from paretocast.formatting import count, fixed, same_decimals
from paretocast.report.page import MISSING, POLICY, asset, breakable, document, fact_boxes
from paretocast.workspace.files import without_nan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from paretocast.report.catalogue import (
        BenchmarkEntry,
        Catalogue,
        DeploymentEntry,
        Page,
        StudyEntry,
    )

LIVE_POLICY = f"{POLICY}; connect-src 'self'"
STUDY_COLUMNS = (
    *("Study", "State", "MAE", "Coverage (%)", "Against best reference (%)"),
    *("Winkler score", "Recommended", "Written", "Pages"),
)
BENCHMARK_COLUMNS = (
    *("Benchmark", "Chosen method", "MAE", "Coverage (%)", "Winkler score", "Made", "Pages"),
)
DEPLOYMENT_COLUMNS = (
    *("Deployment", "Method", "Learned until", "Latest issue", "Health", "Pages"),
)
COMPARED = ("mae", "picp", "pinball", "winkler", "mean_width", "reference_gain_percent")


@dataclass(frozen=True)
class Cell:
    """A cell: HTML, and what it is sorted by."""

    html: str
    key: str | float | None = None


def index_page(catalogue: Catalogue, workspace: Path, *, live: bool = False) -> str:
    """The index of a workspace.

    Parameters
    ----------
    live : bool
        Served by `paretocast view`: it follows what changes, and links to studies under way.
    """
    n_running = sum(study.state == "running" for study in catalogue.studies)
    facts = [
        ("Studies", str(len(catalogue.studies)), f"{n_running} running"),
        ("Benchmarks", str(len(catalogue.benchmarks)), "on the test split"),
        ("Deployments", str(len(catalogue.deployments)), "in this workspace"),
    ]
    address = _Addresses(workspace)
    body = [
        fact_boxes(facts),
        _controls(catalogue),
        _studies(catalogue, address, live=live),
        '<section id="comparison" aria-live="polite" hidden></section>',
        _benchmarks(catalogue.benchmarks, address),
        _deployments(catalogue.deployments, address),
        _others(catalogue.others, address),
        _data(catalogue.studies),
    ]
    name = workspace.absolute().name
    return document(
        f"Results in {name}",
        eyebrow=f"workspace {name}",
        heading="All results",
        lede=(
            "Scores of studies are of the tune split, those of benchmarks of the test split, which "
            "no search has used. Errors are in the unit of each data set."
        ),
        body=body,
        footer="follows what changes" if live else f"as of {datetime.now(UTC):%Y-%m-%d %H:%M}Z",
        with_figures=False,
        script=asset("index.js") + (asset("index_live.js") if live else ""),
        policy=LIVE_POLICY if live else POLICY,
    )


@dataclass(frozen=True)
class _Addresses:
    """Addresses of pages, as the index links to them."""

    workspace: Path

    def of(self, path: Path) -> str:
        return quote(os.path.relpath(path.absolute(), self.workspace.absolute()), safe="/")

    def links(self, pages: Sequence[Page]) -> str:
        return " ".join(f'<a href="{self.of(p.path)}">{escape(p.title)}</a>' for p in pages)


def _controls(catalogue: Catalogue) -> str:
    names = {study.run.dataset for study in catalogue.studies}
    names |= {entry.dataset for entry in catalogue.benchmarks}
    options = "".join(f"<option>{escape(name)}</option>" for name in sorted(names))
    return (
        '<form class="controls" hidden><label>Filter <input id="filter" type="search" '
        'placeholder="model, state, id …" autocomplete="off"></label> <label>Data set '
        f'<select id="dataset"><option value="">all</option>{options}</select></label> '
        '<output id="shown"></output></form>'
    )


def _studies(catalogue: Catalogue, address: _Addresses, *, live: bool) -> str:
    studies = catalogue.studies
    if not studies:
        return "<h2>Studies</h2><p>None yet: <code>paretocast tune</code> makes one.</p>"
    names = [study.run.dataset for study in studies]
    maes = _decimals(names, [study.row.mae if study.row else None for study in studies])
    winklers = _decimals(names, [study.row.winkler if study.row else None for study in studies])
    rows = []
    for study, mae, winkler in zip(studies, maes, winklers, strict=True):
        related = list(study.pages)
        cells = [
            _study_name(study, address),
            Cell(f"{_state(study.state)}<small>{_trials(study)}</small>", study.state),
            Cell(_with_unit(mae, study.unit), study.row.mae if study.row else None),
            *_coverage_and_gain(study),
            Cell(winkler, study.row.winkler if study.row else None),
            Cell(escape(study.recommended) or MISSING, study.recommended),
            _time(study.row.optimization_date if study.row else ""),
            Cell(_study_links(study, address.links(related), live=live)),
        ]
        pick = study.name if study.row else ""
        rows.append(_row(STUDY_COLUMNS, cells, dataset=study.run.dataset, pick=pick, picks=True))
    note = (
        '<p class="controls" hidden>Tick studies to compare their chosen models side by side.</p>'
    )
    return f"<h2>Studies</h2>{note}" + _table("studies", STUDY_COLUMNS, rows, picks=True)


def _study_name(study: StudyEntry, address: _Addresses) -> Cell:
    dataset = escape(study.run.dataset)
    name = f'<a href="{address.of(study.pages[0].path)}">{dataset}</a>' if study.pages else dataset
    small = f"<small>{breakable(study.run.model)}<br>{escape(study.run.job_id)}</small>"
    faults = "".join(f'<small class="fault">{escape(text)}</small>' for text in study.problems)
    return Cell(f"<strong>{name}</strong>{small}{faults}", f"{study.run.dataset} {study.run.model}")


def _study_links(study: StudyEntry, links: str, *, live: bool) -> str:
    fitted = "".join(f"<small>calibrated: {escape(name)}</small>" for name in study.calibrators)
    follow = f'<a href="live/{quote(study.name, safe="")}">Follow</a> ' if live else ""
    return f"{follow}{links or ('' if live else MISSING)}{fitted}"


def _coverage_and_gain(study: StudyEntry) -> tuple[Cell, Cell]:
    row = study.row
    if row is None:
        return Cell(MISSING), Cell(MISSING)
    interval = f"<small>{row.picp_low:.1f} to {row.picp_high:.1f}</small>"
    gain = row.reference_gain_percent
    above = None if gain is None else -gain
    shown = fixed(above, 1, signed=True)
    beside = f"<small>{escape(row.best_reference.replace('_', ' '))}</small>"
    return (
        Cell(f"{row.picp:.1f}{interval}", row.picp),
        Cell(f"{shown}{beside if gain is not None else ''}", above),
    )


def _benchmarks(entries: Sequence[BenchmarkEntry], address: _Addresses) -> str:
    if not entries:
        return ""
    names = [entry.dataset for entry in entries]
    maes = _decimals(names, [entry.scores.get("mae") for entry in entries])
    winklers = _decimals(names, [entry.scores.get("winkler") for entry in entries])
    rows = []
    for entry, mae, winkler in zip(entries, maes, winklers, strict=True):
        picp = entry.scores.get("picp")
        cells = [
            Cell(
                f"<strong>{escape(entry.dataset)}</strong>{_fault(entry.problem)}",
                entry.dataset,
            ),
            Cell(escape(entry.chosen) or MISSING, entry.chosen),
            Cell(_with_unit(mae, entry.unit), entry.scores.get("mae")),
            Cell(fixed(picp, 1), picp),
            Cell(winkler, entry.scores.get("winkler")),
            _time(entry.created),
            Cell(address.links(entry.pages) or MISSING),
        ]
        rows.append(_row(BENCHMARK_COLUMNS, cells, dataset=entry.dataset))
    return "<h2>Benchmarks</h2>" + _table("benchmarks", BENCHMARK_COLUMNS, rows)


def _deployments(entries: Sequence[DeploymentEntry], address: _Addresses) -> str:
    if not entries:
        return ""
    rows = []
    for entry in entries:
        name = escape(entry.folder.name)
        study = f"<small>{escape(entry.study)}</small>" if entry.study else ""
        cells = [
            Cell(f"<strong>{name}</strong>{study}{_fault(entry.problem)}", entry.folder.name),
            Cell(escape(entry.method) or MISSING, entry.method),
            _time(entry.learned_until),
            _time(entry.latest),
            Cell(escape(entry.health) or "not monitored yet", entry.health),
            Cell(address.links(entry.pages) or MISSING),
        ]
        rows.append(_row(DEPLOYMENT_COLUMNS, cells, dataset=entry.series))
    return "<h2>Deployments</h2>" + _table("deployments", DEPLOYMENT_COLUMNS, rows)


def _others(pages: Sequence[Page], address: _Addresses) -> str:
    items = "".join(
        f'<li><a href="{address.of(page.path)}">{escape(page.title)}</a></li>' for page in pages
    )
    return f"<h2>Of all studies together</h2><ul>{items}</ul>" if items else ""


def _data(studies: Iterable[StudyEntry]) -> str:
    """Figures that the script compares; `<` is written so that no markup can end the element."""
    content = {
        study.name: {
            "dataset": study.run.dataset,
            "model": study.run.model,
            "id": study.run.job_id,
            "unit": study.unit,
            "task": study.row.task,
            "trial": study.row.best_trial,
            "scores": {name: getattr(study.row, name) for name in COMPARED},
            "interval": [study.row.picp_low, study.row.picp_high],
            "target": study.row.target_coverage,
            "reference": study.row.best_reference.replace("_", " "),
            "recommended": study.recommended,
            "hours": study.row.training_hours,
            "params": study.params,
        }
        for study in studies
        if study.row is not None
    }
    text = json.dumps(without_nan(content)).replace("<", "\\u003c")
    return f'<script type="application/json" id="data">{text}</script>'


def _table(name: str, columns: Sequence[str], rows: Sequence[str], *, picks: bool = False) -> str:
    unseen = '<th scope="col" class="pick"><span class="unseen">Compare</span></th>'
    pick = unseen if picks else ""
    header = pick + "".join(
        f'<th scope="col"{"" if i else " class=name"}>{escape(column)}</th>'
        for i, column in enumerate(columns)
    )
    return (
        f'<div class="scroll listing" tabindex="0"><table id="{name}">'
        f'<caption class="unseen">All {name}: {escape(", ".join(columns))}</caption>'
        f"<thead><tr>{header}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(
    columns: Sequence[str],
    cells: Sequence[Cell],
    *,
    dataset: str,
    pick: str = "",
    picks: bool = False,
) -> str:
    """A row; `pick` is the study that its box stands for."""
    parts = [f'<tr data-dataset="{escape(dataset)}">']
    if picks:
        box = (
            f'<input type="checkbox" value="{escape(pick)}" aria-label="compare {escape(pick)}">'
            if pick
            else ""
        )
        parts.append(f'<td class="pick" data-label="Compare">{box}</td>')
    for i, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        tag, scope = ("td", "") if i else ("th", ' scope="row"')
        key = "" if cell.key is None else f' data-key="{escape(str(cell.key))}"'
        parts.append(f'<{tag}{scope}{key} data-label="{escape(column)}">{cell.html}</{tag}>')
    return "".join((*parts, "</tr>"))


def _decimals(names: Sequence[str], values: Sequence[float | None]) -> list[str]:
    """Figures of a column; those of one data set, by its name, have the same decimals."""
    shown = [""] * len(names)
    for name in set(names):
        places = [i for i, other in enumerate(names) if other == name]
        for i, text in zip(places, same_decimals([values[i] for i in places]), strict=True):
            shown[i] = text
    return shown


def _trials(study: StudyEntry) -> str:
    if study.n_asked is None:
        return count(study.n_ended, "trial")
    return f"{study.n_ended} of {count(study.n_asked, 'trial')}"


def _state(state: str) -> str:
    return f'<span class="state {escape(state)}">{escape(state)}</span>'


def _with_unit(value: str, unit: str) -> str:
    return value if value == MISSING or not unit else f"{value}<small>{escape(unit)}</small>"


def _fault(problem: str) -> str:
    return f'<small class="fault">damaged: {escape(problem)}</small>' if problem else ""


def _time(stamp: str) -> Cell:
    """A day with its time below; a dash for none."""
    day, _, hour = escape(stamp[:16]).partition("T")
    return Cell(f'<span class="day">{day}</span><small>{hour}</small>' if day else MISSING, stamp)
