"""lua/README.md tells what the scripts really do."""

from __future__ import annotations

import re

from lokiredis.keys import Keys
from lokiredis.scripts import LUA, NAMES

README = (LUA / "README.md").read_text()


def test_the_state_table_is_the_one_that_the_scripts_obey() -> None:
    """Each row of the table is a line of lib/transition.lua, and the other way round."""
    section = README.split("## States")[1].split("## ")[0]
    shown = {row[0]: set(row[1].split(", ")) for row in re.findall(r"^\| (\w+) \| ([\w, ]+) \|$", section, re.M)}
    shown.pop("from")
    code = (LUA / "lib" / "transition.lua").read_text()
    allowed = re.findall(r"from == '(\w+)'(?: or from == '(\w+)')? then allowed(?:, was_final)? = '([\w ]+)'", code)
    assert shown == {name: set(to.split()) for first, second, to in allowed for name in (first, second) if name}


def test_every_fixed_key_is_in_the_key_table() -> None:
    """The key table names each key of lokiredis/keys.py, and no other fixed key."""
    section = README.split("## Keys")[1].split("## ")[0]
    names = {name for cell in re.findall(r"^\| (`[^|]*) \|", section, re.M) for name in re.findall(r"`([^`]+)`", cell)}
    assert {name for name in names if ":" not in name} == set(Keys.FIXED)


def test_every_script_says_what_it_takes_and_returns() -> None:
    """Each script begins with its name, KEYS, ARGV, RETURN and ERRORS."""
    for name in NAMES:
        head = (LUA / f"{name}.lua").read_text().split("\nlocal ")[0]
        assert head.startswith(f"-- {name}: "), name
        for word in ("KEYS", "ARGV", "RETURN", "ERRORS"):
            assert re.search(rf"^-- {word} ", head, re.M), f"{name} has no {word}"
