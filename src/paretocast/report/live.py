"""Page of one issued forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.series import DAY
from paretocast.formatting import joined
from paretocast.report.figures import Figure, forecast_figure
from paretocast.report.page import bullets, document, fact_boxes, figure_box, number
from paretocast.steps import hours_in, noun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.deployment.issued import LiveForecast

MEANING = {
    "full": "all inputs were there",
    "no_weather": "a covariate of the horizon was missing: the ridge without covariates forecasts",
    "climatology": "there was no recent data: the same hours of the last eight weeks forecast",
}


def forecast_page(forecast: LiveForecast, name: str) -> str:
    """A fan chart of the next hours with what it was made from."""
    local = forecast.issue_time.tz_convert(forecast.zone)
    figure = fan_figure(forecast, name)
    figure.update_layout(title_text=f"{name}: quantiles of the next {_ahead(forecast)} hours")
    total = float(forecast.median.sum())
    body = [
        fact_boxes(
            [
                (
                    "Issued for",
                    f"{local:%Y-%m-%d %H:%M}",
                    f"first {noun(_per_day(forecast))}, {forecast.zone}",
                ),
                ("Method", forecast.rung, MEANING[forecast.rung]),
                (
                    "Sum of the medians",
                    number(total),
                    joined(forecast.unit, f"all {noun(_per_day(forecast))}s", by=", "),
                ),
            ]
        ),
        figure_box(figure),
    ]
    if forecast.flags:
        body.append(bullets("Flags", list(forecast.flags)))
    return document(
        f"{name}: forecast",
        eyebrow=joined(name, forecast.unit, forecast.zone),
        heading="The next hours",
        lede=(
            f"The interval is meant to contain {forecast.coverage:g} % of the observations. It is "
            "calibrated on what has been observed before the issue."
        ),
        body=body,
        footer=f"bundle {forecast.bundle} · forecast {forecast.forecast_id[:16]} · revision "
        f"{forecast.revision}",
    )


def _per_day(forecast: LiveForecast) -> int:
    return round(DAY / forecast.step)


def _ahead(forecast: LiveForecast) -> int | float:
    """Hours of the horizon."""
    return hours_in(len(forecast.raw), _per_day(forecast))


def fan_figure(
    forecast: LiveForecast, name: str, observed: Sequence[float | None] | None = None
) -> Figure:
    """The fan chart of a forecast in local time.

    Parameters
    ----------
    observed : sequence of float or None of length H, optional
        None where missing; without any the chart has no line of observations.
    """
    values = np.full((1, len(forecast.raw)), np.nan)
    if observed is not None:
        values[0] = np.array(observed, dtype=np.float64)
    figure = forecast_figure(
        forecast.target_times[:1].tz_convert(forecast.zone),
        forecast.quantiles[None],
        observed=values,
        levels=forecast.levels,
        unit=forecast.unit,
        model=forecast.rung,
        dataset=name,
        step=forecast.step,
    )
    if np.isnan(values).all():
        figure.update_traces(visible=False, selector={"name": "observed"})
    return figure
