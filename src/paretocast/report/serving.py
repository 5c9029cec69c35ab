"""Pages of the server: its deployments, one of them, and its operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from paretocast.formatting import count, joined
from paretocast.report.live import fan_figure
from paretocast.report.page import (
    MISSING,
    document,
    fact_boxes,
    figure_box,
    link_list,
    paragraph,
    section,
    table,
    warning,
)
from paretocast.steps import noun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from paretocast.deployment.hosting import CoverageSoFar, JournalSnapshot
    from paretocast.deployment.issued import LiveForecast

N_ISSUES = 14  # listed below the figure
OPERATION_COLUMNS = ("operation", "name", "what it does")
ISSUE_COLUMNS = ("issue", "method", "revision", "observed", "coverage %", "flags")


class ServerPages:
    """The pages that a server shows; none of them needs a network."""

    def overview(self, deployments: Sequence[tuple[str, JournalSnapshot | None]]) -> str:
        """All deployments by name, None for one that cannot be read."""
        links = [(name, quote(name), _one_line(snapshot)) for name, snapshot in deployments]
        return document(
            "Deployments",
            eyebrow="Paretocast",
            heading="Deployments",
            lede="Forecasts are issued daily; each page has the latest one and how earlier did.",
            body=[
                link_list("By name", links),
                link_list(
                    "For programs",
                    [
                        ("docs", "docs", "operations, as a page"),
                        ("openapi.json", "openapi.json", "operations, as OpenAPI"),
                        ("health", "health", "whether every deployment can be used"),
                        ("metrics", "metrics", "counts for Prometheus"),
                    ],
                ),
            ],
            footer=count(len(deployments), "deployment"),
            with_figures=False,
        )

    def deployment(self, name: str, snapshot: JournalSnapshot) -> str:
        """The latest fan chart of a deployment, and its coverage so far."""
        bundle = snapshot.bundle
        manifest = bundle.manifest
        forecasts = snapshot.forecasts
        body = [fact_boxes(_facts(snapshot))]
        if not forecasts:
            body.append(paragraph("No forecast has been issued yet."))
        else:
            body += _latest_parts(name, snapshot, forecasts[-1])
            rows = [_issue_cells(snapshot, f) for f in forecasts[: -N_ISSUES - 1 : -1]]
            body.append(section("Latest issues"))
            body.append(
                table(ISSUE_COLUMNS, rows, text_columns=frozenset({5}), caption="Latest issues")
            )
        return document(
            f"{name}: latest forecast",
            eyebrow=joined(name, manifest["series"], manifest["unit"]),
            heading="The latest forecast",
            lede=(
                f"Bundle {bundle.name}, {manifest['method']}. Its interval should hold "
                f"{bundle.coverage:g} % of the observations."
            ),
            body=body,
            footer=f"bundle {bundle.name}, from study {manifest['study']}",
            with_figures=bool(forecasts),
        )

    def operations(self, schema: Mapping[str, Any]) -> str:
        """The operations of an OpenAPI document."""
        rows = [
            (f"{method.upper()} {path}", operation.get("summary", ""), operation["description"])
            for path, operations in schema["paths"].items()
            for method, operation in operations.items()
        ]
        return document(
            "Operations",
            eyebrow="Paretocast",
            heading="Operations",
            lede=(
                "What the server answers. The same as OpenAPI is in openapi.json, which Swagger UI "
                "and generators of clients read."
            ),
            body=[
                table(OPERATION_COLUMNS, rows, text_columns=frozenset({1, 2}), caption="Operations")
            ],
            footer=f"version {schema['info']['version']}",
            with_figures=False,
        )


def _one_line(snapshot: JournalSnapshot | None) -> str:
    if snapshot is None:
        return "– cannot be used, see health"
    manifest = snapshot.bundle.manifest
    latest = f"latest issue {_time(snapshot.forecasts[-1])}" if snapshot.forecasts else "no issue"
    return f"– {manifest['method']} of {manifest['series']}, {latest}"


def _facts(snapshot: JournalSnapshot) -> list[tuple[str, str, str]]:
    coverage, forecasts = snapshot.coverage(), snapshot.forecasts
    degraded = sum(forecast.degraded for forecast in forecasts)
    return [
        (
            f"Coverage of the {snapshot.bundle.coverage:g} % interval",
            f"{_percent(coverage)} %" if coverage.n_hours else MISSING,
            f"of {coverage.n_hours} observed {noun(snapshot.bundle.contract.shape.steps_per_day)}s",
        ),
        ("Issues", str(len(forecasts)), f"{degraded} of them degraded"),
        ("Latest issue", _time(forecasts[-1]) if forecasts else MISSING, "local time"),
    ]


def _latest_parts(name: str, snapshot: JournalSnapshot, latest: LiveForecast) -> list[str]:
    figure = fan_figure(latest, name, snapshot.observed_hours(latest))
    figure.update_layout(title_text="Forecast and observation")
    flags = f"Flags of this forecast: {', '.join(latest.flags)}." if latest.flags else ""
    return [warning(flags) if flags else "", figure_box(figure)]


def _local_issue(forecast: LiveForecast) -> pd.DatetimeIndex:
    """Issue time in the zone of the series; `target_times` in that zone, its first."""
    return forecast.target_times[:1].tz_convert(forecast.zone)


def _time(forecast: LiveForecast) -> str:
    return f"{_local_issue(forecast)[0]:%Y-%m-%d %H:%M}"


def _issue_cells(snapshot: JournalSnapshot, forecast: LiveForecast) -> list[str]:
    coverage = snapshot.coverage_of(forecast)
    return [
        _time(forecast),
        forecast.rung,
        str(forecast.revision),
        f"{coverage.n_hours} of {len(forecast.raw)}",
        _percent(coverage),
        ", ".join(forecast.flags),
    ]


def _percent(coverage: CoverageSoFar) -> str:
    return MISSING if coverage.percent is None else f"{coverage.percent:.1f}"
