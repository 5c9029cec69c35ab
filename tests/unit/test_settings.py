import os
import re
from pathlib import Path

import pytest

from paretocast.errors import SettingsError, StoreError
from paretocast.search.space import Choice, FloatRange, IntRange
from paretocast.settings import (
    FEWEST_STEPS,
    MOST_STEPS,
    TrainingSettings,
    continue_settings,
    load_settings,
)


def write(folder: Path, text: str) -> Path:
    path = folder / "tune.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_is_a_valid_one(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, ""), {}).trials == 20


def test_an_option_wins_over_the_file_and_none_means_not_given(tmp_path: Path) -> None:
    path = write(tmp_path, "trials = 7\nseed = 3\n[training]\nsteps = 50\n")
    settings = load_settings(path, {"trials": 9, "seed": None, "training": {"steps": None}})
    assert (settings.trials, settings.seed, settings.training.steps) == (9, 3, 50)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trails = 5", r"trails: unknown key; did you mean trials\? \(allowed: model, dataset"),
        ("[training]\nstep = 5", r"training.step: unknown key; did you mean steps\?"),
        ("[trainning]\nsteps = 5", r"trainning: unknown key; did you mean training\?"),
        (
            "[space.NHITS_Q]\nlearning_rate = {low = 1e-3, high = 1e-2}",
            "space.NHITS_Q: space of NHITS_Q has no parameter learning_rate, expected some of num_",
        ),
        (
            "[space.NHITS]\nlr = {low = 1e-3, high = 1e-2}",
            r"space.NHITS: model 'NHITS' is unknown, expected one of NHITS_Q",
        ),
        ("trials = 0", "trials: .*greater than or equal to 1"),
        ('model = "PROPHET"', "expected one of NHITS_Q, TFT_Q, TIMESNET_Q"),
        ('objectives = ["mea"]', "objective 'mea' is unknown, expected some of mae"),
        ('require = ["picp > 75"]', "expected SCORE >= NUMBER"),
        ('sampler = "grid"', "sampler 'grid' is unknown, expected one of mfgp, tpe, gp, nsga2"),
        ("[racing]\nshare = 1.0", "racing.share: .*less than 1"),
        ('policy = "luck"', "policy 'luck' is unknown"),
        ("target_coverage = 99", "needs levels 0.005 and 0.995"),
        ("[task]\nlevels = [0.5, 0.1]", "must ascend"),
        ("[task]\nlevels = [0.1, 0.4, 0.9]", "must hold the median"),
        ("[task]\nlevels = [0.2, 0.5, 0.8]", "from at most 0.1 to at least 0.9"),
        ('[task]\nissue_zone = "Mars/Base"', "time zone 'Mars/Base' is unknown"),
        ("[training]\nsteps = 10\nepochs = 2", "steps and epochs are both given"),
        ("[space.NHITS_Q]\nnum_stacks = {low = 3}", "expected either low and high, or values"),
        ("[space.NHITS_Q]\nlr = {low = 0, high = 1, log = true}", "log scale needs low above 0"),
        ("[space.NHITS_Q]\nlr = {low = 2, high = 1}", "low 2 lies above high 1"),
        ("trials = ", "is not TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(write(tmp_path, text), {})


def test_names_and_requirements_are_kept_as_the_package_writes_them(tmp_path: Path) -> None:
    text = 'objectives = ["mae", "width"]\nrequire = ["picp>=75.0"]'
    settings = load_settings(write(tmp_path, text), {})
    assert settings.objectives == ("mae", "mean_width")
    assert settings.require == ("picp >= 75",)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml cannot be read"):
        load_settings(Path("nowhere.toml"), {})


def test_a_range_in_the_file_replaces_the_published_one(tmp_path: Path) -> None:
    text = """
    [space.nhits_q]
    num_stacks = {low = 2, high = 3}
    lr = {low = 1e-4, high = 1e-2, log = true}
    layer_widths = {values = [64, 128]}
    """
    space = load_settings(write(tmp_path, text), {}).space_of_model()
    assert space["num_stacks"] == IntRange(2, 3)
    assert space["lr"] == FloatRange(1e-4, 1e-2, log=True)
    assert space["layer_widths"] == Choice((64, 128))
    assert space["num_blocks"] == IntRange(1, 3)


def test_a_range_stays_of_the_kind_it_replaces(tmp_path: Path) -> None:
    text = """
    [space.NHITS_Q]
    dropout = {low = 0, high = 1}
    num_stacks = {low = 2.0, high = 3.0}
    lr = {low = 1e-4, high = 1e-3}
    """
    space = load_settings(write(tmp_path, text), {}).space_of_model()
    assert space["dropout"] == FloatRange(0.0, 1.0)
    assert space["num_stacks"] == IntRange(2, 3)
    assert space["lr"] == FloatRange(1e-4, 1e-3, log=True)


def test_a_fraction_of_a_stack_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "[space.NHITS_Q]\nnum_stacks = {low = 1.5, high = 3}")
    with pytest.raises(SettingsError, match=r"space.NHITS_Q: num_stacks: expected whole numbers"):
        load_settings(path, {})


def test_a_space_is_extended_by_a_parameter_that_is_fixed_otherwise(tmp_path: Path) -> None:
    text = 'model = "TFT_Q"\n[space.TFT_Q]\nweight_decay = {low = 1e-6, high = 1e-2}'
    space = load_settings(write(tmp_path, text), {}).space_of_model()
    assert space["weight_decay"] == FloatRange(1e-6, 1e-2, log=True)


def test_a_range_of_another_model_changes_nothing(tmp_path: Path) -> None:
    plain = load_settings(None, {}).space_of_model()
    text = "[space.TFT_Q]\nlstm_layers = {low = 1, high = 2}"
    assert load_settings(write(tmp_path, text), {}).space_of_model() == plain


@pytest.mark.parametrize(
    ("n_windows", "steps"), [(1_000, FEWEST_STEPS), (96_000, 2000), (10_000_000, MOST_STEPS)]
)
def test_the_budget_follows_the_size_of_the_data(n_windows: int, steps: int) -> None:
    assert TrainingSettings().budget_steps(n_windows, batch_size=128) == steps


def test_epochs_are_passes_over_the_windows() -> None:
    assert TrainingSettings(epochs=2.0).budget_steps(1000, batch_size=50) == 40


def test_a_continued_study_keeps_its_settings_unless_told_otherwise() -> None:
    stored = load_settings(None, {"trials": 5, "seed": 4, "training": {"steps": 70}})
    changes = {"trials": 9, "seed": None}
    continued = continue_settings(stored.model_dump(mode="json"), None, changes, origin="a file")
    assert (continued.trials, continued.seed, continued.training.steps) == (9, 4, 70)


def test_a_continued_study_does_not_keep_a_time_limit() -> None:
    stored = load_settings(None, {"time_limit_seconds": 60.0}).model_dump(mode="json")
    continued = continue_settings(stored, None, {}, origin="a file")
    assert continued.time_limit_seconds is None


def test_damaged_settings_of_a_study_are_told_by_their_file() -> None:
    stored = load_settings(None, {}).model_dump(mode="json") | {"objectives": ["mae", ["picp"]]}
    with pytest.raises(StoreError, match=r"settings in manifest_a\.json: objectives\.1: got"):
        continue_settings(stored, None, {"trials": 9}, origin="manifest_a.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('training = "x"', "training: got 'x'"),
        ('[[task]]\nstep = "1h"', "task: got ["),
        ("racing = []", "racing: got []"),
        ("objectives = 5", "objectives: got 5"),
        ('objectives = ["honest"]\ntarget_coverage = "x"', "target_coverage: got 'x'"),
        ("target_coverage = nan", "target_coverage: got nan"),
        ("[training]\nclip_norm = inf", "training.clip_norm: got inf"),
        ("[training]\nn_rungs = 1000000000", "n_rungs: got 1000000000"),
        ("[task]\ninput_steps = 99999999999999999999999", "input_steps: got 9999"),
        ("threads = 1000000", "threads: got 1000000"),
        ("[space.NHITS_Q]\nlr = {low = nan, high = 0.1}", "low"),
        ("[space.NHITS_Q]\nnum_stacks = {low = 1000000, high = 1000000}", "more than 50 times"),
        ("[space.NHITS_Q]\nlayer_widths = {values = [128, 'x']}", "numbers or texts, not both"),
        ("[space.NHITS_Q]\nlayer_widths = {values = [128, true]}", "true and false are no values"),
        (f"seed = {'9' * 5000}", "is not TOML"),
        (f"x = {'[' * 5000}{']' * 5000}", "nested more than 32 deep"),
        (f"{'a.' * 20_000}a = 1", "nested more than 32 deep"),
    ],
)
def test_settings_beyond_sense_are_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=re.escape(said)) as error:
        load_settings(path, {"training": {"steps": None}, "racing": {"max_seeds": None}})
    assert len(str(error.value)) < 1000


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(b"\xef\xbb\xbftrials = 7\n")
    assert load_settings(path, {}).trials == 7


def test_a_pipe_is_no_settings_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.toml")
    with pytest.raises(SettingsError, match="is no regular file"):
        load_settings(tmp_path / "s.toml", {})
