"""The function libraries that other versions of lokiredis left in a server of Redis 7 or newer.

Each text of a script is a library of its own name, so an upgrade loads new ones beside the old ones, which the server
keeps for ever. A client of another version that still runs loads its own again when they are removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from redis.exceptions import ResponseError

from ..scripts import NAMES, load
from ..server import refuses_functions

#: As lua_library.py names them. One that merely begins like this may be somebody else's.
_OURS = re.compile(rf"lokiredis_(?:{'|'.join(NAMES)})_[0-9a-f]{{12}}")


def of_other_versions(redis: Any) -> list[str] | None:
    """Their names. None where there are no libraries of ours at all: Redis 6.2, or a user who may not see them."""
    try:
        found = {_name(entry) for entry in redis.function_list(library="lokiredis_*")}
    except ResponseError as e:
        if refuses_functions(e):
            return None
        raise
    ours = {name for name in found if _OURS.fullmatch(name)}
    return sorted(ours - {load(name).for_server((7,)).name for name in NAMES}) if ours else None


def remove(redis: Any, names: Iterable[str]) -> None:
    """Remove libraries. One that is gone already is no error: somebody else removed it."""
    for name in names:
        try:
            redis.function_delete(name)
        except ResponseError as e:
            if "not found" not in str(e):
                raise


def _name(entry: Any) -> str:
    """The name in an entry of FUNCTION LIST: a map in RESP3, in RESP2 a list of names and values."""
    fields: dict[Any, Any] = entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))
    name = fields[b"library_name"] if b"library_name" in fields else fields["library_name"]
    return name if isinstance(name, str) else str(name, "utf-8")
