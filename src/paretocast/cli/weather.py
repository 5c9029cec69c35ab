"""`paretocast weather`: weather runs from Open-Meteo, in the columns that a data set reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paretocast.cli.console import stderr_console
from paretocast.cli.display import print_note
from paretocast.formatting import count
from paretocast.weather.sources import Source


def weather(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="Data set whose columns are wanted, or the folder of a deployment.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="CSV file to write.", show_default=False)],
    source: Annotated[
        Source,
        typer.Option(
            help="The newest run; archived runs; runs put together from forecasts of days before; "
            "or the first hours of all runs, which were not known a day ahead."
        ),
    ] = Source.FORECAST,
    latitude: Annotated[
        float | None, typer.Option(help="Degrees north. \\[default: the data set's]")
    ] = None,
    longitude: Annotated[
        float | None, typer.Option(help="Degrees east. \\[default: the data set's]")
    ] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(
            help="Covariate and variable of Open-Meteo, such as temperature=temperature_2m; may be "
            "given several times. \\[default: by the covariate's name or kind]"
        ),
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", help="First time of issue, of the past.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="Last time of issue. \\[default: now]")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Weather model, such as ecmwf_ifs. \\[default: Open-Meteo's best match]"),
    ] = None,
    delay: Annotated[
        int,
        typer.Option(
            min=1, max=24, help="Hours from the start of a past run until it could be had."
        ),
    ] = 6,
    every: Annotated[int, typer.Option(help="Hours between runs of the past.")] = 6,
    append: Annotated[
        bool, typer.Option("--append", help="Add to an existing file; its other runs stay.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="Server of your own that runs Open-Meteo.")
    ] = None,
) -> None:
    """Fetch weather from Open-Meteo into a CSV file for `forecast --weather` or a data set.

    This is the only command that asks another site for data; it needs the extra `weather`.
    Open-Meteo's servers are free for non-commercial use; OPEN_METEO_API_KEY holds a customer's key.

    Each row has a time of issue, from which on it was known. The file appears whole or not at all.

    [bold]paretocast weather deploy/heat --latitude 55.5 --longitude 9.7 --out nwp.csv[/bold]
    """
    from functools import partial

    from paretocast.api.weather import fetch_weather, update_weather
    from paretocast.weather.open_meteo import service_from

    fetch = partial(
        fetch_weather,
        dataset,
        source=source,
        latitude=latitude,
        longitude=longitude,
        variables=_variables(variable or []),
        first=first,
        last=last,
        model=model,
        delay_hours=delay,
        every_hours=every,
        service=service_from(url),
        say=print_note,
    )
    table = update_weather(out, fetch, append=append)
    said = f"{count(len(table), 'row')} in {out}" if len(table) else f"{out} has all of these runs"
    stderr_console().print(said, highlight=False, soft_wrap=True)


def _variables(given: list[str]) -> dict[str, str]:
    """Variables by covariate."""
    from paretocast.errors import SettingsError

    pairs = [text.partition("=") for text in given]
    for text, (name, _, variable) in zip(given, pairs, strict=True):
        if not name or not variable:
            raise SettingsError(
                f"--variable is {text!r}, expected a covariate and a variable such as "
                "temperature=temperature_2m"
            )
    return {name.strip(): variable.strip() for name, _, variable in pairs}
