"""Kills at random moments while forecasts are issued and observations kept.

    python experiments/deployment_kills.py [--kills 200]

A ridge on the demo series is deployed twice. One deployment issues sixty days undisturbed. Of the
other, a process that issues the same days is killed (SIGKILL) at a random moment and started again,
until so many kills have been made and all days are issued. Afterwards both journals must hold the
same bytes, and an audit must find nothing.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    import pandas as pd

    from paretocast.deployment.inputs import LiveInputs

N_DAYS = 60
LONGEST_SECONDS = 0.25  # until a kill; a forecast takes about a tenth of it
QUICK_KILLS = 20


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


def issue_days(folder: Path, inputs: LiveInputs, first: pd.Timestamp) -> None:
    """Issue all days; those that are there are issued again and stay what they are."""
    import pandas as pd

    from paretocast.deployment.journal import Deployment
    from paretocast.deployment.run import issue_forecasts, observe

    deployment = Deployment.open(folder)
    issue_forecasts(deployment, inputs, first, first + pd.Timedelta(days=N_DAYS - 1))
    observe(deployment, inputs)


def killed_after(seconds: float, folder: Path, inputs: LiveInputs, first: pd.Timestamp) -> bool:
    """True if the process was killed before it had issued all days."""
    child = os.fork()
    if child == 0:
        try:
            issue_days(folder, inputs, first)
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def content(folder: Path) -> dict[str, bytes]:
    """Bytes of all issued forecasts and of the observations, by file."""
    journal = folder / "journal"
    paths = [*sorted((journal / "issued").glob("*/*")), journal / "observed.csv"]
    return {str(path.relative_to(journal)): path.read_bytes() for path in paths if path.exists()}


def main() -> None:
    """Print what the journals hold."""
    parser = script_parser(__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="twenty kills")
    arguments = parser.parse_args()
    n_kills = QUICK_KILLS if arguments.quick else arguments.kills
    from paretocast.deployment.calibration_state import audit
    from paretocast.deployment.journal import Deployment

    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        calm, inputs, first = make_deployment(Path(temporary))
        shaken = Path(shutil.copytree(calm, Path(temporary) / "shaken"))
        issue_days(calm, inputs, first)
        kills = damaged = 0
        while kills < n_kills:
            kills += killed_after(rng.uniform(0.0, LONGEST_SECONDS), shaken, inputs, first)
            damaged += bool(audit(Deployment.open(shaken)).problems)
            if len(content(shaken)) == len(content(calm)):  # all days are there: begin again
                for name in ("journal/issued", "journal/observed.csv"):
                    path = shaken / name
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        issue_days(shaken, inputs, first)
        same = content(calm) == content(shaken)
        problems = len(audit(Deployment.open(shaken)).problems)
    print_table(
        ["kills", "damaged after a kill", "journal as undisturbed", "problems of the audit"],
        [[kills, damaged, str(same), problems]],
    )
    print_result({"kills": kills, "damaged": damaged, "same": same}, seed=arguments.seed)


if __name__ == "__main__":
    main()
