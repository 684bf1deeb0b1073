"""The thread in which all of quantumd's rtnetlink requests, tun ioctls and /proc writes are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.wire import Reply, Request
from quantumd.host.netns import enter

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class _Thread(Thread):
    """Not waited for by a process that ends without stopping it, as one does that fails to start."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, daemon=True)


class _Pool(ThreadPool):
    threadFactory = _Thread


class NetlinkThread:
    """One thread with one :class:`Rtnl`; jobs run in it one after the other, in the order they came.

    With ``netns`` (a path) the thread moves into that network namespace first and stays there: its sockets,
    its /proc/sys/net and the devices that it makes are that namespace's. Nothing else of the process moves.
    """

    def __init__(self, reactor: Any, netns: str | None = None) -> None:
        self._reactor = reactor
        self._netns = netns
        self._pool = _Pool(minthreads=1, maxthreads=1, name="netlink")
        self._rtnl: Rtnl | None = None

    def start(self) -> Deferred[None]:
        """Start the thread and open its socket.

        Fails with OSError where the namespace is not there or the kernel gives no socket.
        """
        self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, self._open)

    def stop(self) -> Deferred[None]:
        """Finish the jobs that were handed in, close the socket and end the thread."""
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        try:
            await deferToThreadPool(self._reactor, self._pool, self._close)
        finally:
            self._pool.stop()

    def call(
        self,
        job: Callable[Concatenate[Rtnl, _Arguments], _Result],
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> Deferred[_Result]:
        """Run ``job(rtnl, ...)`` in the thread."""
        return deferToThreadPool(self._reactor, self._pool, lambda: job(self._socket(), *args, **kwargs))

    def batch(self, requests: Sequence[Request]) -> Deferred[list[Reply]]:
        """Carry out many requests (see :meth:`Rtnl.batch`)."""
        return self.call(Rtnl.batch, requests)

    def _open(self) -> None:
        if self._netns is not None:
            enter(self._netns)
        self._rtnl = Rtnl()

    def _close(self) -> None:
        if self._rtnl is not None:
            self._rtnl.close()
            self._rtnl = None

    def _socket(self) -> Rtnl:
        if self._rtnl is None:
            raise RuntimeError("the netlink thread was not started, or was stopped")
        return self._rtnl
