"""The newest events, in memory, so that nobody who follows them waits for the disk."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from quantumd.core.model import Event

#: How many events are kept at least.
KEPT = 10_000
#: How many more there may be before the oldest are let go of, all at once.
SLACK = 1_000


class History:
    """At least the last :data:`KEPT` events, oldest first.

    ``next_event`` is the number that the next one is going to have. Numbers may have gaps; one in a gap was never told
    to anybody, except that a follower may have begun just before ``next_event``.
    """

    def __init__(self, events: Sequence[Event] = (), next_event: int = 1) -> None:
        self._events = list(events)
        self._start = next_event - 1
        self._forgotten = 0

    @property
    def oldest(self) -> int:
        """The number of the oldest event that is kept; 0: there is none."""
        return self._events[0].seq if self._events else 0

    @property
    def kept(self) -> Sequence[Event]:
        """All that there are, oldest first."""
        return tuple(self._events)

    def extend(self, events: Sequence[Event]) -> None:
        """These happened."""
        self._events.extend(events)
        if len(self._events) > KEPT + SLACK:
            self._forgotten = self._events[-KEPT - 1].seq
            del self._events[:-KEPT]

    def after(self, seq: int) -> Sequence[Event] | None:
        """Those above that number, oldest first; None where the number is not one of ours, or is gone."""
        index = bisect_right(self._events, seq, key=lambda event: event.seq)
        known = index > 0 and self._events[index - 1].seq == seq
        # Whoever began to follow before anything happened in this run may be at a number that no event has.
        begun = seq == self._start and seq >= self._forgotten
        return self._events[index:] if known or begun else None
