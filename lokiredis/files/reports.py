"""The decision report of each completed task, archived as ``logs/decisions/{date}-{id}.md``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .batch import Batch
from .decisions import FOLDER
from .folder import Folder
from .markdown import block, line
from .mirror import Mirror

#: The usual keys of a report (design rule 14), in the order in which they are read.
_TITLES = {
    "why": "Why",
    "what": "What",
    "tradeOffs": "Trade-offs",
    "risks": "Risks",
    "testResults": "Test results",
    "nextSteps": "Next steps",
}


class Archive:
    """Writes each report once. A file that is there already is left as it is."""

    def __init__(self) -> None:
        self._done: set[str] = set()

    def add(self, root: Folder, mirror: Mirror, ids: Iterable[str], most: int) -> tuple[int, int]:
        """Archive up to *most* of these completed tasks: how many were written, how many are left. Raises OSError."""
        ids = set(ids)
        self._done &= ids
        missing = sorted(ids - self._done)
        if not missing:
            return 0, 0
        with root.folder(*FOLDER) as decisions:
            present = set(decisions.names())
        looked_at: list[str] = []
        with Batch(root) as batch:
            for id in missing:
                if len(batch.written) == most:
                    break
                task = json.loads(mirror.text(id))
                name = f"{(task['completedAt'] or task['createdAt'])[:10]}-{id}.md"
                if name not in present:
                    batch.write(FOLDER, name, [report(task).encode("utf-8", "backslashreplace")])
                looked_at.append(id)
            batch.rename()
        self._done.update(looked_at)
        return len(batch.written), len(missing) - len(looked_at)


def report(task: dict[str, Any]) -> str:
    """The report of a completed task, a JSON object with the documented names, as Markdown."""
    result = task["result"] or {}
    said = result.get("decisionReport")
    said = dict(said) if isinstance(said, dict) else {}
    facts = {
        "Type": task["type"],
        "Priority": task["priority"],
        "Completed": task["completedAt"],
        "By": task["claimedBy"],
        "Attempts": len(task["attempts"]) or None,
        "Depends on": ", ".join(task["dependencies"]) or None,
    }
    parts = [f"# Decision report: {line(task['id'])}"]
    parts.append("\n".join(f"- **{name}**: {line(value)}" for name, value in facts.items() if value is not None))
    for key, title in _TITLES.items():
        if key in said:
            parts += [f"## {title}", block(said.pop(key))]
    for key, value in said.items():
        parts += [f"## {line(key)}", block(value)]
    if not isinstance(result.get("decisionReport"), dict):
        parts.append("There is no decision report.")
    if result.get("output") is not None:
        parts += ["## Output", block(result["output"])]
    return "\n\n".join(parts) + "\n"
