"""Weight of the pages of a workspace, and the time until a browser shows them.

python benchmarks/page_weight.py hpo

Needs Chromium. For the index, and the largest page of each kind: what it weighs, and medians of the
time from the request until the page is loaded and the figures in its first window are drawn, and
until all are; beside each the processor time of the page's main thread, which other work on the
machine does not stretch. The last lines give what the workspace weighs, and what 20 studies like
its heaviest one would.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import print_result, print_table, script_parser

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from browser import Browser, running_browser

N_STUDIES = 20
WIDTH, HEIGHT = 1280, 900
MOST_WAITS = 300
# When the last element of a figure was added, so far.
NOTING = """
window.lastDrawn = 0;
new MutationObserver((changes) => changes.forEach((change) => {
  if (change.target.closest && change.target.closest(".plotly-graph-div")) {
    lastDrawn = performance.now();
  }
})).observe(document, { childList: true, subtree: true });
"""
# What lies below the first window is drawn by timers.
FIRST_WINDOW = "window.firstWindow = true; window.setTimeout = () => 0;"
ALL_DRAWN = (
    "[...document.querySelectorAll('.plotly-graph-div')].every((place) => "
    "place.closest('details:not([open])') || place.querySelector('svg'))"
)


def main() -> None:
    """Weigh and open the pages of a workspace."""
    parser = script_parser(__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    pages = [path for path in arguments.workspace.rglob("*.html") if "site" not in path.parts]
    chosen = _largest_of_each_kind(pages)
    with (
        tempfile.TemporaryDirectory() as profile,
        running_browser(Path(profile)) as browser,
    ):
        browser.resize(WIDTH, HEIGHT)
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=NOTING)
        browser.call("Performance.enable", timeDomain="threadTicks")
        rows = [_row(browser, path, arguments.rounds) for path in chosen]
    columns = ["page", "kB", "figures", "ready s", "its thread s", "all drawn s", "their thread s"]
    print_table(columns, rows)
    figures = _weights(arguments.workspace, pages)
    print(f"\nworkspace {figures['workspace_mb']:.2f} MB, {len(pages)} pages")
    print(f"{N_STUDIES} studies like its heaviest {figures['projected_mb']:.2f} MB")
    listed = [dict(zip(columns, map(str, row), strict=True)) for row in rows]
    print_result({**figures, "pages": listed})


def _largest_of_each_kind(pages: list[Path]) -> list[Path]:
    """A page of each kind, by the beginning of its name; the index first."""
    by_kind: dict[str, Path] = {}
    for path in sorted(pages, key=lambda path: path.stat().st_size):
        by_kind[path.stem.partition("_")[0]] = path
    return sorted(by_kind.values(), key=lambda path: (path.stem != "index", path.stem))


def _row(browser: Browser, path: Path, rounds: int) -> list[Any]:
    """Medians over some loads of a page; the first one, which warms the disk up, is left out."""
    whole = np.median([_load(browser, path) for _ in range(rounds + 1)][1:], axis=0)
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=FIRST_WINDOW)
    first = np.median([_load(browser, path) for _ in range(rounds)], axis=0)
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])
    n_figures = path.read_text("utf-8").count('class="plotly-graph-div"')
    times = (*first, *whole)
    return [path.stem.partition("_")[0], path.stat().st_size / 1e3, n_figures, *np.round(times, 3)]


def _load(browser: Browser, path: Path) -> tuple[float, float]:
    """Seconds until a page is loaded and drawn, and of its main thread."""
    browser.open("about:blank")
    browser.open(path.absolute().as_uri())
    for _ in range(MOST_WAITS):
        before = browser.evaluate("lastDrawn")
        time.sleep(0.3)
        if browser.evaluate(f"({ALL_DRAWN} || window.firstWindow) && lastDrawn === {before}"):
            break
    metrics = browser.call("Performance.getMetrics")["metrics"]
    thread = next(m["value"] for m in metrics if m["name"] == "TaskDuration")
    load = browser.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    return max(load, browser.evaluate("lastDrawn")) / 1e3, thread


def _weights(workspace: Path, pages: list[Path]) -> dict[str, float]:
    """Megabytes of a workspace's pages and of one with more studies."""
    shared = sum(p.stat().st_size for p in (workspace / "site").rglob("*") if p.is_file())
    index = (workspace / "index.html").stat().st_size
    studies: dict[Path, int] = {}
    for path in pages:
        if path.parent.parent.name == "results":
            studies[path.parent] = studies.get(path.parent, 0) + path.stat().st_size
    total = shared + sum(path.stat().st_size for path in pages)
    heaviest = max(studies.values(), default=0)
    projected = shared + N_STUDIES * (heaviest + index / max(1, len(studies)))
    return {"workspace_mb": total / 1e6, "projected_mb": projected / 1e6}


if __name__ == "__main__":
    main()
