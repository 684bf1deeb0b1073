from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.changes import Blocked, Done, Failed, Waiting
from quantumd.core.model import AttachmentStatus, FaultRecord, Key, Kind, Record, Status
from quantumd.core.outcome import stands
from quantumd.core.plan import ABSENT, Observed, Seen, make_plan
from tests.core.support import World, uuid


class NetworkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.network = self.world.network(id=uuid(1))
        self.world.told()

    def test_it_works(self) -> None:
        self.world.settle(self.network, Done({"bridge": "q-1"}))
        now = self.world.now_is(self.network)
        self.assertEqual((now.status, now.fault, now.plugin), (Status.ACTIVE, None, {"bridge": "q-1"}))
        self.assertEqual(self.world.told(), [("network", "status", "Active")])

    def test_a_status_is_no_change_of_what_was_asked_for(self) -> None:
        self.world.settle(self.network)
        now = self.world.now_is(self.network)
        self.assertEqual((now.revision, now.updated_at), (self.network.revision, self.network.updated_at))

    def test_it_works_still(self) -> None:
        self.world.settle(self.network, Done({"bridge": "q-1"}))
        before = self.world.state
        self.world.told()
        self.world.settle(self.network, Done({"bridge": "q-1"}))
        self.assertEqual((self.world.state, self.world.told()), (before, []))

    def test_what_the_plugin_reports_is_kept_without_an_event(self) -> None:
        self.world.settle(self.network, Done({"bridge": "q-1"}))
        self.world.told()
        self.world.settle(self.network, Done({"bridge": "q-2"}))
        self.assertEqual(self.world.now_is(self.network).plugin, {"bridge": "q-2"})
        self.assertEqual(self.world.told(), [])

    def test_it_fails(self) -> None:
        self.world.settle(self.network, Done({"bridge": "q-1"}))
        self.world.settle(self.network, Failed("The disk is on fire.", "ServiceUnavailable"))
        now = self.world.now_is(self.network)
        self.assertEqual((now.status, now.plugin), (Status.FAILED, {"bridge": "q-1"}))
        self.assertEqual(now.fault, FaultRecord("ServiceUnavailable", "The disk is on fire.", self.world.now))

    def test_it_fails_again_in_the_same_way(self) -> None:
        self.world.settle(self.network, Failed("no"))
        first = self.world.now_is(self.network)
        self.world.told()
        self.world.settle(self.network, Failed("no"))
        self.assertEqual(self.world.now_is(self.network), first)
        self.assertEqual(self.world.told(), [])

    def test_it_fails_in_another_way(self) -> None:
        self.world.settle(self.network, Failed("no"))
        self.world.told()
        self.world.settle(self.network, Failed("still no"))
        fault = self.world.now_is(self.network).fault
        self.assertEqual(fault and (fault.message, fault.at), ("still no", self.world.now))
        self.assertEqual(self.world.told(), [("network", "status", "Failed")])

    def test_a_fault_clears_when_a_later_try_works(self) -> None:
        self.world.settle(self.network, Failed("no"))
        self.world.settle(self.network)
        now = self.world.now_is(self.network)
        self.assertEqual((now.status, now.fault), (Status.ACTIVE, None))

    def test_it_waits(self) -> None:
        self.world.settle(self.network, Waiting("a switch"))
        self.assertEqual(self.world.now_is(self.network).status, Status.IN_PROGRESS)

    def test_what_was_blocked_is_as_it_was(self) -> None:
        self.world.settle(self.network, Failed("no"))
        before = self.world.state
        self.world.settle(self.network, Blocked())
        self.assertEqual(self.world.state, before)

    def test_an_outcome_of_a_past_intent(self) -> None:
        newer = self.world.rename(self.network, name="red")
        for outcome in (Failed("no"), Waiting("it"), Blocked()):
            self.world.settle(self.network, outcome)
            self.assertEqual(self.world.now_is(newer), newer)
        self.world.settle(self.network, Done({"bridge": "q-1"}))
        self.assertEqual(self.world.now_is(newer), evolve(newer, plugin={"bridge": "q-1"}))

    def test_an_outcome_for_what_is_gone(self) -> None:
        gone = self.world.delete_network(self.network)
        self.world.settle(gone)
        before = self.world.state
        self.world.settle(gone)
        self.world.settle(gone, Failed("no"))
        self.assertEqual(self.world.state, before)

    def test_a_repair_is_told(self) -> None:
        self.world.settle(self.network)
        self.world.told()
        self.world.settle(self.network, Done(), repaired="it was down")
        event = self.world.events[0]
        self.assertEqual((event.action, event.detail, event.status), ("repaired", "it was down", "Active"))
        self.assertEqual(self.world.told(), [("network", "repaired", "Active")])

    def test_a_deleted_network_tells_its_tenant(self) -> None:
        gone = self.world.delete_network(self.network)
        self.world.told()
        self.world.settle(gone)
        self.assertEqual((self.world.events[0].tenant_id, self.world.events[0].network_id), ("default", uuid(1)))


class AttachmentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.port = self.world.port(self.world.network())
        self.attachment = self.world.plug(self.port, "vif")

    def status(self) -> AttachmentStatus:
        return self.world.now_is(self.attachment).status

    def test_up_and_down(self) -> None:
        for outcome, status in ((Done(up=True), AttachmentStatus.UP), (Done(up=False), AttachmentStatus.DOWN)):
            self.world.settle(self.attachment, outcome)
            self.assertEqual(self.status(), status)
            self.assertTrue(self.world.now_is(self.attachment).was_plugged)

    def test_a_device_that_has_not_come_yet(self) -> None:
        self.world.settle(self.attachment, Waiting("device vif"))
        self.assertEqual(self.status(), AttachmentStatus.IN_PROGRESS)
        self.assertFalse(self.world.now_is(self.attachment).was_plugged)

    def test_a_device_that_went_away(self) -> None:
        self.world.settle(self.attachment)
        self.world.settle(self.attachment, Waiting("device vif"))
        self.assertEqual(self.status(), AttachmentStatus.DOWN)

    def test_it_fails_and_then_its_device_is_away(self) -> None:
        self.world.settle(self.attachment, Failed("no"))
        self.assertEqual(self.status(), AttachmentStatus.FAILED)
        self.world.settle(self.attachment, Waiting("device vif"))
        now = self.world.now_is(self.attachment)
        self.assertEqual((now.status, now.fault), (AttachmentStatus.IN_PROGRESS, None))

    def test_what_was_done_before_it_was_unplugged(self) -> None:
        gone = self.world.unplug(self.port)
        self.world.settle(self.attachment, Done({"device": "vif"}))
        now = self.world.now_is(gone)
        self.assertEqual((now.status, now.plugin), (AttachmentStatus.DETACHING, {"device": "vif"}))

    def test_a_key_that_never_was(self) -> None:
        before = self.world.state
        lost = evolve(self.attachment, serial=1000)
        self.assertIsNone(self.world.state.get(Key(Kind.ATTACHMENT, 1000)))
        self.world.settle(lost)
        self.assertEqual(self.world.state, before)


class PortTests(SynchronousTestCase):
    def test_a_port_that_goes(self) -> None:
        world = World()
        network = world.network()
        port = world.port(network)
        world.settle(port)
        self.assertEqual(world.now_is(port).status, Status.ACTIVE)
        gone = world.delete_port(port)
        world.settle(gone, Failed("no"))
        self.assertEqual(world.now_is(gone).status, Status.DELETING)
        world.settle(gone)
        self.assertEqual(world.state.ports_of(network.id), [])


class StandsTests(SynchronousTestCase):
    """What an audit passes over: what planning and recording would leave as it is."""

    def setUp(self) -> None:
        self.world = World()
        network = self.world.network()
        self.port = self.world.port(network)
        self.records: list[Record] = [network, self.port, self.world.plug(self.port, "vif")]

    def seen(self) -> Iterator[Seen]:
        for plugin, up in product(({}, {"bridge": "q-1"}), (True, False)):
            yield Seen(True, plugin=plugin, up=up)
        yield Seen(True, ("its device was set down",), plugin={"bridge": "q-1"})
        yield Seen(False, waiting_for="device vif")
        yield ABSENT

    def hold(self) -> int:
        """Check every record with everything that may be seen of it; how many stand."""
        standing = 0
        for key, seen in product([record.key for record in self.records], self.seen()):
            before = self.world.state
            record = before.get(key)
            assert record is not None
            plan = make_plan(before, Observed({one.key: seen for one in self.records}), [key])
            self.world.told()
            if key in plan.settled:
                self.world.settle(record, plan.settled[key])
            nothing = not plan.blocked and not plan.changes and self.world.state == before and not self.world.told()
            with self.subTest(record=record, seen=seen):
                self.assertEqual(nothing and seen.in_order and not record.going, stands(record, seen))
            standing += stands(record, seen)
            self.world.state = before
        return standing

    def test_what_was_never_tried(self) -> None:
        self.assertEqual(0, self.hold())

    def test_what_works(self) -> None:
        for report in ({}, {"bridge": "q-1"}):
            for record in self.records:
                self.world.settle(self.world.now_is(record), Done(report))
            # A network and a port are as they are with carrier and without.
            self.assertEqual(5, self.hold())

    def test_what_has_no_carrier(self) -> None:
        for record in self.records:
            self.world.settle(self.world.now_is(record), Done(up=False))
        self.assertEqual(5, self.hold())

    def test_what_failed(self) -> None:
        for record in self.records:
            self.world.settle(self.world.now_is(record))
            self.world.settle(self.world.now_is(record), Failed("no"))
        self.assertEqual(0, self.hold())

    def test_what_goes(self) -> None:
        for record in self.records:
            self.world.settle(self.world.now_is(record))
        self.world.unplug(self.port)
        # The port may be used again, and the network stays.
        self.assertEqual(4, self.hold())
