"""Tables of named things that users extend: scores, models, baselines, calibrators."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TypeVar

from paretocast.errors import SettingsError
from paretocast.formatting import did_you_mean

T = TypeVar("T")

PLUGIN_GROUP = "paretocast.plugins"
PLUGIN_VARIABLE = "PARETOCAST_PLUGINS"


class Registry(Mapping[str, T]):
    """Things by name, in the order in which they were added.

    Parameters
    ----------
    kind : str
        The word that errors use for one of them, such as "score".

    Examples
    --------
    >>> colours: Registry[str] = Registry("colour")
    >>> colours.add("red", "#f00")
    >>> colours["red"]
    '#f00'
    >>> colours["rad"]
    Traceback (most recent call last):
    ...
    paretocast.errors.SettingsError: colour 'rad' is unknown, expected one of red; did you mean red?
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> None:
        """Add an entry under a new name.

        Raises
        ------
        SettingsError
            If the name is taken.
        """
        if name in self._entries:
            raise SettingsError(f"{self._kind} {name!r} exists already, expected another name")
        self._entries[name] = entry

    def __contains__(self, name: object) -> bool:
        """Return whether there is an entry of this name; the mapping's own test would raise."""
        return name in self._entries

    def __getitem__(self, name: str) -> T:
        """The entry of a name; a SettingsError that lists the valid names without one."""
        if name in self._entries:
            return self._entries[name]
        raise SettingsError(
            f"{self._kind} {name!r} is unknown, expected one of {', '.join(self._entries)}"
            f"{did_you_mean(name, self._entries)}"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def load_plugins() -> None:
    """Import the modules that add entries to registries.

    They are the entry points of the group ``paretocast.plugins`` and the modules, joined by commas,
    that the environment variable PARETOCAST_PLUGINS names.

    Raises
    ------
    SettingsError
        If one of them cannot be imported.
    """
    named = os.environ.get(PLUGIN_VARIABLE, "").split(",")
    modules = [entry.value for entry in metadata.entry_points(group=PLUGIN_GROUP)]
    for module in (*modules, *(name.strip() for name in named if name.strip())):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise SettingsError(f"plugin {module!r} cannot be imported: {error}") from error
