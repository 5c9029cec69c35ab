"""A bundle as one ONNX graph that runs without this package.

Gaps, features, scaling, regressions, networks and the mean over members are inside. Outside stay
the calendar, as whole numbers that any language has, and the calibrator, which goes on learning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast import __version__
from paretocast.data.calendar import (
    AROUND_HOLIDAYS,
    around_holidays,
    hour_of_day,
    is_public_holiday,
    is_school_holiday,
)
from paretocast.data.features import first_of_kind, temperature_of
from paretocast.deployment.bundle import TOO_OLD_HOURS
from paretocast.deployment.members import (
    BoostedMember,
    LinearMember,
    NetworkMember,
    RidgeMember,
)
from paretocast.errors import SettingsError
from paretocast.models.linear import LinearMean
from paretocast.steps import noun
from paretocast.training.setup import visible, with_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.data.series import Series
    from paretocast.data.task import Task
    from paretocast.deployment.bundle import Bundle
    from paretocast.deployment.inputs import LiveWindow
    from paretocast.deployment.members import Member
    from paretocast.models.forecast_graph import ForecastGraph, MemberGraph, WindowColumns

    Inputs = dict[str, NDArray[Any]]

SCHEMA_VERSION = 1


def check_exportable(bundle: Bundle) -> None:
    """Refuse a bundle with a member that a graph cannot hold.

    Raises
    ------
    SettingsError
        Naming the member, and what to deploy in its place.
    """
    for stored in bundle.manifest["members"]:
        if stored["kind"] == BoostedMember.kind:
            raise SettingsError(
                f"{stored['trained']} is made of boosted trees, which are not written as a graph; "
                "deploy a network or RIDGE with --trial N or --method ridge, or "
                "export with --mlflow"
            )
        if stored.get("identity"):
            raise SettingsError(
                f"{stored['trained']} is one network for many series, which is not written as a "
                "graph; export with --mlflow, or deploy a trial of a study of this series alone"
            )


def columns_of(bundle: Bundle, window: LiveWindow) -> WindowColumns:
    """Inputs and features of a bundle's graph."""
    from paretocast.models import forecast_graph as graph

    contract, series = bundle.contract, window.series
    task = window.task()
    calendar = [graph.HOUR, graph.WEEKDAY, graph.DAY_OF_YEAR]
    if series.calendar.has_holidays:
        calendar.append(graph.HOLIDAY)
    if series.calendar.school_holidays:
        calendar.append(graph.SCHOOL_HOLIDAY)
    calendar += [name for name in AROUND_HOLIDAYS if name in task.features.names]
    wind = first_of_kind(series.covariates, "wind")
    return graph.WindowColumns(
        history_steps=contract.history_steps,
        horizon_steps=contract.shape.horizon_steps,
        calendar=tuple(calendar),
        covariates=tuple(covariate.name for covariate in series.covariates),
        features=tuple(zip(task.features.names, task.features.roles, strict=True)),
        standards=contract.standards,
        temperature=temperature_of(series),
        wind=None if wind is None else wind.name,
        steps_per_day=contract.shape.steps_per_day,
        delay_steps=contract.delay_steps,
    )


def inputs_of(columns: WindowColumns, series: Series, position: int) -> Inputs:
    """Arrays that a graph reads, for the window of a series that is issued at a position."""
    from paretocast.models import forecast_graph as graph

    local = series.index.tz_convert(series.calendar.zone)
    made = {
        graph.HOUR: hour_of_day(local),
        graph.WEEKDAY: local.day_of_week,
        graph.DAY_OF_YEAR: local.day_of_year,
        graph.HOLIDAY: is_public_holiday(series.index, series.calendar),
        graph.SCHOOL_HOLIDAY: is_school_holiday(series.index, series.calendar),
        **around_holidays(series.index, series.calendar),
    }
    calendar = [np.asarray(made[name], dtype=np.float64) for name in columns.calendar]
    covariates = [covariate.values for covariate in series.covariates]
    return {
        "history": series.values[None, :position],
        "calendar": np.stack(calendar, axis=-1)[None],
        "covariates": np.reshape(np.array(covariates).T, (1, columns.steps, -1)),
        "month": np.array([series.index[position].month], dtype=np.int64),
    }


def graph_of(bundle: Bundle, columns: WindowColumns, window: LiveWindow) -> ForecastGraph:
    """The module that forecasts as a bundle does on its first rung."""
    from paretocast.models.forecast_graph import ForecastGraph

    task = window.task()
    members = [(member_graph(member, columns, task), weight) for member, weight in bundle.members]
    return ForecastGraph(columns, members).eval()


def member_graph(member: Member, columns: WindowColumns, task: Task) -> MemberGraph:
    """A member as a module; the task says which features there are."""
    from paretocast.models import forecast_graph as graph

    if isinstance(member, RidgeMember):
        model, scaling = LinearMean((member.ridge.model,)), member.ridge.errors.scaling
        points = graph.PointsGraph(model, columns, scaling)
        spread = np.broadcast_to(
            member.ridge.errors.quantiles, (12, *member.ridge.errors.quantiles.shape)
        )
        return graph.SpreadGraph(points, spread, member.ridge.errors.scaling)
    if isinstance(member, LinearMember):
        own = member.forecaster
        points = graph.PointsGraph(own.anchor.model, columns, own.scaling)
        return graph.SpreadGraph(points, own.anchor.spread, own.scaling)
    if isinstance(member, NetworkMember):
        features = with_window(visible(task, member.data), member.data).features
        return graph.NetworkGraph(
            member._network,  # noqa: SLF001  (built once for both)
            member.anchor,
            columns=columns,
            scaling=member.scaling,
            input_steps=member.input_steps,
            past=features.past.names,
            known=features.known.names,
            weather=member.data.weather,
        )
    raise SettingsError(f"a member of kind {member.kind} cannot be exported")


def describe(bundle: Bundle, columns: WindowColumns) -> dict[str, Any]:
    """Description of inputs and output, for somebody without this package."""
    contract = bundle.contract
    calendar = contract.calendar
    parts = (
        calendar.country,
        calendar.subdivision,
        "days of its own" if calendar.holidays else None,
    )
    country = ", ".join(part for part in parts if part)
    history, steps = columns.history_steps, columns.steps
    step = noun(columns.steps_per_day)
    hours = f"{step}s -{history} to {columns.horizon_steps - 1} after the issue"
    texts = {
        "hour": "local hour of the day, 0 to 23"
        if step == "hour"
        else "local time of day in hours, minutes as their fraction",
        "weekday": "local day of the week, 0 for Monday to 6 for Sunday",
        "day_of_year": "local day of the year, 1 to 366",
        "holiday": f"1 on local days that are public holidays in {country}, else 0",
        "school_holiday": "1 on local days of school holidays, else 0",
        "day_before_holiday": "1 on local days before a public holiday, which are none, else 0",
        "day_after_holiday": "1 on local days after a public holiday, which are none, else 0",
        "bridge_day": "1 on working days between a public holiday and another free day, else 0",
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "paretocast": __version__,
        "bundle": bundle.name,
        "series": bundle.manifest["series"],
        "trained": [stored["trained"] for stored in bundle.manifest["members"]],
        "learned_until": bundle.manifest["learned_until"],
        "issue": (
            "the first hour that is forecast, hour 0; hours are hours of real time (UTC), so a "
            "local day may have 23 or 25"
            if step == "hour"
            else f"the first {step} that is forecast, {step} 0"
        ),
        "zone": contract.calendar.zone,
        "inputs": {
            "history": {
                "shape": [1, history],
                "dtype": "float64",
                "hours": f"-{history} to -1, the oldest first",
                "unit": contract.spec.unit,
                "missing": (
                    "NaN; filled inside from earlier hours. Without a value in the last "
                    f"{TOO_OLD_HOURS + contract.delay_hours} hours a forecast means little"
                ),
            },
            "calendar": {
                "shape": [1, steps, len(columns.calendar)],
                "dtype": "float64",
                "hours": hours,
                "columns": [{"name": n, "meaning": texts[n]} for n in columns.calendar],
            },
            "covariates": {
                "shape": [1, steps, len(columns.covariates)],
                "dtype": "float64",
                "hours": hours,
                "missing": (
                    "NaN; filled inside from earlier hours, but the first hour must be there. "
                    "Columns of role past may be NaN from hour 0 on"
                ),
                "columns": [
                    {"name": c.name, "unit": c.unit, "role": c.role, "range": [c.low, c.high]}
                    for c in contract.columns
                ],
            },
            "month": {
                "shape": [1],
                "dtype": "int64",
                "meaning": "month of the issue in UTC, 1 to 12",
            },
        },
        "output": {
            "name": "quantiles",
            "shape": [1, columns.horizon_steps, len(bundle.levels)],
            "dtype": "float64",
            "unit": contract.spec.unit,
            "levels": list(bundle.levels),
            "calibrated": False,
            "meaning": (
                "raw quantiles, ascending; the calibrator of the deployment goes on learning and "
                "is not inside. NaN: the inputs do not suffice"
            ),
        },
    }
