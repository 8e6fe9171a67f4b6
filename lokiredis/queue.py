"""The two clients: the same commands over two executors. The only place that talks to Redis."""

from __future__ import annotations

import asyncio
import builtins
import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from . import arguments, commands, event_steps, event_stream, replies, steps
from .async_executor import AsyncExecutor
from .commands import Command
from .connect import (
    AsyncRedis,
    SyncRedis,
    blocking_twin,
    connect,
    connect_async,
    resolve,
)
from .executor import RETRY_FOR, Executor
from .kept_connections import AsyncKeptConnections, KeptConnections
from .keys import Keys
from .models import Claim, Enqueued, Event, Exchange, Failed, Finished, NewTask, NoClaim, Released, Signal
from .outages import FAILURES, RETRYABLE
from .review import DeadGroup
from .scripts import NAMES, load
from .server import read_server, read_server_async
from .task_graph import Graph

if TYPE_CHECKING:
    from typing_extensions import Self

    from .files.report import Exported, Imported
    from .worker.by_hand import AsyncWork, Work

T = TypeVar("T")
P = ParamSpec("P")

#: A larger file is not imported unless the caller allows it: 1 GiB.
LARGEST_FILE = 1024**3


def _signature(method: Callable[..., Any], build: Callable[..., Any]) -> None:
    """help() shows the arguments without the keys that the client adds."""
    given = inspect.signature(build)
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = given.replace(parameters=[first, *list(given.parameters.values())[1:]])  # type: ignore[attr-defined]


def _sync(build: Callable[Concatenate[Keys, P], Command[T]]) -> Callable[Concatenate[Queue, P], T]:
    @functools.wraps(build)
    def method(self: Queue, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(build(self.keys, *args, **kwargs))

    _signature(method, build)
    return method


def _async(build: Callable[Concatenate[Keys, P], Command[T]]) -> Callable[Concatenate[AsyncQueue, P], Awaitable[T]]:
    @functools.wraps(build)
    async def method(self: AsyncQueue, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(build(self.keys, *args, **kwargs))

    _signature(method, build)
    return method


class Queue(Executor):
    """One queue, blocking calls. ``Queue.from_url()`` uses the embedded server; close it, or use ``with``.

    Every method may raise QueueUnavailable after retrying for ``retry_for`` seconds, and SchemaMismatch.
    """

    def __init__(self, redis_client: SyncRedis, name: str = "default", *, retry_for: float = RETRY_FOR) -> None:
        super().__init__(redis_client, name, retry_for)

    @classmethod
    def from_url(cls, url: str | None = None, name: str = "default", *, retry_for: float = RETRY_FOR) -> Self:
        """A queue on the Redis of *url*; None: $LOKIREDIS_URL, else the embedded server of the nearest .loki folder."""
        # A wrong argument must not start a server first.
        prefix, retry_for = Keys(name).prefix, arguments.patience(retry_for)
        url = resolve(url)
        made = cls(connect(url, prefix), name, retry_for=retry_for)
        made._owned, made.url, made._kept = True, url, KeptConnections.of(made.redis)
        return made

    def close(self) -> None:
        """Close the connections that this object made."""
        if self._blocking is not None:
            self._blocking.close()
            self._blocking.connection_pool.disconnect()
            self._blocking = None
        if self._owned:
            self.redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def claim(
        self,
        agent: str,
        types: str | Iterable[str],
        *,
        lease: float | None = None,
        wait: float | None = 0,
        request: str | None = None,
    ) -> Claim | NoClaim:
        """Lease the best ready task of these types to *agent*, or say why there is none (design rules 2 and 3).

        ``lease`` seconds, the task's timeout when None, renewed by heartbeats. ``wait`` seconds blocks on the server
        until there is work; None waits for ever. Raises InvalidTask for a bad agent, type or lease.
        """
        return self._drive(
            steps.claim(self.keys, agent, types, lease=lease, wait=wait, request=request, now=time.monotonic)
        )

    def _claim_watched(
        self, agent: str, types: str | Iterable[str], *, lease: float, wait: float | None, watch: steps.Watch
    ) -> Claim | NoClaim:
        """As claim, for those who keep the claim's lease themselves."""
        now = time.monotonic
        return self._drive(
            steps.claim(self.keys, agent, types, lease=lease, wait=wait, request=None, now=now, watch=watch)
        )

    def exchange(
        self,
        agent: str,
        types: str | Iterable[str],
        *,
        finished: Iterable[Finished | Failed | Released] = (),
        limit: int = 1,
        lease: float | None = None,
        request: str | None = None,
    ) -> Exchange:
        """End up to 1,000 claims and take up to *limit* new ones (0 takes none): a round trip per 100 endings or 8 MiB.

        Each ending gets its own Outcome or error. At most 900 are taken beside 100 endings: ask again for the rest.
        While the agent is held the endings count and no claim is given. After QueueUnavailable the same call tells what
        became of each ending, and with a *request* what it claimed. Raises InvalidTask, and then nothing was sent.
        """
        todo = steps.exchange(self.keys, agent, types, finished=finished, limit=limit, lease=lease, request=request)
        return self._drive(todo)

    def enqueue_many(
        self, tasks: Iterable[NewTask | Mapping[str, Any]], *, request: str | None = None
    ) -> builtins.list[Enqueued]:
        """Store many tasks, in any order of their dependencies; up to 1,000 tasks, 4,000 dependencies
        or 8 MiB are one atomic call.

        A larger plan is checked first and then stored in parts. Raises as enqueue, naming the index; then nothing of
        that part is stored. Dicts use the documented camelCase names.
        """
        return self._drive(steps.enqueue_many(self.keys, tasks, request=request))

    def import_(
        self,
        path: str | Path,
        *,
        default_type: str | None = None,
        dry_run: bool = False,
        max_bytes: int = LARGEST_FILE,
    ) -> Imported:
        """Take the tasks of a .loki folder or of one file, in any state; ids that are there already stay as they are.

        (``import`` is a word of Python's own.) ``default_type`` is for entries without a type. ``dry_run`` changes
        nothing. A file of more than *max_bytes* is refused. What can't be taken stands in the report, the rest goes in;
        docs/import.md has the shapes. Raises InvalidTask, with ``data["file"]``, before anything is stored when a file
        can't be read to its end or a folder has none; OSError; QueueFull, with what came before it stored.
        """
        from .files import importing

        return self._drive(
            importing.import_(self.keys, path, default_type=default_type, dry_run=dry_run, max_bytes=max_bytes)
        )

    def export(self, path: str | Path, *, replace: bool = False) -> Exported:
        """Write all tasks, breakers and settings to a folder, as the documented files, or to one file of JSON lines.

        A folder when *path* is one or has no suffix. ``replace`` overwrites what is there. Each task is written once,
        as it was when its page was read; pause the queue for a picture of one moment. Raises FileExistsError, OSError.
        """
        from .files import exporting

        return self._drive(exporting.export(self.keys, path, replace=replace))

    def work(self, agent: str, types: str | Iterable[str], *, lease: float = 60, wait: float | None = 0) -> Work:
        """A block around one task: ``with queue.work(agent, types) as claim``, a NoClaim when there is none.

        The claim is renewed in the background. ``claim.finish(output=…, decision_report=…)`` completes the task at the
        end of the block; an exception fails it, a rate limit among them holds the agent; else it is handed back.
        Raises StaleClaim when the claim was lost or cancelled; ``claim.cancelled`` tells it before.
        """
        from .worker.by_hand import Work

        return Work(self, agent, types, lease, wait)

    def graph(self, id: str | None = None, *, way: commands.Way = "up", limit: int = 10_000) -> Graph:
        """What depends on what: from the task *id* "up" along its dependencies or "down" along those that wait for it,
        or without an id all tasks that are not done. Up to *limit* tasks. Raises TaskNotFound.
        """
        return self._drive(steps.graph(self.keys, id, way, limit))

    def dead_groups(self, type: str | None = None, *, limit: int | None = None) -> builtins.list[DeadGroup]:
        """All dead letters by the pattern of their failure, the largest group first.

        ``limit``: look at about so many only, those that died first.
        """
        return self._drive(steps.dead_groups(self.keys, type, limit))

    def canary_dead(
        self,
        id: str,
        others: Iterable[str],
        *,
        force: bool = False,
        by: str | None = None,
        reason: str = "",
        request: str | None = None,
    ) -> int:
        """Retry a dead letter, and *others* when it has completed; returns how many others wait for that now.

        They stay dead letters until then, and when it fails again. Any decision about one of them takes it out. Raises
        as retry_dead, for the canary; others that are no dead letters (any more) are left alone.
        """
        given = steps.canary_dead(self.keys, id, others, force=force, by=by, reason=reason, request=request)
        return self._drive(given)

    def listen(self, *, timeout: float | None = None) -> Iterator[Signal]:
        """The queue's signals (SLOWDOWN, CANCEL …) as they come, for *timeout* seconds or for ever.

        Messages sent while nobody listened are gone; what they told is stored, and claims obey it.
        """
        return self._listen(None if timeout is None else arguments.seconds(timeout, "timeout"))

    def _listen(self, timeout: float | None) -> Iterator[Signal]:
        ends = None if timeout is None else time.monotonic() + timeout
        twin = blocking_twin(self.redis, steps.LONGEST_BLOCK, self.keys.signals)
        try:
            with twin.pubsub(ignore_subscribe_messages=True) as channel:
                channel.subscribe(self.keys.signals)
                while (left := 1.0 if ends is None else min(1.0, ends - time.monotonic())) > 0:
                    try:
                        found = replies.signal(channel.get_message(timeout=left))
                    except RETRYABLE:
                        time.sleep(min(left, 0.2))
                        continue
                    if found is not None:
                        yield found
        finally:
            twin.close()
            twin.connection_pool.disconnect()

    def events(
        self, *, since: str | datetime | None = None, follow: bool = False, timeout: float | None = None
    ) -> Iterator[Event]:
        """What happened in the queue, oldest first: the events that are kept (about 10,000 calls), or with *follow*
        the new ones as they come, for *timeout* seconds or for ever.

        ``since`` is the cursor of the last event that was seen, or an aware datetime; without it all that are kept,
        and with *follow* only new ones. Whoever goes on from the last cursor sees each event once. What was trimmed
        away before it was read is told by an event of the kind "gap". Following sits every outage out but one at the
        begin. Raises InvalidTask.
        """
        event_steps.check(since, follow, timeout)
        return event_stream.read(self, event_stream.reading(self, since, follow=follow, timeout=timeout).steps())

    def load_scripts(self) -> None:
        """Load every script into the server. Raises LokiRedisError when one is refused."""
        try:
            self._server = read_server(self.redis)
            for name in NAMES:
                self._load(self.redis, load(name))
        except FAILURES as e:
            raise self._translated(e) from None

    enqueue = _sync(commands.enqueue)
    claim_many = _sync(commands.claim_many)
    announce = _sync(commands.announce)
    heartbeat = _sync(commands.heartbeat)
    heartbeat_many = _sync(commands.heartbeat_many)
    complete = _sync(commands.complete)
    fail = _sync(commands.fail)
    release = _sync(commands.release)
    rate_limited = _sync(commands.rate_limited)
    cancel = _sync(commands.cancel)
    retry_dead = _sync(commands.retry_dead)
    resolve_dead = _sync(commands.resolve_dead)
    discard_dead = _sync(commands.discard_dead)
    escalate_dead = _sync(commands.escalate_dead)
    decisions = _sync(commands.decisions)
    pause = _sync(commands.pause)
    resume = _sync(commands.resume)
    slowdown = _sync(commands.slowdown)
    reset_breaker = _sync(commands.reset_breaker)
    trip_breaker = _sync(commands.trip_breaker)
    configure = _sync(commands.configure)
    settings = _sync(commands.settings)
    get = _sync(commands.get)
    list = _sync(commands.list_)
    stats = _sync(commands.stats)
    counts = _sync(commands.counts)
    breakers = _sync(commands.breakers)
    agents = _sync(commands.agents)
    waits = _sync(commands.waits)
    explain = _sync(commands.explain)
    explain_agent = _sync(commands.explain_agent)


class AsyncQueue(AsyncExecutor):
    """One queue, for asyncio: the methods of :class:`Queue`, awaited. Close it, or use ``async with``.

    It belongs to the event loop that it is first used in.
    """

    def __init__(self, redis_client: AsyncRedis, name: str = "default", *, retry_for: float = RETRY_FOR) -> None:
        super().__init__(redis_client, name, retry_for)

    @classmethod
    def from_url(cls, url: str | None = None, name: str = "default", *, retry_for: float = RETRY_FOR) -> Self:
        """As :meth:`Queue.from_url`. Starting the embedded server takes about a tenth of a second, blocking."""
        prefix, retry_for = Keys(name).prefix, arguments.patience(retry_for)
        url = resolve(url)
        made = cls(connect_async(url, prefix), name, retry_for=retry_for)
        made._owned, made.url, made._kept = True, url, AsyncKeptConnections.of(made.redis)
        return made

    async def close(self) -> None:
        """Close the connections that this object made."""
        self._stay_in_loop()
        if self._blocking is not None:
            await self._blocking.aclose(close_connection_pool=True)
            self._blocking = None
        if self._owned:
            await self.redis.aclose()
            self._loop = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def claim(
        self,
        agent: str,
        types: str | Iterable[str],
        *,
        lease: float | None = None,
        wait: float | None = 0,
        request: str | None = None,
    ) -> Claim | NoClaim:
        """As :meth:`Queue.claim`."""
        todo = steps.claim(self.keys, agent, types, lease=lease, wait=wait, request=request, now=time.monotonic)
        return await self._drive_to_end(todo)

    async def _claim_watched(
        self, agent: str, types: str | Iterable[str], *, lease: float, wait: float | None, watch: steps.Watch
    ) -> Claim | NoClaim:
        """As claim, for those who keep the claim's lease themselves."""
        now = time.monotonic
        todo = steps.claim(self.keys, agent, types, lease=lease, wait=wait, request=None, now=now, watch=watch)
        return await self._drive_to_end(todo)

    async def exchange(
        self,
        agent: str,
        types: str | Iterable[str],
        *,
        finished: Iterable[Finished | Failed | Released] = (),
        limit: int = 1,
        lease: float | None = None,
        request: str | None = None,
    ) -> Exchange:
        """As :meth:`Queue.exchange`."""
        todo = steps.exchange(self.keys, agent, types, finished=finished, limit=limit, lease=lease, request=request)
        # What is claimed with an id of the caller's own is kept: nothing is to be waited for.
        return await (self._drive_to_end(todo) if request is None else self._drive(todo))

    async def enqueue_many(
        self, tasks: Iterable[NewTask | Mapping[str, Any]], *, request: str | None = None
    ) -> builtins.list[Enqueued]:
        """As :meth:`Queue.enqueue_many`."""
        return await self._drive(steps.enqueue_many(self.keys, tasks, request=request))

    async def import_(
        self,
        path: str | Path,
        *,
        default_type: str | None = None,
        dry_run: bool = False,
        max_bytes: int = LARGEST_FILE,
    ) -> Imported:
        """As :meth:`Queue.import_`. The files are read in a thread."""
        from .files import importing

        return await self._drive_in_thread(
            importing.import_(self.keys, path, default_type=default_type, dry_run=dry_run, max_bytes=max_bytes)
        )

    async def export(self, path: str | Path, *, replace: bool = False) -> Exported:
        """As :meth:`Queue.export`. The files are written in a thread."""
        from .files import exporting

        return await self._drive_in_thread(exporting.export(self.keys, path, replace=replace))

    def work(self, agent: str, types: str | Iterable[str], *, lease: float = 60, wait: float | None = 0) -> AsyncWork:
        """A block around one task: ``async with queue.work(agent, types) as claim``, a NoClaim when there is none.

        The claim is renewed in the background. ``claim.finish(output=…, decision_report=…)`` completes the task at the
        end of the block; an exception fails it, a rate limit among them holds the agent; else it is handed back.
        When the claim is lost or cancelled the block is cancelled, and StaleClaim raised in place of that.
        """
        from .worker.by_hand import AsyncWork

        return AsyncWork(self, agent, types, lease, wait)

    async def graph(self, id: str | None = None, *, way: commands.Way = "up", limit: int = 10_000) -> Graph:
        """As :meth:`Queue.graph`."""
        return await self._drive(steps.graph(self.keys, id, way, limit))

    async def dead_groups(self, type: str | None = None, *, limit: int | None = None) -> builtins.list[DeadGroup]:
        """As :meth:`Queue.dead_groups`."""
        return await self._drive(steps.dead_groups(self.keys, type, limit))

    async def canary_dead(
        self,
        id: str,
        others: Iterable[str],
        *,
        force: bool = False,
        by: str | None = None,
        reason: str = "",
        request: str | None = None,
    ) -> int:
        """As :meth:`Queue.canary_dead`."""
        given = steps.canary_dead(self.keys, id, others, force=force, by=by, reason=reason, request=request)
        return await self._drive(given)

    def listen(self, *, timeout: float | None = None) -> AsyncIterator[Signal]:
        """As :meth:`Queue.listen`: ``async for signal in queue.listen()``."""
        return self._listen(None if timeout is None else arguments.seconds(timeout, "timeout"))

    async def _listen(self, timeout: float | None) -> AsyncIterator[Signal]:
        self._stay_in_loop()
        await self.redis.initialize()  # a cluster client knows its nodes only then
        ends = None if timeout is None else time.monotonic() + timeout
        twin = blocking_twin(self.redis, steps.LONGEST_BLOCK, self.keys.signals)
        try:
            async with twin.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(self.keys.signals)
                while (left := 1.0 if ends is None else min(1.0, ends - time.monotonic())) > 0:
                    try:
                        found = replies.signal(await channel.get_message(timeout=left))
                    except RETRYABLE:
                        await asyncio.sleep(min(left, 0.2))
                        continue
                    if found is not None:
                        yield found
        finally:
            await twin.aclose(close_connection_pool=True)

    def events(
        self, *, since: str | datetime | None = None, follow: bool = False, timeout: float | None = None
    ) -> AsyncIterator[Event]:
        """As :meth:`Queue.events`: ``async for event in queue.events()``."""
        event_steps.check(since, follow, timeout)
        return event_stream.read_async(self, event_stream.reading(self, since, follow=follow, timeout=timeout).steps())

    async def load_scripts(self) -> None:
        """As :meth:`Queue.load_scripts`."""
        self._stay_in_loop()
        try:
            self._server = await read_server_async(self.redis)
            for name in NAMES:
                await self._load(load(name))
        except FAILURES as e:
            raise self._translated(e) from None

    enqueue = _async(commands.enqueue)
    claim_many = _async(commands.claim_many)
    announce = _async(commands.announce)
    heartbeat = _async(commands.heartbeat)
    heartbeat_many = _async(commands.heartbeat_many)
    complete = _async(commands.complete)
    fail = _async(commands.fail)
    release = _async(commands.release)
    rate_limited = _async(commands.rate_limited)
    cancel = _async(commands.cancel)
    retry_dead = _async(commands.retry_dead)
    resolve_dead = _async(commands.resolve_dead)
    discard_dead = _async(commands.discard_dead)
    escalate_dead = _async(commands.escalate_dead)
    decisions = _async(commands.decisions)
    pause = _async(commands.pause)
    resume = _async(commands.resume)
    slowdown = _async(commands.slowdown)
    reset_breaker = _async(commands.reset_breaker)
    trip_breaker = _async(commands.trip_breaker)
    configure = _async(commands.configure)
    settings = _async(commands.settings)
    get = _async(commands.get)
    list = _async(commands.list_)
    stats = _async(commands.stats)
    counts = _async(commands.counts)
    breakers = _async(commands.breakers)
    agents = _async(commands.agents)
    waits = _async(commands.waits)
    explain = _async(commands.explain)
    explain_agent = _async(commands.explain_agent)


__all__ = ["AsyncQueue", "Queue"]
