"""Page of a deployment's health."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from paretocast.deployment.health import ALARM_EVIDENCE, WATCH_EVIDENCE
from paretocast.formatting import fixed
from paretocast.report.figures import evidence_figure
from paretocast.report.page import (
    document,
    fact_boxes,
    figure_box,
    number,
    section,
    side_by_side,
    table,
)

if TYPE_CHECKING:
    from paretocast.deployment.health import CoverageCount, HealthReport

MEANING = {"fine": "nothing to do", "watch": "look again soon", "alarm": "somebody has to act"}


def health_page(report: HealthReport, name: str, *, now: pd.Timestamp) -> str:
    """Checks with their reasons, the evidence on coverage, and coverage by step and hour."""
    level = report.level.name.lower()
    coverage = next(check for check in report.checks if check.name == "coverage")
    evidence = report.evidence
    figure = evidence_figure(
        pd.DatetimeIndex(evidence.issues.astype("datetime64[h]"), tz="UTC"),
        evidence.narrow.tolist(),
        evidence.wide.tolist(),
        watch=WATCH_EVIDENCE,
        alarm=ALARM_EVIDENCE,
    )
    recent = coverage.figures["recent_coverage_percent"]
    body = [
        fact_boxes(
            [
                ("State", level, MEANING[level]),
                ("Coverage", f"{number(recent, digits=3)} %", "of the last 28 days"),
                ("Promised", f"{evidence.target:g} %", "of the observations inside"),
            ]
        ),
        table(
            ["check", "state", "reason"],
            [[c.name, c.level.name.lower(), c.reason] for c in report.checks],
            text_columns=frozenset({2}),
            caption="Checks",
        ),
        figure_box(figure),
        side_by_side(
            section("Coverage by step ahead") + _counts("step", report.by_step),
            section("Coverage by local hour") + _counts("hour", report.by_local_hour),
        ),
    ]
    return document(
        f"{name}: health",
        eyebrow=name,
        heading="How the deployment is doing",
        lede=(
            "Coverage is tested day by day with a bound on false alarms over a whole year. Skill "
            "is measured against the ridge that was issued at the same time."
        ),
        body=body,
        footer=f"as of {now:%Y-%m-%d %H:%M}Z",
    )


def _counts(group: str, rows: tuple[CoverageCount, ...]) -> str:
    return table(
        [group, "observed", "inside (%)"],
        [[str(row.group), str(row.n_observed), fixed(row.coverage, 1)] for row in rows],
        caption=f"Coverage by {group}",
    )
