from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from quantumd.service.convergence import GATHER, GATHER_BESIDE
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

    def test_beside_a_batch_there_is_as_much_time_as_the_last_one_took(self) -> None:
        for took in (4 * GATHER, 2 * GATHER_BESIDE):
            self.begin_one_that_takes(took)
            begun, wait = self.daemon.clock.seconds(), min(took, GATHER_BESIDE)
            self.ask(f"n{took}")
            for place in range(int(2 * took / WRITE)):
                self.ask(f"n{took}-{place}")
                self.daemon.rest(WRITE)
            second = self.daemon.plugin.work[1][0]
            self.assertApproximates(second, begun + wait, 2 * WRITE)
            self.daemon.rest(3 * took)

    def test_one_request_beside_a_batch_is_carried_out_at_once(self) -> None:
        self.begin_one_that_takes(1.0)
        begun = self.daemon.clock.seconds()
        self.ask("blue")
        self.daemon.rest(WRITE)
        self.assertEqual([at for at, _ in self.daemon.plugin.work[1:]], [begun + WRITE])

    def test_when_the_batch_ends_the_rest_waits_no_longer(self) -> None:
        took = GATHER_BESIDE
        self.begin_one_that_takes(took)
        self.daemon.rest(took - 2 * WRITE)
        begun = self.daemon.clock.seconds()
        for place in range(20):
            self.ask(f"n{place}")
            self.daemon.rest(WRITE)
        self.assertLess(self.daemon.plugin.work[1][0], begun + GATHER + 4 * WRITE)

    def begin_one_that_takes(self, seconds: float) -> None:
        """Have a batch carried out that takes so long, and another be under way."""
        self.daemon.plugin.takes(seconds)
        for name in (f"one-{seconds}", f"two-{seconds}"):
            self.daemon.rest(2 * seconds)
            self.daemon.plugin.work.clear()
            self.ask(name)
            self.daemon.rest(WRITE)
        self.assertEqual(self.sizes(), [1])
