"""A password must never be on the screen."""

from __future__ import annotations

import pytest

from lokiredis.cli.address import shown_url, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:hunter22@localhost:6379/0", "redis://:***@localhost:6379/0"),
        ("rediss://alice:hunter22@[::1]:6379/1", "rediss://alice:***@[::1]:6379/1"),
        ("redis://hunter22@localhost", "redis://:***@localhost"),
        ("redis://:hunt@er22@localhost/0", "redis://:***@localhost/0"),
        ("redis://localhost/0?password=hunter22&db=1", "redis://localhost/0"),
        ("unix:///run/redis.sock?password=hunter22", "unix:///run/redis.sock"),
        ("unix://:hunter22@/run/redis.sock", "unix://:***@/run/redis.sock"),
        ("unix:///run/a@b.sock", "unix:///run/a@b.sock"),
        ("redis://:hunt/er22@localhost", "redis://…"),
        ("redis://:hunt?er22@localhost", "redis://…"),
        ("redis://:hunt#er22@localhost", "redis://…"),
        ("redis://alice:12/34@localhost", "redis://…"),
        ("redis://localhost/0?password=hun@ter22", "redis://…"),
        ("redis+sentinel://u:hunter22@a:1,[::1]:2,c/m/0?x=1", "redis+sentinel://u:***@a:1,[::1]:2,c/m/0"),
        ("rediss+cluster://:hunter22@a,b:7000", "rediss+cluster://:***@a,b:7000"),
        ("redis+cluster://:hunt,er22@a,b", "redis+cluster://:***@a,b"),
        ("redis+cluster://:hunt/er22@a,b", "redis+cluster://…"),
        ("redis+sentinel://a,b/m?sentinel_password=hunter22", "redis+sentinel://a,b/m"),
        ("localhost:6379", "…"),
        ("", "…"),
    ],
)
def test_a_url_is_shown_without_password_and_query(url: str, shown: str) -> None:
    """When in doubt only the scheme is shown."""
    assert shown_url(url) == shown
    assert "er22" not in shown_url(url)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("redis://:hunter22@h:1/0", "Error connecting to redis://:hunter22@h:1/0"),
        ("redis://:hunter22@h:1/0", "AUTH hunter22 failed"),
        ("redis://:hunter%2022@h:1/0", "AUTH hunter 22 failed"),
        ("unix:///x?password=hunter22", "AUTH hunter22 failed"),
        ("redis+sentinel://a,[::1]/m?sentinel_password=hunter22", "AUTH hunter22 failed"),
    ],
)
def test_an_error_that_quotes_the_password_is_cleaned(url: str, error: str) -> None:
    """Libraries put URLs into their messages."""
    cleaned = without_secrets(error, url)
    assert "22" not in cleaned
    assert "***" in cleaned
