from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from quantumd.service.convergence import GATHER
from quantumd.store.grouping import Batch
from quantumd.store.memory import MemoryStore
from tests.service.support import ADMIN, Daemon, Turns

#: Seconds that a write takes: a few of them go into the time that a round waits at most.
WRITE = GATHER / 4


class SlowStore(MemoryStore):
    """A store whose writes take their time."""

    def _write(self, batch: Batch) -> Deferred[None]:
        return deferLater(self._clock, WRITE)


class GatheringTests(SynchronousTestCase):
    def setUp(self) -> None:
        clock = Turns()
        self.daemon = Daemon(clock, SlowStore(clock)).start()
        self.daemon.plugin.work.clear()

    def ask(self, name: str) -> None:
        """Ask for a network, and wait for nothing."""
        self.daemon.quantum.create_network(ADMIN, {"name": name})

    def sizes(self) -> list[int]:
        """How many changes each batch had."""
        return [len(changes) for _, changes in self.daemon.plugin.work]

    def test_one_request_is_carried_out_at_once(self) -> None:
        begun = self.daemon.clock.seconds()
        self.ask("blue")
        self.daemon.rest(WRITE)
        self.assertEqual([at for at, _ in self.daemon.plugin.work], [begun + WRITE])

    def test_what_is_being_written_meanwhile_comes_along(self) -> None:
        for name in ("blue", "red", "green"):  # the first is written while the others gather
            self.ask(name)
        self.daemon.rest(2 * WRITE)
        self.assertEqual(self.sizes(), [3])

    def test_a_stream_of_requests_holds_nothing_up(self) -> None:
        begun = self.daemon.clock.seconds()
        self.ask("first")
        for place in range(20):
            self.ask(f"n{place}")
            self.daemon.rest(WRITE)
        first, second = (at for at, _ in self.daemon.plugin.work[:2])
        self.assertAlmostEqual(first, begun + WRITE + GATHER)
        self.assertLessEqual(second - first, GATHER + 2 * WRITE)
        self.assertGreater(self.sizes()[0], 2)
