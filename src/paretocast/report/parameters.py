"""Section of a study's page on its parameters: their importance, and the error along each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretocast.report.figures import (
    MIN_TRIALS_FOR_IMPORTANCE,
    importance_figure,
    slices_figure,
)
from paretocast.report.figures.trials import MOST_SLICES
from paretocast.report.page import bullets, figure_box, for_screens, paragraph
from paretocast.report.trials import enumerated
from paretocast.search.objectives import known_objectives
from paretocast.study.importances import N_SHUFFLES, most_tried

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paretocast.report.contents import StudyReport
    from paretocast.study.importances import Importance

HOW_TO_READ = (
    "A bar is the share of an objective's variation between trials that goes with a parameter.",
    "The bars of one objective add up to 100 %, so one of them is the longest even by chance.",
    f"The pale bars: in 95 % of {N_SHUFFLES} shuffled studies no bar went beyond its own.",
    "A short bar: little difference within the ranges searched. Beyond them it may matter.",
    "Trials are compared at the first rung, where all have had the same training.",
    "The search looked most where results were good, so the shares describe that region best.",
)


def parameter_parts(study: StudyReport) -> list[str]:
    """The share of each objective's variation that goes with a parameter, and how to read it."""
    model, judged = most_tried(study.records, study.model)
    objectives = known_objectives()
    importances = {objectives[n].label: i for n, i in study.result.importances.items()}
    figure = importance_figure(importances, n_trials=len(judged))
    parts = []
    if model != study.model:
        parts.append(paragraph(f"Of {model}, which has the most trials here."))
    drawn = bool(importances) and len(judged) >= MIN_TRIALS_FOR_IMPORTANCE
    if drawn:
        parts.append(_told_apart(importances))
    parts.append(figure_box(figure, element_id="importance"))
    how = bullets("How to read it", HOW_TO_READ) if drawn else ""
    parts.append(for_screens(how, *_slices(study)))
    return parts


def _slices(study: StudyReport) -> list[str]:
    if not study.slices:
        return []
    n, shown = len(study.slices), min(len(study.slices), MOST_SLICES)
    some = f" The {shown} of {n} parameters with the largest effect." if shown < n else ""
    text = (
        "The error to expect of a config that differs from the chosen one in a single parameter, "
        f"as far as the trials tell. Where the band is wide, few trials are near.{some}"
    )
    figure = slices_figure(study.slices, unit=study.unit)
    return [figure_box(figure, element_id="slices"), paragraph(text)]


def _told_apart(importances: Mapping[str, Importance]) -> str:
    """The parameters of each objective that chance does not explain, or that there is none."""
    sentences = []
    for label, importance in importances.items():

        def with_chance(name: str, importance: Importance = importance) -> str:
            share, chance = importance.shares[name], min(1.0, importance.chances[name])
            return f"{name} ({100.0 * share:.0f} %, by chance up to {100.0 * chance:.0f} %)"

        if told := importance.told_apart:
            named = enumerated([with_chance(name) for name in told])
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
