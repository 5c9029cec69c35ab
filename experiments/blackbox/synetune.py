"""Syne Tune's MO-ASHA in an environment of its own, driven through its standard input.

`SyneTune` starts this file with another interpreter. There it imports Syne Tune and numpy alone
and answers one line of JSON with another: a new search, the next config, the results at a rung.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from blackbox.replay import Blackbox

    from paretocast.search.space import Config

READY = "ready"


class SyneTune:
    """Syne Tune beside us; one process serves one search after the other."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version = self.answer({"kind": "version"})

    def search(self, blackbox: Blackbox, seed: int) -> MoAsha:
        """A new search over the space of a black box, with all its rungs."""
        space = {name: [type(p).__name__, vars(p)] for name, p in blackbox.recording.space.items()}
        first, *_, last = blackbox.rung_steps
        order = {"space": space, "first": first, "last": last, "seed": seed}
        self.answer({"kind": "search", **order})
        return MoAsha(self, range(len(blackbox.rung_steps)), blackbox.rung_steps)

    def answer(self, message: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Answer of the process to a message."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(READY):
                return json.loads(line.removeprefix(READY))
        raise SystemExit("Syne Tune ended without an answer; what it said stands above")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


@dataclass
class MoAsha:
    """A strategy whose configs and decisions come from the process."""

    process: SyneTune
    rungs: Sequence[int]
    rung_steps: Sequence[int]

    def suggest(self, number: int) -> Config:
        config: Config = self.process.answer({"kind": "propose", "number": number})
        return config

    def goes_on(self, number: int, rung: int, values: tuple[float, ...]) -> bool:
        return bool(self._tell(number, rung, values))

    def ended(self, number: int, values: tuple[float, ...]) -> None:
        self._tell(number, len(self.rungs) - 1, values)

    def _tell(self, number: int, rung: int, values: tuple[float, ...]) -> Any:  # noqa: ANN401
        step = self.rung_steps[self.rungs[rung]]
        return self.process.answer(
            {"kind": "tell", "number": number, "step": step, "values": values}
        )


def domain(kind: str, bounds: dict[str, Any]) -> Any:  # noqa: ANN401 - not imported here
    """A range in Syne Tune's terms."""
    from syne_tune.config_space import choice, loguniform, randint, uniform

    if kind == "Choice":
        return choice(list(bounds["values"]))
    if kind == "IntRange":
        return randint(bounds["low"], bounds["high"])
    return (loguniform if bounds["log"] else uniform)(bounds["low"], bounds["high"])


def main() -> None:
    """Answer every message."""
    from datetime import datetime
    from importlib import metadata

    import numpy as np
    from syne_tune.backend.trial_status import Trial
    from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

    scheduler: Any = None
    trials: dict[int, Any] = {}
    for line in sys.stdin:
        message = json.loads(line)
        reply: Any = True
        if message["kind"] == "version":
            reply = metadata.version("syne-tune")
        elif message["kind"] == "search":
            np.random.seed(message["seed"] % 2**32)  # noqa: NPY002 - where it draws from
            trials = {}
            scheduler = MOASHA(
                {name: domain(*parameter) for name, parameter in message["space"].items()},
                metrics=["0", "1"],
                time_attr="step",
                max_t=message["last"],
                grace_period=message["first"],
                reduction_factor=3,
                random_seed=message["seed"] % 2**32,
            )
        elif message["kind"] == "propose":
            reply = scheduler.suggest().config
            trial = Trial(message["number"], reply, datetime.now())  # noqa: DTZ005 - not read
            trials[message["number"]] = trial
            scheduler.on_trial_add(trial)
        else:
            result = {"step": message["step"], "0": message["values"][0], "1": message["values"][1]}
            reply = scheduler.on_trial_result(trials[message["number"]], result) == "CONTINUE"
        print(READY, json.dumps(reply, default=lambda number: number.item()), flush=True)


if __name__ == "__main__":
    main()
