"""The three pages of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretocast.report.assessment import honesty_section
from paretocast.report.figures import (
    MIN_TRIALS_FOR_IMPORTANCE,
    ReferencePoint,
    TrialPoint,
    history_figure,
    importance_figure,
    pareto_figure,
    tradeoff_figure,
)
from paretocast.report.page import (
    MISSING,
    bullets,
    count,
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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paretocast.results.assessment import Assessment
    from paretocast.search.objectives import Objective
    from paretocast.settings import TuneSettings
    from paretocast.study.outcome import Outcome
    from paretocast.study.study import StudyResult
    from paretocast.training.trial import TrialRecord

MOST_TIED_SHOWN = 15
FEW_TRIALS_FOR_IMPORTANCE = 40  # below, the shares still move a lot with every further trial


@dataclass(frozen=True)
class StudyFacts:
    """What the pages of a study say beside its trials.

    Attributes
    ----------
    unit : str
        Of the target.
    target_coverage : float
        In percent.
    policy, rule, reason : str
        What the user asked for, the rule that chose, and why; empty while nothing is chosen.
    n_observed : int
        Observed hours of the tune split, on which every score rests.
    notes : tuple of str
        Assumptions under which the scores hold, one sentence each.
    objectives, constraints : tuple of str
        Names of the scores searched for, and the requirements.
    feasible : bool
        Whether the front meets the requirements.
    honesty : Assessment or str
        Of the chosen trial on the calibrate split; a sentence where it is not known.
    folder : str
        Of the run, as a command would name it.
    """

    model: str
    dataset: str
    job_id: str
    unit: str
    target_coverage: float
    policy: str = ""
    rule: str = ""
    reason: str = ""
    n_observed: int = 0
    training_hours: float = 0.0
    notes: tuple[str, ...] = ()
    objectives: tuple[str, ...] = DEFAULT_OBJECTIVES
    constraints: tuple[str, ...] = ()
    feasible: bool = True
    honesty: Assessment | str = ""
    folder: str = "RUN"

    @property
    def searched(self) -> tuple[Objective, ...]:
        """The objectives themselves."""
        return parse_objectives(self.objectives)


def study_pages(
    result: StudyResult,
    *,
    settings: TuneSettings,
    unit: str,
    dataset: str,
    job_id: str,
    notes: Sequence[str] = (),
    honesty: Assessment | str = "",
    folder: str = "RUN",
) -> dict[str, str]:
    """The three pages of a study, by the names of their files.

    Parameters
    ----------
    notes, honesty, folder
        As of `StudyFacts`.
    """
    outcome = result.outcome
    records = outcome.records if outcome else result.records
    facts = StudyFacts(
        model=settings.model,
        dataset=dataset,
        job_id=job_id,
        unit=unit,
        target_coverage=settings.target_coverage,
        policy=outcome.selection.policy if outcome else "",
        rule=outcome.selection.rule if outcome else "",
        reason=outcome.selection.reason if outcome else "",
        n_observed=int(outcome.chosen.scores["n"]) if outcome else 0,
        training_hours=sum(record.fit_seconds for record in records) / 3600.0,
        notes=tuple(notes),
        objectives=settings.objectives,
        constraints=settings.require,
        feasible=outcome.feasible if outcome else True,
        honesty=honesty,
        folder=folder,
    )
    trials = [_trial_point(record, outcome) for record in records]
    references = [
        ReferencePoint(name.replace("_", " "), scores["mae"], scores["picp"], scores)
        for name, scores in (outcome.baselines if outcome else {}).items()
    ]
    objectives = known_objectives()
    importances = {objectives[name].label: shares for name, shares in result.importances.items()}
    return {
        "pareto_front": pareto_page(facts, trials, references),
        "mae_history": history_page(facts, trials),
        "param_importance": importance_page(facts, trials, importances),
    }


def pareto_page(
    facts: StudyFacts, trials: Sequence[TrialPoint], references: Sequence[ReferencePoint]
) -> str:
    """The front, the chosen trial and why, and how both compare with the references."""
    figure = pareto_figure(
        trials,
        references,
        target_coverage=facts.target_coverage,
        unit=facts.unit,
        model=facts.model,
        dataset=facts.dataset,
        objectives=facts.objectives,
    )
    front = sorted((t for t in trials if t.on_front), key=lambda t: (t.mae or 0.0, t.number))
    body = [_front_facts(facts, trials, references), _infeasible_warning(facts, trials)]
    body += [_beaten_warning(trials, references), figure_box(figure)]
    body += [_tradeoffs(facts, trials, references), _choice_text(facts, trials)]
    if front:
        body += [
            section("The front"),
            _table_of(front, facts),
        ]
    body.append(_tied_section(facts, trials))
    if references:
        rows = [(r.name, number(r.mae), f"{r.picp:.1f}") for r in references]
        header = ("reference", with_unit("MAE", facts.unit), "PICP (%)")
        body += [section("Simple methods on the same hours"), table(header, rows)]
    if _chosen(trials):
        body += [
            honesty_section(
                facts.honesty, model=facts.model, dataset=facts.dataset, folder=facts.folder
            ),
            _trust_text(facts),
        ]
    lede = (
        "Each point is one configuration, judged on every daily issue time of the tune split: how "
        "far its forecasts were off, and how often its interval held what came."
    )
    return _study_page("Pareto front", facts, lede=lede, body=body)


def history_page(facts: StudyFacts, trials: Sequence[TrialPoint]) -> str:
    """The trials in the order they were made, and why some failed."""
    figure = history_figure(
        trials,
        target_coverage=facts.target_coverage,
        unit=facts.unit,
        model=facts.model,
        dataset=facts.dataset,
    )
    body = [_history_facts(facts, trials), figure_box(figure)]
    failed = [t for t in trials if t.state is TrialState.FAILED]
    if failed:
        rows = [(str(t.number), t.reason or "no reason was kept", config_text(t)) for t in failed]
        body.append(section("Failed trials"))
        body.append(table(("trial", "reason", "config"), rows, text_columns=frozenset({1, 2})))
    if trials:
        body.append(
            folded(
                f"All {count(len(trials), 'trial')}",
                _table_of(trials, facts),
            )
        )
    lede = (
        "The search proposes each configuration from what it has seen before. The line is the "
        "lowest MAE so far; a low MAE with a coverage far off the target is no success."
    )
    return _study_page("History of the search", facts, lede=lede, body=body)


def importance_page(
    facts: StudyFacts,
    trials: Sequence[TrialPoint],
    importances: Mapping[str, Mapping[str, float]],
) -> str:
    """Which parameters moved which objective, with how much to trust it.

    Parameters
    ----------
    importances : mapping of objective to mapping of parameter to share
        Unitless, adding up to 1 for each objective.
    """
    n_judged = sum(t.mae is not None for t in trials)
    figure = importance_figure(
        importances, n_trials=n_judged, model=facts.model, dataset=facts.dataset
    )
    body = []
    if MIN_TRIALS_FOR_IMPORTANCE <= n_judged < FEW_TRIALS_FOR_IMPORTANCE:
        body.append(
            warning(
                f"{n_judged} trials give a rough picture: a bar far above the others "
                "can be trusted, the order of the small ones cannot."
            )
        )
    body.append(figure_box(figure))
    reading = (
        "A bar is the share of an objective's variation between trials that goes with a parameter.",
        "The bars of one objective add up to 100 %.",
        "A short bar: little difference within the ranges searched. Beyond them it may matter.",
        "Trials are compared at the first rung, where all have had the same training.",
        "The search looked most where results were good, so the shares describe that region best.",
    )
    body.append(bullets("How to read it", reading))
    lede = "How much of the difference between configurations goes with each of their parameters."
    return _study_page("Importance of the parameters", facts, lede=lede, body=body)


def _study_page(heading: str, facts: StudyFacts, *, lede: str, body: Sequence[str]) -> str:
    return document(
        f"{heading}: {facts.model} on {facts.dataset}",
        eyebrow=f"{facts.model} · {facts.dataset} · job {facts.job_id}",
        heading=heading,
        lede=lede,
        body=body,
        footer=f"study {facts.model}_{facts.dataset}_{facts.job_id}",
    )


def _trial_point(record: TrialRecord, outcome: Outcome | None) -> TrialPoint:
    low, high = record.picp_interval or (None, None)
    return TrialPoint(
        number=record.number,
        state=record.state,
        mae=record.scores.get("mae"),
        picp=record.scores.get("picp"),
        picp_low=low,
        picp_high=high,
        mean_width=record.scores.get("mean_width"),
        scores=record.scores,
        standard_errors=record.standard_errors,
        gap_errors=outcome.gap_errors.get(record.number, {}) if outcome else {},
        n_seeds=record.n_seeds,
        front_probability=outcome.front_probability.get(record.number) if outcome else None,
        tied=outcome is not None
        and (record.number in outcome.tied or outcome.is_tied(record.number)),
        on_front=outcome is not None and record.number in outcome.front,
        chosen=outcome is not None and record.number == outcome.selection.number,
        params=record.config,
        reason=record.reason,
    )


def _front_facts(
    facts: StudyFacts, trials: Sequence[TrialPoint], references: Sequence[ReferencePoint]
) -> str:
    chosen = _chosen(trials)
    if chosen is None:
        return warning("No trial is complete yet, so nothing is chosen.")
    n_front = sum(t.on_front for t in trials)
    return fact_boxes(
        [
            ("Chosen", f"trial {chosen.number}", f"by {facts.rule}" if facts.rule else ""),
            (
                with_unit("MAE", facts.unit),
                number(chosen.mae),
                _against_references(chosen, references),
            ),
            (
                "Coverage of its interval",
                f"{chosen.picp:.1f} %" if chosen.picp is not None else MISSING,
                f"95 % interval {coverage_interval(chosen)} · target {facts.target_coverage:g} %",
            ),
            ("Front", count(n_front, "trial"), f"of {_state_counts(trials)}"),
        ]
    )


def _against_references(chosen: TrialPoint, references: Sequence[ReferencePoint]) -> str:
    if not references or chosen.mae is None:
        return ""
    best = min(references, key=lambda r: r.mae)
    percent = 100.0 * (chosen.mae / best.mae - 1.0)
    side = "below" if percent < 0.0 else "above"
    return f"{abs(percent):.1f} % {side} {best.name}"


def _beaten_warning(trials: Sequence[TrialPoint], references: Sequence[ReferencePoint]) -> str:
    chosen = _chosen(trials)
    if chosen is None or chosen.mae is None:
        return ""
    better = [r.name for r in references if r.mae <= chosen.mae]
    if not better:
        return ""
    return warning(
        f"The chosen trial does not beat {_enumerated(better)} on MAE. Use that instead, or search "
        "longer."
    )


def _choice_text(facts: StudyFacts, trials: Sequence[TrialPoint]) -> str:
    chosen = _chosen(trials)
    if chosen is None:
        return ""
    sentence = facts.reason[:1].upper() + facts.reason[1:].rstrip(".")
    paragraphs = [f"{sentence}."] if sentence else []
    if facts.rule != facts.policy:
        paragraphs.append(f"The policy asked for was {facts.policy}; the rule {facts.rule} chose.")
    paragraphs.append(_front_meaning(facts))
    if any(t.tied for t in trials):
        paragraphs.append(
            "Hollow marks are ties. A hollow blue one is on the front by measurement, but another "
            "trial may belong in its place; a light one with a dot is beside the front by no more "
            "than chance. The choice is made among all of these."
        )
    return section(f"Why trial {chosen.number}", *paragraphs)


def _front_meaning(facts: StudyFacts) -> str:
    allowed = (
        f" among those that meet {_enumerated(facts.constraints)}" if facts.constraints else ""
    )
    if set(facts.objectives) == set(DEFAULT_OBJECTIVES):
        return (
            f"A trial is on the front when no other{allowed} has both a smaller error and a "
            "coverage closer to the target. The blue steps bound what the front dominates, above "
            "and below the target."
        )
    labels = [objective.label for objective in facts.searched]
    if len(labels) == 1:
        return f"The front is the trial with the best {labels[0]}{allowed}."
    return (
        f"A trial is on the front when no other{allowed} is as good in {_enumerated(labels)} and "
        "better in one of them."
    )


def _tradeoffs(
    facts: StudyFacts, trials: Sequence[TrialPoint], references: Sequence[ReferencePoint]
) -> str:
    """The objectives against each other, where error against coverage does not show them."""
    objectives = facts.searched
    if set(facts.objectives) == set(DEFAULT_OBJECTIVES) or len(objectives) == 1:
        return ""
    figure = tradeoff_figure(
        trials,
        references,
        objectives=objectives,
        unit=facts.unit,
        model=facts.model,
        dataset=facts.dataset,
    )
    return figure_box(figure, element_id="tradeoffs")


def _infeasible_warning(facts: StudyFacts, trials: Sequence[TrialPoint]) -> str:
    if facts.feasible or not _chosen(trials):
        return ""
    return warning(
        f"No trial meets {_enumerated(facts.constraints)}. The front holds the trials that miss "
        "the requirements least."
    )


def _tied_section(facts: StudyFacts, trials: Sequence[TrialPoint]) -> str:
    """Trials off the front that no others beat significantly."""
    tied = sorted(
        (t for t in trials if t.tied and not t.on_front),
        key=lambda t: (-(t.front_probability or 0.0), t.number),
    )
    if not tied:
        return ""
    text = (
        f"{count(len(tied), 'trial')} beside the front that no others beat significantly: on at "
        "least 5 % of the resampled days and seeds it is on the front."
    )
    if len(tied) > MOST_TIED_SHOWN:
        text += f" The {MOST_TIED_SHOWN} likeliest are shown."
    return section("Tied with the front", text) + _table_of(tied[:MOST_TIED_SHOWN], facts)


def _trust_text(facts: StudyFacts) -> str:
    items = []
    if facts.n_observed:
        items.append(
            f"Every score rests on {facts.n_observed} observed hours of the tune split. The bars "
            "are 95 % intervals, upright of the coverage and across of the difference to the "
            "chosen trial: from resampling whole days, and repeated trainings if there are any."
        )
    items += [
        "The trial was chosen on these very hours, so expect somewhat worse on new ones.",
        "The test split has not been looked at.",
        (
            "All trials were judged on the same days, so a difference between two of them is surer "
            "than the standard errors in the tables suggest. The bars across and the chance to be "
            "on the front compare them day by day."
        ),
        *facts.notes,
    ]
    return bullets("How far to trust it", items)


def _history_facts(facts: StudyFacts, trials: Sequence[TrialPoint]) -> str:
    complete = [t for t in trials if t.state is TrialState.COMPLETE and t.mae is not None]
    best = min(complete, key=lambda t: t.mae or 0.0, default=None)
    spent = (
        f"{60.0 * facts.training_hours:.1f} min"
        if facts.training_hours < 1.0
        else f"{facts.training_hours:.1f} h"
    )
    return fact_boxes(
        [
            ("Trials", str(len(trials)), f"{_state_counts(trials)}{_repeats(trials)}"),
            (
                with_unit("Lowest MAE", facts.unit),
                number(best.mae if best else None),
                f"trial {best.number}" if best else "",
            ),
            ("Training time", spent, "of all trials together"),
        ]
    )


def _table_of(trials: Sequence[TrialPoint], facts: StudyFacts) -> str:
    return trial_table(trials, unit=facts.unit, objectives=facts.searched)


def _repeats(trials: Sequence[TrialPoint]) -> str:
    n_repeats = sum(t.n_seeds - 1 for t in trials)
    return f"; {count(n_repeats, 'repeat')} with other seeds" if n_repeats else ""


def _state_counts(trials: Sequence[TrialPoint]) -> str:
    counts = [(sum(t.state is state for t in trials), state) for state in TrialState]
    return ", ".join(f"{n} {state}" for n, state in counts if n)


def _chosen(trials: Sequence[TrialPoint]) -> TrialPoint | None:
    return next((t for t in trials if t.chosen), None)


def _enumerated(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
