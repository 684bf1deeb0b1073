from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.changes import Done, EnsureNetwork, Failed, RecordChange, RemoveNetwork
from quantumd.core.errors import (
    AttachmentsPlugged,
    BadRequest,
    Fault,
    IdInUse,
    NetworkNotFound,
    OverLimit,
    PluginFault,
    PreconditionFailed,
    ServiceUnavailable,
)
from quantumd.core.intent import Limits, etag, find_network
from quantumd.core.model import Json, Status
from quantumd.core.names import is_id
from quantumd.core.state import State
from tests.core.support import World, uuid


def refusing(*faults: Fault) -> Callable[[State, RecordChange], Json]:
    """A plugin that refuses everything."""

    def judge(_: State, __: RecordChange) -> Json:
        raise faults[0]

    return judge


class CreateTests(SynchronousTestCase):
    def test_a_network_as_accepted(self) -> None:
        world = World()
        network = world.network("blue", options={"mtu": 1400}, tenant="acme")
        self.assertTrue(is_id(network.id))
        self.assertEqual((network.name, network.tenant_id, network.options), ("blue", "acme", {"mtu": 1400}))
        self.assertEqual((network.status, network.fault, network.revision), (Status.IN_PROGRESS, None, 1))
        self.assertEqual((network.created_at, network.updated_at), (world.now, world.now))
        self.assertEqual(world.state.networks[network.id], network)
        self.assertEqual(world.told(), [("network", "created", "InProgress")])

    def test_two_networks_may_have_one_name(self) -> None:
        world = World()
        self.assertNotEqual(world.network("blue").id, world.network("blue").id)

    def test_a_repeat_changes_nothing(self) -> None:
        world = World()
        first = world.network("blue", id=uuid(1), options={})
        world.told()
        before = world.state
        self.assertEqual(world.network("blue", id=uuid(1)), first)
        self.assertEqual(world.state, before)
        self.assertEqual(world.told(), [])

    def test_a_repeat_is_compared_with_the_body_that_it_was_created_with(self) -> None:
        world = World()
        network = world.network("blue", id=uuid(1), options={"mtu": 1400})
        world.rename(network, name="red", options={"mtu": None})
        self.assertEqual(world.network("blue", id=uuid(1), options={"mtu": 1400}).name, "red")
        with self.assertRaises(IdInUse):
            world.network("red", id=uuid(1))

    def test_another_body_with_the_same_id(self) -> None:
        world = World()
        world.network("blue", id=uuid(1))
        for name, tenant, body in (("red", "default", {}), ("blue", "other", {}), ("blue", "default", {"mtu": 68})):
            with self.subTest(name=name, tenant=tenant), self.assertRaises(IdInUse):
                world.network(name, tenant, id=uuid(1), options=body)

    def test_an_id_that_quantumd_chose_is_no_repeat(self) -> None:
        world = World()
        network = world.network("blue")
        with self.assertRaises(IdInUse):
            world.network("blue", id=network.id)

    def test_a_repeat_of_something_that_is_being_deleted(self) -> None:
        world = World()
        world.delete_network(world.network("blue", id=uuid(1)))
        with self.assertRaises(IdInUse) as caught:
            world.network("blue", id=uuid(1))
        self.assertIn("being deleted", caught.exception.detail)

    def test_a_clash_does_not_say_whose(self) -> None:
        world = World()
        world.network("secret-name", "secret-tenant", id=uuid(1))
        with self.assertRaises(IdInUse) as caught:
            world.network("blue", id=uuid(1))
        self.assertNotIn("secret", caught.exception.detail)

    def test_the_plugins_data_is_committed_with_it(self) -> None:
        world = World(judge=lambda _, __: {"vlan": 7})
        network = world.network()
        self.assertEqual(world.state.owner("vlan", 7), network.id)

    def test_the_plugin_judges_the_network_before_it_is_in_the_state(self) -> None:
        seen = []

        def judge(state: State, change: RecordChange) -> Json:
            seen.append(change)
            assert not state.networks
            return {}

        World(judge=judge).network("blue")
        self.assertIsInstance(seen[0], EnsureNetwork)

    def test_fixed_ports_come_with_the_network(self) -> None:
        world = World(limits=Limits(networks=9, ports_per_network=2, fixed_ports=3))
        network = world.network()
        self.assertEqual(len(world.state.ports_of(network.id)), 3)
        self.assertEqual([kind for kind, _, _ in world.told()], ["network", "port", "port", "port"])


class LimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(limits=Limits(networks=1, ports_per_network=1))
        self.network = self.world.network("blue", id=uuid(1))

    def test_one_more_than_the_limit(self) -> None:
        with self.assertRaises(OverLimit) as caught:
            self.world.network("red")
        self.assertIn("[limits] networks", caught.exception.detail)

    def test_a_repeat_is_no_new_network(self) -> None:
        self.assertEqual(self.world.network("blue", id=uuid(1)), self.network)

    def test_what_is_accepted_to_go_makes_room_at_once(self) -> None:
        self.world.delete_network(self.network)
        self.world.network("red")
        with self.assertRaises(OverLimit):
            self.world.network("green")


class OrderTests(SynchronousTestCase):
    """What is wrong in several ways is refused for the first of them in the order of judgement."""

    def setUp(self) -> None:
        self.world = World(limits=Limits(networks=1, ports_per_network=1))
        self.network = self.world.network("blue", id=uuid(1))

    def test_create(self) -> None:
        cases: list[tuple[Fault, type[Fault], type[Fault]]] = [
            (BadRequest("field"), BadRequest, BadRequest),
            (IdInUse("VLAN"), IdInUse, IdInUse),
            (OverLimit("full"), OverLimit, IdInUse),
            (PluginFault("no"), OverLimit, IdInUse),
            (ServiceUnavailable("away"), OverLimit, IdInUse),
        ]
        for refusal, fresh, taken in cases:
            self.world.judge = refusing(refusal)
            with self.subTest(refusal.name):
                with self.assertRaises(fresh):
                    self.world.network("red")
                with self.assertRaises(taken):
                    self.world.network("red", id=uuid(1))
                self.world.network("blue", id=uuid(1))

    def test_update(self) -> None:
        cases: list[tuple[Fault, type[Fault]]] = [
            (BadRequest("field"), BadRequest),
            (IdInUse("VLAN"), PreconditionFailed),
            (PluginFault("no"), PreconditionFailed),
        ]
        for refusal, expected in cases:
            self.world.judge = refusing(refusal)
            with self.subTest(refusal.name):
                with self.assertRaises(expected):
                    self.world.rename(self.network, ["stale"], name="red")
                with self.assertRaises(type(refusal)):
                    self.world.rename(self.network, name="red")

    def test_delete(self) -> None:
        self.world.plug_anywhere(self.network, "vif")
        self.world.judge = refusing(PluginFault("no"))
        with self.assertRaises(PreconditionFailed):
            self.world.delete_network(self.network, ["stale"])
        with self.assertRaises(AttachmentsPlugged):
            self.world.delete_network(self.network, ["*"])
        self.assertEqual(self.world.now_is(self.network).status, Status.IN_PROGRESS)


class UpdateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.network = self.world.network("blue", options={"mtu": 1400, "other": 1})
        self.world.settle(self.network)
        self.network = self.world.now_is(self.network)
        self.world.told()

    def test_it_is_in_progress_until_it_is_applied(self) -> None:
        renamed = self.world.rename(self.network, name="red")
        self.assertEqual((renamed.name, renamed.status, renamed.revision), ("red", Status.IN_PROGRESS, 2))
        self.assertEqual((renamed.created_at, renamed.updated_at), (self.network.created_at, self.world.now))
        self.assertEqual(self.world.told(), [("network", "updated", "InProgress")])
        self.world.settle(renamed)
        self.assertEqual(self.world.now_is(renamed).status, Status.ACTIVE)

    def test_options_merge_and_null_takes_one_back(self) -> None:
        self.assertEqual(self.world.rename(self.network, options={"mtu": 1300}).options, {"mtu": 1300, "other": 1})
        self.assertEqual(self.world.rename(self.network, options={"other": None}).options, {"mtu": 1300})
        self.assertEqual(self.world.rename(self.network, options={"never": None}).options, {"mtu": 1300})

    def test_a_change_that_changes_nothing(self) -> None:
        before = self.world.state
        for patch in ({}, {"name": "blue"}, {"options": {}}, {"options": {"mtu": 1400}}):
            with self.subTest(str(patch)):
                self.assertEqual(self.world.rename(self.network, **patch), self.network)
        self.assertEqual(self.world.state, before)
        with self.assertRaises(PreconditionFailed):
            self.world.rename(self.network, ["stale"])

    def test_the_new_data_replaces_the_old(self) -> None:
        self.world.judge = lambda _, __: {"vlan": 9}
        self.world.rename(self.network, name="red")
        self.assertEqual(self.world.state.owner("vlan", 9), self.network.id)

    def test_a_fault_stays_until_a_later_try_works(self) -> None:
        self.world.settle(self.network, Failed("no"))
        renamed = self.world.rename(self.network, name="red")
        self.assertEqual(renamed.status, Status.IN_PROGRESS)
        self.assertEqual(renamed.fault and renamed.fault.message, "no")
        self.world.settle(renamed)
        self.assertIsNone(self.world.now_is(renamed).fault)

    def test_what_is_not_there_or_goes_takes_no_change(self) -> None:
        with self.assertRaises(NetworkNotFound):
            find_network(self.world.state, uuid(9))
        self.world.delete_network(self.network)
        with self.assertRaises(NetworkNotFound):
            self.world.rename(self.network, name="red")


class MatchTests(SynchronousTestCase):
    def test_tags(self) -> None:
        world = World()
        network = world.network()
        first = etag(network)
        for tags in ([first], ["other", first], ["*"], None):
            world.rename(network, tags)
        second = etag(world.rename(network, name="red"))
        self.assertNotEqual(first, second)
        for tags in ([first], [], [f"W/{second}"]):
            with self.assertRaises(PreconditionFailed):
                world.rename(network, tags, name="green")
        world.settle(world.now_is(network))
        self.assertEqual(etag(world.now_is(network)), second, "a status is no change of what was asked for")

    def test_a_tag_is_of_one_record_only(self) -> None:
        world = World()
        self.assertNotEqual(etag(world.network("blue")), etag(world.network("blue")))


class DeleteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.network = self.world.network()
        self.ports = [self.world.port(self.network) for _ in range(2)]
        self.world.told()

    def test_its_ports_go_with_it(self) -> None:
        gone = self.world.delete_network(self.network)
        self.assertEqual((gone.status, gone.revision), (Status.DELETING, 2))
        self.assertEqual([port.status for port in self.world.state.ports_of(self.network.id)], [Status.DELETING] * 2)
        self.assertEqual([kind for kind, _, _ in self.world.told()], ["port", "port", "network"])

    def test_the_ports_are_gone_before_the_network(self) -> None:
        gone = self.world.delete_network(self.network)
        self.world.told()
        self.world.settle(gone)
        self.assertEqual(self.world.told(), [*[("port", "deleted", "Deleted")] * 2, ("network", "deleted", "Deleted")])
        self.assertEqual(list(self.world.state.every_key()), [])

    def test_a_second_delete_changes_nothing(self) -> None:
        gone = self.world.delete_network(self.network)
        before = self.world.state
        self.world.judge = refusing(PluginFault("away"))
        self.assertEqual(self.world.delete_network(self.network), gone)
        self.assertEqual(self.world.state, before)
        with self.assertRaises(PreconditionFailed):
            self.world.delete_network(self.network, ["stale"])

    def test_something_plugged_keeps_it(self) -> None:
        self.world.plug(self.ports[0], "vif")
        with self.assertRaises(AttachmentsPlugged):
            self.world.delete_network(self.network)
        self.world.unplug(self.ports[0])
        self.assertEqual(self.world.delete_network(self.network).status, Status.DELETING)

    def test_a_port_that_was_going_already_is_left_to_its_own(self) -> None:
        going = self.world.delete_port(self.ports[0])
        self.world.delete_network(self.network)
        self.assertEqual(self.world.now_is(self.ports[0]), going)

    def test_it_stays_deleting_while_its_tries_fail(self) -> None:
        gone = self.world.delete_network(self.network)
        self.world.settle(gone, Failed("no"))
        now = self.world.now_is(gone)
        self.assertEqual((now.status, now.fault and now.fault.message), (Status.DELETING, "no"))

    def test_what_was_done_for_it_before_does_not_delete_it(self) -> None:
        """The outcome of making it arrives when it is being deleted already."""
        self.world.delete_network(self.network)
        self.world.settle(self.network, Done({"bridge": "q-1"}))
        now = self.world.now_is(self.network)
        self.assertEqual((now.status, now.plugin), (Status.DELETING, {"bridge": "q-1"}))

    def test_the_plugin_hears_of_it(self) -> None:
        seen: list[RecordChange] = []

        def judge(_: State, change: RecordChange) -> Json:
            seen.append(change)
            return {}

        self.world.judge = judge
        self.world.delete_network(self.network)
        self.assertEqual(seen, [RemoveNetwork(self.network)])

    def test_nothing_is_there(self) -> None:
        self.world.settle(self.world.delete_network(self.network))
        with self.assertRaises(NetworkNotFound):
            self.world.delete_network(self.network)
