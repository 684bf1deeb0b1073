"""A state that is gone with the process: for tests and simulations of everything above a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from quantumd.core.model import Event
from quantumd.core.state import State
from quantumd.interfaces import IStateStore
from quantumd.store.grouping import Batch, GroupCommitStore


@implementer(IStateStore)
class MemoryStore(GroupCommitStore):
    """Judges and answers like any store, but writes nowhere, so that a commit has its answer at once.

    Begins with ``state`` and ``past``. While :attr:`broken` is an exception, every write fails with it.
    """

    def __init__(self, clock: IReactorTime, state: State | None = None, past: Sequence[Event] = ()) -> None:
        super().__init__(clock)
        self.state = state or State()
        self._past = past
        self.broken: Exception | None = None

    def start(self) -> Deferred[None]:
        """Begin."""
        self._begin(self.state, self._past)
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """End; :attr:`state` stays."""
        return self._finish()

    def successor(self) -> MemoryStore:
        """A store as the next process finds it: with everything that was committed, not started yet."""
        return MemoryStore(self._clock, self.state, self._history.kept)

    def _write(self, _: Batch) -> Deferred[None]:
        return succeed(None) if self.broken is None else fail(self.broken)

    def _soon(self, call: Callable[[], None]) -> None:
        call()
