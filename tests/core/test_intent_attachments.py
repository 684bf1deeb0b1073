from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.changes import Attach, Detach, EnsurePort, Failed, RecordChange
from quantumd.core.errors import (
    AlreadyAttached,
    AttachmentNotFound,
    BadRequest,
    Fault,
    NetworkNotFound,
    OverLimit,
    PluginFault,
    PortInUse,
    PortNotFound,
    PreconditionFailed,
    ServiceUnavailable,
)
from quantumd.core.intent import Limits, etag, find_attachment
from quantumd.core.model import AttachmentStatus, Form, Json, Status
from quantumd.core.state import State
from tests.core.support import World, named, tap, uplink, uuid, vxlan


class Refusing:
    """A plugin that refuses whatever it is asked, if it is told to."""

    def __init__(self) -> None:
        self.fault: Fault | None = None

    def __call__(self, _: State, __: RecordChange) -> Json:
        if self.fault is not None:
            raise self.fault
        return {}


class AttachmentCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.blue, self.red = self.world.network("blue"), self.world.network("red")
        self.port, self.other = self.world.port(self.blue), self.world.port(self.blue)
        self.far = self.world.port(self.red)
        for record in (self.blue, self.red, self.port, self.other, self.far):
            self.world.settle(record)
        self.world.told()


class PlugTests(AttachmentCase):
    def test_an_attachment_as_accepted(self) -> None:
        form = evolve(tap("vif1", "tap7"), reference="urn:vm:1")
        attachment = self.world.plug(self.port, form)
        self.assertEqual((attachment.id, attachment.form, attachment.port_id), ("vif1", form, self.port.id))
        self.assertEqual((attachment.status, attachment.revision), (AttachmentStatus.IN_PROGRESS, 1))
        self.assertEqual((attachment.fault, attachment.was_plugged), (None, False))
        self.assertEqual((attachment.created_at, attachment.updated_at), (self.world.now, self.world.now))

    def test_it_is_a_change_of_the_port_too(self) -> None:
        self.world.plug(self.port, "vif1")
        port = self.world.now_is(self.port)
        self.assertEqual((port.revision, port.updated_at, port.status), (2, self.world.now, Status.ACTIVE))
        self.assertEqual(self.world.told(), [("attachment", "created", "InProgress"), ("port", "updated", "Active")])

    def test_the_same_form_again_changes_nothing(self) -> None:
        first = self.world.plug(self.port, tap("vif1"))
        before = self.world.state
        self.assertEqual(self.world.plug(self.port, tap("vif1")), first)
        self.assertEqual(self.world.state, before)

    def test_the_same_id_in_another_form(self) -> None:
        self.world.plug(self.port, tap("vif1"))
        forms = [
            Form(id="vif1"),
            tap("vif1", "tap7"),
            evolve(tap("vif1"), reference="urn:x"),
            evolve(tap("vif1"), force=True),
        ]
        for form in forms:
            with self.subTest(str(form)), self.assertRaises(PortInUse) as caught:
                self.world.plug(self.port, form)
            self.assertIn("another form", caught.exception.detail)

    def test_a_port_takes_one(self) -> None:
        self.world.plug(self.port, "vif1")
        with self.assertRaises(PortInUse) as caught:
            self.world.plug(self.port, "vif2")
        self.assertIn("'vif1'", caught.exception.detail)

    def test_an_id_is_plugged_once_over_all_networks(self) -> None:
        self.world.plug(self.port, "vif1")
        for port in (self.other, self.far):
            with self.assertRaises(AlreadyAttached):
                self.world.plug(port, "vif1")

    def test_a_device_is_plugged_once(self) -> None:
        self.world.plug(self.port, named("vif1", "tap7"))
        with self.assertRaises(AlreadyAttached) as caught:
            self.world.plug(self.far, tap("vif2", "tap7"))
        self.assertIn("'tap7'", caught.exception.detail)

    def test_a_device_that_only_the_plugin_could_name_is_plugged_once_too(self) -> None:
        def judge(_: State, change: RecordChange) -> Json:
            return {"device": change.attachment.id} if isinstance(change, Attach) else {}

        self.world.judge = judge
        self.world.plug(self.port, named("vif1", "tap7"))
        with self.assertRaises(AlreadyAttached):
            self.world.plug(self.far, "tap7")
        self.world.plug(self.other, "tap8")
        with self.assertRaises(AlreadyAttached):
            self.world.plug(self.far, named("vif3", "tap8"))

    def test_a_nic_on_two_vlans(self) -> None:
        self.world.plug(self.port, uplink("up1", "eth1", 10))
        self.world.plug(self.far, uplink("up2", "eth1", 11))
        with self.assertRaises(AlreadyAttached):
            self.world.plug(self.other, uplink("up3", "eth1", 10))

    def test_tunnels(self) -> None:
        self.world.plug(self.port, vxlan("t1", "192.0.2.1"))
        with self.assertRaises(AlreadyAttached):
            self.world.plug(self.other, vxlan("t2", "192.0.2.1"))
        with self.assertRaises(AlreadyAttached) as caught:
            self.world.plug(self.far, vxlan("t2", "192.0.2.2"))
        self.assertIn("VNI 7", caught.exception.detail)
        self.world.plug(self.other, vxlan("t2", "192.0.2.2"))
        self.world.plug(self.far, vxlan("t3", "192.0.2.2", vni=8))

    def test_nothing_is_plugged_into_what_goes(self) -> None:
        self.world.delete_port(self.port)
        with self.assertRaises(PortNotFound):
            self.world.plug(self.port, "vif1")
        self.world.delete_network(self.red)
        with self.assertRaises(NetworkNotFound):
            self.world.plug(self.far, "vif1")

    def test_the_plugins_data_is_committed_with_it(self) -> None:
        self.world.judge = lambda _, __: {"device": "tap-7"}
        attachment = self.world.plug(self.port, tap("vif1"))
        self.assertEqual(attachment.device_name, "tap-7")
        self.assertEqual(self.world.state.holders(("device", "tap-7", None)), [attachment])


class JudgementTests(AttachmentCase):
    """What is wrong in several ways is refused for the first of them in the order of judgement."""

    def setUp(self) -> None:
        super().setUp()
        self.plugin = Refusing()
        self.world.judge = self.plugin
        self.there = self.world.plug(self.port, "vif1")

    def expect(self, refusal: Fault, expected: type[Fault], form: str, tags: list[str] | None) -> None:
        self.plugin.fault = refusal
        with self.assertRaises(expected):
            self.world.plug(self.port if form != "vif1" else self.other, form, tags)

    def test_a_plug_that_is_wrong_in_every_way(self) -> None:
        stale = ["stale"]
        for tags, form, refusal, expected in [
            (stale, "vif2", BadRequest("guard"), BadRequest),
            (stale, "vif2", PluginFault("no"), PreconditionFailed),
            (None, "vif2", BadRequest("guard"), BadRequest),
            (None, "vif2", OverLimit("full"), PortInUse),
            (None, "vif2", PluginFault("no"), PortInUse),
            (None, "vif1", BadRequest("guard"), BadRequest),
            (None, "vif1", OverLimit("full"), AlreadyAttached),
            (None, "vif1", PluginFault("no"), AlreadyAttached),
            (None, "vif1", ServiceUnavailable("away"), AlreadyAttached),
        ]:
            with self.subTest(tags=tags, form=form, refusal=refusal.name):
                self.expect(refusal, expected, form, tags)

    def test_the_port_is_judged_before_the_id_and_the_device(self) -> None:
        self.world.plug(self.other, named("vif2", "tap7"))
        for form in ("vif2", named("vif3", "tap7")):
            with self.assertRaises(PortInUse):
                self.world.plug(self.port, form)

    def test_if_match_is_of_the_attachment_that_is_there(self) -> None:
        self.assertEqual(self.world.plug(self.port, "vif1", [etag(self.there)]), self.there)
        with self.assertRaises(PreconditionFailed):
            self.world.plug(self.port, "vif1", [etag(self.world.now_is(self.port))])
        for tags in (["*"], [etag(self.there)]):
            with self.assertRaises(PreconditionFailed):
                self.world.plug(self.other, "vif2", tags)

    def test_one_that_goes_is_not_there(self) -> None:
        gone = self.world.unplug(self.port)
        with self.assertRaises(PreconditionFailed):
            self.world.plug(self.port, "vif2", [etag(gone)])

    def test_a_repeat_is_accepted_whatever_the_plugin_says(self) -> None:
        self.plugin.fault = ServiceUnavailable("away")
        self.assertEqual(self.world.plug(self.port, "vif1"), self.there)
        self.assertEqual(self.world.plug_anywhere(self.blue, "vif1"), self.there)

    def test_nothing_is_left_of_what_was_refused(self) -> None:
        before = self.world.state
        self.plugin.fault = PluginFault("no")
        for attempt in (
            lambda: self.world.plug(self.other, "vif2"),
            lambda: self.world.plug_anywhere(self.blue, "vif2"),
            lambda: self.world.unplug(self.port),
        ):
            with self.assertRaises(PluginFault):
                attempt()
        self.assertEqual(self.world.state, before)
        self.assertEqual(self.world.now_is(self.there).status, AttachmentStatus.IN_PROGRESS)


class PlugAnywhereTests(AttachmentCase):
    def test_it_takes_the_oldest_free_port(self) -> None:
        self.assertEqual(self.world.plug_anywhere(self.blue, "vif1").port_id, self.port.id)
        self.assertEqual(self.world.plug_anywhere(self.blue, "vif2").port_id, self.other.id)

    def test_it_makes_a_port_where_none_is_free(self) -> None:
        self.world.plug(self.far, "vif1")
        self.world.told()
        attachment = self.world.plug_anywhere(self.red, "vif2")
        self.assertNotEqual(attachment.port_id, self.far.id)
        self.assertEqual(self.world.state.ports[attachment.port_id].network_id, self.red.id)
        self.assertEqual(
            self.world.told(),
            [
                ("port", "created", "InProgress"),
                ("attachment", "created", "InProgress"),
                ("port", "updated", "InProgress"),
            ],
        )

    def test_a_port_whose_attachment_goes_is_better_than_a_new_one(self) -> None:
        self.world.plug(self.far, "vif1")
        self.world.unplug(self.far)
        self.assertEqual(self.world.plug_anywhere(self.red, "vif2").port_id, self.far.id)

    def test_ports_that_go_are_not_free(self) -> None:
        self.world.delete_port(self.far)
        self.assertNotEqual(self.world.plug_anywhere(self.red, "vif1").port_id, self.far.id)

    def test_a_repeat_is_the_same_attachment(self) -> None:
        first = self.world.plug_anywhere(self.blue, tap("vif1"))
        before = self.world.state
        self.assertEqual(self.world.plug_anywhere(self.blue, tap("vif1")), first)
        self.assertEqual(self.world.state, before)

    def test_a_repeat_of_what_was_plugged_into_a_port_by_name(self) -> None:
        first = self.world.plug(self.other, "vif1")
        self.assertEqual(self.world.plug_anywhere(self.blue, "vif1"), first)

    def test_the_id_is_plugged_in_another_form_or_elsewhere(self) -> None:
        self.world.plug_anywhere(self.blue, tap("vif1"))
        with self.assertRaises(AlreadyAttached):
            self.world.plug_anywhere(self.blue, "vif1")
        with self.assertRaises(AlreadyAttached):
            self.world.plug_anywhere(self.red, tap("vif1"))

    def test_an_id_that_goes_is_plugged_anew(self) -> None:
        first = self.world.plug_anywhere(self.blue, "vif1")
        self.world.unplug(self.port)
        second = self.world.plug_anywhere(self.blue, "vif1")
        self.assertNotEqual(second.serial, first.serial)
        self.assertEqual(second.port_id, self.other.id)

    def test_a_network_that_goes(self) -> None:
        self.world.delete_network(self.red)
        with self.assertRaises(NetworkNotFound):
            self.world.plug_anywhere(self.red, "vif1")

    def test_the_new_port_and_the_plug_are_judged_together(self) -> None:
        self.world.plug(self.far, "vif1")
        refusals: dict[type[RecordChange], Fault] = {Attach: PluginFault("no"), EnsurePort: OverLimit("full")}

        def judge(_: State, change: RecordChange) -> Json:
            raise refusals[type(change)]

        self.world.judge = judge
        with self.assertRaises(OverLimit):
            self.world.plug_anywhere(self.red, "vif2")
        refusals[Attach] = BadRequest("guard")
        with self.assertRaises(BadRequest):
            self.world.plug_anywhere(self.red, "vif2")


class FixedPortsTests(SynchronousTestCase):
    def setUp(self) -> None:
        def judge(_: State, change: RecordChange) -> Json:
            if isinstance(change, EnsurePort):
                raise PluginFault("fixed")
            return {}

        self.world = World(judge, Limits(networks=9, ports_per_network=9, fixed_ports=2))
        self.network = self.world.network()

    def test_all_are_taken(self) -> None:
        for name in ("vif1", "vif2"):
            self.world.plug_anywhere(self.network, name)
        with self.assertRaises(PortInUse):
            self.world.plug_anywhere(self.network, "vif3")
        with self.assertRaises(PortInUse):
            self.world.plug_anywhere(self.network, named("vif2", "other"))
        self.world.unplug(self.world.state.ports_of(self.network.id)[0])
        self.world.plug_anywhere(self.network, "vif3")

    def test_none_can_be_made(self) -> None:
        with self.assertRaises(PluginFault):
            self.world.port(self.network)

    def test_they_go_with_the_network(self) -> None:
        self.world.settle(self.world.delete_network(self.network))
        self.assertEqual(list(self.world.state.every_key()), [])


class UnplugTests(AttachmentCase):
    def setUp(self) -> None:
        super().setUp()
        self.attachment = self.world.plug(self.port, named("vif1", "tap7"))
        self.world.settle(self.attachment)
        self.world.told()

    def test_it_goes(self) -> None:
        gone = self.world.unplug(self.port)
        self.assertEqual((gone.status, gone.revision), (AttachmentStatus.DETACHING, 2))
        self.assertEqual(gone.updated_at, self.world.now)
        self.assertEqual(self.world.now_is(self.port).revision, 3)
        self.world.settle(gone)
        self.assertEqual(
            self.world.told(),
            [
                ("attachment", "updated", "Detaching"),
                ("port", "updated", "Active"),
                ("attachment", "deleted", "Deleted"),
            ],
        )
        with self.assertRaises(AttachmentNotFound):
            self.world.unplug(self.port)

    def test_a_second_unplug_changes_nothing(self) -> None:
        gone = self.world.unplug(self.port)
        before = self.world.state
        self.assertEqual(self.world.unplug(self.port), gone)
        self.assertEqual(self.world.state, before)
        with self.assertRaises(PreconditionFailed):
            self.world.unplug(self.port, [etag(self.attachment)])

    def test_if_match(self) -> None:
        with self.assertRaises(PreconditionFailed):
            self.world.unplug(self.port, ["stale"])
        self.assertEqual(self.world.unplug(self.port, [etag(self.attachment)]).status, AttachmentStatus.DETACHING)

    def test_the_plugin_may_refuse_but_the_precondition_goes_first(self) -> None:
        def judge(_: State, change: RecordChange) -> Json:
            assert isinstance(change, Detach)
            raise PluginFault("veto")

        self.world.judge = judge
        with self.assertRaises(PreconditionFailed):
            self.world.unplug(self.port, ["stale"])
        with self.assertRaises(PluginFault):
            self.world.unplug(self.port)

    def test_nothing_is_plugged(self) -> None:
        for port in (self.other, self.far):
            with self.assertRaises(AttachmentNotFound):
                self.world.unplug(port)
        with self.assertRaises(AttachmentNotFound):
            find_attachment(self.world.state, self.blue.id, self.other.id)

    def test_the_port_shows_it_until_it_is_gone_or_the_next_one_is_accepted(self) -> None:
        gone = self.world.unplug(self.port)
        self.assertEqual(find_attachment(self.world.state, self.blue.id, self.port.id), gone)
        following = self.world.plug(self.port, "vif2")
        self.assertEqual(find_attachment(self.world.state, self.blue.id, self.port.id), following)
        self.assertEqual(self.world.state.attachments_of(self.blue.id), [gone, following])

    def test_from_a_port_that_goes_it_is_unplugged_still(self) -> None:
        gone = self.world.unplug(self.port)
        self.world.delete_port(self.port)
        self.assertEqual(self.world.unplug(self.port), gone)

    def test_it_stays_detaching_while_its_tries_fail(self) -> None:
        gone = self.world.unplug(self.port)
        self.world.settle(gone, Failed("busy"))
        now = self.world.now_is(gone)
        self.assertEqual((now.status, now.fault and now.fault.message), (AttachmentStatus.DETACHING, "busy"))
        self.world.settle(now)
        self.assertIsNone(self.world.state.latest(self.port.id))


class MoveTests(AttachmentCase):
    """As accepted, not as carried out: a VIF is unplugged here and plugged there at once."""

    def test_a_vif_moves_and_moves_back(self) -> None:
        form = named("vif1", "tap7")
        first = self.world.plug(self.port, form)
        self.world.unplug(self.port)
        second = self.world.plug(self.far, form)
        self.world.unplug(self.far)
        third = self.world.plug(self.port, form)
        self.assertEqual(len({first.serial, second.serial, third.serial}), 3)
        self.assertEqual(len(list(self.world.state.rivals(third, going=True))), 2 * 2 + 1, "two devices, ids; a port")
        self.assertEqual(list(self.world.state.rivals(third, going=False)), [])

    def test_unplug_and_delete_at_once(self) -> None:
        self.world.plug(self.far, "vif1")
        self.world.unplug(self.far)
        self.assertEqual(self.world.delete_port(self.far).status, Status.DELETING)
        self.assertEqual(self.world.delete_network(self.red).status, Status.DELETING)

    def test_unplug_and_plug_another_at_once(self) -> None:
        self.world.plug(self.port, "vif1")
        self.world.unplug(self.port)
        self.assertEqual(self.world.plug(self.port, "vif2").id, "vif2")
        with self.assertRaises(PortInUse):
            self.world.plug(self.port, "vif3")

    def test_a_device_is_free_as_soon_as_its_unplug_is_accepted(self) -> None:
        self.world.plug(self.port, named("vif1", "tap7"))
        self.world.unplug(self.port)
        self.world.plug(self.far, named("vif2", "tap7"))
        with self.assertRaises(AlreadyAttached):
            self.world.plug(self.other, named("vif3", "tap7"))

    def test_an_unknown_network_or_port(self) -> None:
        lost = evolve(self.port, id=uuid(99))
        with self.assertRaises(PortNotFound):
            self.world.plug(lost, "vif1")
        with self.assertRaises(NetworkNotFound):
            self.world.plug(evolve(lost, network_id=uuid(98)), "vif1")
