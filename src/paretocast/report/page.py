"""Parts of a page: boxes with numbers, tables, the frame around them.

A page needs no network: styles and script are inside it, and its policy forbids everything else.
What is passed as text or a cell is escaped here; what is passed as `body` is HTML already.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, TypeAlias

from paretocast import __version__
from paretocast.report.figures import figure_html, plotly_javascript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.report.figures import Figure

MISSING = "–"
Fact: TypeAlias = tuple[str, str, str]  # quantity, value, detail
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
STYLE = """
:root { color-scheme: light; --ink: #1f2933; --muted: #52606d; --line: #e4e7eb; --blue: #0072b2;
  --vermilion: #b34700; --green: #00734f; }
* { box-sizing: border-box; }
body { margin: 0; background: #f7f8fa; color: var(--ink); line-height: 1.55;
  font: 16px/1.55 Inter, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", Arial, sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 28px 28px 56px; }
header p { margin: 0; color: var(--muted); max-width: 76ch; }
header .eyebrow { font-size: 14px; letter-spacing: .02em; color: var(--blue); font-weight: 600; }
h1 { margin: 2px 0 6px; font-size: 30px; line-height: 1.2; }
h2 { margin: 34px 0 8px; font-size: 19px; }
p, li { max-width: 82ch; }
ul { padding-left: 22px; margin: 8px 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 12px;
  margin: 20px 0; }
.fact { background: white; border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px; }
.fact span { display: block; font-size: 13px; line-height: 1.4; color: var(--muted); }
.fact strong { display: block; font-size: 23px; line-height: 1.35; font-weight: 650; }
.figure { background: white; border: 1px solid var(--line); border-radius: 8px; padding: 8px 6px;
  margin-top: 20px; }
.warning { background: #fff5ed; border: 1px solid #f3c9a8; border-left: 5px solid var(--vermilion);
  border-radius: 6px; padding: 10px 16px; margin: 16px 0; }
.scroll { overflow-x: auto; background: white; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 13px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 7px 8px; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td.text, th.text { text-align: left; white-space: normal; min-width: 260px; }
th { color: var(--muted); font-weight: 600; white-space: normal; vertical-align: bottom;
  border-bottom: 1px solid #cbd2d9; }
tr + tr td { border-top: 1px solid var(--line); }
tr.chosen td { background: #fff5ed; font-weight: 600; }
details { margin-top: 30px; } summary { cursor: pointer; font-size: 19px; font-weight: 700; }
details .scroll { margin-top: 10px; }
.figure + details { margin-top: 8px; }
.figure + details summary { font-size: 14px; font-weight: 600; color: var(--muted); }
code { font: 13px ui-monospace, "DejaVu Sans Mono", Consolas, monospace; background: #eef1f4;
  border-radius: 4px; padding: 1px 5px; overflow-wrap: anywhere; }
footer { margin-top: 40px; border-top: 1px solid var(--line); padding-top: 12px; font-size: 13px;
  color: var(--muted); }
html { scrollbar-gutter: stable; } /* figures measure their width before the bar appears */
@media (max-width: 700px) {
  main { padding: 18px 14px 40px; } h1 { font-size: 25px; } .modebar { display: none !important; } }
@media print { body { background: white; } .fact, .figure, .scroll { break-inside: avoid; } }
"""


def document(
    title: str,
    *,
    eyebrow: str,
    heading: str,
    lede: str,
    body: Sequence[str],
    footer: str,
    with_figures: bool = True,
) -> str:
    """A whole page.

    Parameters
    ----------
    title : str
        Of the browser's tab.
    eyebrow, heading, lede, footer : str
        Plain text.
    body : sequence of str
        HTML; empty parts are left out.
    with_figures : bool
        Without them the page lacks their script, and is some megabytes smaller.
    """
    script = f"<script>{plotly_javascript()}</script>" if with_figures else ""
    parts = "\n".join(part for part in body if part)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
{script}
</head>
<body>
<main>
<header>
<p class="eyebrow">{escape(eyebrow)}</p>
<h1>{escape(heading)}</h1>
<p>{escape(lede)}</p>
</header>
{parts}
<footer>{escape(footer)} · Paretocast {escape(__version__)}</footer>
</main>
</body>
</html>
"""


def figure_box(figure: Figure, *, element_id: str = "figure") -> str:
    """A figure in its frame."""
    return f'<div class="figure">{figure_html(figure, element_id=element_id)}</div>'


def fact_boxes(facts: Sequence[Fact]) -> str:
    """Boxes that each give a quantity, its value and a detail."""
    boxes = "".join(
        f'<div class="fact"><span>{escape(quantity)}</span><strong>{escape(value)}</strong>'
        f"<span>{escape(detail)}</span></div>"
        for quantity, value, detail in facts
    )
    return f'<div class="facts">{boxes}</div>'


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    marked: frozenset[int] = frozenset(),
    text_columns: frozenset[int] = frozenset(),
) -> str:
    """A table that scrolls sideways in a narrow window.

    Parameters
    ----------
    marked : frozenset of int
        Rows that stand out.
    text_columns : frozenset of int
        Columns of words: left-aligned and wrapped.
    """

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=text' if i in text_columns else ''}>{escape(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        )

    lines = "\n".join(
        f"<tr{' class=chosen' if i in marked else ''}>{line(row, 'td')}</tr>"
        for i, row in enumerate(rows)
    )
    return f'<div class="scroll"><table>\n<tr>{line(header, "th")}</tr>\n{lines}\n</table></div>'


def section(heading: str, *paragraphs: str) -> str:
    """A heading and paragraphs of plain text."""
    return f"<h2>{escape(heading)}</h2>" + "".join(f"<p>{escape(p)}</p>" for p in paragraphs)


def link_list(heading: str, links: Sequence[tuple[str, str, str]]) -> str:
    """A heading and a list of links: text, relative address, what is there."""
    listed = "".join(
        f'<li><a href="{escape(address)}">{escape(text)}</a> {escape(detail)}</li>'
        for text, address, detail in links
    )
    return f"<h2>{escape(heading)}</h2><ul>{listed}</ul>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def bullets(heading: str, items: Sequence[str]) -> str:
    """A heading and a list of plain text."""
    listed = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<h2>{escape(heading)}</h2><ul>{listed}</ul>"


def warning(text: str) -> str:
    """A paragraph that must not be overlooked."""
    return f'<p class="warning">{escape(text)}</p>'


def folded(heading: str, content: str) -> str:
    """HTML under a heading that a reader opens."""
    return f"<details><summary>{escape(heading)}</summary>{content}</details>"


def number(value: object, *, digits: int = 4) -> str:
    """A number to some significant digits, a dash for none; anything else as it is written.

    Examples
    --------
    >>> number(0.14159265), number(None), number(512)
    ('0.1416', '–', '512')
    """
    if value is None:
        return MISSING
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
