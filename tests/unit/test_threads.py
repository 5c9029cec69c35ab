"""CPU threads of a process that nobody has given a number of them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from threadpoolctl import threadpool_info

from builders import make_task
from paretocast.search.models import MODELS
from paretocast.settings import TrainingSettings, TuneSettings
from paretocast.study.parallel import available_cores, default_threads
from paretocast.training import forecast_positions, use_threads
from paretocast.training.setup import TrainingSetup, start_training

PRINT_POLICY = """
import os, sys
from paretocast.cli import main
try:
    main()
except SystemExit:
    print(os.environ["OMP_WAIT_POLICY"])
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No number of threads, no way of waiting, three cores."""
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 5}, raising=False)


def test_only_the_cores_that_the_process_may_use_count() -> None:
    assert available_cores() == 3


@pytest.mark.parametrize("policy", [None, "ACTIVE"])
def test_where_waiting_threads_spin_there_is_one(
    monkeypatch: pytest.MonkeyPatch, policy: str | None
) -> None:
    if policy is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    assert default_threads() == 1


@pytest.mark.parametrize("policy", ["PASSIVE", "passive"])
def test_where_waiting_threads_sleep_all_cores_are_used(
    monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    assert default_threads() == 3


@pytest.mark.parametrize(("stated", "expected"), [("7", 7), ("0", 3), ("", 3), ("many", 3)])
def test_a_number_in_the_environment_comes_first(
    monkeypatch: pytest.MonkeyPatch, stated: str, expected: int
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    assert default_threads() == expected


@pytest.mark.parametrize(("stated", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_the_command_line_lets_waiting_threads_sleep_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, stated: str | None, expected: str
) -> None:
    if stated is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", stated)
    command = [sys.executable, "-c", PRINT_POLICY, "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert answer.split()[-1] == expected


def test_linear_algebra_takes_as_many_threads_as_networks() -> None:
    before = torch.get_num_threads()
    try:
        for n_threads in (2, 1):
            use_threads(n_threads)
            used = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
            assert used == {n_threads}
            assert torch.get_num_threads() == n_threads
    finally:
        use_threads(before)


def test_one_and_two_threads_train_the_same_nhits() -> None:
    settings = TuneSettings(
        model="NHITS_Q", training=TrainingSettings(anchor="none", steps=6, n_evaluations=2)
    )
    setup = TrainingSetup.from_settings(settings, make_task(), device="cpu")
    before, forecasts = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2):
            use_threads(n_threads)
            training = start_training(setup, MODELS["NHITS_Q"].default, seed=1)
            training.advance(6)
            with training.best_model() as model:
                forecasts.append(forecast_positions(model, setup.source, setup.task.issues["tune"]))
    finally:
        use_threads(before)
    assert (forecasts[0] == forecasts[1]).all()
