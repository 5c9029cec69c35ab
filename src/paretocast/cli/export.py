"""`paretocast export`: a deployed model in the formats of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paretocast.cli.console import stderr_console


def export(
    deployment: Annotated[
        Path,
        typer.Argument(
            metavar="DEPLOYMENT",
            help="Folder that `paretocast deploy` wrote, or a bundle in it.",
            show_default=False,
        ),
    ],
    onnx: Annotated[
        Path | None,
        typer.Option(
            help="Write an ONNX file, and a .json beside it that describes its inputs.",
            metavar="FILE",
        ),
    ] = None,
    mlflow: Annotated[
        Path | None,
        typer.Option(help="Write a model of MLflow's flavour pyfunc.", metavar="DIR"),
    ] = None,
) -> None:
    """Write a deployed model as an ONNX file or as a model of MLflow.

    The ONNX file runs without Paretocast: gaps, features, scaling and the ridge are inside. Its
    quantiles are not calibrated. The model of MLflow is the bundle with its calibrator and needs
    Paretocast.

    What was written is loaded again and must forecast the bundle's golden windows as it does, to
    1e-5 of the interval's width; else nothing is left behind. The difference is printed.

    [bold]paretocast export deploy/heat --onnx heat.onnx[/bold]
    """
    from paretocast.deployment.bundle import load_bundle
    from paretocast.deployment.export import export_mlflow, export_onnx
    from paretocast.errors import SettingsError

    if onnx is None and mlflow is None:
        raise SettingsError("nothing to export; give --onnx FILE, --mlflow DIR, or both")
    bundle = load_bundle(deployment)
    for written, path in ((export_onnx, onnx), (export_mlflow, mlflow)):
        if path is not None:
            typer.echo(f"{path}\t{written(bundle, path):.2g}")
            stderr_console().print(
                f"{path} forecasts the golden windows of bundle {bundle.name} as it does",
                highlight=False,
                soft_wrap=True,
            )
