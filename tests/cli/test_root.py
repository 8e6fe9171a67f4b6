"""Help, usage errors and global options, before any queue is reached."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from lokiredis.cli import VERBS, main
from lokiredis.cli.session import Session
from lokiredis.cli.tasks import STATES

from .conftest import ROOT, Cli

NAMES = [name for verbs in VERBS.values() for name in verbs]


def test_help_imports_nothing_slow() -> None:
    """pydantic and redis take longer to import than the whole of --help may take."""
    check = (
        "import sys; from click.testing import CliRunner; from lokiredis.cli import main;"
        "ran = CliRunner().invoke(main, ['--help']); assert ran.exit_code == 0, ran.output;"
        "print(*sorted({'pydantic', 'redis', 'rich', 'tenacity', 'yaml', 'asyncio'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_table_has_the_first_line_of_each_verbs_help(name: str, bare: Cli) -> None:
    """The table spares an import, and must not tell anything else."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    [text] = [verbs[name][1] for verbs in VERBS.values() if name in verbs]
    assert (command.help or "").startswith(text + "\n")
    assert text in bare("--help").out


def test_the_states_are_those_of_the_queue() -> None:
    """They are spelled twice, since models is slow to import."""
    from lokiredis.models import State

    assert tuple(State) == STATES


def test_short_help_works_everywhere(bare: Cli) -> None:
    """-h is --help."""
    for name in NAMES:
        assert bare(name, "-h").out == bare(name, "--help").out


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["claim"],
        ["claim", "--agent", "a"],
        ["claim", "--agent", "a", "--type", "t", "--wait", "-1"],
        ["claim", "--bogus"],
        ["enqueue"],
        ["enqueue", "--type", "t", "--payload", "{"],
        ["enqueue", "--type", "t", "--payload", "[]"],
        ["enqueue", "--type", "t", "--file", "x"],
        ["enqueue", "--type", "t", "--field", "priority=5"],
        ["enqueue", "--type", "t", "--field", "priority:=5"],
        ["complete"],
        ["complete", "x"],
        ["complete", "x", "nonsense"],
        ["fail", "x", "1", "--error", "e", "--retry-after", "5"],
        ["fail", "x", "1", "--error", "e", "--rate-limited", "--no-retry"],
        ["fail", "x", "1"],
        ["resume", "--type", "t", "--agent", "a"],
        ["list", "--state", "lost"],
        ["server", "start", "--bind", "127.0.0.1"],
        ["completion", "tcsh"],
        ["--queue", "a{b}", "status"],
        ["status", "--queue", ""],
        ["breaker"],
        [],
    ],
)
def test_a_usage_error_ends_with_2(words: list[str], bare: Cli) -> None:
    """With one line for people, and one document for programs."""
    assert bare(*words, code=2).out == ""
    error = bare("--json", *words, code=2).error
    assert error["code"] == "Usage"
    assert error["message"]
    assert "\n" not in error["message"]


def test_json_after_the_mistake_still_counts(bare: Cli) -> None:
    """click stops at the first wrong option and never sees it."""
    assert bare("claim", "--bogus", "--json", code=2).error["code"] == "Usage"
    assert bare("claim", "--bogus", code=2, environment={"LOKIREDIS_JSON": "1"}).error["code"] == "Usage"
    assert bare("show", "--bogus", "--", "--json", code=2).err.startswith("Usage:")


@pytest.mark.parametrize(
    ("words", "environment", "found"),
    [
        (["probe"], {}, (None, None, None)),
        (["--url", "u1", "probe"], {}, ("u1", None, None)),
        (["probe", "--url", "u2"], {}, ("u2", None, None)),
        (["--url", "u1", "probe", "--url", "u2"], {}, ("u2", None, None)),
        (["--url", "u1", "--queue", "q1", "probe", "--json"], {}, ("u1", "q1", True)),
        (["probe"], {"LOKIREDIS_URL": "e", "LOKIREDIS_QUEUE": "eq", "LOKIREDIS_JSON": "1"}, ("e", "eq", True)),
        (["--url", "u1", "probe"], {"LOKIREDIS_URL": "e"}, ("u1", None, None)),
        (["probe", "--url", "u2"], {"LOKIREDIS_URL": "e"}, ("u2", None, None)),
        (["probe"], {"LOKIREDIS_JSON": "0"}, (None, None, False)),
    ],
)
def test_global_options_stand_before_or_after_the_verb(
    words: list[str],
    environment: dict[str, str],
    found: tuple[str | None, str | None, bool | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The nearest to the verb wins, the environment comes last."""
    from lokiredis.cli.verb import Verb

    seen: list[Session] = []

    @click.command(cls=Verb, examples="")
    @click.make_pass_decorator(Session)
    def probe(session: Session) -> None:
        seen.append(session)

    monkeypatch.setattr(type(main), "get_command", lambda self, ctx, name: probe)
    Cli(environment)(*words)
    assert [(one.url, one.queue_name, one.json) for one in seen] == [found]


def test_the_version_is_told(bare: Cli) -> None:
    """Without a queue."""
    assert re.fullmatch(r"lokiredis \d+\.\d+\.\d+\n", bare("--version").out)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(shell: str, bare: Cli) -> None:
    """For each shell that click knows."""
    assert "_LOKIREDIS_COMPLETE" in bare("completion", shell).out


def test_verbs_and_options_are_completed() -> None:
    """What the script asks for."""
    from click.shell_completion import ShellComplete

    complete = ShellComplete(main, {}, "lokiredis", "_LOKIREDIS_COMPLETE")
    assert [item.value for item in complete.get_completions([], "cl")] == ["claim"]
    assert "--wait" in [item.value for item in complete.get_completions(["claim"], "--w")]
    assert "dead-letter" in [item.value for item in complete.get_completions(["list", "--state"], "de")]


@pytest.mark.parametrize(
    "url",
    [
        "redis://alice:hunter22@127.0.0.1:1/0?socket_timeout=1",
        "redis://127.0.0.1:1/0?password=hunter22",
        "unix:///nowhere/redis.sock?password=hunter22",
        "unix://:hunter22@/nowhere/redis.sock",
        "redis://:hunter22@nowhere.invalid:6379",
    ],
)
def test_no_url_shows_its_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever place it stands."""
    monkeypatch.setattr("lokiredis.cli.session._RETRY_FOR", 0.1)
    ran = Cli({"LOKIREDIS_URL": url})("status", code=6)
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert "hunter" not in ran.err
    assert "nowhere" in ran.err or "127.0.0.1:1" in ran.err
    assert "hunter" not in Cli({"LOKIREDIS_URL": url})("status", "--json", code=6).error["message"]


@pytest.mark.parametrize("url", ["localhost:6379", "http://x:hunter22@y", "redis://:hunt/er22@h:1", "redis://h:x/0"])
def test_what_is_no_redis_url_is_a_usage_error(url: str) -> None:
    """Nor shown with its password."""
    ran = Cli({"LOKIREDIS_URL": url})("status", code=2)
    assert "not a Redis URL" in ran.err
    assert "er22" not in ran.err


@pytest.mark.parametrize("name", ["LOKIREDIS_VERSION", "LOKIREDIS_HELP", "LOKIREDIS__CLICK_DEFAULT_HELP"])
@pytest.mark.parametrize("verb", ["", "STATUS_"])
def test_version_and_help_have_no_twin(name: str, verb: str, cli: Cli) -> None:
    """Whoever exports a version for a build must still be able to work."""
    name = name.replace("LOKIREDIS_", f"LOKIREDIS_{verb}", 1)
    assert "0 pending" in cli("status", environment={name: "1"}).out


@pytest.mark.parametrize("words", [["--queue", "good", "status"], ["status", "--queue", "good"]])
@pytest.mark.parametrize("json", [["--json"], []])
def test_a_bad_variable_does_not_beat_a_good_option(words: list[str], json: list[str], cli: Cli) -> None:
    """On whichever side of the verb the option stands."""
    environment = {"LOKIREDIS_QUEUE": "bad!"} | ({"LOKIREDIS_JSON": "maybe"} if json else {})
    assert cli(*words, *json, environment=environment).out
    assert cli(*json, *words, environment=environment).out


def test_a_bad_variable_that_counts_is_a_usage_error(bare: Cli) -> None:
    """Named."""
    assert "LOKIREDIS_JSON" in bare("status", code=2, environment={"LOKIREDIS_JSON": "maybe"}).err
    assert "queue" in bare("status", code=2, environment={"LOKIREDIS_QUEUE": "bad!"}).err


@pytest.mark.parametrize("words", [["--nope"], ["nope"], ["claim", "--nope"], []])
def test_json_in_the_environment_counts_for_every_mistake(words: list[str], bare: Cli) -> None:
    """Also for one before the verb."""
    assert bare(*words, code=2, environment={"LOKIREDIS_JSON": "1"}).error["code"] == "Usage"
    assert bare(*words, code=2, environment={"LOKIREDIS_JSON": "0"}).err.startswith("Usage:")


@pytest.mark.parametrize("verb", [["server", "status"], ["server", "stop"], ["completion", "bash"], ["demo"]])
@pytest.mark.parametrize("option", [["--url", "redis://x"], ["--queue", "q"]])
def test_what_reaches_no_queue_refuses_one(verb: list[str], option: list[str], bare: Cli) -> None:
    """``--url … server stop`` would stop another server than the one named."""
    assert f"{option[0]}: " in bare(*option, *verb, code=2).err
    bare(*option, *verb, "--help")


def test_the_version_is_a_document_with_json(bare: Cli) -> None:
    """On either side."""
    for words in (["--json", "--version"], ["--version", "--json"]):
        assert re.fullmatch(r"\d+\.\d+\.\d+", bare(*words).data["version"])
    assert bare("--version", environment={"LOKIREDIS_JSON": "1"}).data["version"]


def test_a_usage_error_has_no_escapes(bare: Cli) -> None:
    """click puts the choices on lines of their own."""
    ran = bare("completion", code=2)
    assert "\\n" not in ran.err
    assert "bash, zsh, fish" in ran.err
