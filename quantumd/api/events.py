"""``GET /events``: server-sent events (WHATWG HTML, section 9.2), as fast as each client reads and no faster."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.http import Request
from zope.interface import implementer

from quantumd.api.representations import event as represent
from quantumd.core.access import Caller
from quantumd.core.model import Event, Key, Kind
from quantumd.interfaces import IStateStore

#: Seconds of silence after which a comment shows that the stream is alive.
KEEP_ALIVE = 15.0

#: Seconds after which a client that reads nothing is let go; it may come back with ``Last-Event-ID``.
STALLED = 120.0

_AT_ONCE = 100
_COMMENT = b": quantumd\n\n"


class EventStreams:
    """All the clients that follow the events of one store."""

    def __init__(self, store: IStateStore, clock: IReactorTime) -> None:
        self._store = store
        self._clock = clock
        self._streams: set[_Stream] = set()
        store.listen(self._committed)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._streams)

    async def follow(self, request: Request, caller: Caller, after: int | None, leftovers: bool = False) -> None:
        """Write events to the request until its client is gone, its token is revoked or :meth:`close` is called.

        They begin after the event with that number (None: from now on), and are those that the caller may see; those of
        ``leftovers`` only where they are asked for, since they are of no network.
        """
        stream = _Stream(self._store, self._clock, request, caller, leftovers)
        self._streams.add(stream)
        request.registerProducer(stream, True)
        try:
            stream.begin(after)
            await stream.done
        finally:
            self._streams.discard(stream)
            stream.end()
            if request.channel is not None:  # it is None when the client is gone
                request.unregisterProducer()

    def close(self) -> None:
        """End all streams."""
        for stream in list(self._streams):
            stream.done.callback(None)

    def _committed(self, keys: Collection[Key], events: Sequence[Event]) -> None:
        if any(key.kind is Kind.TOKEN for key in keys):
            tokens = self._store.state.tokens
            for stream in [one for one in self._streams if one.token_id is not None and one.token_id not in tokens]:
                self._streams.discard(stream)
                stream.done.callback(None)
        if events:
            for stream in list(self._streams):
                stream.pull()


@implementer(IPushProducer)
class _Stream:
    """One client. Holds no events, only the number of the last one sent: one that never reads costs nothing more than
    what its connection buffers."""

    def __init__(
        self, store: IStateStore, clock: IReactorTime, request: Request, caller: Caller, leftovers: bool
    ) -> None:
        self.token_id = caller.token_id
        self._caller = caller
        self._leftovers = leftovers
        self._store = store
        self._clock = clock
        self._request = request
        self._last = self._newest()
        self._paused = False
        self._paused_at = 0.0
        self._pulling = False
        self._ended = False
        self._beat: IDelayedCall | None = None
        self.done: Deferred[None] = Deferred()

    def begin(self, after: int | None) -> None:
        """Write what there is after that event."""
        self._request.write(_COMMENT)
        if after is not None:
            self._last = after
        self._schedule()
        self.pull()

    def end(self) -> None:
        """Write nothing any more."""
        self._ended = True
        if self._beat is not None and self._beat.active():
            self._beat.cancel()

    def pull(self) -> None:
        """Write what has happened since the last event that was sent, until the transport has enough."""
        if self._pulling:  # a write that fills or drains the buffer calls back into here
            return
        self._pulling = True
        try:
            while not (self._paused or self._ended) and self._tell():
                pass
        except Exception:
            # It is this stream's trouble; whoever made the change that it tells of must not hear of it.
            self.end()
            self.done.errback()
        finally:
            self._pulling = False

    def pauseProducing(self) -> None:
        """The transport has enough."""
        self._paused = True
        self._paused_at = self._clock.seconds()

    def resumeProducing(self) -> None:
        """The transport has room again."""
        self._paused = False
        self.pull()

    def stopProducing(self) -> None:
        """The client is gone."""
        self.end()

    def _tell(self) -> bool:
        """Write the next events; False: there are none."""
        events = self._store.events(self._last)
        if events is None:
            if self._last == self._newest():
                return False
            self._last = self._newest()
            self._write(_message("reset", self._last, {}))
            return True
        if not events:
            return False
        part = events[:_AT_ONCE]
        self._last = part[-1].seq
        seen = [told for told in part if self._sees(told)]
        if seen:
            self._write(b"".join(_message(told.kind, told.seq, represent(told)) for told in seen))
        return True

    def _sees(self, told: Event) -> bool:
        return self._caller.sees(told.tenant_id) and (self._leftovers or told.kind is not Kind.LEFTOVER)

    def _newest(self) -> int:
        return self._store.state.next_event - 1

    def _write(self, message: bytes) -> None:
        self._request.write(message)
        self._schedule()

    def _schedule(self) -> None:
        if self._beat is not None and self._beat.active():
            self._beat.reset(KEEP_ALIVE)
        else:
            self._beat = self._clock.callLater(KEEP_ALIVE, self._keep_alive)

    def _keep_alive(self) -> None:
        # A client that does not read gets no comments either: they would pile up.
        if not self._paused:
            self._request.write(_COMMENT)
        elif self._clock.seconds() - self._paused_at >= STALLED:
            self.done.callback(None)
            return
        self._schedule()


def _message(kind: str, seq: int, data: object) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (seq, kind.encode(), orjson.dumps(data))
