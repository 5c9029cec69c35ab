"""One network for all zones against one for each, on the seven zones of BWDF.

    python experiments/pooling.py --data-dir DATA [--months 12] [--seeds 2] [--zones a b]

The pooled network learns from the windows of all zones, each scaled by itself and with an anchor of
its own, and is told the zone by a column for each. It stops by the stop splits of all zones. Each
zone has its default budget; the pooled network has that of all windows together, which its upper
bound cuts. Scores are of the tune and calibrate splits: the test split is not read. Ratios are of
mean pinball losses over all levels, before calibration, mean over seeds.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import print_result, print_table, script_parser
from panel_series import ZONES, panel_dataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.models.anchor import Anchor
    from paretocast.training.setup import TrainingSetup

    Floats = NDArray[np.float64]

MODEL = "NHITS_Q"
SPLITS = ("tune", "calibrate")
MONTHS_PER_YEAR = 12


def pooled(setups: Sequence[TrainingSetup]) -> tuple[TrainingSetup, list[int]]:
    """The setup of all zones laid one after the other, and the first position of each."""
    from paretocast.data.scaling import scale_task
    from paretocast.training.setup import window_source

    arrays = [scale_task(s.task, s.scaling.transform)[0] for s in setups]
    lengths = [len(part.history) for part in arrays]
    starts = [0, *np.cumsum(lengths)[:-1].tolist()]
    known = [
        np.hstack([part.known, np.tile(np.eye(len(setups))[i], (len(part.known), 1))])
        for i, part in enumerate(arrays)
    ]
    together = replace(
        arrays[0],
        history=np.concatenate([part.history for part in arrays]),
        history_mask=np.concatenate([part.history_mask for part in arrays]),
        observed_mask=np.concatenate([part.observed_mask for part in arrays]),
        past=np.concatenate([part.past for part in arrays]),
        known=np.concatenate(known).astype(np.float32),
    )
    anchors = [setup.source.anchor for setup in setups]
    anchor = None if None in anchors else _joined(anchors, starts)  # type: ignore[arg-type]
    issues = {
        split: np.concatenate(
            [s.task.issues[split] + at for s, at in zip(setups, starts, strict=True)]
        )
        for split in ("train", "stop")
    }
    task = replace(setups[0].task, issues=issues)
    source = window_source(task, together, anchor, device="cpu")
    return replace(setups[0], task=task, source=source), starts


def _joined(anchors: Sequence[Anchor], starts: Sequence[int]) -> Anchor:
    pairs = list(zip(anchors, starts, strict=True))
    return replace(
        anchors[0],
        positions=np.concatenate([anchor.positions + at for anchor, at in pairs]),
        points=np.concatenate([anchor.points for anchor, _ in pairs]),
        spread=np.concatenate([anchor.spread for anchor, _ in pairs]),
        group=np.concatenate(
            [anchor.group + MONTHS_PER_YEAR * i for i, (anchor, _) in enumerate(pairs)]
        ),
    )


def trained_forecasts(
    setup: TrainingSetup, zones: Sequence[TrainingSetup], starts: Sequence[int], *, seed: int
) -> tuple[list[Floats], float]:
    """Forecasts of each zone by one training, target units, and the seconds it took."""
    from paretocast.search.models import MODELS
    from paretocast.training import forecast_positions
    from paretocast.training.setup import start_training

    started = time.perf_counter()
    training = start_training(setup, dict(MODELS[MODEL].default), seed=seed)
    training.advance(setup.budget_steps)
    seconds = time.perf_counter() - started
    forecasts = []
    with training.best_model(training.correction_share) as model:
        for zone, start in zip(zones, starts, strict=True):
            positions = np.concatenate([zone.task.issues[split] for split in SPLITS]) + start
            scaled = forecast_positions(model, setup.source, positions)
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
    from paretocast.training.setup import TrainingSetup

    settings = TuneSettings.model_validate({"model": MODEL, "training": {"anchor": anchor}})
    datasets = [panel_dataset(name, data_dir) for name in names]
    zones = [
        TrainingSetup.from_settings(settings, plan_task(d.series, d.dates), device="cpu")
        for d in datasets
    ]
    setup, starts = pooled(zones)
    separate, together = np.zeros((2, seeds, len(zones)))
    seconds = np.zeros(2)
    for seed in range(seeds):
        forecasts, spent = trained_forecasts(setup, zones, starts, seed=seed + 1)
        together[seed] = [loss(zone, f) for zone, f in zip(zones, forecasts, strict=True)]
        seconds[1] += spent
        for i, zone in enumerate(zones):
            forecasts, spent = trained_forecasts(zone, [zone], [0], seed=seed + 1)
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
