"""Passwords and tokens taken out of a text before it is shown, stored or put into a job script.

One place decides what a secret is: the password of a URL, whatever characters it holds; parameters
of a URL's query, variables and options with a telling name; and what follows `Bearer`. A reference
such as `$TOKEN` or `$(cat file)`, and the name of a file that holds one, are no secrets.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"
_TELLING = (
    r"(?:password|passwd|passphrase|secret|credentials?|token|(?:api|access|account)_?key"
    r"|(?-i:(?<![a-z])(?:pass|PASS|pwd|PWD)))"
)
_KEY = re.compile(rf"{_TELLING}$|^(?:auth|sig|signature|key)$", re.IGNORECASE)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>`]+")
_URL_WITH_BLANK = re.compile(r"(://[^\s:/@]*):(?!\d+(?:[\s/]|$))[^@\n]{1,200}@")
_VALUE = r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s'\";|&)]+)"
# A name such as PGPASSWORD and, behind = or :, its value; or an option such as --token and a blank.
_NAMED = (
    re.compile(rf"(?P<name>[\w-]*{_TELLING}[\"']?\s*[=:]\s*){_VALUE}", re.IGNORECASE),
    re.compile(rf"(?P<name>(?<!\S)--?[\w-]*{_TELLING}\s+){_VALUE}", re.IGNORECASE),
    re.compile(r"(?P<name>\b(?:Bearer|Basic)\s+)(?P<value>[A-Za-z0-9._~+/=-]{6,})"),
)
_REFERENCE = re.compile(r"[\"']?(?:\$|~|/|\.{1,2}/|\*+|…|<|\{|\[)")
_PORT = re.compile(r"[^:/@]*:\d+(?:/|$)")


def without_secrets(url: str) -> str:
    """A URL without its password and without the secret parameters of its query.

    >>> without_secrets("postgresql://anna:s3/cr@et@db.example/study?sslmode=require&token=abc")
    'postgresql://anna@db.example/study?sslmode=require'
    """
    return _split(url)[0]


def without_secrets_of(url: str, text: str) -> str:
    """A text about a URL, such as the words of a driver, without the secrets of that URL.

    >>> without_secrets_of("pg://me:s3%2Fcret@db", "login with s3/cret failed")
    'login with *** failed'
    """
    shown, secrets = _split(url)
    text = text.replace(url, shown)
    for secret in secrets:
        for form in (secret, unquote(secret)):
            text = text.replace(form, HIDDEN)
    return redacted(text)


def redacted(text: str) -> str:
    """A text with every password and token in it replaced by `***`, or cut out of its URL.

    >>> redacted("export PGPASSWORD='geh eim' TOKEN=$TOKEN; psql postgresql://me:p4ss@db/hpo")
    'export PGPASSWORD=*** TOKEN=$TOKEN; psql postgresql://me@db/hpo'
    """
    text = _URL.sub(lambda match: without_secrets(match[0]), text)
    text = _URL_WITH_BLANK.sub(r"\1@", text)
    for pattern in _NAMED:
        text = pattern.sub(_without_value, text)
    return text


def holds_secret(text: str) -> bool:
    """Return whether a text holds a password or a token.

    >>> holds_secret("postgresql://me:geheim@db/hpo"), holds_secret("postgresql://me@db/hpo")
    (True, False)
    """
    return redacted(text) != text


def _split(url: str) -> tuple[str, tuple[str, ...]]:
    """A URL without its secrets, and the secrets."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url, ()
    head, mark, query = rest.partition("?")
    userinfo, at, place = head.rpartition("@")
    if not at and "@" in query and ":" in head and not _PORT.match(head):
        userinfo, at, place = rest.rpartition("@")  # the password holds a question mark
        place, mark, query = place.partition("?")
    user, _, password = userinfo.partition(":")
    parameters = [(part, *part.partition("=")) for part in re.split("[&;]", query)]
    shown = "&".join(part for part, name, *_ in parameters if not _KEY.search(name))
    secrets = (password, *(value for _, name, _, value in parameters if _KEY.search(name)))
    return (
        f"{scheme}://{user}{at}{place}{mark if shown else ''}{shown}",
        tuple(secret for secret in secrets if secret),
    )


def _without_value(match: re.Match[str]) -> str:
    return match[0] if _REFERENCE.match(match["value"]) else f"{match['name']}{HIDDEN}"
