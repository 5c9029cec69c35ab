import subprocess
import sys

import numpy as np
import pytest
import torch

from builders import make_task
from paretocast.search.models import MODELS
from paretocast.search.samplers import design_point
from paretocast.search.selection import TrialState
from paretocast.settings import TrainingSettings, TuneSettings
from paretocast.training.setup import TrainingSetup, start_training
from paretocast.training.size import step_cost, total_weights
from paretocast.training.trial import run_trial, trial_seed


def test_peak_memory_is_that_of_the_trial_and_not_of_an_earlier_one() -> None:
    # In a process of its own: what other tests have freed goes back to the system at any moment.
    program = (
        "import numpy as np\n"
        "from paretocast.training.memory import peak_memory_mib, reset_peak_memory\n"
        "reset_peak_memory()\n"
        "before = peak_memory_mib()\n"
        "block = np.ones(40 * 2**20, dtype=np.uint8)\n"
        "grown = peak_memory_mib() - before\n"
        "del block\n"
        "reset_peak_memory()\n"
        "print(grown, peak_memory_mib() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    grown, left = (float(word) for word in done.stdout.split())
    assert grown == pytest.approx(40.0, abs=5.0)
    assert left < 10.0


def test_seeds_differ_between_trials_and_between_studies() -> None:
    seeds = {trial_seed(study, number) for study in range(5) for number in range(50)}
    assert len(seeds) == 250


@pytest.mark.parametrize(
    ("model", "windows"), [("NHITS_Q", 128), ("TFT_Q", 32), ("TIMESNET_Q", 32)]
)
def test_the_batch_suits_the_model_unless_it_is_set(model: str, windows: int) -> None:
    for training, expected in ((TrainingSettings(), windows), (TrainingSettings(batch_size=7), 7)):
        setup = TrainingSetup.from_settings(
            TuneSettings(model=model, training=training), make_task(), device="cpu"
        )
        assert setup.batch_size == expected


def test_trials_that_correct_an_anchor_meet_no_rung_unless_it_is_asked_for() -> None:
    for training, expected in (
        (TrainingSettings(steps=90), 2),
        (TrainingSettings(steps=90, anchor="ridge"), 1),
        (TrainingSettings(steps=90, anchor="ridge", n_rungs=2), 2),
    ):
        setup = TrainingSetup.from_settings(
            TuneSettings(model="NHITS_Q", training=training), make_task(), device="cpu"
        )
        assert setup.rung_steps == (30, 90)[2 - expected :]


@pytest.mark.parametrize("model", ["NHITS_Q", "TFT_Q", "TIMESNET_Q"])
def test_what_a_step_costs_follows_the_weights_and_draws_no_random_number(model: str) -> None:
    setup = TrainingSetup.from_settings(
        TuneSettings(model=model, training=TrainingSettings()), make_task(), device="cpu"
    )
    configs = [design_point(MODELS[model].space, i, seed=5) for i in range(6)]
    before = torch.get_rng_state()
    costs = [step_cost(setup, config) for config in configs]
    assert torch.equal(torch.get_rng_state(), before)
    small = min(zip(costs, configs, strict=True), key=lambda pair: pair[0])[1]
    network = start_training(setup, small, seed=1).model
    n_weights = sum(weights.numel() for weights in network.parameters())
    assert min(costs) == pytest.approx(n_weights**0.6)
    assert max(costs) > 1.5 * min(costs)


def test_the_weights_of_a_config_are_those_of_all_its_seeds_and_of_what_they_see() -> None:
    setup = TrainingSetup.from_settings(
        TuneSettings(model="NHITS_Q", training=TrainingSettings(steps=4)), make_task(), device="cpu"
    )
    config = design_point(MODELS["NHITS_Q"].space, 0, seed=5)
    seen = {**config, "layer_widths": 256, "input_steps": 48, "weather": "off", "n_seeds": 2}
    network = start_training(setup.prepared(seen), seen, seed=1).model
    assert total_weights(setup, seen) == sum(weights.numel() for weights in network.parameters())
    assert np.isnan(total_weights(setup, {**seen, "layer_widths": -1}))
    assert np.isnan(total_weights(setup, {**seen, "input_steps": 10**6}))


def test_a_score_without_bounds_is_a_failure_and_no_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = TrainingSettings(steps=6, n_evaluations=2)
    setup = TrainingSetup.from_settings(
        TuneSettings(model="NHITS_Q", training=training), make_task(), device="cpu"
    )
    monkeypatch.setattr(
        "paretocast.training.trial.score_on_tune",
        lambda *_, **__: ({"mae": 1.0, "rmse": np.inf}, (0, 100)),
    )
    record = run_trial(setup, design_point(MODELS["NHITS_Q"].space, 0, seed=5), number=0, seed=1)
    assert record.state is TrialState.FAILED
    assert record.reason == "infinite at step 2: rmse"
    assert not record.scores


def test_what_cannot_be_built_costs_nobody_knows_what() -> None:
    setup = TrainingSetup.from_settings(
        TuneSettings(model="TFT_Q", training=TrainingSettings()), make_task(), device="cpu"
    )
    config = {**design_point(MODELS["TFT_Q"].space, 0, seed=5), "hidden_size": 0}
    assert np.isnan(step_cost(setup, config))
