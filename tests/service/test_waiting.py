from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.changes import Failed
from quantumd.core.model import AttachmentStatus, Key, Kind, Record, Status
from quantumd.service.waiting import Waiters, is_settled
from tests.core.support import World
from tests.service.support import ADMIN, Daemon, DaemonCase, result


class SettledTests(SynchronousTestCase):
    def test_what_has_settled(self) -> None:
        world = World()
        port = world.port(world.network())
        attachment = world.plug(port, "vif")
        cases: list[tuple[Record, object, bool]] = [
            (port, Status.IN_PROGRESS, False),
            (port, Status.ACTIVE, True),
            (port, Status.FAILED, True),
            (port, Status.DELETING, False),
            (attachment, AttachmentStatus.IN_PROGRESS, False),
            (attachment, AttachmentStatus.DOWN, True),
            (attachment, AttachmentStatus.UP, True),
            (attachment, AttachmentStatus.FAILED, True),
            (attachment, AttachmentStatus.DETACHING, False),
        ]
        self.assertTrue(is_settled(None))
        for record, status, expected in cases:
            with self.subTest(f"{record.key.kind} {status}"):
                self.assertIs(is_settled(evolve(record, status=status)), expected)


class WaitersTests(DaemonCase):
    def setUp(self) -> None:
        self.daemon = Daemon(delay=2.0)
        self.waiters = Waiters(self.daemon.store, self.daemon.clock)
        self.daemon.start()
        self.network = self.daemon.network()

    def wait(self, key: Key, seconds: float) -> Deferred[Record | None]:
        return Deferred.fromCoroutine(self.waiters.settled(key, seconds))

    def calls(self) -> int:
        return len(self.daemon.clock.getDelayedCalls())

    def test_the_reply_comes_when_it_has_settled(self) -> None:
        waiting = self.wait(self.network.key, 10)
        self.daemon.rest(1.9)
        self.assertNoResult(waiting)
        self.daemon.rest(0.1)
        record = result(waiting)
        assert record is not None
        self.assertEqual(record.status, Status.ACTIVE)

    def test_a_failure_is_settled(self) -> None:
        self.daemon.plugin.verdict = lambda _: Failed("no")
        waiting = self.wait(self.network.key, 10)
        self.daemon.rest(2)
        record = result(waiting)
        self.assertEqual(record and record.status, Status.FAILED)

    def test_the_time_is_over(self) -> None:
        waiting = self.wait(self.network.key, 1)
        self.daemon.rest(1)
        record = result(waiting)
        self.assertEqual(record and record.status, Status.IN_PROGRESS)
        self.daemon.rest(5)

    def test_what_has_settled_already(self) -> None:
        self.daemon.rest(2)
        before = self.calls()
        record = result(self.wait(self.network.key, 60))
        self.assertEqual(record and record.status, Status.ACTIVE)
        self.assertEqual(self.calls(), before)

    def test_no_time_at_all(self) -> None:
        for seconds in (0, -1):
            record = result(self.wait(self.network.key, seconds))
            self.assertEqual(record and record.status, Status.IN_PROGRESS)

    def test_what_is_gone(self) -> None:
        self.daemon.rest(2)
        self.daemon.delete(self.network)
        waiting = self.wait(self.network.key, 10)
        self.daemon.rest(2)
        self.assertIsNone(result(waiting))

    def test_what_never_was(self) -> None:
        self.assertIsNone(result(self.wait(Key(Kind.ATTACHMENT, 99), 10)))

    def test_many_wait_for_the_same(self) -> None:
        waiting = [self.wait(self.network.key, 10) for _ in range(3)]
        short = self.wait(self.network.key, 1)
        self.daemon.rest(1)
        result(short)
        self.daemon.rest(1)
        for one in waiting:
            self.assertIsNotNone(result(one))

    def test_whoever_hangs_up_waits_no_more(self) -> None:
        before = self.calls()
        waiting, other = self.wait(self.network.key, 10), self.wait(self.network.key, 10)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.daemon.rest(2)
        self.assertIsNotNone(result(other))
        self.assertLessEqual(self.calls(), before)

    def test_no_call_is_left_behind(self) -> None:
        self.wait(self.network.key, 60)
        self.daemon.rest(2)
        self.assertEqual(self.calls(), 1, "the next audit")

    def test_the_daemon_stops(self) -> None:
        waiting = [self.wait(self.network.key, 60) for _ in range(2)]
        before = self.calls()
        self.waiters.release()
        for one in waiting:
            record = result(one)
            self.assertEqual(record and record.status, Status.IN_PROGRESS)
        self.assertEqual(self.calls(), before - 2)

    def test_it_is_in_progress_again_while_it_is_waited_for(self) -> None:
        waiting = self.wait(self.network.key, 10)
        self.daemon.rest(1)
        self.daemon.quantum.update_network(ADMIN, self.network.id, {"name": "red"})
        self.daemon.rest(1)
        self.assertNoResult(waiting)
        self.daemon.rest(2)
        self.assertIsNotNone(result(waiting))
