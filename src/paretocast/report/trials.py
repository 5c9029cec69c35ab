"""Tables of trials."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from paretocast.formatting import same_decimals
from paretocast.report.page import MISSING, number, table
from paretocast.search.selection import TrialState
from paretocast.search.space import MODEL, without_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.report.contents import StudyReport
    from paretocast.search.objectives import Objective
    from paretocast.search.space import Config
    from paretocast.study.outcome import Outcome
    from paretocast.training.trial import TrialRecord

# Scores that every table of trials shows; other objectives get a column of their own.
SHOWN_SCORES = ("mae", "coverage_error", "mean_width")
MOST_COLUMNS = 6  # for parameters; more do not fit beside the scores


def trial_table(
    records: Sequence[TrialRecord],
    outcome: Outcome | None,
    *,
    unit: str,
    objectives: Sequence[Objective],
    caption: str = "",
) -> str:
    """A row for each trial: scores, standard errors, chance to be on the front, config."""
    names, several = _parameters(records)
    others = [o for o in objectives if o.name not in SHOWN_SCORES]
    repeated = any(r.n_seeds > 1 for r in records)
    chances = outcome.front_probability if outcome else {}
    chosen = outcome.selection.number if outcome else None
    placed = any(r.number in chances for r in records)
    maes, widths = (
        same_decimals([r.scores.get(s) for r in records]) for s in ("mae", "mean_width")
    )
    header = (
        "trial",
        with_unit("MAE", unit),
        "PICP (%)",
        "95 % interval",
        with_unit("mean width", unit),
        *(with_unit(o.label, unit if o.unit == "target" else o.unit) for o in others),
        *(("trainings",) if repeated else ()),
        *(("on the front (%)",) if placed else ()),
        *names,
        *(("parameters",) if several else ()),
    )
    rows = [
        (
            f"{r.number}{' ★ chosen' if r.number == chosen else _state_mark(r)}",
            _with_error(r, "mae", mae),
            f"{r.scores['picp']:.1f}" if "picp" in r.scores else MISSING,
            coverage_interval(r),
            width,
            *(_with_error(r, o.name, number(r.scores.get(o.name))) for o in others),
            *((str(r.n_seeds),) if repeated else ()),
            *((_percent(chances.get(r.number)),) if placed else ()),
            *(number(r.config.get(name), digits=3) for name in names),
            *((_listed(without_model(r.config)),) if several else ()),
        )
        for r, mae, width in zip(records, maes, widths, strict=True)
    ]
    return table(
        header,
        rows,
        marked=frozenset(i for i, r in enumerate(records) if r.number == chosen),
        text_columns=frozenset({len(header) - 1} if several else ()),
        caption=caption,
    )


def _parameters(records: Sequence[TrialRecord]) -> tuple[list[str], bool]:
    """Names that get a column each, and whether all others share a last column.

    They do where models have different ones, or too many for the width of a page.
    """
    names = list(dict.fromkeys(name for r in records for name in r.config))
    models = {str(r.config[MODEL]) for r in records if MODEL in r.config}
    if len(models) > 1 or len(names) > MOST_COLUMNS:
        return [MODEL] if models else [], True
    return names, False


def table_of(records: Sequence[TrialRecord], study: StudyReport, *, caption: str) -> str:
    """`trial_table` of some trials of a study."""
    return trial_table(
        records, study.outcome, unit=study.unit, objectives=study.objectives, caption=caption
    )


def state_counts(records: Sequence[TrialRecord]) -> str:
    """Numbers of trials by how they ended, in words."""
    counts = [(sum(r.state is state for r in records), state) for state in TrialState]
    return ", ".join(f"{n} {state}" for n, state in counts if n)


def enumerated(names: Sequence[str]) -> str:
    """Names as a sentence lists them.

    >>> enumerated(["lr", "dropout", "num_layers"])
    'lr, dropout and num_layers'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _with_error(record: TrialRecord, score: str, shown: str) -> str:
    """A score as it is shown, with its standard error, if there is one."""
    error = record.standard_errors.get(score)
    if score not in record.scores or error is None or math.isnan(error):
        return shown
    return f"{shown} ± {number(error, digits=2)}"


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{100.0 * share:.0f}"


def _state_mark(record: TrialRecord) -> str:
    return "" if record.state is TrialState.COMPLETE else f" {record.state}"


def config_text(record: TrialRecord) -> str:
    """The config in one line."""
    return _listed(record.config)


def _listed(config: Config) -> str:
    return ", ".join(f"{n} {number(v, digits=3)}" for n, v in config.items()) or MISSING


def coverage_interval(record: TrialRecord) -> str:
    """The 95 % interval of the coverage, in percent."""
    if record.picp_interval is None:
        return MISSING
    low, high = record.picp_interval
    return f"{low:.1f} to {high:.1f}"


def with_unit(quantity: str, unit: str) -> str:
    """A quantity with its unit, where it has one."""
    return f"{quantity} ({unit})" if unit else quantity
