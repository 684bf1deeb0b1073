"""Who shares a write with whom, in a store on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.transaction import Transaction
from quantumd.store.sqlite import SQLiteStore
from tests.service.support import Turns


class Worker:
    """Does the work when it is let."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.holds = False

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        """See IWorker."""
        if not self.holds:
            return succeed(work())
        self.waiting.append((work, done := Deferred()))
        return done

    def stop(self) -> None:
        """See IWorker."""

    def work(self) -> None:
        """Do what was asked for."""
        waiting, self.waiting = self.waiting, []
        for work, done in waiting:
            done.callback(work())


class GroupTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="quantumd-store-")
        self.addCleanup(directory.cleanup)
        self.clock, self.worker = Turns(), Worker()
        self.store = SQLiteStore(self.clock, Path(directory.name, "state"), "this boot", self.worker)
        self.successResultOf(self.store.start())
        self.addCleanup(self.stop)
        self.groups: list[int] = []
        self.store.listen(lambda _, events: self.groups.append(len(events)))
        self.worker.holds = True

    def stop(self) -> None:
        self.worker.holds = False
        self.worker.work()
        self.clock.pump([0.01] * 5)
        self.successResultOf(self.store.stop())

    def commit(self) -> Deferred[None]:
        def tell(tx: Transaction) -> None:
            tx.emit_leftover("br-gone")

        return self.store.commit(tell)

    def turn(self, seconds: float = 0) -> None:
        """A turn of the reactor, some time after the last: what it calls for is called in the next one."""
        self.clock.rightNow += seconds
        for _ in [call for call in self.clock.calls if call.getTime() <= self.clock.seconds()]:
            self.clock.step()

    def test_alone(self) -> None:
        """Who comes alone waits for one turn that brings nothing."""
        self.commit()
        self.turn()
        self.assertEqual([], self.worker.waiting)
        self.turn()
        self.worker.work()
        self.assertEqual([1], self.groups)

    def test_turn_after_turn(self) -> None:
        """While each turn brings more, there is one group."""
        for _ in range(5):
            self.commit()
            self.commit()
            self.turn()
        self.turn()
        self.worker.work()
        self.assertEqual([10], self.groups)

    def test_not_for_ever(self) -> None:
        """However many keep coming, the write begins after 10 ms."""
        for _ in range(5):
            self.commit()
            self.turn(0.004)
        self.worker.work()
        self.assertEqual([3], self.groups)

    def test_who_is_answered_asks_again(self) -> None:
        """Those of a group have their answers, and may ask again, before the next one is written."""
        again: list[Deferred[None]] = []
        self.commit().addCallback(lambda _: again.append(self.commit()))
        self.turn()
        self.turn()
        self.commit()
        self.worker.work()
        self.assertEqual(1, len(again))
        self.turn()
        self.turn()
        self.worker.work()
        self.assertEqual([1, 2], self.groups)
        self.successResultOf(again[0])
