"""What tables show on terminals of any width, and what the demo prints."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from lokiredis.demo.summary import Summary, quoted, tell

from .conftest import Cli

LONG = "eng-backend-of-the-very-long-name-number-"


def test_a_width_of_0_is_none(cli: Cli) -> None:
    """Some set it who run a command without a terminal, and then nothing at all was printed."""
    cli("enqueue", "--type", "t", "--id", "x")
    for verb in ("list", "status", "doctor"):
        assert cli(verb, environment={"COLUMNS": "0"}).out.splitlines()[1:]


@pytest.mark.parametrize("columns", [20, 60, 80, 200])
def test_status_cuts_no_number_and_no_name(columns: int, cli: Cli) -> None:
    """Two types that differ at the end only must not look alike."""
    plan = [f'{{"type": "{LONG}{n}", "n": {m}}}' for n in (1, 2) for m in range(1000 * n + 11)]
    cli("enqueue", "--file", "-", stdin="\n".join(plan))
    cli("pause", "--type", f"{LONG}1")
    out = cli("status", environment={"COLUMNS": str(columns)}).out
    table = out.partition("\n")[2]
    assert max(len(line) for line in table.splitlines()) <= columns
    folded = re.sub(r"\s", "", table)
    for n in (1, 2):
        assert f"{LONG}{n}" in folded
        assert f"{n},011" in table
    assert "…" not in out
    assert "paused" in table
    assert "closed" in table


@pytest.mark.parametrize("columns", [20, 40])
def test_breakers_cut_no_number_and_no_name(columns: int, cli: Cli) -> None:
    """As in the status."""
    cli("enqueue", "--type", f"{LONG}1")
    cli("breaker", "trip", f"{LONG}1")
    out = cli("breaker", "list", environment={"COLUMNS": str(columns)}).out
    assert f"{LONG}1" in re.sub(r"\s", "", out)
    assert "…" not in out


def test_the_demo_escapes_the_folder_that_it_is_given() -> None:
    """``--dir $'y\\e[31mred'``: a folder's name is user text too."""
    folder = Path("/tmp/y\x1b[31mred it's")
    commands = ((f"cd {quoted(str(folder))}", "its .loki folder"),)
    printed = io.StringIO()
    tell(Console(file=printed, width=200), Summary("demo-1", folder, 1.0, {}, (), commands))
    assert "\x1b" not in printed.getvalue()
    assert quoted(str(folder)) == r"$'/tmp/y\x1b[31mred it\'s'"
    assert quoted("/tmp/a b") == "'/tmp/a b'"
