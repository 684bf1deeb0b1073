from __future__ import annotations

from collections.abc import Collection, Iterable

from attrs import evolve
from twisted.internet.defer import Deferred

from quantumd.core import plan
from quantumd.core.changes import Attach, Change, EnsureNetwork, Failed, Outcome, RemoveLeftover
from quantumd.core.model import AttachmentStatus, Key, Kind, Status
from quantumd.core.plan import Observed, Plan
from quantumd.core.state import State
from quantumd.service import convergence
from tests.core.support import tap, uuid
from tests.service.support import ADMIN, Daemon, DaemonCase, result


class DriftTests(DaemonCase):
    def setUp(self) -> None:
        super().setUp()
        self.network = self.daemon.network()
        self.port = self.daemon.port(self.network)
        self.attachment = self.daemon.plug(self.port, "vif")
        self.daemon.rest()
        self.daemon.plugin.kinds()
        self.daemon.actions()

    def test_what_is_missing_is_made_again_and_told(self) -> None:
        del self.daemon.plugin.host[self.attachment.key]
        self.daemon.rest(30)
        self.settled()
        self.assertEqual(self.daemon.plugin.kinds(), [["Attach"]])
        event = self.daemon.told[0]
        self.assertEqual((event.action, event.status, event.attachment_id), ("repaired", "Attached/UP", "vif"))
        self.assertTrue(event.detail)
        self.assertEqual(len(self.daemon.told), 1)
        self.assertEqual(self.daemon.convergence.progress.repaired, 1)

    def test_only_what_is_amiss_is_planned(self) -> None:
        """What an audit finds as it is recorded costs no more than a look."""
        planned: list[Key] = []

        def make_plan(state: State, observed: Observed, keys: Iterable[Key], busy: Collection[Key] = ()) -> Plan:
            planned.extend(taken := list(keys))
            return plan.make_plan(state, observed, taken, busy)

        self.patch(convergence, "make_plan", make_plan)
        self.daemon.rest(30)
        self.assertEqual(planned, [])
        self.daemon.plugin.down.add(self.attachment.key)
        self.daemon.rest(30)
        self.assertEqual(planned, [self.attachment.key])
        self.assertIs(self.daemon.now_is(self.attachment).status, AttachmentStatus.DOWN)

    def test_a_repair_is_no_change_of_what_was_asked_for(self) -> None:
        before = self.daemon.now_is(self.attachment)
        self.daemon.plugin.host.clear()
        self.daemon.rest(30)
        self.assertEqual(self.daemon.now_is(self.attachment), before)

    def test_what_is_otherwise_is_put_right(self) -> None:
        made = self.daemon.plugin.host[self.network.key]
        self.daemon.plugin.host[self.network.key] = evolve(made, asked="otherwise")
        self.daemon.rest(30)
        self.settled()
        self.assertEqual(self.daemon.plugin.host[self.network.key], made)
        self.assertEqual(self.daemon.actions(), [("network", "repaired", "Active")])

    def test_what_belongs_to_nothing_is_removed(self) -> None:
        lost = Key(Kind.ATTACHMENT, 999)
        self.daemon.plugin.host[lost] = self.daemon.plugin.host[self.attachment.key]
        self.daemon.rest(30)
        self.assertEqual(self.daemon.plugin.kinds(), [["RemoveLeftover"]])
        self.assertEqual(self.daemon.convergence.progress.leftovers, 1)
        self.settled()

    def test_what_cannot_be_removed_is_tried_at_the_next_audit(self) -> None:
        def refuse(change: Change) -> Outcome | None:
            return Failed("busy") if isinstance(change, RemoveLeftover) else None

        self.daemon.plugin.host[Key(Kind.ATTACHMENT, 999)] = self.daemon.plugin.host[self.attachment.key]
        self.daemon.plugin.verdict = refuse
        self.daemon.rest(30)
        self.daemon.plugin.verdict = lambda _: None
        self.daemon.rest(30)
        self.settled()

    def test_what_it_was_in_the_way_of_is_tried_at_once(self) -> None:
        lost = Key(Kind.ATTACHMENT, 999)
        self.daemon.plugin.host[lost] = self.daemon.plugin.host[self.attachment.key]

        def refuse(change: Change) -> Outcome | None:
            return Failed("held") if isinstance(change, Attach) and lost in self.daemon.plugin.host else None

        self.daemon.plugin.verdict = refuse
        held = self.daemon.plug(self.daemon.port(self.network), "held")
        # It was tried at 25.4 s, and would be again at 51.
        self.daemon.rest(29)
        self.assertEqual(self.daemon.now_is(held).status, AttachmentStatus.FAILED)
        self.daemon.rest(2)
        self.assertEqual(self.daemon.now_is(held).status, AttachmentStatus.UP)

    def test_what_a_change_of_the_network_makes_necessary_is_no_repair(self) -> None:
        made = self.daemon.plugin.host[self.attachment.key]
        self.daemon.plugin.host[self.attachment.key] = evolve(made, asked="otherwise")
        result(self.daemon.quantum.update_network(ADMIN, self.network.id, {"options": {"mtu": 1400}}))
        self.daemon.rest()
        self.settled()
        self.assertNotIn("repaired", [action for _, action, _ in self.daemon.actions()])

    def test_a_repair_that_fails_is_a_failure_and_then_no_repair(self) -> None:
        self.daemon.plugin.verdict = lambda _: Failed("no")
        del self.daemon.plugin.host[self.attachment.key]
        self.daemon.rest(30)
        self.assertEqual(self.daemon.now_is(self.attachment).status, AttachmentStatus.FAILED)
        self.daemon.plugin.verdict = lambda _: None
        self.daemon.rest(1)
        self.settled()
        self.assertEqual([action for _, action, _ in self.daemon.actions()], ["status", "status"])

    def test_an_audit_of_a_host_in_order_changes_nothing(self) -> None:
        commits: list[object] = []
        self.patch(self.daemon.store, "commit", lambda *args, **_: commits.append(args))
        self.daemon.rest(300)
        self.assertEqual(self.daemon.convergence.progress.audits, 11)
        self.assertEqual((self.daemon.plugin.work, commits), ([], []))


class StartTests(DaemonCase):
    def test_a_restart_disturbs_nothing(self) -> None:
        network = self.daemon.network()
        self.daemon.plug(self.daemon.port(network), tap("vif"))
        self.daemon.rest()
        again = self.daemon.again()
        self.assertEqual(again.plugin.work, [])
        self.assertEqual(again.actions(), [])
        self.settled(again)

    def test_a_reboot_makes_everything_again(self) -> None:
        network = self.daemon.network()
        for name in ("vif1", "vif2"):
            self.daemon.plug(self.daemon.port(network), name)
        self.daemon.rest()
        self.daemon.plugin.host.clear()
        again = self.daemon.again()
        self.assertEqual(again.plugin.kinds(), [["EnsureNetwork", *["EnsurePort"] * 2, *["Attach"] * 2]])
        self.settled(again)

    def test_a_crash_before_anything_was_carried_out(self) -> None:
        network = self.daemon.network()
        port = self.daemon.port(network)
        self.daemon.plug(port, "vif1")
        self.daemon.unplug(port)
        self.daemon.plug(port, "vif2")
        self.settled(self.daemon.again())

    def test_a_crash_after_it_was_carried_out_and_before_that_was_recorded(self) -> None:
        network = self.daemon.network()
        port = self.daemon.port(network)
        attachment = self.daemon.plug(port, "vif")
        self.daemon.rest()
        unrecorded = self.daemon.store.successor()  # type: ignore[attr-defined]
        self.daemon.unplug(port)
        self.daemon.delete(network)
        self.daemon.rest()
        self.assertEqual(self.daemon.plugin.host, {})
        self.assertIn(attachment.key, list(unrecorded.state.every_key()))
        late = self.daemon.again()
        self.settled(late)
        self.assertEqual(list(late.state.every_key()), [])

    def test_what_was_being_removed_is_removed(self) -> None:
        network = self.daemon.network()
        port = self.daemon.port(network)
        self.daemon.plug(port, "vif")
        self.daemon.rest()
        self.daemon.unplug(port)
        self.daemon.delete(network)
        again = self.daemon.again()
        self.assertEqual((list(again.state.every_key()), again.plugin.host), ([], {}))

    def test_a_backend_that_is_away_at_the_start(self) -> None:
        path = self.mktemp()
        with open(path, "w"):  # noqa: PTH123 - a name for the plugin, no more
            pass
        daemon = Daemon(unavailable=path).start()
        self.assertEqual(daemon.plugin.looks, [])
        self.assertIsNotNone(daemon.plugin.unavailable)


class MeanwhileTests(DaemonCase):
    """An audit works through what it saw for a while; what is seen or asked meanwhile counts over it."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(convergence, "SLICE", 1)
        self.networks = [self.daemon.network(f"n{place}", id=uuid(place)) for place in range(1, 4)]
        self.daemon.rest()

    def slices(self) -> int:
        """Begin an audit, and let it look and work through one record."""
        looks = len(self.daemon.plugin.looks)
        self.daemon.convergence.notify(None)
        while len(self.daemon.plugin.looks) == looks:
            self.daemon.clock.step()
        self.assertIsNone(self.daemon.plugin.looks[-1])
        return len(self.daemon.plugin.looks)

    def test_a_round_that_failed_meanwhile(self) -> None:
        self.daemon.plugin.verdict = lambda change: Failed("no") if isinstance(change, EnsureNetwork) else None
        self.slices()
        for network in self.networks:
            del self.daemon.plugin.host[network.key]
        self.daemon.convergence.notify([network.key for network in self.networks])
        self.daemon.rest()
        self.assertEqual([self.daemon.now_is(network).status for network in self.networks], [Status.FAILED] * 3)
        self.assertEqual(self.daemon.convergence.retrying, 3)

    def test_what_a_round_saw_later(self) -> None:
        """The audit saw the devices with carrier, and would say so after they lost it."""
        plugged = [self.daemon.plug(self.daemon.port(network), f"vif-{network.name}") for network in self.networks]
        self.daemon.rest()
        self.slices()
        self.daemon.plugin.down = {attachment.key for attachment in plugged}
        self.daemon.convergence.notify(self.daemon.plugin.down)
        while any(self.daemon.now_is(attachment).status is AttachmentStatus.UP for attachment in plugged):
            self.daemon.clock.step()
        self.daemon.rest()
        self.assertEqual([self.daemon.now_is(one).status for one in plugged], [AttachmentStatus.DOWN] * 3)

    def test_a_request_is_carried_out_while_the_audit_goes_on(self) -> None:
        self.slices()
        audits = self.daemon.convergence.progress.audits
        fresh = self.daemon.network("fresh")
        while self.daemon.now_is(fresh).status is not Status.ACTIVE:
            self.daemon.clock.step()
        self.assertEqual(self.daemon.convergence.progress.audits, audits)
        self.daemon.rest()
        self.settled()

    def test_nothing_begins_while_the_audit_looks(self) -> None:
        """What a round makes then would belong to nothing in the eyes of the audit."""
        self.daemon.plugin.gate = gate = Deferred()
        self.daemon.convergence.notify(None)
        self.daemon.rest()
        self.daemon.plugin.gate = None
        fresh = self.daemon.network("fresh")
        self.daemon.rest(1)
        self.assertEqual(self.daemon.now_is(fresh).status, Status.IN_PROGRESS)
        gate.callback(None)
        self.daemon.rest()
        self.assertEqual(self.daemon.convergence.progress.leftovers, 0)
        self.settled()

    def test_more_is_asked_while_a_round_looks(self) -> None:
        """What the plugin saw is of a past intent: it looks again before it does anything."""
        network = self.networks[0]
        self.daemon.plugin.work.clear()
        self.daemon.plugin.gate = Deferred()
        result(self.daemon.quantum.update_network(ADMIN, network.id, {"name": "red"}))
        self.daemon.rest()
        result(self.daemon.quantum.update_network(ADMIN, network.id, {"name": "green"}))
        gate, self.daemon.plugin.gate = self.daemon.plugin.gate, None
        gate.callback(None)
        self.daemon.rest()
        changes = [change for _, batch in self.daemon.plugin.work for change in batch]
        self.assertEqual([change.network.name for change in changes], ["green"])  # type: ignore[union-attr]
        self.settled()


class StopTests(DaemonCase):
    def setUp(self) -> None:
        self.daemon = Daemon(delay=2.0).start()

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.daemon.convergence.stop())

    def test_nothing_is_left_on_the_clock(self) -> None:
        self.daemon.plugin.verdict = lambda _: Failed("no")
        self.daemon.network()
        self.daemon.rest(2.1)
        self.assertEqual(self.daemon.convergence.retrying, 1)
        result(self.stop())
        self.assertEqual(self.daemon.clock.getDelayedCalls(), [])

    def test_the_batch_under_way_is_finished_and_no_other_begins(self) -> None:
        first = self.daemon.network("blue")
        self.daemon.rest(1)
        second = self.daemon.network("red")
        stopped = self.stop()
        self.assertNoResult(stopped)
        self.daemon.rest(1)
        result(stopped)
        self.assertEqual(self.daemon.now_is(first).status, Status.ACTIVE)
        self.assertEqual(self.daemon.now_is(second).status, Status.IN_PROGRESS)
        self.assertEqual(self.daemon.clock.getDelayedCalls(), [])
        self.settled(self.daemon.again())

    def test_a_batch_that_fails_as_it_stops(self) -> None:
        self.daemon.network("blue")
        self.daemon.rest(1)
        self.daemon.plugin.verdict = lambda _: Failed("no")
        stopped = self.stop()
        self.daemon.rest(1)
        result(stopped)
        self.assertEqual(self.daemon.clock.getDelayedCalls(), [])

    def test_a_batch_that_takes_too_long_is_abandoned(self) -> None:
        self.daemon = Daemon(delay=60.0).start()
        self.daemon.network("blue")
        self.daemon.rest(1)
        stopped = self.stop()
        self.daemon.rest(2.9)
        self.assertNoResult(stopped)
        self.daemon.rest(0.2)
        result(stopped)
        self.assertEqual(self.daemon.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.settled(self.daemon.again())

    def test_an_audit_that_is_under_way(self) -> None:
        self.daemon.network("blue")
        self.daemon.rest(3)
        self.daemon.plugin.gate = gate = Deferred()
        self.daemon.convergence.notify(None)
        self.daemon.rest()
        stopped = self.stop()
        self.assertNoResult(stopped)
        gate.callback(None)
        self.daemon.rest()
        result(stopped)
        self.assertEqual(self.daemon.clock.getDelayedCalls(), [])
