"""What a study should recommend when its calibrate split holds few days.

    python experiments/short_calibrate.py STUDY... [--days 3 5 7 14]

Each study is a `best_params_*.json` of a search over several models. Of its calibrate split some
days in a row are kept, and the method is chosen from the losses on them alone, or on them and on
the tune split. The chosen method is then judged on the days that were not kept: the table shows
its mean pinball loss there over that of the best method, mean and worst over all studies and places
of the kept days, and how often it is more than a tenth above. Once with the average as the method
that stays unless another is better beyond chance, once with a poor one in its place, the mean by
weekday and hour. The test split is not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Losses = dict[str, NDArray[np.float64]]

PLACES = 6  # of the kept days in a calibrate split
PREFERRED = {"average": "ensemble", "poor method": "weekday_hour_mean"}
RULES = ("calibrate", "both")


def losses_of(path: Path) -> list[Losses]:
    """Mean pinball loss of each window by method, of the tune and the calibrate split."""
    from paretocast.results.stored_study import StoredStudy
    from paretocast.study.choice import contenders, window_losses
    from paretocast.study.trial_store import TrialStore

    study = StoredStudy.open(path)
    store = TrialStore(study.run)
    store.refresh()
    task = study.task()
    found = contenders(study.run, store.trainings, task=task, model=study.run.model)
    if found is None:
        raise SystemExit(f"{path}: no trial has forecasts")
    return [
        {name: window_losses(task, split, f) for name, f in found.forecasts(task, split).items()}
        for split in ("tune", "calibrate")
    ]


def ratios_by_rule(
    tune: Losses, calibrate: Losses, *, days: int, preferred: str
) -> list[tuple[float, ...]]:
    """Loss of the chosen method over the lowest, on days that were not kept, for each rule."""
    from paretocast.metrics.uncertainty import preferred_or_better

    names = [name for name in calibrate if preferred == "ensemble" or name != "ensemble"]
    n = len(calibrate[names[0]])
    if preferred not in names or n < days + 7:
        return []
    found = []
    for start in range(0, n - days + 1, max(1, (n - days) // PLACES)):
        kept = np.zeros(n, dtype=bool)
        kept[start : start + days] = True
        later = [float(np.nanmean(calibrate[name][~kept])) for name in names]
        alone = [calibrate[name][kept] for name in names]
        both = [np.concatenate([tune[name], calibrate[name][kept]]) for name in names]
        chosen = [preferred_or_better(losses, names.index(preferred)) for losses in (alone, both)]
        found.append(tuple(later[i] / min(later) for i in chosen))
    return found


def main() -> None:
    """Print a row for each number of days, method that stays, and rule."""
    parser = script_parser(__doc__)
    parser.add_argument("studies", nargs="+", type=Path)
    parser.add_argument("--days", nargs="+", type=int, default=[3, 5, 7, 14])
    arguments = parser.parse_args()
    losses = [losses_of(path) for path in arguments.studies]
    rows = []
    for stays, preferred in PREFERRED.items():
        for days in arguments.days:
            ratios = np.array(
                [
                    row
                    for tune, calibrate in losses
                    for row in ratios_by_rule(tune, calibrate, days=days, preferred=preferred)
                ]
            )
            for rule, column in zip(RULES, ratios.T, strict=True):
                far = 100.0 * float((column > 1.1).mean())
                rows.append([stays, days, rule, len(column), column.mean(), column.max(), far])
    header = ["stays", "days kept", "judged on", "choices", "mean", "worst", "> 10 % above, %"]
    print_table(header, rows)
    print_result({"rows": rows})


if __name__ == "__main__":
    main()
