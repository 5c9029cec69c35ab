import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from paretocast.errors import SettingsError, StoreError
from paretocast.workspace.files import (
    claim_folder,
    create_folder,
    load_arrays,
    load_json,
    save_arrays,
    save_json,
    save_text,
)
from paretocast.workspace.runs import RunDirectory, claim_run, newest_job_id, stated_job_id
from paretocast.workspace.stored import StoredFile, load

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ("mine", {"SLURM_JOB_ID": "7"}, "mine"),
        (None, {"SLURM_ARRAY_JOB_ID": "5", "SLURM_JOB_ID": "7"}, "5"),
        (None, {"SLURM_JOB_ID": "7"}, "7"),
        (None, {"SLURM_JOB_ID": ""}, None),
    ],
)
def test_a_job_id_is_given_or_from_slurm(
    given: str | None, environment: dict[str, str], expected: str | None
) -> None:
    assert stated_job_id(given, environment) == expected


@pytest.mark.parametrize("job_id", ["", "../up", "a b", "$(id)", "x\ny", "x" * 65, "-rf"])
def test_a_job_id_that_is_no_file_name_is_refused(job_id: str) -> None:
    with pytest.raises(SettingsError, match="cannot be part of a file name"):
        stated_job_id(job_id, {})


def test_an_id_from_the_environment_is_checked_like_one_of_the_user() -> None:
    with pytest.raises(SettingsError, match=r"\$SLURM_JOB_ID '\.\./\.\./esc' cannot be part"):
        stated_job_id(None, {"SLURM_JOB_ID": "../../esc"})


def test_a_hundred_studies_of_one_second_are_a_hundred(tmp_path: Path) -> None:
    place = (tmp_path, "NHITS_Q", "demo")
    program = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from paretocast.workspace.runs import claim_run\n"
        "sys.stdin.readline()\n"  # all begin at once
        "now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)\n"
        "place = (Path(sys.argv[1]), 'NHITS_Q', 'demo')\n"
        "print(*(claim_run(*place, now=now).job_id for _ in range(25)))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ids = [job_id for process in processes for job_id in process.communicate()[0].split()]
    assert len(ids) == len(set(ids)) == 100
    assert all(stated_job_id(job_id, {}) == job_id for job_id in ids)
    assert claim_run(*place, now=NOW).job_id not in ids


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    names = [claim_folder(tmp_path / "a" / "heat_1").name for _ in range(3)]
    assert names == ["heat_1", "heat_1-2", "heat_1-3"]


def test_json_beyond_sense_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text, complaint in (
        ("[" * 100_000 + "]" * 100_000, "nested more than 32 deep"),
        ("[" * 40 + "]" * 40, "nested more than 32 deep"),
        ('{"a": NaN}', "NaN is no number"),
        ("9" * 5000, "is damaged"),
        ("\udcff", "is damaged"),
    ):
        path.write_bytes(text.encode("utf-8", errors="surrogateescape"))
        with pytest.raises(StoreError, match=complaint):
            load_json(path)


def test_a_file_that_is_no_json_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": NaN}')
    with pytest.raises(StoreError, match="NaN is no number of JSON; `paretocast x` makes it anew"):
        load(path, StoredFile, advice="`paretocast x` makes it anew")
    with pytest.raises(StoreError, match="put the file back as it was or remove it"):
        load(path, StoredFile)


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(StoreError, match="no regular file"):
            load_json(path)
    with pytest.raises(StoreError, match="cannot be read"):
        load_json(tmp_path / ("x" * 5000))


def test_files_have_the_names_users_rely_on() -> None:
    run = RunDirectory(Path("hpo"), "NHITS_Q", "heat", "42")
    folder = "hpo/results/NHITS_Q_heat"
    assert str(run.best_params) == f"{folder}/best_params_NHITS_Q_heat_42.json"
    assert str(run.study_database) == f"{folder}/study_NHITS_Q_heat_42.db"
    assert str(run.manifest) == f"{folder}/manifest_42.json"
    assert str(run.page("study")) == f"{folder}/study_42.html"
    assert run.calibrator(3).name.endswith("_42_trial0003.json")
    assert run.calibrator(None).name.endswith("_42_ensemble.json")
    assert str(run.record(3)) == f"{folder}/trials_42/0003/record.json"


def test_nan_becomes_null_and_an_infinity_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_json(path, {"mape": float("nan"), "numbers": (np.float64(1.5), np.int64(2))})
    assert load_json(path) == {"mape": None, "numbers": [1.5, 2]}
    with pytest.raises(StoreError, match="not finite"):
        save_json(path, {"mae": float("inf")})
    assert load_json(path)["numbers"] == [1.5, 2]


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    arrays = {"tune": np.arange(6, dtype=np.float32).reshape(1, 2, 3)}
    save_arrays(tmp_path / "f.npz", arrays)
    np.testing.assert_array_equal(load_arrays(tmp_path / "f.npz")["tune"], arrays["tune"])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"{"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="broken"):
        load_json(path)
    with pytest.raises(StoreError, match="broken"):
        load_arrays(path)


def test_a_writer_that_fails_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    save_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        save_text(path, "\ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_a_clear_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    # /dev/full cannot hold a temporary file, so a limit on file sizes stands in for the full disk.
    path = tmp_path / "a.json"
    save_json(path, {"kept": True})
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from paretocast.errors import StoreError\n"
        "from paretocast.workspace.files import save_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    save_text(Path(sys.argv[1]), 'x' * 100000)\n"
        "except StoreError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert "a.json cannot be written: File too large" in done.stdout
    assert json.loads(path.read_text()) == {"kept": True}
    assert [left.name for left in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/hpo cannot be written to"):
        create_folder(tmp_path / "file" / "hpo")


def test_the_newest_study_is_the_one_written_to_last(tmp_path: Path) -> None:
    for age, job_id in ((200, "b"), (100, "a")):
        path = RunDirectory(tmp_path, "NHITS_Q", "heat", job_id).study_database
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (NOW.timestamp() - age,) * 2)
    assert newest_job_id(tmp_path, "NHITS_Q", "heat") == "a"


def test_a_study_that_has_begun_no_trial_is_not_the_one_to_go_on_with(tmp_path: Path) -> None:
    begun = RunDirectory(tmp_path, "NHITS_Q", "heat", "a")
    begun.trial_folder(0).mkdir(parents=True)
    for run in (begun, RunDirectory(tmp_path, "NHITS_Q", "heat", "b")):
        run.study_database.touch()
    os.utime(begun.study_database, (NOW.timestamp(),) * 2)
    assert newest_job_id(tmp_path, "NHITS_Q", "heat") == "a"


def test_resuming_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no study of TFT_Q on heat"):
        newest_job_id(tmp_path, "TFT_Q", "heat")


def test_an_array_that_claims_to_be_shorter_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    with path.open("wb") as file:
        np.savez(file, tune=np.arange(12.0).reshape(3, 4))
    path.write_bytes(path.read_bytes().replace(b"(3, 4)", b"(2, 4)"))
    with pytest.raises(StoreError, match=r"f.npz is damaged: tune.npy does not have its checksum"):
        load_arrays(path)
