"""The model card: what a bundle is, what it needs and where it is weak, from its manifest alone."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from paretocast.formatting import in_utc, same_decimals, unit_name
from paretocast.steps import STEPS_PER_DAY, hours_in
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_card(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write `card.md`, for people and model hubs, and `card.json`, for machines."""
    files.save_json(folder / "card.json", card_content(manifest))
    files.save_text(folder / "card.md", card_text(manifest))


def card_content(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The card as JSON values."""
    contract = manifest["input"]
    return {
        "series": manifest["series"],
        "unit": manifest["unit"],
        "method": manifest["method"],
        "models": [member["trained"] for member in manifest["members"]],
        "weights": [member["weight"] for member in manifest["members"]],
        "study": manifest["study"],
        "learned_until": manifest["learned_until"],
        "periods": manifest["task"]["periods"],
        "target_coverage": manifest["target_coverage"],
        "calibrators": manifest["calibrators"],
        "inputs": {
            "columns": contract["columns"],
            "history_hours": _hours(contract["history_steps"], contract["shape"]),
            "target_range": [contract["low"], contract["high"]],
            "delay_hours": contract["delay_hours"],
        },
        "scores": manifest["scores"],
        "assumptions": manifest["assumptions"],
        "versions": manifest["versions"],
    }


def _hours(n_steps: int, shape: Mapping[str, Any]) -> float:
    """Hours of some steps; whole ones as whole numbers."""
    return hours_in(n_steps, shape.get("steps_per_day", STEPS_PER_DAY))


def _in_utc(stamp: str) -> str:
    return in_utc(datetime.fromisoformat(stamp))


def card_text(manifest: Mapping[str, Any]) -> str:
    """The card as Markdown with the metadata that model hubs read."""
    contract, shape = manifest["input"], manifest["input"]["shape"]
    models = [
        f"- {member['trained']}, weight {member['weight']:.2f}" for member in manifest["members"]
    ]
    covariates = [
        f"| {column['name']} | {column['role']} | {column['unit'] or '–'} | {column['low']:.4g} "
        f"to {column['high']:.4g} |"
        for column in contract["columns"]
    ]
    unit = unit_name(manifest["unit"])
    learned = "every hour" if manifest["refit"] else "the train split,"
    rows = [
        f"| {period} | {_in_utc(first)} | {_in_utc(last)} |"
        for period, (first, last) in manifest["task"]["periods"].items()
    ]
    lines = [
        "---",
        "library_name: paretocast",
        "pipeline_tag: time-series-forecasting",
        "tags: [forecasting, quantile, energy, water]",
        "---",
        "",
        f"# {manifest['series']}: day-ahead forecast",
        "",
        (
            f"Quantiles of {manifest['series']} in {unit} for the next "
            f"{_hours(shape['horizon_steps'], shape):g} hours, with an interval that covers "
            f"{manifest['target_coverage']:g} %. Issued daily at {shape['issue_hour']:02d}:00 "
            f"{shape['issue_zone']}."
        ),
        "",
        "## Models",
        "",
        *models,
        "",
        (
            f"They come from study {manifest['study']} and have learned from {learned} up to "
            f"{_in_utc(manifest['learned_until'])}. Calibrator: "
            f"{manifest['calibrators']['full']['reason']}."
        ),
        "",
        "## Inputs",
        "",
        f"{_hours(contract['history_steps'], shape):g} hours of the target before the issue, "
        f"between {contract['low']:.4g} and {contract['high']:.4g} {unit} in training."
        + (f" Values are there after {contract['delay_hours']} h." * (contract["delay_hours"] > 0)),
        "",
    ]
    if covariates:
        lines += ["| covariate | known | unit | range in training |", "|---|---|---|---|"]
        lines += [*covariates, ""]
    lines += ["## Periods", "", "| period | first hour | last hour |", "|---|---|---|", *rows, ""]
    lines += ["## Scores", "", *_score_lines(manifest), ""]
    lines += ["## Limits", "", *[f"- {sentence}." for sentence in manifest["assumptions"]]]
    lines += [
        "- Values outside the ranges above are flagged: no model has seen any.",
        (
            "- Without the covariates a ridge without them forecasts, without recent data the same "
            "hours of the last eight weeks do. Both are flagged and calibrated on their own."
        ),
        "",
    ]
    return "\n".join(lines)


def _score_lines(manifest: Mapping[str, Any]) -> list[str]:
    stored = manifest["scores"]["calibrate_pinball"]
    if not stored:
        return ["Run `paretocast benchmark` for scores on the test split."]
    names = sorted(stored, key=lambda name: stored[name])
    losses = same_decimals([stored[name] for name in names])
    return [
        (
            f"Mean pinball loss on the calibrate split, in {unit_name(manifest['unit'])}; "
            "`paretocast benchmark` has the scores on the test split."
        ),
        "",
        "| method | pinball loss |",
        "|---|---|",
        *(f"| {name} | {loss} |" for name, loss in zip(names, losses, strict=True)),
    ]
