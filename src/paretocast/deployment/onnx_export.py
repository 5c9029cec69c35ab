"""A bundle as one ONNX graph that runs without this package.

Gaps, features, scaling, regressions, networks and the mean over members are inside. Outside stay
the calendar, as whole numbers that any language has, and the calibrator, which goes on learning.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast import __version__
from paretocast.data.features import (
    first_of_kind,
    is_public_holiday,
    is_school_holiday,
    temperature_of,
)
from paretocast.data.series import Role
from paretocast.deployment.bundle import GOLDEN, golden_window
from paretocast.deployment.members import (
    BoostedMember,
    LinearMember,
    NetworkMember,
    RidgeMember,
)
from paretocast.errors import SettingsError, StoreError
from paretocast.training.setup import visible, with_window
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.data.task import Task
    from paretocast.deployment.bundle import Bundle
    from paretocast.deployment.inputs import LiveWindow
    from paretocast.deployment.members import Member
    from paretocast.models.forecast_graph import ForecastGraph, MemberGraph, WindowColumns

    Floats = NDArray[np.float64]
    Inputs = dict[str, NDArray[Any]]

AT_MOST = 1e-5  # of the interval's width that a golden window may differ by
METADATA = "paretocast"  # key in the file
EXTRA = "pip install 'paretocast[onnx]'"


def export_onnx(bundle: Bundle, file: Path) -> float:
    """Write a bundle as an ONNX file, and beside it a JSON file that describes its inputs.

    Parameters
    ----------
    file : Path
        Ends in `.onnx`; the description gets the ending `.json`.

    Returns
    -------
    float
        Largest difference of a golden window between ONNX Runtime and the bundle, as a share of the
        width of its interval.

    Raises
    ------
    SettingsError
        If a member is no regression and no network, or the extra is not installed.
    StoreError
        If ONNX Runtime forecasts a golden window differently; no file is left then.
    """
    check_exportable(bundle)
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise SettingsError(f"--onnx needs {error.name}, which is not installed; {EXTRA}") from error
    from paretocast.models.forecast_graph import to_onnx

    windows = golden_windows(bundle)
    columns = columns_of(bundle, windows[0])
    inputs = [inputs_of(columns, window) for window in windows]
    described = describe(bundle, columns)
    content = to_onnx(graph_of(bundle, columns, windows[0]), inputs[0], {METADATA: described})
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    outputs = []
    worst = 0.0
    for given, window in zip(inputs, windows, strict=True):
        used = {i.name for i in session.get_inputs()}
        outputs.append(session.run(None, {k: v for k, v in given.items() if k in used})[0][0])
        worst = max(worst, difference(outputs[-1], bundle.raw_forecast(window)[1]))
    if worst > AT_MOST:
        raise StoreError(
            f"ONNX Runtime {onnxruntime.__version__} forecasts a golden window differently from "
            f"the bundle, by {worst:.2g} of the interval's width, expected at most {AT_MOST:g}; "
            "nothing was written"
        )
    example = {**inputs[0], "quantiles": outputs[0][None]}
    listed = {name: files.without_nan(array.tolist()) for name, array in example.items()}
    files.save_bytes(file, content)
    files.save_json(file.with_suffix(".json"), {**described, "example": listed})
    return worst


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
                f"{stored['trained']} is made of boosted trees, which an ONNX graph in float64 "
                "cannot hold yet; deploy a network or RIDGE with --trial N or --method ridge, or "
                "export with --mlflow"
            )


def golden_windows(bundle: Bundle) -> list[LiveWindow]:
    """The windows that a bundle was checked with."""
    golden = files.load_arrays(bundle.folder / GOLDEN)
    return [golden_window(bundle.contract, golden, i) for i in range(len(golden["issues"]))]


def difference(forecast: Floats, expected: Floats) -> float:
    """Largest difference of quantiles (H, Q) as a share of their mean width; NaN differs by inf."""
    width = float(np.mean(expected[:, -1] - expected[:, 0])) or 1.0
    distance = np.abs(forecast - expected) / width
    return float(distance.max()) if np.isfinite(distance).all() else np.inf


def columns_of(bundle: Bundle, window: LiveWindow) -> WindowColumns:
    """Inputs and features of a bundle's graph."""
    from paretocast.models import forecast_graph as graph

    contract, series = bundle.contract, window.series
    task = window.task()
    calendar = [graph.HOUR, graph.WEEKDAY, graph.DAY_OF_YEAR]
    if series.calendar.country is not None:
        calendar.append(graph.HOLIDAY)
    if series.calendar.school_holidays:
        calendar.append(graph.SCHOOL_HOLIDAY)
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
    )


def inputs_of(columns: WindowColumns, window: LiveWindow) -> Inputs:
    """Arrays that a graph reads, for one window."""
    from paretocast.models import forecast_graph as graph

    series, n_rows = window.series, columns.steps
    local = series.index.tz_convert(series.calendar.zone)
    made = {
        graph.HOUR: local.hour,
        graph.WEEKDAY: local.day_of_week,
        graph.DAY_OF_YEAR: local.day_of_year,
        graph.HOLIDAY: is_public_holiday(series.index, series.calendar),
        graph.SCHOOL_HOLIDAY: is_school_holiday(series.index, series.calendar),
    }
    calendar = [np.asarray(made[name], dtype=np.float64) for name in columns.calendar]
    covariates = [covariate.values for covariate in series.covariates]
    return {
        "history": series.values[None, : window.position],
        "calendar": np.stack(calendar, axis=-1)[None],
        "covariates": np.reshape(np.array(covariates).T, (1, n_rows, len(covariates))),
        "month": np.array([window.issue_time.month], dtype=np.int64),
    }


def graph_of(bundle: Bundle, columns: WindowColumns, window: LiveWindow) -> ForecastGraph:
    """The module that forecasts as a bundle does on its first rung."""
    from paretocast.models.forecast_graph import ForecastGraph

    task = window.task()
    members = [(_member(member, columns, task), weight) for member, weight in bundle.members]
    return ForecastGraph(columns, members).eval()


def _member(member: Member, columns: WindowColumns, task: Task) -> MemberGraph:
    from paretocast.models import forecast_graph as graph

    if isinstance(member, RidgeMember):
        points = graph.PointsGraph([member.ridge.model], columns, member.ridge.errors.scaling)
        spread = np.broadcast_to(member.ridge.errors.quantiles, (12, *member.ridge.errors.quantiles.shape))
        return graph.SpreadGraph(points, spread, member.ridge.errors.scaling)
    if isinstance(member, LinearMember):
        own = member.forecaster
        points = graph.PointsGraph(own.anchor.model.members, columns, own.scaling)
        return graph.SpreadGraph(points, own.anchor.spread, own.scaling)
    if isinstance(member, NetworkMember):
        features = with_window(visible(task, member.data), member.data).features
        return graph.NetworkGraph(
            member._network,
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
    """What somebody without this package needs to fill the inputs and to read the output."""
    contract = bundle.contract
    history, steps = columns.history_steps, columns.steps
    hours = f"hours -{history} to {columns.horizon_steps - 1} after the issue"
    texts = {
        "hour": "local hour of the day, 0 to 23",
        "weekday": "local day of the week, 0 for Monday to 6 for Sunday",
        "day_of_year": "local day of the year, 1 to 366",
        "holiday": f"1 on local days that are public holidays of {contract.calendar.country}, else 0",
        "school_holiday": "1 on local days of school holidays, else 0",
    }
    return {
        "schema_version": 1,
        "paretocast": __version__,
        "bundle": bundle.name,
        "series": bundle.manifest["series"],
        "trained": [stored["trained"] for stored in bundle.manifest["members"]],
        "learned_until": bundle.manifest["learned_until"],
        "issue": (
            "the first hour that is forecast, hour 0; hours are hours of real time (UTC), so a "
            "local day may have 23 or 25"
        ),
        "zone": contract.calendar.zone,
        "inputs": {
            "history": {
                "shape": [1, history],
                "dtype": "float64",
                "hours": f"-{history} to -1, the oldest first",
                "unit": contract.spec.unit,
                "missing": "NaN; filled inside from earlier hours",
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
            "month": {"shape": [1], "dtype": "int64", "meaning": "month of the issue in UTC, 1 to 12"},
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
                "is not inside. NaN or a wrong number of rows: the inputs do not suffice"
            ),
        },
    }
