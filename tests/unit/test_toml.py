from __future__ import annotations

import pytest

from paretocast.errors import SettingsError
from paretocast.toml import ClosedModel, parse_table


class Valve(ClosedModel):
    width: int
    kind: str = "ball"


class Plant(ClosedModel):
    name: str = "north"
    valves: dict[str, Valve] = {}  # noqa: RUF012  (pydantic copies it)
    spare: Valve | None = None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"nme": "x"}, r"^a\.toml: nme: unknown key; did you mean name\? \(allowed: name, valves"),
        ({"valves": {"kind": {"widht": 3}}}, r"valves\.kind\.widht: unknown .* mean width\?"),
        ({"spare": {"kin": 3, "width": 1}}, r"spare\.kin: unknown .*allowed: width, kind\)"),
        ({"spare": {}}, r"^a\.toml: spare\.width: this key is missing$"),
        ({"name": 3}, r"name: got 3; Input should be a valid string$"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_its_table_allows(
    table: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_table(Plant, table, origin="a.toml")


def test_several_problems_have_a_line_each() -> None:
    with pytest.raises(SettingsError, match=r"^a\.toml:\n  name: got 3; .*\n  nme: unknown key"):
        parse_table(Plant, {"name": 3, "nme": 4}, origin="a.toml")
