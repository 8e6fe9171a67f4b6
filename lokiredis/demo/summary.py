"""What is told at the end: what happened, with the evidence, and which commands to try next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cli.text import safe
from ..embedded import find_folder
from .evidence import Evidence
from .expectations import Finding
from .plan import DOOMED, HOPELESS

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from .director import Run


@dataclass(frozen=True)
class Summary:
    """The outcome of a run, for people and for programs."""

    queue: str
    folder: Path
    seconds: float
    counts: dict[str, int]
    findings: tuple[Finding, ...]
    commands: tuple[tuple[str, str], ...]

    @property
    def missing(self) -> tuple[Finding, ...]:
        """The expectations that were not met."""
        return tuple(finding for finding in self.findings if not finding.met)

    def to_json(self) -> dict[str, Any]:
        """As ``--json`` shows it."""
        return {
            "ok": not self.missing,
            "queue": self.queue,
            "folder": str(self.folder),
            "seconds": round(self.seconds, 1),
            "counts": self.counts,
            "expectations": [asdict(finding) for finding in self.findings],
            "commands": [command for command, _ in self.commands],
        }


def summarize(run: Run, seen: Evidence, findings: Sequence[Finding], seconds: float) -> Summary:
    """The outcome of a run that took so many *seconds*."""
    counts = dict(seen.snapshot.stats.counts)
    return Summary(run.queue, run.folder, seconds, counts, tuple(findings), tuple(_commands(run)))


def _commands(run: Run) -> list[tuple[str, str]]:
    """What to try next: commands that work as they stand here, in this shell and from this folder."""
    there = find_folder() == run.home
    program = f"{_program(absolute=not there)} --queue {run.queue}"
    tries = [
        ("status", "the queue now, per type"),
        ("list --state completed", "what was done"),
        (f"show {DOOMED}", "a task and its ledger: who had it, how it ended"),
        ("breaker list", "the breaker that opened and closed"),
        ("dead list", "what waits for a person"),
        (f"dead retry {HOPELESS}", "give the dead letter another chance …"),
        ("claim --agent me --type ops-devops", "… and be the agent that takes it"),
    ]
    found = [] if there else [(f"cd {quoted(str(run.home.parent))}", "its .loki folder has the queue")]
    if os.environ.get("LOKIREDIS_URL"):
        found.append(("unset LOKIREDIS_URL", "it leads to another server"))
    return found + [(f"{program} {words}", about) for words, about in tries]


def _program(*, absolute: bool) -> str:
    """How the command line was called."""
    called = Path(sys.argv[0])
    by_module = called.name == "__main__.py"
    found = shutil.which("lokiredis")
    if not by_module and found and called.exists() and os.path.samefile(found, called):
        return "lokiredis"
    path = os.path.abspath(sys.executable if by_module else called)
    word = quoted(path) if absolute else short(path)
    return f"{word} -m lokiredis" if by_module else word


def short(path: str) -> str:
    """*path* as a word for a shell, relative when it is below the current folder."""
    relative = os.path.relpath(path)
    return quoted(path if relative.startswith("..") or os.sep not in relative else relative)


def quoted(path: str) -> str:
    """*path* as a word for a shell. A folder's name may hold escape sequences; they are written out (bash, zsh)."""
    if safe(path) == path:
        return shlex.quote(path)
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{safe(escaped)}'"


def tell(console: Console, summary: Summary) -> None:
    """Print the summary."""
    from rich.text import Text

    ok = not summary.missing
    console.print()
    console.print(_table(summary))
    console.print()
    counts = ", ".join(f"{count} {state}" for state, count in summary.counts.items() if count)
    verdict = "As expected" if ok else "NOT as expected"
    console.print(
        Text.assemble((verdict, "bold green" if ok else "bold red"), f" after {summary.seconds:.1f} s: {counts}.")
    )
    _tell_next(console, summary)


def _table(summary: Summary) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table("what happened", "task", "evidence", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.columns[0].ratio, table.columns[2].ratio = 2, 3
    for finding in summary.findings:
        what = Text(finding.what, "green" if finding.met else "bold red")
        evidence = Text(finding.evidence if finding.met else f"MISSING: {finding.evidence}")
        table.add_row(what, Text(finding.task), evidence)
    return table


def _tell_next(console: Console, summary: Summary) -> None:
    from rich.text import Text

    console.print(Text(f"The files are in {short(str(summary.folder))}, the queue is kept. Try next:"))
    console.print()
    widest = max(len(command) for command, _ in summary.commands)
    for command, about in summary.commands:
        full = Text.assemble("  ", (command, "bold"), (f"{' ' * (widest - len(command))}  # {about}", "dim"))
        bare = Text.assemble("  ", (command, "bold"))
        console.print(full if full.cell_len <= console.width else bare, soft_wrap=True)


def write(summary: Summary) -> Path:
    """The summary as Markdown, among the files of the run."""
    rows = "".join(
        f"| {finding.what} | {finding.task} | {'' if finding.met else 'MISSING: '}{finding.evidence} |\n"
        for finding in summary.findings
    )
    commands = "".join(f"{command}  # {about}\n" for command, about in summary.commands)
    file = summary.folder / "SUMMARY.md"
    verdict = "as expected" if not summary.missing else "not as expected"
    file.write_text(
        f"# {summary.queue}: {verdict}, {summary.seconds:.1f} s\n\n"
        f"| what happened | task | evidence |\n|---|---|---|\n{rows}\n```sh\n{commands}```\n",
        encoding="utf-8",
    )
    return file
