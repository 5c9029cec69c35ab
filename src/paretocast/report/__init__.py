"""HTML pages: text around figures, with units, sample sizes and uncertainty.

`study` writes the pages of a study, with `trials` its tables and `assessment` the part on the
calibrate split; `calibration` the page of a diagnosis, `demand` that of a series, `benchmark`
that of a benchmark, `across` that of many series, `space` that of the values tried; `page` holds
their parts. Functions return text. `site` writes pages into a workspace and links them, from what
`catalogue` finds there; `index` is the page of all of them, `following` that of a study as it runs.
"""

from __future__ import annotations

from paretocast.report.across import across_page
from paretocast.report.benchmark import benchmark_page
from paretocast.report.calibration import diagnosis_page, worst_sentence
from paretocast.report.demand import series_page
from paretocast.report.space import explored_page
from paretocast.report.study import (
    StudyReport,
    history_page,
    importance_page,
    pareto_page,
    study_pages,
)

__all__ = [
    "StudyReport",
    "across_page",
    "benchmark_page",
    "diagnosis_page",
    "explored_page",
    "history_page",
    "importance_page",
    "pareto_page",
    "series_page",
    "study_pages",
    "worst_sentence",
]
