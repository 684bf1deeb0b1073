"""``Prefer: wait``: who waits for a record to settle, and is woken after the commit in which it did."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from quantumd.core.model import AttachmentStatus, Event, Key, Record, Status
from quantumd.interfaces import IStateStore

_UNSETTLED = frozenset((Status.IN_PROGRESS, Status.DELETING, AttachmentStatus.IN_PROGRESS, AttachmentStatus.DETACHING))


def is_settled(record: Record | None) -> bool:
    """Whether nothing more will come of the record for now; one that is gone has settled."""
    return record is None or record.status not in _UNSETTLED


class Waiters:
    """Everybody who waits for a record. Costs nothing for records that nobody waits for."""

    def __init__(self, store: IStateStore, clock: IReactorTime) -> None:
        self._store = store
        self._clock = clock
        # Those who wait longest are answered first.
        self._waiting: dict[Key, dict[Deferred[None], None]] = {}
        store.listen(self._committed)

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    async def settled(self, key: Key, seconds: float) -> Record | None:
        """The record when it has settled, or as it is when the seconds are over; None: it is gone."""
        if seconds > 0 and not is_settled(self._store.state.get(key)):
            woken: Deferred[None] = Deferred()
            self._waiting.setdefault(key, {})[woken] = None
            timeout = self._clock.callLater(seconds, woken.callback, None)
            try:
                await woken
            finally:
                self._forget(key, woken)
                if timeout.active():
                    timeout.cancel()
        return self._store.state.get(key)

    async def all_settled(self, keys: Sequence[Key], seconds: float) -> list[Record | None]:
        """Each record when all have settled, or as it was when the seconds were over; None: it is gone."""
        until = self._clock.seconds() + seconds
        return [await self.settled(key, until - self._clock.seconds()) for key in keys]

    def release(self) -> None:
        """Let everybody go with the record as it is now, because the daemon stops."""
        waiting, self._waiting = self._waiting, {}
        for everybody in waiting.values():
            for woken in everybody:
                woken.callback(None)

    def _committed(self, keys: Collection[Key], _: Sequence[Event]) -> None:
        if not self._waiting:
            return
        for key in keys:
            if key in self._waiting and is_settled(self._store.state.get(key)):
                for woken in self._waiting.pop(key):
                    woken.callback(None)

    def _forget(self, key: Key, woken: Deferred[None]) -> None:
        waiting = self._waiting.get(key, {})
        waiting.pop(woken, None)
        if not waiting:
            self._waiting.pop(key, None)
