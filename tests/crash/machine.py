"""A daemon without an edge in one thread, on a real kernel and a real state file: it can be ended at any step.

There is no reactor: threads are calls, and time passes when the test says so.
"""

from __future__ import annotations

import select
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from quantumd.core.access import Caller, Role
from quantumd.core.intent import Limits
from quantumd.core.state import State
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.plugins.linuxbridge import LinuxBridgePlugin
from quantumd.service.convergence import Convergence
from quantumd.service.quantum import Quantum
from quantumd.store.sqlite import SQLiteStore

T = TypeVar("T")

ADMIN = Caller("test", "default", Role.ADMIN)
#: Seconds of the test's own time in which everything comes to rest: longer than the longest pause and an audit.
REST = 75.0


class Reactor(Clock):
    """Time that passes when it is told to; descriptors are read then."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: IReadDescriptor) -> None:
        """See IReactorFDSet."""
        if reader not in self.readers:
            self.readers.append(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """See IReactorFDSet."""
        if reader in self.readers:
            self.readers.remove(reader)

    def removeWriter(self, _: object) -> None:
        """See IReactorFDSet; nothing is ever written."""


class InlineThread:
    """Stands for :class:`quantumd.host.netlink.thread.NetlinkThread`: jobs are done at once, here."""

    def __init__(self, _reactor: object, _netns: str | None = None) -> None:
        self._rtnl: Rtnl | None = None

    def start(self) -> Deferred[None]:
        """Open the socket."""
        self._rtnl = Rtnl()
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Close it."""
        if self._rtnl is not None:
            self._rtnl.close()
            self._rtnl = None
        return succeed(None)

    def call(self, job: Callable[..., T], *args: Any, **kwargs: Any) -> Deferred[T]:
        """Do the job."""
        done: Deferred[T] = maybeDeferred(job, self._rtnl, *args, **kwargs)
        return done


class InlineWorker:
    """Stands for the store's thread."""

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Do it here and now."""
        done: Deferred[T] = maybeDeferred(work)
        return done

    def stop(self) -> None:
        """There is nothing to end."""


def linuxbridge(reactor: Reactor) -> LinuxBridgePlugin:
    """The plugin, whose host is the namespace of the calling thread."""
    with patch("quantumd.plugins.linuxbridge.plugin.NetlinkThread", InlineThread):
        return LinuxBridgePlugin(reactor)


class Machine:
    """One process, from its start to its end. ``dead`` says whether it has ended."""

    def __init__(
        self,
        state: Path,
        dead: Callable[[], bool] = lambda: False,
        make_plugin: Callable[[Reactor], LinuxBridgePlugin] = linuxbridge,
        boot: str = "this boot",
    ) -> None:
        self.reactor = Reactor()
        self._dead = dead
        self._state = state
        self.store = SQLiteStore(self.reactor, state, boot, InlineWorker())
        self.plugin = make_plugin(self.reactor)
        self.convergence = Convergence(self.store, self.plugin, self.reactor)
        self.quantum = Quantum(self.store, self.plugin, Limits(1000, 1000), self.convergence.wake)

    def start(self) -> None:
        """Start, and fail as the daemon would."""
        _now(self.store.start())
        _now(Deferred.fromCoroutine(self.convergence.start()))

    @property
    def state(self) -> State:
        """What is accepted and stored."""
        return self.store.state

    def ask(self, asked: Deferred[T]) -> T:
        """The answer to a request, which comes without the plugin's doing."""
        answers: list[T | Failure] = []
        asked.addBoth(answers.append)
        while not answers and not self._dead() and self.reactor.getDelayedCalls():
            self.reactor.advance(max(0.0, self.reactor.getDelayedCalls()[0].getTime() - self.reactor.seconds()))
        if not answers:
            raise Unanswered
        if isinstance(answers[0], Failure):
            if self._dead():
                raise Unanswered
            answers[0].raiseException()
        return answers[0]  # type: ignore[return-value]

    def rest(self, seconds: float = REST) -> bool:
        """Let time pass until nothing is left to do; False: there is, or it has ended."""
        end = self.reactor.seconds() + seconds
        while not self._dead():
            self._read()
            calls = self.reactor.getDelayedCalls()
            soon = calls[0].getTime() if calls else end
            if self.at_rest and soon > self.reactor.seconds() + 0.04:
                return True
            if soon > end:
                return self.at_rest
            self.reactor.advance(max(0.0, soon - self.reactor.seconds()))
        return False

    @property
    def at_rest(self) -> bool:
        """Whether an audit has been, and nothing is left to do."""
        waiting = self.convergence._rounds or self.convergence._audit_due
        return self.convergence.progress.audits > 0 and not waiting and not self.convergence.backlog

    def stop(self) -> None:
        """As SIGTERM does."""
        _now(Deferred.fromCoroutine(self.convergence.stop()))
        _now(self.store.stop())
        self.reactor.advance(0)  # what was told to close closes in the next turn

    def abandon(self) -> Path:
        """What the kernel does for a process that has ended: close what it had open, and no more.

        Returns the state file as it is found by the next process: a copy, since SQLite tidies up when it is closed.
        """
        watch = self.plugin._namespaces._inotify
        for reader in (*self.reactor.readers, *(() if watch in self.reactor.readers else (watch,))):
            reader.connectionLost(Failure(ConnectionAbortedError()))
        thread = getattr(self.plugin, "_thread", None)
        if thread is not None:
            thread.stop()
        found = Path(tempfile.mkdtemp(dir=self._state.parent.parent)) / self._state.name
        for suffix in ("", "-wal"):
            source = self._state.with_name(self._state.name + suffix)
            if source.exists():
                shutil.copyfile(source, found.with_name(found.name + suffix))
        self.store._database.close()
        return found

    def _read(self) -> None:
        ready, _, _ = select.select(self.reactor.readers, (), (), 0)
        for reader in ready:
            reader.doRead()


class Unanswered(Exception):
    """The process ended before it answered."""


def _now(deferred: Deferred[Any]) -> None:
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert results, "this was to be done at once"
    if isinstance(results[0], Failure):
        results[0].raiseException()
