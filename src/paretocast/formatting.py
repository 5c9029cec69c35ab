"""Numbers, counted nouns and paths as people read them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MISSING = "–"
# Control characters, and marks that turn the direction of what follows.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
NEGLIGIBLE = 1e-4  # of the largest figure of a column: smaller ones ask for no decimals


def count(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count(2, "gap")
    '2 gaps'
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def joined(*texts: str, by: str = " · ") -> str:
    """Texts in a line, without those that are empty or stand there already.

    >>> joined("heat", "", "Europe/Copenhagen")
    'heat · Europe/Copenhagen'
    """
    return by.join(filter(None, dict.fromkeys(texts)))


def sentence(text: str) -> str:
    """A text that begins with a capital letter and ends with one full stop.

    >>> sentence("lowest MAE")
    'Lowest MAE.'
    """
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def from_here(path: Path) -> Path:
    """A path relative to the working directory where it lies below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def unit_name(unit: str) -> str:
    """A unit in a sentence, where the target has one.

    >>> unit_name("MW"), unit_name("")
    ('MW', 'units of the target')
    """
    return unit or "units of the target"


def significant(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits; a dash for none.

    >>> significant(0.0029444)
    '0.002944'
    """
    if value is None or math.isnan(value):
        return MISSING
    return f"{value:z.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"


def same_decimals(values: Sequence[float | None], digits: int = 4) -> list[str]:
    """Figures of one column, all with as many decimals; a dash for None and NaN.

    The largest gets `digits` significant digits and the smallest one less.

    >>> same_decimals([0.1527, 0.153, None])
    ['0.1527', '0.1530', '–']
    """
    sizes = [abs(v) for v in values if v is not None and math.isfinite(v) and v != 0.0]
    largest = max(sizes, default=1.0)
    smallest = min(size for size in [*sizes, largest] if size >= NEGLIGIBLE * largest)
    decimals = max(0, digits - 1 - _exponent(largest), digits - 2 - _exponent(smallest))
    return [fixed(value, decimals) for value in values]


def measured(value: float | None, digits: int = 4) -> str:
    """A measured figure with so many significant digits, zeros at its end among them.

    >>> measured(0.0264), significant(0.0264)
    ('0.02640', '0.0264')
    """
    return same_decimals([value], digits)[0]


def fixed(value: float | None, decimals: int, *, signed: bool = False) -> str:
    """A number with so many decimals, never -0.0; a dash for None and NaN.

    >>> fixed(-0.04, 1), fixed(-0.04, 1, signed=True)
    ('0.0', '+0.0')
    """
    if value is None or math.isnan(value):
        return MISSING
    return f"{value:{'+' if signed else ''}z.{decimals}f}"


def percent(share: float, decimals: int = 0) -> str:
    """A share within 0 to 1 as percent.

    >>> percent(0.006, 2)
    '0.60 %'
    """
    return f"{fixed(100.0 * share, decimals)} %"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that ends a message on an unknown name; empty where none is near. Case is ignored.

    >>> did_you_mean("nhit_q", ["TFT_Q", "NHITS_Q"])
    '; did you mean NHITS_Q?'
    """
    by_case = {other.casefold(): other for other in known}
    near = get_close_matches(name.casefold(), by_case, n=1)
    return f"; did you mean {by_case[near[0]]}?" if near else ""


def in_utc(time: datetime) -> str:
    """A time that carries a zone, in UTC and to the minute.

    >>> in_utc(datetime.fromisoformat("2026-03-29T02:00:00+02:00"))
    '2026-03-29 00:00 UTC'
    """
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds for people.

    >>> duration(3725)
    '1 h 2 min'
    """
    if seconds < 60.0:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _exponent(size: float) -> int:
    return math.floor(math.log10(size))


def visible(text: str) -> str:
    r"""The text with escapes in place of the signs that steer a terminal, but tabs and line feeds.

    >>> print(visible("a\x1b[31mb"))
    a\x1b[31mb
    """
    return _STEERING.sub(lambda sign: sign[0].encode("unicode_escape").decode("ascii"), text)
