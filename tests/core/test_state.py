from __future__ import annotations

import random

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.model import AttachmentStatus, Form, Key, Kind, Network, Status
from quantumd.core.state import State
from quantumd.core.transaction import Transaction, build, check
from tests.core.support import World, named, uuid, vxlan

NOW = "2026-01-01T00:00:00Z"


class TransactionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.network = self.world.network(id=uuid(1))
        self.port = self.world.port(self.network, id=uuid(2))

    def test_a_state_is_a_value(self) -> None:
        before = self.world.state
        self.world.plug(self.port, "vif")
        self.assertIsNone(before.plugged(self.port.id))
        self.assertNotEqual(before, self.world.state)

    def test_it_remembers_what_it_touched_and_nothing_else(self) -> None:
        other = self.world.port(self.network)
        tx = Transaction(self.world.state, NOW)
        tx.put(evolve(self.port, status=Status.ACTIVE))
        tx.drop(other)
        self.assertEqual(tx.touched, {self.port.key: evolve(self.port, status=Status.ACTIVE), other.key: None})

    def test_a_serial_is_never_given_twice(self) -> None:
        tx = Transaction(State(next_serial=5), NOW)
        self.assertEqual([tx.serial(), tx.serial()], [5, 6])
        self.assertEqual(tx.state.next_serial, 7)

    def test_a_parent_does_not_go_before_its_children(self) -> None:
        attachment = self.world.plug(self.port, "vif")
        for parent in (self.network, self.port):
            with self.assertRaises(AssertionError):
                Transaction(self.world.state, NOW).drop(parent)
        tx = Transaction(self.world.state, NOW)
        for record in (attachment, self.port, self.network):
            tx.drop(record)
        self.assertEqual(
            evolve(tx.state, next_serial=1, next_event=1), State(), "every index is empty again with the last record"
        )

    def test_a_fault_keeps_its_time_while_it_stays_the_same(self) -> None:
        first = Transaction(State(), "t1").fault("PluginFault", "no", None)
        self.assertEqual(Transaction(State(), "t2").fault("PluginFault", "no", first), first)
        self.assertEqual(Transaction(State(), "t2").fault("PluginFault", "still no", first).at, "t2")

    def test_an_event_names_the_parents_and_the_tenant(self) -> None:
        attachment = self.world.plug(self.port, "vif")
        tx = Transaction(self.world.state, NOW)
        for record in (self.network, self.port, attachment):
            tx.emit("updated", record)
        self.assertEqual(
            [(event.network_id, event.port_id, event.attachment_id, event.tenant_id) for event in tx.events],
            [
                (self.network.id, None, None, "default"),
                (self.network.id, self.port.id, None, "default"),
                (self.network.id, self.port.id, "vif", "default"),
            ],
        )
        self.assertEqual(tx.events[0].status, "InProgress")
        self.assertEqual(tx.events[0].at, NOW)


class LookupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.network = self.world.network()
        self.ports = [self.world.port(self.network) for _ in range(5)]

    def test_lists_are_in_the_order_of_creation(self) -> None:
        plugged = [self.world.plug(port, f"vif{place}") for place, port in enumerate(self.ports)]
        self.assertEqual([port.id for port in self.world.state.ports_of(self.network.id)], [p.id for p in self.ports])
        self.assertEqual(self.world.state.attachments_of(self.network.id), plugged)
        self.assertEqual(self.world.state.ports_of(uuid(9)), [])
        self.assertEqual(self.world.state.attachments_of(uuid(9)), [])

    def test_every_record_has_a_key(self) -> None:
        attachment = self.world.plug(self.ports[0], "vif")
        keys = list(self.world.state.every_key())
        self.assertEqual(len(keys), 7)
        self.assertEqual(set(keys), {self.network.key, attachment.key, *(port.key for port in self.ports)})
        for key in keys:
            record = self.world.state.get(key)
            assert record is not None
            self.assertEqual(record.key, key)
        self.assertIsNone(self.world.state.get(Key(Kind.ATTACHMENT, 1000)))

    def test_a_port_shows_the_newest_attachment_and_has_plugged_only_what_stays(self) -> None:
        port = self.ports[0]
        state = self.world.state
        self.assertIsNone(state.latest(port.id))
        first = self.world.plug(port, "vif1")
        self.assertEqual(self.world.state.plugged(port.id), first)
        gone = self.world.unplug(port)
        self.assertEqual(self.world.state.latest(port.id), gone)
        self.assertIsNone(self.world.state.plugged(port.id))
        second = self.world.plug(port, "vif2")
        self.assertEqual(self.world.state.latest(port.id), second)
        self.assertEqual(self.world.state.plugged(port.id), second)
        self.assertEqual(self.world.state.holders(("port", port.id)), [gone, second])
        self.assertEqual(self.world.state.attachments_of(self.network.id), [gone, second])

    def test_a_network_has_something_plugged_until_all_of_it_goes(self) -> None:
        self.assertFalse(self.world.state.has_plugged(self.network.id))
        for port in self.ports[:2]:
            self.world.plug(port, f"vif-{port.id}")
        self.world.unplug(self.ports[0])
        self.assertTrue(self.world.state.has_plugged(self.network.id))
        self.world.unplug(self.ports[1])
        self.assertFalse(self.world.state.has_plugged(self.network.id))

    def test_the_oldest_empty_port_is_the_free_one(self) -> None:
        order = self.ports.copy()
        random.Random(1).shuffle(order)
        for port in order:
            self.world.plug(port, f"vif-{port.id}")
        self.assertIsNone(self.world.state.free_port(self.network.id))
        for port in (self.ports[3], self.ports[1]):
            self.world.settle(self.world.unplug(port))
        self.assertEqual(self.world.state.free_port(self.network.id), self.world.now_is(self.ports[1]))
        self.world.delete_port(self.ports[1])
        self.assertEqual(self.world.state.free_port(self.network.id), self.world.now_is(self.ports[3]))

    def test_a_port_whose_attachment_goes_is_free_when_there_is_no_empty_one(self) -> None:
        for port in self.ports:
            self.world.plug(port, f"vif-{port.id}")
        self.world.unplug(self.ports[2])
        self.assertEqual(self.world.state.free_port(self.network.id), self.world.now_is(self.ports[2]))
        self.world.settle(self.world.unplug(self.ports[4]))
        self.assertEqual(self.world.state.free_port(self.network.id), self.world.now_is(self.ports[4]))

    def test_what_is_being_deleted_does_not_count_as_live(self) -> None:
        state = self.world.state
        self.assertEqual((state.live_networks, state.live_ports[self.network.id]), (1, 5))
        self.world.delete_port(self.ports[0])
        self.assertEqual(self.world.state.live_ports[self.network.id], 4)
        self.world.delete_network(self.network)
        self.assertEqual((self.world.state.live_networks, len(self.world.state.live_ports)), (0, 0))

    def test_an_allocation_is_found_by_its_value(self) -> None:
        self.world.alter(self.network, data={"vlan": 7})
        self.assertEqual(self.world.state.owner("vlan", 7), self.network.id)
        self.assertIsNone(self.world.state.owner("vlan", 8))
        self.world.alter(self.network, data={"vlan": 8})
        self.assertIsNone(self.world.state.owner("vlan", 7))
        self.assertEqual(self.world.state.owner("vlan", 8), self.network.id)


class BuildTests(SynchronousTestCase):
    def test_the_records_alone_make_the_whole_state(self) -> None:
        world = World()
        blue, green = world.network("blue"), world.network("green")
        port = world.port(blue)
        world.plug(port, named("vif1", "tap1"))
        world.unplug(port)
        world.plug(port, named("vif2", "tap1"))
        for remote in ("192.0.2.1", "192.0.2.2"):
            world.plug_anywhere(green, vxlan(f"to-{remote}", remote))
        state = world.state
        records = [record for key in state.every_key() if (record := state.get(key)) is not None]
        random.Random(2).shuffle(records)
        self.assertEqual(build(records, state.next_serial, state.next_event), state)


class CheckTests(SynchronousTestCase):
    """That a broken state is told from a sound one: everything else relies on it."""

    def setUp(self) -> None:
        self.world = World()
        self.network = self.world.network()
        self.port = self.world.port(self.network)
        self.attachment = self.world.plug(self.port, "vif")

    def broken(self, *records: object, **fields: object) -> str:
        tx = Transaction(evolve(self.world.state, **fields), NOW)
        for record in records:
            tx.put(record)  # type: ignore[arg-type]
        return "; ".join(check(tx.state))

    def test_a_sound_state(self) -> None:
        self.assertEqual(self.broken(), "")

    def test_indices_that_do_not_match(self) -> None:
        self.assertIn("indices", self.broken(live_networks=2))
        self.assertIn("indices", self.broken(claimed=self.world.state.claimed.remove(("id", "vif"))))

    def test_orphans(self) -> None:
        self.assertIn("is on no network", self.broken(evolve(self.port, serial=50, id=uuid(7), network_id=uuid(8))))
        self.assertIn("is in no port", self.broken(evolve(self.attachment, serial=50, port_id=uuid(9))))

    def test_something_that_stays_in_what_goes(self) -> None:
        self.assertIn("stays on a network that goes", self.broken(evolve(self.network, status=Status.DELETING)))
        self.assertIn("stays in a port that goes", self.broken(evolve(self.port, status=Status.DELETING)))

    def test_rivals(self) -> None:
        rival = evolve(self.attachment, serial=50, form=Form(id="other"))
        self.assertIn("exclude each other", self.broken(rival, next_serial=60))
        leaving = evolve(rival, status=AttachmentStatus.DETACHING)
        self.assertIn("its port has a newer one", self.broken(leaving, next_serial=60))

    def test_serials(self) -> None:
        self.assertIn("serials", self.broken(next_serial=2))
        self.assertIn("serials", self.broken(evolve(self.port, id=uuid(7))))

    def test_an_allocation_that_two_networks_have(self) -> None:
        green = Network(serial=50, id=uuid(7), name="green", tenant_id="t", created_at=NOW, updated_at=NOW)
        both = [evolve(network, data={"vlan": 7}) for network in (self.network, green)]
        self.assertIn("allocated the same", self.broken(*both, next_serial=60))
