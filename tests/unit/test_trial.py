import numpy as np
import pytest

from builders import make_task
from paretocast.settings import TrainingSettings
from paretocast.trial import peak_memory_mib, prepare_bench, reset_peak_memory, trial_seed


def test_peak_memory_is_that_of_the_trial_and_not_of_an_earlier_one() -> None:
    reset_peak_memory()
    before = peak_memory_mib()
    block = np.ones(40 * 2**20, dtype=np.uint8)
    assert peak_memory_mib() - before == pytest.approx(40.0, abs=5.0)
    del block
    reset_peak_memory()
    assert peak_memory_mib() - before < 10.0


def test_seeds_differ_between_trials_and_between_studies() -> None:
    seeds = {trial_seed(study, number) for study in range(5) for number in range(50)}
    assert len(seeds) == 250


@pytest.mark.parametrize(
    ("model", "windows"), [("NHITS_Q", 128), ("TFT_Q", 32), ("TIMESNET_Q", 32)]
)
def test_the_batch_suits_the_model_unless_it_is_set(model: str, windows: int) -> None:
    for training, expected in ((TrainingSettings(), windows), (TrainingSettings(batch_size=7), 7)):
        bench = prepare_bench(
            make_task(), model=model, training=training, target_coverage=80.0, device="cpu"
        )
        assert bench.batch_size == expected


def test_trials_that_correct_an_anchor_meet_no_rung_unless_it_is_asked_for() -> None:
    for training, expected in (
        (TrainingSettings(steps=90), 2),
        (TrainingSettings(steps=90, anchor="ridge"), 1),
        (TrainingSettings(steps=90, anchor="ridge", n_rungs=2), 2),
    ):
        bench = prepare_bench(
            make_task(), model="NHITS_Q", training=training, target_coverage=80.0, device="cpu"
        )
        assert bench.rung_steps == (30, 90)[2 - expected :]
