"""Scores of the references on the published test windows: they prove that the windows are the same.

    python benchmarks/reference_table.py --data-dir DATA

The seasonal-naive MAE of a correct implementation is 0.1930 (heat), 4.821e-3 (water_centrum) and
8.658e-3 (water_tommerby).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import print_result, print_table

from paretocast.datasets import load_dataset
from paretocast.models.references import REFERENCES, forecast_reference
from paretocast.scores import score_forecast
from paretocast.task import plan_task

DATASETS = ("heat", "water_centrum", "water_tommerby")
SCORES = ("mae", "rmse", "picp", "mean_width", "pinball", "winkler")


def score_references(name: str, data_dir: Path | None) -> dict[str, dict[str, float]]:
    """Scores of every reference on the test split of a data set."""
    dataset = load_dataset(name, data_dir=data_dir, covariates=[])
    task = plan_task(dataset.series, dataset.dates, with_test=True)
    scores = {}
    for reference in REFERENCES:
        forecast = forecast_reference(
            reference,
            task.series.values,
            task.issues["test"],
            horizon_steps=task.shape.horizon_steps,
            levels=task.shape.levels,
        )
        scores[reference] = score_forecast(
            task.observed("test"), forecast, levels=task.shape.levels
        )
    return scores


def main() -> None:
    """Print the table of all data sets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds anyway")
    arguments = parser.parse_args()
    figures = {name: score_references(name, arguments.data_dir) for name in DATASETS}
    print_table(
        ["data set", "reference", "n", *SCORES],
        [
            [name, reference, int(scores["n"]), *(scores[score] for score in SCORES)]
            for name, references in figures.items()
            for reference, scores in references.items()
        ],
    )
    print_result({"scores": figures})


if __name__ == "__main__":
    main()
