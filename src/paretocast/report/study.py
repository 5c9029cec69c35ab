"""The three pages of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretocast.formatting import count
from paretocast.metrics.scores import percent_above
from paretocast.report.assessment import assessment_section
from paretocast.report.figures import (
    MIN_TRIALS_FOR_IMPORTANCE,
    history_figure,
    importance_figure,
    pareto_figure,
    tradeoff_figure,
)
from paretocast.report.figures.search import front_records, named_references
from paretocast.report.page import (
    bullets,
    document,
    fact_boxes,
    figure_box,
    folded,
    number,
    section,
    table,
    warning,
)
from paretocast.report.trials import config_text, coverage_interval, trial_table, with_unit
from paretocast.search.objectives import DEFAULT_OBJECTIVES, known_objectives, parse_objectives
from paretocast.search.selection import TrialState
from paretocast.steps import noun
from paretocast.study.importances import N_SHUFFLES, most_tried

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paretocast.results.assessment import Assessment
    from paretocast.search.objectives import Objective
    from paretocast.settings import TuneSettings
    from paretocast.study.importances import Importance
    from paretocast.study.outcome import Outcome
    from paretocast.study.study import StudyResult
    from paretocast.training.trial import TrialRecord

MOST_TIED_SHOWN = 15


@dataclass(frozen=True)
class StudyReport:
    """A study with everything else that its pages say.

    Attributes
    ----------
    unit : str
        Of the target.
    notes : tuple of str
        Assumptions under which the scores hold, one sentence each.
    assessment : Assessment or str
        Of the chosen trial on the calibrate split; a sentence where there is none.
    folder : str
        Of the run, as a command would name it.
    """

    result: StudyResult
    settings: TuneSettings
    unit: str
    dataset: str
    job_id: str
    notes: tuple[str, ...] = ()
    assessment: Assessment | str = ""
    folder: str = "RUN"

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.settings.model

    @property
    def outcome(self) -> Outcome | None:
        """Front and chosen trial; None while no trial is complete."""
        return self.result.outcome

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """Finished trials by number, each scored on the mean over its seeds."""
        return self.result.records

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Objectives of the search."""
        return parse_objectives(self.settings.objectives)

    @property
    def in_default_objectives(self) -> bool:
        """True for a search that traded error against coverage alone."""
        return set(self.settings.objectives) == set(DEFAULT_OBJECTIVES)


def study_pages(study: StudyReport) -> dict[str, str]:
    """The three pages of a study, by the names of their files."""
    return {
        "pareto_front": pareto_page(study),
        "mae_history": history_page(study),
        "param_importance": importance_page(study),
    }


def pareto_page(study: StudyReport) -> str:
    """The front, the chosen trial and why, and how both compare with the references."""
    outcome = study.outcome
    figure = pareto_figure(
        study.records,
        outcome,
        target_coverage=study.settings.target_coverage,
        unit=study.unit,
        model=study.model,
        dataset=study.dataset,
    )
    if outcome is None:
        body = [warning("No trial is complete yet, so nothing is chosen."), figure_box(figure)]
        body.append(_tradeoffs(study))
    else:
        body = [_front_facts(study, outcome), _infeasible_warning(study, outcome)]
        body += [_beaten_warning(outcome), figure_box(figure), _tradeoffs(study)]
        body += [_choice_text(study, outcome), _recommended_section(study)]
        body += [section("The front"), _table_of(front_records(outcome), study)]
        body += [_tied_section(study, outcome), _reference_section(study, outcome)]
        names = {"model": study.model, "dataset": study.dataset, "folder": study.folder}
        body += [assessment_section(study.assessment, **names), _trust_text(study, outcome)]
    lede = (
        "Each point is one configuration, scored on every daily issue time of the tune split: the "
        "error of its forecasts, and how often the interval contained the observation."
    )
    return _study_page("Pareto front", study, lede=lede, body=body)


def history_page(study: StudyReport) -> str:
    """The trials in the order they were made, and why some failed."""
    records = study.records
    figure = history_figure(
        records,
        study.outcome,
        target_coverage=study.settings.target_coverage,
        unit=study.unit,
        model=study.model,
        dataset=study.dataset,
    )
    body = [_history_facts(study), figure_box(figure)]
    failed = [r for r in records if r.state is TrialState.FAILED]
    if failed:
        rows = [(str(r.number), r.reason or "no reason was kept", config_text(r)) for r in failed]
        body.append(section("Failed trials"))
        body.append(table(("trial", "reason", "config"), rows, text_columns=frozenset({1, 2})))
    if records:
        body.append(folded(f"All {count(len(records), 'trial')}", _table_of(records, study)))
    lede = (
        "The search proposes each configuration from the results so far. The line is the "
        "lowest MAE so far; a low MAE with a coverage far off the target is no success."
    )
    return _study_page("History of the search", study, lede=lede, body=body)


def importance_page(study: StudyReport) -> str:
    """The share of each objective's variation that goes with a parameter, and how to read it."""
    model, judged = most_tried(study.records, study.model)
    n_scored = len(judged)
    objectives = known_objectives()
    importances = {objectives[n].label: i for n, i in study.result.importances.items()}
    figure = importance_figure(importances, n_trials=n_scored, model=model, dataset=study.dataset)
    body = [figure_box(figure, element_id="importance")]
    if importances and n_scored >= MIN_TRIALS_FOR_IMPORTANCE:
        body.insert(0, _told_apart(importances))
    reading = (
        "A bar is the share of an objective's variation between trials that goes with a parameter.",
        "The bars of one objective add up to 100 %, so one of them is the longest even by chance.",
        f"The pale bars: in 95 % of {N_SHUFFLES} shuffled studies no bar went beyond its own.",
        "A short bar: little difference within the ranges searched. Beyond them it may matter.",
        "Trials are compared at the first rung, where all have had the same training.",
        "The search looked most where results were good, so the shares describe that region best.",
    )
    body.append(bullets("How to read it", reading))
    lede = "How much of the difference between configurations goes with each of their parameters."
    if model != study.model:
        lede += f" Of {model}, which has the most trials here."
    return _study_page("Importance of the parameters", study, lede=lede, body=body)


def _told_apart(importances: Mapping[str, Importance]) -> str:
    """The parameters of each objective that chance does not explain, or that there is none."""
    sentences = []
    for label, importance in importances.items():

        def with_chance(name: str, importance: Importance = importance) -> str:
            share, chance = importance.shares[name], min(1.0, importance.chances[name])
            return f"{name} ({100.0 * share:.0f} %, by chance up to {100.0 * chance:.0f} %)"

        if told := importance.told_apart:
            named = _enumerated([with_chance(name) for name in told])
            rest = len(told) < len(importance.shares)
            others = " The others are not told apart from chance." if rest else ""
            sentences.append(f"{label}: {named} stands out.{others}")
        else:
            longest = max(importance.shares, key=lambda name: importance.shares[name])
            sentences.append(
                f"{label}: no parameter is told apart from chance. The longest bar is that of "
                f"{with_chance(longest)}."
            )
    return bullets("What can be told", sentences)


def _study_page(heading: str, study: StudyReport, *, lede: str, body: Sequence[str]) -> str:
    return document(
        f"{heading}: {study.model} on {study.dataset}",
        eyebrow=f"{study.model} · {study.dataset} · job {study.job_id}",
        heading=heading,
        lede=lede,
        body=body,
        footer=f"study {study.model}_{study.dataset}_{study.job_id}",
    )


def _front_facts(study: StudyReport, outcome: Outcome) -> str:
    chosen, target = outcome.chosen, study.settings.target_coverage
    return fact_boxes(
        [
            ("Chosen", f"trial {chosen.number}", f"by {outcome.selection.rule}"),
            (
                with_unit("MAE", study.unit),
                number(chosen.scores["mae"]),
                _against_references(outcome),
            ),
            (
                "Coverage of its interval",
                f"{chosen.scores['picp']:.1f} %",
                f"95 % interval {coverage_interval(chosen)} · target {target:g} %",
            ),
            ("Front", count(len(outcome.front), "trial"), f"of {_state_counts(study.records)}"),
        ]
    )


def _against_references(outcome: Outcome) -> str:
    maes = {name: scores["mae"] for name, scores in named_references(outcome).items()}
    if not maes:
        return ""
    best = min(maes, key=lambda name: maes[name])
    percent = percent_above(outcome.chosen.scores["mae"], maes[best])
    if percent is None:
        return f"{best} has no error at all"
    side = "below" if percent < 0.0 else "above"
    return f"{abs(percent):.1f} % {side} {best}"


def _beaten_warning(outcome: Outcome) -> str:
    better = [name.replace("_", " ") for name in outcome.beaten_by()]
    if not better:
        return ""
    return warning(
        f"The chosen trial does not beat {_enumerated(better)} on MAE of the tune split. What is "
        "recommended stands further down."
    )


def _reference_section(study: StudyReport, outcome: Outcome) -> str:
    rows = [
        (name, number(scores["mae"]), f"{scores['picp']:.1f}")
        for name, scores in named_references(outcome).items()
    ]
    if not rows:
        return ""
    header = ("reference", with_unit("MAE", study.unit), "PICP (%)")
    return section("Simple methods on the same hours") + "\n" + table(header, rows)


def _choice_text(study: StudyReport, outcome: Outcome) -> str:
    selection = outcome.selection
    paragraphs = [f"{selection.reason[:1].upper()}{selection.reason[1:].rstrip('.')}."]
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
        f"{choice.label[:1].upper()}{choice.label[1:]}. All were compared by their mean pinball "
        "loss on the calibrate split, which was not used to select any of them."
    )
    rows = [("recommended", number(choice.losses[choice.method]), "")]
    rows += [
        (name, number(loss), "–" if percent is None else f"{percent:+z.1f} %")
        for name, loss, percent in choice.others()
    ]
    header = ("method", with_unit("mean pinball loss", study.unit), "against the recommended")
    return section("Recommended", text) + table(header, rows, marked=frozenset({0}))


def _front_meaning(study: StudyReport) -> str:
    constraints = study.settings.require
    allowed = f" among those that meet {_enumerated(constraints)}" if constraints else ""
    if study.in_default_objectives:
        return (
            f"A trial is on the front when no other{allowed} has both a smaller error and a "
            "coverage closer to the target. The blue steps bound what the front dominates, above "
            "and below the target."
        )
    labels = [objective.label for objective in study.objectives]
    if len(labels) == 1:
        return f"The front is the trial with the best {labels[0]}{allowed}."
    return (
        f"A trial is on the front when no other{allowed} is as good in {_enumerated(labels)} and "
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
        model=study.model,
        dataset=study.dataset,
    )
    return figure_box(figure, element_id="tradeoffs")


def _infeasible_warning(study: StudyReport, outcome: Outcome) -> str:
    if outcome.feasible:
        return ""
    return warning(
        f"No trial meets {_enumerated(study.settings.require)}. The front holds the trials that "
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
    return section("Tied with the front", text) + _table_of(records, study)


def _trust_text(study: StudyReport, outcome: Outcome) -> str:
    steps = f"{noun(study.settings.task.steps_per_day)}s"
    items = [
        (
            f"Every score rests on {int(outcome.chosen.scores['n'])} observed {steps} of the tune "
            "split. The bars are 95 % intervals, upright of the coverage and across of the "
            "difference to the chosen trial: from resampling whole days, and repeated trainings if "
            "there are any."
        ),
        f"The trial was selected on these {steps}, so expect slightly worse scores on new ones.",
        "The test split was not used.",
        (
            "All trials were scored on the same days, so a difference between two of them is surer "
            "than the standard errors in the tables suggest. The bars across and the chance to be "
            "on the front compare them day by day."
        ),
        *study.notes,
    ]
    return bullets("How reliable these numbers are", items)


def _history_facts(study: StudyReport) -> str:
    complete = [r for r in study.records if r.state is TrialState.COMPLETE]
    best = min(complete, key=lambda record: record.scores["mae"], default=None)
    hours = sum(record.fit_seconds for record in study.records) / 3600.0
    return fact_boxes(
        [
            (
                "Trials",
                str(len(study.records)),
                f"{_state_counts(study.records)}{_repeats(study.records)}",
            ),
            (
                with_unit("Lowest MAE", study.unit),
                number(best.scores["mae"] if best else None),
                f"trial {best.number}" if best else "",
            ),
            (
                "Training time",
                f"{60.0 * hours:.1f} min" if hours < 1.0 else f"{hours:.1f} h",
                "of all trials together",
            ),
        ]
    )


def _table_of(records: Sequence[TrialRecord], study: StudyReport) -> str:
    return trial_table(records, study.outcome, unit=study.unit, objectives=study.objectives)


def _repeats(records: Sequence[TrialRecord]) -> str:
    n_repeats = sum(record.n_seeds - 1 for record in records)
    return f"; {count(n_repeats, 'repeat')} with other seeds" if n_repeats else ""


def _state_counts(records: Sequence[TrialRecord]) -> str:
    counts = [(sum(r.state is state for r in records), state) for state in TrialState]
    return ", ".join(f"{n} {state}" for n, state in counts if n)


def _enumerated(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
