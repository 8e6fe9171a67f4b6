"""The files between a worker and its command: the task, the checkpoint, and the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .context import Context
from .outcomes import AttemptFailed
from .strays import VARIABLE

#: The queue takes 1 MiB at most, unless told otherwise; nobody reads a file of gigabytes to learn that.
_MOST_BYTES = 64 * 1024 * 1024


class TaskFiles:
    """The files of one attempt in a folder of its own, gone when it ends."""

    def __init__(self, folder: Path, context: Context) -> None:
        self._result = folder / "result.json"
        self._checkpoint = folder / "checkpoint.json"
        self._seen: bytes | None = None
        self._read: bytes | None = None
        task = context.task.to_json()
        self.text = json.dumps(task, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        path = folder / "task.json"
        path.write_bytes(self.text)
        self.path = str(path)
        if context.saved is not None:
            self._seen = json.dumps(context.saved, ensure_ascii=False).encode("utf-8", "surrogatepass")
            self._checkpoint.write_bytes(self._seen)
        #: What the command finds in its environment. Fields that a user chose are values here, never arguments.
        self.environment = {
            VARIABLE: self.path,
            "LOKIREDIS_TASK_ID": context.task.id,
            "LOKIREDIS_TASK_TYPE": context.task.type,
            "LOKIREDIS_TASK_TOKEN": str(context.claim.token),
            # Under this name the verbs look for it: "lokiredis heartbeat --progress …" needs no more.
            "LOKIREDIS_TOKEN": str(context.claim.token),
            "LOKIREDIS_TASK_ATTEMPT": str(context.attempt),
            "LOKIREDIS_TASK_CHECKPOINT_FILE": str(self._checkpoint),
            "LOKIREDIS_TASK_RESULT_FILE": str(self._result),
        }

    def result(self, output: bytes) -> dict[str, Any]:
        """The result file, else the last line of *output* that is a JSON object; nothing: an empty result.

        Raises AttemptFailed for a result file that is no JSON object.
        """
        if self._result.exists() and not self._result.is_file():
            raise AttemptFailed("the result file is no file")
        if self._result.exists() and self._result.stat().st_size:
            if self._result.stat().st_size > _MOST_BYTES:
                raise AttemptFailed(f"the result file is larger than {_MOST_BYTES:,} bytes")
            return _object(self._result.read_bytes(), "the result file")
        lines = output.strip().rsplit(b"\n", 1)
        last = lines[-1].strip()
        return _object(last, "the last line of the output") if last.startswith(b"{") else {}

    def new_checkpoint(self) -> Any:
        """What the checkpoint file holds, None when that is nothing or stored already.

        Raises ValueError or RecursionError for what is no JSON, no file or far too large, and OSError.
        """
        if not self._checkpoint.exists():
            return None
        # A pipe would be waited for, and so would the end of a device: the worker with all its tasks.
        if not self._checkpoint.is_file():
            raise ValueError("no file")
        if self._checkpoint.stat().st_size > _MOST_BYTES:
            raise ValueError(f"larger than {_MOST_BYTES:,} bytes")
        data = self._checkpoint.read_bytes()
        if not data.strip() or data == self._seen:
            return None
        value = json.loads(data)
        self._read = data
        return value

    def stored(self) -> None:
        """What was read last is in the queue: before that it is not seen, or an outage would lose it."""
        self._seen = self._read


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise AttemptFailed(f"{where} is no JSON: {e}") from None
    if not isinstance(found, dict):
        raise AttemptFailed(f"{where} is no JSON object")
    return found
