"""Figures as parts of a page: what is text stands beside the drawing, where it wraps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape

import plotly.graph_objects as go

from paretocast.report.figures.style import Figure, figure_html

TITLE_PIXELS = 38  # of the upper margin that a title takes
NOTE_PIXELS = 26
LONGEST_LINE = 34  # letters of an axis title that a phone has room for
PANEL_PIXELS = 300  # least width of a panel beside others


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure with its texts taken out.

    Attributes
    ----------
    title, note : str
        Plain text; empty without one.
    words : str
        What the figure shows, for those who cannot see it.
    html : str
        The drawing, which needs `plotly_javascript` on its page.
    least_width : int
        Pixels; 0 where it fits any window.
    """

    title: str
    note: str
    words: str
    html: str
    least_width: int


def embedded(figure: Figure, *, element_id: str) -> EmbeddedFigure:
    """A figure for a page; the figure itself stays as it is."""
    title, words = plain(figure.layout.title.text), in_words(figure)
    notes = [plain(a.text) for a in figure.layout.annotations if a.name == "note"]
    drawn = go.Figure(figure)
    _take_title(drawn)
    if notes:
        drawn.layout.annotations = [a for a in drawn.layout.annotations if a.name != "note"]
        bottom = drawn.layout.margin.b or 0
        drawn.update_layout(
            margin={"b": max(bottom - NOTE_PIXELS, 40)}, height=drawn.layout.height - NOTE_PIXELS
        )
    for axis in (*drawn.select_xaxes(), *drawn.select_yaxes()):
        if len(plain(axis.title.text)) > LONGEST_LINE:
            axis.title.text = axis.title.text.replace(" (", "<br>(", 1)
    html = figure_html(drawn, element_id=element_id, file_name=file_name(title))
    columns = {tuple(axis.domain) for axis in figure.select_xaxes() if axis.domain is not None}
    least = PANEL_PIXELS * len(columns) if len(columns) > 1 else 0
    return EmbeddedFigure(title, " ".join(notes), words, html, least)


def in_words(figure: Figure) -> str:
    """Title, axes and series of a figure, as a sentence each."""
    title = plain(figure.layout.title.text)
    axes = [
        f"{name}: {plain(axis.title.text)}"
        for name, found in (("across", figure.select_xaxes()), ("upright", figure.select_yaxes()))
        for axis in found
        if axis.title.text
    ]
    series = dict.fromkeys(plain(trace.name) for trace in figure.data if trace.name)
    sentences = [
        f"Chart: {title}" if title else "Chart",
        "; ".join(dict.fromkeys(axes)),
        f"series: {', '.join(series)}" if series else "",
    ]
    return ". ".join(sentence for sentence in sentences if sentence) + "."


def plain(text: str | None) -> str:
    """The words of a text that Plotly reads as markup.

    >>> plain("heat &lt;b&gt;<br>of <b>May</b>")
    'heat <b> of May'
    """
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", text or ""))).strip()


def file_name(title: str) -> str:
    """The name of a picture that a reader saves.

    >>> file_name("NHITS_Q on heat: error against coverage")
    'NHITS_Q_on_heat_error_against_coverage'
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", title).strip("_.") or "figure"


def _take_title(figure: Figure) -> None:
    """Take the title out, and the room that it has had."""
    if not figure.layout.title.text:
        return
    height = figure.layout.height
    top = figure.layout.margin.t or 0
    lower = height - TITLE_PIXELS
    figure.update_layout(title_text=None, margin={"t": max(top - TITLE_PIXELS, 16)}, height=lower)
    legend = figure.layout.legend
    if legend.yref == "container" and legend.yanchor == "top" and legend.y is not None:
        above = height * (1.0 - legend.y)  # pixels above the legend
        legend.y = 1.0 - max(above - TITLE_PIXELS, 2.0) / lower
