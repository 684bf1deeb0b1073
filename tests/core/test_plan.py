from __future__ import annotations

from collections.abc import Collection, Iterable

from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.changes import (
    PHASES,
    Attach,
    Detach,
    Done,
    EnsureNetwork,
    EnsurePort,
    Leftover,
    RemoveLeftover,
    RemoveNetwork,
    RemovePort,
    Waiting,
)
from quantumd.core.model import Key, Network, Record
from quantumd.core.plan import Observed, Plan, Seen, closure, make_plan
from tests.core.support import World, named

HERE = Seen(present=True)


class PlanCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.network = self.world.network()
        self.port = self.world.port(self.network)

    def plan(
        self,
        *records: Record,
        seen: dict[Key, Seen] | Iterable[Record] = (),
        leftovers: Collection[Leftover] = (),
        busy: Collection[Record] = (),
    ) -> Plan:
        """A plan for these records (none: for all), where ``seen`` are those in order on the host."""
        if not isinstance(seen, dict):
            seen = {record.key: HERE for record in seen}
        keys = [record.key for record in records] or list(self.world.state.every_key())
        return make_plan(self.world.state, Observed(seen, tuple(leftovers)), keys, {record.key for record in busy})


class ClosureTests(PlanCase):
    def test_what_a_record_builds_on(self) -> None:
        attachment = self.world.plug(self.port, "vif")
        state, network, port = self.world.state, self.network.key, self.port.key
        self.assertEqual(closure(state, [network]), {network})
        self.assertEqual(closure(state, [port]), {port, network})
        self.assertEqual(closure(state, [attachment.key]), {attachment.key, port, network})

    def test_a_network_that_goes_has_its_ports_in_it(self) -> None:
        gone = self.world.delete_network(self.network)
        self.assertEqual(closure(self.world.state, [gone.key]), {gone.key, self.port.key})

    def test_what_is_gone_has_none(self) -> None:
        gone = self.world.delete_network(self.world.network("red"))
        self.world.settle(gone)
        self.assertEqual(closure(self.world.state, [gone.key]), set())


class EnsureTests(PlanCase):
    def test_nothing_is_there(self) -> None:
        attachment = self.world.plug(self.port, "vif")
        port = self.world.now_is(self.port)
        self.assertEqual(
            self.plan(),
            Plan((EnsureNetwork(self.network), EnsurePort(port, self.network), Attach(attachment, port, self.network))),
        )

    def test_a_parent_that_is_missing_is_made_in_the_same_batch(self) -> None:
        attachment = self.world.plug(self.port, "vif")
        kinds = [type(change) for change in self.plan(attachment).changes]
        self.assertEqual(kinds, [EnsureNetwork, EnsurePort, Attach])

    def test_everything_is_in_order(self) -> None:
        attachment = self.world.plug(self.port, "vif")
        plan = self.plan(seen=(self.network, self.port, attachment))
        self.assertEqual((plan.changes, plan.blocked), ((), {}))
        self.assertEqual(plan.settled, {record.key: Done() for record in (self.network, self.port, attachment)})

    def test_what_is_seen_is_the_outcome(self) -> None:
        attachment = self.world.plug(self.port, "vif")
        seen = {
            self.network.key: Seen(True, plugin={"bridge": "q-1"}),
            self.port.key: HERE,
            attachment.key: Seen(True, plugin={"device": "vif"}, up=False),
        }
        settled = self.plan(seen=seen).settled
        self.assertEqual(settled[self.network.key], Done({"bridge": "q-1"}))
        self.assertEqual(settled[attachment.key], Done({"device": "vif"}, up=False))

    def test_what_is_amiss_is_named(self) -> None:
        seen = {self.network.key: Seen(True, ("it is down",)), self.port.key: HERE}
        self.assertEqual(self.plan(seen=seen).changes, (EnsureNetwork(self.network, ("it is down",)),))

    def test_an_attachment_that_waits_needs_no_change(self) -> None:
        attachment = self.world.plug(self.port, "vif")
        seen = {
            self.network.key: HERE,
            self.port.key: HERE,
            attachment.key: Seen(False, waiting_for="device vif", plugin={"device": "vif"}),
        }
        plan = self.plan(attachment, seen=seen)
        self.assertEqual(plan.changes, ())
        self.assertEqual(plan.settled[attachment.key], Waiting("device vif", {"device": "vif"}))

    def test_its_network_is_mended_while_it_waits(self) -> None:
        attachment = self.world.plug(self.port, "vif")
        plan = self.plan(attachment, seen={attachment.key: Seen(False, waiting_for="device vif")})
        self.assertEqual([type(change) for change in plan.changes], [EnsureNetwork, EnsurePort])
        self.assertIn(attachment.key, plan.settled)

    def test_a_network_is_never_waited_for(self) -> None:
        """What builds on it would be plugged into nothing; a try says what is missing."""
        seen = {self.network.key: Seen(False, waiting_for="the switch")}
        self.assertEqual(self.plan(self.network, seen=seen).changes, (EnsureNetwork(self.network),))

    def test_a_record_is_planned_once(self) -> None:
        attachment = self.world.plug(self.port, "vif")
        plan = self.plan(attachment, self.port, self.network, attachment)
        self.assertEqual(len(plan.changes), 3)

    def test_what_is_gone_is_left_out(self) -> None:
        lost = self.world.network("red")
        self.world.settle(self.world.delete_network(lost))
        self.assertEqual(self.plan(lost), Plan())


class RemoveTests(PlanCase):
    def test_what_is_there_is_removed(self) -> None:
        attachment = self.world.plug(self.port, "vif")
        gone = self.world.unplug(self.port)
        port = self.world.now_is(self.port)
        self.assertEqual(self.plan(gone, seen=(attachment,)).changes, (Detach(gone, port, self.network),))

    def test_what_is_half_there_or_otherwise_is_removed(self) -> None:
        gone = self.world.delete_network(self.network)
        seen = {gone.key: Seen(True, ("it is down",))}
        self.assertEqual(self.plan(gone, seen=seen).changes, (RemoveNetwork(gone),))

    def test_what_is_not_there_has_gone(self) -> None:
        gone = self.world.delete_network(self.network)
        plan = self.plan(gone)
        self.assertEqual(plan.changes, ())
        self.assertEqual(plan.settled, {self.port.key: Done(), gone.key: Done()})

    def test_a_device_that_is_away_is_not_waited_for_when_it_is_unplugged(self) -> None:
        self.world.plug(self.port, "vif")
        gone = self.world.unplug(self.port)
        plan = self.plan(gone, seen={gone.key: Seen(False, waiting_for="device vif")})
        self.assertEqual(plan.settled, {gone.key: Done()})

    def test_a_network_takes_its_ports_with_it(self) -> None:
        gone = self.world.delete_network(self.network)
        port = self.world.now_is(self.port)
        plan = self.plan(gone, seen=(gone, port))
        self.assertEqual(plan.changes, (RemovePort(port, gone), RemoveNetwork(gone)))

    def test_a_network_that_is_not_there_waits_for_its_ports(self) -> None:
        gone = self.world.delete_network(self.network)
        port = self.world.now_is(self.port)
        plan = self.plan(gone, seen=(port,))
        self.assertEqual(plan.changes, (RemovePort(port, gone),))
        self.assertEqual(plan.blocked, {gone.key: port.key})

    def test_nothing_goes_before_what_is_in_it(self) -> None:
        attachment = self.world.plug(self.port, "vif")
        detaching = self.world.unplug(self.port)
        network = self.world.delete_network(self.network)
        plan = self.plan(seen=(network, self.port, attachment))
        self.assertEqual(plan.changes, (Detach(detaching, self.world.now_is(self.port), network),))
        self.assertEqual(plan.blocked, {network.key: detaching.key, self.port.key: detaching.key})

    def test_leftovers_go_with_the_removals(self) -> None:
        leftover = Leftover("bridge q-9", {"index": 9})
        gone = self.world.delete_network(self.network)
        fresh = self.world.network("red")
        plan = self.plan(gone, fresh, seen=(gone,), leftovers=(leftover,))
        self.assertEqual(plan.changes, (RemoveNetwork(gone), RemoveLeftover(leftover), EnsureNetwork(fresh)))


class RivalTests(PlanCase):
    def setUp(self) -> None:
        super().setUp()
        self.red = self.world.network("red")
        self.far = self.world.port(self.red)
        self.settled = [self.network, self.red, self.port, self.far]

    def test_a_move_takes_two_batches(self) -> None:
        first = self.world.plug(self.port, named("vif", "tap7"))
        gone = self.world.unplug(self.port)
        second = self.world.plug(self.far, named("vif", "tap7"))
        plan = self.plan(seen=[*self.settled, first])
        self.assertEqual([type(change) for change in plan.changes], [Detach])
        self.assertEqual(plan.blocked, {second.key: gone.key})
        self.world.settle(gone)
        plan = self.plan(seen=self.settled)
        self.assertEqual([type(change) for change in plan.changes], [Attach])

    def test_the_next_attachment_of_a_port_waits_for_the_last(self) -> None:
        first = self.world.plug(self.port, "vif1")
        gone = self.world.unplug(self.port)
        second = self.world.plug(self.port, "vif2")
        self.assertEqual(self.plan(second, seen=[*self.settled, first]).blocked, {second.key: gone.key})

    def test_it_waits_even_where_the_last_is_not_there(self) -> None:
        """Whether it is there is known of what was looked at only."""
        self.world.plug(self.port, "vif1")
        gone = self.world.unplug(self.port)
        second = self.world.plug(self.port, "vif2")
        plan = self.plan(gone, second, seen=self.settled)
        self.assertEqual(plan.settled, {gone.key: Done()})
        self.assertEqual(plan.blocked, {second.key: gone.key})

    def test_what_came_later_lets_go_later(self) -> None:
        self.world.plug(self.port, named("vif", "tap7"))
        first = self.world.unplug(self.port)
        self.world.plug(self.far, named("vif", "tap7"))
        second = self.world.unplug(self.far)
        plan = self.plan(seen=[*self.settled, first])
        self.assertEqual([change.key for change in plan.changes], [first.key])
        self.assertEqual(plan.blocked, {second.key: first.key})


class BusyTests(PlanCase):
    def test_what_is_busy_is_left_alone(self) -> None:
        plan = self.plan(self.network, busy=(self.network,))
        self.assertEqual((plan.changes, plan.blocked), ((), {self.network.key: self.network.key}))

    def test_what_builds_on_it_is_blocked(self) -> None:
        attachment = self.world.plug(self.port, "vif")
        network, port = self.network.key, self.port.key
        for busy, blocked in (
            (self.network, {network: network, attachment.key: network}),
            (self.port, {port: port, attachment.key: port}),
        ):
            plan = self.plan(attachment, seen=(self.network,), busy=(busy,))
            with self.subTest(str(busy.key)):
                self.assertEqual((plan.changes, plan.blocked), ((), blocked))

    def test_a_network_waits_for_a_port_that_is_busy(self) -> None:
        gone = self.world.delete_network(self.network)
        plan = self.plan(gone, seen=(gone, self.port), busy=(self.port,))
        self.assertEqual((plan.changes, plan.blocked[gone.key]), ((), self.port.key))


class OrderTests(PlanCase):
    def test_a_batch_is_in_the_order_of_its_phases_and_of_creation(self) -> None:
        far = self.world.network("far")
        ports = [self.world.port(self.network) for _ in range(3)]
        for place, port in enumerate(ports):
            self.world.plug(port, f"old{place}")
            self.world.unplug(port)
        fresh = [self.world.plug_anywhere(far, f"new{place}") for place in range(3)]
        doomed = self.world.network("doomed")
        self.world.port(doomed)
        self.world.delete_network(doomed)
        state = self.world.state
        seen = {key: HERE for key in state.every_key() if (record := state.get(key)) and record.going}
        plan = self.plan(seen=seen, leftovers=[Leftover("x")])
        phases = [PHASES.index(type(change)) for change in plan.changes]
        self.assertEqual(phases, sorted(phases))
        self.assertEqual(set(phases), set(range(len(PHASES))))
        attached = [change.attachment for change in plan.changes if isinstance(change, Attach)]
        self.assertEqual(attached, fresh)

    def test_the_changes_know_what_they_are_for(self) -> None:
        self.world.plug(self.port, "vif")
        for change in self.plan().changes:
            assert not isinstance(change, RemoveLeftover)
            self.assertIsNotNone(self.world.state.get(change.key))
            self.assertIsInstance(change.network, Network)
