"""`paretocast export`: a deployed model, or what a study has found, in the formats of others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import stderr_console
from paretocast.formatting import count

if TYPE_CHECKING:
    from paretocast.api.study import Study

MODEL, STUDY = "A deployed model", "A study"


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Folder that `paretocast deploy` wrote, or a bundle in it; for --forecasts and "
            "--track a study: its folder, or a best_params_*.json.",
            show_default=False,
        ),
    ],
    onnx: Annotated[
        Path | None,
        typer.Option(
            help="Write an ONNX file, and a .json beside it that describes its inputs.",
            metavar="FILE",
            rich_help_panel=MODEL,
        ),
    ] = None,
    mlflow: Annotated[
        Path | None,
        typer.Option(
            help="Write a model of MLflow's flavour pyfunc.",
            metavar="DIR",
            rich_help_panel=MODEL,
        ),
    ] = None,
    forecasts: Annotated[
        Path | None,
        typer.Option(
            help="Write the stored forecasts of all trials with what was observed, a row for each "
            "step: .parquet or .csv.",
            metavar="FILE",
            rich_help_panel=STUDY,
        ),
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(
            help="Log every finished trial as a run to MLflow's tracking store, such as "
            "http://localhost:5000 or sqlite:///mlflow.db.",
            metavar="URI",
            rich_help_panel=STUDY,
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data files, if they are not where the study found them.",
            rich_help_panel=STUDY,
        ),
    ] = None,
) -> None:
    """Write a deployed model as an ONNX file or as a model of MLflow, or a study as tables or runs.

    The ONNX file runs without Paretocast: gaps, features, scaling and the ridge are inside. Its
    quantiles are not calibrated. The model of MLflow is the bundle with its calibrator and needs
    Paretocast. What was written is loaded again and must forecast the bundle's golden windows as it
    does, to 1e-5 of the interval's width; else nothing is left behind. The difference is printed.

    [bold]Examples[/bold]

      paretocast export deploy/heat --onnx heat.onnx

      paretocast export hpo/results/NHITS_Q_heat --forecasts trials.parquet

      paretocast export hpo/results/NHITS_Q_heat --track sqlite:///mlflow.db
    """
    from paretocast.errors import SettingsError

    of_model, of_study = (onnx, mlflow), (forecasts, track)
    if not any((*of_model, *of_study)):
        raise SettingsError(
            "nothing to export; give --onnx FILE or --mlflow DIR of a deployment, or --forecasts "
            "FILE or --track URI of a study"
        )
    if any(of_model) and any(of_study):
        raise SettingsError(
            "--onnx and --mlflow are for a deployment, --forecasts and --track for a study; give "
            "those of one kind"
        )
    if any(of_model):
        _export_model(source, onnx=onnx, mlflow=mlflow)
    else:
        _export_study(source, data_dir, forecasts=forecasts, track=track)


def _export_model(deployment: Path, *, onnx: Path | None, mlflow: Path | None) -> None:
    from paretocast.deployment.bundle import load_bundle
    from paretocast.deployment.export import export_mlflow, export_onnx

    bundle = load_bundle(deployment)
    for written, path in ((export_onnx, onnx), (export_mlflow, mlflow)):
        if path is not None:
            typer.echo(f"{path}\t{written(bundle, path):.2g}")
            _say(f"{path} forecasts the golden windows of bundle {bundle.name} as it does")


def _export_study(
    place: Path, data_dir: Path | None, *, forecasts: Path | None, track: str | None
) -> None:
    from paretocast.api.study import Study
    from paretocast.cli.diagnose import find_result
    from paretocast.redaction import redacted
    from paretocast.results.stored_study import StoredStudy

    study = Study(StoredStudy.open(find_result(place)), data_dir=data_dir)
    if forecasts is not None:
        _write_forecasts(study, forecasts)
    if track is not None:
        added = study.log_to_mlflow(track)
        _say(redacted(f"{count(added, 'run')} added to {track}"))


def _write_forecasts(study: Study, path: Path) -> None:
    """Write all forecasts by the ending of the file's name."""
    from paretocast.api.frames import save_frame
    from paretocast.errors import SettingsError

    if path.suffix.lower() not in {".csv", ".parquet"}:
        raise SettingsError(f"--forecasts is {path.name}, expected a name with .parquet or .csv")
    frame = study.all_forecasts()
    save_frame(frame, path)
    _say(f"{count(len(frame), 'row')} of {count(frame['trial'].nunique(), 'trial')} in {path}")


def _say(text: str) -> None:
    stderr_console().print(text, highlight=False, soft_wrap=True)
