from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.changes import EnsurePort, RecordChange, RemovePort
from quantumd.core.errors import (
    AttachmentsPlugged,
    BadRequest,
    Fault,
    IdInUse,
    NetworkNotFound,
    OverLimit,
    PluginFault,
    PortNotFound,
    PreconditionFailed,
)
from quantumd.core.intent import Limits, etag, find_port
from quantumd.core.model import Json, Status
from quantumd.core.names import is_id
from quantumd.core.state import State
from tests.core.support import World, uuid


class CreateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.network = self.world.network(id=uuid(1))
        self.world.told()

    def test_a_port_as_accepted(self) -> None:
        port = self.world.port(self.network, options={"x": 1})
        self.assertTrue(is_id(port.id))
        self.assertEqual((port.network_id, port.options, port.revision), (self.network.id, {"x": 1}, 1))
        self.assertEqual((port.status, port.fault), (Status.IN_PROGRESS, None))
        self.assertEqual((port.created_at, port.updated_at), (self.world.now, self.world.now))
        self.assertEqual(self.world.told(), [("port", "created", "InProgress")])

    def test_the_network_is_not_changed_by_it(self) -> None:
        self.world.port(self.network)
        self.assertEqual(self.world.now_is(self.network), self.network)

    def test_a_repeat_changes_nothing(self) -> None:
        port = self.world.port(self.network, id=uuid(2))
        before = self.world.state
        self.assertEqual(self.world.port(self.network, id=uuid(2), options={}), port)
        self.assertEqual(self.world.state, before)

    def test_a_repeat_after_something_was_plugged(self) -> None:
        port = self.world.port(self.network, id=uuid(2))
        self.world.plug(port, "vif")
        self.assertEqual(self.world.port(self.network, id=uuid(2)), self.world.now_is(port))

    def test_another_body_with_the_same_id(self) -> None:
        self.world.port(self.network, id=uuid(2))
        with self.assertRaises(IdInUse):
            self.world.port(self.network, id=uuid(2), options={"x": 1})

    def test_an_id_is_unique_over_all_networks(self) -> None:
        self.world.port(self.network, id=uuid(2))
        with self.assertRaises(IdInUse):
            self.world.port(self.world.network("red"), id=uuid(2))

    def test_an_id_may_be_that_of_a_network(self) -> None:
        self.assertEqual(self.world.port(self.network, id=self.network.id).id, self.network.id)

    def test_the_id_of_a_port_that_quantumd_made_is_taken(self) -> None:
        attachment = self.world.plug_anywhere(self.network, "vif")
        with self.assertRaises(IdInUse):
            self.world.port(self.network, id=attachment.port_id)

    def test_a_repeat_of_something_that_is_being_deleted(self) -> None:
        self.world.delete_port(self.world.port(self.network, id=uuid(2)))
        with self.assertRaises(IdInUse):
            self.world.port(self.network, id=uuid(2))

    def test_a_network_that_is_not_there_or_goes(self) -> None:
        self.world.delete_network(self.network)
        with self.assertRaises(NetworkNotFound):
            self.world.port(self.network)
        self.world.settle(self.world.now_is(self.network))
        with self.assertRaises(NetworkNotFound):
            self.world.port(self.network)

    def test_the_plugins_data_is_committed_with_it(self) -> None:
        self.world.judge = lambda _, change: {"tag": 5} if isinstance(change, EnsurePort) else {}
        self.assertEqual(self.world.port(self.network).data, {"tag": 5})


class LimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(limits=Limits(networks=9, ports_per_network=2))
        self.network = self.world.network()
        self.ports = [self.world.port(self.network, id=uuid(2)), self.world.port(self.network)]

    def test_one_more_than_the_limit(self) -> None:
        with self.assertRaises(OverLimit) as caught:
            self.world.port(self.network)
        self.assertIn("[limits] ports_per_network", caught.exception.detail)
        self.world.port(self.world.network("red"))

    def test_a_repeat_is_no_new_port(self) -> None:
        self.assertEqual(self.world.port(self.network, id=uuid(2)), self.ports[0])

    def test_what_is_accepted_to_go_makes_room_at_once(self) -> None:
        self.world.delete_port(self.ports[0])
        self.world.port(self.network)
        with self.assertRaises(OverLimit):
            self.world.port(self.network)

    def test_a_plug_makes_no_port_above_the_limit(self) -> None:
        for name in ("vif1", "vif2"):
            self.world.plug_anywhere(self.network, name)
        before = self.world.state
        with self.assertRaises(OverLimit):
            self.world.plug_anywhere(self.network, "vif3")
        self.assertEqual(self.world.state, before)

    def test_the_order_of_judgement(self) -> None:
        cases: list[tuple[Fault, type[Fault], type[Fault]]] = [
            (BadRequest("field"), BadRequest, BadRequest),
            (OverLimit("full"), OverLimit, IdInUse),
            (PluginFault("fixed"), OverLimit, IdInUse),
        ]
        for refusal, fresh, taken in cases:

            def judge(_: State, __: RecordChange, refusal: Fault = refusal) -> Json:
                raise refusal

            self.world.judge = judge
            with self.subTest(refusal.name):
                with self.assertRaises(fresh):
                    self.world.port(self.network)
                with self.assertRaises(taken):
                    self.world.port(self.network, id=uuid(2), options={"x": 1})


class DeleteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.network = self.world.network()
        self.port = self.world.port(self.network)
        self.world.told()

    def test_it_goes(self) -> None:
        gone = self.world.delete_port(self.port)
        self.assertEqual((gone.status, gone.revision, gone.updated_at), (Status.DELETING, 2, self.world.now))
        self.assertEqual(find_port(self.world.state, self.network.id, self.port.id), gone)
        self.world.settle(gone)
        self.assertEqual(self.world.told(), [("port", "updated", "Deleting"), ("port", "deleted", "Deleted")])
        with self.assertRaises(PortNotFound):
            self.world.delete_port(self.port)

    def test_a_second_delete_changes_nothing(self) -> None:
        gone = self.world.delete_port(self.port)
        before = self.world.state
        self.assertEqual(self.world.delete_port(self.port), gone)
        self.assertEqual(self.world.delete_port(self.port, [etag(gone)]), gone)
        self.assertEqual(self.world.state, before)
        with self.assertRaises(PreconditionFailed):
            self.world.delete_port(self.port, [etag(self.port)])

    def test_something_plugged_keeps_it_until_it_goes(self) -> None:
        self.world.plug(self.port, "vif")
        with self.assertRaises(AttachmentsPlugged) as caught:
            self.world.delete_port(self.port)
        self.assertIn("'vif'", caught.exception.detail)
        self.world.unplug(self.port)
        self.assertEqual(self.world.delete_port(self.port).status, Status.DELETING)

    def test_the_order_of_judgement(self) -> None:
        self.world.plug(self.port, "vif")

        def judge(_: State, change: RecordChange) -> Json:
            assert isinstance(change, RemovePort)
            raise PluginFault("fixed")

        self.world.judge = judge
        with self.assertRaises(PreconditionFailed):
            self.world.delete_port(self.port, [etag(self.port)])
        with self.assertRaises(AttachmentsPlugged):
            self.world.delete_port(self.port)

    def test_the_plugin_may_refuse(self) -> None:
        def judge(_: State, __: RecordChange) -> Json:
            raise PluginFault("fixed")

        self.world.judge = judge
        with self.assertRaises(PluginFault):
            self.world.delete_port(self.port)
        self.assertEqual(self.world.now_is(self.port), self.port)

    def test_a_port_is_found_on_its_own_network_only(self) -> None:
        red = self.world.network("red")
        with self.assertRaises(PortNotFound):
            find_port(self.world.state, red.id, self.port.id)
        with self.assertRaises(NetworkNotFound):
            find_port(self.world.state, uuid(9), self.port.id)
