"""Linear regression of every step ahead on what is known at the issue: the ridge of the package.

In its reference form it is the baseline `ridge`; the mean of forms that suit a series is the anchor
that networks correct (`anchor`) and the model `RIDGE`. It learns from windows issued within a few
hours of the daily issue: there a lag is nearly always the same hour of the day, so its coefficients
know the shape of the day.

A form says what the regression sees and how strongly it is penalised. It is chosen for each series
by cross-validation on its train period: by the mean absolute error, at the hour of issue, on
fifths of the period that were left out. N windows, F columns, H steps; scaled units.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.calendar import DAYS_PER_YEAR
from paretocast.data.task import daily_positions
from paretocast.errors import DataError
from paretocast.models.linear_table import FULL, LinearForm, LinearTable
from paretocast.steps import hours_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from paretocast.data.task import Task

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]

# Hours around the issue hour that are learned from: of 3, 6 and 12 these had the lowest MAE, or one
# within 1 % of it, on the tune splits of heat and water_centrum.
HOURS_BESIDE = 3
MOST_MISSING_SHARE = 0.125  # of a window's horizon; the rest of it is filled from the past
FEWEST_WINDOWS = 50
N_FOLDS = 5
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
# Yearly terms need a second year: from one alone they learn one winter and one summer.
YEARS_FOR_YEARLY_TERMS = 1.95


@dataclass(frozen=True)
class LinearModel:
    """A fitted regression.

    Attributes
    ----------
    center : ndarray of shape (F,)
        Means of the columns over the windows it was learned from.
    weights : ndarray of shape (F + 1, H)
        Of the centred columns; the last row is the intercept.
    fold_weights : ndarray of shape (N_FOLDS, F + 1, H)
        The same, learned without one fold of the windows.
    first, last : int
        Positions of the first and the last window that was learned from.
    """

    form: LinearForm
    center: Floats
    weights: Floats
    fold_weights: Floats
    first: int
    last: int

    def points(self, table: LinearTable, positions: Positions) -> Floats:
        """Forecasts at issue positions, (N, H), by the regression on all windows."""
        return self._forecast(table, positions, self.weights)

    def cross_fitted(self, table: LinearTable, positions: Positions) -> Floats:
        """Forecasts at issue positions, (N, H).

        Those of a window inside the learned period come from a regression that has not learned
        from its fold: its errors are those of later windows.
        """
        points = self.points(table, positions)
        folds = _folds(positions, self.first, self.last)
        for fold in range(N_FOLDS):
            if (inside := folds == fold).any():
                points[inside] = self._forecast(table, positions[inside], self.fold_weights[fold])
        return points

    def _forecast(self, table: LinearTable, positions: Positions, weights: Floats) -> Floats:
        columns = table.columns(self.form, positions) - self.center
        points = columns @ weights[:-1] + weights[-1]
        return np.asarray(points + table.level(positions) if self.form.level else points)


@dataclass(frozen=True)
class LinearMean:
    """The weighted mean of regressions of different forms.

    Which of several good forms is best changes from one part of a series to the next; the mean is
    never the worst of them and mostly near the best.

    Attributes
    ----------
    weights : tuple of float
        Of the members; they add up to 1.
    """

    members: tuple[LinearModel, ...]
    weights: tuple[float, ...] = (1.0,)

    @property
    def forms(self) -> tuple[LinearForm, ...]:
        """Forms of the members."""
        return tuple(member.form for member in self.members)

    @property
    def label(self) -> str:
        """The forms in a few words."""
        if len(self.members) == 1:
            return self.forms[0].label
        pairs = zip(self.weights, self.forms, strict=True)
        return " + ".join(f"{weight:.1f} × {form.label}" for weight, form in pairs)

    @property
    def lags(self) -> int:
        """Steps of history among the columns, alike in all members."""
        return self.forms[0].lags

    @property
    def history_steps(self) -> int:
        """Steps before an issue that the columns read."""
        return max(form.history_steps for form in self.forms)

    def learned(self, positions: Positions) -> Positions:
        """Those of the positions that lie in the period which all members have learned from."""
        first = max(member.first for member in self.members)
        last = min(member.last for member in self.members)
        return positions[(positions >= first) & (positions <= last)]

    def points(self, table: LinearTable, positions: Positions) -> Floats:
        """Forecasts at issue positions, (N, H), by the regressions on all windows."""
        return self._mean([m.points(table, positions) for m in self.members])

    def refitted(self, fit: Callable[[LinearForm], LinearModel]) -> LinearMean:
        """The mean of the same forms with the same weights, each fitted anew."""
        return LinearMean(tuple(fit(form) for form in self.forms), self.weights)

    def cross_fitted(self, table: LinearTable, positions: Positions) -> Floats:
        """Forecasts at issue positions, (N, H); see `LinearModel.cross_fitted`."""
        return self._mean([m.cross_fitted(table, positions) for m in self.members])

    def _mean(self, parts: list[Floats]) -> Floats:
        return np.asarray(np.tensordot(self.weights, parts, axes=1))


def weigh(table: LinearTable, members: Sequence[LinearModel]) -> LinearMean:
    """The mean with the weights, in tenths, that make its cross-validated error the lowest.

    The error is the mean absolute one at the hour of issue, of windows that the regressions have
    not learned from (stacking: Wolpert 1992, Neural Networks 5, 241-259; Breiman 1996, Machine
    Learning 24, 49-64). A member without weight is left out.
    """
    task = table.task
    equal = LinearMean(tuple(members), (1.0 / len(members),) * len(members))
    positions = equal.learned(daily_positions(task.series.index, task.shape))
    hours = positions[:, None] + np.arange(task.shape.horizon_steps)
    observed = table.scaling.scale(task.series.values[hours])
    there = ~np.isnan(observed)
    if not there.any():
        return equal
    parts = [member.cross_fitted(table, positions)[there] for member in members]
    best, lowest = equal.weights, np.inf
    for weights in _tenths(len(members)):
        error = float(np.abs(np.tensordot(weights, parts, axes=1) - observed[there]).mean())
        if error < lowest:
            best, lowest = weights, error
    used = [i for i, weight in enumerate(best) if weight > 0.0]
    return LinearMean(tuple(members[i] for i in used), tuple(best[i] for i in used))


def _tenths(n_members: int) -> list[tuple[float, ...]]:
    """All weights in tenths that add up to 1."""
    counts = itertools.product(range(11), repeat=n_members - 1)
    within = (count for count in counts if sum(count) <= 10)
    return [(*(c / 10 for c in count), (10 - sum(count)) / 10) for count in within]


@dataclass
class _Sums:
    """Sums of products by fold, of the windows to learn from, for one choice of `level`."""

    columns: Floats  # (N, F + 1), centred, the last one is 1
    outcomes: Floats  # (N, H)
    center: Floats
    folds: Positions
    squares: Floats = field(init=False)  # (N_FOLDS, F + 1, F + 1)
    products: Floats = field(init=False)  # (N_FOLDS, F + 1, H)
    _others: dict[bytes, list[tuple[Floats, Floats]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        parts = [self.columns[self.folds == fold] for fold in range(N_FOLDS)]
        self.squares = np.array([part.T @ part for part in parts])
        self.products = np.array(
            [part.T @ self.outcomes[self.folds == f] for f, part in enumerate(parts)]
        )

    def fold_weights(self, kept: Positions, penalty: float) -> Floats:
        """Weights (N_FOLDS, F', H) of the kept columns, each learned without one fold."""
        return np.array([_solve(*sums, penalty) for sums in self._without_each_fold(kept)])

    def _without_each_fold(self, kept: Positions) -> list[tuple[Floats, Floats]]:
        """Squares (F', F') and products (F', H) of the kept columns without each of the folds."""
        known = kept.tobytes()
        if known not in self._others:
            squares, products = self.squares.sum(axis=0), self.products.sum(axis=0)
            grid = np.ix_(kept, kept)
            self._others[known] = [
                ((squares - of_fold)[grid], (products - self.products[fold])[kept])
                for fold, of_fold in enumerate(self.squares)
            ]
        return self._others[known]

    def weights(self, kept: Positions, penalty: float) -> Floats:
        """Weights (F', H) of the kept columns, learned from all windows."""
        squares, products = self.squares.sum(axis=0), self.products.sum(axis=0)
        return _solve(squares[np.ix_(kept, kept)], products[kept], penalty)

    def error(self, kept: Positions, fold_weights: Floats, counted: NDArray[np.bool_]) -> float:
        """Mean absolute error of the counted windows, each by a fit without its fold."""
        total, number = 0.0, 0
        for fold, weights in enumerate(fold_weights):
            inside = counted & (self.folds == fold)
            errors = self.columns[np.ix_(inside, kept)] @ weights - self.outcomes[inside]
            total, number = total + float(np.abs(errors).sum()), number + errors.size
        return total / number if number else np.inf


class _Fitter:
    """The windows of a table that may be learned from, and regressions on them."""

    def __init__(self, table: LinearTable, blocks: Sequence[str], positions: Positions) -> None:
        self.table, self.blocks, self.positions = table, tuple(blocks), positions
        self._sums: dict[bool, _Sums] = {}
        self._errors: dict[LinearForm, float] = {}
        daily = daily_positions(table.task.series.index, table.task.shape)
        self._daily = np.isin(positions, daily)

    def best(self, form: LinearForm) -> LinearForm:
        """The form with the penalty, and without the blocks, that make its error the lowest."""
        form = self._best_of([replace(form, penalty=penalty) for penalty in PENALTIES])
        without = [
            replace(form, blocks=tuple(name for name in form.blocks if name != dropped))
            for dropped in ("weeks", "year")
            if dropped in form.blocks
        ]
        form = self._best_of([form, *without])
        near = np.abs(np.log(np.array(PENALTIES) / form.penalty)) < 1.3
        return self._best_of([replace(form, penalty=p) for p in np.array(PENALTIES)[near].tolist()])

    def _best_of(self, forms: Sequence[LinearForm]) -> LinearForm:
        new = [form for form in forms if form not in self._errors]
        self._errors.update({form: self._error(form) for form in new})
        return min(forms, key=lambda form: self._errors[form])

    def _error(self, form: LinearForm) -> float:
        """Cross-validated mean absolute error of a form at the hour of issue."""
        sums, kept = self.sums(form.level), self._kept(form)
        return sums.error(kept, sums.fold_weights(kept, form.penalty), self._daily)

    def fit(self, form: LinearForm) -> LinearModel:
        """The regression of a form."""
        sums, kept = self.sums(form.level), self._kept(form)
        return LinearModel(
            form=form,
            center=sums.center[kept[:-1]],
            weights=sums.weights(kept, form.penalty),
            fold_weights=sums.fold_weights(kept, form.penalty),
            first=int(self.positions[0]),
            last=int(self.positions[-1]),
        )

    def sums(self, level: bool) -> _Sums:  # noqa: FBT001  (the key of a cache)
        """Sums of products with or without the level taken off."""
        if level not in self._sums:
            form = replace(_empty_form(self.table), blocks=self.blocks, level=level)
            columns = self.table.columns(form, self.positions)
            center = columns.mean(axis=0)
            outcomes = self.table.outcomes(self.positions)
            if level:
                outcomes = outcomes - self.table.level(self.positions)
            self._sums[level] = _Sums(
                columns=np.hstack([columns - center, np.ones((len(columns), 1))]),
                outcomes=outcomes,
                center=center,
                folds=_folds(self.positions, int(self.positions[0]), int(self.positions[-1])),
            )
        return self._sums[level]

    def _kept(self, form: LinearForm) -> Positions:
        """Columns of a form among those of all blocks, and the intercept."""
        kept: list[int] = []
        start = 0
        for name in self.blocks:
            width = self.table.block(name, self.positions[:1]).shape[1]
            if name in form.blocks:
                kept.extend(range(start, start + width))
            start += width
        return np.array([*kept, start], dtype=np.intp)


def _empty_form(table: LinearTable) -> LinearForm:
    """A form without blocks, of a table's lags and step."""
    return LinearForm((), lags=table.lags, steps_per_day=table.task.shape.steps_per_day)


def fit_form(
    table: LinearTable, form: LinearForm, *, until: int | None = None, share: float = 1.0
) -> LinearModel:
    """The regression of a given form; see `choose_forms` for the parameters.

    Raises
    ------
    DataError
        If there are too few windows.
    """
    positions = windows_to_learn(table.task, form.history_steps, until=until, share=share)
    return _Fitter(table, form.blocks, positions).fit(form)


def choose_forms(
    table: LinearTable,
    blocks: Sequence[str] = FULL,
    *,
    until: int | None = None,
    share: float = 1.0,
    penalty_factor: float = 1.0,
) -> tuple[LinearModel, LinearModel]:
    """Two regressions, without and with last week's level, each in its best form.

    The penalty is found with all blocks; then each of weeks and yearly terms is dropped where that
    lowers the error, and the penalty is found again.

    Parameters
    ----------
    blocks : sequence of str
        Blocks to choose from.
    until : int, optional
        Position after the last hour that may be learned from; the end of the train period
        without it.
    share : float
        Share of the past to learn from, the newest, 0 to 1.
    penalty_factor : float
        The penalty that was found is multiplied by it.

    Raises
    ------
    DataError
        If there are too few windows.
    """
    task = table.task
    form = replace(_empty_form(table), blocks=tuple(blocks))
    positions = windows_to_learn(task, form.history_steps, until=until, share=share)
    blocks = tuple(name for name in blocks if table.block(name, positions[:1]).size)
    years = (positions[-1] - positions[0]) / (DAYS_PER_YEAR * task.shape.steps_per_day)
    if years < YEARS_FOR_YEARLY_TERMS:
        blocks = tuple(name for name in blocks if name != "year")
    fitter = _Fitter(table, blocks, positions)

    def fitted(*, level: bool) -> LinearModel:
        best = fitter.best(replace(form, blocks=blocks, level=level))
        return fitter.fit(replace(best, penalty=best.penalty * penalty_factor))

    return fitted(level=False), fitted(level=True)


def windows_to_learn(
    task: Task, history_steps: int, *, until: int | None = None, share: float = 1.0
) -> Positions:
    """Issue positions to learn from, ascending: near the daily issue, mostly observed.

    Raises
    ------
    DataError
        If there are fewer than `FEWEST_WINDOWS`.
    """
    stop = task.train_stop if until is None else until
    positions = positions_near_issue(task, history_steps)
    positions = positions[positions + task.shape.horizon_steps <= stop]
    if positions.size:
        first = positions[-1] - share * (positions[-1] - positions[0])
        positions = positions[positions >= first]
    hours = positions[:, None] + np.arange(task.shape.horizon_steps)
    usable = np.isnan(task.series.values[hours]).mean(axis=1) <= MOST_MISSING_SHARE
    if usable.sum() < FEWEST_WINDOWS:
        n_hours = hours_in(history_steps, task.shape.steps_per_day)
        raise DataError(
            f"{usable.sum()} of {len(usable)} windows with {n_hours} hours of history before "
            f"{task.series.index[min(stop, len(task.series)) - 1]:%Y-%m-%d} were observed, a ridge "
            f"needs {FEWEST_WINDOWS}; bring a longer train period or use --anchor none"
        )
    return np.asarray(positions[usable])


def positions_near_issue(task: Task, history_steps: int) -> Positions:
    """Positions within `HOURS_BESIDE` of a daily issue, at its minute, with history and horizon."""
    daily = daily_positions(task.series.index, task.shape)
    per_hour = 0 if task.shape.steps_per_day == 1 else task.shape.steps_per_hour
    beside = per_hour * np.arange(-HOURS_BESIDE, HOURS_BESIDE + 1)
    positions = np.unique((daily[:, None] + beside).ravel())
    last = len(task.series) - task.shape.horizon_steps
    return np.asarray(positions[(positions >= history_steps) & (positions <= last)])


def _folds(positions: Positions, first: int, last: int) -> Positions:
    """Number of the fold of the learned windows that each position lies in; -1 outside."""
    folds = (positions - first) * N_FOLDS // (last + 1 - first)
    folds[(positions < first) | (positions > last)] = -1
    return folds


def _solve(squares: Floats, products: Floats, penalty: float) -> Floats:
    """Weights (F + 1, H); the last column is the intercept, which is not penalised.

    Raises
    ------
    LinAlgError
        If the penalised squares are not positive definite.
    """
    # What `scipy.linalg.solve` calls for such a matrix; it spends half its time on checks.
    from scipy.linalg.lapack import dposv  # half a second to import

    penalised = squares.copy()
    penalised.flat[:: len(squares) + 1] += np.append(np.full(len(squares) - 1, penalty), 1e-9)
    # Its transpose, which it equals, has the order of LAPACK.
    _, weights, failed_at = dposv(penalised.T, products, overwrite_a=True)
    if failed_at:
        raise np.linalg.LinAlgError(f"minor {failed_at} of the squares is not positive definite")
    return np.ascontiguousarray(weights)
