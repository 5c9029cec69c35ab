"""Tables on stdout: the outcome of a study, the levels of its second stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from paretocast.cli.console import significant, stderr_console, stdout_console

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
        f"[bold]recommended: {choice.label}[/bold] – mean pinball loss "
        f"{significant(choice.losses[choice.method])} on the calibrate split, which chose none "
        "of these",
        highlight=False,
    )
    others = (
        f"{name} {significant(loss) if percent is None else f'{percent:+.1f} %'}"
        for name, loss, percent in choice.others()
    )
    console.print(f"  instead: {', '.join(others)}", highlight=False)


def print_series(choices: Mapping[str, Choice]) -> None:
    """The recommended method of every series, and its loss beside that of the ridge."""
    table = Table(
        title="Recommended for each series; pinball loss on the calibrate split",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for name in ("series", "recommended"):
        table.add_column(name)
    for name in ("pinball", "to ridge"):
        table.add_column(name, justify="right")
    ratios = []
    for name, choice in choices.items():
        loss, ridge = choice.losses[choice.method], choice.losses.get("ridge")
        if ridge:
            ratios.append(loss / ridge)
        table.add_row(
            escape(name),
            escape(choice.label),
            significant(loss),
            f"{loss / ridge:.3f}" if ridge else "–",
        )
    console = stdout_console()
    console.print(table)
    if ratios:
        console.print(
            f"against the ridge: median {np.median(ratios):.3f}, worst {max(ratios):.3f}",
            highlight=False,
        )


def print_default_gain(outcome: Outcome, default: Config | None) -> None:
    """One line on what tuning has gained on the default parameters of the chosen model."""
    from paretocast.study.repeats import NORMAL_975

    if default is None or outcome.chosen.config == default:
        return
    if (gained := outcome.gain_on(default)) is None:
        return
    gain, error = gained
    told = "" if abs(gain) > NORMAL_975 * error else ": not told apart from chance"
    stdout_console().print(
        f"  against default parameters: MAE {-gain:+.1f} % ± {error:.1f}{told}", highlight=False
    )


def print_outcome(outcome: Outcome, *, unit: str) -> None:
    """The front, the chosen configuration and why, and the references beside them."""
    console = stdout_console()
    by_number = {record.number: record for record in outcome.records}
    table = Table(
        title=(
            f"Pareto front on the tune split ({outcome.chosen.scores['n']:.0f} hours), "
            f"MAE, width and losses in {escape(unit)}"
        ),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("")
    others = [o for o in outcome.objectives if o.name not in (*SCORE_COLUMNS, "coverage_error")]
    for name in ("MAE", "± s.e.", "PICP %", "95 % interval", "width", "pinball", "Winkler"):
        table.add_column(name, justify="right")
    for objective in others:
        table.add_column(escape(objective.label), justify="right")
    table.add_column("trained", justify="right")
    shown = list(outcome.front)
    if outcome.selection.number not in shown:
        shown.append(outcome.selection.number)
    for number in shown:
        _add_trial(table, by_number[number], outcome, others=others)
    table.add_section()
    for name, scores in outcome.baselines.items():
        table.add_row(
            name, *_score_cells(scores, error="", interval="", others=others), style="dim"
        )
    console.print(table)
    _print_ties(outcome)
    if not outcome.feasible:
        required = " and ".join(str(constraint) for constraint in outcome.constraints)
        console.print(
            f"[yellow]no trial meets {escape(required)}: the front holds the trials that miss it "
            "least[/yellow]",
            highlight=False,
        )
    chosen = outcome.chosen
    console.print(
        f"[bold]chosen: trial {chosen.number}[/bold] – {outcome.selection.reason}", highlight=False
    )
    settings = ", ".join(
        f"{name} {significant(value) if isinstance(value, float) else value}"
        for name, value in chosen.config.items()
    )
    console.print(f"  {settings}", highlight=False)
    if chosen.anchor:
        console.print(
            f"  corrects {chosen.anchor}; {100.0 * chosen.correction_share:.0f} % of the "
            "correction serves the stop split best",
            highlight=False,
        )
    if better := outcome.beaten_by():
        console.print(
            f"[yellow]the chosen trial does not beat {', '.join(better)} on MAE of the tune split"
            "[/yellow]",
            highlight=False,
        )


def _print_ties(outcome: Outcome) -> None:
    """The meaning of the marks, and the trials off the front that are tied with it."""
    console = stdout_console()
    if any(outcome.is_tied(number) for number in outcome.front):
        console.print("≈ on the front by measurement; another trial may belong in its place")
    if outcome.tied:
        named = ", ".join(str(number) for number in outcome.tied[:MOST_TIED_NAMED])
        more = len(outcome.tied) - MOST_TIED_NAMED
        console.print(
            f"tied with the front, likeliest first: trial {named}"
            f"{f' and {more} more' if more > 0 else ''}",
            highlight=False,
        )


def _add_trial(
    table: Table, record: TrialRecord, outcome: Outcome, *, others: Sequence[Objective]
) -> None:
    chosen = record.number == outcome.selection.number
    low, high = record.picp_interval or (float("nan"), float("nan"))
    table.add_row(
        f"trial {record.number}{' ★' if chosen else ''}"
        f"{' ≈' if outcome.is_tied(record.number) else ''}",
        *_score_cells(
            record.scores,
            error=significant(record.standard_errors.get("mae"), 2),
            interval=f"{low:.1f}–{high:.1f}",
            others=others,
        ),
        f"{record.n_seeds}×",
        style="bold green" if chosen else None,
    )


def _score_cells(
    scores: Mapping[str, float], *, error: str, interval: str, others: Sequence[Objective]
) -> list[str]:
    cells = [
        f"{scores[name]:.1f}" if name == "picp" else significant(scores[name])
        for name in SCORE_COLUMNS
    ]
    cells.insert(1, error)
    cells.insert(3, interval)
    return [*cells, *(significant(scores[objective.name]) for objective in others)]


def print_levels(second: SecondStage) -> None:
    """The levels of the interval, and its scores where they were fitted and on fresh hours."""
    from paretocast.metrics.scores import central_levels

    content = second.content
    console = stdout_console()
    console.print(
        f"\n[bold]stage 2[/bold]: levels for {content['target_coverage']:g} % from the stored "
        f"forecasts of trial {content['trial']}; width in {escape(second.unit)}",
        highlight=False,
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for column in ("q_low", "q_high", "PICP %", "95 % interval", "width"):
        table.add_column(column, justify="right")
    nominal = central_levels(content["target_coverage"])
    low, high = content["picp_interval"]
    chosen = (second.chosen.low, second.chosen.high)
    rows: list[tuple[str, tuple[float, float], dict[str, Any], str]] = [
        (f"fitted on {content['fitted_on']}", chosen, content["on_fitted"], ""),
        (f"judged on {content['judged_on']} ★", chosen, content, f"{low:.1f}–{high:.1f}"),
        (
            f"nominal levels on {content['judged_on']}",
            nominal,
            content["nominal"],
            "",
        ),
    ]
    for label, (q_low, q_high), scores, interval in rows:
        table.add_row(
            label,
            f"{q_low:.4f}",
            f"{q_high:.4f}",
            f"{scores['picp']:.1f}",
            interval,
            significant(scores["mean_width"]),
        )
    console.print(table)
    stderr_console().print(f"levels in {second.path}", highlight=False, soft_wrap=True)
