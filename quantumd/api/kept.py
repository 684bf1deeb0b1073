"""Lists as bytes: what has not changed since it was last asked for is not made a second time."""

from __future__ import annotations

from collections.abc import Hashable

from quantumd.api.operations import Reply
from quantumd.core.state import State

#: Bytes of all bodies that are kept.
ROOM = 4 << 20


class KeptReplies:
    """Replies that follow from the state, and from ``asked``: who asked for what, in which format.

    All are forgotten when the state is another one.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._state: State | None = None
        self._replies: dict[Hashable, Reply] = {}
        self._bytes = 0

    def find(self, state: State, asked: Hashable) -> Reply | None:
        """The reply of that state, if it is kept."""
        if state is not self._state:
            self._state, self._replies, self._bytes = state, {}, 0
        return self._replies.get(asked)

    def keep(self, asked: Hashable, reply: Reply) -> None:
        """Keep a reply to what was not found, if there is room for its body, which has to be bytes."""
        assert isinstance(reply.body, bytes)
        if self._bytes + len(reply.body) <= self._room:
            self._replies[asked] = reply
            self._bytes += len(reply.body)
