"""Page of the values that trials took in their spaces, and of winners on a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretocast.formatting import count
from paretocast.report.figures import explored_figure
from paretocast.report.page import bullets, document, figure_box, section, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.results.repair import Consolidated


def explored_page(studies: Sequence[Consolidated]) -> str:
    """All studies with a scored trial, one figure each."""
    body = []
    for i, study in enumerate(studies):
        name = study.run.study_name
        advice = [parameter.advice for parameter in study.explorations if parameter.advice]
        body.append(section(name, f"{count(len(study.losses), 'scored trial')}."))
        figure = explored_figure(study.explorations, losses=study.losses, subject=name, unit="")
        body.append(figure_box(figure, element_id=f"space-{i}"))
        if advice:
            body.append(bullets("On a bound", advice))
        rows = [
            (parameter.name, f"{parameter.seen_percent:.0f}", f"{100.0 * parameter.winner:.0f}")
            for parameter in study.explorations
        ]
        header = ("parameter", "range seen (%)", "winner at (%)")
        body.append(table(header, rows, caption=f"Ranges of {name} that trials covered"))
    return document(
        "What the searches explored",
        eyebrow="all studies of the workspace",
        heading="What the searches explored",
        lede=(
            "Each line is a scored trial, drawn where its value lies in the range of the "
            "search. A winner at the end of a range may have a better one beyond it."
        ),
        body=body or [section("There is no study with a complete trial.")],
        footer="shares of a logarithmic range are on its logarithmic scale",
    )
