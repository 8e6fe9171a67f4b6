"""``heartbeat``, ``complete``, ``fail``, ``release``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Cli


@pytest.fixture
def held(cli: Cli) -> tuple[str, str]:
    """Id and token of a claimed task."""
    cli("enqueue", "--type", "t", "--id", "x", "--backoff", "1h")
    claim = cli.json("claim", "--agent", "a-1", "--type", "t", "--lease", "1m")["claim"]
    return "x", str(claim["token"])


def task(cli: Cli) -> Any:
    """The task of these tests."""
    return cli.json("show", "x")["task"]


def test_a_heartbeat_renews_and_stores(cli: Cli, held: tuple[str, str]) -> None:
    """Checkpoint as JSON, progress as text."""
    before = task(cli)["leaseExpiresAt"]
    data = cli.json("heartbeat", *held, "--progress", "3 of 7", "--checkpoint", "-", stdin='{"n": 3}')
    assert data["deadline"] >= before
    assert data == {"id": "x", "deadline": data["deadline"], "cancelled": False}
    assert (task(cli)["progress"], task(cli)["checkpoint"]) == ("3 of 7", {"n": 3})
    assert "x is yours until 2" in cli("heartbeat", *held).out


def test_a_heartbeat_of_a_cancelled_task_is_5(cli: Cli, held: tuple[str, str]) -> None:
    """A script that looks at the exit code alone stops."""
    cli("cancel", "x", "--reason", "changed our minds")
    assert cli.json("heartbeat", *held, code=5) == {"id": "x", "deadline": None, "cancelled": True}
    assert cli("complete", *held, "--why", "w", "--json", code=5).error["code"] == "StaleClaim"


def test_complete_with_the_usual_keys(cli: Cli, held: tuple[str, str], tmp_path: Path) -> None:
    """Options win over --report; the rest of the report stays."""
    (tmp_path / "out.md").write_text("# Done\n")
    (tmp_path / "report.json").write_text(json.dumps({"why": "old", "mine": [1]}))
    words = ["--output", "@out.md", "--report", "@report.json", "--why", "new", "--what", "w", "--trade-offs", "t"]
    words += ["--risks", "@@r", "--test-results", "12 passed", "--next-steps", "n"]
    data = cli.json("complete", *held, *words)
    assert data == {"id": "x", "state": "completed", "retries": 0, "availableAt": None}
    report = {
        "why": "new", "mine": [1], "what": "w", "tradeOffs": "t", "risks": "@r", "testResults": "12 passed",
        "nextSteps": "n",
    }  # fmt: skip
    assert task(cli)["result"] == {"status": "success", "output": "# Done\n", "decisionReport": report}


def test_complete_with_a_whole_result(cli: Cli, held: tuple[str, str]) -> None:
    """Other keys stay."""
    result = {"status": "success", "decisionReport": {"why": "w"}, "files": ["a"]}
    cli("complete", *held, "--result", json.dumps(result))
    assert task(cli)["result"] == result
    assert "excludes --why" in cli("complete", *held, "--result", "{}", "--why", "w", code=2).err


def test_complete_without_a_report_keeps_the_claim(cli: Cli, held: tuple[str, str]) -> None:
    """The task can be completed properly afterwards."""
    assert cli("complete", *held, "--output", "o", "--json", code=1).error["code"] == "DecisionReportMissing"
    assert task(cli)["result"]["status"] == "incomplete"
    cli("complete", *held, "--output", "o", "--why", "w")
    assert task(cli)["result"]["status"] == "success"


def test_a_repeated_ending_gives_the_same_answer(cli: Cli, held: tuple[str, str]) -> None:
    """And another ending with that token is stale."""
    words = ("complete", *held, "--why", "w")
    assert cli.json(*words) == cli.json(*words)
    assert cli("fail", *held, "--error", "e", "--json", code=5).error["code"] == "StaleClaim"


def test_the_claim_may_come_from_the_environment(cli: Cli, held: tuple[str, str]) -> None:
    """Or from options, or half of each."""
    id, token = held
    both = {"LOKIREDIS_TASK_ID": id, "LOKIREDIS_TOKEN": token}
    cli("heartbeat", environment=both)
    cli("heartbeat", "x", environment=both)
    cli("heartbeat", "x", environment={"LOKIREDIS_TOKEN": token})
    cli("heartbeat", "--task", id, "--token", token)
    cli("heartbeat", "--token", token, "x")
    assert "belongs to x, not to y" in cli("heartbeat", "y", code=2, environment=both).err
    assert cli("heartbeat", "y", token, "--json", code=1, environment=both).error["code"] == "TaskNotFound"


def test_a_failure_comes_back_later(cli: Cli, held: tuple[str, str]) -> None:
    """With its error from standard input."""
    data = cli.json("fail", *held, "--error", "-", stdin="boom\n")
    assert (data["state"], data["retries"]) == ("pending", 1)
    assert data["availableAt"] == task(cli)["availableAt"]
    assert task(cli)["lastError"] == "boom\n"


def test_a_hopeless_failure_is_a_dead_letter(cli: Cli, held: tuple[str, str]) -> None:
    """At once."""
    assert cli.json("fail", *held, "--error", "e", "--no-retry")["state"] == "dead-letter"


def test_a_rate_limit_holds_the_agent(cli: Cli, held: tuple[str, str]) -> None:
    """For the time in the error; the task stays with it, uncharged."""
    words = ("fail", *held, "--error", "429: try again in 1m30s", "--rate-limited", "--checkpoint", '{"n": 3}')
    data = cli.json(*words)
    assert (data["wait"], data["released"]) == (90, False)
    found = cli.json("show", "x")
    assert (found["state"], found["task"]["checkpoint"], found["task"]["retries"]) == ("in-progress", {"n": 3}, 0)


def test_a_rate_limited_task_can_be_handed_back(cli: Cli, held: tuple[str, str]) -> None:
    """For another agent."""
    ran = cli("fail", *held, "--error", "429", "--rate-limited", "--retry-after", "1m30s", "--hand-back")
    assert "The agent is held for 1m30s" in ran.out
    assert "the task was handed back" in ran.out
    assert cli.json("show", "x")["state"] == "pending"


def test_a_released_task_is_not_charged(cli: Cli, held: tuple[str, str]) -> None:
    """With delay and reason."""
    data = cli.json("release", *held, "--delay", "10m", "--reason", "going home")
    assert (data["state"], data["retries"]) == ("pending", 0)
    assert data["availableAt"] is not None
    assert task(cli)["attempts"][0]["error"] == "going home"
    assert "going home" in cli("show", "x").out


def test_a_stale_token_is_5(cli: Cli, held: tuple[str, str]) -> None:
    """For every verb."""
    for words in (["heartbeat"], ["complete", "--why", "w"], ["fail", "--error", "e"], ["release"]):
        ran = cli(words[0], "x", "5", *words[1:], code=5)
        assert ran.err.startswith("Error: ")
        assert ran.err.count("\n") == 1


@pytest.mark.parametrize("source", ["@build.log", "-"])
def test_an_error_that_is_not_utf_8_ends_the_claim_all_the_same(
    source: str, cli: Cli, held: tuple[str, str], tmp_path: Path
) -> None:
    """A stray byte in a build log must not keep the task."""
    log = b"boom \xff\xfe\n"
    (tmp_path / "build.log").write_bytes(log)
    assert cli.json("fail", *held, "--error", source, stdin=log)["state"] == "pending"
    assert task(cli)["lastError"] == "boom \ufffd\ufffd\n"


def test_reasons_and_notes_may_hold_any_bytes(cli: Cli, held: tuple[str, str]) -> None:
    """A shell hands them over as unpaired surrogates."""
    cli("release", *held, "--reason", "bad \udcff")
    assert task(cli)["attempts"][0]["error"] == "bad \ufffd"
    token = cli.json("claim", "--agent", "a-1", "--type", "t")["claim"]["token"]
    cli("fail", "x", token, "--error", "\udcff!", "--no-retry")
    assert task(cli)["lastError"] == "\ufffd!"
    cli("dead", "escalate", "x", "--note", "n \udcff")
    assert task(cli)["escalationNote"] == "n \ufffd"


def test_json_stays_strict(cli: Cli, held: tuple[str, str]) -> None:
    """A checkpoint with a replaced byte would be another checkpoint."""
    assert "not valid UTF-8" in cli("heartbeat", *held, "--checkpoint", "-", stdin=b'"\xff"', code=2).err


@pytest.mark.parametrize("progress", ["[3/7] reading", "{almost", '"half done"'])
def test_a_progress_that_is_not_json_is_text(progress: str, cli: Cli, held: tuple[str, str]) -> None:
    """And the lease is renewed."""
    cli("heartbeat", *held, "--progress", progress)
    assert task(cli)["progress"] == progress


def test_two_claims_at_once_are_a_usage_error(cli: Cli, held: tuple[str, str]) -> None:
    """One of them would be ignored; what stands in the environment may be."""
    id, token = held
    for words in ([id, token, "--task", "y"], [id, token, "--token", "5"], [id, "--task", "y", "--token", token]):
        assert cli("release", *words, "--json", code=2).error["code"] == "Usage"
    cli("heartbeat", id, token, environment={"LOKIREDIS_TASK_ID": "y", "LOKIREDIS_TOKEN": "5"})
    cli("heartbeat", id, token, "--task", id, "--token", token)


@pytest.mark.parametrize(
    "words", [["x", "{token}"], ["--task", "x", "--token", "{token}"], ["--token", "{token}", "x"]]
)
def test_a_bad_variable_does_not_beat_what_is_given(words: list[str], cli: Cli, held: tuple[str, str]) -> None:
    """It is not looked at."""
    cli("heartbeat", *(word.format(token=held[1]) for word in words), environment={"LOKIREDIS_TOKEN": "garbage"})


def test_a_bad_variable_that_counts_is_named(bare: Cli) -> None:
    """A usage error."""
    ran = bare("heartbeat", "x", code=2, environment={"LOKIREDIS_TOKEN": "garbage"})
    assert "LOKIREDIS_TOKEN" in ran.err


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["heartbeat", "x", "5", "--checkpoint", "@/nope"], "--checkpoint"),
        (["heartbeat", "x", "5", "--checkpoint", '"\\ud800"'], "--checkpoint"),
        (["fail", "x", "5", "--error", "@/nope"], "--error"),
        (["complete", "x", "5", "--result", '{"status": "failed"}'], "--result"),
        (["release", "x", "5", "--delay", "4000d"], "--delay"),
        (["heartbeat", "x", "--", "-5"], "TOKEN"),
    ],
)
def test_a_wrong_value_of_an_ending_names_its_option(words: list[str], option: str, bare: Cli) -> None:
    """A usage error, before a server is asked."""
    assert option in bare(*words, "--json", code=2).error["message"] if "--" not in words else bare(*words, code=2).err
