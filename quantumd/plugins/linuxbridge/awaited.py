"""Looking again and again for what the kernel does not tell of.

An altname given to a device that is *down* is in no notice (``netdev_state_change``, net/core/dev.c), so that a device
waited for by its altname is looked for, while there is such a wait; the more there are, the more seldom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from quantumd.core.model import Key
from quantumd.host.netlink.parse import Link
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.thread import NetlinkThread

_PAUSE = 0.05  # seconds between two looks, at least
_PAUSE_EACH = 0.0005  # and for each device that is waited for


class Awaited:
    """The names that are waited for. ``found(names)`` is called with those that have come."""

    def __init__(self, reactor: Any, thread: NetlinkThread, found: Callable[[Iterable[str]], None]) -> None:
        self._thread = thread
        self._found = found
        self._names: dict[Key, str] = {}
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def set(self, key: Key, name: str | None) -> None:
        """The record of that key waits for a device of that name, or (None) for none."""
        if name is None:
            self._names.pop(key, None)
            return
        self._names[key] = name
        if not self._loop.running:
            self._loop.start(self._pause(), now=False)

    def replace(self, names: Mapping[Key, str]) -> None:
        """These records wait, each for a device of that name, and no others."""
        self._names.clear()
        for key, name in names.items():
            self.set(key, name)

    def stop(self) -> None:
        """Look no more."""
        self._names.clear()
        if self._loop.running:
            self._loop.stop()

    def _pause(self) -> float:
        return max(_PAUSE, _PAUSE_EACH * len(self._names))

    def _look(self) -> Deferred[None] | None:
        self._loop.interval = self._pause()
        if not self._names:
            self._loop.stop()
            return None
        names = list(set(self._names.values()))

        def tell(links: list[Link | None]) -> None:
            there = [name for name, link in zip(names, links, strict=True) if link is not None]
            if there:
                self._found(there)

        looked: Deferred[list[Link | None]] = self._thread.call(Rtnl.links, names)
        return looked.addCallback(tell)
