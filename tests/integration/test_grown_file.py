"""A study remembers its periods: a data file that has grown changes nothing, and a note says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import paretocast
from commands import ZONE, run_cli
from paretocast.api.evaluation import SavedBenchmark, prepare_benchmark
from paretocast.benchmarking.test_split import hash_of_test
from paretocast.data import generate_demo
from paretocast.errors import DataError, StoreError
from paretocast.workspace.runs import RunDirectory
from paretocast.workspace.stored import load_manifest
from studies import SMALL_SPACE

pytestmark = pytest.mark.usefixtures("without_pages")
FEW_WINDOWS = (
    "the calibrate split has 7 observed windows; 14 are needed to compare calibrators, so one is "
    "taken without comparing; a validation period of 47 days and more has them"
)
N_DAYS = 150
LAST_HOUR = "2021-05-30 23:00Z"  # of the study; the first hour of 31 May in Denmark
SMALL: dict[str, Any] = {
    "trials": 2,
    "threads": 1,
    "device": "cpu",
    "study_id": "a",
    "task": {"input_steps": 48},
    "training": {"steps": 12, "batch_size": 32, "n_evaluations": 3, "n_rungs": 3},
    "space": SMALL_SPACE,
    "recipe": (),
    "progress": False,
    "storage": "journal",
}
SCHOOL = ["start_date,end_date,description", "2021-02-15,2021-02-19,winter"]


@cache
def whole_frame() -> pd.DataFrame:
    """The rows of a file of a year."""
    series, _ = generate_demo(days=365)
    stamps = series.index.strftime("%Y-%m-%dT%H:%M:%SZ")
    temperature = series.covariates[0].values
    return pd.DataFrame({"timestamp": stamps, "heat": series.values, "temperature": temperature})


@dataclass(frozen=True)
class Place:
    """A folder with the data set and the workspace of a finished study on its first 150 days."""

    folder: Path

    @property
    def toml(self) -> Path:
        return self.folder / "my_zone.toml"

    @property
    def workspace(self) -> Path:
        return self.folder / "hpo"

    @property
    def run(self) -> RunDirectory:
        return RunDirectory(self.workspace, "NHITS_Q", "my_zone", "a")

    def write(self, n_days: int, *, shift: dict[str, int] | None = None) -> None:
        """Write the first days of one and the same series; `shift` adds 1 to an hour of columns."""
        frame = whole_frame()[: 24 * n_days].copy()
        for column, row in (shift or {}).items():
            frame[column] += 1.0 * (frame.index == row)
        frame.to_csv(self.folder / "my_zone.csv", index=False)

    def append(self, *rows: str) -> None:
        with (self.folder / "my_zone.csv").open("a", encoding="utf-8") as file:
            file.writelines(f"{row}\n" for row in rows)

    def resume(self, capsys: pytest.CaptureFixture[str], *more: object) -> tuple[int, str, str]:
        """`tune --resume` in this process."""
        words = ("--dataset", self.toml, "--workspace", self.workspace, "--job-id", "a")
        return run_cli(capsys, "tune", *words, "--resume", *more)

    def study(self) -> paretocast.Study:
        return paretocast.load_study(self.run.folder, data_dir=self.folder)

    def task_manifest(self) -> dict[str, Any]:
        task: dict[str, Any] = load_manifest(self.run)["comparable"]["task"]
        return task

    def benchmark(self, models: list[str] | None = None) -> SavedBenchmark:
        return paretocast.benchmark(
            self.toml,
            models or ["NHITS_Q"],
            methods=["tuned", "seasonal_naive_24"],
            calibrators=["cqr"],
            workspace=self.workspace,
            threads=1,
            device="cpu",
            progress=False,
        )


def note(n_hours: int) -> str:
    return (
        f"my_zone.csv has {n_hours} hours after {LAST_HOUR}, the end of the study's test period; "
        "they are not used"
    )


def flat(text: str) -> str:
    """Text of a terminal without its line breaks."""
    return " ".join(text.split())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The study, its calibrator, and its data as they were; none of them may be changed."""
    place = Place(tmp_path_factory.mktemp("original"))
    place.write(N_DAYS)
    (place.folder / "school.csv").write_text("\n".join(SCHOOL), encoding="utf-8")
    text = ZONE.replace("[splits]", 'school_holidays = "school.csv"\n[splits]')
    place.toml.write_text(text, encoding="utf-8")
    paretocast.tune(place.toml, workspace=place.workspace, **SMALL)
    return place


@pytest.fixture
def place(original: Place, tmp_path: Path) -> Place:
    """A copy whose files may change."""
    shutil.copytree(original.folder, tmp_path / "copy")
    return Place(tmp_path / "copy")


@pytest.fixture
def grown(place: Place) -> tuple[Place, int]:
    """A copy whose file has grown by a month, its covariate too, and by how many hours."""
    place.write(N_DAYS + 31)
    return place, 24 * 31


@pytest.mark.slow
def test_a_fresh_study_takes_its_periods_from_the_longer_file(
    place: Place, original: Place
) -> None:
    place.write(N_DAYS + 31)
    fresh = paretocast.tune(place.toml, workspace=place.folder / "other", **{**SMALL, "trials": 1})
    now, then = (s.stored.task_manifest["periods"] for s in (fresh, original.study()))
    assert all(now[period][1] > then[period][1] for period in ("train", "validation", "test"))
    assert fresh.task.notes == ()


def test_a_search_goes_on_with_the_periods_it_began_with(
    grown: tuple[Place, int], original: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place, n_hours = grown
    code, _, err = place.resume(capsys, "--trials", 3)
    assert (code, flat(err).count(note(n_hours))) == (0, 1)
    assert len(place.study().trials) == 3
    assert place.task_manifest() == original.task_manifest()


def test_a_search_goes_on_as_it_would_have_without_the_new_hours(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place.folder, tmp_path / "twin")
    twin = Place(tmp_path / "twin")
    place.write(N_DAYS + 31)
    for each in (place, twin):
        assert each.resume(capsys, "--trials", 3)[0] == 0
    pd.testing.assert_frame_equal(place.study().trials, twin.study().trials)


def test_a_worker_joins_with_the_periods_of_the_study(
    place: Place, original: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write(N_DAYS + 1)
    words = ("--dataset", place.toml, "--workspace", place.workspace, "--job-id", "a")
    code, _, err = run_cli(capsys, "worker", *words, "--index", 1, "--trials", 3)
    assert code == 0
    assert note(24) in flat(err)
    assert len(place.study().trials) == 3
    assert place.task_manifest() == original.task_manifest()


@pytest.mark.parametrize(
    "command", [("calibrate", "--calibrator", "cqr", "--output"), ("diagnose", "--page")]
)
def test_intervals_are_those_of_the_original_file(
    command: tuple[str, ...],
    grown: tuple[Place, int],
    original: Place,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place, n_hours = grown
    printed, written = [], []
    for each in (original, place):
        path = place.folder / "written"
        words = (path, each.run.best_params, "--data-dir", each.folder)
        code, out, err = run_cli(capsys, *command, *words)
        assert (code, flat(err).count(note(n_hours))) == (0, int(each is place))
        printed.append(out)
        written.append(path.read_bytes())
    assert printed[0] == printed[1]
    assert written[0] == written[1]


def test_a_benchmark_tests_on_the_hours_that_the_study_remembers(
    grown: tuple[Place, int], original: Place
) -> None:
    place, n_hours = grown
    longer, plain = place.benchmark(), original.benchmark()
    pd.testing.assert_frame_equal(longer.table, plain.table)
    tasks = [saved.result.plan.task for saved in (longer, plain)]
    assert hash_of_test(tasks[0]) == hash_of_test(tasks[1])
    assert (tasks[0].notes, tasks[1].notes) == ((note(n_hours), FEW_WINDOWS), (FEW_WINDOWS,))


def test_the_command_says_the_note_of_a_benchmark_once(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write(N_DAYS + 1)
    words = ("--dataset", place.toml, "--workspace", place.workspace, "--models", "NHITS_Q")
    options = ("--methods", "seasonal_naive_24", "--calibrator", "cqr", "--device", "cpu")
    code, _, err = run_cli(capsys, "benchmark", *words, *options)
    assert (code, flat(err).count(note(24))) == (0, 1)


def test_a_model_without_a_study_is_judged_on_the_hours_of_the_others(place: Place) -> None:
    place.write(N_DAYS + 31)
    plan = prepare_benchmark(
        place.toml,
        ["TFT_Q", "NHITS_Q"],
        methods=["default"],
        runs=[],
        seeds=1,
        refit=False,
        retrain_days=(None,),
        calibrators=("cqr",),
        static=False,
        members=4,
        steps=None,
        settings=None,
        data_dir=None,
        workspace=place.workspace,
        device="cpu",
        threads=1,
    )
    assert plan.tasks["TFT_Q"].dates == plan.tasks["NHITS_Q"].dates
    assert f"{plan.task.dates.test_to:%Y-%m-%d %H:%M}Z" == LAST_HOUR


def test_a_loaded_study_has_its_task_and_its_forecasts(
    grown: tuple[Place, int], original: Place
) -> None:
    place, n_hours = grown
    study = place.study()
    pd.testing.assert_frame_equal(
        study.forecasts("calibrate"), original.study().forecasts("calibrate")
    )
    assert study.task.notes == (note(n_hours), FEW_WINDOWS)
    assert study.task.manifest() == original.task_manifest()


def test_a_frame_that_has_grown_goes_on_with_its_study(tmp_path: Path) -> None:
    series, _ = generate_demo(days=N_DAYS + 31)
    frame = pd.DataFrame({"hour": series.index, "MW": series.values})
    arguments: dict[str, Any] = {
        "frame": {"target": "MW", "time": "hour", "name": "north"},
        "workspace": tmp_path,
        **SMALL,
    }
    first = paretocast.tune(frame[: 24 * N_DAYS], **{**arguments, "trials": 1})
    then = first.stored.task_manifest
    study = paretocast.tune(frame, resume=True, **arguments)
    assert len(study.trials) == 2
    assert study.task.manifest() == study.stored.task_manifest == then
    assert study.task.notes[0].startswith("north.csv has 744 hours after")


@pytest.mark.parametrize("n_days", [N_DAYS, N_DAYS + 1])
@pytest.mark.parametrize("column", ["heat", "temperature"])
def test_a_changed_value_of_before_is_refused(
    n_days: int, column: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write(n_days, shift={column: 24 * 30 + 5})
    code, _, err = place.resume(capsys, "--trials", 3)
    assert code == 1
    assert "was made on other data and cannot be continued" in flat(err)
    day = "first in the 24 hours from 2021-01-31 00:00Z"
    assert day in flat(err)
    attempts: list[Callable[[], object]] = [
        lambda: paretocast.calibrate(place.study()),
        lambda: paretocast.diagnose(place.study()),
        lambda: place.study().forecasts(),
        place.benchmark,
    ]
    for attempt in attempts:
        with pytest.raises(StoreError, match=rf"(data_sha256 differ|changed since), {day}"):
            attempt()


@pytest.mark.parametrize(
    ("n_days", "changes"),
    [
        pytest.param(N_DAYS - 1, {}, id="a shorter file"),
        pytest.param(N_DAYS + 1, {"train = 0.5": "train = 0.4"}, id="other shares"),
    ],
)
def test_other_periods_are_refused_still(
    n_days: int, changes: dict[str, str], place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write(n_days)
    text = place.toml.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    place.toml.write_text(text, encoding="utf-8")
    code, _, err = place.resume(capsys, "--trials", 3)
    assert code == 1
    assert "task.periods" in flat(err)
    with pytest.raises(StoreError, match="periods"):
        place.study().task  # noqa: B018  (planned for its error)


def test_later_rows_are_not_looked_at(place: Place) -> None:
    place.write(N_DAYS)
    # A cell that is no number, an hour twice, and a covariate that is gone for a day.
    place.append("2021-05-31T00:00:00Z,broken,", "2021-05-31T00:00:00Z,1.0,")
    place.append(*(f"2021-06-01T{hour:02d}:00:00Z,1.0," for hour in range(24)))
    assert place.study().task.notes == (note(25), FEW_WINDOWS)
    with pytest.raises(DataError, match="in more than one row"):
        paretocast.load_dataset(place.toml)


def test_school_holidays_may_be_added_after_the_periods_and_not_within(place: Place) -> None:
    school = place.folder / "school.csv"
    then = place.task_manifest()
    place.write(N_DAYS + 31)
    school.write_text("\n".join([*SCHOOL, "2021-06-01,2021-08-08,summer"]), encoding="utf-8")
    assert place.study().task.manifest() == then
    # One that begins on the last day of the test period changes that day's feature.
    school.write_text("\n".join([*SCHOOL, "2021-05-31,2021-08-08,summer"]), encoding="utf-8")
    with pytest.raises(StoreError, match="calendar differ"):
        place.study().task  # noqa: B018  (planned for its error)
    school.write_text("\n".join([SCHOOL[0], "2021-02-15,2021-02-18,winter"]), encoding="utf-8")
    with pytest.raises(StoreError, match="calendar differ"):
        place.study().task  # noqa: B018


def test_declared_dates_may_move_with_the_end_of_the_file(original: Place, tmp_path: Path) -> None:
    place = Place(tmp_path / "dated")
    place.folder.mkdir()
    place.write(N_DAYS)
    dates = (
        "train_to = 2021-03-15T23:00:00Z\nvalidation_to = 2021-04-29T23:00:00Z\n"
        "test_to = 2021-05-30T23:00:00Z\n"
    )
    text = ZONE.replace("train = 0.5\nvalidation = 0.3\n", dates)
    place.toml.write_text(text, encoding="utf-8")
    study = paretocast.tune(place.toml, workspace=place.workspace, **{**SMALL, "trials": 1})
    then = study.stored.task_manifest
    place.write(N_DAYS + 1)
    # Hours that the declaration leaves out are no news.
    task = place.study().task
    assert (task.manifest(), task.notes) == (then, (FEW_WINDOWS,))
    place.toml.write_text(text.replace("test_to = 2021-05-30", "test_to = 2021-05-31"))
    task = place.study().task
    assert (task.manifest(), task.notes) == (then, (note(24), FEW_WINDOWS))


@pytest.mark.slow
def test_studies_of_different_test_periods_are_not_compared(place: Place) -> None:
    place.write(N_DAYS + 31)
    other = {**SMALL, "model": "RIDGE", "trials": 1, "study_id": "b", "space": {}}
    paretocast.tune(place.toml, workspace=place.workspace, **other)
    with pytest.raises(StoreError, match="NHITS_Q and RIDGE differ in periods"):
        place.benchmark(["NHITS_Q", "RIDGE"])
