"""How many connections there may be, how long each may take to ask, and how much each caller may have under way.

A client that asks nothing costs a descriptor and some memory. What is bounded here is what many of them may cost, so
that those who do ask find room.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from quantumd.core.access import Caller, Role

#: Seconds from the first byte of a request to its last one.
ASKING = 30.0


class Cuttable(Protocol):
    """A connection that can be ended at once."""

    def cut(self) -> None:
        """End it, and do not wait for what it has not read."""


class Connections:
    """All connections of a site, ``most`` at the same time. One more takes the place of the one on which nothing has
    been under way for the longest time; where something is under way on all of them, it is not let in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[Cuttable, None] = {}  # in the order in which they began to wait
        self._busy: set[Cuttable] = set()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._waiting) + len(self._busy)

    def opened(self, connection: Cuttable) -> None:
        """Somebody connected. May cut that connection, or another one."""
        self._waiting[connection] = None
        if len(self) > self._most:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            longest.cut()

    def asked(self, connection: Cuttable) -> None:
        """A whole request is there."""
        if connection in self._waiting:
            del self._waiting[connection]
            self._busy.add(connection)

    def answered(self, connection: Cuttable) -> None:
        """It was answered."""
        if connection in self._busy:
            self._busy.discard(connection)
            self._waiting[connection] = None

    def closed(self, connection: Cuttable) -> None:
        """The connection is gone."""
        self._waiting.pop(connection, None)
        self._busy.discard(connection)


class AtOnce:
    """How many requests of each caller are under way, event streams and those that wait among them: ``most`` for each
    (0: as many as it likes). An admin has no such bound, since it could lift it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: Counter[str] = Counter()

    def begin(self, caller: Caller) -> bool:
        """One more; False: it is one too many, and was not counted."""
        if self._most and caller.role is not Role.ADMIN and self._under_way[caller.name] >= self._most:
            return False
        self._under_way[caller.name] += 1
        return True

    def end(self, caller: Caller) -> None:
        """One that began is over."""
        self._under_way[caller.name] -= 1
        if not self._under_way[caller.name]:
            del self._under_way[caller.name]
