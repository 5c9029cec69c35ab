"""The page of a study: its outcome, its forecasts, its search, its parameters."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from paretocast.formatting import count, fixed, same_decimals, sentence
from paretocast.metrics.scores import percent_above
from paretocast.report.assessment import assessment_section
from paretocast.report.figures import pareto_figure, tradeoff_figure
from paretocast.report.figures.search import front_records, named_references
from paretocast.report.page import (
    MISSING,
    bullets,
    document,
    fact_boxes,
    figure_box,
    number,
    section,
    table,
    warning,
)
from paretocast.report.parameters import parameter_parts
from paretocast.report.review import forecast_parts, rival_parts
from paretocast.report.search import search_parts
from paretocast.report.trials import (
    coverage_interval,
    enumerated,
    state_counts,
    table_of,
    with_unit,
)
from paretocast.steps import noun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.metrics.uncertainty import PairedDifference
    from paretocast.report.contents import StudyReport
    from paretocast.study.choice import Choice
    from paretocast.study.outcome import Outcome

MOST_TIED_SHOWN = 15


def study_page(study: StudyReport) -> str:
    """All that a study has found, on one page."""
    outcome = study.outcome
    names = {"model": study.model, "dataset": study.dataset, "folder": study.folder}
    forecasts = [*forecast_parts(study.review), assessment_section(study.assessment, **names)]
    parts = [
        ("outcome", "Outcome", _outcome_parts(study)),
        ("forecasts", "Forecasts of the chosen trial", forecasts),
        ("search", "The search", search_parts(study)),
        ("parameters", "The parameters", parameter_parts(study)),
    ]
    shown = [(name, heading, "\n".join(p for p in body if p)) for name, heading, body in parts]
    shown = [part for part in shown if part[2]]
    body = [_summary(study), _contents([(name, heading) for name, heading, _ in shown])]
    body += [_part(*part) for part in shown]
    if outcome is not None:
        body.append(_trust_text(study, outcome))
    return document(
        f"{study.model} on {study.dataset}: study {study.job_id}",
        eyebrow=f"{study.model} · {study.dataset} · job {study.job_id}",
        heading=f"{study.model} on {study.dataset}",
        lede=(
            "Each trial is one configuration, scored on every daily issue time of the tune split: "
            "the error of its forecasts, and how often the interval contained the observation."
        ),
        body=body,
        footer=f"study {study.model}_{study.dataset}_{study.job_id}",
    )


def _summary(study: StudyReport) -> str:
    """What a reader must know before anything else."""
    outcome = study.outcome
    if outcome is None:
        return warning("No trial is complete yet, so nothing is chosen.")
    parts = [
        _front_facts(study, outcome),
        _recommended_misses(study),
        _chosen_misses(study, outcome),
        _infeasible_warning(study, outcome),
        _beaten_warning(outcome),
    ]
    return "\n".join(part for part in parts if part)


def _contents(parts: Sequence[tuple[str, str]]) -> str:
    links = " · ".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading in parts)
    return f'<p class="screen">{links}</p>'


def _part(name: str, heading: str, body: str) -> str:
    """A part of the page; headings of its sections stand one level lower than by themselves."""
    lower = body
    for level in (3, 2):
        lower = lower.replace(f"<h{level}>", f"<h{level + 1}>")
        lower = lower.replace(f"</h{level}>", f"</h{level + 1}>")
    return f'<h2 id="{name}" class="part">{escape(heading)}</h2>\n{lower}'


def _outcome_parts(study: StudyReport) -> list[str]:
    """The front, the chosen trial and why, and how both compare with simpler choices."""
    outcome, review = study.outcome, study.review
    figure = pareto_figure(
        study.records,
        outcome,
        target_coverage=study.settings.target_coverage,
        gaps=_gaps(study),
        default_number=None if isinstance(review, str) else review.default_number,
        unit=study.unit,
    )
    parts = [figure_box(figure, element_id="front"), _tradeoffs(study)]
    if outcome is None:
        return parts
    rivals = rival_parts(review, chosen=outcome.selection.number)
    return [
        *parts,
        _choice_text(study, outcome),
        _second_stage_section(study),
        _recommended_section(study),
        *(rivals or [_reference_section(study, outcome)]),
        section("The front"),
        table_of(front_records(outcome), study, caption="Trials on the front"),
        _tied_section(study, outcome),
    ]


def _gaps(study: StudyReport) -> dict[str, PairedDifference]:
    """Differences in MAE on the tune split, chosen trial minus reference, by reference."""
    if isinstance(study.review, str):
        return {}
    return {rival.name: rival.gaps["mae"] for rival in study.review.comparisons["tune"].rivals}


def _recommended_misses(study: StudyReport) -> str:
    """A warning where the recommended method misses the target once it is calibrated."""
    choice = study.result.choice
    if choice is None or choice.holds_target:
        return ""
    found = choice.intervals[choice.method]
    return _alarm(
        f"The recommended method misses the target coverage of {choice.target_coverage:g} %.",
        f"Once calibrated its interval contains {found.picp:.1f} % of the observations of the "
        f"calibrate split (95 % interval {found.low:.1f} to {found.high:.1f}), and no candidate as "
        "good holds the target.",
    )


def _chosen_misses(study: StudyReport, outcome: Outcome) -> str:
    """A warning where the chosen trial, not calibrated, misses the target."""
    chosen, target = outcome.chosen, study.settings.target_coverage
    if chosen.picp_interval is None or chosen.picp_interval[0] <= target <= chosen.picp_interval[1]:
        return ""
    side = "few" if chosen.scores["picp"] < target else "many"
    return _alarm(
        f"Trial {chosen.number} misses the target coverage of {target:g} %.",
        f"As the model gives it, its interval contains too {side} observations of the tune split: "
        f"{chosen.scores['picp']:.1f} % (95 % interval {coverage_interval(chosen)}). Calibrate it "
        "before it is used.",
    )


def _alarm(verdict: str, detail: str) -> str:
    return (
        f'<p class="warning"><strong style="color: var(--vermilion)">{escape(verdict)}</strong> '
        f"{escape(detail)}</p>"
    )


def _front_facts(study: StudyReport, outcome: Outcome) -> str:
    chosen, target = outcome.chosen, study.settings.target_coverage
    return fact_boxes(
        [
            ("Chosen", f"trial {chosen.number}", f"by {outcome.selection.rule}"),
            (
                with_unit("MAE", study.unit),
                number(chosen.scores["mae"]),
                _against_references(study, outcome),
            ),
            (
                "Coverage of its interval",
                f"{chosen.scores['picp']:.1f} %",
                f"95 % interval {coverage_interval(chosen)} · target {target:g} %",
            ),
            ("Front", count(len(outcome.front), "trial"), f"of {state_counts(study.records)}"),
        ]
    )


def _against_references(study: StudyReport, outcome: Outcome) -> str:
    """The distance of the chosen trial's MAE to the best reference, with its interval."""
    maes = {name: scores["mae"] for name, scores in outcome.baselines.items()}
    if not maes:
        return ""
    best = min(maes, key=lambda name: maes[name])
    named = best.replace("_", " ")
    percent = percent_above(outcome.chosen.scores["mae"], maes[best])
    if percent is None:
        return f"{named} has no error at all"
    side = "below" if percent < 0.0 else "above"
    text = f"{abs(percent):.1f} % {side} {named}"
    if (gap := _gaps(study).get(best)) is None:
        return text
    low, high = 100.0 * gap.low / maes[best], 100.0 * gap.high / maes[best]
    if low <= 0.0 <= high:
        return f"{text}: not told apart (95 % interval {-low:.1f} % below to {high:.1f} % above)"
    near, far = sorted((abs(low), abs(high)))
    return f"{text} (95 % interval {near:.1f} to {far:.1f} %)"


def _beaten_warning(outcome: Outcome) -> str:
    better = [name.replace("_", " ") for name in outcome.beaten_by()]
    if not better:
        return ""
    return warning(
        f"The chosen trial does not beat {enumerated(better)} on MAE of the tune split. What is "
        "recommended stands further down."
    )


def _reference_section(study: StudyReport, outcome: Outcome) -> str:
    references = named_references(outcome)
    maes = same_decimals([scores["mae"] for scores in references.values()])
    rows = [
        (name, mae, f"{scores['picp']:.1f}")
        for (name, scores), mae in zip(references.items(), maes, strict=True)
    ]
    if not rows:
        return ""
    header = ("reference", with_unit("MAE", study.unit), "PICP (%)")
    return section("Simple methods on the same hours") + "\n" + table(header, rows)


def _choice_text(study: StudyReport, outcome: Outcome) -> str:
    selection = outcome.selection
    paragraphs = [sentence(selection.reason)]
    if selection.rule != selection.policy:
        paragraphs.append(
            f"The policy asked for was {selection.policy}; the rule {selection.rule} chose."
        )
    paragraphs.append(_front_meaning(study))
    if outcome.tied or any(outcome.is_tied(number) for number in outcome.front):
        paragraphs.append(
            "Hollow marks are statistical ties. A hollow blue one is on the front, but another "
            "trial may be as good; a light one with a dot is off the front, and the difference is "
            "consistent with chance. The choice is made among all of these."
        )
    return section(f"Why trial {selection.number}", *paragraphs)


def _recommended_section(study: StudyReport) -> str:
    """The recommended method, beside the others."""
    choice = study.result.choice
    if choice is None:
        return ""
    text = (
        f"{sentence(choice.label)} All were compared by their mean pinball "
        f"loss on {choice.grounds}. The coverage is that of the interval once calibrated, each "
        "half of the split by the other."
    )
    methods = {choice.named(method): method for method in choice.losses}
    others = [*choice.others()]
    own, *losses = same_decimals([choice.losses[choice.method], *(loss for _, loss, _ in others)])
    rows = [("recommended", own, "", *_covered(choice, choice.method))]
    rows += [
        (
            name,
            shown,
            MISSING if percent is None else f"{fixed(percent, 1, signed=True)} %",
            *_covered(choice, methods[name]),
        )
        for (name, _, percent), shown in zip(others, losses, strict=True)
    ]
    header = (
        "method",
        with_unit("mean pinball loss", study.unit),
        "against the recommended",
        "PICP (%)",
        "95 % interval",
    )
    caption = "Methods by their loss on the calibrate split"
    listed = table(header, rows, marked=frozenset({0}), caption=caption)
    return section("Recommended", text) + listed


def _second_stage_section(study: StudyReport) -> str:
    """The levels that the second stage has chosen, and what they are worth."""
    second, heading = study.second_stage, "Stage 2: the levels of the interval"
    if isinstance(second, str):
        return section(heading, second) if second else ""
    content = second.content
    text = (
        f"The interval between the levels below is to cover {content['target_coverage']:g} %. They "
        f"were fitted to the stored forecasts of trial {content['trial']} on the "
        f"{content['fitted_on']} split and scored on the {content['judged_on']} split; nothing was "
        "trained for them."
    )
    rows = second.rows()
    widths = same_decimals([row.mean_width for row in rows])
    shown = [
        (
            row.label,
            f"{row.low:.4f}",
            f"{row.high:.4f}",
            f"{row.picp:.1f}",
            MISSING if row.picp_interval is None else "{:.1f} to {:.1f}".format(*row.picp_interval),
            width,
        )
        for row, width in zip(rows, widths, strict=True)
    ]
    header = (
        *("levels", "lower level", "upper level", "PICP (%)", "95 % interval"),
        with_unit("mean width", study.unit),
    )
    caption = "Levels of the interval and its scores"
    return section(heading, text) + table(header, shown, marked=frozenset({1}), caption=caption)


def _covered(choice: Choice, method: str) -> tuple[str, str]:
    """Coverage of a candidate with its interval, percent."""
    found = choice.intervals[method]
    return f"{found.picp:.1f}", f"{found.low:.1f} to {found.high:.1f}"


def _front_meaning(study: StudyReport) -> str:
    constraints = study.settings.require
    allowed = f" among those that meet {enumerated(constraints)}" if constraints else ""
    if study.in_default_objectives:
        return (
            f"A trial is on the front when no other{allowed} has both a smaller error and a "
            "coverage closer to the target. The blue steps bound what the front dominates."
        )
    labels = [objective.label for objective in study.objectives]
    if len(labels) == 1:
        return f"The front is the trial with the best {labels[0]}{allowed}."
    return (
        f"A trial is on the front when no other{allowed} is as good in {enumerated(labels)} and "
        "better in one of them."
    )


def _tradeoffs(study: StudyReport) -> str:
    """The objectives against each other, where error against coverage does not show them."""
    if study.in_default_objectives or len(study.objectives) == 1:
        return ""
    figure = tradeoff_figure(
        study.records,
        study.outcome,
        objectives=study.objectives,
        unit=study.unit,
    )
    return figure_box(figure, element_id="tradeoffs")


def _infeasible_warning(study: StudyReport, outcome: Outcome) -> str:
    if outcome.feasible:
        return ""
    return warning(
        f"No trial meets {enumerated(study.settings.require)}. The front holds the trials that "
        "miss the requirements least."
    )


def _tied_section(study: StudyReport, outcome: Outcome) -> str:
    """Trials off the front that no others beat significantly."""
    if not outcome.tied:
        return ""
    text = (
        f"{count(len(outcome.tied), 'trial')} off the front that no others beat significantly: "
        "on at least 5 % of the resampled days and seeds it is on the front."
    )
    if len(outcome.tied) > MOST_TIED_SHOWN:
        text += f" The {MOST_TIED_SHOWN} likeliest are shown."
    by_number = {record.number: record for record in outcome.records}
    records = [by_number[number] for number in outcome.tied[:MOST_TIED_SHOWN]]
    listed = table_of(records, study, caption="Trials tied with the front")
    return section("Tied with the front", text) + listed


def _trust_text(study: StudyReport, outcome: Outcome) -> str:
    steps = f"{noun(study.settings.task.steps_per_day)}s"
    items = [
        (
            f"Every score rests on {int(outcome.chosen.scores['n'])} observed {steps} of the tune "
            "split. Intervals are 95 % ones: from resampling whole days and, where there are any, "
            "repeated trainings."
        ),
        f"The trial was selected on these {steps}, so expect slightly worse scores on new ones.",
        "The test split was not used.",
        (
            "All trials were scored on the same days, so a difference between two of them is surer "
            "than the standard errors in the tables suggest. Differences and the chance to be on "
            "the front compare them day by day."
        ),
        *study.notes,
    ]
    return bullets("How reliable these numbers are", items)
