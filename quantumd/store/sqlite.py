"""The state in a SQLite file, written by a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, NoReturn, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from quantumd.core.errors import ServiceUnavailable
from quantumd.interfaces import IStateStore
from quantumd.store.database import Database, Loaded
from quantumd.store.errors import StoreError
from quantumd.store.grouping import Batch, GroupCommitStore

T = TypeVar("T")

#: Seconds that a write waits at most for requests that keep coming.
_GATHER = 0.01
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Names the machine's present run (Linux, random(4)); another one after each boot."""
    return _BOOT_ID.read_text("ascii").strip()


class IWorker(Protocol):
    """Where blocking work is done: one piece after the other."""

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Do the work elsewhere and fire with what comes of it."""

    def stop(self) -> None:
        """End, when what was asked for is done."""


class WorkerThread:
    """A thread of its own. It begins with the first piece of work, so that it may be made before a daemon forks."""

    def __init__(self, reactor: Any, name: str) -> None:
        self._reactor = reactor
        self._name = name
        self._thread: Thread | None = None
        self._work: SimpleQueue[tuple[Callable[[], Any], Deferred[Any]] | None] = SimpleQueue()

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Do the work in the thread; the Deferred fires in the reactor's."""
        if self._thread is None:
            self._thread = Thread(target=self._serve, name=self._name)
            self._thread.start()
        done: Deferred[T] = Deferred()
        self._work.put((work, done))
        return done

    def stop(self) -> None:
        """Wait for the thread to end, if there is one."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None

    def _serve(self) -> None:
        while (piece := self._work.get()) is not None:
            work, done = piece
            try:
                result = work()
            except BaseException:
                self._reactor.callFromThread(done.errback, Failure())
            else:
                self._reactor.callFromThread(done.callback, result)


@implementer(IStateStore)
class SQLiteStore(GroupCommitStore):
    """The state in the SQLite file at ``path``.

    ``reactor`` is clock and home of the callbacks; ``boot_id`` names the machine's present run; ``worker`` does what
    blocks.
    """

    def __init__(self, reactor: Any, path: Path, boot_id: str, worker: IWorker | None = None) -> None:
        super().__init__(reactor)
        self._database = Database(path, boot_id)
        self._worker = worker or WorkerThread(reactor, "quantumd-store")

    def start(self) -> Deferred[None]:
        """Open the file and read it. Fails with StoreError; then there is nothing to stop."""

        def opened(loaded: Loaded) -> None:
            self._begin(loaded.state, loaded.events)

        def failed(reason: Any) -> Any:
            self._worker.stop()
            return reason

        return self._worker.run(self._database.open).addCallbacks(opened, failed)

    def stop(self) -> Deferred[None]:
        """Write what was accepted, and close the file."""

        def drained(_: None) -> Deferred[None]:
            return self._worker.run(self._database.close)

        def closed(result: Any) -> Any:
            self._worker.stop()
            return result

        return self._finish().addCallback(drained).addBoth(closed)

    def backup(self) -> Deferred[bytes]:
        """See IStateStore."""

        def failed(reason: Failure) -> NoReturn:
            reason.trap(StoreError)
            raise ServiceUnavailable(f"The state cannot be copied ({reason.getErrorMessage()}); see to its disk.")

        return self._worker.run(self._database.serialize).addErrback(failed)

    def _write(self, batch: Batch) -> Deferred[None]:
        return self._worker.run(lambda: self._database.write(batch))

    def _soon(self, call: Callable[[], None]) -> None:
        # The thread and the reactor's share one interpreter, so that many small writes beside the judging cost more
        # than to judge first what has arrived. In the turn that follows an answer is what its client asks next.
        until = self._clock.seconds() + _GATHER

        def look(came: int) -> None:
            if len(self._gathering) > came and self._clock.seconds() < until:
                self._clock.callLater(0, look, len(self._gathering))
            else:
                call()

        self._clock.callLater(0, look, 0)
