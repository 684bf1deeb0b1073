"""One JSON-RPC 1.0 connection to an OVSDB server (RFC 7047, 4)."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Cooperator, LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from quantumd.host.ovsdb.errors import ConnectionBroke, NotConnected, ProtocolError, RemoteError
from quantumd.host.ovsdb.framing import Framer
from quantumd.host.ovsdb.parsing import Leaf, parse

#: Seconds between two looks at whether anything came. Each wakes an idle daemon.
_TICK = 1.5
#: After so many looks without anything, ask for an echo; after so many, the server is gone. Looks are counted, not
#: seconds, so that a time in which we did nothing ourselves is not held against the server: the look right after it
#: comes before the answer is read, so there are two after the question.
_ASK, _GONE = 1, 3
#: Bytes that wait to be parsed before the server is kept waiting.
_FULL = 1 << 22

Work = Generator[None, None, Any]
#: Works through a notification: (method, params), in slices.
Notified = Callable[[str, Any], Work]


def _unchanged(_parent: str | int, value: Any) -> Any:
    return value


def _ignored(_method: str, _params: Any) -> Work:
    yield from ()


def _as_it_is(result: Any) -> Work:
    yield from ()
    return result


class JsonRpc(Protocol):
    """Requests out, answers and notifications in, one after the other in the order they come, and echoes both ways.

    ``leaf`` and ``notified`` may be set at any time: see :func:`~quantumd.host.ovsdb.parsing.parse` and
    :data:`Notified`. ``lost`` fires, with the reason, when the connection has ended. ``cooperator`` takes slices of
    what takes long.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, cooperator: Cooperator) -> None:
        self.leaf: Leaf = _unchanged
        self.notified: Notified = _ignored
        self.lost: Deferred[BaseException] = Deferred()
        self._cooperator = cooperator
        self._framer = Framer()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._working = False
        self._paused = False
        self._broken: BaseException | None = None
        self._requests: dict[int, tuple[Deferred[Any], Callable[[Any], Work]]] = {}
        self._next_id = 0
        self._quiet = 0
        self._ticker = LoopingCall(self._tick)
        self._ticker.clock = clock

    # --- for whoever has the connection

    def request(self, method: str, params: Any) -> Deferred[Any]:
        """Ask, and fire with the result.

        Fails with RemoteError where the server refuses, ConnectionBroke where the connection ends before.
        """
        return self.send(method, json.dumps(params, separators=(",", ":")))

    def send(self, method: str, params: str, work: Callable[[Any], Work] = _as_it_is) -> Deferred[Any]:
        """:meth:`request` with parameters that are JSON already.

        The result is first worked through by ``work``, in slices, before anything that comes after it is looked at.
        """
        if self._broken is not None or self.transport is None:
            return fail(NotConnected("there is no connection to the OVSDB server"))
        self._next_id += 1
        self._write(f'{{"id":{self._next_id},"method":{json.dumps(method)},"params":{params}}}')
        answer: Deferred[Any] = Deferred()
        self._requests[self._next_id] = answer, work
        return answer

    def abort(self, reason: Exception) -> None:
        """End the connection at once."""
        if self._broken is None:
            self._broken = reason
            if self.transport is not None:
                self.transport.abortConnection()  # type: ignore[attr-defined]  # every stream transport of Twisted has it

    # --- for the transport

    def connectionMade(self) -> None:
        """See IProtocol."""
        self._ticker.start(_TICK, now=False)

    def dataReceived(self, data: bytes) -> None:
        """See IProtocol."""
        self._quiet = 0
        if self._broken is not None:
            return
        try:
            complete = self._framer.feed(data)
        except ProtocolError as error:
            self.abort(error)
            return
        if not complete:
            return
        self._waiting.extend(complete)
        self._size += sum(map(len, complete))
        if self._size > _FULL and not self._paused:
            self._paused = True
            self.transport.pauseProducing()  # type: ignore[union-attr]  # there is a transport: it brought data
        if not self._working:
            self._working = True
            self._cooperator.coiterate(self._work()).addErrback(self._failed)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See IProtocol."""
        if self._ticker.running:
            self._ticker.stop()
        why = self._broken or reason.value or ConnectionBroke("the connection to the OVSDB server broke")
        self._broken = why
        self._waiting.clear()
        requests, self._requests = self._requests, {}
        # First of all, so that whoever hears of a failed request finds the connection gone.
        self.lost.callback(why)
        for answer, _ in requests.values():
            answer.errback(ConnectionBroke("the connection to the OVSDB server broke before it answered"))

    # --- in detail

    def _write(self, text: str) -> None:
        assert self.transport is not None
        self.transport.write(text.encode())

    def _tick(self) -> None:
        self._quiet += 1
        if self._working or self._paused:
            # It has said more than we have listened to.
            self._quiet = 0
        elif self._quiet >= _GONE:
            self.abort(ConnectionBroke(f"the OVSDB server has not said anything for {_GONE * _TICK} s"))
        elif self._quiet == _ASK:
            self.send("echo", "[]").addErrback(lambda _: None)

    def _work(self) -> Iterator[None]:
        while self._waiting and self._broken is None:
            text = self._waiting.popleft()
            self._size -= len(text)
            message = yield from parse(text.decode(), self.leaf)
            yield from self._dispatch(message)
            yield
        self._working = False
        if self._paused and self._broken is None:
            self._paused = False
            self.transport.resumeProducing()  # type: ignore[union-attr]  # there is one while nothing is broken

    def _failed(self, reason: Failure) -> None:
        if reason.check(ProtocolError, ValueError):
            self.abort(ProtocolError(f"the OVSDB server does not speak its protocol: {reason.value}"))
        else:
            self._log.failure("A message of the OVSDB server could not be worked through", failure=reason)
            self.abort(ProtocolError("a message of the OVSDB server could not be worked through; see the log"))

    def _dispatch(self, message: Any) -> Iterator[None]:
        method = message.get("method")
        if method == "echo":
            answer = {"id": message.get("id"), "result": message.get("params"), "error": None}
            self._write(json.dumps(answer, separators=(",", ":")))
        elif method is not None:
            yield from self.notified(method, message.get("params"))
        else:
            yield from self._answered(message)

    def _answered(self, message: Any) -> Iterator[None]:
        ident = message.get("id")
        if not isinstance(ident, int) or ident not in self._requests:
            raise ProtocolError(f"it answers a request with id {ident!r} that was not made")
        waiting, work = self._requests.pop(ident)
        error = message.get("error")
        if error is None:
            try:
                result = yield from work(message.get("result"))
            except BaseException:
                waiting.errback()
                raise
            waiting.callback(result)
        elif isinstance(error, dict):
            waiting.errback(RemoteError(f"{error.get('error')}: {error.get('details', '')}"))
        else:
            waiting.errback(RemoteError(str(error)))
