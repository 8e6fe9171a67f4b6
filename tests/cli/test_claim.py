"""``lokiredis claim``."""

from __future__ import annotations

import json
import re

import pytest

from ..servers import RedisServer
from .conftest import Cli, Program
from .test_process import wait_until_blocked

CLAIM = ("claim", "--agent", "a-1", "--type", "t")


def test_a_claim_has_all_that_an_agent_needs(cli: Cli) -> None:
    """Id, token, deadline, lease and the task."""
    cli("enqueue", "--type", "t", "--id", "x", "--payload", '{"do": "it"}')
    data = cli.json(*CLAIM, "--lease", "1m")
    claim = data.pop("claim")
    assert data == {"reason": None, "retryAfter": None}
    assert claim["id"] == "x"
    assert claim["token"] > 1e12
    assert claim["lease"] == 60
    assert claim["deadline"] > claim["task"]["claimedAt"]
    assert claim["task"]["payload"] == {"do": "it"}
    assert claim["task"]["claimedBy"] == "a-1"


def test_people_are_told_how_to_finish(cli: Cli) -> None:
    """With id and token to copy."""
    cli("enqueue", "--type", "t", "--id", "x", "--payload", '{"do": "it"}')
    out = cli(*CLAIM).out
    token = cli.json("show", "x")["task"]["token"]
    assert f"lokiredis complete x {token} " in out
    assert '"do": "it"' in out


def test_with_a_limit_claims_are_a_list(cli: Cli) -> None:
    """Also with --limit 1, so that a program needs one way to read it."""
    for n in range(4):
        cli("enqueue", "--type", "t", "--id", f"x-{n}", "--key", "", "--priority", n + 1)
    assert [one["id"] for one in cli.json(*CLAIM, "--limit", 1)["claims"]] == ["x-3"]
    data = cli.json(*CLAIM, "--limit", 9)
    assert [one["id"] for one in data["claims"]] == ["x-2", "x-1", "x-0"]
    data = cli.json(*CLAIM, "--limit", 9, code=3)
    assert (data["claims"], data["reason"]) == ([], "empty")
    # Time alone can bring work: these claims may run out.
    assert 3500 < data["retryAfter"] <= 3600


def test_nothing_to_claim_is_3(cli: Cli) -> None:
    """empty, blocked, delayed; and people get a sentence on standard error."""
    assert cli.json(*CLAIM, code=3) == {"claim": None, "reason": "empty", "retryAfter": None}
    ran = cli(*CLAIM, code=3)
    assert ran.out == ""
    assert ran.err == "Nothing to claim: there are no tasks of these types.\n"
    cli("enqueue", "--type", "other", "--id", "x")
    cli("enqueue", "--type", "t", "--id", "y", "--depends", "x")
    assert cli.json(*CLAIM, code=3)["reason"] == "blocked"
    cli("enqueue", "--type", "t", "--id", "z", "--delay", "1h")
    data = cli.json(*CLAIM, code=3)
    assert data["reason"] == "delayed"
    assert 3500 < data["retryAfter"] <= 3600
    assert re.search("wait for their time; ask again in (59m|1h)", cli(*CLAIM, code=3).err)


def test_held_back_is_4(cli: Cli) -> None:
    """paused, slowdown, held, breaker, with retryAfter when time alone will do."""
    for id in ("x", "y"):
        cli("enqueue", "--type", "t", "--id", id, "--key", "")
    cli("pause", "--type", "t")
    assert cli.json(*CLAIM, code=4) == {"claim": None, "reason": "paused", "retryAfter": None}
    cli("resume", "--type", "t")
    cli("slowdown", "--wait", "10m")
    data = cli.json(*CLAIM, code=4)
    assert data["reason"] == "slowdown"
    assert 590 < data["retryAfter"] <= 600
    cli("slowdown", "--wait", "0")
    cli("breaker", "trip", "t")
    assert cli.json(*CLAIM, code=4)["reason"] == "breaker"
    cli("breaker", "reset", "t")
    claim = cli.json(*CLAIM)["claim"]
    cli("fail", claim["id"], claim["token"], "--error", "429", "--rate-limited", "--retry-after", "1h")
    cli("slowdown", "--wait", "0")
    assert cli.json(*CLAIM, code=4)["reason"] == "held"
    cli("resume", "--agent", "a-1")
    assert cli.json(*CLAIM)["claim"]["id"] == "y"


def test_a_repeated_request_gets_the_same_claim(cli: Cli) -> None:
    """For a script whose answer was lost."""
    for id in ("x", "y"):
        cli("enqueue", "--type", "t", "--id", id, "--key", "")
    first = cli.json(*CLAIM, "--request", "r-1")["claim"]
    assert cli.json(*CLAIM, "--request", "r-1")["claim"]["token"] == first["token"]
    assert cli.json(*CLAIM, "--request", "r-2")["claim"]["id"] != first["id"]


def test_a_wait_that_ends_without_work_gives_the_reason(cli: Cli) -> None:
    """Not an error of its own."""
    assert cli.json(*CLAIM, "--wait", "300ms", code=3)["reason"] == "empty"
    assert cli.json(*CLAIM, "--wait", "300ms", "--limit", "2", code=3)["claims"] == []


def test_a_claim_that_cannot_be_printed_is_handed_back(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows its token: it would be lost until its lease ends."""
    cli("enqueue", "--type", "t", "--id", "x")
    with monkeypatch.context() as patch:

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr("lokiredis.cli.session.Session.answer", full)
        assert "No space left on device" in cli(*CLAIM, code=1).err
    assert cli.json("show", "x")["state"] == "pending"


@pytest.mark.parametrize(
    "words",
    [["--agent", "a b"], ["--agent", ""], ["--type", "x y"], ["--type", ""], ["--lease", "0"], ["--request", "é"],
     ["--request", "a b"]],
)  # fmt: skip
def test_a_wrong_value_is_a_usage_error(words: list[str], bare: Cli) -> None:
    """It names the option, and no server is asked."""
    error = bare(*CLAIM, *words, "--json", code=2).error
    assert error["code"] == "Usage"
    assert words[0] in error["message"]


def test_more_types_than_a_claim_takes_are_a_usage_error(bare: Cli) -> None:
    """100 is the limit."""
    types = [word for n in range(101) for word in ("--type", f"t-{n}")]
    assert "--type" in bare("claim", "--agent", "a", *types, code=2).err


def test_a_repeated_claim_of_several_that_waited_gets_the_same(program: Program, server7: RedisServer) -> None:
    """The claim that ended the wait is the one that the request stands for, although the first try found nothing."""
    words = (*CLAIM, "--limit", "3", "--wait", "30s", "--request", "r-1", "--json")
    waiting = program.start(*words)
    wait_until_blocked(server7)
    plan = "\n".join(f'{{"type": "t", "id": "x-{n}", "n": {n}}}' for n in range(9))
    program("enqueue", "--file", "-", stdin=plan.encode())
    out, _ = waiting.communicate(timeout=60)
    first = json.loads(out)["data"]["claims"]
    assert first
    for _ in range(2):
        again = program(*words).data["claims"]
        assert [(one["id"], one["token"]) for one in again] == [(one["id"], one["token"]) for one in first]
    assert program("status", "--json").data["counts"]["in-progress"] == len(first)


def test_a_request_may_be_as_long_as_allowed(cli: Cli) -> None:
    """Nothing is added to it."""
    request = "r" * 128
    assert cli.json(*CLAIM, "--limit", "2", "--request", request, code=3)["reason"] == "empty"
    cli("enqueue", "--type", "t", "--id", "x")
    assert [one["id"] for one in cli.json(*CLAIM, "--limit", "2", "--request", request)["claims"]] == ["x"]


def test_a_claim_of_several_that_waited_takes_more_than_the_one_that_woke_it(
    program: Program, server7: RedisServer
) -> None:
    """Without a request, that nobody repeats."""
    waiting = program.start(*CLAIM, "--limit", "3", "--wait", "30s", "--json")
    wait_until_blocked(server7)
    plan = "\n".join(f'{{"type": "t", "id": "x-{n}", "n": {n}}}' for n in range(9))
    program("enqueue", "--file", "-", stdin=plan.encode())
    out, _ = waiting.communicate(timeout=60)
    assert len(json.loads(out)["data"]["claims"]) == 3
