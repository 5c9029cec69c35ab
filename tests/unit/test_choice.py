"""The method that a study recommends, where its calibrate split is long and where it is short."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from paretocast.study import choice
from paretocast.study.choice import FEW_WINDOWS, Contenders, choose_method

LEVELS = (0.1, 0.5, 0.9)
SPREAD = np.array([-1.28, 0.0, 1.28])


class FewDays:
    """A task of which the calibrate split holds so many windows."""

    shape = SimpleNamespace(levels=LEVELS)

    def __init__(self, windows: int) -> None:
        rng = np.random.default_rng(3)
        self._observed = {
            "tune": rng.normal(size=(60, 24)),
            "calibrate": rng.normal(size=(windows, 24)),
        }

    def observed(self, split: str) -> np.ndarray:
        return self._observed[split]


@dataclass(frozen=True)
class TwoMethods(Contenders):
    """An average that training has failed, lucky on the first days of calibrate, and a ridge."""

    def forecasts(self, task: Any, split: str) -> dict[str, np.ndarray]:  # noqa: ANN401
        n = len(task.observed(split))
        ridge = np.tile(SPREAD, (n, 24, 1))
        offset = np.resize([0.0, 0.1, 5.0, 0.0], n) if split == "calibrate" else np.full(n, 2.0)
        return {"ensemble": ridge + offset[:, None, None], "ridge": ridge}


def chosen(windows: int, monkeypatch: pytest.MonkeyPatch) -> choice.Choice:
    found = TwoMethods(offered={}, best={}, members=((0, 0.5), (1, 0.5)), models={0: "A", 1: "B"})
    monkeypatch.setattr(choice, "contenders", lambda *_, **__: found)
    task: Any = FewDays(windows)
    made = choose_method(None, [], task=task, model="A", target_coverage=80.0)  # type: ignore[arg-type]
    assert made is not None
    return made


def test_few_days_do_not_keep_an_average_that_the_tune_split_knows_to_be_poor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = chosen(4, monkeypatch)
    assert short.method == "ridge"
    assert short.judged_on == ("tune", "calibrate")
    assert "the tune split was counted too" in short.grounds
    monkeypatch.setattr(choice, "FEW_WINDOWS", 0)
    assert chosen(4, monkeypatch).method == "ensemble"  # four days alone cannot tell


def test_the_losses_are_those_of_the_calibrate_split(monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = chosen(FEW_WINDOWS - 4, monkeypatch), chosen(FEW_WINDOWS, monkeypatch)
    assert long.judged_on == ("calibrate",)
    assert "not used to select" in long.grounds
    assert short.losses["ensemble"] == pytest.approx(long.losses["ensemble"], rel=0.1)
    assert short.as_json()["judged_on"] == ["tune", "calibrate"]
