"""Page of benchmarks of many series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.formatting import same_decimals
from paretocast.report.page import document, fact_boxes, link_list, section, table, warning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paretocast.benchmarking.across import AcrossSeries, SeriesRow


def across_page(across: AcrossSeries, *, name: str, pages: Mapping[str, str]) -> str:
    """All series on one page.

    Parameters
    ----------
    name : str
        Of the data set or pattern that was asked for.
    pages : mapping of series to path
        Page of each series' own benchmark, relative to this one.
    """
    header = ("series", "method", "unit", "MAE", "pinball", "PICP (%)", "95 % interval", "to ridge")
    maes, losses = (_by_unit(across.rows, score) for score in ("mae", "pinball"))
    rows = [
        (
            row.series,
            row.method,
            row.unit,
            mae,
            loss,
            f"{row.scores['picp']:.1f}",
            f"{row.picp_low:.1f} to {row.picp_high:.1f}",
            "" if row.against is None else f"{row.against:.3f}",
        )
        for row, mae, loss in zip(across.rows, maes, losses, strict=True)
    ]
    body = [
        fact_boxes([("Series", str(len(rows)), ""), *_ratio_facts(across)]),
        warning(across.note) if across.note else "",
        section(
            "Series",
            "Each row is the method that was chosen without the test split, scored on it. The last "
            "column is its mean pinball loss over that of the ridge; below 1 it is better.",
        ),
        table(header, rows, text_columns=frozenset({1}), caption="Chosen method of every series"),
        _total(across),
        link_list("Pages", [(series, path, "") for series, path in pages.items()]),
    ]
    return document(
        f"{name}: all series",
        eyebrow=f"{name} · test split",
        heading=f"{len(rows)} series side by side",
        lede=(
            "What was chosen for each series, and its scores on hours that were not used for "
            "training, selection or calibration."
        ),
        body=body,
        footer="scores in the unit of each series",
    )


def _by_unit(rows: Sequence[SeriesRow], score: str) -> list[str]:
    """A score of every series; those of one unit share their decimals."""
    shown = {
        unit: iter(same_decimals([row.scores[score] for row in rows if row.unit == unit]))
        for unit in {row.unit for row in rows}
    }
    return [next(shown[row.unit]) for row in rows]


def _ratio_facts(across: AcrossSeries) -> list[tuple[str, str, str]]:
    ratios = across.ratios()
    if not ratios:
        return []
    better = sum(ratio < 1.0 for ratio in ratios)
    return [
        ("Median against the ridge", f"{np.median(ratios):.3f}", f"better on {better}"),
        ("Worst against the ridge", f"{max(ratios):.3f}", "pinball loss over that of the ridge"),
    ]


def _total(across: AcrossSeries) -> str:
    if not across.total:
        return ""
    header = ("forecast", "MAE", "pinball", "PICP (%)", "width", "windows")
    maes, losses, widths = (
        same_decimals([row.scores[score] for row in across.total])
        for score in ("mae", "pinball", "mean_width")
    )
    rows = [
        (row.method, mae, loss, f"{row.scores['picp']:.1f}", width, str(row.n_windows))
        for row, mae, loss, width in zip(across.total, maes, losses, widths, strict=True)
    ]
    text = section(
        "Total of the series",
        "Quantiles of a sum come from errors that the series made on the same past days. Quantiles "
        "that are added up level by level cover more or less than they say; they stand beside it "
        "for comparison.",
    )
    return text + table(header, rows, caption="Forecasts of the total")
