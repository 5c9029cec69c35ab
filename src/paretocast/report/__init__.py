"""Self-contained HTML pages: text around figures, with units, sample sizes and uncertainty.

`search` writes the pages of a study, `demand` that of a series, `page` holds their parts. Functions
return text; `store` writes it.
"""

from __future__ import annotations

from paretocast.report.demand import series_page
from paretocast.report.search import (
    StudyFacts,
    history_page,
    importance_page,
    pareto_page,
    study_pages,
)

__all__ = [
    "StudyFacts",
    "history_page",
    "importance_page",
    "pareto_page",
    "series_page",
    "study_pages",
]
