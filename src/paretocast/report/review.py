"""Sections of a study's page on the forecasts of its chosen trial, and on its rivals."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.series import DAY
from paretocast.formatting import fixed, same_decimals, unit_name
from paretocast.metrics.diagnostics import ERROR_LEVELS
from paretocast.report.figures import (
    agreement_figure,
    coverage_grid_figure,
    day_figure,
    error_figure,
)
from paretocast.report.figures.style import in_script, rounded
from paretocast.report.page import (
    MISSING,
    figure_box,
    folded,
    for_screens,
    number,
    paragraph,
    section,
    table,
)
from paretocast.report.trials import with_unit
from paretocast.steps import noun

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from paretocast.metrics.diagnostics import CoverageGrid
    from paretocast.report.figures import Figure
    from paretocast.results.review import Comparison, Review, ReviewedDay, Rival

PICKED = "day"  # id of the figure whose day a reader picks
KIND_HEADINGS = {"best": "Lowest error", "typical": "Typical error", "worst": "Highest error"}
LOSSES = {"mae": "MAE", "pinball": "mean pinball loss", "winkler": "Winkler score"}
# The traces of a day, in the order of `day_figure`: bands from outside inwards, median, observed.
PICKER = """
(() => {
  const id = "ID", days = JSON.parse(document.getElementById(id + "-days").textContent);
  const pick = document.getElementById(id + "-picker");
  const said = document.getElementById(id + "-said"), place = document.getElementById(id);
  pick.addEventListener("change", () => {
    const day = days[pick.value], n = day.q.length, half = n >> 1, x = [], y = [];
    for (let k = 0; k < half; k++) {
      x.push([...day.t, ...[...day.t].reverse()]);
      y.push([...day.q[n - 1 - k], ...[...day.q[k]].reverse()]);
    }
    if (n % 2) { x.push(day.t); y.push(day.q[half]); }
    x.push(day.t); y.push(day.o);
    paretocastDraw(place);
    Plotly.restyle(place, { x: x, y: y });
    said.textContent = day.said;
  });
})();
"""


def forecast_parts(review: Review | str) -> list[str]:
    """Single days to pick from, errors by lead time, agreement, coverage by hour and month."""
    if isinstance(review, str):
        return [paragraph(review)] if review else []
    step = DAY / review.steps_per_day
    parts = [
        paragraph(
            "All of the calibrate split, which was used neither for training nor for selecting "
            "the trial. Forecasts as the model gives them, not calibrated."
        )
    ]
    if review.days:
        parts += [_picker(review), figure_box(_first_day(review, step), element_id=PICKED)]
        parts.append(_script(review))
    unit = review.unit
    errors = error_figure(
        review.errors, levels=ERROR_LEVELS, unit=unit, step_name=noun(review.steps_per_day)
    )
    parts += [
        for_screens(
            figure_box(errors, element_id="errors"),
            figure_box(agreement_figure(review.pairs, unit=unit), element_id="agreement"),
            *_coverage_parts(review.coverage, target=review.target),
        ),
    ]
    return parts


def rival_parts(review: Review | str, *, chosen: int) -> list[str]:
    """The chosen trial beside the default config and the references, with paired intervals."""
    if isinstance(review, str):
        return []
    held_out, tune = review.comparisons["calibrate"], review.comparisons["tune"]
    text = (
        f"Losses of trial {chosen} minus those of the other method, on the same days: below 0 "
        f"trial {chosen} is better. Brackets hold 95 % intervals from resampled days; where one "
        "holds 0, the two are not told apart."
    )
    notes = []
    if review.default_number == chosen:
        notes.append(f"Trial {chosen} has the default configuration.")
    return [
        section(f"Trial {chosen} beside simpler choices", text, *notes),
        rival_table(held_out, chosen=chosen, unit=review.unit, split="calibrate"),
        folded(
            "On the tune split, which chose the trial",
            rival_table(tune, chosen=chosen, unit=review.unit, split="tune"),
        ),
    ]


def rival_table(comparison: Comparison, *, chosen: int, unit: str, split: str) -> str:
    """A row for each method: scores, and the differences in percent of its loss."""
    header = (
        f"method, on {split}",
        with_unit("MAE", unit),
        "difference (%)",
        with_unit("pinball", unit),
        "difference (%)",
        "PICP (%)",
    )
    rivals = comparison.rivals
    scores = [comparison.scores, *(rival.scores for rival in rivals)]
    columns = (
        [f"trial {chosen}, chosen", *(rival.name.replace("_", " ") for rival in rivals)],
        same_decimals([of_one["mae"] for of_one in scores]),
        ["", *(gap_text(rival, "mae") for rival in rivals)],
        same_decimals([of_one["pinball"] for of_one in scores]),
        ["", *(gap_text(rival, "pinball") for rival in rivals)],
        [fixed(of_one["picp"], 1) for of_one in scores],
    )
    rows = [*zip(*columns, strict=True)]
    caption = f"Trial {chosen} and simpler choices on the {split} split"
    return table(header, rows, marked=frozenset({0}), caption=caption)


def gap_text(rival: Rival, score: str) -> str:
    """The chosen trial's distance to a rival in percent of the rival's loss, with its interval."""
    loss, gap = rival.scores[score], rival.gaps[score]
    if loss <= 0.0:
        return MISSING
    mean, low, high = (
        fixed(100.0 * value / loss, 1, signed=True) for value in (gap.mean, gap.low, gap.high)
    )
    return f"{mean} [{low}, {high}]"


def _first_day(review: Review, step: pd.Timedelta) -> Figure:
    return day_figure(review.days[0], levels=review.levels, unit=review.unit, step=step)


def _picker(review: Review) -> str:
    """A list of days, grouped by how well they were forecast, and words on the one that shows."""
    groups: dict[str, list[str]] = {}
    for i, day in enumerate(review.days):
        label = f"{day.times[0]:%a %Y-%m-%d}, MAE {number(day.mae, digits=3)} {review.unit}".strip()
        groups.setdefault(day.kind, []).append(f'<option value="{i}">{escape(label)}</option>')
    listed = "".join(
        f'<optgroup label="{KIND_HEADINGS[kind]}">{"".join(options)}</optgroup>'
        for kind, options in groups.items()
    )
    return (
        f'<p class="screen"><label for="{PICKED}-picker">Day </label>'
        f'<select id="{PICKED}-picker" autocomplete="off">{listed}</select></p>'
        f'<p id="{PICKED}-said" aria-live="polite">{escape(_said(review.days[0], review))}</p>'
    )


def _script(review: Review) -> str:
    days = [
        {
            "t": [f"{time:%Y-%m-%d %H:%M}" for time in day.times],
            "q": rounded(day.quantiles.T),
            "o": rounded(day.observed),
            "said": _said(day, review),
        }
        for day in review.days
    ]
    content = in_script(json.dumps(days, separators=(",", ":")))
    return (
        f'<script type="application/json" id="{PICKED}-days">{content}</script>'
        f"<script>{PICKER.replace('ID', PICKED)}</script>"
    )


def _said(day: ReviewedDay, review: Review) -> str:
    return (
        f"{day.times[0]:%A, %d %B %Y}: mean absolute error {number(day.mae, digits=3)} "
        f"{unit_name(review.unit)}; the {review.target:g} % interval contained {day.picp:.0f} % "
        f"of the {len(day.observed)} observations."
    )


def _coverage_parts(grid: CoverageGrid, *, target: float) -> list[str]:
    typical = float(np.median(grid.n_windows[grid.n > 0]))
    share = target / 100.0
    chance = 100.0 * 1.96 * (share * (1.0 - share) / typical) ** 0.5
    text = (
        f"A cell rests on about {typical:.0f} days: by chance alone the coverage of one moves by "
        f"{chance:.0f} points to either side. Look for rows and columns, not for single cells."
    )
    return [
        figure_box(coverage_grid_figure(grid, target=target), element_id="coverage-grid"),
        paragraph(text),
        folded(
            f"By {grid.row_name} and {grid.column_name}, in numbers",
            table(
                (grid.row_name, *grid.columns),
                _grid_rows(grid),
                caption=f"Coverage in percent by {grid.row_name} and {grid.column_name}",
            ),
        ),
    ]


def _grid_rows(grid: CoverageGrid) -> Sequence[Sequence[str]]:
    return [
        (label, *(fixed(value, 0) for value in values))
        for label, values in zip(grid.rows, grid.picp.tolist(), strict=True)
    ]
