"""Figures as parts of a page: texts stand beside the drawing, once."""

from __future__ import annotations

import plotly.graph_objects as go

from paretocast.report.figures import embedded
from paretocast.report.figures.embedding import PANEL_PIXELS
from paretocast.report.figures.style import add_note, apply_style, message_figure
from paretocast.report.page import figure_box


def figure() -> go.Figure:
    drawn = go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name="trials &lt;1&gt;"))
    apply_style(drawn, "heat <b>: errors", height=400)
    drawn.update_xaxes(title_text="mean absolute error (kWh per hour per meter)")
    drawn.update_yaxes(title_text="coverage (%)")
    drawn.add_annotation(text="target", x=1, y=3)
    add_note(drawn, "2 of 3 are shown")
    return drawn


def test_title_and_note_are_taken_out_and_nothing_else_is_drawn_twice() -> None:
    whole = figure()
    part = embedded(whole, element_id="f")
    assert (part.title, part.note) == ("heat <b>: errors", "2 of 3 are shown")
    assert "errors" not in part.html.partition("toImageButtonOptions")[0]
    assert "are shown" not in part.html
    assert part.html.count('"target"') == 1
    assert whole.layout.title.text == "heat &lt;b&gt;: errors"
    assert len(whole.layout.annotations) == 2


def test_a_long_title_of_an_axis_is_broken_before_its_unit() -> None:
    html = embedded(figure(), element_id="f").html
    assert "mean absolute error\\u003cbr\\u003e(kWh per hour per meter)" in html
    assert '"coverage (%)"' in html


def test_panels_side_by_side_have_a_least_width() -> None:
    wide = go.Figure(go.Scatter(x=[1], y=[1]))
    wide.add_trace(go.Scatter(x=[1], y=[1], xaxis="x2"))
    wide.update_layout(height=300, xaxis_domain=[0, 0.4], xaxis2={"domain": [0.6, 1]})
    assert embedded(wide, element_id="f").least_width == 2 * PANEL_PIXELS
    assert embedded(figure(), element_id="f").least_width == 0


def test_a_figure_is_told_in_words() -> None:
    box = figure_box(figure())
    told = box.partition('<figcaption class="unseen">')[2]
    assert told == (
        "Chart: heat &lt;b&gt;: errors. across: mean absolute error (kWh per hour per meter); "
        "upright: coverage (%). series: trials &lt;1&gt;.</figcaption></figure>"
    )
    assert "<h3>heat &lt;b&gt;: errors</h3>" in box


def test_a_message_in_place_of_a_figure_is_text_that_wraps() -> None:
    box = figure_box(message_figure("Importance", "Too few trials.<br>More &lt; 10.", height=300))
    assert "<h3>Importance</h3>" in box
    assert "Too few trials. More &lt; 10.</p>" in box
    assert "plotly-graph-div" not in box
