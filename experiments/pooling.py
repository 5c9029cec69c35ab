"""One network for all zones against one for each, on the seven zones of BWDF.

    python experiments/pooling.py --data-dir DATA [--months 12] [--seeds 2] [--zones a b]

The pooled network learns as that of `tune --pool` does: from the windows of all zones, each scaled
by itself and with an anchor of its own, and it is told the zone by a column for each. It stops by
the stop splits of all zones. Each zone has its default budget; the pooled network has that of all
windows together, which its upper bound cuts. Scores are of the tune and calibrate splits: the test
split is not read. Ratios are of mean pinball losses over all levels, before calibration, mean over
seeds.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import print_result, print_table, script_parser
from panel_series import ZONES, panel_dataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.training.setup import TrainingSetup

    Floats = NDArray[np.float64]

MODEL = "NHITS_Q"
SPLITS = ("tune", "calibrate")


def trained_forecasts(zones: Sequence[TrainingSetup], *, seed: int) -> tuple[list[Floats], float]:
    """Forecasts of each zone by one training, target units, and the seconds it took."""
    from paretocast.search.models import MODELS
    from paretocast.training import forecast_positions
    from paretocast.training.setup import start_training

    started = time.perf_counter()
    training = start_training(zones[0], dict(MODELS[MODEL].default), seed=seed)
    training.advance(zones[0].budget_steps)
    seconds = time.perf_counter() - started
    forecasts = []
    with training.best_model() as model:
        for zone in zones:
            positions = np.concatenate([zone.task.issues[split] for split in SPLITS])
            scaled = forecast_positions(model, zone.source, positions)
            forecasts.append(zone.scaling.unscale(scaled))
    return forecasts, seconds


def loss(zone: TrainingSetup, forecast: Floats) -> float:
    """Mean pinball loss over all levels."""
    from paretocast.metrics.scores import pinball

    observed = np.concatenate([zone.task.observed(split) for split in SPLITS])
    return float(pinball(observed, forecast, levels=zone.task.shape.levels).mean())


def compare(names: Sequence[str], data_dir: Path, *, anchor: str, seeds: int) -> dict[str, Any]:
    """Losses of each zone by separate networks and by the pooled one, mean over seeds."""
    from paretocast.data.task import plan_task
    from paretocast.settings import TuneSettings
    from paretocast.training.pooling import pool_windows
    from paretocast.training.setup import TrainingSetup

    settings = TuneSettings.model_validate({"model": MODEL, "training": {"anchor": anchor}})
    datasets = [panel_dataset(name, data_dir) for name in names]
    zones = [
        TrainingSetup.from_settings(settings, plan_task(d.series, d.dates), device="cpu")
        for d in datasets
    ]
    pooled = pool_windows(zones, dict.fromkeys(names, ""))
    separate, together = np.zeros((2, seeds, len(zones)))
    seconds = np.zeros(2)
    for seed in range(seeds):
        forecasts, spent = trained_forecasts(pooled, seed=seed + 1)
        together[seed] = [loss(zone, f) for zone, f in zip(zones, forecasts, strict=True)]
        seconds[1] += spent
        for i, zone in enumerate(zones):
            forecasts, spent = trained_forecasts([zone], seed=seed + 1)
            separate[seed, i] = loss(zone, forecasts[0])
            seconds[0] += spent
    return {
        "separate": separate.mean(axis=0).tolist(),
        "pooled": together.mean(axis=0).tolist(),
        "seconds": (seconds / seeds).tolist(),
    }


def main() -> None:
    """Print one row for each zone, with and without an anchor."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--zones", nargs="+", default=ZONES)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    from paretocast.training import use_threads

    use_threads(arguments.threads)
    names = [f"bwdf_{zone}_{arguments.months}" for zone in arguments.zones]
    results = {
        anchor: compare(names, arguments.data_dir, anchor=anchor, seeds=arguments.seeds)
        for anchor in ("ridge", "none")
    }
    rows: list[list[object]] = []
    for anchor, result in results.items():
        ratios = np.divide(result["pooled"], result["separate"])
        for name, alone, pool, ratio in zip(
            names, result["separate"], result["pooled"], ratios, strict=True
        ):
            rows.append([name, anchor, alone, pool, float(ratio)])
        rows.append(["median", anchor, "", "", float(np.median(ratios))])
        rows.append(["worst", anchor, "", "", float(ratios.max())])
        rows.append(["seconds", anchor, *result["seconds"], ""])
    print_table(["series", "anchor", "separate", "pooled", "ratio"], rows)
    print_result({"results": results, "series": names, "seeds": arguments.seeds})


if __name__ == "__main__":
    main()
