"""Cluster profiles: resources that a job asks for, and the set-up of its environment.

Profiles are TOML. Those that ship with the package come first; the user's file, the workspace's
`cluster.toml` and a file named on the command line are laid over them in this order, profile by
profile and key by key.
"""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from paretocast.errors import SettingsError
from paretocast.toml import ClosedModel, parse_table, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?")
_OPTION = re.compile(r"--[a-z][a-z-]*(=.+)?", re.DOTALL)
# Written by the script itself, with values that the rest of it relies on.
OWN_OPTIONS = frozenset(
    {
        "account",
        "array",
        "chdir",
        "comment",
        "cpus-per-task",
        "dependency",
        "error",
        "gres",
        "job-name",
        "kill-on-invalid-dep",
        "mem",
        "no-requeue",
        "open-mode",
        "output",
        "parsable",
        "partition",
        "requeue",
        "signal",
        "time",
        "wrap",
    }
)


def plain_text(text: str) -> str:
    """The text, if it holds no line break and no other control character.

    Raises
    ------
    ValueError
        If it does: a line break in a job script would start a line of its own.
    """
    if not text.isprintable():
        raise ValueError(
            f"{text!r} holds a line break or another character that cannot be printed, "
            "which has no place in a job script"
        )
    return text


class Profile(ClosedModel):
    """Table `[profiles.NAME]`.

    Attributes
    ----------
    executor : str
        `slurm`, or `background`: a process of this machine, which knows no queue and no limits.
    time : str
        Limit of one job as Slurm writes it: minutes, hours:minutes:seconds or
        days-hours:minutes:seconds. A study may take many times as long: its job is requeued.
    signal_seconds : int
        Seconds before that limit at which the search is put away. Slurm may be a minute early.
    max_requeues : int
        A job that was restarted so often ends as failed instead of restarting itself once more.
    allow_cpu : bool
        A job that asks for a GPU may go on without one.
    modules : tuple of str
        Each loaded with `module load`.
    setup : tuple of str
        Shell lines that bring up the environment, written into the script as they are.
    program : tuple of str
        Words that start Paretocast on the node; the running interpreter if empty.
    extra : tuple of str
        Further options of sbatch, such as "--qos=long".
    max_running : int or None
        Workers of an array that run at once; None for as many as the cluster lets.
    """

    executor: Literal["slurm", "background"] = "slurm"
    partition: str | None = None
    account: str | None = None
    gres: str | None = None
    time: str = "12:00:00"
    cpus: Annotated[int, Field(ge=1)] = 4
    memory: Annotated[str, Field(pattern=r"^\d+[KMGT]?$", description="per job")] = "16G"
    signal_seconds: Annotated[int, Field(ge=1)] = 300
    max_requeues: Annotated[int, Field(ge=0)] = 100
    allow_cpu: bool = False
    modules: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    max_running: Annotated[int, Field(ge=1, le=100_000)] | None = None

    @field_validator("partition", "account", "gres")
    @classmethod
    def _value_is_one_word(cls, value: str | None) -> str | None:
        if value is not None and (not value or value != "".join(plain_text(value).split())):
            raise ValueError(f"{value!r} is not one word")
        return value

    @field_validator("modules", "setup", "program")
    @classmethod
    def _lines_are_single(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            plain_text(value)
        return values

    @field_validator("extra")
    @classmethod
    def _options_are_long(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if not _OPTION.fullmatch(plain_text(value)):
                raise ValueError(f"{value!r} is not an option such as --qos=long or --exclusive")
            name = value.removeprefix("--").partition("=")[0]
            # sbatch takes any beginning of a name for the whole.
            if own := next((option for option in OWN_OPTIONS if option.startswith(name)), None):
                raise ValueError(f"--{own} is written by Paretocast, use the keys of the profile")
        return values

    @field_validator("time")
    @classmethod
    def _time_is_readable(cls, value: str) -> str:
        time_seconds(value)
        return value

    @property
    def limit_seconds(self) -> int:
        """The time limit."""
        return time_seconds(self.time)

    @property
    def lead_seconds(self) -> int:
        """Seconds before the limit at which to signal: never more than half of the limit."""
        return min(self.signal_seconds, self.limit_seconds // 2)

    @property
    def wants_gpu(self) -> bool:
        """True if the job asks for a GPU."""
        return "gpu" in (self.gres or "") or any("gpu" in option for option in self.extra)


class Profiles(ClosedModel):
    """A profile file, or several laid over each other."""

    default_profile: str = "cpu"
    profiles: dict[str, Profile] = Field(default_factory=dict)

    def choose(self, name: str | None) -> Profile:
        """The profile of that name, or the default one.

        Raises
        ------
        SettingsError
            If there is none.
        """
        name = self.default_profile if name is None else name
        if name not in self.profiles:
            raise SettingsError(
                f"profile {name!r} is unknown, expected one of {', '.join(sorted(self.profiles))}"
            )
        return self.profiles[name]


def time_seconds(text: str) -> int:
    """Seconds of a time limit as Slurm reads it: minutes, unless it holds colons or days.

    Raises
    ------
    ValueError
        If it is none, or no time at all.

    Examples
    --------
    >>> time_seconds("90"), time_seconds("30:00"), time_seconds("1-12")
    (5400, 1800, 129600)
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"time {text!r} is not understood, expected e.g. 12:00:00 or 2-00:00:00")
    first, second, third = (int(match[name] or 0) for name in ("first", "second", "third"))
    if match["days"] is not None:
        seconds = 86400 * int(match["days"]) + 3600 * first + 60 * second + third
    elif match["third"] is not None:
        seconds = 3600 * first + 60 * second + third
    else:
        seconds = 60 * first + second
    if seconds <= 0:
        raise ValueError(f"time {text!r} is no time at all")
    return seconds


def profile_files(
    workspace: Path, named: Path | None, environment: Mapping[str, str]
) -> tuple[Path, ...]:
    """Files to lay over the shipped profiles, first to last; a named one has to exist."""
    config = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    usual = (Path(config) / "paretocast" / "cluster.toml", workspace / "cluster.toml")
    there = tuple(path for path in usual if path.is_file())
    return there if named is None else (*there, named)


def load_profiles(files: Sequence[Path]) -> Profiles:
    """The shipped profiles with those of the files over them.

    Raises
    ------
    SettingsError
        If a file cannot be read, a key is unknown or a value is not allowed.
    """
    shipped = resources.files("paretocast.cluster").joinpath("profiles.toml").read_text("utf-8")
    merged: dict[str, Any] = tomllib.loads(shipped)
    for path in files:
        content = read_toml(path, "profile file")
        parse_table(Profiles, content, origin=str(path))
        merged = _laid_over(merged, content)
    return Profiles.model_validate(merged)


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    profiles = dict(below.get("profiles", {}))
    for name, keys in above.get("profiles", {}).items():
        profiles[name] = {**profiles.get(name, {}), **keys}
    return {**below, **above, "profiles": profiles}
