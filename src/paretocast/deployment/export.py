"""A bundle in the formats of others: an ONNX file, and a model of MLflow.

What is written is loaded again and has to forecast the bundle's golden windows as it does; else
nothing is left behind.
"""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.deployment.bundle_files import FULL, golden_window, load_golden
from paretocast.deployment.onnx_graph import (
    check_exportable,
    columns_of,
    describe,
    graph_of,
    inputs_of,
)
from paretocast.deployment.pyfunc import predict_window, save_pyfunc
from paretocast.errors import SettingsError, StoreError
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.deployment.bundle import Bundle
    from paretocast.deployment.inputs import LiveWindow

    Floats = NDArray[np.float64]

AT_MOST = 1e-5  # of the interval's width that a golden window may differ by
METADATA = "paretocast"  # key of the description in an ONNX file


def export_onnx(bundle: Bundle, file: Path) -> float:
    """Write a bundle as an ONNX file, and beside it a JSON file that describes its inputs.

    The output are raw quantiles: a calibrator goes on learning. The JSON file holds one golden
    window with its forecast, to try a program of one's own on.

    Parameters
    ----------
    file : Path
        Ends in `.onnx`; the description gets the ending `.json`. Both are replaced.

    Returns
    -------
    float
        Largest difference of a golden window between ONNX Runtime and the bundle, as a share of the
        width of its interval.

    Raises
    ------
    SettingsError
        If a member is made of trees, or the extra is not installed.
    StoreError
        If the bundle is damaged, or ONNX Runtime forecasts a golden window differently.
    """
    if file.suffix != ".onnx":
        raise SettingsError(f"--onnx is {file}, expected a file that ends in .onnx")
    check_exportable(bundle)
    _require("onnx", "onnx", "onnxruntime", "onnxscript")
    from paretocast.models.forecast_graph import to_onnx

    windows = _golden_windows(bundle)
    columns = columns_of(bundle, windows[0])
    described = describe(bundle, columns)
    example = inputs_of(columns, windows[0].series, windows[0].position)
    graph = graph_of(bundle, columns, windows[0])
    content = to_onnx(graph, example, {METADATA: json.dumps(described)})
    run = _onnx_runner(content)
    worst = _largest_difference(
        windows,
        lambda window: run(inputs_of(columns, window.series, window.position)),
        lambda window: bundle.raw_forecast(window)[1],
        what="ONNX Runtime",
    )
    arrays = {**example, "quantiles": run(example)[None]}
    listed = {name: files.without_nan(array.tolist()) for name, array in arrays.items()}
    files.save_bytes(file, content)
    files.save_json(file.with_suffix(".json"), {**described, "example": listed})
    return worst


def export_mlflow(bundle: Bundle, folder: Path) -> float:
    """Write a bundle as a model of MLflow's flavour `pyfunc`.

    It holds the bundle's files and a script, nothing pickled, and needs this package to be loaded.
    Its calibrator is that of the bundle, as it was fitted before the first issue.

    Parameters
    ----------
    folder : Path
        Must not exist.

    Returns
    -------
    float
        Largest difference of a golden window between the loaded model and the bundle, as a share of
        the width of its interval.

    Raises
    ------
    SettingsError
        If the folder exists, or the extra is not installed.
    StoreError
        If the bundle is damaged, or the loaded model forecasts a golden window differently.
    """
    if folder.exists():
        raise SettingsError(f"--mlflow is {folder}, which exists; name a folder that does not")
    _require("mlflow", "mlflow")
    windows = _golden_windows(bundle)

    def calibrated(window: LiveWindow) -> Floats:
        raw = bundle.with_groups(window.issue_time, bundle.raw_forecast(window)[1])
        return np.asarray(bundle.calibrators[FULL].apply(raw).quantiles[0])

    try:
        model = save_pyfunc(bundle, folder)
        return _largest_difference(
            windows,
            lambda window: predict_window(model, bundle, window),
            calibrated,
            what="MLflow",
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _golden_windows(bundle: Bundle) -> list[LiveWindow]:
    """Windows that a bundle was checked with, and forecasts on its first rung."""
    bundle.verify()
    golden = load_golden(bundle.folder, bundle.contract)
    windows = [golden_window(bundle.contract, golden, i) for i in range(len(golden["issues"]))]
    if whole := [window for window in windows if bundle.raw_forecast(window)[0] == FULL]:
        return whole
    raise StoreError(
        f"no golden window of {bundle.folder} has all inputs of its models, so an export cannot be "
        "checked; deploy again on data with their weather"
    )


def _largest_difference(
    windows: list[LiveWindow],
    exported: Callable[[LiveWindow], Floats],
    expected: Callable[[LiveWindow], Floats],
    *,
    what: str,
) -> float:
    """Largest difference of quantiles (H, Q) as a share of their width.

    Raises
    ------
    StoreError
        If it is larger than `AT_MOST`.
    """
    worst = 0.0
    for window in windows:
        own, other = expected(window), exported(window)
        width = float(np.mean(own[:, -1] - own[:, 0])) or 1.0
        distance = float(np.abs(other - own).max()) / width
        worst = max(worst, distance if np.isfinite(distance) else np.inf)
    if worst > AT_MOST:
        raise StoreError(
            f"{what} forecasts a golden window differently from the bundle, by {worst:.2g} of the "
            f"interval's width, expected at most {AT_MOST:g}; nothing was written"
        )
    return worst


def _onnx_runner(content: bytes) -> Callable[[dict[str, NDArray[Any]]], Floats]:
    """A function from inputs to quantiles (H, Q), by ONNX Runtime on a CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda inputs: np.asarray(session.run(None, inputs)[0][0])


def _require(extra: str, *libraries: str) -> None:
    for library in libraries:
        try:
            import_module(library)
        except ImportError as error:
            raise SettingsError(
                f"--{extra} needs {library}, which is not installed; "
                f"pip install 'paretocast[{extra}]'"
            ) from error
