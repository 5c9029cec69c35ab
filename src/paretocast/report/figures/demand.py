"""Figures of a series with its splits, and of forecasts as fans of quantiles."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from paretocast.report.figures import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPLIT_COLOURS = {
    "train": "#7B8794",
    "stop": style.ORANGE,
    "tune": style.BLUE,
    "calibrate": style.GREEN,
    "test": style.VERMILION,
}
N_BUCKETS = 3000  # stretches of a series that keep their lowest and highest value
HOUR = pd.Timedelta(hours=1)


@dataclass(frozen=True)
class SplitSpan:
    """A period of a series in one split, from `start` up to but without `stop`."""

    split: str
    start: pd.Timestamp
    stop: pd.Timestamp


def forecast_figure(
    issue_times: pd.DatetimeIndex,
    quantiles: NDArray[np.float64],
    *,
    observed: NDArray[np.float64],
    levels: Sequence[float] | NDArray[np.float64],
    unit: str,
    model: str,
    dataset: str,
    titles: Sequence[str] | None = None,
    step: pd.Timedelta = HOUR,
) -> style.Figure:
    """Fans of quantiles with the observed values, one panel for each of a few windows.

    Parameters
    ----------
    issue_times : DatetimeIndex of length N
        First hour of each forecast, with a time zone; drawn as wall-clock time of that zone.
    quantiles : ndarray of shape (N, H, Q)
        In target units, ascending along the levels.
    observed : ndarray of shape (N, H)
        In target units; NaN where missing.
    levels : sequence of float or ndarray of shape (Q,)
        Ascending, unitless. The lowest and the highest span the outermost band, and so on inwards;
        with an odd number of levels the middle one is the line.
    unit : str
        Of the target.
    model, dataset : str
        For the title.
    titles : sequence of str, optional
        Of the panels; without them their dates.
    step : Timedelta
        From one step of the horizon to the next.

    Examples
    --------
    >>> import pandas as pd
    >>> issue_times = pd.DatetimeIndex(["2020-01-01"], tz="Europe/Copenhagen")
    >>> quantiles = np.array([[[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]])  # (N, H, Q) = (1, 2, 3)
    >>> figure = forecast_figure(
    ...     issue_times,
    ...     quantiles,
    ...     observed=np.array([[2.5, np.nan]]),
    ...     levels=(0.1, 0.5, 0.9),
    ...     unit="kWh/h",
    ...     model="NHITS_Q",
    ...     dataset="heat",
    ... )
    >>> [trace.name for trace in figure.data]
    ['10 to 90 %', 'median', 'observed']
    """
    title = f"{model} on {dataset}: forecasts of example days"
    if not len(issue_times):
        return style.message_figure(title, "There is no forecast to show.", height=360)
    columns = 1 if len(issue_times) == 1 else 2
    rows = -(-len(issue_times) // columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_yaxes="all",
        subplot_titles=[escape(t) for t in titles or issue_times.strftime("%Y-%m-%d")],
        vertical_spacing=0.26 / rows,
        horizontal_spacing=0.05,
    )
    style.apply_style(figure, title, height=170 + 270 * rows)
    figure.update_annotations(font={"size": 14, "color": style.MUTED})
    steps = pd.to_timedelta(step * np.arange(observed.shape[1]))
    for i, issue_time in enumerate(issue_times):
        row, column = divmod(i, columns)
        times = (issue_time + steps).tz_localize(None)
        for trace in _fan_traces(times, quantiles[i], observed[i], levels=levels, unit=unit):
            trace.update(showlegend=i == 0)
            figure.add_trace(trace, row=row + 1, col=column + 1)
    tickformat = "%H:%M" if step < pd.Timedelta(days=1) else "%d %b"
    figure.update_xaxes(tickformat=tickformat, tickangle=0)
    figure.update_yaxes(title_text=escape(unit), col=1)
    figure.update_layout(margin={"t": 118})
    return figure


def series_figure(
    index: pd.DatetimeIndex,
    values: NDArray[np.float64],
    *,
    spans: Sequence[SplitSpan],
    name: str,
    unit: str,
) -> style.Figure:
    """A whole series coloured by split; a long one is thinned to the extremes of short stretches.

    Parameters
    ----------
    index : DatetimeIndex of length T
    values : ndarray of shape (T,)
        In target units; NaN where missing, drawn as a gap.
    """
    figure = style.blank_figure(f"{name}: the series and its splits", height=420)
    labels = np.full(len(index), "unused", dtype=object)
    for span in spans:
        labels[index.searchsorted(span.start) : index.searchsorted(span.stop)] = span.split
    positions = thinned(values, n_buckets=N_BUCKETS)
    for split in dict.fromkeys([*SPLIT_COLOURS, *labels]):
        in_split = labels[positions] == split
        if in_split.any():
            drawn = np.flatnonzero(in_split | np.roll(in_split, 1))  # one more behind: the gap
            figure.add_trace(
                go.Scatter(
                    x=index[positions[drawn]].tz_localize(None),
                    y=np.where(in_split[drawn], values[positions[drawn]], np.nan),
                    mode="lines",
                    name=escape(str(split)),
                    line={"width": 1.2, "color": SPLIT_COLOURS.get(str(split), "#CBD2D9")},
                    hovertemplate=f"%{{x|%Y-%m-%d %H:%M}}: %{{y:.4g}} {escape(unit)}",
                )
            )
    figure.update_xaxes(title_text=f"time ({index.tz})")
    figure.update_yaxes(title_text=escape(unit))
    return figure


def thinned(values: NDArray[np.float64], *, n_buckets: int) -> NDArray[np.intp]:
    """Positions of the lowest and highest value of each of `n_buckets` stretches, in order.

    A stretch without any value keeps its first position, so that a gap stays a gap.

    Examples
    --------
    >>> thinned(np.array([3.0, 1.0, 2.0, 5.0, 4.0, 6.0]), n_buckets=2).tolist()
    [0, 1, 4, 5]
    """
    if values.size <= 2 * n_buckets:
        return np.arange(values.size)
    positions: list[int] = []
    for part in np.array_split(np.arange(values.size), n_buckets):
        observed = part[~np.isnan(values[part])]
        if observed.size == 0:
            positions.append(int(part[0]))
            continue
        low, high = values[observed].argmin(), values[observed].argmax()
        extremes = {int(observed[low]), int(observed[high])}
        positions.extend(sorted(extremes))
    return np.array(positions, dtype=np.intp)


def _fan_traces(
    times: pd.DatetimeIndex,
    quantiles: NDArray[np.float64],
    observed: NDArray[np.float64],
    *,
    levels: Sequence[float] | NDArray[np.float64],
    unit: str,
) -> list[go.Scatter]:
    """Bands from the outermost inwards, the middle line, the observed values."""
    n_bands = len(levels) // 2
    traces = []
    for depth in range(n_bands):
        low, high = depth, len(levels) - 1 - depth
        name = f"{100 * levels[low]:.3g} to {100 * levels[high]:.3g} %"
        traces.append(
            go.Scatter(
                x=[*times, *times[::-1]],
                y=[*quantiles[:, high], *quantiles[::-1, low]],
                fill="toself",
                fillcolor=style.tint(depth, n_bands),
                line={"width": 0},
                mode="lines",
                name=name,
                legendgroup=name,
                hoverinfo="skip",
            )
        )
    if len(levels) % 2:
        middle = quantiles[:, n_bands]
        traces.append(_line(times, middle, name="median", colour=style.BLUE, unit=unit))
    line = _line(times, observed, name="observed", colour=style.INK, unit=unit)
    return [*traces, line.update(mode="lines+markers", marker={"size": 4})]


def _line(
    times: pd.DatetimeIndex, values: NDArray[np.float64], *, name: str, colour: str, unit: str
) -> go.Scatter:
    return go.Scatter(
        x=times,
        y=values,
        mode="lines",
        name=name,
        legendgroup=name,
        line={"color": colour, "width": 2},
        hovertemplate=f"{name} %{{y:.4g}} {escape(unit)}<extra></extra>",
    )
