"""Section of a study's page on the search: its trials in order, their training, their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretocast.formatting import count
from paretocast.report.figures import (
    Curve,
    history_figure,
    parallel_figure,
    timeline_figure,
    training_figure,
)
from paretocast.report.page import (
    fact_boxes,
    figure_box,
    folded,
    for_screens,
    number,
    section,
    table,
)
from paretocast.report.trials import config_text, state_counts, table_of, with_unit
from paretocast.search.selection import TrialState
from paretocast.search.space import model_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.report.contents import StudyReport
    from paretocast.study.outcome import Outcome
    from paretocast.training.trial import TrialRecord

MOST_CURVES = 8  # of other trials on the front


def search_parts(study: StudyReport) -> list[str]:
    """The trials in the order they were made, how they were trained, and why some failed."""
    records, outcome = study.records, study.outcome
    history = history_figure(
        records, outcome, target_coverage=study.settings.target_coverage, unit=study.unit
    )
    parts = [_facts(study), for_screens(figure_box(history, element_id="history"))]
    failed = [r for r in records if r.state is TrialState.FAILED]
    if failed:
        rows = [(str(r.number), r.reason or "no reason was kept", config_text(r)) for r in failed]
        listed = table(
            ("trial", "reason", "config"),
            rows,
            text_columns=frozenset({1, 2}),
            caption="Failed trials",
        )
        parts.append(for_screens(section("Failed trials"), listed))
    if outcome is not None:
        parts.append(for_screens(_training(study, outcome), _parallel(study, outcome)))
    timeline = timeline_figure(study.trainings)
    if timeline is not None:
        parts.append(for_screens(figure_box(timeline, element_id="timeline")))
    if records:
        parts.append(
            folded(
                f"All {count(len(records), 'trial')}",
                table_of(records, study, caption="All trials"),
            )
        )
    return parts


def _training(study: StudyReport, outcome: Outcome) -> str:
    """Curves of the chosen trial with its repeats, and of the front behind them."""
    chosen = outcome.selection.number
    of_chosen = [t for t in study.trainings if t.number == chosen]
    front = [n for n in outcome.front if n != chosen][:MOST_CURVES]
    others = [t for t in study.trainings if t.number in front and t.seed_index == 0]
    curves = [Curve(_label(t), t.stop_losses, t.best_step, chosen=True) for t in of_chosen]
    curves += [Curve(_label(t), t.stop_losses, t.best_step, chosen=False) for t in others]
    return figure_box(training_figure(curves), element_id="training") if curves else ""


def _label(training: TrialRecord) -> str:
    repeat = f", seed {training.seed_index}" if training.seed_index else ""
    return f"trial {training.number}{repeat}"


def _parallel(study: StudyReport, outcome: Outcome) -> str:
    """The trials of the chosen model across its parameters."""
    chosen = outcome.chosen
    model = model_in(chosen.config, study.model)
    searched = {n: parameter for n, parameter in study.space.items() if n in chosen.config}
    inside = [
        record
        for record in study.records
        if "mae" in record.scores
        and model_in(record.config, study.model) == model
        and all(n in record.config and p.holds(record.config[n]) for n, p in searched.items())
    ]
    if not searched or chosen not in inside:
        return ""  # a study of an earlier version, whose space was another one
    figure = parallel_figure(inside, searched, chosen=chosen.number)
    return figure_box(figure, element_id="parallel")


def _facts(study: StudyReport) -> str:
    complete = [r for r in study.records if r.state is TrialState.COMPLETE]
    best = min(complete, key=lambda record: record.scores["mae"], default=None)
    hours = sum(record.fit_seconds for record in study.records) / 3600.0
    return fact_boxes(
        [
            (
                "Trials",
                str(len(study.records)),
                f"{state_counts(study.records)}{_repeats(study.records)}",
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


def _repeats(records: Sequence[TrialRecord]) -> str:
    n_repeats = sum(record.n_seeds - 1 for record in records)
    return f"; {count(n_repeats, 'repeat')} with other seeds" if n_repeats else ""
