"""Weights of the configs of the default spaces, and the memory that a training takes for them.

    python experiments/config_memory.py

For each network, `--configs` points of its default space on the demo series are counted on
PyTorch's `meta` device: how many have more weights, all seeds together, than `max_weights`. Then
N-HiTS of several sizes takes three steps and makes a checkpoint, each in a process of its own: the
memory beyond what the process had before, by weight.
"""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

import numpy as np
from harness import print_result, print_table, script_parser

if TYPE_CHECKING:
    from paretocast.search.space import Config, Space
    from paretocast.training.setup import TrainingSetup

MODELS = ("NHITS_Q", "TFT_Q", "TIMESNET_Q")
SIZES: tuple[Config, ...] = (
    {"layer_widths": 512},
    {"layer_widths": 1024},
    {"layer_widths": 1024, "n_seeds": 3},
)


def setup_of(model: str) -> tuple[TrainingSetup, Space]:
    """The setup of a default study on the demo series, and its space."""
    from paretocast.data import load_dataset
    from paretocast.data.task import Task
    from paretocast.settings import TuneSettings
    from paretocast.training.setup import TrainingSetup

    settings = TuneSettings(model=model, device="cpu")
    task = Task.from_settings(settings, dataset=load_dataset("demo"))
    return TrainingSetup.from_settings(settings, task), settings.space_of_model(model)


def weights(model: str, n_configs: int) -> list[float]:
    """Millions of weights of configs that fill the default space."""
    from paretocast.search.samplers import design_point
    from paretocast.training.size import total_weights

    setup, space = setup_of(model)
    configs = [design_point(space, index, seed=1) for index in range(n_configs)]
    return [total_weights(setup, config) / 1e6 for config in configs]


def memory(changes: Config) -> tuple[float, float, float]:
    """Millions of weights of a config of N-HiTS, MiB of its steps and at its checkpoint."""
    from paretocast.search.models import default_config
    from paretocast.training.memory import peak_memory_mib, reset_peak_memory
    from paretocast.training.setup import start_training
    from paretocast.training.size import total_weights

    setup, space = setup_of("NHITS_Q")
    config = {**(default_config("NHITS_Q", space) or {}), **changes}
    setup = setup.prepared(config)
    reset_peak_memory()
    before = peak_memory_mib()
    training = start_training(setup, config, seed=1)
    training.advance(3)
    steps = peak_memory_mib() - before
    training.checkpoint()
    return total_weights(setup, config) / 1e6, steps, peak_memory_mib() - before


def main() -> None:
    """Print both tables."""
    from paretocast.settings import TuneSettings

    parser = script_parser(__doc__)
    parser.add_argument("--configs", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="a few configs of one network")
    arguments = parser.parse_args()
    models: tuple[str, ...] = MODELS
    n_configs, sizes = arguments.configs, SIZES
    if arguments.quick:
        models, n_configs, sizes = MODELS[:1], 4, SIZES[:1]
    most, rows = TuneSettings().max_weights / 1e6, []
    figures: dict[str, dict[str, float]] = {}
    for model in models:
        counts = np.array(weights(model, n_configs))
        share = 100.0 * float(np.mean(counts > most))
        middle, high, largest = np.quantile(counts, [0.5, 0.9, 1.0])
        rows.append([model, n_configs, *(f"{v:.1f}" for v in (middle, high, largest, share))])
        figures[model] = {"median": middle, "largest": largest, "beyond": share}
    print_table(["network", "configs", "median M", "90 % M", "largest M", "beyond %"], rows)
    rows = []
    for changes in sizes:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            millions, steps, top = pool.apply(memory, (changes,))
        by_weight = top * 2**20 / (millions * 1e6)
        rows.append([str(changes), *(f"{v:.0f}" for v in (millions, steps, top, by_weight))])
        figures[str(changes)] = {"millions": millions, "steps": steps, "top": top}
    print_table(["N-HiTS", "M weights", "steps MiB", "checkpoint MiB", "bytes a weight"], rows)
    print_result(figures, seed=1)


if __name__ == "__main__":
    main()
