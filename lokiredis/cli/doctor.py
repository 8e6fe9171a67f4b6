"""``lokiredis doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .session import Session, console, pass_session
from .text import safe
from .verb import Verb

if TYPE_CHECKING:
    from .checks import Finding

_STYLES = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}


@click.command(
    cls=Verb,
    examples="""
        lokiredis doctor
        lokiredis doctor --clean
        lokiredis --url redis://redis.internal:6379/0 doctor --json | jq -r '.data.checks[] | select(.level != "ok")'
    """,
)
@click.option("--clean", is_flag=True, help="Remove the function libraries of other versions of lokiredis.")
@pass_session
def doctor(session: Session, /, clean: bool) -> None:
    """Check that the server is fit to hold a queue.

    Version, role, eviction policy, persistence, latency, clock, scripts, function libraries and stored schema, each ok,
    warn or FAIL. The exit code is 1 when one of them is FAIL. Nothing is changed without --clean.

    JSON: {"ok", "checks": [{"name", "level", "message"}]}.
    """
    from .checks import examine

    findings = examine(session.queue(), clean=clean)
    session.warnings.clear()  # the findings say it better
    failed = any(found.level == "FAIL" for found in findings)
    data: dict[str, Any] = {"ok": not failed, "checks": [vars(found) for found in findings]}
    session.answer(data, lambda: _tell(findings))
    if failed:
        raise click.exceptions.Exit(1)


def _tell(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for found in findings:
        table.add_row(Text(found.level, _STYLES[found.level]), Text(found.name), Text(safe(found.message)))
    console().print(table)
