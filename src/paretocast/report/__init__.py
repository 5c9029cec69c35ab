"""Self-contained HTML pages: text around figures, with units, sample sizes and uncertainty.

`search` writes the pages of a study, `calibration` how honest its forecasts are, `demand` that of a
series, `benchmark` what models are worth, `explored` what searches have seen of their spaces;
`page` holds their parts. Functions return text; `store` writes it.
"""

from __future__ import annotations

from paretocast.report.benchmark import benchmark_page
from paretocast.report.calibration import SLAB_COLUMNS, diagnosis_page, slab_cells, worst_sentence
from paretocast.report.demand import series_page
from paretocast.report.space import explored_page
from paretocast.report.study import (
    StudyFacts,
    history_page,
    importance_page,
    pareto_page,
    study_pages,
)

__all__ = [
    "SLAB_COLUMNS",
    "StudyFacts",
    "benchmark_page",
    "diagnosis_page",
    "explored_page",
    "history_page",
    "importance_page",
    "pareto_page",
    "series_page",
    "slab_cells",
    "study_pages",
    "worst_sentence",
]
