"""Suggestion of the next config: from a queue, then a space-filling design, then a sampler.

A suggestion is a function of the study's seed, the trial's number and the other trials, so a study
that was interrupted goes on as if it had not been. The default sampler is in `mfgp`, the others are
Optuna's. None keeps a state: each suggestion shows a fresh one a study in memory.
Objectives are minimised.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.samplers import GPSampler, NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from scipy.stats.qmc import Sobol
from threadpoolctl import threadpool_limits

from paretocast.errors import SettingsError
from paretocast.search.samplers.mfgp import learn_cost, suggest
from paretocast.search.samplers.observation import best_first, was_tried
from paretocast.search.space import (
    DEFAULT_SAMPLER,
    check_sampler,
    config_at,
    parameter_ranges,
    suggest_config,
    trial_parameters,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

    from paretocast.search.samplers.gaussian_process import GaussianProcess
    from paretocast.search.samplers.observation import Observation
    from paretocast.search.space import Config, Space

# Trials that fill the space before a sampler learns; a Gaussian process makes do with few.
N_STARTUP_TRIALS, N_STARTUP_TRIALS_MFGP = 8, 4
# A population that leaves a budget of n trials some six generations, within what NSGA can live on.
GENERATIONS, SMALLEST_POPULATION, LARGEST_POPULATION = 6, 6, 50
# A child may be a copy of its parent: so often another one is asked for.
ATTEMPTS = 8
# So often another config is asked for in place of one that is too large.
ATTEMPTS_TO_FIT = 64
# The cost of a Gaussian process grows with the cube of the number of trials.
MOST_SCORED_FOR_GP = 100
# Trials without values: each costs Optuna's several times its own, ours adds them at once.
MOST_PENDING_FOR_GP = {"gp": 16, "mfgp": 150}
# Configs whose cost is asked for; it changes so smoothly that these tell the others'.
N_COSTS, COST_SEED = 24, 0


class _Shown(FrozenTrial):
    """A trial that a study takes in without copying or checking its content.

    Every suggestion shows thousands to a study that lives as long as the suggestion; copying them
    in depth took most of its time. They were checked when they were made.
    """

    @classmethod
    def of(cls, trial: FrozenTrial) -> Self:
        """The same trial, sharing its content."""
        shown = cls.__new__(cls)
        shown.__dict__.update(trial.__dict__)
        return shown

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self.of(self)

    def _validate(self) -> None:
        pass


class Sampler:
    """The order in which configs are tried.

    Parameters
    ----------
    sampler : str
        One of `SAMPLERS`.
    seed : int
        Of the study.
    n_trials : int
        What the study may spend in all; the population of the genetic samplers goes by it.
    queue : sequence of Config
        Configs of the first trials: the default config, fronts of earlier studies.
    cost : callable of Config to float, optional
        Cost of a trial of a config, relative to others; NaN where it is not known. `mfgp`
        divides the growth it expects by it. Without it all cost the same.
    fits : callable of Config to bool, optional
        False for a config that is too large to be proposed; without it none is. Those of the queue
        are not asked about.

    Raises
    ------
    SettingsError
        If the sampler is unknown.
    """

    def __init__(
        self,
        space: Space,
        *,
        n_objectives: int,
        sampler: str = DEFAULT_SAMPLER,
        seed: int,
        n_trials: int,
        queue: Sequence[Config] = (),
        cost: Callable[[Config], float] | None = None,
        fits: Callable[[Config], bool] = lambda _config: True,
    ) -> None:
        check_sampler(sampler)
        self._fits = fits
        self._cost = cost
        self._space = space
        self._n_objectives = n_objectives
        self._sampler = sampler
        self._seed = seed
        self._queue = tuple(queue)
        # Beside results of an earlier study, a design of its own: with the same seed and space
        # that study began with the same points, and some of them are in the queue.
        self._design_seed = seed if len(self._queue) <= 1 else _derived(seed, len(self._queue))
        self._population = population_size(n_trials)
        genetic = sampler in ("nsga2", "nsga3")
        few = N_STARTUP_TRIALS_MFGP if sampler == "mfgp" else N_STARTUP_TRIALS
        self._n_startup = self._population if genetic else few
        self._shown: dict[
            int, tuple[Observation, FrozenTrial]
        ] = {}  # the latest form of each trial

    def suggest(self, number: int, trials: Sequence[Observation]) -> Config:
        """The config of trial `number`.

        Parameters
        ----------
        trials : sequence of Observation
            The other trials, in any order.

        Raises
        ------
        SettingsError
            If all that is found in the space is too large.
        """
        if number < len(self._queue):
            return dict(self._queue[number])
        for attempt in range(ATTEMPTS_TO_FIT):
            config = self._proposed(number, trials, redraw=[attempt] if attempt else [])
            if self._fits(config):
                return config
        raise SettingsError(
            f"each of {ATTEMPTS_TO_FIT} configs of the space was too large, the last one "
            f"{config}: narrow the space, or raise max_weights"
        )

    def _proposed(
        self, number: int, trials: Sequence[Observation], *, redraw: Sequence[int]
    ) -> Config:
        """A config behind the queue; a redraw has a number of its own.

        The first are the sampler's, the others fill the space: a sampler may find nothing more
        promising than what is too large.
        """
        index = number - len(self._queue)
        n_scored = sum(trial.values is not None for trial in trials)
        # A long queue does not replace the design: it clusters where an earlier study looked.
        starting = n_scored < self._n_startup or index < self._n_startup // 2
        if self._sampler == "random":
            sampler = RandomSampler(seed=_derived(self._seed, number, *redraw))
            return self._ask(self._study([]), sampler)
        if starting or self._sampler == "qmc" or (redraw and redraw[0] >= ATTEMPTS):
            seed = _derived(self._design_seed, *redraw) if redraw else self._design_seed
            return design_point(self._space, index, seed=seed)
        if self._sampler == "mfgp":
            modelled = _worth_modelling(trials, MOST_PENDING_FOR_GP["mfgp"])
            # Several threads take longer for matrices this small, and add in another order.
            with threadpool_limits(1, user_api="blas"):
                return suggest(
                    self._space,
                    trials,
                    modelled,
                    seed=_derived(self._seed, number, *redraw),
                    log_cost=self._log_cost,
                    fits=self._fits,
                )
        if self._sampler == "tpe":
            study = self._study(self._frozen(trials))
        elif self._sampler == "gp":
            study = self._study(self._frozen(_worth_modelling(trials, MOST_PENDING_FOR_GP["gp"])))
        else:
            study = self._generations(trials)
        for attempt in range(ATTEMPTS):
            seed = _derived(self._seed, number, attempt, *redraw)
            config = self._ask(study, self._learning(seed))
            if not was_tried(config, trials):
                break
        return config

    @cached_property
    def _log_cost(self) -> GaussianProcess | None:
        """A process of the cost, from a few configs: a suggestion has hundreds of candidates."""
        if self._cost is None:
            return None
        configs = [design_point(self._space, i, seed=COST_SEED) for i in range(N_COSTS)]
        return learn_cost(self._space, configs, [self._cost(config) for config in configs])

    def _learning(self, seed: int) -> BaseSampler:
        """The sampler of the study in the state of a seed."""
        if self._sampler == "tpe":
            return TPESampler(seed=seed, n_startup_trials=1)
        if self._sampler == "gp":
            return GPSampler(seed=seed, n_startup_trials=1, warn_independent_sampling=False)
        return self._genetic(seed)

    def _generations(self, trials: Sequence[Observation]) -> optuna.Study:
        """A study that knows the parents of every generation up to the newest.

        Optuna keeps the generation with the trial and the parents of each generation with the
        study. Both are made anew: every `population` trials with values, by number, are a
        generation, and the selection of each is repeated with the same random state.
        """
        scored = [trial for trial in _by_number(trials) if trial.values is not None]
        key = type(self._genetic(0))._get_generation_key()  # noqa: SLF001  (no public way)
        frozen = [
            self._frozen_trial(trial, {key: index // self._population})
            for index, trial in enumerate(scored)
        ]
        study = self._study(frozen)
        for generation in range(1, len(scored) // self._population + 1):
            seed = _derived(self._seed, generation)
            self._genetic(seed).get_parent_population(study, generation)  # stays in the study
        return study

    def _genetic(self, seed: int) -> NSGAIISampler | NSGAIIISampler:
        if self._sampler == "nsga2":
            return NSGAIISampler(population_size=self._population, seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return NSGAIIISampler(population_size=self._population, seed=seed)

    def _ask(self, study: optuna.Study, sampler: BaseSampler) -> Config:
        study.sampler = sampler
        return suggest_config(study.ask(), self._space)

    def _study(self, trials: Sequence[FrozenTrial]) -> optuna.Study:
        study = optuna.create_study(
            directions=["minimize"] * self._n_objectives, sampler=RandomSampler(seed=0)
        )
        study.add_trials(trials)
        return study

    def _frozen(self, trials: Sequence[Observation]) -> list[FrozenTrial]:
        for trial in trials:
            if trial.number not in self._shown or self._shown[trial.number][0] != trial:
                self._shown[trial.number] = trial, self._frozen_trial(trial, {})
        return [self._shown[trial.number][1] for trial in _by_number(trials)]

    def _frozen_trial(self, trial: Observation, attributes: dict[str, Any]) -> FrozenTrial:
        """The trial in Optuna's form.

        A pruned one is shown as complete with its last values: Optuna's samplers rank pruned trials
        by a single reported number, which a study with several objectives does not have.
        """
        parameters = trial_parameters(trial.config, self._space)
        trial_of_study = optuna.trial.create_trial(
            state=OptunaState.RUNNING if trial.values is None else OptunaState.COMPLETE,
            params=dict(parameters),
            distributions=_distributions(self._space, trial.config),
            values=trial.values,
            system_attrs=attributes,
            constraints={str(i): v for i, v in enumerate(trial.violations)} or None,
        )
        return _Shown.of(trial_of_study)


def population_size(n_trials: int) -> int:
    """Trials of a generation that leave a budget several generations.

    >>> population_size(20), population_size(50), population_size(1000)
    (6, 8, 50)
    """
    return min(LARGEST_POPULATION, max(SMALLEST_POPULATION, n_trials // GENERATIONS))


def design_point(space: Space, index: int, *, seed: int) -> Config:
    """A config of a scrambled Sobol sequence over the space.

    Any prefix of the sequence fills the space evenly, and a point does not depend on the ones
    before it: workers that take numbers from one count share one design.
    """
    sequence = Sobol(len(space), scramble=True, rng=np.random.default_rng(seed))
    if index > 0:
        sequence.fast_forward(index)
    return config_at(space, sequence.random(1)[0].tolist())


def _by_number(trials: Sequence[Observation]) -> list[Observation]:
    return sorted(trials, key=lambda trial: trial.number)


def _worth_modelling(trials: Sequence[Observation], most_pending: int) -> list[Observation]:
    """The trials that a Gaussian process is shown, where there are many.

    Of those with values the better half by merit and the others spread over time; of those without,
    which run or have failed, the last.
    """
    scored = [trial for trial in _by_number(trials) if trial.values is not None]
    pending = [trial for trial in _by_number(trials) if trial.values is None]
    if len(scored) > MOST_SCORED_FOR_GP:
        order = best_first(scored)
        n_best = MOST_SCORED_FOR_GP // 2
        rest = np.sort(order[n_best:])
        spread = rest[
            np.linspace(0, len(rest) - 1, MOST_SCORED_FOR_GP - n_best).round().astype(int)
        ]
        scored = [scored[i] for i in sorted({*order[:n_best].tolist(), *spread.tolist()})]
    return scored + pending[-most_pending:]


def _distributions(space: Space, config: Config) -> dict[str, BaseDistribution]:
    ranges = parameter_ranges(space, config)
    return {name: parameter.distribution() for name, parameter in ranges.items()}


def _derived(*parts: int) -> int:
    """A seed of 32 bits from several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
