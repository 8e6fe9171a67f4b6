"""Import: the files are looked through first, then what can be taken goes in, dependencies before dependents."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import arguments, commands
from ..commands import Restored
from ..errors import DependencyCycle, InvalidTask, LokiRedisError, UnknownDependency
from ..keys import Keys
from ..models import State, at_ms
from ..steps import Steps
from . import aside, reading, sources
from .aside import Aside
from .plan import Given, Item, Plan, Reader
from .reading import Broken, NotTaken
from .report import Imported, Report
from .sources import Folder, Source

#: What one call is sent. The engine takes more, but a task that comes back costs more than a new one, with its errors
#: and attempts, and no call may keep the others waiting for 50 ms (design rule 16).
MOST_TASKS, MOST_DEPENDENCIES, MOST_BYTES = 250, 1_500, 2 * 1024 * 1024
#: After so many refusals the rest of a batch goes in halves: each refusal costs a call for the whole of it.
_PATIENCE = 3


def import_(
    keys: Keys,
    path: str | Path,
    *,
    default_type: str | None,
    dry_run: bool,
    max_bytes: int,
) -> Steps[Imported]:
    """Take the tasks of a folder or file; see ``Queue.import_``."""
    if default_type is not None:
        default_type = arguments.task_type(default_type, "default_type")
    arguments.flag(dry_run, "dry_run")
    found = sources.find(arguments.path(path))
    _check_sizes(found, arguments.count(max_bytes, "max_bytes"))
    start = yield commands.import_(keys, [], request="")
    report = Report()
    beside = _read_aside(found, report)
    plan = Plan(found.sources, Given(default_type, at_ms(start.now)), report, beside)
    for name in (*found.odd, *found.odd_beside):
        report.refuse(name, None, None, "not a regular file; nothing was taken from it")
    plan.lost = len(found.odd)
    plan.read()
    importing = _Importing(keys, plan, found, report, start.sequence, dry_run)
    yield from importing.tasks()
    yield from _breakers(keys, plan, found, report, dry_run)
    if start.sequence == 0:
        yield from _settings(keys, plan.aside, report, dry_run)
    return report.imported(dry_run=dry_run)


def _check_sizes(found: Folder, most: int) -> None:
    for source in found.sources:
        size = source.path.stat().st_size
        if size > most:
            raise InvalidTask(
                f"{size:,} bytes are above the limit of {most:,}; --max-size allows more", file=source.name
            )


def _read_aside(found: Folder, report: Report) -> Aside:
    if found.aside is None:
        return Aside()
    try:
        return aside.from_json(aside.read_object(found.aside))
    except ValueError as e:
        raise InvalidTask(str(e), file=str(found.aside)) from None


class _Importing:
    """The tasks of a plan on their way into the queue."""

    def __init__(self, keys: Keys, plan: Plan, found: Folder, report: Report, before: int, check: bool) -> None:
        self.keys, self.plan, self.found, self.report = keys, plan, found, report
        self.before, self.check = before, check
        #: Ids that the queue doesn't have and won't get, or has cancelled, and why; who waits for them is refused.
        self.hopeless: dict[str, str] = {}
        #: In a dry run what would be there by now.
        self.taken: set[str] = set()
        self.elsewhere: dict[str, str] | None = None

    def tasks(self) -> Steps[None]:
        """Send all of them."""
        with ExitStack() as stack:
            reader = Reader(self.plan, stack)
            batch: list[tuple[Item, Restored]] = []
            names = size = 0
            for item in self.plan.in_order():
                try:
                    task = reader.task(item)
                except InvalidTask as e:
                    self._refuse(item, e.message)
                    continue
                full = len(batch) == MOST_TASKS or names + len(task.names) > MOST_DEPENDENCIES
                if batch and (full or size + task.size > MOST_BYTES):
                    yield from self._store(batch)
                    batch, names, size = [], 0, 0
                # Not before: in a dry run what the batches so far would have stored counts as there.
                batch.append((item, self._with_signs(item, task)))
                names, size = names + len(task.names), size + task.size
            yield from self._store(batch)

    def _with_signs(self, item: Item, task: Restored) -> Restored:
        """Say of each dependency what it means when the queue doesn't know it (lua/import.lua)."""
        return replace(task, names=tuple(name if name[0] == "+" else self._signed(item, name) for name in task.names))

    def _signed(self, item: Item, name: str) -> str:
        if name in self.taken:
            return f"+{name}"
        if name in self.plan.ids or self.plan.lost or name in self._unfinished_elsewhere():
            return name
        source = self.plan.sources[item.source].name
        text = f"{name} is in none of the files; unless the queue has it, it counts as completed long ago"
        self.report.note(source, item.index, item.id, text)
        return f"?{name}"

    def _unfinished_elsewhere(self) -> dict[str, str]:
        """Ids in other files of the folder, when one file is taken: what waits there was not completed long ago."""
        if self.elsewhere is None:
            self.elsewhere = {}
            for source in self.found.beside:
                if source.state is not State.COMPLETED:
                    self.elsewhere |= dict.fromkeys(_ids_in(source), source.name)
        return self.elsewhere

    def _store(self, given: list[tuple[Item, Restored]]) -> Steps[None]:
        failures = 0
        batch = self._hopeful(given)
        while batch:
            tasks = [task for _, task in batch]
            request = commands.new_request()
            try:
                answer = yield commands.import_(self.keys, tasks, request=request, before=self.before, check=self.check)
            except (InvalidTask, UnknownDependency, DependencyCycle) as e:
                if e.index is None:
                    raise
                item, _ = batch.pop(e.index)
                self._note_hopeless(item, e)
                self._refuse(item, self._reason(e))
                batch = self._hopeful(batch)
                failures += 1
                if failures == _PATIENCE and len(batch) > 1:
                    middle = len(batch) // 2
                    yield from self._store(batch[:middle])
                    yield from self._store(batch[middle:])
                    return
                continue
            for stored in answer.tasks:
                if stored.created:
                    self.report.created[stored.state.value] += 1
                else:
                    self.report.existing += 1
                if self.check:
                    self.taken.add(stored.id)
            return

    def _hopeful(self, batch: list[tuple[Item, Restored]]) -> list[tuple[Item, Restored]]:
        kept = []
        for item, task in batch:
            missing = next((name for name in task.names if name in self.hopeless), None)
            if missing is None:
                kept.append((item, task))
            else:
                self.hopeless.setdefault(item.id, self._of_refused(item.id))
                self._refuse(item, self.hopeless[missing])
        return kept

    def _note_hopeless(self, item: Item, error: LokiRedisError) -> None:
        self.hopeless.setdefault(item.id, self._of_refused(item.id))
        name = error.data.get("dependency")
        if isinstance(name, str):
            self.hopeless.setdefault(name, self._reason(error))

    def _reason(self, error: LokiRedisError) -> str:
        name = error.data.get("dependency")
        if name in self._unfinished_elsewhere():
            return f"it depends on {name}, which is in {self.elsewhere_of(name)}; import the folder"
        if name in self.plan.ids and "cancelled" not in error.message:
            return self._of_refused(str(name))
        if isinstance(name, str):
            return f"it depends on {name}: {error.message}"
        return error.message if error.field is None else f"{error.field}: {error.message}"

    def elsewhere_of(self, name: object) -> str:
        """The file beside the imported one that has *name*."""
        return self._unfinished_elsewhere()[str(name)]

    def _of_refused(self, id: str) -> str:
        return f"it depends on {id}, which was not taken"

    def _refuse(self, item: Item, reason: str) -> None:
        self.report.refuse(self.plan.sources[item.source].name, item.index, item.id, reason)


def _ids_in(source: Source) -> set[str]:
    found = set()
    try:
        with source.path.open("rb") as file:
            for raw in reading.entries(file):
                try:
                    value = reading.decode(raw.data or b"null")
                except NotTaken:
                    continue
                if isinstance(value, Mapping) and isinstance(value.get("id"), str):
                    found.add(value["id"])
    except Broken as e:
        raise InvalidTask(str(e), file=source.name) from None
    return found


def _breakers(keys: Keys, plan: Plan, found: Folder, report: Report, check: bool) -> Steps[None]:
    """Those of the documented file, with what an export knows beyond it."""
    given: dict[str, Any] = {}
    name = None if found.orchestrator is None else f"{found.orchestrator.parent.name}/{found.orchestrator.name}"
    if found.orchestrator is not None and name is not None:
        try:
            value = aside.read_object(found.orchestrator).get("circuitBreakers")
        except ValueError as e:
            report.refuse(name, None, None, f"{e}; no breakers were taken from it")
            value = None
        given.update(value if isinstance(value, Mapping) else {})
    for type, more in plan.aside.breakers.items():
        own = given.get(type)
        # Somebody may have written the documented file since.
        if own is None or (isinstance(own, Mapping) and isinstance(more, Mapping) and _agree(own, more)):
            given[type] = more
    breakers = []
    for type, value in given.items():
        try:
            breakers.append(aside.restored_breaker(type, value))
        except ValueError as e:
            report.refuse(name or plan.sources[0].name, None, None, str(e))
    if breakers:
        made = yield commands.import_breakers(keys, breakers, request=commands.new_request(), check=check)
        report.breakers += sum(made)


def _agree(documented: Mapping[str, Any], more: Mapping[str, Any]) -> bool:
    return all(more.get(name) == value for name, value in documented.items() if name in more)


def _settings(keys: Keys, found: Aside, report: Report, check: bool) -> Steps[None]:
    """Settings and pauses go only into a queue that never had a task or a setting: elsewhere they are somebody's."""
    if not (found.settings or found.paused or found.paused_types):
        return
    settings = yield commands.settings(keys)
    if settings.version != 0:
        return
    changes: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in found.settings.items()
        if name in type(settings).model_fields and name != "version"
    }
    changing: list[commands.Command[Any]] = []
    if _differs(settings, changes):
        changing.append(commands.configure(keys, **changes))
    if found.paused:
        changing.append(commands.pause(keys))
    changing += [commands.pause(keys, name) for name in found.paused_types]
    report.settings = bool(changing)
    if check:
        return
    # Not "yield from": a list takes no answer.
    for command in changing:  # noqa: UP028
        yield command


def _differs(settings: Any, changes: Mapping[str, Any]) -> bool:
    usual = aside.settings_of(settings)
    return any(
        usual.get(name) != (list(value) if isinstance(value, tuple) else value) for name, value in changes.items()
    )
