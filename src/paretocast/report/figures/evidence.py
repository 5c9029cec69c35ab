"""Figure of the evidence that intervals do not hold what they promise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from paretocast.report.figures import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

LEAST = 0.1  # of the logarithmic axis


def evidence_figure(
    times: pd.DatetimeIndex,
    narrow: Sequence[float],
    wide: Sequence[float],
    *,
    watch: float,
    alarm: float,
) -> style.Figure:
    """Evidence after each issue, on a logarithmic axis, with the levels of watch and alarm.

    Parameters
    ----------
    times : DatetimeIndex of length N
        Issue times.
    narrow, wide : sequence of float of length N
        Evidence that intervals are too narrow, and too wide; unitless.
    """
    title = "Evidence against the target coverage"
    if not len(times):
        return style.message_figure(title, "No forecast has been observed yet.", height=360)
    figure = style.blank_figure(title, height=420)
    for name, values, colour in (
        ("too narrow", narrow, style.PALETTE[0]),
        ("too wide", wide, style.PALETTE[1]),
    ):
        figure.add_trace(
            go.Scatter(
                x=times.tz_localize(None),
                y=[max(LEAST, value) for value in values],
                name=name,
                line={"color": colour, "width": 2},
            )
        )
    for value, label, above in ((watch, "watch", False), (alarm, "alarm", True)):
        figure.add_hline(y=value, line={"color": style.GREY, "dash": "dot"})
        figure.add_annotation(
            x=1.0,
            xref="paper",
            xanchor="right",
            y=math.log10(value),
            yanchor="bottom" if above else "top",
            text=label,
            showarrow=False,
        )
    highest = max([alarm, *narrow, *wide])
    figure.update_yaxes(
        type="log",
        title_text="evidence, unitless",
        range=[math.log10(LEAST) - 0.1, math.log10(highest) + 0.5],
        dtick=1,
    )
    return figure
