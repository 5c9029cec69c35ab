"""Kills at random moments while forecasts are issued and observations kept, or while one retrains.

    python experiments/deployment_kills.py [--kills 200]
    python experiments/deployment_kills.py --of retrain [--kills 60]

A ridge on the demo series is deployed twice. One deployment issues sixty days undisturbed. Of the
other, a process that issues the same days is killed (SIGKILL) at a random moment and started again,
until so many kills have been made and all days are issued. Afterwards both journals must hold the
same bytes, and an audit must find nothing.

With `--of retrain` one deployment, on 430 days of the demo whose demand has grown since the bundle
was made, is retrained undisturbed. Of the other, the process that retrains is killed again and
again, every other time at a random moment, else before a random one of its writes to the disk.
After each kill the pointer must name a whole bundle, every other bundle that can be seen must be
whole, issued forecasts and observations be as before, an audit find nothing, and a forecast be
possible. Each time a retraining ends, it must have led to the same bundle as the undisturbed one,
and one more is begun from the start.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness import print_result, print_table, script_parser
from interruptions import run_child

if TYPE_CHECKING:
    import pandas as pd

    from paretocast.deployment.inputs import LiveInputs

N_DAYS = 60
LONGEST_SECONDS = 0.25  # until a kill; a forecast takes about a tenth of it
QUICK_KILLS = 20
ISSUED_DAYS = 20  # in the journal of the deployment that is retrained
SERIES_DAYS, CHANGED_DAY = 430, 370
GROWN = """
name = "grown"
path = "grown.csv"
target = "heat"
unit = "kWh"
zone = "Europe/Copenhagen"

[covariates.temperature]
role = "forecast"

[splits]
train_to = 2021-11-15T23:00:00Z
validation_to = 2022-01-01T23:00:00Z
"""


def make_deployment(folder: Path) -> tuple[Path, LiveInputs, pd.Timestamp]:
    """A deployed ridge, its inputs, and the first test issue."""
    import pandas as pd

    import paretocast
    from paretocast.api.operations import deploy
    from paretocast.data.reading import load_dataset
    from paretocast.deployment.inputs import LiveInputs

    study = paretocast.tune(
        "demo", "RIDGE", trials=1, workspace=folder / "hpo", threads=1, progress=False
    )
    deployment = deploy(study.folder, folder / "demo", method="ridge", calibrator="pid")
    dataset = load_dataset("demo")
    columns = {dataset.spec.target: dataset.series.values}
    columns |= {covariate.name: covariate.values for covariate in dataset.series.covariates}
    values = pd.DataFrame(columns, index=dataset.series.index)
    inputs = LiveInputs(deployment.bundle.contract, values, None, None)
    return deployment.folder, inputs, dataset.dates.validation_to + pd.Timedelta(hours=1)


def issue_days(
    folder: Path, inputs: LiveInputs, first: pd.Timestamp, *, n_days: int = N_DAYS
) -> None:
    """Issue all days; those that are there are issued again and stay what they are."""
    import pandas as pd

    from paretocast.deployment.journal import Deployment
    from paretocast.deployment.run import issue_forecasts, observe

    deployment = Deployment.open(folder)
    issue_forecasts(deployment, inputs, first, first + pd.Timedelta(days=n_days - 1))
    observe(deployment, inputs)


def content(folder: Path) -> dict[str, bytes]:
    """Bytes of all issued forecasts and of the observations, by file."""
    journal = folder / "journal"
    paths = [*sorted((journal / "issued").glob("*/*")), journal / "observed.csv"]
    return {str(path.relative_to(journal)): path.read_bytes() for path in paths if path.exists()}


def kill_forecasts(folder: Path, n_kills: int, rng: random.Random) -> dict[str, object]:
    """Figures of a deployment whose forecasts are killed."""
    from paretocast.deployment.audit import audit
    from paretocast.deployment.journal import Deployment

    calm, inputs, first = make_deployment(folder)
    shaken = Path(shutil.copytree(calm, folder / "shaken"))
    issue_days(calm, inputs, first)
    kills = damaged = 0
    while kills < n_kills:
        seconds = rng.uniform(0.0, LONGEST_SECONDS)
        work = partial(issue_days, shaken, inputs, first)
        kills += run_child(work, shaken, kill_after=seconds).code is None
        damaged += bool(audit(Deployment.open(shaken)).problems)
        if len(content(shaken)) == len(content(calm)):  # all days are there: begin again
            for name in ("journal/issued", "journal/observed.csv"):
                path = shaken / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    issue_days(shaken, inputs, first)
    return {
        "kills": kills,
        "damaged after a kill": damaged,
        "journal as undisturbed": content(calm) == content(shaken),
        "problems of the audit": len(audit(Deployment.open(shaken)).problems),
    }


def make_grown(folder: Path) -> tuple[Path, pd.DataFrame]:
    """A deployed ridge with a journal, and the newest rows: demand has grown by a third."""
    import numpy as np
    import pandas as pd

    import paretocast
    from paretocast.api.operations import deploy
    from paretocast.data import generate_demo

    series, _ = generate_demo()
    n_hours = 24 * SERIES_DAYS
    temperature = next(c for c in series.covariates if c.name == "temperature")
    table = pd.DataFrame(
        {
            "timestamp": series.index[:n_hours].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "heat": series.values[:n_hours],
            "temperature": temperature.values[:n_hours],
        }
    )
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / "grown.csv", index=False)
    (folder / "grown.toml").write_text(GROWN, encoding="utf-8")
    study = paretocast.tune(
        folder / "grown.toml",
        "RIDGE",
        trials=1,
        workspace=folder / "hpo",
        threads=1,
        progress=False,
    )
    deployment = deploy(study.folder, folder / "grown", method="ridge", calibrator="pid")
    grown = table.assign(
        heat=np.where(np.arange(n_hours) >= 24 * CHANGED_DAY, 1.3, 1.0) * table["heat"]
    )
    first = pd.Timestamp("2022-01-02", tz="UTC")
    inputs = deployment.bundle.contract.read(grown)
    issue_days(deployment.folder, inputs, first, n_days=ISSUED_DAYS)
    return deployment.folder, grown


def retrain_once(folder: Path, table: pd.DataFrame) -> None:
    """Retrain a deployment."""
    from paretocast.deployment.journal import Deployment
    from paretocast.deployment.plan import Silent
    from paretocast.deployment.retrain import retrain

    retrain(Deployment.open(folder), table, observer=Silent(), device="cpu")


@dataclass
class Findings:
    """Numbers of faults after a kill, by kind."""

    broken_bundles: int = 0
    other_journals: int = 0
    problems: int = 0
    no_forecast: int = 0
    half_made: int = 0
    not_tidied: int = 0
    other_bundles: int = 0
    said: list[str] = field(default_factory=list)


def look_at(folder: Path, table: pd.DataFrame, before: dict[str, bytes], found: Findings) -> None:
    """Add what is wrong with a deployment after a kill."""
    import pandas as pd

    from paretocast.deployment.audit import audit
    from paretocast.deployment.bundle import load_bundle
    from paretocast.deployment.bundle_files import check_sums
    from paretocast.deployment.journal import Deployment
    from paretocast.deployment.run import issue_forecast
    from paretocast.errors import ParetocastError

    deployment = Deployment.open(folder)
    try:
        load_bundle(folder).verify()
        for path in deployment.bundles.glob("[!.]*"):
            check_sums(path)
    except (ParetocastError, OSError) as error:
        found.broken_bundles += 1
        found.said.append(str(error))
    found.half_made = max(found.half_made, len(list(deployment.bundles.glob(".*"))))
    found.other_journals += content(folder) != before
    found.problems += bool(audit(deployment).problems)
    counted = [forecast.issue_time for forecast in deployment.counted()]
    found.other_journals += len(counted) != len(set(counted)) or len(counted) != ISSUED_DAYS
    try:
        at = counted[-1] + pd.Timedelta(days=1)
        inputs = deployment.bundle.contract.read(table)
        with deployment.locked():
            pass
        issue_forecast(deployment, inputs, at, dry_run=True)
        deployment.events()
    except (ParetocastError, OSError) as error:
        found.no_forecast += 1
        found.said.append(str(error))


def kill_retraining(folder: Path, n_kills: int, rng: random.Random) -> dict[str, object]:
    """Figures of a deployment whose retraining is killed."""
    import paretocast.deployment.retrain  # noqa: F401  (once, not in every child)
    from paretocast.deployment.journal import Deployment

    base, table = make_grown(folder)
    calm = Path(shutil.copytree(base, folder / "calm"))
    started = time.perf_counter()
    n_writes = run_child(partial(retrain_once, calm, table), calm).n_writes
    seconds = time.perf_counter() - started
    expected = Deployment.open(calm).current
    assert expected != Deployment.open(base).current, "the retraining has promoted nothing"
    before, found = content(base), Findings()
    shaken = Path(shutil.copytree(base, folder / "shaken"))
    kills = ends = by_write = 0
    while kills < n_kills:
        nth = rng.randint(1, n_writes) if rng.random() < 0.5 else None
        after = None if nth else rng.uniform(0.0, seconds)
        work = partial(retrain_once, shaken, table)
        killed = run_child(work, shaken, at=nth, kill_after=after).code is None
        kills, by_write = kills + killed, by_write + (killed and nth is not None)
        look_at(shaken, table, before, found)
        if not killed or Deployment.open(shaken).current == expected:
            ends += 1
            found.other_bundles += Deployment.open(shaken).current != expected
            shutil.rmtree(shaken)
            shutil.copytree(base, shaken)
    # What kills have left half made goes once it is a day old.
    run_child(partial(retrain_once, shaken, table), shaken, at=n_writes // 2)
    for path in (shaken / "bundles").glob(".*"):
        os.utime(path, (time.time() - 25 * 3600,) * 2)
    run_child(partial(retrain_once, shaken, table), shaken)
    found.not_tidied = len(list((shaken / "bundles").glob(".*")))
    found.other_bundles += Deployment.open(shaken).current != expected
    for said in found.said:
        print(said)
    return {
        "kills": kills,
        "before a write": by_write,
        "retrainings that ended": ends + 1,
        "writes of one": n_writes,
        "seconds of one": round(seconds, 1),
        "broken bundles": found.broken_bundles,
        "other journals": found.other_journals,
        "problems of the audit": found.problems,
        "no next forecast": found.no_forecast,
        "other bundle promoted": found.other_bundles,
        "half made, at most": found.half_made,
        "half made, once a day old": found.not_tidied,
    }


def main() -> None:
    """Print what the deployments hold."""
    parser = script_parser(__doc__)
    parser.add_argument("--of", choices=("forecast", "retrain"), default="forecast")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="twenty kills")
    arguments = parser.parse_args()
    n_kills = QUICK_KILLS if arguments.quick else arguments.kills
    kill = {"forecast": kill_forecasts, "retrain": kill_retraining}[arguments.of]
    with tempfile.TemporaryDirectory() as temporary:
        figures = kill(Path(temporary), n_kills, random.Random(arguments.seed))
    print_table(["figure", "value"], [[name, str(value)] for name, value in figures.items()])
    print_result(figures, seed=arguments.seed)


if __name__ == "__main__":
    main()
