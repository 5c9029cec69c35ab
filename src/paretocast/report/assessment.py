"""Section of a study's page on the chosen trial's coverage on the calibrate split."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from paretocast.formatting import same_decimals, unit_name
from paretocast.metrics.scores import percent_above
from paretocast.report.calibration import breakdown_parts, coverage_facts, size_fact, worst_sentence
from paretocast.report.figures import reliability_figure
from paretocast.report.page import (
    fact_boxes,
    figure_box,
    for_screens,
    number,
    paragraph,
    section,
    table,
    warning,
)

if TYPE_CHECKING:
    from paretocast.calibration import IntervalScores
    from paretocast.results.assessment import Assessment

HEADING = "Coverage on held-out hours"
SHOWN = ("lead time", "local hour", "month")
LEAST_SHOWN_PERCENT = 0.05


def assessment_section(
    assessment: Assessment | str, *, model: str, dataset: str, folder: str
) -> str:
    """Coverage on the calibrate split, where it fails, and what calibration makes of it.

    Parameters
    ----------
    assessment : Assessment or str
        A sentence where there is no assessment; empty for no section at all.
    folder : str
        Of the run, for the commands that go on from here.
    """
    if isinstance(assessment, str):
        return section(HEADING, assessment) if assessment else ""
    diagnosis = assessment.diagnosis
    worst = ""
    if diagnosis.worst is not None:
        text = worst_sentence(diagnosis.worst, diagnosis.target)
        worst = (warning if diagnosis.worst.differs_from(diagnosis.target) else paragraph)(text)
    seeds = " Of its trainings with different seeds it is the first." if assessment.repeated else ""
    parts = [
        section(
            HEADING,
            "The calibrate split was used neither for training nor for selecting "
            f"{assessment.subject}.{seeds} Bars are 95 % intervals from "
            "resampled days.",
        ),
        _facts(assessment),
        worst,
        for_screens(
            figure_box(
                reliability_figure(
                    diagnosis.reliability,
                    n_observed=diagnosis.overall.n,
                    model=model,
                    dataset=dataset,
                ),
                element_id="reliability",
            )
        ),
    ]
    for breakdown in diagnosis.breakdowns:
        if breakdown.name in SHOWN:
            drawn = breakdown_parts(
                breakdown,
                target=diagnosis.target,
                unit=assessment.unit,
                element_id=f"by-{breakdown.name.replace(' ', '-')}",
            )
            parts.append(for_screens(*drawn))
    parts.append(_calibration(assessment, folder))
    return "\n".join(part for part in parts if part)


def _calibrator_table(compared: tuple[IntervalScores, ...], *, best: str) -> str:
    header = ("calibrator", "PICP %", "width", "Winkler", "pinball")
    figures = (
        same_decimals([getattr(row, name) for row in compared])
        for name in ("mean_width", "winkler", "pinball")
    )
    rows = [
        (f"{row.name} ★" if row.name == best else row.name, f"{row.picp:.1f}", *shown)
        for row, *shown in zip(compared, *figures, strict=True)
    ]
    marked = frozenset(i for i, row in enumerate(compared) if row.name == best)
    return table(header, rows, marked=marked, caption="Calibrators in cross-validation")


def _facts(assessment: Assessment) -> str:
    overall, target = assessment.diagnosis.overall, assessment.diagnosis.target
    facts = coverage_facts(overall, target=target, unit=assessment.unit)
    if assessment.compared:
        raw, best = _before_and_after(assessment)
        facts.append((f"Calibrated by {best.name}", f"{best.picp:.1f} %", _gain(raw, best)))
    return fact_boxes([*facts, size_fact(overall)])


def _calibration(assessment: Assessment, folder: str) -> str:
    heading = "Effect of calibration"
    commands = (
        f"<p><code>paretocast calibrate {escape(folder)}</code> fits it on the whole split and "
        f"writes it; <code>paretocast diagnose {escape(folder)}</code> shows every group.</p>"
    )
    if not assessment.compared:
        return section(heading, f"{assessment.reason}.")
    raw, best = _before_and_after(assessment)
    if best.name == raw.name:
        verdict = (
            "No calibrator does better in cross-validation: use the forecast without calibration."
        )
    else:
        unit = unit_name(assessment.unit)
        verdict = (
            f"In cross-validation {best.name} takes the Winkler score from "
            f"{number(raw.winkler)} to {number(best.winkler)} {unit}, coverage from "
            f"{raw.picp:.1f} to {best.picp:.1f} % and the mean width from "
            f"{number(raw.mean_width)} to {number(best.mean_width)} {unit}."
        )
    reason = (
        f"{assessment.reason}. Online calibrators go through a fold day by day. Width and "
        f"losses are in {unit_name(assessment.unit)}."
    )
    listed = _calibrator_table(assessment.compared, best=best.name)
    return section(heading, verdict, reason) + for_screens(listed, commands)


def _before_and_after(assessment: Assessment) -> tuple[IntervalScores, IntervalScores]:
    by_name = {row.name: row for row in assessment.compared}
    return by_name["none"], by_name[assessment.best]


def _gain(raw: IntervalScores, best: IntervalScores) -> str:
    if best.name == raw.name:
        return "no calibrator does better"
    above = percent_above(best.winkler, raw.winkler)
    if above is None:
        return "in cross-validation"
    percent = -above
    side = "lower" if percent >= 0.0 else "higher"
    much = f"{abs(percent):.1f} %" if abs(percent) >= LEAST_SHOWN_PERCENT else "hardly"
    return f"in cross-validation; Winkler score {much} {side}"
