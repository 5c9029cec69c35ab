"""One rival on one exported series; `rivals.py` runs this in the rivals' own environment.

    RIVALS/bin/python experiments/rival_methods.py METHOD FOLDER --seconds 300 --threads 2 --seed 1

Reads `series.csv` and `task.json` of FOLDER, learns from the rows before `learn_stop`, forecasts at
every issue and writes METHOD.npz: `issues` (N,), `levels` (Q,), `forecast` (N, H, Q) in target
units, `seconds` of training and `forecast_seconds`. Every issue is a series of its own to the
library: its rows end with the hour before the issue, and the covariates that are known ahead are
given for the horizon. Nothing is learned after `learn_stop`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Forecaster = Callable[["Exported"], Floats]

SERIES_ID = 0
LONGEST_VALIDATION_STEPS = 8 * 7 * 24  # NeuralForecast forecasts it from every hour


@dataclass(frozen=True)
class Exported:
    """A series with its task, as `rivals.export_task` wrote it.

    Attributes
    ----------
    table : DataFrame of T rows
        timestamp, target, filled, and the features of `known` and `past`.
    issues : ndarray of shape (N,)
        Rows of the first horizon hours.
    """

    table: pd.DataFrame
    horizon_steps: int
    levels: tuple[float, ...]
    known: tuple[str, ...]
    past: tuple[str, ...]
    learn_stop: int
    validation_steps: int
    issues: NDArray[np.intp]

    @classmethod
    def read(cls, folder: Path) -> Exported:
        """Return the content of a folder."""
        task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
        table = pd.read_csv(folder / "series.csv", parse_dates=["timestamp"])
        table["timestamp"] = table["timestamp"].dt.tz_localize(None)
        return cls(
            table=table,
            horizon_steps=task["horizon_steps"],
            levels=tuple(task["levels"]),
            known=tuple(task["known"]),
            past=tuple(task["past"]),
            learn_stop=task["learn_stop"],
            validation_steps=task["validation_steps"],
            issues=np.array(task["issues"]),
        )

    @property
    def features(self) -> list[str]:
        """Names of all features."""
        return [*self.known, *self.past]

    def observed_rows(self, stop: int) -> pd.DataFrame:
        """Return the rows before `stop` from the first observed target on."""
        first = int(self.table["target"].notna().to_numpy().argmax())
        return self.table.iloc[first:stop]

    def issue_chunks(
        self, *, history_steps: int, n_issues: int
    ) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Yield the rows before some issues and the rows of their horizons, so many at a time.

        Both have a column `item` with the issue position. Horizons keep what is known ahead.
        """
        for first in range(0, len(self.issues), n_issues):
            past, ahead = [], []
            for issue in self.issues[first : first + n_issues].tolist():
                past.append(self.observed_rows(issue).tail(history_steps).assign(item=issue))
                horizon = self.table.iloc[issue : issue + self.horizon_steps]
                ahead.append(horizon[["timestamp", *self.known]].assign(item=issue))
            yield pd.concat(past, ignore_index=True), pd.concat(ahead, ignore_index=True)

    def in_order(self, forecast: pd.DataFrame, columns: list[str]) -> Floats:
        """Return quantile columns of rows with `item` and `timestamp` as (N, H, Q)."""
        ordered = forecast.sort_values(["item", "timestamp"])
        shape = (-1, self.horizon_steps, len(self.levels))
        return ordered[columns].to_numpy(np.float64).reshape(shape)


def train_autonhits(data: Exported, arguments: argparse.Namespace) -> Forecaster:
    """AutoNHITS: Optuna searches its default space, with a week and two of history added.

    Batches of 512 windows and more are left out, validation takes the last eight weeks, and no
    training lasts longer than a fifth of the time: otherwise two cores do not finish a trial in
    five minutes. No trial begins after six tenths of the time; the rest is for the fit of the best
    parameters, on train and validation together.

    Target and features are standardised over what is learned from, and not again inside a window,
    as the default space would: there a calendar term of the year hardly varies and rain is mostly
    zero, and the next hour lies thousands of deviations away.
    """
    import torch
    from neuralforecast import NeuralForecast
    from neuralforecast.auto import AutoNHITS
    from neuralforecast.losses.pytorch import MQLoss
    from optuna.samplers import TPESampler

    torch.set_num_threads(arguments.threads)
    steps = data.horizon_steps
    default = AutoNHITS.get_default_config(h=steps, backend="optuna")

    def config(trial: Any) -> dict[str, Any]:  # noqa: ANN401
        days = trial.suggest_categorical("input_days", [2, 3, 4, 5, 7, 14])
        return {
            **default(trial),
            "input_size": 24 * days,
            "scaler_type": "identity",
            "windows_batch_size": trial.suggest_categorical("windows", [128, 256]),
            "max_time": {"seconds": arguments.seconds / 5.0},
            "val_check_steps": 100,
            "futr_exog_list": list(data.known),
            "hist_exog_list": list(data.past),
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }

    model = AutoNHITS(
        h=steps,
        loss=MQLoss(quantiles=list(data.levels)),
        config=config,
        backend="optuna",
        search_alg=TPESampler(seed=arguments.seed),
        num_samples=1000,
        time_budget=0.6 * arguments.seconds,
        refit_with_val=True,
    )
    forecaster = NeuralForecast(models=[model], freq="h")
    rows = data.observed_rows(data.learn_stop)
    columns = ["filled", *data.features]
    shift, scale = rows[columns].mean(), rows[columns].std().replace(0.0, 1.0)

    def scaled(rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows as NeuralForecast takes them: a filled gap is marked as not available."""
        there = [column for column in columns if column in rows]
        frame = (rows[there] - shift[there]) / scale[there]
        frame = frame.rename(columns={"filled": "y"}).assign(
            ds=rows["timestamp"], unique_id=rows["item"]
        )
        if "target" in rows:
            frame["available_mask"] = rows["target"].notna().astype(float)
        return frame

    learned = scaled(rows.assign(item=SERIES_ID))
    forecaster.fit(df=learned, val_size=min(data.validation_steps, LONGEST_VALIDATION_STEPS))
    study = forecaster.models[0].results
    print(f"{len(study.trials)} trials, the best: {study.best_trial.params}")

    def forecast(data: Exported) -> Floats:
        parts = []
        for past, ahead in data.issue_chunks(history_steps=24 * 14, n_issues=100):
            made = forecaster.predict(df=scaled(past), futr_df=scaled(ahead))
            made = made.reset_index().rename(columns={"unique_id": "item", "ds": "timestamp"})
            levels = [c for c in made.columns if str(c).startswith("AutoNHITS")]
            parts.append(shift["filled"] + scale["filled"] * data.in_order(made, levels))
        return np.concatenate(parts)

    return forecast


def train_autogluon(data: Exported, arguments: argparse.Namespace) -> Forecaster:
    """A preset of AutoGluon, named by the method, without models that need downloaded weights.

    `autogluon_medium` has statistical models and trees; `autogluon_high` adds TFT and DeepAR, for
    which five minutes on two cores are short. The weighted ensemble is chosen on the last seven
    days before `learn_stop`, a window each; its default is a single day. The item has the name it
    had in training and all its history, because the tabular models scale by an item's mean and
    keep the errors of an item by its name.
    """
    import torch
    from autogluon.timeseries import TimeSeriesDataFrame, TimeSeriesPredictor

    torch.set_num_threads(arguments.threads)

    def frame(rows: pd.DataFrame, columns: list[str]) -> Any:  # noqa: ANN401
        named = rows[["timestamp", *columns]].assign(item_id=SERIES_ID)
        return TimeSeriesDataFrame.from_data_frame(named)

    predictor = TimeSeriesPredictor(
        target="target",
        prediction_length=data.horizon_steps,
        freq="h",
        eval_metric="WQL",
        quantile_levels=list(data.levels),
        known_covariates_names=list(data.known),
        path=str(arguments.folder / arguments.method),
    )
    predictor.fit(
        frame(data.observed_rows(data.learn_stop), ["target", *data.features]),
        presets=f"{arguments.method.removeprefix('autogluon_')}_quality",
        excluded_model_types=["Chronos", "Chronos2", "Toto", "Toto2"],
        num_val_windows=7,
        refit_every_n_windows=None,
        time_limit=round(arguments.seconds),
        random_seed=arguments.seed,
    )
    print(predictor.leaderboard().to_string())
    predictor.persist()

    def forecast(data: Exported) -> Floats:
        parts = []
        for issue in data.issues.tolist():
            horizon = data.table.iloc[issue : issue + data.horizon_steps]
            made = predictor.predict(
                frame(data.observed_rows(issue), ["target", *data.features]),
                known_covariates=frame(horizon, list(data.known)),
                random_seed=arguments.seed,
                use_cache=False,
            )
            parts.append(made[[str(level) for level in data.levels]].to_numpy(np.float64))
        return np.stack(parts)

    return forecast


TRAINERS = {
    "autogluon_medium": train_autogluon,
    "autogluon_high": train_autogluon,
    "autonhits": train_autonhits,
}


def main() -> None:
    """Train, forecast, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("method", choices=TRAINERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    data = Exported.read(arguments.folder)
    started = time.perf_counter()
    forecaster = TRAINERS[arguments.method](data, arguments)
    trained = time.perf_counter()
    forecast = forecaster(data)
    np.savez_compressed(
        arguments.folder / f"{arguments.method}.npz",
        issues=data.issues,
        levels=np.array(data.levels),
        forecast=forecast,
        seconds=trained - started,
        forecast_seconds=time.perf_counter() - trained,
    )


if __name__ == "__main__":
    main()
