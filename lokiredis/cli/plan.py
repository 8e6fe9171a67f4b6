"""Reading a plan: a documented queue file, a bare list, or JSON lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import InvalidTask, LokiRedisError
from .params import stdin_bytes
from .strict import NotJson, decode, parse

#: The queue sets these anew, whatever an older queue had there.
_SET_ANEW = frozenset({"createdAt", "sequence", "backoffBase", "waitingOn"})

#: Documented queue files carry these with nothing in them; anything else in them is work that was done.
_PROGRESS = frozenset(
    {
        *("claimedBy", "claimedAt", "retries", "lastError", "completedAt", "result", "cancelledAt", "cancelReason"),
        *("attempts", "checkpoint", "progress", "token", "leaseExpiresAt", "escalatedAt", "escalationNote"),
    }
)


@dataclass(frozen=True)
class Plan:
    """Tasks to enqueue. ``lines`` are their places in the file when every line is a task of its own."""

    name: str
    tasks: list[dict[str, Any]]
    lines: list[int] | None = None

    def at(self, error: LokiRedisError) -> dict[str, Any]:
        """Where the task with the error's index stands: ``file``, and ``line`` when it is known."""
        place: dict[str, Any] = {"file": self.name}
        if self.lines is not None and error.index is not None and error.index < len(self.lines):
            place["line"] = self.lines[error.index]
        return place


def read_plan(path: str) -> Plan:
    """The tasks of the file (``-``: standard input). Raises InvalidTask, naming the file and the place in it."""
    name = "standard input" if path == "-" else path
    try:
        text = decode(stdin_bytes() if path == "-" else _bytes(path))
        tasks, lines = _tasks(text)
    except NotJson as e:
        place = {"line": e.line} if e.line is not None else {}
        raise InvalidTask(str(e), file=name, **place) from None
    plan = Plan(name, [], lines)
    for index, task in enumerate(tasks):
        try:
            plan.tasks.append(_fresh(task))
        except InvalidTask as e:
            e.index = index
            e.data |= plan.at(e)
            raise
    return plan


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _tasks(text: str) -> tuple[list[Any], list[int] | None]:
    if not text.strip():
        return [], None
    try:
        whole = parse(text, once="tasks")
    except NotJson:
        if not _is_lines(text):
            raise
        return _each_line(text)
    if isinstance(whole, list):
        return whole, None
    if isinstance(whole, dict) and "tasks" in whole:
        if "type" in whole:
            raise NotJson('both type and tasks: one task, or a plan? A plan is {"tasks": [...]}, or one task a line')
        if not isinstance(whole["tasks"], list):
            raise NotJson("tasks is not a list")
        return whole["tasks"], None
    return [whole], None


def _is_lines(text: str) -> bool:
    """True when the first line is an object by itself and more lines follow."""
    first, _, rest = text.strip().partition("\n")
    try:
        return isinstance(parse(first), dict) and bool(rest)
    except NotJson:
        return False


def _each_line(text: str) -> tuple[list[Any], list[int]]:
    tasks, lines = [], []
    # Not splitlines(): JSON strings may hold U+2028 and U+0085, which are no line ends in JSON lines.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                tasks.append(parse(line))
            except NotJson as e:
                raise NotJson(str(e).replace("at line 1 ", "at "), number) from None
            lines.append(number)
    return tasks, lines


def _fresh(task: Any) -> dict[str, Any]:
    """The task without the fields that the queue sets, when these say that nothing has happened yet."""
    if not isinstance(task, dict):
        raise InvalidTask("a task must be a JSON object")
    for name in sorted(_PROGRESS & task.keys()):
        if task[name] not in (None, 0, [], ""):
            raise InvalidTask("the task was worked on already, and its history would be lost", field=name)
    return {name: value for name, value in task.items() if name not in _PROGRESS and name not in _SET_ANEW}
