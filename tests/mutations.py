"""Damage to files: types, missing and strange keys, nesting, cuts and flipped bits."""

from __future__ import annotations

import copy
import json
import os
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

# Damaged files that each test tries; `make test-fuzz` tries more.
MANY = "PARETOCAST_FUZZ" in os.environ
N_EXAMPLES = int(os.environ.get("PARETOCAST_FUZZ", "8"))
# Longer, and it counts as a hang: seconds of the clock, which a busy machine needs more of.
MOST_SECONDS = float(os.environ.get("PARETOCAST_FUZZ_SECONDS", "10"))
N_OF_COMMANDS = N_EXAMPLES if MANY else 3  # where each runs a whole command
quick = settings(
    max_examples=N_EXAMPLES,
    deadline=timedelta(seconds=MOST_SECONDS),
    derandomize=not MANY,
    database=None,
    phases=(Phase.generate,),  # to make a failure smaller takes minutes, and its file is small
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
with_commands = settings(quick, max_examples=N_OF_COMMANDS)

DEEP: Any = 0
for _ in range(200):
    DEEP = [DEEP]
# What a program or a person may leave where something else was expected.
STRANGE: tuple[Any, ...] = (
    *(None, True, False, "", "x", "../../x", "a/b", "\x1b[31m", "[/b]", "é" * 300, "1e3", "nan"),
    *(0, 1, -1, 99, 10**12, 10**30, 0.5, -0.5, 1e308, 1e-308),
    *([], [1], [[1, 2], [3]], [None], {}, {"a": 1}, {"": {}}, DEEP),
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every value in a JSON value, the whole first."""
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found += places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value[:3]):
            found += places(item, (*path, index))
    return found


@st.composite
def damaged_json(draw: st.DrawFn, text: str) -> bytes:
    """A JSON text with one value changed, removed, added or doubled; sometimes no JSON at all."""
    if draw(st.integers(0, 4)) == 0:
        return draw(damaged_bytes(text.encode()))
    value = json.loads(text)
    path = draw(st.sampled_from(places(value)))
    strange = copy.deepcopy(draw(st.sampled_from(STRANGE)))
    if not path:
        return json.dumps(strange).encode()
    *way, last = path
    holder = value
    for step in way:
        holder = holder[step]
    match draw(st.sampled_from(["replace", "remove", "add", "wrap", "double"])):
        case "replace":
            holder[last] = strange
        case "remove":
            del holder[last]
        case "add" if isinstance(holder, dict):
            holder[draw(st.sampled_from(["x", "", "schema_version", "__class__"]))] = strange
        case "double" if isinstance(holder, list):
            holder.append(holder[last])
        case _:
            holder[last] = [holder[last]]
    return json.dumps(value).encode()


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes) -> bytes:  # noqa: PLR0911  (a way each)
    """Bytes cut, flipped, repeated or replaced."""
    match draw(st.sampled_from(["cut", "flip", "insert", "empty", "zeros", "nested", "mark"])):
        case "cut":
            return content[: draw(st.integers(0, max(0, len(content) - 1)))]
        case "flip":
            flipped = bytearray(content)
            for _ in range(draw(st.integers(1, 8))):
                flipped[draw(st.integers(0, len(content) - 1))] ^= 1 << draw(st.integers(0, 7))
            return bytes(flipped)
        case "insert":
            at = draw(st.integers(0, len(content)))
            return content[:at] + draw(st.binary(min_size=1, max_size=20)) + content[at:]
        case "zeros":
            return bytes(len(content))
        case "nested":
            return b"[" * 100_000
        case "mark":
            return b"\xef\xbb\xbf" + content
        case _:
            return b""


def damaged_file(content: bytes, name: str) -> st.SearchStrategy[bytes]:
    """The content of a file, damaged as its kind can be."""
    if name.endswith(".json"):
        return damaged_json(content.decode())
    return damaged_bytes(content)
