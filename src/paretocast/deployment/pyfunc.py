"""A bundle as a model of MLflow's flavour `pyfunc`.

MLflow keeps a script and the bundle's files: the script makes the model with `make_model`, and
loading reads the bundle as any forecast does.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paretocast import __version__
from paretocast.data.clock import step_of
from paretocast.deployment.bundle import Bundle, load_bundle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.deployment.inputs import LiveWindow

    Floats = NDArray[np.float64]

ARTIFACT = "bundle"
AT = "at"
SCRIPT = '''"""The model as MLflow loads it."""

import mlflow

from paretocast.deployment.pyfunc import make_model

mlflow.models.set_model(make_model())
'''
# MLflow tells its makers about its use unless it is asked not to; nobody has asked this package to.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}


def make_model() -> Any:  # noqa: ANN401  (a PythonModel; mlflow is an extra)
    """The model that MLflow calls: a table with history and weather in, `LiveForecast.frame` out.

    Its parameter `at` is the first hour to forecast, with its zone; empty for the hour after the
    last value of the target.
    """
    import mlflow

    class Forecaster(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined, unused-ignore]
        bundle: Bundle

        def load_context(self, context: Any) -> None:  # noqa: ANN401
            self.bundle = load_bundle(context.artifacts[ARTIFACT])

        def predict(
            self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
        ) -> pd.DataFrame:
            at = (params or {}).get(AT) or None
            return self.bundle.forecast(model_input, at=at).frame

    return Forecaster()


def save_pyfunc(bundle: Bundle, folder: Path) -> Any:  # noqa: ANN401  (a PyFuncModel)
    """Write the model of a bundle, and return it as MLflow loads it."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow about type hints of its own, and examples
        import mlflow

        script = Path(scratch) / "model.py"
        script.write_text(SCRIPT, encoding="utf-8")
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(script),
            artifacts={ARTIFACT: str(bundle.folder)},
            signature=_signature(bundle),
            pip_requirements=[f"paretocast=={__version__}", *_constraints(bundle)],
            metadata={"bundle": bundle.name, "series": bundle.manifest["series"]},
        )
        return mlflow.pyfunc.load_model(str(folder))


def predict_window(model: Any, bundle: Bundle, window: LiveWindow) -> Floats:  # noqa: ANN401
    """Quantiles (H, Q) of a window by a loaded model."""
    frame = model.predict(table_of(bundle, window), params={AT: window.issue_time.isoformat()})
    names = [name for name in frame.columns if name.startswith("q")]
    return np.asarray(frame[names].to_numpy(np.float64))


def table_of(bundle: Bundle, window: LiveWindow) -> pd.DataFrame:
    """A window as a user's table: times as text, target, covariates."""
    spec, series = bundle.contract.spec, window.series
    covariates = {
        spec.column_of(column.declared): covariate.values
        for column, covariate in zip(bundle.contract.columns, series.covariates, strict=True)
    }
    marked = series.index + step_of(series.index) if spec.stamps == "end" else series.index
    times = [time.isoformat() for time in marked]
    return pd.DataFrame({spec.time_column: times, spec.target: series.values, **covariates})


def _constraints(bundle: Bundle) -> list[str]:
    """Versions that the bundle was made with, without this package's."""
    lines = (bundle.folder / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line.partition("+")[0] for line in lines if not line.startswith("paretocast==")]


def _signature(bundle: Bundle) -> Any:  # noqa: ANN401  (a ModelSignature)
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    spec = bundle.contract.spec
    covariates = [spec.column_of(column.declared) for column in bundle.contract.columns]
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(DataType.string, spec.time_column),
                *(ColSpec(DataType.double, name) for name in (spec.target, *covariates)),
            ]
        ),
        params=ParamSchema([ParamSpec(AT, DataType.string, "")]),
    )
