"""A client of one OVSDB database: connected whenever it can be, with a replica, for transactions."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import Cooperator, deferLater
from twisted.logger import Logger

from quantumd.host.ovsdb.errors import ConnectionBroke, NotConnected, OvsdbError, ProtocolError
from quantumd.host.ovsdb.operations import Operation, encode, results
from quantumd.host.ovsdb.protocol import JsonRpc
from quantumd.host.ovsdb.replica import Monitored, Replica, RowChange
from quantumd.host.ovsdb.schema import Schema

_T = TypeVar("_T")

#: Seconds from one attempt to connect to the next: they grow, but OVS is to be noticed when it is back.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
#: Seconds of a message's slices that are worked through in one turn of the reactor (a Cooperator's own are 0.01); what
#: cannot be taken apart, such as a bridge of ten thousand ports, comes on top of it.
_TURN = 0.003
_MONITOR = "quantumd"


class Watcher(Protocol):
    """Who is told of the database, on the reactor; must not raise, and be quick."""

    def loaded(self, replica: Replica) -> None:
        """There is a complete replica: at the start, and after each time that the connection was lost."""

    def changed(self, replica: Replica, changes: Sequence[RowChange]) -> None:
        """A transaction, somebody's or our own, changed these rows."""

    def lost(self, reason: str) -> None:
        """The connection of the last replica broke, or one more attempt to connect failed; it will be tried again."""


class Client:
    """Keeps a replica of what is ``monitored`` in ``database`` and makes transactions.

    Nothing of it holds the reactor for longer than some milliseconds, however large the database.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, endpoint: IStreamClientEndpoint, database: str, monitored: Monitored, watcher: Watcher
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._database = database
        self._monitored = monitored
        self._watcher = watcher
        self._cooperator = Cooperator(self._turn, scheduler=lambda call: reactor.callLater(0, call))
        self._protocol: JsonRpc | None = None
        self._conditions: list[tuple[Callable[[Replica], object], Deferred[None]]] = []
        self.replica: Replica | None = None
        self._factory = Factory.forProtocol(lambda: JsonRpc(reactor, self._cooperator))
        self._running: Deferred[None] | None = None
        self._stopped = False
        # What is waited for between connections, and the connection, from its first moment to its last.
        self._idle: Deferred[Any] | None = None
        self._connection: JsonRpc | None = None

    def start(self) -> None:
        """Connect, and stay so; the watcher hears of it."""
        self._running = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """End the connection; the watcher hears no more."""
        self._stopped = True
        self._watcher = _Nobody()
        if self._connection is not None:
            self._connection.abort(NotConnected("the connection is not wanted any more"))
        elif self._idle is not None:
            self._idle.cancel()
        if self._running is not None:
            await self._running

    def transact(self, operations: Sequence[Operation]) -> Deferred[list[Any]]:
        """Carry out all operations or none; fires with the result of each (see their classes).

        The replica has what the transaction did by then. Fails with NotConnected where nothing was sent,
        ConnectionBroke where it may have been done or not, TransactionFailed (GuardFailed) where nothing was done,
        SchemaError where an operation does not fit.
        """
        return Deferred.fromCoroutine(self._transact(operations))

    def until(self, condition: Callable[[Replica], object], seconds: float) -> Deferred[None]:
        """Fire once ``condition(replica)`` is true; it is looked at after every transaction of anybody.

        Fails with ConnectionBroke when the connection breaks before, and with twisted's TimeoutError when the time
        is up.
        """
        if self.replica is None:
            return fail(NotConnected("there is no connection to the OVSDB server"))
        waiting: Deferred[None] = Deferred(lambda _: self._conditions.remove(entry))
        entry = (condition, waiting)
        self._conditions.append(entry)
        self._check(self.replica)
        return waiting.addTimeout(seconds, self._reactor)

    # --- the connection

    async def _run(self) -> None:
        """Connect again and again. (Twisted's ClientService does not take it that a connection ends while it is being
        prepared, which is when a server that is just coming up ends it.)"""
        pause = _FIRST_PAUSE
        while not self._stopped:
            try:
                self._idle = self._endpoint.connect(self._factory)
                protocol = await self._idle
                assert isinstance(protocol, JsonRpc), "our factory makes no other"
                reason = await self._use(protocol)
                pause = _FIRST_PAUSE
            except Exception as error:
                reason = error
            self._watcher.lost(str(reason))
            if not self._stopped:
                self._idle = deferLater(self._reactor, pause)
                self._idle.addErrback(lambda failure: failure.trap(CancelledError))
                await self._idle
                pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _use(self, protocol: JsonRpc) -> BaseException:
        """Have a replica for as long as the connection lasts, and return why it ended."""
        self._connection = protocol
        try:
            replica = await self._replicate(protocol)
            self._protocol, self.replica = protocol, replica
            self._log.info("In touch with the OVSDB database {database}", database=self._database)
            self._watcher.loaded(replica)
        except Exception as error:
            protocol.abort(error)
        reason = await protocol.lost
        self._log.info("Lost the OVSDB database {database}: {reason}", database=self._database, reason=reason)
        self._connection = self._protocol = self.replica = None
        conditions, self._conditions = self._conditions, []
        for _, waiting in conditions:
            waiting.errback(ConnectionBroke("the connection to the OVSDB server broke"))
        return reason

    async def _replicate(self, protocol: JsonRpc) -> Replica:
        schema = Schema(await protocol.request("get_schema", [self._database]))
        replica = Replica(schema, self._monitored)
        protocol.leaf = replica.leaf
        protocol.notified = lambda method, params: self._notified(protocol, replica, method, params)
        ask = json.dumps([self._database, _MONITOR, replica.request()])
        await protocol.send("monitor_cond", ask, replica.load)
        return replica

    def _notified(self, protocol: JsonRpc, replica: Replica, method: str, params: Any) -> Generator[None, None, None]:
        if method == "monitor_canceled":
            protocol.abort(OvsdbError("the server has taken the database away"))
        if method != "update2":
            return
        if not isinstance(params, list) or len(params) != 2 or params[0] != _MONITOR:
            raise ProtocolError("it tells of a monitor that was not asked for")
        changes = yield from replica.update(params[1])
        if self.replica is replica:
            self._watcher.changed(replica, changes)
            self._check(replica)

    def _check(self, replica: Replica) -> None:
        met = [entry for entry in self._conditions if entry[0](replica)]
        for entry in met:
            self._conditions.remove(entry)
            entry[1].callback(None)

    # --- transactions

    async def _transact(self, operations: Sequence[Operation]) -> list[Any]:
        protocol, replica = self._protocol, self.replica
        if protocol is None or replica is None:
            raise NotConnected("there is no connection to the OVSDB server")
        encoded = await self._in_slices(encode(replica.schema, operations))
        answer = await protocol.send("transact", json.dumps([self._database, *encoded], separators=(",", ":")))
        return results(replica.schema, operations, answer)

    def _turn(self) -> Callable[[], bool]:
        end = self._reactor.seconds() + _TURN
        return lambda: bool(self._reactor.seconds() >= end)

    async def _in_slices(self, work: Generator[None, None, _T]) -> _T:
        result: list[_T] = []

        def run() -> Generator[None, None, None]:
            result.append((yield from work))

        await self._cooperator.coiterate(run())
        return result[0]


class _Nobody:
    """Whom a client tells that was stopped."""

    def loaded(self, replica: Replica) -> None: ...

    def changed(self, replica: Replica, changes: Sequence[RowChange]) -> None: ...

    def lost(self, reason: str) -> None: ...
