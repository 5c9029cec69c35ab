"""Secrets in every form that a user may write them in, and what looks like one and is none."""

from __future__ import annotations

import pytest

from paretocast.redaction import holds_secret, redacted, without_secrets, without_secrets_of


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://anna:geheim@db:5432/x", "postgresql://anna@db:5432/x"),
        ("postgresql://anna:ge/heim@db:5432/x", "postgresql://anna@db:5432/x"),
        (
            "postgresql://anna:ge?heim@db/x?sslmode=require",
            "postgresql://anna@db/x?sslmode=require",
        ),
        ("postgresql://anna:ge@heim@db/x", "postgresql://anna@db/x"),
        ("postgresql://db/x?user=anna&password=geheim", "postgresql://db/x?user=anna"),
        ("postgresql://db/x?sslpassword=geheim&sslmode=a", "postgresql://db/x?sslmode=a"),
        ("postgresql:///x?PASSWORD=geheim", "postgresql:///x"),
        ("sqlite:////data/x.db?token=geheim", "sqlite:////data/x.db"),
        ("sqlite+libsql://h/x?authToken=geheim&secure=true", "sqlite+libsql://h/x?secure=true"),
        ("sqlite:////data/x.db", "sqlite:////data/x.db"),
        ("postgresql://me@h:5432/x?application_name=a@b", None),
        ("grpc://proxy:13000", None),
        ("journal", None),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str | None) -> None:
    assert without_secrets(url) == (url if shown is None else shown)
    assert "heim" not in redacted(f"storage {url} fails")


@pytest.mark.parametrize(
    "text",
    [
        "export PGPASSWORD=geheim",
        "export DB_PASS='ge heim'",
        "mytool --password geheim",
        "mytool --token=geheim",
        "curl -H 'Authorization: Bearer geheim123'",
        '{"password": "geheim"}',
        "WANDB_API_KEY=geheim python x.py",
        "export PARETOCAST_STORAGE='postgresql://me:ge heim@db/x'",
    ],
)
def test_a_named_secret_is_taken_out(text: str) -> None:
    assert holds_secret(text)
    assert "heim" not in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "export PGPASSFILE=~/.pgpass",
        "export PGPASSWORD=$(cat ~/.secret)",
        "mytool --token $TOKEN --passes 3",
        "the password was wrong, 5 trials passed: 3",
        "module load tokenizers=0.2",
        "postgresql+psycopg://me@host:5432/db",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_the_words_of_a_driver_lose_the_secrets_of_its_url() -> None:
    url = "postgresql://me:ge%2Fheim@db/x?token=abc"
    said = f"bad port 'ge%2Fheim@db' in {url}: login with ge/heim and abc failed"
    shown = without_secrets_of(url, said)
    assert "heim" not in shown
    assert "abc" not in shown
