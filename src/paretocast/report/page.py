"""Parts of a page: boxes with numbers, tables, the frame around them.

A page needs no network: styles and script are inside it, and its policy forbids everything else.
In a workspace `site` has the pages share the script of their figures. What is passed as text or a
cell is escaped here; what is passed as `body` is HTML already.
"""

from __future__ import annotations

from functools import cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, TypeAlias

from paretocast import __version__
from paretocast.report.figures import embedded, plotly_javascript

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paretocast.report.figures import Figure

MISSING = "–"
LONG_HEADER = 16  # letters; a longer one gets room, so that it does not take a line for each word
Fact: TypeAlias = tuple[str, str, str]  # quantity, value, detail
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
NAVIGATION = "<!--navigation-->", "<!--/navigation-->"  # `site` puts links between them


def asset(name: str) -> str:
    """A style sheet or script that comes with the package."""
    return (resources.files("paretocast") / "report" / "assets" / name).read_text("utf-8")


def document(
    title: str,
    *,
    eyebrow: str,
    heading: str,
    lede: str,
    body: Sequence[str],
    footer: str,
    with_figures: bool = True,
    script: str = "",
    policy: str = POLICY,
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
    script : str
        Run at the end of the page.
    policy : str
        What the page may load.
    """
    plotly = inline_plotly() if with_figures else ""
    own = (asset("figures.js") if with_figures else "") + script
    parts = "\n".join(part for part in body if part)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{asset("page.css")}</style>
{plotly}
</head>
<body>
{"".join(NAVIGATION)}
<main>
<header>
<p class="eyebrow">{escape(eyebrow)}</p>
<h1>{breakable(heading)}</h1>
<p>{escape(lede)}</p>
</header>
{parts}
<footer>{escape(footer)} · Paretocast {escape(__version__)}</footer>
</main>
{f"<script>{own}</script>" if own else ""}
</body>
</html>
"""


def breakable(text: str) -> str:
    """Escaped text, a line of which may end behind the sign that joins models."""
    return escape(text).replace("+", "+<wbr>")


@cache
def inline_plotly() -> str:
    """The script of all figures, as a page holds it that is sent alone."""
    return f"<script>{plotly_javascript()}</script>"


def figure_box(figure: Figure, *, element_id: str = "figure") -> str:
    """A figure in its frame under its title, with its note, and in words for who cannot see it."""
    part = embedded(figure, element_id=element_id)
    title = f"<h3>{escape(part.title)}</h3>" if part.title else ""
    width = f' style="min-width: {part.least_width}px"' if part.least_width else ""
    note = f'<p class="note">{escape(part.note)}</p>' if part.note else ""
    if not figure.data:  # a message, which wraps as a figure would not
        return f'<div class="figure">{title}{note}</div>'
    return (
        f'<figure class="figure">{title}<div class="drawing" tabindex="0"><div{width}>'
        f"{part.html}</div></div>{note}"
        f'<figcaption class="unseen">{escape(part.words)}</figcaption></figure>'
    )


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
    caption: str = "",
) -> str:
    """A table that scrolls sideways in a narrow window.

    Parameters
    ----------
    marked : frozenset of int
        Rows that stand out.
    text_columns : frozenset of int
        Columns of words: left-aligned and wrapped.
    caption : str
        Read out where the table cannot be seen; the names of its columns without one.
    """
    kinds = [
        " class=text" if i in text_columns else " class=long" if len(name) > LONG_HEADER else ""
        for i, name in enumerate(header)
    ]

    def line(cells: Sequence[str], tags: Callable[[int], str]) -> str:
        return "".join(
            f"<{tags(i)}{kinds[i]}>{escape(cell)}</{tags(i).split()[0]}>"
            for i, cell in enumerate(cells)
        )

    lines = "\n".join(
        f"<tr{' class=chosen' if i in marked else ''}>"
        f"{line(row, lambda column: 'td' if column else 'th scope=row')}</tr>"
        for i, row in enumerate(rows)
    )
    named = escape(caption or ", ".join(name for name in header if name))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{named}"><table>\n'
        f'<caption class="unseen">{named}</caption>\n'
        f"<thead><tr>{line(header, lambda _: 'th scope=col')}</tr></thead>\n"
        f"<tbody>{lines}\n</tbody></table></div>"
    )


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


def side_by_side(*parts: str) -> str:
    """HTML in columns where the window is wide enough."""
    columns = "".join(f"<div>{part}</div>" for part in parts)
    return f'<div class="pair">{columns}</div>'


def for_screens(*parts: str) -> str:
    """HTML that is left out on paper."""
    return f'<div class="screen">{"".join(parts)}</div>'


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
