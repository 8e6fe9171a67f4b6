"""What the workers of a host that may be cut off run: it has one effect, in a ledger that checks the token.

``python effect.py LEDGER FOLDER``: a first attempt says in FOLDER that it began, and works until ``go-on`` is there.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from pathlib import Path


def main(ledger: str, folder: Path) -> None:
    """One task."""
    agent, id = os.environ["LOKIREDIS_AGENT"], os.environ["LOKIREDIS_TASK_ID"]
    token, attempt = int(os.environ["LOKIREDIS_TASK_TOKEN"]), os.environ["LOKIREDIS_TASK_ATTEMPT"]
    if id == "shared" and attempt == "1":
        (folder / "began").write_text(str(os.getpid()))
        while not (folder / "go-on").exists():
            time.sleep(0.01)
    taken = have_effect(ledger, id, token, agent)
    if not taken:
        (folder / "refused").write_text(str(token))
    print(json.dumps({"output": {"by": agent, "taken": taken}, "decisionReport": {"why": "asked for"}}))


def have_effect(ledger: str, id: str, token: int, agent: str) -> bool:
    """Writes the effect down, unless somebody with a newer claim has had it: as every tool outside the queue must."""
    db = sqlite3.connect(ledger, timeout=30)
    with db:
        db.execute("CREATE TABLE IF NOT EXISTS effects (task, token, agent)")
        newer = "SELECT 1 FROM effects WHERE task = ?1 AND token > ?2"
        entry = f"INSERT INTO effects SELECT ?1, ?2, ?3 WHERE NOT EXISTS ({newer})"
        taken = db.execute(entry, (id, token, agent)).rowcount == 1
    db.close()
    return taken


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
