"""Every step in which a process changes its host or its disk, as a point at which it can be ended.

A netlink batch is taken apart into its messages. After the end nothing has any effect: whatever the dead process'
exception handlers still try ends in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from quantumd.host import sysctl, tun
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.wire import Reply, Request
from quantumd.store.database import Database
from quantumd.store.grouping import Batch

#: RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH, RTM_GETNSID (linux/rtnetlink.h): they change nothing.
_QUERIES = frozenset((18, 22, 26, 30, 90))


class Killed(BaseException):
    """The process has ended."""


class Steps:
    """Counts steps, and ends the process before the one with the number ``last``; None: never."""

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        self.taken = 0
        self.dead = False
        self.names: list[str] = []

    def step(self, name: str) -> None:
        """The process is about to do this."""
        if self.dead or self.taken == self.last:
            self.dead = True
            raise Killed
        self.taken += 1
        self.names.append(name)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch whatever is done meanwhile, by this thread and for this process."""
        with (
            patch.object(Rtnl, "batch", self._batch(Rtnl.batch)),
            patch.object(Database, "write", self._write(Database.write)),
            patch.object(sysctl, "write", self._before("sysctl", sysctl.write)),
            patch.object(tun.fcntl, "ioctl", self._before("ioctl", tun.fcntl.ioctl)),
        ):
            yield

    def _before(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*args: Any, **kwargs: Any) -> Any:
            self.step(name)
            return work(*args, **kwargs)

        return stepped

    def _batch(self, batch: Callable[[Rtnl, Sequence[Request]], list[Reply]]) -> Any:
        def taken_apart(rtnl: Rtnl, requests: Sequence[Request]) -> list[Reply]:
            if all(request.type in _QUERIES for request in requests):
                return batch(rtnl, requests)
            replies = []
            for request in requests:
                if request.type not in _QUERIES:
                    self.step(f"netlink message {request.type}")
                replies += batch(rtnl, [request])
            return replies

        return taken_apart

    def _write(self, write: Callable[[Database, Batch], None]) -> Any:
        def stepped(database: Database, batch: Batch) -> None:
            self.step("before a commit")
            write(database, batch)
            self.step("after a commit")

        return stepped
