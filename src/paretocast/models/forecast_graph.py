"""A forecast as one torch module: from what was measured to quantiles in target units.

An exported graph has to hold everything that lies between a table and its forecast. Gaps, features,
scaling and the regressions are therefore written here once more, as tensor operations on a single
window; `data` and `models.linear_table` define them, and who exports a graph compares the two.

A window has P hours of history and H of the horizon, T = P + H rows, K covariates, C calendar
columns, Q levels. Everything outside the networks is in float64.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from paretocast.data.calendar import AROUND_HOLIDAYS, DAYS_PER_YEAR, SATURDAY
from paretocast.data.features import HOLD_HOURS, LAG_HOURS, ROLLING_HOURS
from paretocast.data.gaps import LONGEST_FILL_HOURS, SEASONS_HOURS
from paretocast.data.scaling import Transform
from paretocast.data.series import Role
from paretocast.data.task import DAYS_PER_WEEK
from paretocast.errors import SettingsError
from paretocast.models.base import Batch
from paretocast.models.linear_table import (
    COOLING_ABOVE,
    DAYS_OFF,
    DEGREES,
    HEATING_BELOW,
    N_WEEKS,
    ahead_block,
    split_lags,
)
from paretocast.steps import HOURS_PER_DAY, STEPS_PER_DAY, steps_of, steps_per_hour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.data.scaling import TargetScaling
    from paretocast.models.anchor import Anchor
    from paretocast.models.base import QuantileModel
    from paretocast.models.linear import LinearMean

    Floats = NDArray[np.float64]

OPSET = 18
# Columns of the input `calendar`, in local time; those of holidays where the calendar has any.
HOUR, WEEKDAY, DAY_OF_YEAR = "hour", "weekday", "day_of_year"
HOLIDAY, SCHOOL_HOLIDAY = "holiday", "school_holiday"
INPUTS = "history", "calendar", "covariates", "month"
OUTPUT = "quantiles"


@dataclass(frozen=True)
class WindowColumns:
    """Columns of the inputs of a graph, and the features that are made of them.

    Attributes
    ----------
    calendar, covariates : tuple of str
        Columns of the two inputs, in their order.
    features : tuple of (str, Role)
        Columns of the feature table, in its order.
    standards : mapping of str to (float, float, float, float)
        Mean, deviation, lowest and highest value of every feature, as `ColumnStandards`.
    temperature, wind : str or None
        Covariates that more features are made of.
    delay_steps : int
        Last hours of the history that are not there yet; what they hold is not read.
    """

    history_steps: int
    horizon_steps: int
    calendar: tuple[str, ...]
    covariates: tuple[str, ...]
    features: tuple[tuple[str, Role], ...]
    standards: Mapping[str, tuple[float, float, float, float]]
    temperature: str | None
    wind: str | None
    steps_per_day: int = STEPS_PER_DAY
    delay_steps: int = 0

    @property
    def steps_per_week(self) -> int:
        """Steps of the series in seven times 24 hours."""
        return DAYS_PER_WEEK * self.steps_per_day

    @property
    def steps(self) -> int:
        """Rows of a window, T."""
        return self.history_steps + self.horizon_steps

    def names(self, *roles: Role) -> tuple[str, ...]:
        """Features of some roles, in their order."""
        return tuple(name for name, role in self.features if role in roles)


@dataclass(frozen=True)
class _Window:
    """One window, gaps filled.

    Attributes
    ----------
    target, short : Tensor of shape (P,)
        Target in its unit, every gap filled, and only the first hours of each; NaN elsewhere.
    names : tuple of str
        Of the columns of `features`.
    features : Tensor of shape (T, F)
        Standardised.
    weekday : Tensor of shape (T,)
        0 for Monday.
    month : Tensor
        Of the issue, 0 to 11.
    """

    columns: WindowColumns
    target: Tensor
    short: Tensor
    names: tuple[str, ...]
    features: Tensor
    weekday: Tensor
    month: Tensor

    def table(self, names: Sequence[str]) -> Tensor:
        """Standardised columns by name, (T, F)."""
        return self.features[:, [self.names.index(name) for name in names]]


class ForecastGraph(nn.Module):
    """The weighted mean of members' quantiles.

    Parameters
    ----------
    members : sequence of (MemberGraph, float)
        With their weights.
    """

    def __init__(
        self, columns: WindowColumns, members: Sequence[tuple[MemberGraph, float]]
    ) -> None:
        super().__init__()
        self.columns = columns
        self.members = nn.ModuleList(member for member, _ in members)
        total = sum(weight for _, weight in members)
        self.weights = [weight / total for _, weight in members]

    def forward(
        self, history: Tensor, calendar: Tensor, covariates: Tensor, month: Tensor
    ) -> Tensor:
        """Quantiles (1, H, Q) in target units, ascending.

        Parameters
        ----------
        history : Tensor of shape (1, P)
            Target in its unit; NaN where missing.
        calendar : Tensor of shape (1, T, C)
        covariates : Tensor of shape (1, T, K)
            NaN where missing; (1, T, 0) without any.
        month : Tensor of shape (1,)
            Of the issue in UTC, 1 to 12.
        """
        window = _window(self.columns, history[0], calendar[0], covariates[0], month[0] - 1)
        forecasts = [member(window) for member in self.members]
        if len(forecasts) == 1:
            return cast("Tensor", forecasts[0]).unsqueeze(0)
        total = torch.zeros_like(forecasts[0])
        for weight, forecast in zip(self.weights, forecasts, strict=True):
            total = total + _number(weight) * forecast.sort(dim=-1).values
        return total.unsqueeze(0)


class MemberGraph(nn.Module):
    """A model of one window; a child gives its quantiles (H, Q) in target units."""


class SpreadGraph(MemberGraph):
    """Regressions with the spread of their errors: RIDGE, and the reference ridge.

    Parameters
    ----------
    spread : ndarray of shape (12, H, Q)
        By month of the issue.
    """

    def __init__(
        self, points: PointsGraph, spread: NDArray[np.floating], scaling: TargetScaling
    ) -> None:
        super().__init__()
        self.points, self.scaling = points, scaling
        self.spread = _constant(self, "spread", spread)

    def forward(self, window: _Window) -> Tensor:
        """Quantiles (H, Q) in target units."""
        scaled = self.points(window).unsqueeze(-1) + self.spread[window.month]
        return _unscaled(scaled, self.scaling).sort(dim=-1).values


class NetworkGraph(MemberGraph):
    """A network, in float32, and the anchor that it corrects.

    Parameters
    ----------
    past, known : tuple of str
        Features that it sees, in its order.
    """

    def __init__(
        self,
        network: QuantileModel,
        anchor: Anchor | None,
        *,
        columns: WindowColumns,
        scaling: TargetScaling,
        input_steps: int,
        past: tuple[str, ...],
        known: tuple[str, ...],
        weather: bool,
    ) -> None:
        super().__init__()
        self.network, self.scaling, self.input_steps = network, scaling, input_steps
        self.past, self.known = past, known
        self.points = None
        if anchor is not None:
            self.points = PointsGraph(anchor.model, columns, scaling, weather=weather)
            self.spread = _constant(self, "spread", anchor.spread)

    def forward(self, window: _Window) -> Tensor:
        """Quantiles (H, Q) in target units."""
        history, horizon = window.columns.history_steps, window.columns.horizon_steps
        start = history - self.input_steps
        short = window.short[start:]
        batch = Batch(
            history=_read(short, self.scaling).float().unsqueeze(0),
            history_mask=(~short.isnan()).float().unsqueeze(0),
            past=window.table(self.past)[start:history].float().unsqueeze(0),
            known=window.table(self.known)[start : history + horizon].float().unsqueeze(0),
            anchor=self._anchor(window),
        )
        scaled = self.network(batch).float().sort(dim=-1).values
        return _unscaled(scaled[0].double(), self.scaling)

    def _anchor(self, window: _Window) -> Tensor | None:
        if self.points is None:
            return None
        points = self.points(window).float().unsqueeze(-1)
        return cast("Tensor", points + self.spread[window.month].float()).unsqueeze(0)


class PointsGraph(nn.Module):
    """The weighted mean of regressions, see `linear.LinearMean`.

    Parameters
    ----------
    weather : bool
        Whether they see covariates.
    """

    def __init__(
        self,
        mean: LinearMean,
        columns: WindowColumns,
        scaling: TargetScaling,
        *,
        weather: bool = True,
    ) -> None:
        super().__init__()
        models = mean.members
        self.models, self.scaling, self.columns = models, scaling, columns
        self.shares = _constant(self, "shares", np.array(mean.weights))
        self.with_weather = weather
        self.centers = [_constant(self, f"center_{i}", m.center) for i, m in enumerate(models)]
        self.weights = [_constant(self, f"weights_{i}", m.weights) for i, m in enumerate(models)]

    def forward(self, window: _Window) -> Tensor:
        """Forecasts (H,), scaled units."""
        table = _LinearColumns(window, _read(window.target, self.scaling), self.with_weather)
        points = []
        for model, center, weights in zip(self.models, self.centers, self.weights, strict=True):
            form = model.form
            level = table.level if form.level else torch.zeros_like(table.level)
            columns = table.columns(form.blocks, form.lags, level) - center
            points.append(columns @ weights[:-1] + weights[-1] + level)
        return self.shares @ torch.stack(points)


class _LinearColumns:
    """Columns of `linear_table.LinearTable` for one window."""

    def __init__(self, window: _Window, target: Tensor, with_weather: bool) -> None:  # noqa: FBT001
        columns = window.columns
        self.window, self.target = window, target
        self.history, self.horizon = columns.history_steps, columns.horizon_steps
        self.forecast = columns.names(Role.FORECAST) if with_weather else ()
        self.past = columns.names(Role.PAST) if with_weather else ()
        self.known = columns.names(Role.CALENDAR, *((Role.FORECAST,) if with_weather else ()))
        self.per_day, self.per_week = columns.steps_per_day, columns.steps_per_week
        self.level = target[-self.per_week :].mean()

    def columns(self, blocks: Sequence[str], lags: int, level: Tensor) -> Tensor:
        """All columns of some blocks, (F,); a level is taken off the target's."""
        made: dict[str, Callable[[], Tensor]] = {
            "lags": lambda: self._lags(lags) - level,
            "weeks": lambda: self._weeks() - level,
            "weekday": self._weekday,
            "days_off": lambda: self._means([n for n in self.known if n in DAYS_OFF]),
            "calendar": lambda: self._ahead(self._calendar),
            "year": lambda: self.window.table(self._year)[self.history + self.horizon // 2],
            "year_by_step": lambda: self._ahead(self._year),
            "weather": lambda: self._ahead(self.forecast),
            "weather_day": lambda: self._mean(self.forecast, self.per_day),
            "weather_week": lambda: self._mean(self.forecast, self.per_week),
            "degrees": self._degrees,
            "past_means": lambda: self._means(self.past),
        }
        parts = [made[name]() for name in blocks]
        return torch.cat([part for part in parts if part.numel()])

    @property
    def _year(self) -> list[str]:
        return [name for name in self.known if name.startswith("year_")]

    @property
    def _calendar(self) -> list[str]:
        other = {*self._year, *self.forecast}
        return [name for name in self.known if name not in other]

    def _lags(self, lags: int) -> Tensor:
        singles, blocks = split_lags(lags, self.per_day)
        latest = self.target[-singles:].flip(0)
        if not blocks:
            return latest
        per_hour = steps_per_hour(self.per_day)
        older = self.target[-singles - blocks * per_hour : -singles]
        return torch.cat([latest, older.reshape(blocks, per_hour).mean(dim=1).flip(0)])

    def _weeks(self) -> Tensor:
        first = -(-self.horizon // self.per_week)
        weeks = []
        for back in range(first, first + N_WEEKS):
            start = self.history - self.per_week * back
            weeks.append(self.target[start : start + self.horizon])
        return torch.stack(weeks).mean(dim=0)

    def _weekday(self) -> Tensor:
        weekday = self.window.weekday[self.history + self.horizon // 2]
        return (torch.arange(7, dtype=torch.float64) == weekday).double()

    def _degrees(self) -> Tensor:
        if self.window.columns.temperature not in self.known:
            return self.target.new_empty(0)
        return torch.cat([self._ahead(DEGREES), self._means(DEGREES)])

    def _ahead(self, names: Sequence[str]) -> Tensor:
        values = self.window.table(names)[self.history :]  # (H, K)
        block = ahead_block(self.horizon, self.per_day)
        if block > 1:
            starts = np.arange(self.horizon) // block
            shares = (np.arange(starts[-1] + 1)[:, None] == starts).astype(np.float64)
            values = torch.from_numpy(shares / shares.sum(axis=1, keepdims=True)) @ values
        return values.reshape(-1)

    def _means(self, names: Sequence[str]) -> Tensor:
        if not names:
            return self.target.new_empty(0)
        return torch.cat([self._mean(names, n) for n in (self.per_day, self.per_week)])

    def _mean(self, names: Sequence[str], n_hours: int) -> Tensor:
        table = self.window.table(names)
        return table[self.history - n_hours : self.history].mean(dim=0)


def _window(
    columns: WindowColumns, history: Tensor, calendar: Tensor, covariates: Tensor, month: Tensor
) -> _Window:
    """Gaps filled, features made."""
    per_day = columns.steps_per_day
    if columns.delay_steps:
        late = torch.full_like(history[: columns.delay_steps], float("nan"))
        history = torch.cat([history[: -columns.delay_steps], late])
    longest = steps_of(LONGEST_FILL_HOURS, per_day)
    target = _filled(history, _sources_of_target(history, steps_per_day=per_day))
    short = _filled(history, _sources_of_target(history, longest, steps_per_day=per_day))
    local = {name: calendar[:, i] for i, name in enumerate(columns.calendar)}
    weather = {
        name: _filled(covariates[:, i], _sources_of_covariate(covariates[:, i], per_day))
        for i, name in enumerate(columns.covariates)
    }
    made = {
        **_calendar_features(local, per_day),
        **weather,
        **_weather_features(columns, weather, local[WEEKDAY]),
        **_target_features(_or_zero(target), columns),
    }
    names = tuple(name for name in made if name in columns.standards)
    standards = torch.tensor([columns.standards[name] for name in names], dtype=torch.float64)
    spreads = torch.where(standards[:, 1] > 0.0, standards[:, 1], 1.0)
    stacked = torch.stack([made[name] for name in names], dim=1)
    stacked = stacked.maximum(standards[:, 2]).minimum(standards[:, 3])
    features = (stacked - standards[:, 0]) / spreads
    return _Window(columns, target, short, names, features, local[WEEKDAY], month)


def _filled(values: Tensor, sources: Tensor) -> Tensor:
    """Values (T,) with every hour's taken from its source, and that one's from its own."""
    for _ in range(len(values).bit_length()):  # a chain of sources is twice as long each time
        sources = sources[sources]
    return values[sources]


def _sources_of_target(
    values: Tensor, longest_steps: int | None = None, *, steps_per_day: int = STEPS_PER_DAY
) -> Tensor:
    """Hour that each hour is filled from by `gaps.fill_from_past`, (T,); its own if from none.

    From the first observation on, the rule fills every hour that it may fill: what is known can be
    told before anything is filled.
    """
    missing = values.isnan()
    known = (~missing).long().cumsum(0) > 0
    fillable = missing & known
    if longest_steps is not None:
        old = _older_than(missing, longest_steps)
        known, fillable = known & ~old, fillable & ~old
    hours = torch.arange(len(values))
    before = hours - 1
    for lag in (steps_of(hours, steps_per_day) for hours in reversed(SEASONS_HOURS)):
        back = (hours - lag).clamp(min=0)
        before = torch.where(known[back] & (hours >= lag), back, before)
    return torch.where(fillable, before, hours)


def _sources_of_covariate(values: Tensor, per_day: int = STEPS_PER_DAY) -> Tensor:
    """Hour that each hour is filled from by `features.fill_covariate`, (T,), T under a year."""
    missing, hours = values.isnan(), torch.arange(len(values))
    repeats = _older_than(missing, steps_of(HOLD_HOURS, per_day)) & (hours >= per_day)
    before = torch.where(repeats, hours - per_day, hours - 1).clamp(min=0)
    return torch.where(missing, before, hours)


def _older_than(missing: Tensor, n_steps: int) -> Tensor:
    """True at missing hours before which so many are missing too, (T,)."""
    counts = torch.cat([missing.new_zeros(n_steps + 1), missing]).long().cumsum(0)
    return counts[n_steps + 1 :] - counts[: len(missing)] == n_steps + 1


def _calendar_features(
    local: Mapping[str, Tensor], per_day: int = STEPS_PER_DAY
) -> dict[str, Tensor]:
    """`calendar.calendar_columns`."""
    hour = local[HOUR] * _number(2.0 * np.pi / HOURS_PER_DAY)
    weekday = local[WEEKDAY] * _number(2.0 * np.pi / 7.0)
    day_of_year = (local[DAY_OF_YEAR] - 1.0) * _number(2.0 * np.pi / DAYS_PER_YEAR)
    of_day = {
        "hour_sin": hour.sin(),
        "hour_cos": hour.cos(),
        "hour_sin_2": (2.0 * hour).sin(),
        "hour_cos_2": (2.0 * hour).cos(),
    }
    return {
        **(of_day if per_day > 1 else {}),
        "weekday_sin": weekday.sin(),
        "weekday_cos": weekday.cos(),
        "year_sin": day_of_year.sin(),
        "year_cos": day_of_year.cos(),
        "weekend": (local[WEEKDAY] >= SATURDAY).double(),
        **{n: local[n] for n in (HOLIDAY, SCHOOL_HOLIDAY, *AROUND_HOLIDAYS) if n in local},
    }


def _weather_features(
    columns: WindowColumns, weather: Mapping[str, Tensor], weekday: Tensor
) -> dict[str, Tensor]:
    """Features of the temperature."""
    if columns.temperature is None:
        return {}
    celsius = weather[columns.temperature]
    made = {
        "temperature_squared": celsius**2,
        "temperature_weekend": celsius * (weekday >= SATURDAY).double(),
        DEGREES[0]: (HEATING_BELOW - celsius).clamp(min=0.0),
        DEGREES[1]: (celsius - COOLING_ABOVE).clamp(min=0.0),
    }
    if columns.wind is not None:
        made["temperature_wind"] = celsius * weather[columns.wind]
    return made


def _target_features(target: Tensor, columns: WindowColumns) -> dict[str, Tensor]:
    """Lags and rolling means of the target, (T,); 0 where no model reads them."""
    steps, delay, per_day = columns.steps, columns.delay_steps, columns.steps_per_day
    made: dict[str, Tensor] = {}
    for hours_back in LAG_HOURS:
        lag = steps_of(hours_back, per_day)
        column = torch.cat([target.new_zeros(lag), target])[:steps]
        column = torch.cat([column, target.new_zeros(steps - len(column))])
        made |= {f"lag_{hours_back}": column, f"weekly_lag_{hours_back}": column}
    for n_hours in ROLLING_HOURS:
        length = steps_of(n_hours, per_day)
        first, last = length - 1, len(target)
        hours = torch.arange(first, last).unsqueeze(1) - torch.arange(length)
        means = target[hours].mean(dim=1)
        made[f"rolling_mean_{n_hours}"] = torch.cat(
            [
                target.new_zeros(first + delay),
                means[: len(means) - delay],
                target.new_zeros(steps - last),
            ]
        )
    return made


def _read(values: Tensor, scaling: TargetScaling) -> Tensor:
    """`TargetScaling.scale_inputs`."""
    if scaling.limits is not None:
        # Of several clamps of one window the exporter merges the windows and loses the limits.
        low, high = (_number(limit) for limit in scaling.limits)
        values = torch.where(values < low, low, torch.where(values > high, high, values))
    return _scaled(values, scaling)


def _scaled(values: Tensor, scaling: TargetScaling) -> Tensor:
    """Scaled units; 0 where missing."""
    missing = values.isnan()
    values = _or_zero(values)
    if scaling.transform is Transform.LOG1P:
        values = (values.clamp(min=0.0) / _number(scaling.offset)).log1p()
    scaled = (values - _number(scaling.center)) / _number(scaling.spread)
    return torch.where(missing, 0.0, scaled)


def _unscaled(scaled: Tensor, scaling: TargetScaling) -> Tensor:
    values = scaled * _number(scaling.spread) + _number(scaling.center)
    if scaling.transform is Transform.LOG1P:
        values = values.expm1() * _number(scaling.offset)
    return values if scaling.lower_bound is None else values.clamp(min=scaling.lower_bound)


def _number(value: float) -> Tensor:
    """A float64 tensor: the exporter writes a Python float in single precision."""
    return torch.tensor(value, dtype=torch.float64)


def _or_zero(values: Tensor) -> Tensor:
    return torch.where(values.isnan(), 0.0, values)


def _constant(module: nn.Module, name: str, values: NDArray[np.floating]) -> Tensor:
    """A buffer of a module, float64."""
    tensor = torch.from_numpy(np.array(values, dtype=np.float64))
    module.register_buffer(name, tensor)
    return tensor


def run_graph(graph: ForecastGraph, inputs: Mapping[str, NDArray[np.generic]]) -> Floats:
    """Quantiles (H, Q) of one window, by torch."""
    with torch.no_grad():
        quantiles = graph(*(torch.from_numpy(inputs[name]) for name in INPUTS))
    return np.asarray(quantiles[0].numpy(), dtype=np.float64)


def to_onnx(
    graph: ForecastGraph,
    example: Mapping[str, NDArray[np.generic]],
    metadata: Mapping[str, str],
) -> bytes:
    """A graph as the content of an ONNX file."""
    import onnx

    tensors = tuple(torch.from_numpy(np.ascontiguousarray(example[name])) for name in INPUTS)
    with torch.no_grad(), warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")  # of torch and onnx about their own insides
        program = torch.onnx.export(
            graph,
            tensors,
            dynamo=True,
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise SettingsError("torch exported nothing")
    model = program.model_proto
    onnx.helper.set_model_props(model, dict(metadata))
    return bytes(model.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter from listing which libraries it has not found."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
