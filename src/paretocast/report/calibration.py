"""Page of a diagnosis: coverage, reliability and PIT histogram of a forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretocast.formatting import count, joined, same_decimals, unit_name
from paretocast.report.figures import breakdown_figure, pit_figure, reliability_figure
from paretocast.report.page import (
    document,
    fact_boxes,
    figure_box,
    folded,
    number,
    section,
    table,
    warning,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.metrics.diagnostics import (
        CoverageByGroup,
        Diagnosis,
        GroupCoverage,
        WorstGroup,
    )
    from paretocast.report.page import Fact

GROUP_COLUMNS = ("group", "PICP %", "95 % interval", "width", "Winkler", "values", "windows")


def diagnosis_page(
    diagnosis: Diagnosis,
    *,
    model: str,
    dataset: str,
    unit: str,
    subject: str,
    notes: Sequence[str] = (),
) -> str:
    """A diagnosis as figures with their tables.

    Parameters
    ----------
    subject : str
        The forecast and its windows, such as "trial 3, calibrate split".
    notes : sequence of str
        Assumptions under which the scores hold.
    """
    overall, target = diagnosis.overall, diagnosis.target
    body = [
        *(warning(note) for note in notes),
        fact_boxes([*coverage_facts(overall, target=target, unit=unit), size_fact(overall)]),
    ]
    if diagnosis.worst is not None:
        text = worst_sentence(diagnosis.worst, target)
        differs = diagnosis.worst.differs_from(target)
        body.append(warning(text) if differs else section("The weakest group", text))
    body.append(
        figure_box(
            reliability_figure(
                diagnosis.reliability, n_observed=overall.n, model=model, dataset=dataset
            ),
            element_id="reliability",
        )
    )
    body.append(figure_box(pit_figure(diagnosis.pit, n_observed=overall.n), element_id="pit"))
    for i, breakdown in enumerate(diagnosis.breakdowns):
        element_id = f"breakdown-{i}"
        body += breakdown_parts(breakdown, target=target, unit=unit, element_id=element_id)
    return document(
        f"{model} on {dataset}: coverage of the intervals",
        eyebrow=f"{model} · {dataset} · {subject}",
        heading="Coverage of the intervals by group",
        lede=(
            f"A {target:g} % interval should contain {target:g} % of the observations, "
            "at every hour and in every season. Bars are 95 % intervals from resampled windows; "
            "hours of a day are not independent, so they are wider than a count of hours suggests."
        ),
        body=body,
        footer=f"{subject}; width and Winkler score in {unit_name(unit)}",
    )


def coverage_facts(overall: GroupCoverage, *, target: float, unit: str) -> list[Fact]:
    """Boxes with the coverage, the mean width and the Winkler score of all values together."""
    return [
        (
            f"Coverage of the {target:g} % interval",
            f"{overall.picp:.1f} %",
            f"{overall.low:.1f} to {overall.high:.1f} with 95 % confidence",
        ),
        ("Mean width", number(overall.mean_width), unit),
        ("Winkler score", number(overall.winkler), joined(unit, "lower is better", by=", ")),
    ]


def size_fact(overall: GroupCoverage) -> Fact:
    """A box with the number of observed values and windows."""
    return "Observed values", str(overall.n), count(overall.n_windows, "window")


def breakdown_parts(
    breakdown: CoverageByGroup, *, target: float, unit: str, element_id: str
) -> list[str]:
    """A figure of the coverage by group, and its numbers in a folded table."""
    figure = breakdown_figure(breakdown, target=target, unit=unit)
    rows = group_rows(breakdown.groups)
    return [
        figure_box(figure, element_id=element_id),
        folded(
            f"By {breakdown.name}, in numbers",
            table(GROUP_COLUMNS, rows, caption=f"Coverage by {breakdown.name}"),
        ),
    ]


def worst_sentence(worst: WorstGroup, target: float) -> str:
    """A sentence on the group least consistent with the target; its interval is widened for all."""
    group = worst.group
    verdict = (
        "more than chance explains" if worst.differs_from(target) else "consistent with chance"
    )
    return (
        f"Least consistent with {target:g} %: {worst.grouping} {group.label} with "
        f"{group.picp:.1f} % of {group.n} values. Its interval, widened for so many groups, is "
        f"{worst.low:.1f} to {worst.high:.1f} %: {verdict}, given {worst.n_looked_at} groups."
    )


def group_rows(groups: Sequence[GroupCoverage]) -> list[tuple[str, ...]]:
    """Rows of `GROUP_COLUMNS`."""
    widths = same_decimals([group.mean_width for group in groups])
    winklers = same_decimals([group.winkler for group in groups])
    return [
        (
            group.label,
            f"{group.picp:.1f}",
            f"{group.low:.1f} to {group.high:.1f}",
            width,
            winkler,
            str(group.n),
            str(group.n_windows),
        )
        for group, width, winkler in zip(groups, widths, winklers, strict=True)
    ]
