from __future__ import annotations

from itertools import pairwise

from twisted.internet.defer import Deferred

from quantumd.core.changes import Change, EnsureNetwork, Failed, Outcome
from quantumd.core.errors import ServiceUnavailable
from quantumd.core.model import AttachmentStatus, Status
from quantumd.store.memory import MemoryStore
from tests.service.support import ADMIN, DaemonCase, result


def failing(_: Change) -> Outcome | None:
    """Nothing works."""
    return Failed("by design")


class PauseTests(DaemonCase):
    def setUp(self) -> None:
        super().setUp()
        self.daemon.plugin.verdict = failing
        self.network = self.daemon.network()
        self.daemon.rest()

    def tries(self) -> list[float]:
        """When the network was tried."""
        work = self.daemon.plugin.work
        return [at for at, changes in work if any(change.key == self.network.key for change in changes)]  # type: ignore[union-attr]

    def test_pauses_grow_from_a_fifth_of_a_second_to_half_a_minute(self) -> None:
        self.daemon.rest(200)
        tries = self.tries()
        pauses = [round(later - earlier, 3) for earlier, later in pairwise(tries)]
        self.assertEqual(pauses[:10], [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0])
        now = self.daemon.now_is(self.network)
        self.assertEqual((now.status, now.fault and now.fault.name), (Status.FAILED, "PluginFault"))

    def test_a_fault_that_stays_the_same_is_told_once(self) -> None:
        self.daemon.rest(100)
        self.assertEqual(self.daemon.actions(), [("network", "created", "InProgress"), ("network", "status", "Failed")])

    def test_a_later_try_works(self) -> None:
        self.daemon.rest(3)
        self.daemon.plugin.verdict = lambda _: None
        self.daemon.rest(3.2)
        self.settled()

    def test_a_request_tries_at_once_and_anew(self) -> None:
        self.daemon.rest(100)
        self.daemon.plugin.work.clear()
        result(self.daemon.quantum.update_network(ADMIN, self.network.id, {"name": "red"}))
        self.daemon.rest(1)
        start = self.daemon.clock.seconds() - 1
        self.assertEqual([round(at - start, 3) for at in self.tries()], [0.0, 0.2, 0.6])

    def test_a_request_that_changes_nothing_tries_at_once_too(self) -> None:
        self.daemon.rest(100)
        self.daemon.plugin.verdict = lambda _: None
        result(self.daemon.quantum.update_network(ADMIN, self.network.id, {}))
        self.daemon.rest()
        self.settled()

    def test_a_notification_of_what_has_not_changed_tries_nothing(self) -> None:
        """What a failing try does to the host must not be its own reason to be tried again at once."""
        self.daemon.rest(100)
        self.daemon.plugin.work.clear()
        for _ in range(5):
            self.daemon.convergence.notify([self.network.key])
            self.daemon.rest()
        self.assertEqual(self.tries(), [])
        self.daemon.rest(30)
        self.assertEqual(len(self.tries()), 1)

    def test_a_notification_of_what_has_changed_tries_at_once(self) -> None:
        self.daemon.rest(100)
        self.daemon.plugin.work.clear()
        self.daemon.plugin.host[self.network.key] = "something"  # type: ignore[assignment]
        self.daemon.plugin.host[self.network.key] = type("Made", (), {"asked": "other", "plugin": {}})()
        self.daemon.convergence.notify([self.network.key])
        self.daemon.rest()
        self.assertEqual(len(self.tries()), 1)

    def test_an_audit_leaves_the_pauses_alone(self) -> None:
        self.daemon.rest(100)
        self.daemon.plugin.work.clear()
        self.daemon.convergence.notify(None)
        self.daemon.rest()
        self.assertEqual(self.tries(), [])

    def test_each_record_has_pauses_of_its_own(self) -> None:
        self.daemon.rest(10)
        self.daemon.plugin.work.clear()
        other = self.daemon.network("red")
        self.daemon.rest(0.2)
        self.assertEqual(
            [[change.key for change in changes] for _, changes in self.daemon.plugin.work],  # type: ignore[union-attr]
            [[other.key], [other.key]],
        )

    def test_a_removal_that_fails_is_tried_until_it_works(self) -> None:
        self.daemon.plugin.verdict = lambda _: None
        self.daemon.rest(1)
        self.daemon.plugin.verdict = failing
        self.daemon.delete(self.network)
        self.daemon.rest(3)
        now = self.daemon.now_is(self.network)
        self.assertEqual((now.status, now.fault and now.fault.message), (Status.DELETING, "by design"))
        self.daemon.plugin.verdict = lambda _: None
        self.daemon.delete(self.network)
        self.daemon.rest()
        self.assertEqual(list(self.daemon.state.every_key()), [])
        self.settled()


class BrokenTests(DaemonCase):
    """What goes wrong as a whole costs nothing but time."""

    def test_a_look_that_fails(self) -> None:
        self.daemon.plugin.broken_look = RuntimeError("a bug")
        network = self.daemon.network()
        self.daemon.rest(0.1)
        self.assertEqual(self.daemon.now_is(network).status, Status.IN_PROGRESS)
        self.daemon.plugin.broken_look = None
        self.daemon.rest(0.1)
        self.settled()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_work_that_fails(self) -> None:
        self.daemon.plugin.broken_work = RuntimeError("a bug")
        network = self.daemon.network()
        attachment = self.daemon.plug(self.daemon.port(network), "vif")
        self.daemon.rest(2)
        self.assertEqual(self.daemon.now_is(attachment).status, AttachmentStatus.IN_PROGRESS)
        self.daemon.plugin.broken_work = None
        self.daemon.rest(2)
        self.settled()
        self.flushLoggedErrors(RuntimeError)

    def test_a_backend_that_goes_away_in_the_middle_is_no_bug(self) -> None:
        self.daemon.plugin.broken_work = ServiceUnavailable("away")
        self.daemon.network()
        self.daemon.rest(1)
        self.daemon.plugin.broken_work = None
        self.daemon.rest(1)
        self.settled()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_an_audit_that_fails_is_made_again_within_a_second(self) -> None:
        self.daemon.network()
        self.daemon.rest()
        self.daemon.plugin.broken_look = RuntimeError("a bug")
        self.daemon.convergence.notify(None)
        self.daemon.rest()
        self.daemon.plugin.broken_look = None
        self.daemon.plugin.host.clear()
        self.daemon.rest(1)
        self.settled()
        self.flushLoggedErrors(RuntimeError)

    def test_a_plugin_that_loses_count(self) -> None:
        self.daemon.plugin.apply = lambda _: Deferred.fromCoroutine(nothing())  # type: ignore[method-assign]
        network = self.daemon.network()
        self.daemon.rest()
        self.assertEqual(self.daemon.now_is(network).status, Status.IN_PROGRESS)
        del self.daemon.plugin.apply
        self.daemon.rest(0.2)
        self.settled()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_what_was_made_for_others_in_a_batch_that_broke_is_tried_again(self) -> None:
        network = self.daemon.network()
        port = self.daemon.port(network)
        self.daemon.rest()
        self.daemon.plugin.host.clear()
        self.daemon.plugin.broken_work = ServiceUnavailable("away")
        self.daemon.plug(port, "vif")
        self.daemon.rest()
        self.daemon.plugin.broken_work = None
        self.daemon.unplug(port)
        self.daemon.rest(0.5)
        self.settled()

    def test_a_disk_that_is_full(self) -> None:
        store = self.daemon.store
        assert isinstance(store, MemoryStore)
        network = self.daemon.network()
        store.broken = OSError("No space left on device")
        self.daemon.rest(1)
        self.assertEqual(self.daemon.now_is(network).status, Status.IN_PROGRESS)
        with self.assertRaises(ServiceUnavailable):
            self.daemon.network("red")
        store.broken = None
        self.daemon.rest(2)
        self.settled()
        self.flushLoggedErrors(OSError)


class UnavailableTests(DaemonCase):
    def setUp(self) -> None:
        super().setUp()
        self.away: str | None = None
        self.patch(type(self.daemon.plugin), "unavailable", property(lambda _: self.away))

    def test_nothing_is_accepted_while_it_is_away_and_reads_go_on(self) -> None:
        network = self.daemon.network()
        self.daemon.rest()
        self.away = "The backend is away"
        with self.assertRaises(ServiceUnavailable) as caught:
            self.daemon.network("red")
        self.assertIn("The backend is away", caught.exception.detail)
        self.assertEqual(self.daemon.quantum.find_network(ADMIN, network.id).name, "blue")
        self.assertEqual(len(self.daemon.state.networks), 1)

    def test_what_was_accepted_before_is_carried_out_when_it_is_back(self) -> None:
        network = self.daemon.network()
        self.away = "away"
        self.daemon.rest(60)
        self.assertEqual(self.daemon.plugin.work, [])
        self.assertEqual(self.daemon.now_is(network).status, Status.IN_PROGRESS)
        self.away = None
        self.daemon.convergence.notify(None)
        self.daemon.rest()
        self.settled()

    def test_pauses_that_end_meanwhile(self) -> None:
        self.daemon.plugin.verdict = failing
        self.daemon.network()
        self.daemon.rest()
        self.away = "away"
        self.daemon.rest(60)
        self.daemon.plugin.verdict = lambda _: None
        self.away = None
        self.daemon.convergence.notify(None)
        self.daemon.rest()
        self.settled()

    def test_what_was_lost_meanwhile_is_found(self) -> None:
        self.daemon.network()
        self.daemon.rest()
        self.away = "away"
        self.daemon.rest(5)
        self.daemon.plugin.host.clear()
        self.away = None
        self.daemon.convergence.notify(None)
        self.daemon.rest()
        self.assertEqual(
            [type(change) for _, changes in self.daemon.plugin.work for change in changes], [EnsureNetwork] * 2
        )
        self.settled()


async def nothing() -> tuple[()]:
    """No outcome at all."""
    return ()
