"""Pages in a real browser: no error, every link, sorting, filter, comparison, a live study."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from browser import Browser, running_browser
from builders import make_task
from paretocast.api.pages import save_pages
from paretocast.api.viewer import open_server
from paretocast.metrics.diagnostics import diagnose, lead_grouping
from paretocast.report import diagnosis_page, following
from paretocast.report.site import save_page, update_site
from paretocast.workspace.claims import Claim
from paretocast.workspace.files import save_json
from paretocast.workspace.runs import RunDirectory
from runs import record_content
from samples import draw_sample
from sites import write_benchmark, write_deployment, write_study
from studies import make_run, make_settings, make_study, optimise

pytestmark = pytest.mark.timeout(600)  # on a machine that is busy with other work
NASTY = "<script>alert(1)<" + "script>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real study with all its pages, beside simple ones, a benchmark and a deployment."""
    place = tmp_path_factory.mktemp("site") / "hpo"
    result = optimise(make_study(place))
    save_pages(result, make_settings(), make_run(place), make_task())
    sample = draw_sample(np.random.default_rng(1), n_windows=40)
    diagnosis = diagnose(sample, (lead_grouping(40, 24),), target=80.0)
    page = diagnosis_page(diagnosis, model="NHITS_Q", dataset="small", unit="kWh", subject="x")
    save_page(make_run(place).page("diagnosis"), page, workspace=place)
    heat = write_study(place, mae=0.5)
    write_study(place, NASTY, job_id="x", mae=0.25)
    write_study(place, "water", job_id="b", mae=2.5)
    write_benchmark(place, heat)
    write_deployment(place, heat)
    update_site(place)
    return place


@pytest.fixture
def index(browser: Browser, workspace: Path) -> Browser:
    browser.errors.clear()
    browser.resize(1280)
    browser.open((workspace / "index.html").as_uri())
    return browser


def column(browser: Browser, table: str, number: int) -> list[str]:
    """First lines of the cells of a column, of the rows that are shown."""
    rows = f"[...document.querySelectorAll('#{table} tbody tr')].filter((row) => !row.hidden)"
    texts = browser.evaluate(f"{rows}.map((row) => row.children[{number}].innerText)")
    return [text.split("\n")[0] for text in texts]


def test_every_page_opens_on_a_phone_without_an_error_and_every_link_leads_to_one(
    browser: Browser, workspace: Path
) -> None:
    browser.errors.clear()
    browser.resize(400)
    waiting, seen = [(workspace / "index.html").as_uri()], set[str]()
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        seen.add(address)
        browser.open(address)
        assert browser.evaluate("document.querySelector('h1') !== null"), address
        plots = "[...document.querySelectorAll('.plotly-graph-div')]"
        browser.wait_for(f"{plots}.every((plot) => plot.querySelector('svg'))")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 400, address
        waiting += browser.evaluate("[...document.links].map((a) => a.href.split('#')[0])")
    assert browser.errors == []
    assert {Path(address).name for address in seen} == {
        path.name.replace("<", "%3C").replace(">", "%3E") for path in workspace.rglob("*.html")
    }


def test_another_day_is_drawn_when_it_is_picked(browser: Browser, workspace: Path) -> None:
    browser.errors.clear()
    browser.resize(1280)
    browser.open(make_run(workspace).page("study").as_uri())
    browser.evaluate(
        "{ const pick = document.getElementById('day-picker'); pick.value = '2'; "
        "pick.dispatchEvent(new Event('change')); }"
    )
    days = "JSON.parse(document.getElementById('day-days').textContent)"
    drawn = "document.getElementById('day').data.at(-1).y"
    assert browser.evaluate(drawn) == browser.evaluate(f"{days}[2].o")
    assert browser.evaluate(f"{days}[2].o") != browser.evaluate(f"{days}[0].o")
    said = browser.evaluate("document.getElementById('day-said').textContent")
    assert said == browser.evaluate(f"{days}[2].said")
    assert browser.errors == []


def test_a_data_set_called_script_stays_text(index: Browser) -> None:
    assert NASTY in column(index, "studies", 1)
    assert index.errors == []


def test_a_click_on_a_header_sorts_and_a_second_one_turns_the_order(index: Browser) -> None:
    button = (
        "[...document.querySelectorAll('#studies thead button')].find((b) => b.innerText == 'MAE')"
    )
    index.evaluate(f"{button}.click()")
    maes = [float(text) for text in column(index, "studies", 3)]
    assert maes == sorted(maes)
    assert len(maes) == 4
    index.evaluate(f"{button}.click()")
    assert [float(text) for text in column(index, "studies", 3)] == maes[::-1]
    assert index.evaluate(f"{button}.closest('th').getAttribute('aria-sort')") == "descending"


def test_the_filter_shows_the_rows_that_hold_every_word(index: Browser) -> None:
    type_in(index, "filter", "nhits HEAT")
    assert column(index, "studies", 1) == ["heat"]
    assert index.evaluate("document.getElementById('shown').innerText") == "3 of 6 rows"
    type_in(index, "filter", "")
    type_in(index, "dataset", "water")
    assert column(index, "studies", 1) == ["water"]
    assert column(index, "benchmarks", 0) == []


def type_in(browser: Browser, name: str, text: str) -> None:
    browser.evaluate(
        f"{{ const field = document.getElementById('{name}'); field.value = '{text}'; "
        "field.dispatchEvent(new Event('input')); }"
    )


def test_chosen_models_are_compared_side_by_side(index: Browser) -> None:
    boxes = "[...document.querySelectorAll('td.pick input')]"
    index.evaluate(
        f"{boxes}.filter((box) => /heat|water/.test(box.value)).forEach((b) => b.click())"
    )
    text = index.evaluate("document.getElementById('comparison').innerText")
    assert "These were not scored on the same hours" in text or "lowest losses are marked" in text
    assert re.search(r"MAE\s+(0\.5\s+2\.5|2\.5\s+0\.5)", text)
    assert "lr" in text
    index.evaluate(f"{boxes}.filter((box) => box.checked)[0].click()")
    assert index.evaluate("document.getElementById('comparison').hidden")


@pytest.mark.parametrize("dark", [False, True])
def test_a_page_has_the_colours_that_its_reader_prefers(index: Browser, *, dark: bool) -> None:
    index.resize(1280, dark=dark)
    ink = index.evaluate("getComputedStyle(document.body).color")
    assert (ink == "rgb(230, 233, 237)") == dark


@pytest.mark.slow
def test_a_study_prints_on_three_sheets_at_most(browser: Browser, workspace: Path) -> None:
    browser.resize(1280)
    browser.open(make_run(workspace).page("study").as_uri())
    n_sheets = len(re.findall(rb"/Type\s*/Page\b", browser.pdf()))
    assert 1 <= n_sheets <= 3


def test_a_study_is_followed_as_its_trials_end(
    browser: Browser, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, every = following.follow_page, "EVERY_MILLISECONDS = "
    faster = f"{every}100; // "
    monkeypatch.setattr(following, "follow_page", lambda run: page(run).replace(every, faster))
    run = RunDirectory(workspace, "NHITS_Q", "water", "b")
    browser.errors.clear()
    with open_server(workspace, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        browser.open(address)
        browser.evaluate("document.querySelector('a[href*=\"live/NHITS_Q_water_b\"]').click()")
        browser.wait_for("document.querySelectorAll('#latest tbody tr').length === 2")
        claim = Claim.take(run.trial_folder(2))
        assert claim is not None
        browser.wait_for("document.getElementById('facts').innerText.includes('running')")
        save_json(run.record(2), record_content(2))
        claim.settle()
        browser.wait_for("document.querySelectorAll('#latest tbody tr').length === 3")
        browser.wait_for("document.getElementById('facts').innerText.includes('3 of 2')")
        server.shutdown()
        thread.join()
    assert browser.errors == []
