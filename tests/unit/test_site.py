"""The site of a workspace: what its index lists, how its pages are linked, what they weigh."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from commands import run_cli
from paretocast.errors import StoreError
from paretocast.report.catalogue import collect
from paretocast.report.page import asset
from paretocast.report.site import save_page, self_contained, update_site
from paretocast.workspace.runs import RunDirectory
from sites import simple_page, write_benchmark, write_deployment, write_study

NASTY = "<script>alert(1)<" + "script>"


class Parsed(HTMLParser):
    """Links, tags and cells of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.headers: list[dict[str, str | None]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.tags.append(tag)
        named = dict(attrs)
        self.links += [named["href"] or ""] if "href" in named else []
        self.loaded += [named["src"] or ""] if "src" in named else []
        if tag == "th":
            self.headers.append(named)

    def handle_data(self, data: str) -> None:
        if self._inside not in {"script", "style"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def parsed(path: Path) -> Parsed:
    return Parsed(path.read_text("utf-8"))


def pages_of(workspace: Path) -> list[Path]:
    return sorted(workspace.rglob("*.html"))


def dead_links(workspace: Path) -> list[str]:
    return [
        f"{page.relative_to(workspace)} -> {link}"
        for page in pages_of(workspace)
        for link in (*parsed(page).links, *parsed(page).loaded)
        if not (page.parent / unquote(link.partition("#")[0] or page.name)).resolve().is_file()
    ]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Two studies, a benchmark of the first one and its deployment."""
    place = tmp_path / "hpo"
    study = write_study(place, mae=0.75)
    write_study(place, "water", job_id="b", pages=("pareto_front", "diagnosis"))
    write_benchmark(place, study)
    write_deployment(place, study)
    update_site(place)
    return place


def test_the_index_lists_studies_benchmarks_and_deployments_with_their_scores(
    workspace: Path,
) -> None:
    text = parsed(workspace / "index.html").text
    assert "Studies 2 0 running Benchmarks 1" in text
    assert "heat NHITS_Q a finished 2 of 2 trials 0.7500" in text
    assert "80.0 70.0 to 90.0 -62.5 ridge" in text
    assert "NHITS_Q tuned, cqr 1.250 kWh 79.0 6.000 2026-01-02 03:04" in text
    assert "heat NHITS_Q_heat_a trial 0 2026-01-01 00:00 – watch" in text


def test_every_page_links_to_the_index_and_to_its_neighbours_and_nowhere_dead(
    workspace: Path,
) -> None:
    assert dead_links(workspace) == []
    for page in pages_of(workspace):
        linked = any(link.endswith("index.html") for link in parsed(page).links)
        assert linked != (page.name == "index.html")
    study = parsed(workspace / "results" / "NHITS_Q_heat" / "pareto_front_a.html")
    assert "mae_history_a.html" in study.links
    assert "../../benchmarks/heat_20260102-030405/benchmark.html" in study.links
    assert "../../deploy/heat/health.html" in study.links
    benchmark = parsed(workspace / "benchmarks" / "heat_20260102-030405" / "benchmark.html")
    assert "../../results/NHITS_Q_heat/pareto_front_a.html" in benchmark.links
    assert not any("water" in link for link in benchmark.links)
    other = parsed(workspace / "results" / "NHITS_Q_water" / "pareto_front_b.html")
    assert "diagnosis_b.html" in other.links
    assert not any("benchmark" in link for link in other.links)


def test_a_study_whose_name_another_one_begins_with_has_its_own_benchmarks(tmp_path: Path) -> None:
    first = write_study(tmp_path)
    write_study(tmp_path, job_id="a-2")
    write_benchmark(tmp_path, first)
    found = {study.name: study for study in collect(tmp_path).studies}
    catalogue = collect(tmp_path)
    assert len(catalogue.benchmarks_of(found["NHITS_Q_heat_a"])) == 1
    assert catalogue.benchmarks_of(found["NHITS_Q_heat_a-2"]) == ()


def test_links_to_a_page_go_with_it(workspace: Path) -> None:
    (workspace / "results" / "NHITS_Q_heat" / "mae_history_a.html").unlink()
    (workspace / "benchmarks" / "heat_20260102-030405" / "benchmark.html").unlink()
    update_site(workspace)
    assert dead_links(workspace) == []


def test_a_page_keeps_its_age_when_its_links_change(workspace: Path) -> None:
    page = workspace / "results" / "NHITS_Q_heat" / "pareto_front_a.html"
    os.utime(page, ns=(10**18, 10**18))
    (workspace / "results" / "NHITS_Q_heat" / "mae_history_a.html").unlink()
    before = page.read_text("utf-8")
    update_site(workspace)
    assert page.read_text("utf-8") != before
    assert page.stat().st_mtime_ns == 10**18


def damage_result(run: RunDirectory) -> None:
    run.best_params.write_text("{", encoding="utf-8")


def damage_manifest(run: RunDirectory) -> None:
    run.manifest.write_bytes(b"\xff\x00")


def remove_manifest(run: RunDirectory) -> None:
    run.manifest.unlink()


def damage_record(run: RunDirectory) -> None:
    run.record(0).write_text('{"schema_version": 1}', encoding="utf-8")


@pytest.mark.parametrize("damage", [damage_result, damage_manifest, remove_manifest, damage_record])
def test_a_damaged_study_is_listed_as_damaged_beside_the_others(
    workspace: Path, damage: object
) -> None:
    assert callable(damage)
    damage(RunDirectory(workspace, "NHITS_Q", "heat", "a"))
    update_site(workspace)
    states = {study.name: study.state for study in collect(workspace).studies}
    assert states == {"NHITS_Q_heat_a": "damaged", "NHITS_Q_water_b": "finished"}
    text = parsed(workspace / "index.html").text
    assert re.search(r"heat NHITS_Q a \S*/results/\S+ .* damaged", text)
    assert "water NHITS_Q b finished" in text
    assert dead_links(workspace) == []


def test_damaged_benchmarks_and_deployments_are_listed_too(workspace: Path) -> None:
    (workspace / "benchmarks" / "heat_20260102-030405" / "metrics.json").write_text("[]")
    (workspace / "deploy" / "heat" / "bundles" / "abc" / "bundle.json").unlink()
    update_site(workspace)
    text = parsed(workspace / "index.html").text
    assert text.count("heat damaged: ") == 2


def test_a_data_set_called_script_stays_text(tmp_path: Path) -> None:
    run = write_study(tmp_path, NASTY)
    write_benchmark(tmp_path, run)
    update_site(tmp_path)
    index = tmp_path / "index.html"
    assert NASTY not in index.read_text("utf-8")
    page = parsed(index)
    assert f"{NASTY} NHITS_Q a finished" in page.text
    assert page.tags.count("script") == 2  # the data and the script of the index
    assert dead_links(tmp_path) == []


def test_twenty_studies_weigh_less_than_15_mb(tmp_path: Path) -> None:
    run = write_study(tmp_path, pages=())
    save_page(run.page("pareto_front"), simple_page("front") + "x" * 300_000, workspace=tmp_path)
    update_site(tmp_path)
    size = {path: path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()}
    shared = size[tmp_path / "site" / "plotly.min.js"]
    assert shared + 20 * (size[run.page("pareto_front")] + size[tmp_path / "index.html"]) < 15e6


def test_a_page_elsewhere_or_sent_alone_is_whole(workspace: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "page.html"
    save_page(elsewhere, simple_page("x"), workspace=workspace)
    assert elsewhere.read_text("utf-8") == simple_page("x")
    page = workspace / "results" / "NHITS_Q_heat" / "pareto_front_a.html"
    assert "plotly.js v" not in page.read_text("utf-8")
    assert parsed(page).loaded == ["../../site/plotly.min.js"]
    assert self_contained(page) == simple_page("pareto_front")


def test_the_command_writes_the_index_again_or_a_page_to_send(
    capsys: pytest.CaptureFixture[str], workspace: Path, tmp_path: Path
) -> None:
    index = workspace / "index.html"
    index.unlink()
    code, _, err = run_cli(capsys, "site", "--workspace", workspace)
    assert (code, err) == (0, f"index in {index}\n")
    assert index.is_file()
    page, alone = index.parent / "results/NHITS_Q_heat/pareto_front_a.html", tmp_path / "one.html"
    assert run_cli(capsys, "site", "--self-contained", page, "--output", alone)[0] == 0
    assert alone.read_text("utf-8") == simple_page("pareto_front")
    code, _, err = run_cli(capsys, "site", "--self-contained", page, "--output", page)
    assert (code, "is the page itself" in err) == (2, True)
    assert run_cli(capsys, "site", "--workspace", tmp_path / "none")[0] == 1


def test_what_is_no_page_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text("<p>", encoding="utf-8")
    with pytest.raises(StoreError, match=r"x\.html is no page that this version has written"):
        self_contained(tmp_path / "x.html")


def test_tables_have_captions_and_headers_a_scope(workspace: Path) -> None:
    page = parsed(workspace / "index.html")
    assert page.tags.count("caption") == page.tags.count("table") == 3
    assert all(header.get("scope") in {"col", "row"} for header in page.headers)


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, WCAG 2.2."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_texts_stand_out_from_what_is_behind_them(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", asset("page.css"), re.DOTALL)
    assert len(blocks) == 3
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[scheme]))
    for text in ("ink", "muted", "blue", "vermilion"):
        for behind in ("page", "card", "notice"):
            one, other = sorted((luminance(colours[text]), luminance(colours[behind])))
            assert (other + 0.05) / (one + 0.05) >= 4.5, f"{text} on {behind}"
