"""Outcome of a study on stdout: its front, its choice, the levels of its second stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.tables import Column, TerminalTable
from paretocast.formatting import fixed, from_here, measured, significant, unit_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paretocast.results.two_stage import SecondStage
    from paretocast.search.objectives import Objective
    from paretocast.search.space import Config
    from paretocast.study.choice import Choice
    from paretocast.study.outcome import Outcome
    from paretocast.training.trial import TrialRecord

SCORE_COLUMNS = ("mae", "picp", "mean_width", "pinball", "winkler")
MOST_TIED_NAMED = 8


def print_choice(choice: Choice) -> None:
    """The recommended method, and what a single model costs against it."""
    console = stdout_console()
    console.print(
        f"[bold]recommended: {escape(choice.label)}[/bold] – mean pinball loss "
        f"{measured(choice.losses[choice.method])} on {choice.grounds}",
        highlight=False,
        markup=True,
    )
    found = choice.intervals[choice.method]
    covers = f"{found.picp:.1f} % [{found.low:.1f}, {found.high:.1f}]"
    if choice.holds_target:
        console.print(f"  once calibrated its interval covers {covers} there", highlight=False)
    else:
        console.print(
            f"  its interval misses the target of {choice.target_coverage:g} % there even once "
            f"calibrated, and so do methods as good: it covers {covers}",
            style="red",
            highlight=False,
        )
    others = (
        f"{name} " + (measured(loss) if percent is None else f"{fixed(percent, 1, signed=True)} %")
        for name, loss, percent in choice.others()
    )
    console.print(f"  instead: {', '.join(others)}", highlight=False)


def print_default_gain(outcome: Outcome, default: Config | None) -> None:
    """One line on what tuning has gained on the default parameters of the chosen model."""
    from paretocast.study.repeats import NORMAL_975

    if default is None or outcome.chosen.config == default:
        return
    if (gained := outcome.gain_on(default)) is None:
        return
    gain, error = gained
    told = "" if abs(gain) > NORMAL_975 * error else ", consistent with chance"
    stdout_console().print(
        f"  against default parameters: MAE {fixed(-gain, 1, signed=True)} % ± {error:.1f}{told}",
        highlight=False,
    )


def print_outcome(outcome: Outcome, *, unit: str, step: str = "hour") -> None:
    """The front, the chosen configuration and why, and the references beside them."""
    console = stdout_console()
    _front_table(outcome, unit, step).print()
    _print_ties(outcome)
    if not outcome.feasible:
        required = " and ".join(str(constraint) for constraint in outcome.constraints)
        console.print(
            f"no trial meets {required}: the front holds the trials that miss it least",
            style="yellow",
            highlight=False,
        )
    chosen = outcome.chosen
    console.print(
        f"[bold]chosen: trial {chosen.number}[/bold] – {escape(outcome.selection.reason)}",
        highlight=False,
        markup=True,
    )
    settings = ", ".join(
        f"{name} {significant(value) if isinstance(value, float) else value}"
        for name, value in chosen.config.items()
    )
    console.print(f"  {settings}", highlight=False)
    if chosen.anchor:
        console.print(
            f"  corrects {chosen.anchor}; {100.0 * chosen.correction_share:.0f} % of the "
            "correction is used, the best share on the stop split",
            highlight=False,
        )
    if better := outcome.beaten_by():
        console.print(
            f"the chosen trial does not beat {', '.join(better)} on MAE of the tune split",
            style="yellow",
            highlight=False,
        )


def _print_ties(outcome: Outcome) -> None:
    """The meaning of the marks, and the trials off the front that are tied with it."""
    console = stdout_console()
    if any(outcome.is_tied(number) for number in outcome.front):
        console.print("≈ statistically tied: another trial may be as good")
    if outcome.tied:
        named = ", ".join(str(number) for number in outcome.tied[:MOST_TIED_NAMED])
        more = len(outcome.tied) - MOST_TIED_NAMED
        console.print(
            f"tied with the front, likeliest first: trial {named}"
            f"{f' and {more} more' if more > 0 else ''}",
            highlight=False,
        )


def _front_table(outcome: Outcome, unit: str, step: str) -> TerminalTable:
    """The trials of the front, the chosen one among them, and the baselines."""
    by_number = {record.number: record for record in outcome.records}
    others = [o for o in outcome.objectives if o.name not in (*SCORE_COLUMNS, "coverage_error")]
    table = TerminalTable(
        (
            Column("", left=True),
            Column("MAE"),
            Column("± s.e.", rank=3, digits=2),
            Column("PICP %", decimals=1),
            Column("95 % interval", rank=1),
            Column("width", rank=4),
            Column("pinball", rank=4),
            Column("Winkler", rank=2),
            *(Column(objective.label, rank=1) for objective in others),
            Column("trained", rank=5),
        ),
        title=f"Pareto front on the tune split ({outcome.chosen.scores['n']:.0f} {step}s); "
        f"MAE, width and losses in {unit_name(unit)}",
    )
    shown = list(outcome.front)
    if outcome.selection.number not in shown:
        shown.append(outcome.selection.number)
    for number in shown:
        _add_trial(table, by_number[number], outcome, others=others)
    table.add_section()
    for name, scores in outcome.baselines.items():
        cells = _score_cells(scores, error="", interval="", others=others)
        table.add(name, *cells, "", style="dim")
    return table


def _add_trial(
    table: TerminalTable, record: TrialRecord, outcome: Outcome, *, others: Sequence[Objective]
) -> None:
    chosen = record.number == outcome.selection.number
    low, high = record.picp_interval or (float("nan"), float("nan"))
    table.add(
        f"trial {record.number}{' ★' if chosen else ''}"
        f"{' ≈' if outcome.is_tied(record.number) else ''}",
        *_score_cells(
            record.scores,
            error=record.standard_errors.get("mae"),
            interval=f"{low:.1f}–{high:.1f}",
            others=others,
        ),
        f"{record.n_seeds}×",
        style="bold green" if chosen else None,
    )


def _score_cells(
    scores: Mapping[str, float],
    *,
    error: float | str | None,
    interval: str,
    others: Sequence[Objective],
) -> list[float | str | None]:
    cells: list[float | str | None] = [scores[name] for name in SCORE_COLUMNS]
    cells.insert(1, error)
    cells.insert(3, interval)
    return [*cells, *(scores[objective.name] for objective in others)]


def print_levels(second: SecondStage) -> None:
    """The levels of the interval, and its scores where they were fitted and on fresh hours."""
    content = second.content
    console = stdout_console()
    console.print(
        f"\n[bold]stage 2[/bold]: levels for {content['target_coverage']:g} % from the stored "
        f"forecasts of trial {content['trial']}; width in {escape(unit_name(second.unit))}",
        highlight=False,
        markup=True,
    )
    table = TerminalTable(
        (
            Column("", left=True, wrapped=True),
            Column("lower level", decimals=4),
            Column("upper level", decimals=4),
            Column("PICP %", decimals=1),
            Column("95 % interval", rank=1),
            Column("width", rank=2),
        )
    )
    for row in second.rows():
        interval = "{:.1f}–{:.1f}".format(*row.picp_interval) if row.picp_interval else ""
        table.add(row.label, row.low, row.high, row.picp, interval, row.mean_width)
    table.print()
    stderr_console().print(f"levels in {from_here(second.path)}", highlight=False, soft_wrap=True)
