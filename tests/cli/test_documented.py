"""Every command has help, examples that it would take, a section in docs/commands.md; every option help and a twin."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from lokiredis.cli import main

from .conftest import ROOT, Cli

DOCS = ROOT / "docs" / "commands.md"


def contexts(parent: click.Context, group: click.Group) -> Iterator[click.Context]:
    """Every command below *group*, in its context."""
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command is not None
        context = click.Context(command, parent, name)
        yield context
        if isinstance(command, click.Group):
            yield from contexts(context, command)


TOP = click.Context(main, info_name="lokiredis", **main.context_settings)
ALL = [TOP, *contexts(TOP, main)]
each_command = pytest.mark.parametrize("context", ALL, ids=[context.command_path for context in ALL])


def command_lines(text: str) -> list[list[str]]:
    """The ``lokiredis …`` command lines in shell examples, as words."""
    found = []
    for line in text.splitlines():
        line = re.sub(r"\$\(([^()]*)\)", r"\1", line.strip())
        for part in re.split(r"\s\|\s|\s>>?\s|\s<\s|&&|;\s", line):
            part = re.sub(r"^(?:[A-Z_]+=\S+\s+)*", "", part.strip())
            if part.startswith("lokiredis "):
                found.append(shlex.split(part.split(" # ")[0])[1:])
    return found


def check_line(words: list[str]) -> None:
    """Parse a command line as far as the values: every verb and option must exist, none be missing."""
    context = TOP
    while True:
        command = context.command
        assert isinstance(command, (click.Command, click.Group))
        values, rest, _ = command.make_parser(context).parse_args(list(words))
        if not isinstance(command, click.Group):
            break
        if not rest:
            assert "help" in str(words) or "version" in str(words), f"no command: {words}"
            return
        found = command.get_command(context, rest[0])
        assert found is not None, f"no command {rest[0]}"
        context, words = click.Context(found, context, rest[0]), rest[1:]
    assert not rest, f"too many words: {rest}"
    missing = [p.name for p in command.params if p.required and values.get(str(p.name)) is None and not p.envvar]
    assert not missing or "_click_default_help" in values, f"{words} lacks {missing}"


@each_command
def test_every_command_has_help_and_examples_that_it_takes(context: click.Context) -> None:
    """An example with a wrong option would be the first thing that a user tries."""
    help = context.get_help()
    assert (context.command.help or "").strip()
    lines = command_lines(help.partition("\nExamples:\n")[2])
    assert lines
    for words in lines:
        check_line(words)


@each_command
def test_every_option_has_help_and_an_environment_twin(context: click.Context) -> None:
    """Named as the option: LOKIREDIS_CLAIM_WAIT for claim --wait."""
    for param in context.command.params:
        if not isinstance(param, click.Option) or param.name == "version":
            continue
        assert param.help, param.name
        flag = next(opt for opt in param.opts if opt.startswith("--"))
        assert param.allow_from_autoenv
        assert param.envvar or param.name == flag[2:].replace("-", "_"), f"the twin of {flag} has another name"


def test_the_twins_have_an_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """All options of claim, from the environment alone."""
    for name, value in {
        "AGENT": "a/1", "CLAIM_TYPE": "x y", "CLAIM_LIMIT": "3", "CLAIM_WAIT": "30m", "CLAIM_LEASE": "1m",
        "CLAIM_REQUEST": "r-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"LOKIREDIS_{name}", value)
    claim = main.get_command(TOP, "claim")
    assert claim is not None
    found = claim.make_context("claim", [], TOP).params
    assert found == {"agent": "a/1", "type": ("x", "y"), "limit": 3, "wait": 1800, "lease": 60, "request": "r-1"}


def test_a_field_in_the_environment_may_hold_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """One field to a line."""
    monkeypatch.setenv("LOKIREDIS_ENQUEUE_FIELD", "title=Fix the bug\nn:=5")
    enqueue = main.get_command(TOP, "enqueue")
    assert enqueue is not None
    found = enqueue.make_context("enqueue", ["--type", "t"], TOP).params
    assert found["field"] == (("title", "Fix the bug"), ("n", 5))


@each_command
def test_every_command_is_in_the_documentation(context: click.Context) -> None:
    """With a heading of its own and an example."""
    sections = re.split(r"(?m)^#{1,4} ", DOCS.read_text())
    heading = f"`{context.command_path}`"
    [section] = [part for part in sections if part.startswith(heading + "\n")]
    if not isinstance(context.command, click.Group):
        assert f"    {context.command_path}" in section or f"\n{context.command_path}" in section, "no example"


def test_every_option_is_in_the_documentation() -> None:
    """Somewhere; and the documentation names no option that doesn't exist."""
    text = DOCS.read_text()
    flags = {
        flag for c in ALL for p in c.command.params for flag in (*p.opts, *p.secondary_opts) if flag.startswith("--")
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - {"--help"}
    assert flags - named == set()
    assert named - flags - {"--slurp"} == set()


def test_the_documented_command_lines_are_right() -> None:
    """Every ``lokiredis …`` line in the documentation's blocks."""
    blocks = re.findall(r"(?ms)^```(?:sh|console)\n(.*?)^```", DOCS.read_text())
    lines = [words for block in blocks for words in command_lines(block)]
    assert len(lines) > len(ALL)
    for words in lines:
        check_line(words)


def test_no_example_binds_an_address_that_is_refused() -> None:
    """The embedded server has no password, so it listens on loopback alone."""
    from ipaddress import ip_address

    texts = [DOCS.read_text(), (ROOT / "README.md").read_text(), *(context.get_help() for context in ALL)]
    for address in re.findall(r"--bind (\d[\d.]+)", " ".join(texts)):
        assert ip_address(address).is_loopback


def test_the_documented_way_through_pages_works(cli: Cli) -> None:
    """The cursor of the example is one that the list gave."""
    text = DOCS.read_text()
    [got] = re.findall(r"(?m)^cursor=\$\(lokiredis (.*) \| jq -r \.data\.cursor\)$", text)
    [used] = re.findall(r'(?m)^lokiredis (.* --cursor "\$cursor")$', text)
    limit = int(re.findall(r"--limit (\d+)", got)[0])
    plan = "\n".join(f'{{"type": "t", "id": "x-{n}", "n": {n}}}' for n in range(limit + 1))
    cli("enqueue", "--file", "-", stdin=plan)
    for claim in cli.json("claim", "--agent", "a", "--type", "t", "--limit", limit + 1)["claims"]:
        cli("complete", claim["id"], claim["token"], "--why", "w")
    cursor = cli(*shlex.split(got)).data["cursor"]
    rest = cli(*shlex.split(used.replace("$cursor", cursor)), "--json").data["tasks"]
    assert [task["id"] for task in rest] == [f"x-{limit}"]


def test_the_readme_stores_a_progress_without_quotes(cli: Cli) -> None:
    """What an agent writes is text."""
    [progress] = re.findall(r"--progress (.+)", (ROOT / "README.md").read_text())
    cli("enqueue", "--type", "t", "--id", "x")
    token = cli.json("claim", "--agent", "a", "--type", "t")["claim"]["token"]
    cli("heartbeat", "x", token, "--progress", *shlex.split(progress))
    assert cli.json("show", "x")["task"]["progress"] == "half done"
