"""What the linuxbridge plugin says of a request at once, over a state and a view of the host that are values."""

from __future__ import annotations

import ipaddress
import os
from importlib import import_module
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.changes import RecordChange
from quantumd.core.errors import BadRequest, OverLimit, PluginFault
from quantumd.core.intent import Limits
from quantumd.core.model import Device, Form, Json, Key, Kind
from quantumd.core.state import State
from quantumd.host.netlink.monitor import AddressChanged, DefaultRouteChanged, LinkChanged, LinkGone, Overrun
from quantumd.host.netlink.parse import Address, DefaultRoute, Link
from quantumd.plugins.linuxbridge.features import Features
from quantumd.plugins.linuxbridge.interests import Interests
from quantumd.plugins.linuxbridge.judge import MAX_PORTS, judge
from quantumd.plugins.linuxbridge.terms import place_of
from quantumd.plugins.linuxbridge.view import HostView
from tests.core.support import World, named, tap, uplink, uuid, vxlan


class JudgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.view = HostView()
        self.features = Features()
        self.world = World(self.judge, Limits(networks=100, ports_per_network=2000))

    def judge(self, state: State, change: RecordChange) -> Json:
        return judge(state, change, self.view, self.features)

    def host_has(self, index: int, name: str, *addresses: str, **more: Any) -> None:
        self.view.take([LinkChanged(Link(index, name, 0, **more))])
        self.view.take([AddressChanged(Address(index, ipaddress.ip_address(one), 0), True) for one in addresses])

    def refused(self, form: Form, fault: type[Exception]) -> Any:
        network = self.world.network()
        return self.assertRaises(fault, self.world.plug_anywhere, network, form)

    def test_bridge_names(self) -> None:
        """Bridges get names that neither another network nor a stranger on the host has; a repeat keeps its name."""
        one = self.world.network(id=uuid(1))
        two = self.world.network(id=uuid(2))
        self.host_has(9, "q-0000000000004", kind="bridge")
        names = {one.data["bridge"], two.data["bridge"]}
        self.assertEqual(2, len(names))
        self.assertTrue(all(name.startswith("q-") and len(name) == 15 for name in names))
        renamed = self.world.rename(one, name="other")
        self.assertEqual(one.data, renamed.data)
        self.host_has(10, "q-1111111111111", kind="bridge")
        self.assertNotEqual(
            "q-1111111111111", self.world.network(id="11111111-1111-1111-8111-111111111111").data["bridge"]
        )

    def test_device_names(self) -> None:
        """A device that is made has the name that was asked for, else one of its own; a found one its id."""
        network = self.world.network()
        self.assertEqual({"device": "vm1"}, self.world.plug_anywhere(network, tap("a", "vm1")).data)
        chosen = self.world.plug_anywhere(network, tap("b")).data["device"]
        self.assertTrue(chosen.startswith("qt"))
        self.assertEqual({"device": "late0"}, self.world.plug_anywhere(network, Form(id="late0")).data)
        long = "a-name-of-more-than-fifteen-bytes"
        self.assertEqual({}, self.world.plug_anywhere(network, Form(id=long)).data)
        vlan = self.world.plug_anywhere(network, uplink("up", "eth1", 7))
        self.assertEqual("eth1", vlan.device_name)
        self.assertTrue(vlan.data["subdevice"].startswith("ql"))

    def test_tunnels_share_a_device(self) -> None:
        """The remotes of one VNI on one network have one device; another VNI has another."""
        network = self.world.network()
        one, two = (self.world.plug_anywhere(network, vxlan(f"r{n}", f"192.0.2.{n}")) for n in (1, 2))
        other = self.world.plug_anywhere(network, vxlan("r3", "192.0.2.1", vni=8))
        self.assertEqual(one.data, two.data)
        self.assertNotEqual(one.data, other.data)

    def test_tunnel_ends(self) -> None:
        """Addresses have to be of one family, and one host's."""
        network = self.world.network()
        self.world.plug_anywhere(network, vxlan("four", "192.0.2.1"))
        for form, fault in (
            (vxlan("a", "239.1.1.1"), BadRequest),
            (vxlan("b", "0.0.0.0"), BadRequest),
            (vxlan("c", "192.0.2.7", local="fd00::1"), BadRequest),
            (vxlan("d", "192.0.2.7", local="239.1.1.1"), BadRequest),
            (vxlan("e", "fd00::2"), PluginFault),
        ):
            self.assertRaises(fault, self.world.plug_anywhere, network, form)
        self.world.plug_anywhere(network, vxlan("six", "fd00::2", vni=8))

    def test_guard(self) -> None:
        """What the host is reached by is refused under every name, and taken by force or beside it on a VLAN."""
        self.host_has(2, "eth0", "192.0.2.1", altnames=("enp1s0",))
        self.host_has(3, "eth1", "fe80::1")
        self.host_has(4, "eth2", "fe80::1", "2001:db8::1")
        self.host_has(5, "eth3")
        self.view.take([DefaultRouteChanged(DefaultRoute((5,)), True)])
        for form, path in (
            (named("a", "eth0"), "attachment.device.name"),
            (named("a", "enp1s0"), "attachment.device.name"),
            (Form(id="enp1s0"), "attachment.id"),
            (uplink("a", "eth2"), "attachment.device.name"),
            (named("a", "eth3"), "attachment.device.name"),
        ):
            error = self.refused(form, BadRequest)
            self.assertEqual([path], [one.path for one in error.errors])
            self.assertIn("force", error.detail)
        network = self.world.network()
        for number, form in enumerate(
            (named("b", "eth1"), uplink("c", "eth0", 7), evolve(named("d", "eth2"), force=True))
        ):
            self.assertEqual(form, self.world.plug_anywhere(network, form).form, number)

    def test_what_the_kernel_lacks(self) -> None:
        """It is refused at once, with what to do about it."""
        self.features = Features(vlan=False, vxlan=False, veth=False, no_tap="try 'modprobe tun'.")
        veth = Form(id="v", device=Device(create="veth", netns="vm", ifname="eth0"))
        for form, module in (
            (uplink("u", "eth1", 7), "8021q"),
            (vxlan("x", "192.0.2.1"), "vxlan"),
            (tap("t"), "tun"),
            (veth, "veth"),
        ):
            self.assertIn(f"modprobe {module}", self.refused(form, PluginFault).detail)
        self.features = Features(multi_queue=False)
        self.refused(Form(id="t", device=Device(create="tap", multi_queue=True)), PluginFault)

    def test_processes(self) -> None:
        """The namespace of a process is recorded; that of none is refused."""
        network = self.world.network()
        mine = Form(id="v", device=Device(create="veth", netns=f"/proc/{os.getpid()}/ns/net", ifname="eth0"))
        recorded = self.world.plug_anywhere(network, mine).data["netns"]
        self.assertEqual(3, len(recorded))
        gone = Form(id="w", device=Device(create="veth", netns="/proc/4194305/ns/net", ifname="eth0"))
        error = self.assertRaises(BadRequest, self.world.plug_anywhere, network, gone)
        self.assertEqual("attachment.device.netns", error.errors[0].path)

    def test_full(self) -> None:
        """A bridge takes 1,023 ports; the remotes of one VNI are one of them."""
        self.assertEqual(1023, MAX_PORTS)
        self.patch(import_module("quantumd.plugins.linuxbridge.judge"), "MAX_PORTS", 5)
        network = self.world.network()
        for number in range(4):
            last = self.world.plug_anywhere(network, tap(f"t{number}"))
        self.world.plug_anywhere(network, vxlan("r1", "192.0.2.1"))
        self.world.plug_anywhere(network, vxlan("r2", "192.0.2.2"))
        self.assertRaises(OverLimit, self.world.plug_anywhere, network, tap("one-more"))
        self.world.unplug(self.world.state.ports[last.port_id])
        self.world.plug_anywhere(network, tap("one-more"))

    def test_places(self) -> None:
        """A namespace's name and both of its paths are one place."""
        wanted = place_of(Device(netns="vm1"))
        for path in ("/run/netns/vm1", "/var/run/netns/vm1"):
            self.assertEqual(wanted, place_of(Device(netns=path)))
        self.assertEqual(("/run/netns/vm1", "vm1"), (wanted.path, wanted.name))


class ViewTests(SynchronousTestCase):
    def test_names(self) -> None:
        """A device is found by what it is called now; what it was called is told of too."""
        view = HostView()
        link = Link(7, "old", 0, altnames=("alias",))
        self.assertEqual(({"old", "alias"}, False, False), view.take([LinkChanged(link)]))
        self.assertEqual((set(), False, False), view.take([LinkChanged(link)]), "nothing new is no news")
        changed = evolve(link, name="new", altnames=())
        self.assertEqual({"old", "alias", "new"}, view.take([LinkChanged(changed)])[0])
        self.assertEqual((None, changed), (view.find("old"), view.find("new")))
        self.assertEqual({"new"}, view.take([LinkGone(changed)])[0])
        self.assertIsNone(view.find("new"))

    def test_a_name_that_changes_hands(self) -> None:
        """The name of a device that went, given to another before we hear of it, is the other's."""
        view = HostView()
        view.take([LinkChanged(Link(7, "tap", 0)), LinkChanged(Link(8, "tap", 0)), LinkGone(Link(7, "tap", 0))])
        found = view.find("tap")
        assert found is not None
        self.assertEqual(8, found.index)

    def test_what_the_host_needs(self) -> None:
        """Addresses come and go with their devices; routes are read again, since the kernel does not tell of all."""
        view = HostView()
        link, address = Link(7, "eth0", 0), Address(7, ipaddress.ip_address("192.0.2.1"), 0)
        view.take([LinkChanged(link), AddressChanged(address, True)])
        self.assertIn("192.0.2.1", view.cuts_off(link) or "")
        self.assertEqual({"eth0"}, view.take([AddressChanged(address, False)])[0])
        self.assertIsNone(view.cuts_off(link))
        self.assertEqual((set(), True, False), view.take([DefaultRouteChanged(DefaultRoute((7,)), True)]))
        self.assertIn("default route", view.cuts_off(link) or "")
        self.assertTrue(view.take([LinkGone(link)])[1])
        view.replace_routes([])
        self.assertIsNone(view.cuts_off(link))
        self.assertTrue(view.take([Overrun()])[2])


class InterestsTests(SynchronousTestCase):
    def test_who_is_concerned(self) -> None:
        """Those that watch a name are, until they watch others, or have gone."""
        interests = Interests()
        world = World()
        one, two = world.network("one").key, world.network("two").key
        interests.watch(one, {"a", "b"})
        interests.watch(two, {"b", "c"})
        self.assertEqual({one, two}, interests.concerned(["b", "x"]))
        interests.watch(one, {"a"})
        self.assertEqual({two}, interests.concerned(["b"]))
        interests.forget(two)
        self.assertEqual({one}, interests.concerned(["a", "b", "c"]))
        interests.forget(one)
        self.assertEqual(set(), interests.concerned(["a"]))
        self.assertNotIn(one, interests)

    def test_those_that_are_there_stay(self) -> None:
        """What is neither among those that were looked at nor in the state as it is by now is forgotten."""
        interests, world = Interests(), World()
        there, newer = world.network("one").key, world.network("two").key
        gone = [Key(Kind.PORT, uuid(number)) for number in range(2000)]
        for key in (*gone, there, newer):
            interests.watch(key, {"everybody's", f"{key.ident}'s"})
        interests.keep({there}, world.state)
        self.assertEqual({there, newer}, interests.concerned(["everybody's", *(f"{key.ident}'s" for key in gone)]))
