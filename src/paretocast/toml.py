"""TOML parsed once into frozen, closed models: an unknown key is an error.

A validator raises ValueError with what it expects; what came is put in front of that here.
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from paretocast.errors import SettingsError
from paretocast.formatting import did_you_mean
from paretocast.redaction import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails


class ClosedModel(BaseModel):
    """A table of settings that cannot change and that knows no other keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, allow_inf_nan=False
    )


MOST_BYTES = 4 << 20  # of a TOML file
MOST_DEPTH = 32
SHOWN_LETTERS = 200  # of a value in an error
Model = TypeVar("Model", bound=ClosedModel)
Value = TypeVar("Value")


# The start of a key with so many parts that no table is meant.
_DEEP_KEY = re.compile(r"^[ \t]*\[{0,2}[ \t]*(?:[A-Za-z0-9_-]+[ \t]*\.[ \t]*){200}", re.MULTILINE)


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """Return the content of a TOML file, unchecked.

    Parameters
    ----------
    kind : str
        The words that errors use for the file, such as "settings file".

    Raises
    ------
    SettingsError
        If the file cannot be read or is not TOML.
    """
    too_deep = f"{kind} {path} is nested more than {MOST_DEPTH} deep"
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MOST_BYTES:
            raise SettingsError(
                f"{kind} {path} is no regular file of at most {MOST_BYTES >> 20} MiB"
            )
        # Editors of Windows put a mark in front, which `utf-8-sig` leaves out.
        text = path.read_text(encoding="utf-8-sig")
        if _DEEP_KEY.search(text):  # tomllib takes the square of its length in time
            raise SettingsError(too_deep)
        table = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"{kind} {path} cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise SettingsError(too_deep) from error
    except ValueError as error:  # an integer of thousands of digits among them
        raise SettingsError(f"{kind} {path} is not TOML: {error}") from error
    if nested_deeper(table, MOST_DEPTH):
        raise SettingsError(too_deep)
    return table


def nested_deeper(value: object, most: int) -> bool:
    """Return whether tables and arrays lie in each other more than so many times.

    >>> nested_deeper({"a": [1]}, 2), nested_deeper({"a": [[1]]}, 2)
    (False, True)
    """
    holders = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        items = (
            item
            for holder in holders
            for item in (holder.values() if isinstance(holder, dict) else holder)
        )
        holders = [item for item in items if isinstance(item, dict | list)]
        if not holders:
            return False
    return True


def parse_table(model: type[Model], table: Mapping[str, Any], *, origin: str) -> Model:
    """Return the model of a table.

    Parameters
    ----------
    origin : str
        Source of the table; it opens the error.

    Raises
    ------
    SettingsError
        With a line for each problem: key, what came, what is allowed.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        lines = [_explain(problem, model) for problem in error.errors()]
        text = f" {lines[0]}" if len(lines) == 1 else "".join(f"\n  {line}" for line in lines)
        raise SettingsError(redacted(f"{origin}:{text}")) from error


def checked(check: Callable[[Value], Value]) -> AfterValidator:
    """Return a validator from a check that raises SettingsError, which pydantic does not catch."""

    def validate(value: Value) -> Value:
        try:
            return check(value)
        except SettingsError as error:
            raise ValueError(str(error)) from error

    return AfterValidator(validate)


def _unknown_key(key: str, allowed: Iterable[str]) -> str:
    """Return the complaint about a key that is not allowed, with the one it may have meant.

    Examples
    --------
    >>> _unknown_key("step", ["steps", "epochs"])
    'unknown key; did you mean steps? (allowed: steps, epochs)'
    """
    names = list(allowed)
    return f"unknown key{did_you_mean(key, names)} (allowed: {', '.join(names)})"


def _explain(problem: ErrorDetails, model: type[ClosedModel]) -> str:
    """One line on one problem."""
    path = [part for part in problem["loc"] if part != "[key]"]  # pydantic's mark of a bad key
    where = f"{'.'.join(map(str, path))}: " if path else ""
    if problem["type"] == "extra_forbidden":
        return f"{where}{_unknown_key(str(path[-1]), _table_at(model, path[:-1]).model_fields)}"
    if problem["type"] == "missing":
        return f"{where}this key is missing"
    message = problem["msg"].removeprefix("Value error, ")
    value = problem["input"]
    shown = str(value) if isinstance(value, dt.datetime) else _shortened(value)
    if isinstance(value, dict) or (isinstance(value, str) and shown in message):
        return f"{where}{message}"
    return f"{where}got {shown}; {message}"


def _shortened(value: object) -> str:
    """A value as an error shows it."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}…"


def _table_at(model: type[ClosedModel], path: Sequence[int | str]) -> type[ClosedModel]:
    """The model of the table at a path; keys that a user chooses lead to no other model."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = next(_models_in(field.annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[ClosedModel]]:  # noqa: ANN401  (a type form)
    if isinstance(annotation, type) and issubclass(annotation, ClosedModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
