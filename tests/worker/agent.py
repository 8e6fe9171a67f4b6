"""What the tests' workers run: it does what the task's payload says."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPORT = {"why": "asked for"}


def _file(name: str) -> Path:
    return Path(os.environ[f"LOKIREDIS_TASK_{name}"])


def _sleepers() -> list[int]:
    """All processes of this task but this one."""
    mark = f"LOKIREDIS_TASK_FILE={_file('FILE')}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return [pid for pid in found if pid != os.getpid()]


def main() -> None:
    """One task."""
    task: dict[str, Any] = json.load(sys.stdin)
    assert task == json.loads(_file("FILE").read_text())
    payload = task["payload"]
    does = payload.get("does", "seen")
    checkpoint = _file("CHECKPOINT_FILE")
    if does == "exit":
        print(payload.get("says", ""), file=sys.stderr)
        sys.exit(payload["code"])
    if does == "tells":
        words = [sys.executable, "-m", "lokiredis", "heartbeat", "--progress", "half done"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    if does == "prints":
        print(payload["text"])
        return
    if does == "writes":
        _file("RESULT_FILE").write_text(payload["text"])
        return
    if does == "floods":
        for _ in range(payload["megabytes"]):
            sys.stdout.write("x" * 1_000_000)
        print()
    if does == "limited" and not checkpoint.exists():
        checkpoint.write_text(json.dumps({"done": 1}))
        print("429 Too Many Requests, Retry-After: 1", file=sys.stderr)
        sys.exit(1)
    if does in ("waits", "ignores"):
        if does == "ignores":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the child, too
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

        def told(number: int, frame: object) -> None:
            Path(payload["pids"] + ".told").touch()
            if does == "waits":
                sys.exit(1)

        signal.signal(signal.SIGTERM, told)
        checkpoint.write_text(json.dumps({"at": 3}))
        Path(payload["pids"]).write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)
    if does == "leaves":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(payload["pids"]).write_text(str(child.pid))
    if does == "daemon":
        sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
        code = f"import subprocess; subprocess.Popen({sleeper!r}, start_new_session=True); subprocess.run({sleeper!r})"
        # Each is in a session of its own, and the first has ended before the second is found.
        subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=2)
        while len(found := _sleepers()) < 3:
            time.sleep(0.01)
        Path(payload["pids"]).write_text(" ".join(map(str, found)))
        if payload.get("stays"):
            time.sleep(600)
    seen = {name: value for name, value in os.environ.items() if name.startswith("LOKIREDIS_")}
    output = {
        "argv": sys.argv[1:],
        "environment": seen,
        "task": task,
        "checkpoint": checkpoint.exists() and checkpoint.read_text(),
    }
    print(payload.get("prints", "the last line counts"))
    print(json.dumps({"output": output, "decisionReport": REPORT}))


if __name__ == "__main__":
    main()
