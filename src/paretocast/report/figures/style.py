"""Style of all figures: colours, template, labels, notes, axis ranges that ignore outliers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

Figure: TypeAlias = go.Figure
Range: TypeAlias = tuple[float, float]
Size: TypeAlias = tuple[float, float]
Box: TypeAlias = tuple[float, float, float, float]

# Okabe & Ito's palette, told apart with every common colour blindness.
BLUE, SKY, GREEN = "#0072B2", "#56B4E9", "#009E73"
ORANGE, VERMILION, PURPLE = "#E69F00", "#D55E00", "#CC79A7"
# Of the same hues, dark enough for text on white.
DARK_GREEN, VERMILION_TEXT = "#00734F", "#B34700"
INK, MUTED, GREY, GRID = "#1F2933", "#52606D", "#9AA5B1", "#E4E7EB"
PALE = "#CBD2D9"  # of areas that still show where a dark page turns the colours round
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
FONT = "Inter, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"

# Plotly's own buttons would offer to upload the figure to its cloud: demand data stays here.
CONFIG = {
    "displaylogo": False,
    "displayModeBar": "hover",
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    "responsive": True,
    "showSendToCloud": False,
}
LAPTOP, PHONE = (900.0, 430.0), (350.0, 430.0)  # pixels of the drawing area
# Labels keep their size and distance in pixels, so they are placed for both, rather for the first.
SCREENS = ((LAPTOP, 1.0), (PHONE, 0.1))
LABEL_PIXELS_PER_LETTER, LABEL_HEIGHT_PIXELS = 7.2, 18.0
MARGIN = 0.06  # of an axis range, left free on both sides


# What is in the window is drawn at once, the rest one by one behind it: a page of many figures is
# ready after the first ones. A figure under a closed heading has no width until it is opened.
DRAWING = """
window.paretocastDraw = (place) => {
  const source = document.getElementById(place.id + "-figure");
  if (!source || place.dataset.drawn || place.closest("details:not([open])")) return;
  place.dataset.drawn = "yes";
  const figure = JSON.parse(source.textContent);
  Plotly.newPlot(place, figure.data, figure.layout, figure.config);
};
addEventListener("DOMContentLoaded", () => {
  const places = [...document.querySelectorAll(".plotly-graph-div")];
  const drawNext = () => {
    if (places.length) { paretocastDraw(places.shift()); setTimeout(drawNext); }
  };
  while (places.length && places[0].getBoundingClientRect().top < innerHeight) {
    paretocastDraw(places.shift());
  }
  document.querySelectorAll("details").forEach((part) => part.addEventListener("toggle", () =>
    part.querySelectorAll(".plotly-graph-div").forEach(paretocastDraw)));
  addEventListener("beforeprint", () => places.splice(0).forEach(paretocastDraw));
  setTimeout(drawNext);
});
"""


def plotly_javascript() -> str:
    """The script that every page needs once."""
    return str(get_plotlyjs()) + DRAWING


def figure_html(figure: Figure, *, element_id: str, file_name: str = "figure") -> str:
    """A figure as an HTML fragment that needs `plotly_javascript` on its page.

    Parameters
    ----------
    file_name : str
        Of the picture that a reader saves.
    """
    config = json.dumps({**CONFIG, "toImageButtonOptions": {"filename": file_name}})
    content = f'{{"config": {config}, {figure.to_json()[1:]}'
    return (
        f'<div id="{element_id}" class="plotly-graph-div" '
        f'style="height:{figure.layout.height}px; width:100%"></div>'
        f'<script type="application/json" id="{element_id}-figure">{in_script(content)}</script>'
    )


def in_script(content: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return content.replace("<", "\\u003c").replace(">", "\\u003e")


# Plotly takes what a figure does not say from its template: stated once, not for every axis.
_AXIS = {
    "showline": True,
    "linecolor": GREY,
    "gridcolor": GRID,
    "zeroline": False,
    "ticks": "outside",
    "tickcolor": GREY,
    "title": {"standoff": 12, "font": {"size": 14}},
    "automargin": True,
}
TEMPLATE = go.layout.Template(
    layout={
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "title": {
            "x": 0.0,
            "xref": "container",
            "xanchor": "left",
            "pad": {"l": 12},
            "yanchor": "top",
            "font": {"size": 17},
        },
        "font": {"family": FONT, "size": 14, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "colorway": list(PALETTE),
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "white", "bordercolor": GREY, "align": "left"},
        "legend": {
            "orientation": "h",
            "x": 0.012,
            "xref": "container",
            "font": {"size": 13},
        },
        "modebar": {"color": GREY, "activecolor": INK, "bgcolor": "rgba(0,0,0,0)"},
    }
)


def apply_style(figure: Figure, title: str, *, height: int) -> Figure:
    """The figure with the shared style, its title and its height in pixels."""
    return figure.update_layout(
        template=TEMPLATE,
        title={"text": escape(title), "y": 1.0 - 14.0 / height},
        height=height,
        margin={"l": 76, "r": 24, "t": 92, "b": 64},
        legend={"y": 1.0 - 44.0 / height, "yref": "container", "yanchor": "top"},
    )


def blank_figure(title: str, *, height: int) -> Figure:
    """An empty figure in the shared style."""
    return apply_style(go.Figure(), title, height=height)


def message_figure(title: str, message: str, *, height: int) -> Figure:
    """A figure that says in words why there is nothing to draw; `message` may hold `<br>`."""
    figure = blank_figure(title, height=height)
    figure.add_annotation(
        name="note",
        text=message,
        x=0.5,
        y=0.5,
        xref="paper",
        yref="paper",
        showarrow=False,
        font={"size": 16, "color": MUTED},
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def rounded(values: ArrayLike, *, digits: int = 4) -> list[Any]:
    """Numbers to some significant digits, None where they are not finite; nested as they came.

    A page is read by people: more digits would only make it heavy.

    >>> rounded([0.123456, float("nan"), 98765.4])
    [0.1235, None, 98770.0]
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim > 1:
        return [rounded(part, digits=digits) for part in array]
    return [float(f"{x:.{digits}g}") if np.isfinite(x) else None for x in array.tolist()]


def tint(depth: int, n_bands: int) -> str:
    """Blue that darkens inwards; opaque, since bands lie on top of each other."""
    weight = 0.2 + 0.42 * depth / max(1, n_bands - 1)
    channels = [int(BLUE[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [round(255 + (channel - 255) * weight) for channel in channels]
    return "rgb({}, {}, {})".format(*mixed)


def axis_title(quantity: str, unit: str) -> str:
    """A quantity with its unit, escaped."""
    return escape(f"{quantity} ({unit})" if unit else quantity)


def add_note(figure: Figure, text: str) -> None:
    """A small line below the axes, right-aligned; nothing for an empty text."""
    if text:
        figure.update_layout(margin={"b": 88})
        figure.add_annotation(
            name="note",
            text=escape(text),
            x=1.0,
            y=0.0,
            xref="paper",
            yref="paper",
            xanchor="right",
            yanchor="top",
            yshift=-60,
            showarrow=False,
            font={"size": 12, "color": MUTED},
        )


def error_bars(points: Sequence[tuple[float, float | None, float | None]], colour: str) -> object:
    """Vertical bars from (value, low, high); none where a bound is None."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if high is None else high - value for value, _, high in points],
        "arrayminus": [0.0 if low is None else value - low for value, low, _ in points],
        "color": colour,
        "thickness": 1.4,
        "width": 4,
    }


def low_is_good_range(values: Sequence[float], *, shown: Sequence[float]) -> Range:
    """Axis range for a quantity where low is good: a few very bad values do not stretch it.

    The better half takes at least the lower third, and everything in `shown` is inside.

    Examples
    --------
    The last trial diverged; it does not squash the others.

    >>> low, high = low_is_good_range([1.0, 1.2, 1.4, 900.0], shown=[1.0])
    >>> round(low, 2), round(high, 2)
    (0.98, 1.42)
    """
    if not values:
        return 0.0, 1.0
    best, median = float(np.min(values)), float(np.median(values))
    limit = best + max(3.0 * (median - best), 0.35 * abs(best))
    inside = [value for value in values if value <= limit]
    return padded([*inside, *shown])


def padded(values: Sequence[float]) -> Range:
    """The range of some values with a margin; one that is not empty when they are all equal."""
    low, high = float(np.min(values)), float(np.max(values))
    margin = MARGIN * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


@dataclass(frozen=True)
class Frame:
    """The visible rectangle of one panel; what lies outside is drawn at its edge."""

    x_range: Range
    y_range: Range

    def holds(self, x: float, y: float) -> bool:
        """True for a point inside the rectangle."""
        return self.x_range[0] <= x <= self.x_range[1] and self.y_range[0] <= y <= self.y_range[1]

    def clamped(self, x: float, y: float) -> tuple[float, float]:
        """The point, or the nearest one on the edge."""
        return float(np.clip(x, *self.x_range)), float(np.clip(y, *self.y_range))

    def edge_symbol(self, x: float, y: float, *, inside: str) -> str:
        """A triangle that points to where the point really is, or `inside`."""
        if x > self.x_range[1]:
            return "triangle-right"
        if x < self.x_range[0]:
            return "triangle-left"
        if y > self.y_range[1]:
            return "triangle-up"
        return "triangle-down" if y < self.y_range[0] else inside

    def pixels(self, x: float, y: float, *, screen: Size) -> tuple[float, float]:
        """Position of a point, in pixels from the upper left corner."""
        x_low, x_high = self.x_range
        y_low, y_high = self.y_range
        return (
            screen[0] * (x - x_low) / (x_high - x_low),
            screen[1] * (y_high - y) / (y_high - y_low),
        )


@dataclass(frozen=True)
class Label:
    """A text beside a point; the shifts lead from the point to the text's centre, in pixels."""

    text: str
    x: float
    y: float
    x_shift: float
    y_shift: float


def place_labels(
    texts: Sequence[tuple[str, float, float]],
    *,
    frame: Frame,
    obstacles: Sequence[tuple[float, float]],
) -> list[Label]:
    """Labels beside their points, each where it covers the fewest points and other labels.

    Parameters
    ----------
    texts : sequence of (text, x, y)
        The first is placed first, and has the best choice.
    obstacles : sequence of (x, y)
        Points that should stay visible.
    """
    canvases = [_Canvas(frame, screen, weight, obstacles) for screen, weight in SCREENS]
    labels = []
    for text, x, y in texts:
        half_width = LABEL_PIXELS_PER_LETTER * len(text) / 2.0
        costs = {
            shift: sum(canvas.cost(canvas.box(x, y, shift, half_width)) for canvas in canvases)
            for shift in _shifts(half_width)
        }
        best = min(costs, key=lambda shift: costs[shift])
        for canvas in canvases:
            canvas.taken.append(canvas.box(x, y, best, half_width))
        labels.append(Label(text, x, y, *best))
    return labels


def _shifts(half_width: float) -> list[tuple[float, float]]:
    """Possible shifts of a label from its point, the most natural first."""
    beside = half_width + 14.0
    return [
        (dx, dy)
        for distance in (22.0, 44.0, 66.0)
        for dx, dy in (
            (beside, 0.0),
            (beside, -distance),
            (beside, distance),
            (0.0, -distance),
            (0.0, distance),
            (-beside, 0.0),
            (-beside, -distance),
            (-beside, distance),
        )
    ]


class _Canvas:
    """A frame on one screen, with the points and labels that lie there; boxes are in pixels."""

    def __init__(
        self, frame: Frame, screen: Size, weight: float, obstacles: Sequence[tuple[float, float]]
    ) -> None:
        self._frame, self._screen, self._weight = frame, screen, weight
        self._points = [frame.pixels(x, y, screen=screen) for x, y in obstacles]
        self.taken: list[Box] = []

    def box(self, x: float, y: float, shift: tuple[float, float], half_width: float) -> Box:
        """Left, right, top and bottom of a label."""
        centre_x, centre_y = self._frame.pixels(x, y, screen=self._screen)
        centre_x, centre_y = centre_x + shift[0], centre_y + shift[1]
        half_height = LABEL_HEIGHT_PIXELS / 2.0
        return (
            centre_x - half_width,
            centre_x + half_width,
            centre_y - half_height,
            centre_y + half_height,
        )

    def cost(self, box: Box) -> float:
        """Cost of a box: most for covering a label, less outside the frame, least for a point."""
        left, right, top, bottom = box
        on_labels = sum(
            left < r and right > lo and top < b and bottom > t for lo, r, t, b in self.taken
        )
        outside = left < 0.0 or right > self._screen[0] or top < 0.0 or bottom > self._screen[1]
        room = 6.0
        on_points = sum(
            left - room < x < right + room and top - room < y < bottom + room
            for x, y in self._points
        )
        return self._weight * (100.0 * on_labels + 50.0 * outside + on_points)
