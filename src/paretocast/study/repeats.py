"""Repeats of trials with other seeds: the choice of the next one, and averages over seeds.

A config is worth what a fresh training of it is worth on average, so the scores of a trial are the
mean over its seeds. Trainings are repeated where that may change the result of a study: on the
front and among the trials that are tied with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from paretocast.search.selection import TrialState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.training.trial import TrialRecord

    Floats = NDArray[np.float64]

MAX_SEEDS = 3
SHARE = 0.2
FEWEST_FINISHED = 8
"""Trials that must have ended before one is repeated: the first fronts do not last."""

NORMAL_975 = 1.959964


@dataclass(frozen=True)
class RepeatCandidate:
    """A complete trial that may be trained again.

    Attributes
    ----------
    n_seeds : int
        Trainings of it that have ended, failed ones included, or are under way.
    front_probability : float
        Its chance to be on the front, see `pareto.front_probabilities`.
    on_front : bool
        Whether it is there as measured.
    """

    number: int
    n_seeds: int
    front_probability: float
    on_front: bool


def next_repeat(
    candidates: Sequence[RepeatCandidate],
    *,
    n_finished: int,
    steps_of_trials: int,
    steps_of_repeats: int,
    steps_of_next: int,
    max_seeds: int = MAX_SEEDS,
    share: float = SHARE,
) -> tuple[int, int] | None:
    """The trial to train again and the index of its new seed, or None if it is a new trial's turn.

    Parameters
    ----------
    candidates : sequence of RepeatCandidate
        The trials that are statistically tied for the front.
    n_finished : int
        Trials that have ended, repeats not counted.
    steps_of_trials, steps_of_repeats : int
        Gradient steps spent so far on trials and on repeats, those under way included.
    steps_of_next : int
        Gradient steps of a full training.
    max_seeds : int
        Trainings of a trial; 1 repeats nothing.
    share : float
        Most that repeats may take of all gradient steps, unitless, 0 to 1.

    Returns
    -------
    tuple of (trial number, seed index) or None
        Of the trials with the fewest trainings, the one that is most in doubt: its chance to be on
        the front is closest to one half. Then one of the front, then the oldest.

    Examples
    --------
    Ten trials took 4000 steps; a fifth of all steps may be repeats, so one of 1000 fits.

    >>> sure = RepeatCandidate(3, 1, 0.99, on_front=True)
    >>> unsure = RepeatCandidate(7, 1, 0.4, on_front=False)
    >>> spent = {"n_finished": 10, "steps_of_trials": 4000, "steps_of_next": 1000}
    >>> next_repeat([sure, unsure], **spent, steps_of_repeats=0)
    (7, 1)
    >>> next_repeat([sure, unsure], **spent, steps_of_repeats=1000) is None
    True
    """
    repeats = steps_of_repeats + steps_of_next
    # Whole numbers of steps: the last allowed repeat must not depend on rounding.
    affordable = repeats <= share * (steps_of_trials + repeats) + 0.5
    if n_finished < FEWEST_FINISHED or not affordable:
        return None
    repeatable = [candidate for candidate in candidates if candidate.n_seeds < max_seeds]
    if not repeatable:
        return None

    def urgency(candidate: RepeatCandidate) -> tuple[int, float, bool, int]:
        doubt = abs(candidate.front_probability - 0.5)
        return candidate.n_seeds, doubt, not candidate.on_front, candidate.number

    first = min(repeatable, key=urgency)
    return first.number, first.n_seeds


def plan_repeat(
    records: Sequence[TrialRecord],
    *,
    front_probability: Mapping[int, float],
    front: Collection[int],
    under_way: Collection[int] = (),
    steps_of_next: int,
    max_seeds: int = MAX_SEEDS,
    share: float = SHARE,
) -> tuple[int, int] | None:
    """The next repeat as `next_repeat` says, from the records of a study.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials and repeats that have ended.
    front_probability : mapping of number to chance
        Of the trials that are tied for the front, see `selection.front_probability`.
    front : collection of int
        Those of them that are on it as measured.
    under_way : collection of int
        Numbers of the trials whose repeats are being trained, once for each.
    """
    n_seeds: dict[int, int] = {}
    for number in [*(record.number for record in records), *under_way]:
        n_seeds[number] = n_seeds.get(number, 0) + 1
    repeats = [record.steps for record in records if record.seed_index > 0]
    return next_repeat(
        [
            RepeatCandidate(number, n_seeds[number], chance, on_front=number in front)
            for number, chance in front_probability.items()
        ],
        n_finished=sum(record.seed_index == 0 for record in records),
        steps_of_trials=sum(record.steps for record in records if record.seed_index == 0),
        steps_of_repeats=sum(repeats) + len(under_way) * steps_of_next,
        steps_of_next=steps_of_next,
        max_seeds=max_seeds,
        share=share,
    )


@dataclass(frozen=True)
class SeedSpread:
    """Changes of the scores with the seed alone, from the trials that were repeated.

    Attributes
    ----------
    residuals : mapping of score to ndarray of shape (E,)
        Difference of each training of a repeated trial to its trial's mean, enlarged so that the
        mean square is the variance between seeds. Entry e of every array is the same training.
    """

    residuals: Mapping[str, Floats]

    def variance(self, score: str) -> float:
        """Variance of a score between seeds, in its units squared; 0 without repeated trials."""
        residuals = self.residuals.get(score, np.empty(0))
        return float(np.square(residuals).mean()) if residuals.size else 0.0

    def shifts(
        self, scores: Collection[str], n_seeds: int, *, n_resamples: int, rng: np.random.Generator
    ) -> dict[str, Floats]:
        """Random errors of a mean over `n_seeds` trainings: residuals with random signs."""
        n_residuals = max((residuals.size for residuals in self.residuals.values()), default=0)
        if n_residuals == 0:
            return {score: np.zeros(n_resamples) for score in scores}
        entries = rng.integers(n_residuals, size=n_resamples)
        signs = rng.choice((-1.0, 1.0), size=n_resamples) / math.sqrt(n_seeds)
        return {score: signs * self.residuals[score][entries] for score in scores}


def seed_spread(records: Sequence[TrialRecord]) -> SeedSpread:
    """The spread between seeds, pooled over all trials that were trained more than once.

    One trial's two or three trainings say little about its own spread; together the repeated
    trials say enough about a common one.
    """
    residuals: dict[str, list[float]] = {}
    for trainings in complete_trainings(records).values():
        k = len(trainings)
        if k < 2:
            continue
        for score in trainings[0].scores:
            values = np.array([training.scores[score] for training in trainings])
            enlarged = math.sqrt(k / (k - 1)) * (values - values.mean())
            residuals.setdefault(score, []).extend(enlarged.tolist())
    return SeedSpread({score: np.array(values) for score, values in residuals.items()})


def average_over_seeds(records: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
    """One record per trial, whose scores are the mean over its complete trainings.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials (`seed_index` 0) and their repeats, in any order. A repeat that failed is no number
        and left out.

    Returns
    -------
    tuple of TrialRecord
        By number. Config, state, rungs and forecasts are those of the first training; scores and
        `picp_interval` are means, `n_seeds` says of how many, steps and seconds are sums. The
        standard errors hold both what resampled days and what another seed would change.

    Notes
    -----
    With k trainings of standard errors e_1 .. e_k from the same days and a variance v between
    seeds, pooled over all trials, the mean has the variance ``mean(e²) + v / k``: more seeds do
    not make the days more. The second part widens the interval of the coverage in the same way.
    """
    spread = seed_spread(records)
    complete = complete_trainings(records)
    scores = {score for trainings in complete.values() for score in trainings[0].scores}
    variances = {score: spread.variance(score) for score in scores}
    repeats: dict[int, list[TrialRecord]] = {}
    for record in records:
        if record.seed_index > 0:
            repeats.setdefault(record.number, []).append(record)
    averaged = []
    for record in sorted((r for r in records if r.seed_index == 0), key=lambda r: r.number):
        trial = _add_costs(record, repeats.get(record.number, []))
        if record.state is TrialState.COMPLETE:
            trial = _average_scores(trial, complete[record.number], variances)
        averaged.append(trial)
    return tuple(averaged)


def average_draws(
    draws: Sequence[Mapping[str, Floats]],
    spread: SeedSpread,
    *,
    rng: np.random.Generator,
) -> dict[str, Floats]:
    """Draws of a trial's mean scores, from the draws of each of its trainings on the same days.

    Empty if there are none, or if a training has none.
    """
    if not draws or not all(draws):
        return {}
    n_resamples = len(next(iter(draws[0].values())))
    shifts = spread.shifts(draws[0].keys(), len(draws), n_resamples=n_resamples, rng=rng)
    return {
        score: np.mean([training[score] for training in draws], axis=0) + shifts[score]
        for score in draws[0]
    }


def _average_scores(
    record: TrialRecord, trainings: Sequence[TrialRecord], variances: Mapping[str, float]
) -> TrialRecord:
    k = len(trainings)
    if k == 1:  # nearly every trial of a long study
        errors = {
            score: math.sqrt(error**2 + variances[score])
            for score, error in record.standard_errors.items()
            if score in variances
        }
        return replace(record, standard_errors=errors)
    errors = {
        score: math.sqrt(
            sum(t.standard_errors[score] ** 2 for t in trainings) / k + variances[score] / k
        )
        for score in record.standard_errors
        if score in variances and all(score in t.standard_errors for t in trainings)
    }
    return replace(
        record,
        scores={score: sum(t.scores[score] for t in trainings) / k for score in record.scores},
        standard_errors=errors,
        picp_interval=_mean_interval(trainings, variances["picp"]),
        n_seeds=k,
    )


def _mean_interval(trainings: Sequence[TrialRecord], variance: float) -> tuple[float, float] | None:
    """The interval of the mean coverage of several trainings, percent."""
    measured = [(t.scores["picp"], t.picp_interval) for t in trainings if t.picp_interval]
    k = len(measured)
    if k < len(trainings):
        return trainings[0].picp_interval
    middle = sum(picp for picp, _ in measured) / k
    below = sum(picp - low for picp, (low, _) in measured) / k
    above = sum(high - picp for picp, (_, high) in measured) / k
    seeds = NORMAL_975 * math.sqrt(variance / k)
    return (
        max(0.0, middle - math.hypot(below, seeds)),
        min(100.0, middle + math.hypot(above, seeds)),
    )


def complete_trainings(records: Sequence[TrialRecord]) -> dict[int, list[TrialRecord]]:
    """Complete trainings of each trial by its number, in order of their seeds."""
    complete: dict[int, list[TrialRecord]] = {}
    for record in sorted(records, key=lambda r: (r.number, r.seed_index)):
        if record.state is TrialState.COMPLETE:
            complete.setdefault(record.number, []).append(record)
    return complete


def _add_costs(record: TrialRecord, repeats: Sequence[TrialRecord]) -> TrialRecord:
    if not repeats:
        return record
    return replace(
        record,
        steps=record.steps + sum(repeat.steps for repeat in repeats),
        fit_seconds=record.fit_seconds + sum(repeat.fit_seconds for repeat in repeats),
    )
