from __future__ import annotations

from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.changes import Done, EnsureNetwork, EnsurePort, Failed
from quantumd.core.errors import OverLimit, PluginFault, ServiceUnavailable
from quantumd.core.intent import Limits
from quantumd.core.model import AttachmentStatus, Device, Form, Key, Status
from quantumd.core.plan import Seen
from quantumd.plugins.memory import SETTINGS, MemoryPlugin
from tests.core.support import World, named, tap, uplink, uuid, vxlan
from tests.service.support import ADMIN, Daemon, DaemonCase, result


def plugin(**settings: object) -> MemoryPlugin:
    return MemoryPlugin(Clock(), {**SETTINGS, **settings})


class SettingsTests(SynchronousTestCase):
    def test_numbers_that_cannot_be(self) -> None:
        for settings in ({"delay": -0.1}, {"delay": float("nan")}, {"delay": float("inf")}, {"fixed_ports": -1}):
            with self.subTest(str(settings)), self.assertRaises(ValueError) as caught:
                plugin(**settings)
            self.assertIn(next(iter(settings)), str(caught.exception))
        with self.assertRaises(ValueError):
            plugin(capacity=-1)


class DeviceTests(SynchronousTestCase):
    """What ``plugin.device`` says: the caller's name, or one of at most 15 bytes that nothing else has."""

    def setUp(self) -> None:
        self.world = World(judge=plugin().judge)
        self.network = self.world.network()

    def device(self, form: Form) -> object:
        return self.world.plug_anywhere(self.network, form).data["device"]

    def test_the_name_that_was_given(self) -> None:
        self.assertEqual(self.device(named("vif1", "tap7")), "tap7")
        self.assertEqual(self.device(tap("vif2", "tap8")), "tap8")
        self.assertEqual(self.device(uplink("up", "eth1")), "eth1")

    def test_a_late_device_has_the_attachments_id(self) -> None:
        self.assertEqual(self.device(Form(id="vm1-eth0")), "vm1-eth0")

    def test_names_that_quantumd_chooses_are_short_and_unique(self) -> None:
        ports = [self.world.port(self.network, id=uuid(0xABC000 + place)) for place in range(40)]
        forms = [
            make(f"{place}")
            for place in range(10)
            for make in (
                tap,
                lambda ident: Form(id=f"v{ident}", device=Device(create="veth", netns="vm", ifname="eth0")),
                lambda ident: uplink(f"u{ident}", "averylongname15", int(ident) + 1),
                lambda ident: vxlan(f"t{ident}", f"192.0.2.{int(ident) + 1}", vni=int(ident) + 1),
            )
        ]
        names = [self.world.plug(port, form).data["device"] for port, form in zip(ports, forms, strict=True)]
        self.assertEqual(len(set(names)), 40, "ids that begin alike make no names that are alike")
        self.assertLessEqual(max(len(str(name)) for name in names), 15)

    def test_bridges_are_unique(self) -> None:
        bridges = {self.world.network(id=uuid(0xDEF000 + place)).data["bridge"] for place in range(20)}
        self.assertEqual(len(bridges), 20)

    def test_a_bridge_stays_as_the_network_changes(self) -> None:
        self.assertEqual(self.world.rename(self.network, name="red").data, self.network.data)


class SettlingTests(DaemonCase):
    def test_every_type_settles_as_up(self) -> None:
        network = self.daemon.network()
        forms = [
            Form(id="late"),
            named("named", "tap1"),
            tap("tap"),
            Form(id="veth", device=Device(create="veth", netns="vm1", ifname="eth0")),
            uplink("untagged", "eth1"),
            uplink("tagged", "eth2", 5),
            vxlan("tunnel", "192.0.2.1"),
        ]
        attachments = [self.daemon.plug(self.daemon.port(network), form) for form in forms]
        self.daemon.rest()
        for attachment in attachments:
            now = self.daemon.now_is(attachment)
            self.assertEqual(now.status, AttachmentStatus.UP)
            self.assertEqual(now.plugin, {"bridge": network.data["bridge"], "device": attachment.data["device"]})

    def test_changes_take_their_time(self) -> None:
        daemon = Daemon(delay=1.5).start()
        network = daemon.network()
        daemon.rest(1.4)
        self.assertEqual(daemon.now_is(network).status, Status.IN_PROGRESS)
        daemon.rest(0.1)
        self.assertEqual(daemon.now_is(network).status, Status.ACTIVE)

    def test_taking_away_what_is_not_made_yet_takes_its_time_too(self) -> None:
        daemon = Daemon(delay=1.5).start()
        network = daemon.network()
        daemon.rest(1.5)
        port = daemon.port(network)
        attachment = daemon.plug(port, "vif")
        daemon.unplug(port)
        daemon.rest(1.4)
        self.assertEqual(daemon.now_is(attachment).status, AttachmentStatus.DETACHING)
        daemon.rest(3)
        self.assertEqual(daemon.state.latest(port.id), None)


class KnobTests(SynchronousTestCase):
    def test_fixed_ports(self) -> None:
        daemon = Daemon(limits=Limits(networks=9, ports_per_network=9, fixed_ports=2), fixed_ports=2).start()
        network = daemon.network()
        daemon.rest()
        ports = daemon.state.ports_of(network.id)
        self.assertEqual([port.status for port in ports], [Status.ACTIVE] * 2)
        with self.assertRaises(PluginFault):
            daemon.port(network)
        with self.assertRaises(PluginFault):
            result(daemon.quantum.delete_port(ADMIN, network.id, ports[0].id))
        daemon.delete(network)
        daemon.rest()
        self.assertEqual((list(daemon.state.every_key()), daemon.plugin.host), ([], {}))

    def test_veto_detach(self) -> None:
        daemon = Daemon(veto_detach=True).start()
        port = daemon.port(daemon.network())
        attachment = daemon.plug(port, "vif")
        daemon.rest()
        with self.assertRaises(PluginFault):
            daemon.unplug(port)
        self.assertEqual(daemon.now_is(attachment).status, AttachmentStatus.UP)

    def test_fail_is_a_glob_over_networks_and_attachments(self) -> None:
        daemon = Daemon(fail="bad*").start()
        good, bad = daemon.network("good"), daemon.network("bad one")
        port = daemon.port(good)
        attachment = daemon.plug(port, "bad vif")
        daemon.rest(1)
        self.assertEqual(daemon.now_is(good).status, Status.ACTIVE)
        self.assertEqual(daemon.now_is(port).status, Status.ACTIVE)
        for record in (bad, attachment):
            now = daemon.now_is(record)
            self.assertEqual((str(now.status), now.fault and now.fault.name), ("Failed", "PluginFault"))

    def test_any_change_fails_deleting_too(self) -> None:
        daemon = Daemon(fail="bad*").start()
        network = daemon.network("bad")
        daemon.rest()
        daemon.delete(network)
        daemon.rest(1)
        now = daemon.now_is(network)
        self.assertEqual((now.status, now.fault and now.fault.name), (Status.DELETING, "PluginFault"))

    def test_what_is_in_a_network_that_failed_waits(self) -> None:
        daemon = Daemon(fail="bad").start()
        attachment = daemon.plug(daemon.port(daemon.network("bad")), "vif")
        daemon.rest(1)
        now = daemon.now_is(attachment)
        self.assertEqual((now.status, now.fault), (AttachmentStatus.IN_PROGRESS, None))

    def test_capacity(self) -> None:
        daemon = Daemon(capacity=1).start()
        network = daemon.network("blue")
        with self.assertRaises(OverLimit):
            daemon.network("red")
        result(daemon.quantum.update_network(ADMIN, network.id, {"name": "green"}))
        daemon.delete(network)
        daemon.network("red")

    def test_unavailable_while_the_file_is_there(self) -> None:
        path = Path(self.mktemp())
        daemon = Daemon(unavailable=str(path)).start()
        network = daemon.network("blue")
        daemon.rest()
        accepted = daemon.network("red")
        path.touch()
        with self.assertRaises(ServiceUnavailable) as caught:
            daemon.network("green")
        self.assertIn(str(path), caught.exception.detail)
        daemon.rest(3)
        self.assertEqual(daemon.now_is(accepted).status, Status.IN_PROGRESS)
        self.assertEqual(daemon.now_is(network).status, Status.ACTIVE)
        path.unlink()
        daemon.rest(1)
        self.assertEqual(daemon.now_is(accepted).status, Status.ACTIVE)

    def test_it_goes_away_in_the_middle(self) -> None:
        path = Path(self.mktemp())
        daemon = Daemon(unavailable=str(path), delay=1.0).start()
        network = daemon.network("blue")
        daemon.rest(0.5)
        path.touch()
        daemon.rest(5)
        self.assertEqual(daemon.now_is(network).status, Status.IN_PROGRESS)
        path.unlink()
        daemon.rest(3)
        self.assertEqual(daemon.now_is(network).status, Status.ACTIVE)


class HostTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.plugin = plugin()
        self.world = World(judge=self.plugin.judge)
        self.network = self.world.network()

    def look(self, key: Key) -> Seen:
        return result(self.plugin.discover(self.world.state, {key})).of(key)

    def apply(self, *changes: object) -> list[object]:
        outcomes = self.plugin.apply(changes)  # type: ignore[arg-type]
        self.plugin._clock.advance(0)  # type: ignore[attr-defined]
        return list(result(outcomes))

    def test_what_was_made_is_seen(self) -> None:
        self.assertFalse(self.look(self.network.key).present)
        self.assertEqual(self.apply(EnsureNetwork(self.network)), [Done({"bridge": self.network.data["bridge"]})])
        self.assertTrue(self.look(self.network.key).in_order)

    def test_what_was_asked_since_is_a_difference(self) -> None:
        self.apply(EnsureNetwork(self.network))
        self.world.rename(self.network, name="red")
        self.assertFalse(self.look(self.network.key).in_order)

    def test_doing_it_again_changes_nothing(self) -> None:
        first = self.apply(EnsureNetwork(self.network))
        before = dict(self.plugin.host)
        self.assertEqual(self.apply(EnsureNetwork(self.network)), first)
        self.assertEqual(self.plugin.host, before)

    def test_one_bad_change_does_not_fail_the_others(self) -> None:
        self.plugin.fail = "bad"
        bad = self.world.network("bad")
        port = self.world.port(self.network)
        outcomes = self.apply(EnsureNetwork(bad), EnsureNetwork(self.network), EnsurePort(port, self.network))
        self.assertEqual([type(outcome) for outcome in outcomes], [Failed, Done, Done])

    def test_leftovers_are_looked_for_when_everything_is(self) -> None:
        self.apply(EnsureNetwork(self.network))
        self.world.settle(self.world.delete_network(self.network))
        some = result(self.plugin.discover(self.world.state, {self.network.key}))
        self.assertEqual((dict(some.seen), some.leftovers), ({}, ()))
        every = result(self.plugin.discover(self.world.state, None))
        self.assertEqual([leftover.what for leftover in every.leftovers], [f"network {self.network.id}"])
