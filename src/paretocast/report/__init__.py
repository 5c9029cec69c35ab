"""HTML pages: text around figures, with units, sample sizes and uncertainty.

`study` writes the page of a study, of `contents`: with `review` the part on the forecasts of its
chosen trial, `assessment` that on the calibrate split, `search` and `parameters` the next ones,
`trials` its tables; `calibration` the page of a diagnosis, `demand` that of a series, `benchmark`
that of a benchmark, `across` that of many series, `space` that of the values tried; `page` holds
their parts. Functions return text. `site` writes pages into a workspace and links them, from what
`catalogue` finds there; `index` is the page of all of them, `following` that of a study as it runs.
"""

from __future__ import annotations

from paretocast.report.across import across_page
from paretocast.report.benchmark import benchmark_page
from paretocast.report.calibration import diagnosis_page, worst_sentence
from paretocast.report.contents import StudyReport
from paretocast.report.demand import series_page
from paretocast.report.space import explored_page
from paretocast.report.study import study_page

__all__ = [
    "StudyReport",
    "across_page",
    "benchmark_page",
    "diagnosis_page",
    "explored_page",
    "series_page",
    "study_page",
    "worst_sentence",
]
