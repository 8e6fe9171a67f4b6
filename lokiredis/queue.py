"""The two clients: the same commands over two executors. The only place that talks to Redis."""

from __future__ import annotations

import asyncio
import builtins
import functools
import inspect
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from redis.exceptions import MovedError, OutOfMemoryError, RedisError, ResponseError

from . import commands, replies, steps
from .commands import Command
from .connect import (
    AsyncRedis,
    SyncRedis,
    blocking_twin,
    connect,
    connect_async,
    drop_idle,
    resolve,
    short_twin,
    uses_tls,
)
from .errors import LokiRedisError
from .keys import Keys
from .models import Claim, Enqueued, NewTask, NoClaim, Signal
from .outages import RETRYABLE, async_retries, retries, translate
from .scripts import NAMES, Loaded, Script, load
from .server import Server, is_loaded_already, lacks_script, read_server, read_server_async, refuses_functions

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
P = ParamSpec("P")

#: How long a call is repeated while Redis is away, in seconds, before QueueUnavailable.
RETRY_FOR = 20.0

#: After a refused connection, in seconds.
REFUSED_PAUSE = (0.2, 1.0)

_NUMBERS = frozenset((int, float))


@dataclass
class _Progress:
    """Whether a call is under way, which must not be cut off: nobody would know what it did."""

    sending: bool = False
    #: The call that was sent last, unless its answer gave nothing out.
    command: Command[Any] | None = None


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


class _Client:
    """What both clients share: the queue's keys, and which text of a script the server needs."""

    def __init__(self, name: str, retry_for: float) -> None:
        self.keys = Keys(name)
        self.name = name
        self.retry_for = retry_for
        self.redis: Any = None
        self._server: Server | None = None

    def _translated(self, error: BaseException) -> LokiRedisError:
        """The error of our tree that says the same."""
        return translate(error, tls=uses_tls(self.redis))

    def _loaded(self, script: Script) -> Loaded:
        server = self._server or Server(None)
        return self._prepare(script).for_server(server.version, functions=server.functions)

    def _goes_without(self, error: ResponseError) -> bool:
        """Must this server get plain scripts from now on? Memory that is full refuses a library, but no script."""
        if self._server is None or not (refuses_functions(error) or isinstance(error, OutOfMemoryError)):
            return False
        self._server = replace(self._server, functions=False)
        return True

    def _prepare(self, script: Script) -> Script:
        """A place for tests to put their own clock."""
        return script

    def _argv(self, command: Command[Any]) -> builtins.list[Any]:
        # No numbers: hiredis ends the process when a signal such as Ctrl-C comes while it writes one as text.
        return [*command.keys, *(str(word) if type(word) in _NUMBERS else word for word in command.argv)]


class Queue(_Client):
    """One queue, blocking calls. ``Queue.from_url()`` uses the embedded server; close it, or use ``with``.

    Every method may raise QueueUnavailable after retrying for ``retry_for`` seconds, and SchemaMismatch.
    """

    def __init__(self, redis_client: SyncRedis, name: str = "default", *, retry_for: float = RETRY_FOR) -> None:
        super().__init__(name, retry_for)
        self.redis = redis_client
        self._blocking: SyncRedis | None = None
        self._owned = False

    @classmethod
    def from_url(cls, url: str | None = None, name: str = "default", *, retry_for: float = RETRY_FOR) -> Self:
        """A queue on the Redis of *url*; None: $LOKIREDIS_URL, else the embedded server of the nearest .loki folder."""
        made = cls(connect(resolve(url)), name, retry_for=retry_for)
        made._owned = True
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

    def run(self, command: Command[T]) -> T:
        """Send a command, again while Redis is away, and read its reply. Interrupted, it hands back what it claimed."""
        try:
            return self._answer(command)
        except Exception:
            raise
        except BaseException:
            self._give_up(command)
            raise

    def _answer(self, command: Command[T]) -> T:
        try:
            return command.parse(self._send(command))
        except (RedisError, OSError) as e:
            if not translate.is_outage(e):
                raise self._translated(e) from None
        try:
            for attempt in retries(self.retry_for):
                with attempt:
                    return command.parse(self._send(command))
        except (RedisError, OSError) as e:
            raise self._translated(e) from e
        raise AssertionError("tenacity ended without a result")

    def _send(self, command: Command[Any]) -> Any:
        return self._send_to(self.redis, command)

    def _send_to(self, redis: SyncRedis, command: Command[Any]) -> Any:
        if self._server is None:
            self._server = read_server(redis)
        try:
            return self._call(redis, self._loaded(command.script), command)
        except ResponseError as e:
            if not lacks_script(e) and not (refuses_functions(e) and self._goes_without(e)):
                raise
        # The server may be another one now, after a failover to an older or newer version.
        self._server = read_server(redis).as_known_from(self._server)
        return self._call(redis, self._load(redis, command.script), command)

    def _call(self, redis: SyncRedis, loaded: Loaded, command: Command[Any]) -> Any:
        call = redis.fcall if loaded.is_library else redis.evalsha
        return call(loaded.name, str(len(command.keys)), *self._argv(command))

    def _load(self, redis: SyncRedis, script: Script) -> Loaded:
        loaded = self._loaded(script)
        try:
            if loaded.is_library:
                redis.function_load(loaded.source)
            else:
                redis.script_load(loaded.source)
        except ResponseError as e:
            if loaded.is_library and self._goes_without(e):
                return self._load(redis, script)
            if not is_loaded_already(e):
                raise
        return loaded

    def _give_up(self, command: Command[Any] | None) -> None:
        """After Ctrl-C: hand back what *command* claimed, for its caller does not know of it.

        Whether it had come through or not, the same request has the same answer (design rule 9). One try, on a new
        connection: when that fails, the tasks come back with the end of their leases. A second Ctrl-C ends it.
        """
        drop_idle(self.redis)
        if self._blocking is not None:
            drop_idle(self._blocking)
        if command is None or command.undo is None or self._server is None:
            return
        try:
            twin = short_twin(self.redis, command.keys[0])
            try:
                undo = command.undo(command.parse(self._send_to(twin, command)))
                if undo is not None:
                    self._send_to(twin, undo)
            finally:
                twin.connection_pool.disconnect()
        except (RedisError, OSError, LokiRedisError):
            pass

    def _drive(self, todo: steps.Steps[T]) -> T:
        progress = _Progress()
        try:
            return self._carry_out(todo, progress)
        except Exception:
            raise
        except BaseException:
            self._give_up(progress.command)
            raise

    def _carry_out(self, todo: steps.Steps[T], progress: _Progress) -> T:
        answer: Any = None
        raised: LokiRedisError | None = None
        try:
            while True:
                step = todo.throw(raised) if raised else todo.send(answer)
                answer, raised = None, None
                progress.command = step if isinstance(step, Command) else None
                if isinstance(step, Command):
                    try:
                        answer = self._answer(step)
                    except LokiRedisError as e:
                        raised = e
                elif isinstance(step, steps.Sleep):
                    time.sleep(step.seconds)
                else:
                    self._block(step)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def _block(self, step: steps.Block) -> None:
        if self._blocking is None:
            self._blocking = blocking_twin(self.redis, steps.LONGEST_BLOCK, step.marks[0])
        try:
            self._blocking.bzpopmin(list(step.marks), timeout=str(step.seconds))
        except MovedError:
            self._blocking = None  # the queue is on another node of the cluster now
        except (RedisError, OSError) as e:
            if not translate.is_outage(e):
                raise self._translated(e) from None
            # The next claim meets the same outage, or none when only this connection is refused: then it must not spin.
            time.sleep(min(step.seconds, random.uniform(*REFUSED_PAUSE)))

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

    def enqueue_many(
        self, tasks: Iterable[NewTask | Mapping[str, Any]], *, request: str | None = None
    ) -> builtins.list[Enqueued]:
        """Store many tasks, in any order of their dependencies; up to 1,000 tasks or 8 MiB are one atomic call.

        A larger plan is checked first and then stored in parts. Raises as enqueue, naming the index; then nothing of
        that part is stored. Dicts use the documented camelCase names.
        """
        return self._drive(steps.enqueue_many(self.keys, tasks, request=request))

    def listen(self, *, timeout: float | None = None) -> Iterator[Signal]:
        """The queue's signals (SLOWDOWN, CANCEL …) as they come, for *timeout* seconds or for ever.

        Messages sent while nobody listened are gone; what they told is stored, and claims obey it.
        """
        twin = blocking_twin(self.redis, steps.LONGEST_BLOCK, self.keys.signals)
        ends = None if timeout is None else time.monotonic() + timeout
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

    def load_scripts(self) -> None:
        """Load every script into the server. Raises LokiRedisError when one is refused."""
        try:
            self._server = read_server(self.redis)
            for name in NAMES:
                self._load(self.redis, load(name))
        except RedisError as e:
            raise self._translated(e) from None

    enqueue = _sync(commands.enqueue)
    claim_many = _sync(commands.claim_many)
    heartbeat = _sync(commands.heartbeat)
    heartbeat_many = _sync(commands.heartbeat_many)
    complete = _sync(commands.complete)
    fail = _sync(commands.fail)
    release = _sync(commands.release)
    rate_limited = _sync(commands.rate_limited)
    exchange = _sync(commands.exchange)
    cancel = _sync(commands.cancel)
    retry_dead = _sync(commands.retry_dead)
    resolve_dead = _sync(commands.resolve_dead)
    discard_dead = _sync(commands.discard_dead)
    escalate_dead = _sync(commands.escalate_dead)
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


class AsyncQueue(_Client):
    """One queue, for asyncio: the methods of :class:`Queue`, awaited. Close it, or use ``async with``.

    It belongs to the event loop that it is first used in.
    """

    def __init__(self, redis_client: AsyncRedis, name: str = "default", *, retry_for: float = RETRY_FOR) -> None:
        super().__init__(name, retry_for)
        self.redis = redis_client
        self._blocking: AsyncRedis | None = None
        self._owned = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def from_url(cls, url: str | None = None, name: str = "default", *, retry_for: float = RETRY_FOR) -> Self:
        """As :meth:`Queue.from_url`. Starting the embedded server takes about a tenth of a second, blocking."""
        made = cls(connect_async(resolve(url)), name, retry_for=retry_for)
        made._owned = True
        return made

    def _stay_in_loop(self) -> None:
        """Connections work only in the event loop that they were made in: asyncio says that in its own words."""
        here = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = here
        if self._loop is not here:
            raise LokiRedisError("an AsyncQueue belongs to one event loop: make one of its own in each asyncio.run()")

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

    async def run(self, command: Command[T]) -> T:
        """Send a command, again while Redis is away, and read its reply."""
        self._stay_in_loop()
        try:
            return command.parse(await self._send(command))
        except (RedisError, OSError) as e:
            if not translate.is_outage(e):
                raise self._translated(e) from None
        try:
            async for attempt in async_retries(self.retry_for):
                with attempt:
                    return command.parse(await self._send(command))
        except (RedisError, OSError) as e:
            raise self._translated(e) from e
        raise AssertionError("tenacity ended without a result")

    async def _send(self, command: Command[Any]) -> Any:
        if self._server is None:
            self._server = await read_server_async(self.redis)
        try:
            return await self._call(self._loaded(command.script), command)
        except ResponseError as e:
            if not lacks_script(e) and not (refuses_functions(e) and self._goes_without(e)):
                raise
        self._server = (await read_server_async(self.redis)).as_known_from(self._server)
        return await self._call(await self._load(command.script), command)

    async def _call(self, loaded: Loaded, command: Command[Any]) -> Any:
        call = self.redis.fcall if loaded.is_library else self.redis.evalsha
        return await call(loaded.name, str(len(command.keys)), *self._argv(command))

    async def _load(self, script: Script) -> Loaded:
        loaded = self._loaded(script)
        try:
            if loaded.is_library:
                await self.redis.function_load(loaded.source)
            else:
                await self.redis.script_load(loaded.source)
        except ResponseError as e:
            if loaded.is_library and self._goes_without(e):
                return await self._load(script)
            if not is_loaded_already(e):
                raise
        return loaded

    async def _drive(self, todo: steps.Steps[T], progress: _Progress | None = None) -> T:
        progress = progress or _Progress()
        answer: Any = None
        raised: LokiRedisError | None = None
        try:
            while True:
                step = todo.throw(raised) if raised else todo.send(answer)
                answer, raised = None, None
                if isinstance(step, Command):
                    progress.sending = True
                    try:
                        answer = await self.run(step)
                    except LokiRedisError as e:
                        raised = e
                    finally:
                        progress.sending = False
                elif isinstance(step, steps.Sleep):
                    await asyncio.sleep(step.seconds)
                else:
                    await self._block(step)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    async def _block(self, step: steps.Block) -> None:
        if self._blocking is None:
            self._blocking = blocking_twin(self.redis, steps.LONGEST_BLOCK, step.marks[0])
        try:
            await self._blocking.bzpopmin(list(step.marks), timeout=str(step.seconds))
        except MovedError:
            self._blocking = None
        except (RedisError, OSError) as e:
            if not translate.is_outage(e):
                raise self._translated(e) from None
            await asyncio.sleep(min(step.seconds, random.uniform(*REFUSED_PAUSE)))

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
        progress = _Progress()
        inner = asyncio.ensure_future(self._drive(todo, progress))
        try:
            await asyncio.wait([inner])
        except asyncio.CancelledError:
            await asyncio.shield(self._give_up(inner, progress))
            raise
        return inner.result()

    async def _give_up(self, inner: asyncio.Future[Claim | NoClaim], progress: _Progress) -> None:
        """End a cancelled claim without losing a task: what was claimed while the cancellation came is handed back.

        A call under way is waited for. Waiting is cancelled until it has heard: redis-py sends through
        asyncio.wait_for, which before Python 3.12 swallows a cancellation that comes as the sending ends.
        """
        while not inner.done():
            if not progress.sending:
                inner.cancel()
            await asyncio.wait([inner], timeout=0.05)
        if inner.cancelled() or inner.exception() is not None:
            return
        found = inner.result()
        if isinstance(found, Claim):
            await self.release(found, reason="the call that claimed it was cancelled")

    async def enqueue_many(
        self, tasks: Iterable[NewTask | Mapping[str, Any]], *, request: str | None = None
    ) -> builtins.list[Enqueued]:
        """As :meth:`Queue.enqueue_many`."""
        return await self._drive(steps.enqueue_many(self.keys, tasks, request=request))

    async def listen(self, *, timeout: float | None = None) -> AsyncIterator[Signal]:
        """As :meth:`Queue.listen`: ``async for signal in queue.listen()``."""
        self._stay_in_loop()
        await self.redis.initialize()  # a cluster client knows its nodes only then
        twin = blocking_twin(self.redis, steps.LONGEST_BLOCK, self.keys.signals)
        ends = None if timeout is None else time.monotonic() + timeout
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

    async def load_scripts(self) -> None:
        """As :meth:`Queue.load_scripts`."""
        self._stay_in_loop()
        try:
            self._server = await read_server_async(self.redis)
            for name in NAMES:
                await self._load(load(name))
        except RedisError as e:
            raise self._translated(e) from None

    enqueue = _async(commands.enqueue)
    claim_many = _async(commands.claim_many)
    heartbeat = _async(commands.heartbeat)
    heartbeat_many = _async(commands.heartbeat_many)
    complete = _async(commands.complete)
    fail = _async(commands.fail)
    release = _async(commands.release)
    rate_limited = _async(commands.rate_limited)
    exchange = _async(commands.exchange)
    cancel = _async(commands.cancel)
    retry_dead = _async(commands.retry_dead)
    resolve_dead = _async(commands.resolve_dead)
    discard_dead = _async(commands.discard_dead)
    escalate_dead = _async(commands.escalate_dead)
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


__all__ = ["AsyncQueue", "Queue"]
